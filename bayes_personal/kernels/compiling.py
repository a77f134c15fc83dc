"""How functions are compiled: once, kept on disk, without the interpreter's lock.

What is kept is code that runs when it is read. It is read only from a folder and a file that belong to this user or to
the system's administrator and that nobody else may write to, and only where its checksum says that it is whole.
Whatever goes wrong costs the time of compiling again, and one warning.
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

# Numba makes its settings when it is imported, so that no checker of types knows them.
config: Any = settings
# Sums may be taken in any order, so that they use the processor's vectors; what is not finite stays so.
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract"}}
HERE = files(__package__)
DIGEST = sha256().digest_size
VERSIONS = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile at the first call, or read what an earlier process compiled."""
    dispatcher: Any = njit(**OPTIONS, **options)(function)
    # Numba's own cache trusts whatever lies in its folder, and raises where that cannot be read or written.
    dispatcher._cache = Kept(function)
    return dispatcher


def inlined(function: Callable[..., Any]) -> Any:
    """For functions that only compiled functions call: nothing is made for Python to call them by."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Kept(NullCache):
    """What was compiled of a function, a file for every signature and processor, as Numba asks for it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def cache_path(self) -> str | None:
        """The folder; None where nothing is kept."""
        found = folder()
        return None if found is None else str(found)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Read what was compiled for a signature; None where there is nothing that can be trusted."""
        target_context.refresh()
        content = read(self._name(sig, target_context.codegen()))
        return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature."""
        if not data.lifted and not data.library.has_dynamic_globals:
            write(self._name(sig, data.codegen), dumps(data._reduce()))

    def _name(self, signature: Any, codegen: Any) -> str:
        function = self.function
        source = linecache.getlines(inspect.getfile(function), function.__globals__)
        key = function.__qualname__, function.__code__.co_firstlineno, signature, codegen.magic_tuple(), source
        return f"{function.__module__.split('.')[-1]}.{function.__name__}-{sha256(repr(key).encode()).hexdigest()[:32]}"


def state() -> str:
    """A number that changes with any file of this folder, and with the versions of what compiles it.

    A compiled function holds the code of those that it calls, which may stand in other files.
    """
    sources = sorted((each.name, each.read_bytes()) for each in HERE.iterdir() if each.name.endswith(".py"))
    return sha256(b"".join((repr(VERSIONS).encode(), *(content for _, content in sources)))).hexdigest()[:16]


@cache
def folder() -> Path | None:
    """Where compiled functions are kept: the first folder that this user alone can write to.

    It lies in NUMBA_CACHE_DIR where that is set, or else beside this file or in the user's own cache.
    """
    beside = [HERE / "__pycache__"] if isinstance(HERE, Path) else []
    places = [Path(config.CACHE_DIR)] if config.CACHE_DIR else beside
    refused, now = [], state()
    for place in (*places, Path(AppDirs("bayes-personal", appauthor=False).user_cache_dir)):
        result = place.absolute() / f"compiled-{now}"
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


def must_be_own(found: os.stat_result, path: Path) -> None:
    """Refuse a file or folder that another user made or may write to."""
    if hasattr(os, "geteuid") and (found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022):
        raise PermissionError(f"{str(path)!r} is, or can be, written by other users")


def read(name: str) -> bytes | None:
    """What `write` wrote, as far as it is whole and nobody else can have written it."""
    home = folder()
    if home is None:
        return None
    path = home / name
    try:
        must_be_own(os.lstat(home), home)
        with open(path, "rb", opener=_without_links) as file:
            must_be_own(found := os.fstat(file.fileno()), path)
            content = file.read() if stat.S_ISREG(found.st_mode) else b""
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
    """Keep some bytes with their checksum."""
    home = folder()
    if home is None:
        return
    try:
        must_be_own(os.lstat(home), home)
        write_whole(home / name, sha256(content).digest(), content, mode=PRIVATE)
    except (OSError, FileError) as error:
        tell(str(error))


@cache
def told() -> list[str]:
    """What this process was warned of; one warning is enough."""
    return []


def tell(reason: str) -> None:
    """Say once that functions are compiled again, and why."""
    if not told():
        told().append(reason)
        warn(f"Compiled functions cannot be kept, or not be read: {reason}. Results are the same; functions "
             "are compiled anew, which takes up to a minute in every process. Set NUMBA_CACHE_DIR to a folder "
             "that only you can write to.", CacheWarning)
