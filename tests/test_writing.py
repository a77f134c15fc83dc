"""The writer of files: whole or not at all, permissions kept, and nothing replaced that is no regular file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bayes_personal.errors import FileError
from bayes_personal.system.writing import PARTIAL, PRIVATE, SHARED, must_be_writable, write_whole


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "new", b"a", mode=PRIVATE)
        write_whole(tmp_path / "page", b"a", b"b", mode=SHARED)
        assert mode(tmp_path / "new") == 0o600 and mode(tmp_path / "page") == 0o666 & ~umask
        for old in (0o600, 0o640, 0o444, 0o664):
            (tmp_path / "page").chmod(old)
            write_whole(tmp_path / "page", b"c", mode=PRIVATE)
            assert mode(tmp_path / "page") == old and (tmp_path / "page").read_bytes() == b"c"
    finally:
        os.umask(before)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    os.chown(tmp_path / "a", 4321, 4322)
    write_whole(tmp_path / "a", b"new")
    assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == (4321, 4322)


def socket(path: Path) -> None:
    import socket
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), socket, Path.mkdir,
                                  lambda path: path.symlink_to("/dev/null"), lambda path: path.symlink_to("..")])
def test_what_is_no_regular_file_is_never_replaced(make: Callable[[Path], None], tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    # A socket's path may be no longer than about 100 characters.
    monkeypatch.chdir(tmp_path)
    path = Path("odd")
    make(path)
    kind = path.stat()
    for call in (lambda: write_whole(path, b"a"), lambda: must_be_writable(path)):
        with pytest.raises(FileError, match="Cannot write 'odd': it is a"):
            call()
    assert os.path.samestat(kind, path.stat()) and os.listdir() == ["odd"]


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"a")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"a"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(FileError, match="Cannot write"):
        write_whole(tmp_path / "round", b"a")


def test_a_look_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    must_be_writable(tmp_path / "a")
    must_be_writable(tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"
    with pytest.raises(FileError, match="there is no folder '.*none'. Make it first"):
        must_be_writable(tmp_path / "none" / "a")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileError, match="Permission denied. Give the name of a file in a folder that you may write to"):
        must_be_writable(tmp_path / "a")


KILLED = """
import os, sys
from bayes_personal.system.writing import write_whole
setattr(os, sys.argv[1], lambda *arguments: os.kill(os.getpid(), 9))
write_whole(sys.argv[2], b"new " * 1000)
"""
ALIVE = """
import sys
import bayes_personal.system.writing as writing
with writing._partial(writing.Path(sys.argv[1]), 0o600) as (file, partial):
    print(partial, flush=True)
    input()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not killed by signals")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_a_killed_process_left_is_removed(step: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    (tmp_path / f"{PARTIAL[0]}mine.txt").write_text("not of this package")
    assert subprocess.run([sys.executable, "-c", KILLED, step, path], check=False).returncode == -9
    assert path.read_text() == "old" and len(os.listdir(tmp_path)) == 3
    with subprocess.Popen([sys.executable, "-c", ALIVE, path], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        working = process.stdout.readline().strip()
        write_whole(path, b"newer")
        assert path.read_text() == "newer"
        # The leftover is gone, and not what another process still writes.
        assert sorted(os.listdir(tmp_path)) == sorted(["a", f"{PARTIAL[0]}mine.txt", Path(working).name])
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()
    assert sorted(os.listdir(tmp_path)) == [f"{PARTIAL[0]}mine.txt", "a"]


def test_only_this_module_writes_files() -> None:
    """Data go to files whole or not at all because one place sees to it."""
    package = Path(__file__).parents[1] / "bayes_personal"
    words = ("write_text", "write_bytes", ".to_csv(out", ".to_parquet(out", "os.replace", '"wb"', '"w"', "mkstemp")
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py")
             if any(word in path.read_text() for word in words)}
    assert found == {"system/writing.py"}
