"""Frames of every make, formulas, and new rows coded as the training rows were."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import bayes_personal as bp
from bayes_personal.data.columns import spelled, table
from bayes_personal.errors import InputError, InputTypeError, InputWarning
from bayes_personal.formulas.design import Design
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.terms import outcome


def learn(formula: str, frame: pd.DataFrame) -> tuple[Design, np.ndarray]:
    return Design.learn(Formula.read(formula), frame)


def read_outcome(formula: str, frame: pd.DataFrame) -> pd.Series:
    return outcome(Formula.read(formula), frame)


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame({"y": rng.normal(size=12), "x": rng.normal(size=12), "z": rng.uniform(1, 9, 12),
                         "g": list("abc" * 4), "site": [3, 1, 2, 1] * 3, "ok": [True, False] * 6,
                         "blood pressure": rng.normal(size=12)})


def test_every_make_of_frame_is_the_same_data(rows: pd.DataFrame) -> None:
    design, x = learn("y ~ x * g + ok", table(rows))
    for frame in (pl.from_pandas(rows), pl.from_pandas(rows).lazy(), pa.Table.from_pandas(rows),
                  rows.convert_dtypes(), rows.convert_dtypes(dtype_backend="pyarrow"), rows.astype(object)):
        other, same = learn("y ~ x * g + ok", table(frame))
        np.testing.assert_array_equal(same, x)
        assert other.coefficients == design.coefficients


def test_missing_values_are_missing_in_every_make_of_frame(rows: pd.DataFrame) -> None:
    rows.loc[4, "x"] = np.nan
    nullable = rows.convert_dtypes()
    for frame in (pl.from_pandas(nullable), pl.from_pandas(nullable).lazy(), pa.Table.from_pandas(rows), nullable,
                  rows.convert_dtypes(dtype_backend="pyarrow"), rows.astype(object)):
        with pytest.raises(InputError, match=r"'x' is missing in 1 of 12 rows \(4\)"):
            learn("y ~ x", table(frame))


def test_a_table_does_not_follow_later_changes(rows: pd.DataFrame) -> None:
    taken, before = table(rows), rows["x"].copy()
    rows.loc[:, "x"] = 0.0
    pd.testing.assert_series_equal(taken["x"], before)


def test_a_table_leaves_the_frame_as_it_was(rows: pd.DataFrame) -> None:
    frame = rows.convert_dtypes(dtype_backend="pyarrow").set_index("site")
    before = frame.copy()
    taken = table(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_index_equal(taken.index, before.index)


INDICES = {
    "shuffled": pd.Index([5, 3, 11, 0, 1, 2, 4, 6, 7, 8, 9, 10]),
    "repeated": pd.Index([7] * 12),
    "text": pd.Index(list("lkjihgfedcba")),
    "dates": pd.date_range("2020", periods=12),
    "two levels": pd.MultiIndex.from_product([["p", "q"], range(6)], names=["who", "visit"]),
    "missing": pd.Index([np.nan] * 12),
}


@pytest.mark.parametrize("kind", INDICES)
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + C(g)", "np.log(z) ~ x:g + poly(site, 2)"])
def test_rows_keep_order_and_index(rows: pd.DataFrame, kind: str, formula: str) -> None:
    labelled = rows.set_index(INDICES[kind])
    design, x = learn(formula, labelled)
    np.testing.assert_array_equal(x, learn(formula, rows)[1])
    np.testing.assert_array_equal(design.at(labelled.iloc[::-1]), x[::-1])
    values = read_outcome(formula, labelled)
    np.testing.assert_array_equal(values, read_outcome(formula, rows))
    pd.testing.assert_index_equal(values.index, labelled.index)


@pytest.mark.parametrize("kind", ["repeated", "two levels"])
def test_a_bound_model_keeps_the_index(rows: pd.DataFrame, kind: str) -> None:
    labelled = rows.set_index(INDICES[kind])
    bound = bp.Model("y ~ x", prior=bp.PartialPooling("g")).bind(labelled)
    pd.testing.assert_index_equal(bound.frame.index, labelled.index)
    np.testing.assert_array_equal(bound.y, rows["y"])


def test_other_columns_and_their_order_do_not_matter(rows: pd.DataFrame) -> None:
    design, x = learn("y ~ C(g) + np.log(z)", rows)
    crowded = rows.assign(C=1.0, np="text", log=None, unused=[[1]] * 12)
    crowded = crowded[crowded.columns[::-1]]
    again, same = learn("y ~ C(g) + np.log(z)", table(crowded))
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(design.at(crowded), x)
    np.testing.assert_array_equal(again.at(rows[["z", "g"]]), x)


EXPECTED = {
    "y ~ x": (["Intercept", "x"], lambda f: [np.ones(12), f.x]),
    "y ~ 0 + x": (["x"], lambda f: [f.x]),
    "y ~ 1": (["Intercept"], lambda f: [np.ones(12)]),
    "y ~ np.log(z) + x": (["Intercept", "np.log(z)", "x"], lambda f: [np.ones(12), np.log(f.z), f.x]),
    "y ~ log(z)": (["Intercept", "log(z)"], lambda f: [np.ones(12), np.log(f.z)]),
    "y ~ I(x**2)": (["Intercept", "I(x ** 2)"], lambda f: [np.ones(12), f.x**2]),
    "y ~ {x - z}": (["Intercept", "x - z"], lambda f: [np.ones(12), f.x - f.z]),
    "y ~ abs(x)": (["Intercept", "abs(x)"], lambda f: [np.ones(12), f.x.abs()]),
    "y ~ `blood pressure`": (["Intercept", "blood pressure"], lambda f: [np.ones(12), f["blood pressure"]]),
    "y ~ np.exp(`blood pressure`)": (["Intercept", "np.exp(`blood pressure`)"],
                                     lambda f: [np.ones(12), np.exp(f["blood pressure"])]),
    "y ~ g": (["Intercept", "g[T.b]", "g[T.c]"], lambda f: [np.ones(12), f.g == "b", f.g == "c"]),
    "y ~ 0 + g": (["g[a]", "g[b]", "g[c]"], lambda f: [f.g == "a", f.g == "b", f.g == "c"]),
    "y ~ C(site)": (["Intercept", "C(site)[T.2]", "C(site)[T.3]"], lambda f: [np.ones(12), f.site == 2, f.site == 3]),
    "y ~ C(ok)": (["Intercept", "C(ok)[T.True]"], lambda f: [np.ones(12), f.ok]),
    "y ~ x:ok": (["Intercept", "x:ok"], lambda f: [np.ones(12), f.x * f.ok]),
    "y ~ x*C(site)": (["Intercept", "x", "C(site)[T.2]", "C(site)[T.3]", "x:C(site)[T.2]", "x:C(site)[T.3]"],
                      lambda f: [np.ones(12), f.x, f.site == 2, f.site == 3, f.x * (f.site == 2), f.x * (f.site == 3)]),
}


@pytest.mark.parametrize("formula", EXPECTED)
def test_what_a_formula_means(rows: pd.DataFrame, formula: str) -> None:
    names, columns = EXPECTED[formula]
    design, x = learn(formula, rows)
    assert list(design.coefficients) == names
    np.testing.assert_allclose(x, np.column_stack(columns(rows)).astype(float), rtol=1e-14)


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ g", "y ~ x*C(site)", "y ~ center(x) + scale(z)", "y ~ poly(x, 3)",
                                     "y ~ bs(x, df=4) + g", "y ~ C(g, contr.sum):x", "y ~ g.str.upper()",
                                     "y ~ C(np.round(z / 4))", "y ~ I(x > 0) + ok"])
def test_one_new_row_is_coded_as_it_was_in_training(rows: pd.DataFrame, formula: str) -> None:
    design, x = learn(formula, rows)
    for row in range(len(rows)):
        np.testing.assert_allclose(design.at(rows.iloc[[row]]), x[[row]], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("formula", ["y ~ x + z + g", "y ~ x*C(site)", "y ~ 0 + x + z", "y ~ 0 + g + x"])
def test_center_and_spread(rows: pd.DataFrame, formula: str) -> None:
    """Standardised, predictors have mean 0 and mean square 1, the intercept aside; without one they keep their mean."""
    design, x = learn(formula, rows)
    with_intercept = "Intercept" in design.coefficients
    z = (x - design.center) / design.spread
    np.testing.assert_allclose((z**2).mean(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(z.mean(axis=0)[1:] * with_intercept, 0, atol=1e-12)
    assert with_intercept or not design.center.any()


UNSEEN = ["y ~ g", "y ~ C(g)", "y ~ 0 + g", "y ~ x:g", "y ~ x*C(g)", "y ~ C(g, contr.sum)", "y ~ g:site + x"]


@pytest.mark.parametrize("formula", UNSEEN)
@pytest.mark.parametrize("kind", ["text", "category"])
def test_an_unseen_level_is_not_the_reference_level(rows: pd.DataFrame, formula: str, kind: str) -> None:
    rows["g"] = rows["g"].astype("str" if kind == "text" else "category")
    design = learn(formula, rows)[0]
    new = rows.iloc[:3].assign(g=["a", "z", "b"])
    new["g"] = new["g"].astype("str" if kind == "text" else "category")
    with pytest.raises(InputError, match=r"'g' has the level 'z' in 1 rows \(1\).*Allowed: 'a', 'b', 'c'"):
        design.at(new)


@pytest.mark.parametrize("formula", ["y ~ g.str.upper()", "y ~ C(g.str.upper()) * x"])
def test_an_unseen_level_of_an_expression(rows: pd.DataFrame, formula: str) -> None:
    design = learn(formula, rows)[0]
    with pytest.raises(InputError, match="'Z'.*none of its levels in training"):
        design.at(rows.iloc[:2].assign(g=["a", "z"]))


def test_a_level_of_another_type_is_unseen(rows: pd.DataFrame) -> None:
    design, x = learn("y ~ C(site)", rows)
    with pytest.raises(InputError, match="'3', '1', '2'.*Allowed: 1, 2, 3"):
        design.at(rows.assign(site=rows["site"].astype(str)))
    np.testing.assert_array_equal(design.at(rows.assign(site=rows["site"].astype(float))), x)


@pytest.mark.filterwarnings("ignore:.*have no rows")
def test_a_declared_level_without_training_rows_has_no_coefficient(rows: pd.DataFrame) -> None:
    rows["g"] = pd.Categorical(rows["g"], categories=["z", "c", "b", "a"])
    design, x = learn("y ~ g", rows)
    assert design.coefficients == ("Intercept", "g[T.b]", "g[T.a]")
    np.testing.assert_array_equal(x[:, 2], rows["g"] == "a")
    np.testing.assert_array_equal(design.at(rows), x)
    with pytest.raises(InputError, match="'z'.*not seen in training"):
        design.at(rows.assign(g=["z"] * 12))


def test_categories_in_another_order_are_coded_alike(rows: pd.DataFrame) -> None:
    rows["g"] = pd.Categorical(rows["g"], categories=["b", "a", "c"])
    design, x = learn("y ~ g + x:g", rows)
    assert design.coefficients[1] == "g[T.a]"
    np.testing.assert_array_equal(design.at(rows.assign(g=pd.Categorical(rows["g"], categories=["c", "a", "b"]))), x)
    np.testing.assert_array_equal(design.at(rows.assign(g=rows["g"].astype(str))), x)


BAD_NEW_ROWS = {
    "missing": (lambda f: f.assign(x=np.nan), InputError, r"'x' is missing in 12 of 12 rows \(0, 1, 2, ...\)"),
    "infinite": (lambda f: f.assign(x=-np.inf), InputError, "'x' is infinite in 12 of 12 rows"),
    "missing level": (lambda f: f.assign(g=[None, *"bcabcabcabc"]), InputError, r"'g' is missing in 1 of .* \(0\)"),
    "text": (lambda f: f.assign(x="1,5"), InputTypeError, "'x' holds .* such as '1,5'"),
    "category": (lambda f: f.assign(x=pd.Categorical([1.0] * 12)), InputTypeError, "'x' holds category values"),
    "no column": (lambda f: f.drop(columns="z"), InputError, "no column 'z'"),
    "misspelled column": (lambda f: f.rename(columns={"site": "sites"}), InputError, "'site'. Did you mean 'sites'"),
    "undefined": (lambda f: f.assign(z=-1.0), InputError, "a number in 12 of 12 rows"),
    "infinite by formula": (lambda f: f.assign(z=[0.0] + [1.0] * 11), InputError, r"'np.log\(z\)' is infinite in 1 of"),
}


@pytest.mark.parametrize("case", BAD_NEW_ROWS)
def test_new_rows_are_checked_as_training_rows_are(rows: pd.DataFrame, case: str) -> None:
    change, kind, words = BAD_NEW_ROWS[case]
    design = learn("y ~ x + g + C(site) + np.log(z)", rows)[0]
    with pytest.raises(kind, match=words):
        design.at(change(rows))


def test_new_rows_of_any_size_need_no_outcome(rows: pd.DataFrame) -> None:
    design, x = learn("y ~ x + g", rows)
    many = rows.drop(columns="y").iloc[np.arange(30) % 12]
    np.testing.assert_array_equal(design.at(many), x[np.arange(30) % 12])


def test_beyond_the_range_of_a_spline_is_an_error_of_ours(rows: pd.DataFrame) -> None:
    design = learn("y ~ bs(x, df=4)", rows)[0]
    words = r"x lies beyond the knots of bs\(x, df=4\), .* in 1 of 12 rows \(3\), the first 100.*extrapolation='extend'"
    with pytest.raises(InputError, match=words):
        design.at(rows.assign(x=rows["x"].where(rows.index != 3, 100.0)))
    extended = learn("y ~ bs(x, df=4, extrapolation='extend')", rows)[0]
    assert np.isfinite(extended.at(rows.assign(x=3.0))).all()


def test_dates_inside_an_expression(rows: pd.DataFrame) -> None:
    rows["day"] = pd.date_range("2020-01-30", periods=12)
    np.testing.assert_array_equal(learn("y ~ I(day.dt.day)", rows)[1][:, 1], rows["day"].dt.day)


@pytest.mark.parametrize("formula", ["y ~ x", "`y` ~ x"])
def test_an_outcome_stands_as_it_is(rows: pd.DataFrame, formula: str) -> None:
    for values in (rows["y"], rows["ok"], rows["g"], rows["site"].astype("Int64")):
        pd.testing.assert_series_equal(read_outcome(formula, rows.assign(y=values)), values.rename("y"))


def test_an_outcome_can_be_an_expression(rows: pd.DataFrame) -> None:
    np.testing.assert_allclose(read_outcome("np.log(z) ~ x", rows), np.log(rows["z"]), rtol=1e-14)
    np.testing.assert_allclose(read_outcome("I(y - x) ~ x", rows), rows["y"] - rows["x"], rtol=1e-14)
    small = rows.assign(k=pd.Series(np.arange(12) * 20, dtype="int16").astype("uint8"))
    np.testing.assert_array_equal(read_outcome("I(k * k) ~ x", small), (np.arange(12) * 20.0) ** 2)


@pytest.mark.parametrize(("formula", "prior"), [("y ~ x", bp.PartialPooling("id")), ("y ~ id", bp.Population()),
                                                ("id ~ x", bp.Population()), ("y ~ x", bp.LinearVarying("id"))])
def test_a_column_that_is_the_index_is_called_so(rows: pd.DataFrame, formula: str, prior: bp.Population) -> None:
    rows.index = pd.Index(np.arange(12) // 3, name="id")
    model = bp.Model(formula, prior)
    with pytest.raises(InputError, match=r"no column 'id'. Its index is called so: .*frame.reset_index\(\)"):
        model.bind(rows)
    with pytest.raises(InputError, match="no column 'id'. There are"):
        model.bind(rows.rename_axis("other"))
    model.bind(rows.reset_index())


@pytest.mark.parametrize(("formula", "prior"), [("y ~ g", bp.Population()), ("y ~ x", bp.PartialPooling("g")),
                                                ("y ~ x", bp.LinearVarying("g")), ("y ~ C(g)", bp.Population())])
def test_a_warning_names_the_line_of_its_caller(rows: pd.DataFrame, formula: str, prior: bp.Population) -> None:
    rows["g"] = pd.Categorical(rows["g"], categories=["a", "b", "c", "never"])
    with pytest.warns(InputWarning) as caught:
        bp.fit(bp.Model(formula, prior), rows, method=bp.Laplace(draws=10), seed=1, progress=False)
    assert any("never" in str(each.message) for each in caught)
    assert {each.filename for each in caught if issubclass(each.category, InputWarning)} == {__file__}


def test_labels_that_read_the_same_are_spelled_out() -> None:
    assert spelled(["a", 1, "1", 2, ""]) == ("a", "1", "'1'", "2", "")
    assert len(spelled(range(100_000))) == 100_000


def test_dates_of_every_make_of_frame_are_dates() -> None:
    days = [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), datetime.date(2022, 1, 1)]
    moments = [datetime.datetime(day.year, day.month, day.day) for day in days]
    expected = None
    for frame in (pl.DataFrame({"t": days}), pa.table({"t": days}), pd.DataFrame({"t": days}),
                  pd.DataFrame({"t": pd.Series(days, dtype=pd.ArrowDtype(pa.date32()))}), pl.DataFrame({"t": moments}),
                  pa.table({"t": moments}), pd.DataFrame({"t": moments}), pd.DataFrame({"t": moments}, dtype=object)):
        rows = table(frame).assign(y=[1.0, 2.0, 4.0])
        found = bp.Model("y ~ 1", prior=bp.LinearVarying("t")).bind(rows).features[0].matrix
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)
