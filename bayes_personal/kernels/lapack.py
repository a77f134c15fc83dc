"""SciPy's LAPACK for compiled functions.

Bound by name, not by address: a compiled function that is kept on disk must not hold this process's addresses.

A routine is given addresses, and the compiler does not see that they lead into arrays: it frees an array after the last
line that reads it, which may be before the call. Each function here therefore reads its arrays of arguments after the
call, and returns what it read, which keeps their memory alive until then.
"""

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.extending import get_cython_function_address

from bayes_personal.kernels.compiling import compiled, inlined


def _routine(module: str, name: str, arguments: int) -> Any:
    """A Fortran routine, all of whose arguments are pointers; compiled functions alone can call it."""
    symbol = f"bayes_personal_{name}"
    llvm.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*[types.intp] * arguments))


_dpotrf = _routine("cython_lapack", "dpotrf", 5)
_dtrtri = _routine("cython_lapack", "dtrtri", 6)
_dsyrk = _routine("cython_blas", "dsyrk", 10)
_dtrmm = _routine("cython_blas", "dtrmm", 11)

# As numbers: little-endian memory begins with the letter that Fortran reads.
UPPER, PLAIN, TRANSPOSED, RIGHT = map(ord, "UNTR")


@compiled
def cholesky(matrix):
    """L of a C-ordered symmetric matrix in its lower triangle, in place; False where it is not positive definite."""
    # Fortran sees the transpose: the lower triangle is its upper one.
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(matrix), 0
    at = call.ctypes.data
    _dpotrf(at, at + 8, matrix.ctypes.data, at + 8, at + 12)
    return call[3] == 0


@compiled
def invert(lower):
    """L^-1 of a C-ordered lower triangle, in place, what lies above the diagonal left alone; False where singular."""
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(lower), 0
    at = call.ctypes.data
    _dtrtri(at, at + 4, at + 8, lower.ctypes.data, at + 8, at + 12)
    return call[3] == 0


@inlined
def subtract_gram(rows, lower):
    """The lower triangle less that of R R', in place; both C-ordered."""
    call, factors = np.empty(4, np.int32), np.empty(2)
    call[0], call[1], call[2], call[3] = UPPER, TRANSPOSED, rows.shape[0], rows.shape[1]
    factors[0], factors[1] = -1.0, 1.0
    at, by = call.ctypes.data, factors.ctypes.data
    _dsyrk(at, at + 4, at + 8, at + 12, by, rows.ctypes.data, at + 12, by + 8, lower.ctypes.data, at + 8)
    # Both arrays are still in use here, so that neither is freed before the call.
    return call[0] + factors[0]


@inlined
def multiply_lower(lower, rows):
    """L R in place of R, for a lower triangle L; both C-ordered."""
    call, factors = np.empty(5, np.int32), np.ones(1)
    call[0], call[1], call[2], call[3], call[4] = RIGHT, UPPER, PLAIN, rows.shape[1], rows.shape[0]
    at = call.ctypes.data
    _dtrmm(at, at + 4, at + 8, at + 8, at + 12, at + 16, factors.ctypes.data, lower.ctypes.data, at + 16,
           rows.ctypes.data, at + 12)
    # Both arrays are still in use here, so that neither is freed before the call.
    return call[0] + factors[0]
