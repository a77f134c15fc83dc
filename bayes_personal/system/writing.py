"""The only writer of files: a new file appears complete or not at all, and an old one of its name stays until then."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from bayes_personal.errors import FileError

# The lock only protects open files from deletion, and Windows refuses to delete those anyway.
if sys.platform != "win32":
    import fcntl

PARTIAL = (".bayes_personal-", ".partial")
# Permissions of a new file: for its owner alone, or as the process's umask allows.
PRIVATE, SHARED = 0o600, 0o666


def write_whole(path: str | os.PathLike[str], *content: bytes | memoryview, mode: int = SHARED) -> Path:
    """Write a file completely or not at all, and return its path.

    The content goes to a partial file in the same folder, which is renamed once it is complete on the disk. A symbolic
    link is followed. Partial files that killed processes left in the folder are removed.

    Parameters
    ----------
    path
        Path of the file.
    *content
        Content of the file, one part after the other.
    mode
        Permissions of a new file; an existing one keeps its own.

    Raises
    ------
    FileError
        A folder that does not exist, a path that cannot be written or is not a regular file, a full disk.
    """
    target = writable(path)
    _clean(target.parent)
    with _failures(path, sum(map(len, content))), _partial(target, mode) as (file, partial):
        for part in content:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
        os.replace(partial, target)
    return target


def must_be_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a path that `write_whole` would refuse, before any work is done; no file is left behind."""
    target = writable(path)
    with _failures(path, 0), _partial(target, PRIVATE):
        return


def writable(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path leads to: a regular file, or one yet to be written, in an existing folder."""
    refused, target = f"Cannot write {str(path)!r}", Path(path).expanduser()
    try:
        target = target.resolve()
        # Unlike Path.is_dir, os.path.isdir answers where a name is too long to look up.
        if not os.path.isdir(target.parent):
            raise FileError(f"{refused}: there is no folder {str(target.parent)!r}. Make it first.")
        kind = os.stat(target).st_mode
    except FileNotFoundError:
        return target
    except (OSError, RuntimeError) as error:
        raise FileError(f"{refused}: {getattr(error, 'strerror', None) or error}. Choose another name.") from error
    if stat.S_ISDIR(kind):
        raise FileError(f"{refused}: it is a folder. Give the name of a file in it.")
    if not stat.S_ISREG(kind):
        raise FileError(f"{refused}: it is a pipe, a device or a socket, no regular file, and is never replaced. Give "
                        "the name of a file.")
    return target


@contextmanager
def _failures(path: str | os.PathLike[str], size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        room = f", on a disk with room for {size:,} bytes" if size else ""
        raise FileError(f"Cannot write {str(path)!r}: {error.strerror}. Give the name of a file in a folder that you "
                        f"may write to{room}; what stood there is untouched.") from error


@contextmanager
def _partial(target: Path, mode: int) -> Iterator[tuple[BinaryIO, Path]]:
    """Open an empty file beside the target, with the target's permissions, locked while this process lives."""
    file, partial = _created(target.parent, mode)
    try:
        with file:
            _keep_permissions(partial, target)
            yield file, partial
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _created(folder: Path, mode: int) -> tuple[BinaryIO, Path]:
    while True:
        partial = folder / token_hex(8).join(PARTIAL)
        file = open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode))
        if sys.platform != "win32":
            # Not every file system has locks.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        # Another process may have removed it as a leftover before it was locked.
        if partial.exists():
            return file, partial
        file.close()


def _keep_permissions(partial: Path, target: Path) -> None:
    """Give a file the owner and mode of the file that it will replace, as far as this process may."""
    if not target.exists():
        return
    status = target.stat()
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(partial, status.st_uid, status.st_gid)
    partial.chmod(stat.S_IMODE(status.st_mode))


def _clean(folder: Path) -> None:
    """Remove the partial files that killed processes left in a folder."""
    for leftover in folder.glob("*".join(PARTIAL)):
        # A leftover that cannot be removed, such as another user's, is no reason not to write.
        with suppress(OSError):
            if sys.platform == "win32":
                leftover.unlink()
                continue
            descriptor = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                # This raises where a process that is still writing holds the lock.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(descriptor)
