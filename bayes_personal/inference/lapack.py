"""SciPy's LAPACK for compiled functions.

Bound by name, not by address: a compiled function that is kept on disk must not hold this process's addresses.
"""

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.extending import get_cython_function_address

from bayes_personal.inference.machine import compiled


def _routine(module: str, name: str, arguments: int) -> types.ExternalFunction:
    """A Fortran routine, all of whose arguments are pointers."""
    symbol = f"bayes_personal_{name}"
    llvm.add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*[types.intp] * arguments))


_dpotrf = _routine("cython_lapack", "dpotrf", 5)
_dtrtri = _routine("cython_lapack", "dtrtri", 6)

# As numbers: little-endian memory begins with the letter that Fortran reads.
UPPER, PLAIN = ord("U"), ord("N")


@compiled
def cholesky(matrix):
    """L of a C-ordered symmetric matrix in its lower triangle, in place; False where it is not positive definite."""
    # Fortran sees the transpose: the lower triangle is its upper one.
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(matrix), 0
    at = call.ctypes.data
    _dpotrf(at, at + 8, matrix.ctypes.data, at + 8, at + 12)
    # Read after the call, for memory that nothing needs any more may be freed before.
    return call[3] == 0


@compiled
def invert(lower):
    """L^-1 of a C-ordered lower triangle, in place, what lies above the diagonal left alone; False where singular."""
    call = np.empty(4, np.int32)
    call[0], call[1], call[2], call[3] = UPPER, PLAIN, len(lower), 0
    at = call.ctypes.data
    _dtrtri(at, at + 4, at + 8, lower.ctypes.data, at + 8, at + 12)
    return call[3] == 0
