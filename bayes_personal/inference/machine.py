"""How functions are compiled: once, kept on disk, without the interpreter's lock."""

from numba import njit

compiled = njit(cache=True, nogil=True, error_model="numpy")
# For those that only compiled functions call: nothing is made for Python to call them by.
inlined = njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
