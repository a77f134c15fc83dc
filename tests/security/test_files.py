"""Saved files that somebody made to read other files, to fill the memory, or to run code: all of them are refused.

Each carries the right checksum, as whoever can change a file can also make that. They are refused before memory is
asked for, and nothing outside of them is read.
"""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest

import bayes_personal as bp
from bayes_personal.errors import FileError
from bayes_personal.system.sealing import LENGTH, seal

PRIVATE = b"the private key of somebody else"
HUGE = 3 * 10**9


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model = bp.Model("reaction ~ days", bp.PartialPooling("subject"))
    posterior = bp.fit(model, bp.load_dataset("sleepstudy"), seed=1, progress=False,
                       method=bp.NUTS(draws=10, tune=20, chains=1))
    posterior.save(folder / "posterior.nc")
    return folder / "posterior.nc"


@pytest.fixture
def crafted(saved: Path, tmp_path: Path) -> Path:
    (tmp_path / "private").write_bytes(PRIVATE)
    with h5py.File(tmp_path / "private.h5", "w") as file:
        file["key"] = np.frombuffer(PRIVATE, "u1")
    shutil.copy(saved, tmp_path / "crafted.nc")
    return tmp_path / "crafted.nc"


def external(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("key", (len(PRIVATE),), "u1", external=[(str(folder / "private"), 0, 99)])


def external_rows(file: h5py.File, folder: Path) -> None:
    del file["bayes_personal_frame"]["0"]
    file["bayes_personal_frame"].create_dataset("0", (len(PRIVATE),), "u1", external=[(str(folder / "private"), 0, 99)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((len(PRIVATE),), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "private.h5"), "key", (len(PRIVATE),))
    file["posterior"].create_virtual_dataset("key", layout)


def linked_variable(file: h5py.File, folder: Path) -> None:
    file["posterior"]["key"] = h5py.ExternalLink(str(folder / "private.h5"), "key")


def linked_group(file: h5py.File, folder: Path) -> None:
    file["warmup"] = h5py.ExternalLink(str(folder / "private.h5"), "/")


def soft_link(file: h5py.File, folder: Path) -> None:
    file["posterior"]["again"] = h5py.SoftLink("/posterior/sigma")


def hard_link(file: h5py.File, folder: Path) -> None:
    for place in range(1000):
        file["posterior"][f"again_{place}"] = file["posterior"]["subject_z"]


def circle(file: h5py.File, folder: Path) -> None:
    file["posterior"]["inner"] = file["posterior"]


def circle_through_the_root(file: h5py.File, folder: Path) -> None:
    file["posterior"]["inner"] = file["/"]


def unwritten_chunks(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("zeros", (HUGE,), "f8", chunks=(2**16,))


def unwritten(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("zeros", (HUGE,), "f8")


def packed(file: h5py.File, folder: Path) -> None:
    zeros = file["posterior"].create_dataset("zeros", (HUGE,), "f8", chunks=(2**20,), compression="gzip")
    zeros[0] = 1.0


def packed_whole(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("zeros", data=np.zeros(10**7), chunks=(10**7,), compression="gzip")


def unwritten_text(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("labels", (HUGE,), h5py.string_dtype())


def repeated_text(file: h5py.File, folder: Path) -> None:
    """One long text, referred to 50 000 times."""
    labels = file["posterior"].create_dataset("labels", (50_000,), h5py.string_dtype())
    labels[0] = "a" * 10**6
    file.flush()
    place = labels.id.get_offset()
    with open(file.filename, "rb+") as raw:
        raw.seek(place)
        reference = raw.read(16)
        raw.seek(place)
        raw.write(reference * 50_000)


def repeated_text_in_an_attribute(file: h5py.File, folder: Path) -> None:
    file["posterior"].attrs.create("notes", ["a" * 1000] * 1000, dtype=h5py.string_dtype())


def object_of_an_attribute(file: h5py.File, folder: Path) -> None:
    lists = np.empty(1, dtype=object)
    lists[0] = np.arange(3)
    file["posterior"].attrs.create("lists", lists, dtype=h5py.vlen_dtype("i8"))


def lists(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("lists", (3,), h5py.vlen_dtype("i8"))


def reference(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("other", data=file["sample_stats"].ref, dtype=h5py.ref_dtype)


def wide(file: h5py.File, folder: Path) -> None:
    file["posterior"].create_dataset("wide", (10,), np.dtype(f"S{HUGE // 2}"))


def a_type(file: h5py.File, folder: Path) -> None:
    file["posterior"]["type"] = np.dtype("f8")


def rows_from(content: Callable[[], bytes]) -> Callable[[h5py.File, Path], None]:
    """Training rows whose first column is another Arrow stream."""
    def change(file: h5py.File, folder: Path) -> None:
        group = file["bayes_personal_frame"]
        del group["0"]
        group.create_dataset("0", data=np.frombuffer(content(), "u1"))
    return change


def zeros() -> pa.Array:
    return pa.array(np.zeros(2 * 10**7))


def nothing(count: int) -> pa.Array:
    return pa.NullArray.from_buffers(pa.null(), count, [None])


def stream(array: pa.Array, **options: Any) -> bytes:
    sink, batch = pa.BufferOutputStream(), pa.record_batch([array], names=["values"])
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def dtype(name: str) -> Callable[[h5py.File, Path], None]:
    """Training rows whose first column is said to be of another type."""
    def change(file: h5py.File, folder: Path) -> None:
        layout = file.attrs["bayes_personal_layout"]
        assert '"dtypes": ["float64"' in layout
        file.attrs["bayes_personal_layout"] = layout.replace('"dtypes": ["float64"', f'"dtypes": ["{name}"')
    return change


class Command:
    """What runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


MARKER = Path("/tmp") / f"bayes_personal_ran_{os.getpid()}"

FILES: dict[str, Callable[[h5py.File, Path], None]] = {each.__name__: each for each in (
    external, external_rows, virtual, linked_variable, linked_group, soft_link, hard_link, circle,
    circle_through_the_root, unwritten_chunks, unwritten, packed, packed_whole, unwritten_text, repeated_text,
    repeated_text_in_an_attribute, object_of_an_attribute, lists, reference, wide, a_type)} | {
    "rows packed by zstd": rows_from(lambda: stream(zeros(), compression="zstd")),
    "rows packed by lz4": rows_from(lambda: stream(zeros(), compression="lz4")),
    "rows packed as categories": rows_from(lambda: stream(zeros().dictionary_encode(), compression="zstd")),
    "rows of nothing": rows_from(lambda: stream(nothing(2**31 - 1))),
    "rows of runs": rows_from(lambda: stream(pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 1]),
                                                                               pa.array([1.0])))),
    "rows of lists": rows_from(lambda: stream(pa.ListArray.from_arrays(pa.array([0, 2**31 - 1], pa.int32()),
                                                                       nothing(2**31 - 1)))),
    "rows that are a pickle": rows_from(lambda: pickle.dumps(Command())),
    "rows as wide text": dtype("U100000000"),
    "rows in a time zone of a file": dtype("datetime64[ns, dateutil//etc/localtime]"),
}

# Peak of this process's memory in MB while a file is loaded, beyond what it takes to import the package.
LOAD = """
import resource, sys
import bayes_personal as bp
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
bp.load(sys.argv[1])
before = peak()
for path in sys.argv[2:]:
    try:
        bp.load(path)
        print("loaded", path)
    except bp.errors.FileError as error:
        print("refused", path, int(peak() - before), error)
"""


def craft(change: Callable[[h5py.File, Path], None], path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-LENGTH])
    with h5py.File(path, "r+") as file:
        change(file, path.parent)
    content = path.read_bytes()
    path.write_bytes(content + seal(content))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that are opened, and the commands that are run."""
    seen: list[str] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if active and event in ("open", "exec", "os.system", "subprocess.Popen", "pickle.find_class", "socket.connect"):
            seen.append(f"{event} {arguments[0]!r}")

    sys.addaudithook(audit)
    active = [True]
    yield seen
    active.clear()


@pytest.mark.parametrize("kind", FILES)
def test_a_crafted_file_is_refused(kind: str, crafted: Path, opened: list[str]) -> None:
    craft(FILES[kind], crafted)
    opened.clear()
    with pytest.raises(FileError, match="crafted.nc") as caught:
        bp.load(crafted)
    assert PRIVATE.decode() not in str(caught.value) and len(str(caught.value)) < 1000
    assert not [each for each in opened if each != f"open {str(crafted)!r}" and ".py" not in each], opened
    assert not MARKER.exists()


def test_the_files_are_refused_for_what_was_done_to_them(crafted: Path) -> None:
    """A file that is opened and sealed again, and no more, is read."""
    craft(lambda file, folder: None, crafted)
    assert len(bp.load(crafted).bound.rows) == 180


@pytest.mark.skipif(sys.platform == "win32", reason="peaks of memory are read from the resource module")
def test_refusals_take_no_memory(saved: Path, tmp_path: Path) -> None:
    paths = []
    for place, change in enumerate(FILES.values()):
        paths.append(tmp_path / f"{place}.nc")
        shutil.copy(saved, paths[-1])
        (tmp_path / "private").write_bytes(PRIVATE)
        craft(change, paths[-1])
    found = subprocess.run([sys.executable, "-c", LOAD, saved, *paths], capture_output=True, text=True, check=True)
    said = [line.split() for line in found.stdout.splitlines() if line.startswith(("loaded", "refused"))]
    assert [word for word, *_ in said] == ["refused"] * len(FILES)
    grown = dict(zip(FILES, (int(line[2]) for line in said), strict=True))
    assert max(grown.values()) < 60, grown
