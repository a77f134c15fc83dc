"""How functions are compiled: once, kept on disk, without the interpreter's lock.

Reading a kept function runs its code. It is therefore read only from a folder and a file that belong to this user or to
the system's administrator and that nobody else may write to, and only where its checksum is right. Any failure costs
the time of compiling again, and one warning.
"""

import inspect
import linecache
import os
import pickle
import stat
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import config as settings
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from bayes_personal.errors import CacheWarning, FileError, warn
from bayes_personal.system.writing import PRIVATE, write_whole

# Numba creates its settings when it is imported, so type checkers do not know them.
config: Any = settings
# Sums may be taken in any order, which lets them use the processor's vectors; infinities and NaN are respected.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
SOURCES = files(__package__)
DIGEST = sha256().digest_size
VERSIONS = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function at its first call, or read the code that an earlier process compiled."""
    dispatcher: Any = njit(**OPTIONS, **options)(function)
    # Numba's own cache trusts any file in its folder, and raises where the folder cannot be read or written.
    dispatcher._cache = DiskCache(function)
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call, without wrappers that Python could call."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def spliced(function: Callable[..., Any]) -> Any:
    """Compile a function as a part of those that call it, whose arrays are then known not to overlap."""
    return njit(**OPTIONS, inline="always")(function)


class DiskCache(NullCache):
    """Numba's interface to the compiled code of a function on disk: a file for every signature and processor."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def cache_path(self) -> str | None:
        """The folder; None where no compiled code is kept."""
        path = folder()
        return None if path is None else str(path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Read the compiled code for a signature; None where no trustworthy code is on disk."""
        target_context.refresh()
        content = read(self._name(sig, target_context.codegen()))
        return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code for a signature."""
        if not data.lifted and not data.library.has_dynamic_globals:
            write(self._name(sig, data.codegen), dumps(data._reduce()))

    def _name(self, signature: Any, codegen: Any) -> str:
        function = self.function
        source = linecache.getlines(inspect.getfile(function), function.__globals__)
        key = function.__qualname__, function.__code__.co_firstlineno, signature, codegen.magic_tuple(), source
        return f"{function.__module__.split('.')[-1]}.{function.__name__}-{sha256(repr(key).encode()).hexdigest()[:32]}"


def state() -> str:
    """Return a digest that changes with any source file of this folder or `outcomes`, and with the compilers' versions.

    A compiled function contains the code of the functions that it calls, which may be in other files.
    """
    outcomes = [place for place in SOURCES.iterdir() if place.name == "outcomes"]
    sources = sorted((file.name, file.read_bytes()) for place in (SOURCES, *outcomes)
                     for file in place.iterdir() if file.name.endswith(".py"))
    return sha256(b"".join((repr(VERSIONS).encode(), *(content for _, content in sources)))).hexdigest()[:16]


@cache
def folder() -> Path | None:
    """Return the folder of compiled functions: the first one that only this user can write to.

    It lies in NUMBA_CACHE_DIR where that is set, and otherwise next to this file or in the user's own cache.
    """
    default = [SOURCES / "__pycache__"] if isinstance(SOURCES, Path) else []
    places = [Path(config.CACHE_DIR)] if config.CACHE_DIR else default
    refused, digest = [], state()
    for place in (*places, Path(AppDirs("bayes-personal", appauthor=False).user_cache_dir)):
        result = place.absolute() / f"compiled-{digest}"
        try:
            result.mkdir(mode=0o700, parents=True, exist_ok=True)
            must_be_own(os.lstat(result), result)
            if not os.access(result, os.W_OK):
                raise PermissionError(f"{str(result)!r} cannot be written to")
        except OSError as error:
            refused.append(str(error))
            continue
        if refused and config.CACHE_DIR:
            tell(f"{refused[0]}; they are kept in {str(result)!r}")
        return result
    tell("; ".join(refused))
    return None


def must_be_own(status: os.stat_result, path: Path) -> None:
    """Refuse a file or folder that another user made or may write to."""
    if hasattr(os, "geteuid") and (status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022):
        raise PermissionError(f"{str(path)!r} is, or can be, written by other users")


def read(name: str) -> bytes | None:
    """Read the bytes that `write` wrote; None where they are damaged or another user could have written them."""
    home = folder()
    if home is None:
        return None
    path = home / name
    try:
        must_be_own(os.lstat(home), home)
        with open(path, "rb", opener=_without_links) as file:
            must_be_own(status := os.fstat(file.fileno()), path)
            content = file.read() if stat.S_ISREG(status.st_mode) else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(str(error))
        return None
    if sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        tell(f"{str(path)!r} is damaged")
        return None
    return content[DIGEST:]


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def write(name: str, content: bytes) -> None:
    """Keep bytes on disk with their checksum."""
    home = folder()
    if home is None:
        return
    try:
        must_be_own(os.lstat(home), home)
        write_whole(home / name, sha256(content).digest(), content, mode=PRIVATE)
    except (OSError, FileError) as error:
        tell(str(error))


@cache
def warnings_given() -> list[str]:
    """Return the warnings that this process has issued; one is enough."""
    return []


def tell(reason: str) -> None:
    """Warn once that functions are compiled again, and say why."""
    if not warnings_given():
        warnings_given().append(reason)
        warn(f"Compiled functions cannot be kept, or not be read: {reason}. Results are the same; functions "
             "are compiled anew, which takes up to a minute in every process. Set NUMBA_CACHE_DIR to a folder "
             "that only you can write to.", CacheWarning)
