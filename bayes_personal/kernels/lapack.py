"""SciPy's LAPACK for compiled functions.

Routines are bound by name, not by address: a compiled function kept on disk must not hold this process's addresses.

A routine is given addresses, and the compiler does not see that they lead into arrays: it frees an array after the last
line that reads it, which may be before the call. Each function below therefore reads its arrays of arguments after the
call and returns the values read, which keeps their memory alive until then.
"""

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.extending import get_cython_function_address

from bayes_personal.kernels.compiling import compiled, inlined


def _routine(module: str, name: str, arguments: int) -> Any:
    """Return a Fortran routine whose arguments are all pointers; only compiled functions can call it."""
    symbol = f"bayes_personal_{name}"
    llvm.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*[types.intp] * arguments))


_dpotrf = _routine("cython_lapack", "dpotrf", 5)
_dtrtri = _routine("cython_lapack", "dtrtri", 6)
_dsyrk = _routine("cython_blas", "dsyrk", 10)
_dtrmm = _routine("cython_blas", "dtrmm", 11)
_dtrsm = _routine("cython_blas", "dtrsm", 11)

# Letters as numbers: little-endian memory begins with the letter that Fortran reads.
UPPER, PLAIN, TRANSPOSED, RIGHT = map(ord, "UNTR")


@compiled
def cholesky(matrix):
    """Replace the lower triangle of a C-ordered symmetric matrix by its L; return whether it is positive definite."""
    # Fortran sees the transpose, whose upper triangle is the lower triangle.
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(matrix), 0
    at = call.ctypes.data
    _dpotrf(at, at + 8, matrix.ctypes.data, at + 8, at + 12)
    return call[3] == 0


@compiled
def invert(lower):
    """Replace a C-ordered lower triangle L by L^-1, without touching the entries above; return whether L^-1 exists."""
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(lower), 0
    at = call.ctypes.data
    _dtrtri(at, at + 4, at + 8, lower.ctypes.data, at + 8, at + 12)
    return call[3] == 0


@inlined
def add_gram(rows, sign, lower):
    """Add the lower triangle of sign R R' to that of `lower`, in place; both are C-ordered."""
    call, factors = np.empty(4, np.int32), np.empty(2)
    call[0], call[1], call[2], call[3] = UPPER, TRANSPOSED, rows.shape[0], rows.shape[1]
    factors[0], factors[1] = sign, 1.0
    at, by = call.ctypes.data, factors.ctypes.data
    _dsyrk(at, at + 4, at + 8, at + 12, by, rows.ctypes.data, at + 12, by + 8, lower.ctypes.data, at + 8)
    # Reading both arrays keeps them from being freed before the call.
    return call[0] + factors[0]


@inlined
def multiply_lower(lower, rows):
    """Replace R by L R, for a lower triangle L; both are C-ordered."""
    call, factors = np.empty(5, np.int32), np.ones(1)
    call[0], call[1], call[2], call[3], call[4] = RIGHT, UPPER, PLAIN, rows.shape[1], rows.shape[0]
    at = call.ctypes.data
    _dtrmm(at, at + 4, at + 8, at + 8, at + 12, at + 16, factors.ctypes.data, lower.ctypes.data, at + 16,
           rows.ctypes.data, at + 12)
    # Reading both arrays keeps them from being freed before the call.
    return call[0] + factors[0]


@inlined
def divide_lower(lower, rows):
    """Replace R by L^-1 R, for a lower triangle L; both are C-ordered."""
    call, factors = np.empty(5, np.int32), np.ones(1)
    call[0], call[1], call[2], call[3], call[4] = RIGHT, UPPER, PLAIN, rows.shape[1], rows.shape[0]
    at = call.ctypes.data
    _dtrsm(at, at + 4, at + 8, at + 8, at + 12, at + 16, factors.ctypes.data, lower.ctypes.data, at + 16,
           rows.ctypes.data, at + 12)
    # Reading both arrays keeps them from being freed before the call.
    return call[0] + factors[0]
