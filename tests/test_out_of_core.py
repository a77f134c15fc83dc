"""Rows in files: the same model, the same sums and the same errors as for a frame, in memory that does not grow."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from out_of_core import FILES, ROWS, every_kind, save

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.moments import SLICE
from bayes_personal.data.rows import BATCH
from bayes_personal.data.stored import OnDisk
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return every_kind()


@pytest.fixture(scope="module")
def folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(frame, tmp_path_factory.mktemp("rows") / "table")


def assert_alike(left: Any, right: Any, where: str) -> None:
    """Objects with the same content: numbers to 1e-12 of the largest beside them, all else equal."""
    assert type(left) is type(right), where
    if is_dataclass(left):
        # A formula's record of itself is compared by what it codes.
        for each in fields(left):
            if each.name not in ("rows", "spec"):
                assert_alike(getattr(left, each.name), getattr(right, each.name), f"{where}.{each.name}")
    elif isinstance(left, tuple | list):
        assert len(left) == len(right), where
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_alike(one, other, f"{where}[{place}]")
    elif isinstance(left, dict):
        assert list(left) == list(right), where
        for key in left:
            assert_alike(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, pd.Index):
        pd.testing.assert_index_equal(left, right)
    elif isinstance(left, np.ndarray) and left.dtype.kind == "f" or isinstance(left, float):
        largest = np.max(np.abs(left)) if np.size(left) else 0.0
        np.testing.assert_allclose(right, left, rtol=1e-12, atol=1e-12 * largest, err_msg=where)
    elif isinstance(left, np.ndarray):
        np.testing.assert_array_equal(right, left, err_msg=where)
    else:
        assert left == right, where


def assert_same_rows(held: BoundModel, stored: BoundModel) -> None:
    """Batch by batch the same predictors, outcomes, constants and features."""
    pairs = zip(held.rows.batches(), stored.rows.batches(), strict=True)
    for one, other in pairs:
        assert one.places == other.places
        for name in ("x", "y", "constants"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-14)
        features = zip(held.features_at(one.frame), stored.features_at(other.frame), strict=True)
        for left, right in features:
            one, other = (each.matrix if sp.issparse(each.matrix) else np.asarray(each.matrix)
                          for each in (left, right))
            np.testing.assert_allclose(abs(one - other).max(), 0, atol=1e-12)
            assert set(left.status) == set(right.status)


def assert_same_statistics(held: BoundModel, stored: BoundModel) -> None:
    """Sums over rows of products that are about 1 each: some are 0 but for rounding."""
    left, right = GaussianDensity(held).statistics, GaussianDensity(stored).statistics
    for each in fields(left):
        np.testing.assert_allclose(getattr(right, each.name), getattr(left, each.name), rtol=1e-10, atol=1e-13 * ROWS,
                                   err_msg=each.name)


FORMULAS = ["y ~ x", "y ~ x * z + near", "y ~ 0 + x", "y ~ label * x + C(site)", "y ~ kind + kind:z + flag",
            "np.log(z) ~ x + I(x**2) + C(count)", "y ~ whole + I(2 * z) + `blood pressure`", "I(y - x) ~ near + `a.b`",
            "y ~ C(label, contr.sum) + C(np.round(z))", "y ~ label.str.upper() + x:C(kind)", "y ~ 1"]
PRIORS = {
    "groups": lambda: bp.PartialPooling("label") + bp.Conditional("site", on="Intercept"),
    "groups of every kind": lambda: (bp.PartialPooling("kind", on="Intercept") + bp.PartialPooling("date", on="x")
                                     + bp.PartialPooling("flag", on="x") + bp.PartialPooling("whole", on="Intercept")),
    "smooth": lambda: bp.GaussianProcess("c"),
    "steps": lambda: bp.TotalVariation("count") + bp.TotalVariation("date", "horseshoe", on="x"),
    "smooth in two": lambda: bp.GaussianProcess("near", "day", kernel="squared_exponential"),
    "linear": lambda: bp.LinearVarying("c", "label", "kind", "date", "flag"),
    "splines": lambda: bp.LinearVarying("x", "utc", "count", basis="spline", df=6),
}


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.filterwarnings("ignore::bayes_personal.errors.InputWarning")
def test_formulas_mean_what_they_do_in_memory(formula: str, frame: pd.DataFrame, folder: Path) -> None:
    model = bp.Model(formula)
    held, stored = model.bind(frame), model.bind(folder)
    assert isinstance(stored.rows, OnDisk) and len(stored.rows) == ROWS
    assert stored.rows.index.equals(pd.RangeIndex(ROWS))
    assert_alike(held, stored, "bound")
    assert_same_rows(held, stored)
    assert_same_statistics(held, stored)


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_learn_what_they_do_in_memory(prior: str, frame: pd.DataFrame, folder: Path) -> None:
    model = bp.Model("y ~ x + near", prior=PRIORS[prior](), family=bp.Normal(sd="se"))
    held, stored = model.bind(frame), model.bind(folder)
    assert_alike(held, stored, "bound")
    assert_same_rows(held, stored)
    assert_same_statistics(held, stored)


def test_files_and_frames_of_every_make_are_the_same_data(frame: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder)
    pq.write_table(table, tmp_path / "one.parquet")
    pa.feather.write_feather(table, tmp_path / "one.feather", chunksize=3001)
    with pa.ipc.new_file(tmp_path / "one.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=777)
    model = bp.Model("y ~ x + kind", prior=bp.PartialPooling("label") + bp.GaussianProcess("day", on="x"))
    held = model.bind(frame)
    sources = (str(folder), ds.dataset(folder), tmp_path / "one.parquet", tmp_path / "one.feather",
               tmp_path / "one.arrow", pl.scan_parquet(folder / "*.parquet"), table)
    for source in sources:
        assert_alike(held, model.bind(source), type(source).__name__)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_folders_that_say_what_their_rows_have_in_common(kind: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    ds.write_dataset(pa.Table.from_pandas(frame[["y", "x", "label"]]), tmp_path / "hive", format=kind,
                     partitioning=["label"], partitioning_flavor="hive")
    sorted_rows = frame.sort_values("label", kind="stable", ignore_index=True)
    model = bp.Model("y ~ x * label", prior=bp.PartialPooling("label", on="Intercept"))
    held, stored = model.bind(sorted_rows), model.bind(tmp_path / "hive")
    assert_alike(held, stored, "bound")
    assert_same_rows(held, stored)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_files_take_the_columns_and_types_of_the_first(kind: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame[["y", "x", "count"]])
    narrow = table.set_column(2, "count", table["count"].cast(pa.int8()))
    for place, part in enumerate((table[:500], narrow[500:900].select(["count", "x", "y"]))):
        ds.write_dataset(part, tmp_path / f"{place}", format=kind, basename_template=f"{place}_{{i}}.{kind}")
    model = bp.Model("y ~ x + count")
    assert_alike(model.bind(frame[:900]), model.bind(tmp_path), "bound")
    ds.write_dataset(table[900:950].drop_columns("x"), tmp_path / "2", format=kind)
    with pytest.raises(InputError, match=r"'x' is missing in 50 of 950 rows \(900, 901"):
        model.bind(tmp_path)


MIXED = {
    "numbers as text": (pa.array([1.0, 2.0]), pa.array(["3", "4"]), r"text \(string\), and numbers \(double\)"),
    "numbers as categories": (pa.array([1, 2]), pa.array(["3", "4"]).dictionary_encode(), "text .dictionary"),
    "text as numbers": (pa.array(["3", "4"]), pa.array([1, 2]), r"numbers \(int64\), and text"),
    "truth as a number": (pa.array([1.0, 2.0]), pa.array([True, False]), r"bool \(bool\), and numbers"),
    "a time as a number": (pa.array([1, 2]), pa.array([1, 2], pa.timestamp("s")), "times without a time zone"),
    "a time zone": (pa.array([1, 2], pa.timestamp("s")), pa.array([1, 2], pa.timestamp("s", "UTC")), "times in a"),
}


@pytest.mark.parametrize("mixed", MIXED)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_files_whose_values_are_of_another_kind_are_refused(kind: str, mixed: str, tmp_path: Path) -> None:
    """Arrow would read text of digits as numbers, and the other way round."""
    *parts, words = MIXED[mixed]
    for place, values in enumerate(parts):
        ds.write_dataset(pa.table({"y": [1.0, 2.5], "x": values, "w": [1.0, 3.0]}), tmp_path / f"{place}", format=kind,
                         basename_template=f"{place}_{{i}}.{kind}")
    with pytest.raises(InputTypeError, match=rf"1_0.{kind}': column 'x' holds {words}"):
        bp.Model("y ~ x").bind(tmp_path)
    # Nobody asked for that column.
    assert len(bp.Model("y ~ w").bind(tmp_path).rows) == 4


def test_a_flipped_bit_of_a_file_with_checksums_is_noticed(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=200)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"y": values, "x": values[::-1]}), path, write_page_checksum=True, use_dictionary=False,
                   compression="none")
    assert len(bp.Model("y ~ x").bind(path).rows) == 200
    content = bytearray(path.read_bytes())
    content[content.find(values[:4].tobytes()) + 7] ^= 8
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rows.parquet', cannot be read: .*checksum"):
        bp.Model("y ~ x").bind(path)


@pytest.mark.parametrize("pattern", ["*.parquet", "part_[0-2].parquet", "../table/**/part_?.parquet"])
def test_a_pattern_is_the_files_that_match_it(pattern: str, frame: pd.DataFrame, folder: Path) -> None:
    model = bp.Model("y ~ x", prior=bp.Conditional("label", on="Intercept"))
    held, stored = model.bind(frame), model.bind(str(folder / pattern))
    assert_alike(held, stored, "bound")
    assert len(model.bind(folder / "part_[01]*").rows) == FILES[1][1]
    with pytest.raises(InputError, match=r"No file matches '.*none\*.parquet'"):
        model.bind(str(folder / "none*.parquet"))


def test_a_pattern_of_folders_that_say_what_their_rows_have_in_common(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A folder whose own name reads as a pattern is that folder."""
    root = tmp_path / "hive[1]"
    ds.write_dataset(pa.Table.from_pandas(frame[["y", "x", "label"]]), root, format="parquet", partitioning=["label"],
                     partitioning_flavor="hive")
    model = bp.Model("y ~ x", prior=bp.PartialPooling("label", on="Intercept"))
    some = model.bind(tmp_path / "hive[[]1]" / "label=[ab]" / "*.parquet")
    assert list(some.terms[0].features.values()) == [("a", "b")]
    assert len(model.bind(root).rows) == ROWS and len(some.rows) == frame["label"].isin(["a", "b"]).sum()


@pytest.mark.parametrize("size", [1000, BATCH, SLICE, 10 * ROWS])
def test_batches_of_any_size_are_the_rows_in_their_order(size: int, frame: pd.DataFrame, folder: Path) -> None:
    rows = bp.Model("y ~ x", prior=bp.PartialPooling("label")).bind(folder).rows
    batches = list(rows.batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert [batch.start for batch in batches] == list(range(0, ROWS, size))
    together = pd.concat([batch.frame for batch in batches])
    assert together.index.equals(pd.RangeIndex(ROWS))
    pd.testing.assert_frame_equal(together, frame[["y", "x", "label"]], check_dtype=False)
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in batches])[:, 1], frame["x"])


FAULTY = {
    "missing outcome": ("y", np.nan, "'y' is missing in 1 of .*70000"),
    "missing predictor": ("x", np.nan, "'x' is missing in 1 of .*70000"),
    "infinite predictor": ("z", np.inf, "'z' is infinite in 1 of .*70000"),
    "undefined term": ("w", -1.0, r"np.log\(w\) .*is not a number in 1 of .*70000"),
    "missing context": ("c", np.nan, rf"'c' is missing in 1 of {ROWS} rows \(70000\)"),
    "missing label": ("label", None, rf"1 of {ROWS} labels in column 'label' are missing \(rows 70000\)"),
    "missing level": ("kind", None, rf"'kind' is missing in 1 of {ROWS} rows \(70000\)"),
    "missing count": ("whole", pd.NA, "'whole' is missing in 1 of .*70000"),
    "known error of zero": ("se", 0.0, "must be positive; 1 rows are not .70000"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_errors_name_the_row_among_all(case: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    name, value, words = FAULTY[case]
    bad = frame.assign(w=frame["z"])
    bad.loc[70_000, name] = value
    model = bp.Model("y ~ x + z + np.log(w) + C(kind) + whole", family=bp.Normal(sd="se"),
                     prior=bp.PartialPooling("label") + bp.GaussianProcess("c"))
    with pytest.raises(InputError, match=words) as caught:
        model.bind(save(bad, tmp_path / "bad"))
    if "of .*" in words or name == "se":
        assert f"rows {SLICE:,} to {ROWS - 1:,}" in str(caught.value)


SAME = {
    "a constant predictor": ("y ~ x + k", lambda f: f.assign(k=4.0)),
    "a constant outcome": ("y ~ x", lambda f: f.assign(y=4.0)),
    "a narrow outcome": ("y ~ x", lambda f: f.assign(y=1e16 + 2 * np.arange(ROWS) % 8)),
    "a constant context": ("y ~ x", lambda f: f.assign(c=4.0)),
    "a single level": ("y ~ x + k", lambda f: f.assign(k="one")),
    "a single group": ("y ~ x", lambda f: f.assign(label="one")),
    "numbers as text": ("y ~ x + k", lambda f: f.assign(k=f["count"].astype(str))),
    "text for a number": ("k ~ x", lambda f: f.assign(k="1,5")),
    "no such column": ("y ~ xx", lambda f: f),
    "no such outcome": ("yy ~ x", lambda f: f),
    "no such context": ("y ~ x", lambda f: f.drop(columns="c")),
    "a true or false outcome": ("flag ~ x", lambda f: f),
    "a categorical outcome": ("word ~ x", lambda f: f.assign(word=f["label"])),
    "dates for a number": ("y ~ day", lambda f: f),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_wrong_with_all_rows_is_said_as_it_is_of_a_frame(case: str, frame: pd.DataFrame,
                                                                 tmp_path: Path) -> None:
    formula, change = SAME[case]
    model = bp.Model(formula, prior=bp.GaussianProcess("c") + bp.PartialPooling("label"))
    bad = change(frame)
    with pytest.raises((InputError, InputTypeError, SpecificationError)) as held:
        model.bind(bad)
    with pytest.raises(type(held.value)) as stored:
        model.bind(save(bad, tmp_path / "bad"))
    assert str(stored.value).startswith(str(held.value)[:60])


WARNED = {
    "collinear": ("y ~ x + z + I(x - 3 * z)", lambda f: f.assign(x=f["x"] / 1e8)),
    "unused category": ("y ~ kind", lambda f: f.assign(kind=f["kind"].cat.add_categories("none"))),
}


@pytest.mark.parametrize("case", WARNED)
def test_warnings_are_those_of_a_frame(case: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    formula, change = WARNED[case]
    odd, model = change(frame), bp.Model(formula)
    path = save(odd, tmp_path / "odd")
    with pytest.warns(InputWarning) as held:
        model.bind(odd)
    with pytest.warns(InputWarning) as stored:
        model.bind(path)
    assert [str(each.message) for each in stored] == [str(each.message) for each in held]


# Functions of a user's own that need other rows.
ACROSS_ROWS = {"mean": np.mean, "most": np.max, "least": np.min, "rank": lambda values: values.rank(),
               "total": np.cumsum}


def everywhere(name: str) -> Any:
    """The function, its value repeated for all rows."""
    return lambda values: values * 0 + ACROSS_ROWS[name](values)


@pytest.mark.parametrize("formula", ["y ~ center(x)", "y ~ scale(x) + z", "y ~ poly(z, 2)", "y ~ bs(z, df=4)",
                                     "y ~ cs(z, df=4)", "scale(y) ~ x", "y ~ I(x - mean(x))", "I(y - most(y)) ~ x",
                                     "y ~ rank(x)", "y ~ total(z)", "y ~ I(step - least(step)) + x"])
def test_terms_that_need_other_rows_are_refused(formula: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    # In the last formula the first batch does not show it.
    step = np.where(np.arange(ROWS) < SLICE, 0.0, np.arange(ROWS))
    with pytest.raises(SpecificationError, match="Make it a column"):
        bp.Model(formula, functions={name: everywhere(name) for name in ACROSS_ROWS}).bind(
            save(frame[["y", "x", "z"]].assign(step=step), tmp_path / "table"))


def test_models_whose_weights_stay_are_refused(frame: pd.DataFrame, folder: Path) -> None:
    heavy = bp.Hyperprior("StudentT", nu=3, mu=0, sigma=1)
    for model in (bp.Model("y ~ x", bp.Mixture(2)), bp.Model("y ~ x", mean=heavy)):
        with pytest.raises(SpecificationError, match="weights integrate out, or are corrected: .*read_parquet"):
            bp.fit(model, folder, progress=False)
    for method in (bp.ADVI(), bp.NUTS(collapse=False)):
        with pytest.raises(SpecificationError, match=rf"needs all {ROWS:,} rows .*read_parquet"):
            bp.fit(bp.Model("y ~ x"), folder, method=method, progress=False)


UNREADABLE: dict[str, Callable[[Path], Any]] = {
    "does not exist": lambda path: path / "none.parquet",
    "has no files": lambda path: path,
    "neither a Parquet nor an Arrow": lambda path: (path / "rows.csv").write_text("y,x\n1,2\n") and path / "rows.csv",
    "cannot be read": lambda path: (path / "cut.parquet").write_bytes(b"PAR1 and no more") and path / "cut.parquet",
    "has 0 rows": lambda path: ds.dataset(_written(path, pa.table({"y": pa.array([], pa.float64())}))),
    "has a filter": lambda path: ds.dataset(_written(path, pa.table({"y": [1.0, 2.0]}))).filter(ds.field("y") > 1),
    "a dataset of files": lambda path: ds.dataset(pa.table({"y": [1.0, 2.0]})),
    "duplicate field names": lambda path: _written(path, pa.table([[1.0], [2.0]], names=["y", "y"])),
}


def _written(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "table.parquet")
    return folder / "table.parquet"


@pytest.mark.parametrize("words", UNREADABLE)
def test_what_is_not_a_table_in_files_is_refused(words: str, tmp_path: Path) -> None:
    with pytest.raises((InputError, InputTypeError), match=words):
        bp.Model("y ~ 1").bind(UNREADABLE[words](tmp_path))
