"""Posteriors of rows in files: fitted, summed on a cluster, saved and loaded; memory does not grow with the rows."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import xarray as xr
from out_of_core import FILES, ROWS, every_kind, save

import bayes_personal as bp
from bayes_personal.data import files
from bayes_personal.data.stored import OnDisk
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import FileError, InputError, InputTypeError, SpecificationError

# Without hyperparameters draws are exact: they follow from sums over the rows and the seed.
EXACT = bp.Model("y ~ x + kind", prior=bp.Conditional("label", on="Intercept"), family=bp.Normal(sd="se"))
QUICK = bp.NUTS(draws=25, chains=1)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return every_kind()


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(frame, tmp_path_factory.mktemp("rows") / "table")


@pytest.fixture
def own(frame: pd.DataFrame, tmp_path: Path) -> Path:
    """Files that a test may change."""
    return save(frame, tmp_path / "table")


def assert_same_draws(left: xr.DataTree, right: xr.DataTree) -> None:
    one, other = left["posterior"].to_dataset(), right["posterior"].to_dataset()
    assert set(one.data_vars) == set(other.data_vars)
    for name, values in one.data_vars.items():
        scale = float(np.abs(values).max())
        np.testing.assert_allclose(other[name], values, rtol=1e-9, atol=1e-9 * scale, err_msg=str(name))


def test_the_posterior_is_that_of_the_frame(frame: pd.DataFrame, folder: Path) -> None:
    held = bp.fit(EXACT, frame, seed=3, method=QUICK, progress=False)
    stored = bp.fit(EXACT, folder, seed=3, method=QUICK, progress=False)
    assert_same_draws(held.tree, stored.tree)
    assert "observed_data" in held.tree and "observed_data" not in stored.tree
    rows = frame.iloc[[0, 12, -1]]
    np.testing.assert_allclose(bp.predict(stored, rows).draws, bp.predict(held, rows).draws, rtol=1e-9)


@pytest.mark.parametrize("method", [bp.NUTS(draws=50, chains=2), bp.Laplace(draws=100, proposals=1024)])
@pytest.mark.filterwarnings("ignore::bayes_personal.errors.ConvergenceWarning")
def test_hyperparameters_are_sampled_from_sums_over_files(method: Any, folder: Path) -> None:
    """The slope's function of c is 1 + sin(c / 9): its standard deviation over uniform c is found."""
    model = bp.Model("y ~ x", prior=bp.GaussianProcess("c", on="x"))
    posterior = bp.fit(model, folder, seed=3, method=method, progress=False)
    truth = np.sin(np.linspace(20, 80, 100_001) / 9).std()
    found = posterior.tree["posterior"]["gp_c_scale"].to_numpy()
    assert 0.3 * truth < found.mean() < 3 * truth
    slope = bp.predict(posterior, pd.DataFrame({"x": [0.0] * 3, "c": [30.0, 45.0, 70.0]}), kind="theta")
    mean, sd = (getattr(slope.draws.sel(coefficient="x"), name)(["chain", "draw"]) for name in ("mean", "std"))
    assert (abs(mean - (1 + np.sin(np.array([30, 45, 70]) / 9))) < 5 * sd).all() and (sd < 0.05).all()


class Recorded:
    """A client that does at once what it is told, and keeps what that was."""

    def __init__(self) -> None:
        self.done: list[tuple[Callable, tuple]] = []
        self.status = "running"

    def submit(self, function: Callable, *arguments: Any, pure: bool) -> Any:
        assert not pure
        self.done.append((function, arguments))
        # As on the wire.
        return function(*pickle.loads(pickle.dumps(arguments)))

    def gather(self, result: Any) -> Any:
        return result


MANY = bp.Model("y ~ x + near", prior=bp.PartialPooling("label") + bp.GaussianProcess("c", on="x"))


def assert_same_sums(left: Any, right: Any) -> None:
    for each in fields(left):
        np.testing.assert_allclose(getattr(right, each.name), getattr(left, each.name), rtol=1e-10, atol=1e-13 * ROWS,
                                   err_msg=each.name)


@pytest.mark.parametrize("part", [1, 5000, 25_000, 10 * ROWS])
def test_parts_are_whole_row_groups_and_together_all_rows(part: int, frame: pd.DataFrame, folder: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", part)
    rows = bp.Model("y ~ x").bind(folder).rows
    assert isinstance(rows, OnDisk)
    parts = list(rows.files.parts())
    assert [each.start for each in parts] == list(np.cumsum([0, *(len(each) for each in parts[:-1])]))
    assert sum(map(len, parts)) == ROWS and all(len(each) >= part for each in parts[:-1])
    edges = {edge for start, stop, size in FILES for edge in (*range(start, stop, size), stop)}
    assert {each.start for each in parts} <= edges
    assert {each.start for each in parts} == edges - {ROWS} or part > 1
    np.testing.assert_array_equal(pd.concat([each["x"] for each in parts]), frame["x"])


def test_tasks_of_a_cluster_are_parts_added_in_pairs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART", 20_000)
    client = Recorded()
    bound = MANY.bind(folder, client=client)
    serial, found = GaussianDensity(MANY.bind(folder)).statistics, GaussianDensity(bound).statistics
    assert_same_sums(serial, found)
    assert [function.__name__ for function, _ in client.done] == ["identity"] + ["sum_of_part"] * 3 + ["add"] * 2
    # The first two parts are added, and then the third.
    assert [sum_.count for _, pair in client.done[-2:] for sum_ in pair] == [20_937, 29_075, 50_012, 19_989]
    assert max(len(pickle.dumps(arguments[1])) for _, arguments in client.done[1:4]) < 20_000


def test_a_dask_cluster_finds_the_same_sums(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(files, "PART", 15_000)
    serial = bp.fit(EXACT, folder, seed=3, method=QUICK, progress=False)
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        found = GaussianDensity(MANY.bind(folder, client=client)).statistics
        assert_same_sums(GaussianDensity(MANY.bind(folder)).statistics, found)
        posterior = bp.fit(EXACT, folder, seed=3, method=QUICK, progress=False, client=client)
    assert_same_draws(serial.tree, posterior.tree)


def test_what_goes_wrong_in_a_task_is_said(own: Path) -> None:
    bound = MANY.bind(own, client=Recorded())
    (own / "part_1.parquet").unlink()
    with pytest.raises(InputError, match="part_1.parquet"):
        _ = GaussianDensity(bound).statistics


def test_a_client_is_for_rows_in_files(frame: pd.DataFrame, folder: Path) -> None:
    with pytest.raises(SpecificationError, match="in memory"):
        bp.fit(EXACT, frame, client=Recorded(), progress=False)
    closed = Recorded()
    closed.status = "closed"
    with pytest.raises(InputError, match="is closed. Make a new dask.distributed.Client"):
        bp.fit(EXACT, folder, client=closed, progress=False)
    assert not closed.done
    with pytest.raises(InputTypeError, match="must be a dask.distributed.Client"):
        bp.fit(EXACT, folder, client="tcp://scheduler:8786", progress=False)


@pytest.fixture
def saved(own: Path, tmp_path: Path) -> Iterator[bp.Posterior]:
    posterior = bp.fit(EXACT, own, seed=3, method=QUICK, progress=False)
    posterior.save(tmp_path / "posterior.nc")
    yield posterior


def test_a_saved_posterior_finds_its_files(saved: bp.Posterior, frame: pd.DataFrame, tmp_path: Path) -> None:
    again = bp.load(tmp_path / "posterior.nc")
    assert repr(again) == repr(saved) and isinstance(again.bound.rows, OnDisk)
    assert_same_draws(saved.tree, again.tree)
    assert again.bound.design.center.tolist() == saved.bound.design.center.tolist()
    np.testing.assert_array_equal(bp.predict(again, frame.iloc[:9], kind="theta").draws,
                                  bp.predict(saved, frame.iloc[:9], kind="theta").draws)
    # Where the rows are, and none of them.
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as tree:
        layout = json.loads(tree.attrs["bayes_personal_layout"])["files"]
        assert not [group for group in tree.groups if "frame" in group or "observed" in group]
    assert [file["path"] for file in layout["files"]] == [str(tmp_path / "table" / f"part_{k}.parquet")
                                                          for k in range(3)]
    assert [file["rows"] for file in layout["files"]] == [stop - start for start, stop, _ in FILES]
    assert set(layout["files"][0]["types"]) == {"y", "x", "kind", "label", "se"}


def test_a_saved_posterior_keeps_what_folders_say(frame: pd.DataFrame, tmp_path: Path) -> None:
    pq.write_to_dataset(pa.Table.from_pandas(frame[["y", "x", "label", "site"]]), tmp_path / "hive",
                        partition_cols=["site", "label"])
    model = bp.Model("y ~ x", prior=bp.Conditional("site", on="Intercept") + bp.Conditional("label", on="x"))
    posterior = bp.fit(model, tmp_path / "hive", seed=1, method=QUICK, progress=False)
    posterior.save(tmp_path / "posterior.nc")
    again = bp.load(tmp_path / "posterior.nc").bound
    assert_same_sums(GaussianDensity(posterior.bound).statistics, GaussianDensity(again).statistics)


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def _relabelled(table: pa.Table) -> pa.Table:
    """Two groups of almost the same size exchanged: no sum over the rows tells."""
    labels = table["label"].to_pandas().map({"a": "b", "b": "a"}).fillna(table["label"].to_pandas())
    return table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels))


CHANGES = {
    r"1 of 3 files .* are gone: '.*part_2.parquet'": lambda path: path.unlink(),
    r"part_2.parquet' has changed: its rows are 39998, and were 40000": lambda path: _rewrite(path, lambda t: t[1:-1]),
    r"part_2.parquet' has changed: its types are .*'x': 'float'.* and were .*'x': 'double'": lambda path: _rewrite(
        path, lambda t: t.set_column(t.schema.get_field_index("x"), "x", t["x"].cast(pa.float32()))),
    r"part_2.parquet' has changed: its types are": lambda path: _rewrite(path, lambda t: t.drop_columns("se")),
    r"The values of 'x', or the order of the rows, have changed in .*part_0.*Bring": lambda path: _rewrite(
        path, lambda t: t.set_column(t.schema.get_field_index("x"), "x", pa.compute.multiply(t["x"], 1.001))),
    r"The values of 'y', or the order": lambda path: _rewrite(
        path, lambda t: t.set_column(t.schema.get_field_index("y"), "y", pa.compute.multiply(t["y"], 1.001))),
    r"The values of 'y', 'x', 'kind', 'se', 'label', or the order": lambda path: _rewrite(
        path, lambda t: t.take(np.random.default_rng(0).permutation(len(t)))),
    r"The values of 'label', or the order": lambda path: _rewrite(path, _relabelled),
    r"part_2.parquet": lambda path: path.write_bytes(path.read_bytes()[:5000]),
}


@pytest.mark.parametrize("words", CHANGES)
def test_files_that_changed_are_not_taken_for_the_training_rows(words: str, saved: bp.Posterior, own: Path,
                                                                tmp_path: Path) -> None:
    CHANGES[words](own / "part_2.parquet")
    with pytest.raises(FileError, match=words):
        bp.load(tmp_path / "posterior.nc")


def test_files_elsewhere_are_not_saved(folder: Path, tmp_path: Path) -> None:
    elsewhere = pa.fs.SubTreeFileSystem(str(folder), pa.fs.LocalFileSystem())
    dataset = ds.dataset("", filesystem=elsewhere, format="parquet")
    posterior = bp.fit(EXACT, dataset, seed=3, method=QUICK, progress=False)
    with pytest.raises(SpecificationError, match="file system of type subtree"):
        posterior.save(tmp_path / "posterior.nc")


def test_progress_is_shown_of_rows(folder: Path, capfd: pytest.CaptureFixture[str],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(files.Progress, "advance", lambda bar, task, rows: seen.append(bar.disable or rows))
    bp.fit(EXACT, folder, method=QUICK, progress=False)
    assert set(seen) == {True}
    seen.clear()
    MANY.bind(folder, progress=True)
    assert sum(rows for rows in seen if rows is not True) >= ROWS


# Peaks of NumPy's and of Arrow's memory, in bytes, while files of several sizes are bound and summed over.
MEMORY = """
import sys, tracemalloc
import pyarrow as pa
import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity

for path in sys.argv[1:]:
    for prior in (bp.Population(), bp.GaussianProcess("c", on="x1")):
        tracemalloc.start()
        GaussianDensity(bp.Model("y ~ x1 + x2", prior=prior).bind(path)).statistics
        print(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(pa.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_memory_does_not_grow_with_the_rows(kind: str, tmp_path: Path) -> None:
    """Beyond one context column, 8 bytes a row; Arrow holds a few row groups."""
    rng, rows, paths = np.random.default_rng(9), 100_000, []
    group = pa.table({name: rng.normal(size=rows) for name in ("y", "x1", "x2", "c")})
    for groups in (1, 5, 25):
        paths.append(str(tmp_path / f"{groups}.{kind}"))
        with (pq.ParquetWriter(paths[-1], group.schema, compression="none") if kind == "parquet"
              else pa.ipc.new_file(paths[-1], group.schema)) as writer:
            for _ in range(groups):
                writer.write_table(group, rows if kind == "parquet" else 10_000)
    found = subprocess.run([sys.executable, "-c", MEMORY, *paths], capture_output=True, text=True, check=True)
    # The first file only fills the caches of libraries.
    peaks = np.reshape([int(line) for line in found.stdout.split()], (3, 3))[1:]
    without, context, arrow = peaks[1] - peaks[0]
    column, table = 8 * rows, 4 * 8 * rows
    assert without < column / 2 and context < 20 * column * 1.1
    # How many row groups Arrow has read ahead depends on its threads; whole, the larger file has twenty more.
    assert arrow < 4 * table and peaks[1, 2] < 10 * table
