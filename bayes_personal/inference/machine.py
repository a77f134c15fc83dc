"""How functions are compiled: once, kept on disk, without the interpreter's lock."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit

# Sums may be taken in any order, so that they use the processor's vectors; what is not finite stays so.
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
HERE = Path(__file__).parent
FILES = ("machine", "lapack", "tape", "elimination", "kernel", "elementary", "segment_factors", "partition_sums",
         "partition_left_out", "tree_sums", "sparse")


def _kept() -> str:
    """Where compiled functions are kept: a folder for every state of the files they are made of.

    Numba notices that the file of a function has changed, but not those of the functions that it calls.
    """
    state = sha256(b"".join((HERE / f"{name}.py").read_bytes() for name in FILES))
    return str(Path(config.CACHE_DIR or HERE / "__pycache__") / f"compiled-{state.hexdigest()[:16]}")


KEPT = _kept()


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile at the first call, or read what an earlier process compiled."""
    before, config.CACHE_DIR = config.CACHE_DIR, KEPT
    try:
        return njit(**OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = before


def inlined(function: Callable[..., Any]) -> Any:
    """For functions that only compiled functions call: nothing is made for Python to call them by."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)
