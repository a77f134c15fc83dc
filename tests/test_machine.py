"""Compiled functions on disk: whatever goes wrong costs time and one warning, and nobody else's code is run."""

import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from numba import config

from bayes_personal.errors import CacheWarning
from bayes_personal.kernels import compiling
from bayes_personal.kernels.compiling import compiled


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own that NUMBA_CACHE_DIR names, as a fresh process finds it."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget() -> None:
    """What a new process has not seen yet."""
    compiling.folder.cache_clear()
    compiling.warnings_given.cache_clear()


def double(x: float) -> float:
    return 2 * x


def run() -> tuple[bool, list[str]]:
    """Whether a new process would read what was kept, and its warnings; the value is right in any case."""
    forget()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function = compiled(double)
        assert function(4.0) == 8.0
    assert {each.category for each in caught} <= {CacheWarning}
    return sum(function.stats.cache_hits.values()) == 1, [str(each.message) for each in caught]


def kept(cache: Path) -> Path:
    (path,) = [path for path in cache.rglob("*") if path.is_file()]
    return path


def test_what_was_compiled_is_read(cache: Path) -> None:
    assert run() == (False, [])
    assert run() == (True, [])
    home = kept(cache).parent
    assert home == compiling.folder() and home.stat().st_mode & 0o777 == 0o700
    assert kept(cache).stat().st_mode & 0o777 == 0o600


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"", "cut": lambda content: content[: len(content) // 2],
    "a byte": lambda content: content[:999] + bytes([content[999] ^ 255]) + content[1000:],
    "the checksum": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_damaged_file_is_compiled_anew_and_mended(how: str, cache: Path) -> None:
    run()
    path = kept(cache)
    path.write_bytes(SPOILED[how](path.read_bytes()))
    hit, (words,) = run()
    assert not hit and path.name in words and "is damaged" in words and "NUMBA_CACHE_DIR" in words
    assert run() == (True, [])


def test_where_no_folder_can_be_written_nothing_is_kept(cache: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("a file where the folder should be")
    hit, (words,) = run()
    assert not hit and str(cache) in words and f"they are kept in '{tmp_path / 'home'}" in words
    assert run()[0]
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "home").write_text("another")
    hit, (words,) = run()
    assert not hit and str(cache) in words and str(tmp_path / "home") in words and compiling.folder() is None


def test_a_folder_that_cannot_be_written_to(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(compiling.os, "access", lambda path, mode: not str(path).startswith(str(cache)))
    hit, (words,) = run()
    assert not hit and f"{str(kept(cache).parent)!r} cannot be written to" in words


def test_a_full_disk(cache: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        hit, (words,) = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not hit and "too large" in words
    assert not [path for path in cache.rglob("*") if path.is_file()]


class Command:
    """What makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file or folder another user's."""
    if os.geteuid() == 0:
        os.chown(path, 4321, 4321)
    else:
        monkeypatch.setattr(compiling.os, "geteuid", lambda: 4321)


POISONED: dict[str, Callable[[Path, pytest.MonkeyPatch], Any]] = {
    "a folder that all may write to": lambda path, patch: path.parent.chmod(0o777),
    "a folder that the group may write to": lambda path, patch: path.parent.chmod(0o770),
    "a file that all may write to": lambda path, patch: path.chmod(0o666),
    "another user's folder": lambda path, patch: another_user(path.parent, patch),
    "another user's file": lambda path, patch: another_user(path, patch),
}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner in this sense")
@pytest.mark.parametrize("how", POISONED)
def test_code_that_another_user_could_have_written_is_not_run(how: str, cache: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    path, mark = kept(cache), tmp_path / "ran"
    content = pickle.dumps(Command(mark))
    path.write_bytes(sha256(content).digest() + content)
    with monkeypatch.context() as patch:
        POISONED[how](path, patch)
        hit, (words,) = run()
    assert not hit and "is, or can be, written by other users" in words and str(path.parent) in words
    assert not mark.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_is_not_read(make: Callable[[Path], None], cache: Path) -> None:
    run()
    path = kept(cache)
    path.unlink()
    make(path)
    hit, (words,) = run()
    assert not hit and path.name in words


def test_the_package_runs_from_a_zip(cache: Path, tmp_path: Path) -> None:
    root = Path(compiling.__file__).parents[2]
    shutil.make_archive(str(tmp_path / "package"), "zip", root, "bayes_personal")
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path / "package.zip")!r})
import numpy as np
import bayes_personal as bp
from bayes_personal.kernels.lapack import cholesky
from bayes_personal.kernels.compiling import folder
from bayes_personal.pages.contents import environment
assert "package.zip" in bp.__file__ and cholesky(np.eye(3)) and len(bp.load_dataset("sleepstudy")) == 180
environment().get_template("report.html")
print(folder(), sum(cholesky.stats.cache_hits.values()))
"""
    for hits in (0, 1):
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False,
                               cwd=tmp_path, env=os.environ | {"NUMBA_CACHE_DIR": str(cache)})
        assert found.returncode == 0, found.stderr
        assert found.stdout.split() == [str(cache / f"compiled-{compiling.state()}"), str(hits)] and not found.stderr
