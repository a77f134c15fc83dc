"""A posterior survives as a file: the same after, or an error that says why and what to do."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import bayes_personal as bp
import bayes_personal.families
import bayes_personal.priors
from bayes_personal.errors import FileError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.posterior.fitting import load
from bayes_personal.questions.prediction import predict
from bayes_personal.system.sealing import MARK, seal

QUICK = bp.NUTS(draws=50, tune=100, chains=2)


@dataclass(frozen=True)
class Annotated(bp.Population):
    """A user's own prior, with an argument of its own."""

    note: Any = None


class Fickle(bp.Population):
    """A user's own prior that does not name the column it reads."""

    def terms(self, frame: pd.DataFrame, coefficients: Any) -> Any:
        return bp.PartialPooling("subject").terms(frame, coefficients)


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return bp.load_dataset("sleepstudy").assign(secret="never written")


@pytest.fixture(scope="module")
def posterior(sleep: pd.DataFrame) -> bp.Posterior:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
    return bp.fit(model, sleep, seed=1, progress=False, method=QUICK)


@pytest.fixture
def path(tmp_path: Path, posterior: bp.Posterior) -> Path:
    result = tmp_path / "sleep.nc"
    posterior.save(result)
    return result


def through(posterior: bp.Posterior, folder: Path) -> bp.Posterior:
    posterior.save(folder / "posterior.nc")
    return load(folder / "posterior.nc")


def with_rows(model: bp.Model, frame: pd.DataFrame, posterior: bp.Posterior) -> bp.Posterior:
    """A posterior of other rows; its draws are not theirs."""
    return bp.Posterior(model, model.bind(frame), posterior.tree)


def assert_same_tree(left: xr.DataTree, right: xr.DataTree) -> None:
    assert left.groups == right.groups
    for node in left.subtree:
        other = right[node.path]
        assert node.attrs == other.attrs and set(node.variables) == set(other.variables) and node.dims == other.dims
        for name, variable in node.variables.items():
            assert variable.identical(other.variables[name]), (node.path, name)
            assert variable.dtype == other.variables[name].dtype or variable.dtype == object


def test_everything_survives(posterior: bp.Posterior, path: Path, sleep: pd.DataFrame) -> None:
    loaded = load(path)
    assert loaded.model == posterior.model and repr(loaded) == repr(posterior)
    assert_same_tree(posterior.tree, loaded.tree)
    xr.testing.assert_identical(loaded.theta, posterior.theta)
    pd.testing.assert_frame_equal(loaded.theta_frame(), posterior.theta_frame())
    pd.testing.assert_frame_equal(loaded.bound.frame, sleep[["reaction", "days", "subject"]])
    assert loaded.diagnostics == posterior.diagnostics
    rows = sleep.head(3).assign(subject=["308", "new", "newer"], days=[0.5, 20.0, 3.0])
    for kind in ("theta", "mean", "outcome"):
        xr.testing.assert_identical(predict(loaded, rows, kind=kind, seed=3).draws,
                                    predict(posterior, rows, kind=kind, seed=3).draws)


def test_saving_changes_nothing_in_memory(posterior: bp.Posterior, tmp_path: Path) -> None:
    before = posterior.tree.copy(deep=True)
    posterior.save(tmp_path / "a.nc")
    assert_same_tree(before, posterior.tree)


def test_no_other_column_is_written(path: Path) -> None:
    assert b"308" in path.read_bytes() and b"never written" not in path.read_bytes()


def test_a_loaded_posterior_can_be_saved(posterior: bp.Posterior, path: Path, tmp_path: Path) -> None:
    assert_same_tree(through(load(path), tmp_path).tree, posterior.tree)


def test_xarray_opens_the_file(posterior: bp.Posterior, path: Path) -> None:
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        xr.testing.assert_equal(tree["posterior"].to_dataset(), posterior.tree["posterior"].to_dataset())


def test_another_process_in_another_folder(posterior: bp.Posterior, path: Path, tmp_path: Path) -> None:
    """Group labels are periods, whose Arrow type pandas registers only when it needs it."""
    model = replace(posterior.model, prior=Annotated() + bp.PartialPooling("month"))
    months = pd.period_range("2020-01", periods=18, freq="M").repeat(10)
    with_rows(model, posterior.bound.frame.assign(month=months), posterior).save(tmp_path / "own.nc")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    script = f"""
import numpy as np, bayes_personal as bp
from dataclasses import dataclass
from bayes_personal.posterior.fitting import load
np.save("theta.npy", load({str(path)!r}).theta.to_numpy())
try:
    load({str(tmp_path / "own.nc")!r})
except bp.errors.FileError as error:
    print(error)
@dataclass(frozen=True)
class Annotated(bp.Population):
    note: object = None
print(load({str(tmp_path / "own.nc")!r}).bound.frame.month.dtype)
"""
    found = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False,
                           env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert found.returncode == 0, found.stderr
    np.testing.assert_array_equal(np.load(folder / "theta.npy"), posterior.theta)
    said, dtype = found.stdout.splitlines()
    assert "own.nc" in said and "'Annotated'" in said and "import the module that defines it first" in said
    assert dtype == "period[M]"


def test_a_sum_of_priors_with_every_kind_of_context(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame = frame.assign(sex=frame["sex"].astype("category"),
                         when=pd.date_range("2020-01-01", periods=len(frame), tz="Europe/Oslo"))
    model = bp.Model("np.log(y) ~ bs(dose, df=4) + C(sex)",
                     prior=bp.PartialPooling("site", on="Intercept") + bp.GaussianProcess("age", on="Intercept")
                     + bp.LinearVarying("sex", "when", "height", basis="spline", df=4, on="Intercept"))
    posterior = bp.fit(model, frame, seed=2, progress=False, method=bp.NUTS(draws=20, tune=20, chains=2))
    loaded = through(posterior, tmp_path)
    xr.testing.assert_identical(loaded.theta, posterior.theta)
    np.testing.assert_array_equal(loaded.bound.y, posterior.bound.y)
    assert "se" not in loaded.bound.frame and "weight" not in loaded.bound.frame


LABELS = {
    "text": pd.Series(["b", "", "ü 😀"]),
    "text as objects": pd.Series(["b", "a", "c"], dtype=object),
    "python text": pd.Series(["b", "a", "c"], dtype="string[python]"),
    "arrow text": pd.Series(["b", "a", "c"], dtype="string[pyarrow]"),
    "arrow dictionary": pd.Series(["b", "a", "c"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
    "mixed": pd.Series([1, "1", 2.5], dtype=object),
    "decimals": pd.Series([Decimal("1.1"), Decimal("2"), Decimal("30")], dtype=object),
    "ordered": pd.Series(pd.Categorical(["b", "a", "c"], categories=["unused", "c", "b", "a"], ordered=True)),
    "unordered": pd.Series(pd.Categorical([3, 1, 2], categories=[9, 3, 2, 1])),
    "mixed categories": pd.Series(pd.Categorical([1, "1", None], categories=["1", 1, 0.5])).fillna(0.5),
    "intervals": pd.cut(pd.Series([1.0, 5.0, 9.0]), 3),
    "bool": pd.Series([True, False, True]),
    "boolean": pd.Series([True, False, True], dtype="boolean"),
    "Int64": pd.Series([3, 1, 2], dtype="Int64"),
    "UInt8": pd.Series([3, 1, 2], dtype="UInt8"),
    "Float32": pd.Series([3.5, 1, 2], dtype="Float32"),
    "float32": pd.Series([3.5, 1, 2], dtype="float32"),
    "int8": pd.Series([3, 1, 2], dtype="int8"),
    "sparse": pd.Series(pd.arrays.SparseArray([3, 0, 0])),
    "dates": pd.Series(pd.to_datetime(["2020-01-03", "2021-01-01", "1900-01-01"])),
    "seconds": pd.Series(pd.to_datetime(["2020-01-03", "2021-01-01", "0001-01-01"]).astype("datetime64[s]")),
    "zoned": pd.Series(pd.to_datetime(["2020-01-03", "2021-07-01", "1900-01-01"]).tz_localize("Europe/Berlin")),
    "offset": pd.Series(pd.to_datetime(["2020-01-03T00:00+02:00"] * 2 + ["2021-01-01T00:00+02:00"])),
    "time deltas": pd.Series(pd.to_timedelta([1, 2, 3], unit="h")),
    "periods": pd.Series(pd.period_range("2020-01", periods=3, freq="Q")),
    "python dates": pd.Series(pd.to_datetime(["2020-01-03", "2021-01-01", "1900-01-01"]).date, dtype=object),
}


@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
@pytest.mark.parametrize("kind", LABELS)
def test_columns_and_indices_keep_their_dtype(kind: str, posterior: bp.Posterior, tmp_path: Path) -> None:
    labels = pd.concat([LABELS[kind]] * 60, ignore_index=True)
    frame = posterior.bound.frame.assign(label=labels.set_axis(posterior.bound.frame.index))
    frame.index = pd.Index(labels, dtype=labels.dtype, name=("two", 1))
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("label"))
    fitted = with_rows(model, frame, posterior)
    rows, loaded = fitted.bound.frame[["reaction", "days", "label"]], through(fitted, tmp_path)
    pd.testing.assert_frame_equal(loaded.bound.frame, rows)
    assert list(loaded.bound.frame.dtypes) == list(rows.dtypes) and loaded.bound.frame.index.dtype == labels.dtype
    if isinstance(labels.dtype, pd.CategoricalDtype):
        for found in (loaded.bound.frame["label"], loaded.bound.frame.index.to_series()):
            assert list(found.cat.categories) == list(labels.cat.categories)
            assert found.cat.ordered == labels.cat.ordered
    assert loaded.bound.terms[0].features == fitted.bound.terms[0].features


@pytest.mark.parametrize("index", [
    pd.RangeIndex(5, 365, 2), pd.Index([1, 1, 2] * 60, name="twice"), pd.Index([None, "a", 1.5] * 60, dtype=object),
    pd.MultiIndex.from_product([list("ab"), pd.date_range("2020", periods=90, tz="UTC")], names=["days", None]),
    pd.MultiIndex.from_arrays([[1.0, np.nan, 2.0] * 60, pd.Categorical(list("abc") * 60)], names=[1, 1]),
])
def test_indices_keep_their_levels_and_names(index: pd.Index, posterior: bp.Posterior, tmp_path: Path) -> None:
    frame = posterior.bound.frame.set_axis(index)
    loaded = through(with_rows(posterior.model, frame, posterior), tmp_path)
    pd.testing.assert_frame_equal(loaded.bound.frame, frame[["reaction", "days", "subject"]])
    assert list(loaded.bound.frame.index.names) == list(index.names)


@pytest.mark.parametrize("label", [(1, 2), 1j, pd.Interval(0, 1)])
def test_columns_that_a_file_cannot_hold(label: Any, posterior: bp.Posterior, tmp_path: Path) -> None:
    labels = pd.Series([label, "b"] * 90, dtype=object, index=posterior.bound.frame.index)
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("odd"))
    with pytest.raises(InputTypeError, match="Column 'odd' holds object values such as .* file cannot hold"):
        with_rows(model, posterior.bound.frame.assign(odd=labels), posterior).save(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_a_prior_that_hides_a_column_is_found_out_when_saving(posterior: bp.Posterior, tmp_path: Path) -> None:
    posterior = with_rows(replace(posterior.model, prior=Fickle()), posterior.bound.frame, posterior)
    with pytest.raises(SpecificationError, match="'subject'.* names every column it reads in `columns`"):
        posterior.save(tmp_path / "a.nc")


@pytest.mark.parametrize("name", [" a b ", "Schüler/日本.π", "x|y:z[1]", "chain", "α\nβ", '"quoted"'])
def test_names_survive(name: str, sleep: pd.DataFrame, tmp_path: Path) -> None:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling(name, on="days"))
    frame = sleep.rename(columns={"subject": name})
    posterior = bp.fit(model, frame, seed=1, progress=False, method=bp.NUTS(draws=4, tune=4, chains=1))
    loaded = through(posterior, tmp_path)
    assert_same_tree(posterior.tree, loaded.tree)
    pd.testing.assert_frame_equal(loaded.theta_frame(), posterior.theta_frame())


def test_what_netcdf_has_no_word_for(posterior: bp.Posterior, tmp_path: Path) -> None:
    tree = posterior.tree.copy(deep=True)
    attributes = {"none": None, "yes": True, "list": ["a"], "nested": {"a": [1, None]}, "empty": "", "number": 0.1,
                  "whole": 3, "numpy": np.float64(2.5), "text": "é" * 100_000}
    tree.attrs |= attributes
    tree["posterior"].attrs |= attributes
    tree["posterior"]["mu"].attrs |= attributes
    tree["posterior"]["chain"].attrs |= attributes
    shape = tuple(tree["posterior"].sizes[dim] for dim in ("chain", "draw"))
    messages = np.full(shape, None, dtype=object)
    messages[1, 3] = "a \"divergence\""
    tree["sample_stats"]["divergence_message"] = xr.Variable(("chain", "draw"), messages, attributes)
    tree["posterior"].coords["subject"] = tree["posterior"]["subject"].astype(object)
    loaded = through(replace(posterior, tree=tree), tmp_path)
    assert_same_tree(tree, loaded.tree)
    assert loaded.tree["posterior"].attrs["yes"] is True and loaded.tree.attrs["none"] is None
    found = loaded.tree["sample_stats"]["divergence_message"].to_numpy()
    assert found[1, 3] == messages[1, 3] and pd.isna(found).sum() == found.size - 1


@pytest.mark.parametrize("value", [object(), np.zeros(2), {1}])
def test_an_attribute_that_is_not_data(value: Any, posterior: bp.Posterior, tmp_path: Path) -> None:
    tree = posterior.tree.copy()
    tree["posterior"].attrs["odd"] = value
    with pytest.raises(InputTypeError, match=f"/posterior attribute 'odd'.*{type(value).__name__}"):
        replace(posterior, tree=tree).save(tmp_path / "a.nc")


@pytest.mark.parametrize("name", ["NUL \0 inside", "."])
def test_names_that_netcdf_refuses(name: str, posterior: bp.Posterior, tmp_path: Path) -> None:
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling(name, on="days"))
    frame = posterior.bound.frame.rename(columns={"subject": name})
    posterior = bp.fit(model, frame, seed=1, progress=False, method=bp.NUTS(draws=4, tune=4, chains=1))
    with pytest.raises(InputTypeError, match="cannot hold the name '"):
        posterior.save(tmp_path / "a.nc")


def test_a_label_that_netcdf_refuses(posterior: bp.Posterior, tmp_path: Path) -> None:
    tree = posterior.tree.copy()
    tree["posterior"] = tree["posterior"].to_dataset().assign_coords(chain_label=("chain", ["NUL \0 inside", "b"]))
    with pytest.raises(InputTypeError, match="cannot hold a label.*NUL"):
        replace(posterior, tree=tree).save(tmp_path / "a.nc")


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.01, 0.3, 0.9, 1.0])
def test_a_truncated_file(share: float, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: min(int(share * len(content)), len(content) - 1)])
    with pytest.raises(FileError, match=r"sleep\.nc' .*Take another copy.*truncated|truncated.*Take another copy"):
        load(path)


def test_every_flipped_bit_is_noticed(posterior: bp.Posterior, path: Path) -> None:
    """All of the checksum's own bits, and of the other bytes some, the outcome's and the draws' among them."""
    content = path.read_bytes()
    start = len(content) - len(seal(b""))
    assert content[start:].startswith(MARK)
    rng = np.random.default_rng(0)
    y, sigma = posterior.bound.y[:5].tobytes(), posterior.tree["posterior"]["sigma"].values[0, :3].tobytes()
    places = [*rng.integers(start, size=60), content.find(y) + 7, content.find(sigma) + 6, *range(64),
              *range(start, len(content))]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(FileError, match=r"sleep\.nc.*Take another copy"):
            load(path)


FIRST = Path(__file__).parent / "data" / "format_1.nc"


def test_a_file_of_format_1_is_read_with_a_warning(tmp_path: Path) -> None:
    """Written by the version that had no checksum."""
    with pytest.warns(InputWarning, match="format_1.nc' has format 1, which carries no checksum") as caught:
        posterior = bp.load(FIRST)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert posterior.model == bp.Model("y ~ x", bp.PartialPooling("clinic", on="Intercept")
                                       + bp.LinearVarying("when", on="x"))
    frame = posterior.bound.frame
    assert list(frame) == ["y", "x", "when", "clinic"] and list(frame.index[:2]) == ["p00", "p01"]
    assert list(frame["clinic"].cat.categories) == ["Cork", "Ås", "Bergen"]
    table = posterior.theta_frame().loc["p02"].set_index("coefficient")
    np.testing.assert_allclose(table.loc["x", "mean"], 0.9963927157895787, rtol=1e-9)
    np.testing.assert_array_equal(posterior.tree["posterior"]["sigma"].values[0, :3],
                                  [0.32479296459599794, 0.24887677897419877, 0.231567599791769])
    assert_same_tree(through(posterior, tmp_path).tree, posterior.tree)


def test_compression_asked_for_by_a_user_is_not_written(posterior: bp.Posterior, tmp_path: Path) -> None:
    """What is packed is refused where it is read, so none is made."""
    tree = posterior.tree.copy()
    tree["posterior"]["mu"].encoding = {"zlib": True, "chunksizes": (1, 10, 1)}
    assert_same_tree(through(replace(posterior, tree=tree), tmp_path).tree, posterior.tree)


def test_other_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("days,reaction\n1,2\n")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    for name, words in (("text.nc", "another kind of file"), ("foreign.nc", "was not written by posterior.save"),
                        ("none.nc", "does not exist"), (".", "is a folder")):
        with pytest.raises(FileError, match=words) as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_an_existing_file_is_replaced(posterior: bp.Posterior, path: Path, tmp_path: Path) -> None:
    path.write_text("something else")
    link = tmp_path / "link.nc"
    link.symlink_to(path)
    posterior.save(link)
    assert link.is_symlink() and load(path).model == posterior.model
    assert sorted(tmp_path.iterdir()) == [link, path]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(failure: BaseException, step: str, posterior: bp.Posterior, path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise failure

    path.write_text("the old file")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(FileError if isinstance(failure, OSError) else KeyboardInterrupt):
        posterior.save(path)
    assert path.read_text() == "the old file" and list(path.parent.iterdir()) == [path]


def test_a_full_disk(posterior: bp.Posterior, path: Path) -> None:
    resource = pytest.importorskip("resource")
    path.write_text("the old file")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(FileError, match=r"sleep\.nc'.*too large.*room for [\d,]+ bytes"):
            posterior.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "the old file" and list(path.parent.iterdir()) == [path]


def test_places_where_no_file_can_be(posterior: bp.Posterior, path: Path, tmp_path: Path) -> None:
    for place, words in ((tmp_path / "none" / "a.nc", "there is no folder .* Make it first"),
                         (path / "a.nc", "there is no folder"), (tmp_path, "it is a folder")):
        with pytest.raises(FileError, match=words) as caught:
            posterior.save(place)
        assert str(place) in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]
