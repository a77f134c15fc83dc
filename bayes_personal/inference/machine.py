"""How functions are compiled: once, kept on disk, without the interpreter's lock."""

from numba import njit

# Sums may be taken in any order, so that they use the processor's vectors; what is not finite stays so.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}

compiled = njit(**OPTIONS)
# For those that only compiled functions call: nothing is made for Python to call them by.
inlined = njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
