"""SciPy's LAPACK for compiled functions.

Bound by name, not by address: a compiled function that is kept on disk must not hold this process's addresses.
"""

import llvmlite.binding as llvm
import numpy as np
from numba import njit, types
from numba.extending import get_cython_function_address


def _routine(module: str, name: str, arguments: int) -> types.ExternalFunction:
    """A Fortran routine, all of whose arguments are pointers."""
    symbol = f"bayes_personal_{name}"
    llvm.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*[types.intp] * arguments))


_dpotrf = _routine("cython_lapack", "dpotrf", 5)
_dtrtri = _routine("cython_lapack", "dtrtri", 6)

UPPER, PLAIN = ord("U"), ord("N")


@njit(cache=True, nogil=True)
def _letter(code):
    result = np.empty(1, np.uint8)
    result[0] = code
    return result


@njit(cache=True, nogil=True)
def cholesky(matrix):
    """L of a C-ordered symmetric matrix in its lower triangle, in place; False where it is not positive definite."""
    # Fortran sees the transpose: the lower triangle is its upper one.
    numbers = np.array([len(matrix), 0], np.int32)
    upper = _letter(UPPER)
    _dpotrf(upper.ctypes.data, numbers[0:].ctypes.data, matrix.ctypes.data, numbers[0:].ctypes.data,
            numbers[1:].ctypes.data)
    # Used after the call, or it may be freed before.
    return numbers[1] == 0 and upper[0] == UPPER


@njit(cache=True, nogil=True)
def invert(lower):
    """L^-1 of a C-ordered lower triangle, in place, what lies above the diagonal left alone; False where singular."""
    numbers = np.array([len(lower), 0], np.int32)
    upper, plain = _letter(UPPER), _letter(PLAIN)
    _dtrtri(upper.ctypes.data, plain.ctypes.data, numbers[0:].ctypes.data, lower.ctypes.data, numbers[0:].ctypes.data,
            numbers[1:].ctypes.data)
    return numbers[1] == 0 and upper[0] == UPPER and plain[0] == PLAIN
