"""Contexts and group labels: read once on the training rows, and the same ever after."""

import datetime
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.data.columns import table
from bayes_personal.data.context import Context, learn
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.priors.parts.levels import Levels

DAYS = pd.date_range("2020-03-01", periods=8, freq="D")


def column(values: Any) -> pd.DataFrame:
    return table(pd.DataFrame({"c": values}))


def read(values: Any) -> Context:
    return Context.learn(column(values), "c", "Owner('c')")


NUMERIC = {
    "float": np.array([1.0, -4.0, 2.5, 8.0]),
    "integer": np.array([1, 2, 3, 9], dtype="int8"),
    "nullable integer": pd.array([1, 2, 3, 9], dtype="Int64"),
    "nullable float": pd.array([1, 2, 3, 9], dtype="Float32"),
    "boolean": np.array([True, False, True, True]),
    "nullable boolean": pd.array([True, False, True, True], dtype="boolean"),
    "sparse": pd.arrays.SparseArray([0.0, 0.0, 3.0, 1.0]),
    "huge": np.array([1e70, 2e70, -5e70, 3e70]),
    "tiny": np.array([1e-70, 2e-70, -5e-70, 3e-70]),
    "far away": 1e9 + np.array([0.0, 1.0, 2.0, 3.0]),
    "hair apart": np.array([0.0, 1e-300, 1.0, 2.0]),
}


@pytest.mark.parametrize("kind", NUMERIC)
def test_a_numeric_context_is_standardised_on_the_training_rows(kind: str) -> None:
    values = NUMERIC[kind]
    one, plain = read(values), np.asarray(values, float)
    at = one.at(column(values))
    assert one.labels == ("c",) and at.shape == (4, 1)
    np.testing.assert_allclose([at.mean(), at.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(at[:, 0] * one.spread + one.center, plain, rtol=1e-9, atol=1e-12 * np.abs(plain).max())


def test_new_rows_keep_the_training_scaling() -> None:
    one = read([0.0, 2.0, 4.0])
    spread = np.sqrt(8 / 3)
    np.testing.assert_allclose(one.at(column([2.0, 10.0]))[:, 0], [0, 8 / spread], rtol=1e-14)
    np.testing.assert_allclose(one.at(column(pd.array([2, 10], dtype="Int8")))[:, 0], [0, 8 / spread], rtol=1e-14)
    np.testing.assert_allclose(one.at(column([True, False]))[:, 0], np.array([-1, -2]) / spread, rtol=1e-14)


CATEGORIES = {
    "text": (["b", "a", "b", "c"], ("a", "b", "c")),
    "odd text": (["", "1st / ü", "x y", "x y"], ("", "1st / ü", "x y")),
    "string": (pd.array(["b", "a", "b", "c"], dtype="string"), ("a", "b", "c")),
    "category in its own order": (pd.Categorical(["lo", "hi", "mid", "hi"], ["lo", "mid", "hi"]), ("lo", "mid", "hi")),
    "category of integers": (pd.Categorical([10, 9, 10, 2]), (2, 9, 10)),
    "category of digits": (pd.Categorical(["10", "9", "10", "2"]), ("10", "2", "9")),
    "intervals": (pd.cut([1.0, 2.0, 9.0, 10.0], [0, 5, 10]), (pd.Interval(0, 5), pd.Interval(5, 10))),
    "category of booleans": (pd.Categorical([True, False, True, True]), (False, True)),
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_a_categorical_context_is_one_standardised_indicator_a_level(kind: str) -> None:
    values, levels = CATEGORIES[kind]
    one = read(values)
    assert one.levels == levels and one.labels == tuple(f"c[{level}]" for level in levels)
    indicators = np.array([[value == level for level in levels] for value in values], dtype=float)
    expected = (indicators - indicators.mean(axis=0)) / indicators.std(axis=0)
    np.testing.assert_allclose(one.at(column(values)), expected, rtol=1e-14)
    np.testing.assert_allclose(one.at(column(values).iloc[[2]]), expected[[2]], rtol=1e-14)
    assert not one.outside(column(values)).any()


def test_an_unseen_level_is_an_error_with_the_levels_there_are() -> None:
    with pytest.raises(InputError, match=r"'c' has the level 'z' in 2 rows \(1, 2\).*Allowed: 'a', 'b'"):
        read(["a", "b"]).at(column(["a", "z", "z"]))


def test_a_level_of_another_type_is_unseen() -> None:
    with pytest.raises(InputError, match="'1', '2'.*Allowed: 1, 2"):
        read(pd.Categorical([1, 2, 1])).at(column(["1", "2"]))


def test_levels_that_read_the_same_stay_apart() -> None:
    one = read(pd.Categorical([1, "1", 1, "1"], categories=[1, "1"]))
    assert one.labels == ("c[1]", "c['1']")
    np.testing.assert_array_equal(one.at(column(pd.Categorical([1, "1"]))) > 0, np.eye(2))


def test_unused_categories_are_noted_and_left_out() -> None:
    with pytest.warns(InputWarning, match=r"1 categories of 'c' have no rows .* 'z'"):
        one = read(pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]))
    assert one.levels == ("b", "a")


def test_a_level_of_its_own_for_every_row_is_warned_of() -> None:
    with pytest.warns(InputWarning, match="every row has its own level"):
        one = read(["p1", "p2", "p3", "p4"])
    assert np.isfinite(one.at(column(["p1", "p2", "p3", "p4"]))).all()


def test_dates_count_in_days() -> None:
    one = read(DAYS)
    np.testing.assert_allclose(one.spread, np.arange(8).std(), rtol=1e-12)
    later = one.at(column(DAYS[:1] + pd.Timedelta(hours=36))) - one.at(column(DAYS[:1]))
    np.testing.assert_allclose(later * one.spread, 1.5, rtol=1e-9)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_of_any_resolution_are_the_same_dates(unit: str) -> None:
    np.testing.assert_allclose(read(DAYS).at(column(DAYS.as_unit(unit))), read(DAYS.as_unit(unit)).at(column(DAYS)),
                               rtol=1e-12)


def test_dates_reach_beyond_what_nanoseconds_can_count() -> None:
    years = pd.array(["1000-01-01", "1500-01-01", "3000-01-01"], dtype="datetime64[s]")
    one = read(years)
    assert one.high - one.low == (datetime.date(3000, 1, 1) - datetime.date(1000, 1, 1)).days


def test_dates_without_a_time_are_dates() -> None:
    one = read([day.date() for day in DAYS])
    np.testing.assert_array_equal(one.at(column(DAYS)), read(DAYS).at(column(DAYS)))


def test_moments_are_the_same_in_every_time_zone() -> None:
    oslo = DAYS.tz_localize("Europe/Oslo")
    np.testing.assert_array_equal(read(oslo).at(column(oslo.tz_convert("Asia/Tokyo"))), read(oslo).at(column(oslo)))


@pytest.mark.parametrize("train, new, words", [
    (DAYS, DAYS.tz_localize("UTC"), "dates with a time zone; the training rows' had none"),
    (DAYS.tz_localize("UTC"), DAYS, "dates without a time zone; the training rows' had one"),
    (DAYS, np.arange(8.0), "holds float64 values; the training rows held dates"),
    (DAYS, list("abcdefgh"), "holds str values; the training rows held dates"),
    (np.arange(8.0), DAYS, "values; the training rows held numbers"),
    (np.arange(8.0), list("abcdefgh"), "holds str values; the training rows held numbers"),
    (np.arange(8.0), pd.Categorical(np.arange(8.0)), "holds category values; the training rows held numbers"),
], ids=["aware", "naive", "numbers for dates", "text for dates", "dates for numbers", "text for numbers", "category"])
def test_new_rows_hold_what_the_training_rows_held(train: Any, new: Any, words: str) -> None:
    one = read(train)
    for ask in (one.at, one.outside):
        with pytest.raises(InputTypeError, match=words):
            ask(column(new))


@pytest.mark.parametrize("train, new, kind, words", [
    ([1.0, 2.0], [np.nan, 1.0], InputError, r"'c' is missing in 1 of 2 rows \(0\)"),
    ([1.0, 2.0], [np.inf, 1.0], InputError, r"'c' is infinite in 1 of 2 rows \(0\)"),
    (["a", "b"], [None, "a"], InputError, r"'c' is missing in 1 of 2 rows \(0\)"),
    (DAYS, [pd.NaT, DAYS[0]], InputError, r"'c' is missing in 1 of 2 rows \(0\)"),
    ([True, False], pd.array([None, True], dtype="boolean"), InputError, r"'c' is missing in 1 of 2 rows \(0\)"),
], ids=["number", "infinite", "text", "date", "boolean"])
def test_a_context_cannot_be_missing_at_new_rows(train: Any, new: Any, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words):
        read(train).at(column(new))


def test_outside_the_training_range() -> None:
    one = read([1.0, 5.0, 3.0])
    assert one.outside(column([0.99, 1.0, 3.0, 5.0, 5.01])).tolist() == [True, False, False, False, True]
    dates = read(DAYS)
    assert dates.outside(column([DAYS[0] - pd.Timedelta(seconds=1), *DAYS])).tolist() == [True] + [False] * 8


@pytest.mark.parametrize("prior", [
    bp.LinearVarying("age", "site"), bp.LinearVarying("age", "site", basis="spline", df=4), bp.GaussianProcess("age"),
    bp.GaussianProcess("age", "height"), bp.TotalVariation("age")],
    ids=["linear", "spline", "process", "process of two", "steps"])
def test_a_term_reads_new_rows_and_says_which_lie_outside(frame: pd.DataFrame, prior: bp.LinearVarying) -> None:
    (term,) = bp.Model("y ~ dose", prior=prior).bind(frame).terms
    training = term.at(frame).matrix
    np.testing.assert_allclose(term.at(frame.iloc[[7, 3]]).matrix, training[[7, 3]], rtol=1e-12, atol=1e-14)
    new = frame.iloc[:3].assign(age=[10.0, 50.0, 99.0])
    found = {context.name: context.outside(new) for context in term.axes if not context.levels}
    assert found["age"].tolist() == [True, False, True]
    assert set(found) == set(prior.columns) - {"site"} and np.isfinite(term.at(new).matrix).all()
    with pytest.raises(InputError, match="no column 'age'"):
        term.at(frame.drop(columns="age"))


@pytest.mark.parametrize("prior", [bp.GaussianProcess("when"), bp.TotalVariation("when"), bp.Partition("when")])
def test_dates_as_text_are_called_so(prior: bp.LinearVarying) -> None:
    days = pd.Series(pd.date_range("2024-03-01", periods=6))
    frame = pd.DataFrame({"y": [1.0, 3.0, 2.0, 5.0, 4.0, 6.0], "when": days.dt.strftime("%Y-%m-%d")})
    frame["when"] = frame["when"].where(frame.index < 5, frame["when"][0])
    with pytest.raises(InputTypeError, match="'2024-03-01'.* that reads as a date. Convert it with pandas.to_datetime"):
        bp.Model("y ~ 1", prior).bind(frame)
    with pytest.raises(SpecificationError, match=r"reads as dates: .*pandas.to_datetime\(frame\['when'\]\)"):
        bp.Model("y ~ 1", prior).bind(frame.astype({"when": "category"}))
    frame["when"] = list("abcdea")
    with pytest.raises(SpecificationError, match="is categorical") as caught:
        bp.Model("y ~ 1", prior).bind(frame)
    assert "to_datetime" not in str(caught.value)


def test_contexts_by_name() -> None:
    frame = table(pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}))
    assert [one.name for one in learn(frame, ("b", "a"), "Owner")] == ["b", "a"]
    with pytest.raises(SpecificationError, match="at least one context"):
        learn(frame, (), "Owner")
    with pytest.raises(SpecificationError, match="twice"):
        learn(frame, ("a", "a"), "Owner")
    with pytest.raises(InputTypeError, match="must be text"):
        learn(frame, (["a", "b"],), "Owner")  # pyright: ignore[reportArgumentType]


def levels(values: Any) -> Levels:
    return Levels.learn(column(values), "c", "Owner('c')")


def positions(found: Any) -> list[int]:
    """The feature of each row."""
    assert (found.matrix.sum(axis=1) == 1).all()
    return found.matrix.indices.tolist()


LABELS: dict[str, tuple[Any, Sequence[str]]] = {
    "text": (["b", "a", "b"], ("a", "b")),
    "odd text": (["", " ", "1/2 ü"], ("", " ", "1/2 ü")),
    "integers": ([10, 9, 10], ("10", "9")),
    "nullable integers": (pd.array([10, 9, 10], dtype="Int64"), ("10", "9")),
    "booleans": ([True, False, True], ("False", "True")),
    "floats": ([0.5, 0.25, 0.5], ("0.25", "0.5")),
    "tuples": ([(1, 2), (1,), (1, 2)], ("(1, 2)", "(1,)")),
    "intervals": (pd.cut([1.0, 9.0, 2.0], [0, 5, 10]), ("(0, 5]", "(5, 10]")),
    "dates": (DAYS[[1, 0, 1]], ("2020-03-01 00:00:00", "2020-03-02 00:00:00")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind: str) -> None:
    values, text = LABELS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        groups = levels(values)
        found = groups.at(column(values))
    assert groups.text == tuple(text) and (found.status["c"] == "known").all()
    by_text = [groups.text[place] for place in positions(found)]
    assert by_text == [str(value) for value in column(values)["c"]]
    assert positions(groups.at(column(values).iloc[[1]])) == positions(found)[1:2]


def test_new_and_unknown_labels() -> None:
    """Rows of one new label share a feature; two new labels do not, and neither do two missing ones."""
    groups = levels(["b", "a", "b"])
    found = groups.at(column(["z", "a", None, "y", "z", None, "b"]))
    assert found.status["c"].tolist() == ["new", "known", "unknown", "new", "new", "unknown", "known"]
    assert positions(found) == [2, 0, 3, 4, 2, 5, 1] and found.matrix.shape == (7, 6)


def test_declared_categories_without_rows_are_noted_and_not_new() -> None:
    with pytest.warns(InputWarning, match=r"1 categories of 'c' have no rows .* 'z'"):
        groups = levels(pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]))
    assert groups.text == ("a", "b") and list(groups.empty) == ["z"]
    for new in (["z", "y", "a", None], pd.Categorical(["z", "y", "a", None])):
        assert groups.at(column(new)).status["c"].tolist() == ["empty", "new", "known", "unknown"]


def test_labels_that_read_the_same_are_warned_of_and_stay_apart() -> None:
    with pytest.warns(InputWarning, match="1, '1' of 'c' differ but read the same"):
        groups = levels(["1", 1, "1", 2])
    assert groups.text == ("1", "'1'", "2")
    assert positions(groups.at(column(["1", 1, "1", 2]))) == [1, 0, 1, 2]


@pytest.mark.parametrize("train, new", [
    ([1, 2], ["1", "2"]), (["1", "2"], [1, 2]), (["01", "02"], [1, 2]), ([1, 2], ["01", "02"]),
    ([1.0, 2.0], ["1", "2"]), (DAYS[:2], ["2020-03-01", "2020-03-02"]), (["2020-03-01", "2020-03-02"], DAYS[:2]),
    (DAYS[:2].tz_localize("UTC"), ["2020-03-01", "2020-03-02"])], ids=str)
def test_known_labels_of_another_type_are_warned_of(train: list, new: list) -> None:
    groups = levels(train)
    with pytest.warns(InputWarning, match="in 2 rows read like training labels"):
        assert groups.at(column(new)).status["c"].tolist() == ["new", "new"]


@pytest.mark.filterwarnings("error")
def test_text_that_differs_is_not_compared_as_numbers() -> None:
    assert levels(["01", "1"]).at(column(["001", "1"])).status["c"].tolist() == ["new", "known"]


@pytest.mark.parametrize("train, new", [([1, 2], [2.0, np.nan, 1.0]), ([False, True], [1.0, np.nan, 0.0])],
                         ids=["integers", "booleans"])
def test_labels_that_turned_float_beside_missing_ones_are_the_same(train: list, new: list) -> None:
    found = levels(train).at(column(new))
    assert found.status["c"].tolist() == ["known", "unknown", "known"] and positions(found) == [1, 2, 0]


def test_labels_of_another_time_zone_awareness_are_refused() -> None:
    with pytest.raises(InputTypeError, match="time zone UTC; the training rows' had None"):
        levels(DAYS).at(column(DAYS.tz_localize("UTC")))


def test_lists_label_no_groups() -> None:
    with pytest.raises(InputTypeError, match="list values such as"):
        levels(["a", "b"]).at(column([["a"], ["b"]]))


def test_a_hundred_thousand_groups_are_read_in_linear_time() -> None:
    """Comparing every label with every other would take hours."""
    groups = levels(np.arange(100_000) // 2 * 7)
    assert len(groups.text) == 50_000 and groups.at(column([7, 8])).status["c"].tolist() == ["known", "new"]
