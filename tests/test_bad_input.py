"""Bad input: an error of ours that names the column, the rows and the remedy, before anything compiles or samples."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from conftest import dense
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_personal as bp
from bayes_personal.errors import BayesPersonalError, InputError, InputTypeError, InputWarning, SpecificationError

ROWS = 12
DAYS = pd.date_range("2020-01-01", periods=ROWS)
PRIORS = {
    "Population": bp.Population(), "PartialPooling": bp.PartialPooling("site"), "Conditional": bp.Conditional("site"),
    "LinearVarying": bp.LinearVarying("age"), "spline": bp.LinearVarying("age", basis="spline", df=4),
    "GaussianProcess": bp.GaussianProcess("age"), "TotalVariation": bp.TotalVariation("age"),
    "DistanceRegularized": bp.DistanceRegularized("age", "site", neighbors=3),
}


def good() -> pd.DataFrame:
    """Twelve rows that every prior takes; their labels are the row number times ten."""
    rng = np.random.default_rng(3)
    return pd.DataFrame({"y": rng.normal(size=ROWS), "x": rng.normal(size=ROWS), "site": list("abc" * 4),
                         "age": np.linspace(20.0, 75.0, ROWS)}, index=np.arange(ROWS) * 10)


def with_value(column: str, row: int, value: object) -> pd.DataFrame:
    frame = good()
    frame[column] = frame[column].astype(object)
    frame.iloc[row, list(frame.columns).index(column)] = value
    return frame.infer_objects()


@pytest.fixture(autouse=True)
def nothing_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    def began(*_: object) -> None:
        raise AssertionError("sampling began")
    monkeypatch.setattr(bp.NUTS, "sample", began)


BAD_FRAMES = {
    "missing outcome": (with_value("y", 2, None), InputError, ["'y'", "1 of 12", "(20)", "dropna"]),
    "missing predictor": (with_value("x", 4, np.nan), InputError, ["'x'", "1 of 12", "(40)", "dropna"]),
    "missing context": (with_value("age", 4, np.nan), InputError, ["'age'", "1 of 12", "(40)", "dropna"]),
    "several missing": (good().assign(x=[np.nan] * 5 + [1.0] * 7), InputError, ["5 of 12", "(0, 10, 20, ...)"]),
    "infinite outcome": (with_value("y", 1, np.inf), InputError, ["'y'", "infinite", "1 of 12", "(10)", "cap"]),
    "infinite predictor": (with_value("x", 1, -np.inf), InputError, ["'x'", "infinite", "1 of 12", "(10)"]),
    "infinite context": (with_value("age", 1, np.inf), InputError, ["'age'", "infinite", "1 of 12", "(10)"]),
    "missing group label": (with_value("site", 3, None), InputError, ["'site'", "1 of 12", "30", "Label or drop"]),
    "no rows": (good().iloc[:0], InputError, ["0 rows"]),
    "one row": (good().iloc[:1], InputError, ["'x'", "one value in all 1 rows"]),
    "constant predictor": (good().assign(x=7.0), InputError, ["'x'", "one value in all 12 rows", "intercept"]),
    "constant outcome": (good().assign(y=7.0), InputError, ["'y'", "7", "all 12 rows"]),
    "single group": (good().assign(site="a"), InputError, ["'site'", "single group", "'a'", "Population()"]),
    "context of one value": (good().assign(age=30.0), InputError, ["'age'", "30.0", "all 12 rows", "Population()"]),
    "context 1e-300 apart": (good().assign(age=[0.0, 1e-300] * 6), InputError, ["'age'", "1e-300", "escale"]),
    "context within rounding": (good().assign(age=1 + 1e-15 * np.arange(ROWS)), InputError, ["'age'", "Subtract"]),
    "predictor within rounding": (good().assign(x=1 + 1e-15 * np.arange(ROWS)), InputError, ["'x'", "Subtract"]),
    "denormal predictor": (good().assign(x=5e-324 * np.arange(ROWS)), InputError, ["'x'", "escale"]),
    "predictor that squares to infinity": (with_value("x", 2, 1e200), InputError, ["'x'", "1 of 12", "(20)", "escale"]),
    "outcome that squares to infinity": (with_value("y", 2, -1e200), InputError, ["'y'", "1 of 12", "(20)", "escale"]),
    "integers beyond float64": (good().assign(x=2**53 + 1 + np.arange(ROWS)), InputError, ["'x'", "2**53", "12 rows"]),
    "least integers": (good().assign(x=-(2**63) + np.arange(ROWS)), InputError, ["'x'", "2**53"]),
    "unsigned integers": (good().assign(x=np.arange(ROWS, dtype="uint64") + 2**63), InputError, ["'x'", "2**53"]),
    "outcome as text": (good().assign(y=["1.0"] * 11 + ["2,5"]), InputTypeError, ["'y'", "'2,5'", "110", "to_numeric"]),
    "predictor as text": (good().assign(x=[f"{i},5" for i in range(ROWS)]), InputTypeError,
                          ["'x'", "'0,5'", "row 0", "to_numeric", "category"]),
    "context as text": (good().assign(age=list(map(str, range(ROWS)))), InputTypeError, ["'age'", "'0'", "to_numeric"]),
    "numbers and text": (good().assign(x=pd.Series([1, "a"] * 6, index=good().index, dtype=object)), InputTypeError,
                         ["'x'", "'a'", "row 10"]),
    "decimal predictor": (good().assign(x=list(map(Decimal, range(ROWS)))), InputTypeError, ["'x'", "Decimal"]),
    "decimal outcome": (good().assign(y=list(map(Decimal, range(ROWS)))), InputTypeError, ["'y'", "Decimal"]),
    "decimal context": (good().assign(age=list(map(Decimal, range(ROWS)))), InputTypeError, ["'age'", "Decimal"]),
    "complex predictor": (good().assign(x=1j * np.arange(ROWS)), InputTypeError, ["'x'", "complex"]),
    "complex outcome": (good().assign(y=1j * np.arange(ROWS)), InputTypeError, ["'y'", "complex"]),
    "lists as predictor": (good().assign(x=[[1]] * ROWS), InputTypeError, ["'x'", "[1]"]),
    "lists as labels": (good().assign(site=[[1], [2]] * 6), InputTypeError, ["'site'", "list", "[1]", "text"]),
    "missing nullable integer": (good().assign(x=pd.array([1, None, *range(10)], dtype="Int64")), InputError,
                                 ["'x'", "1 of 12", "(10)"]),
    "missing nullable boolean": (good().assign(x=pd.array([True, None, *[False] * 10], dtype="boolean")), InputError,
                                 ["'x'", "1 of 12", "(10)"]),
    "dates as predictor": (good().assign(x=DAYS), InputTypeError, ["'x'", "dates", "days"]),
    "missing date": (good().assign(age=[pd.NaT, *DAYS[1:]]), InputError, ["'age'", "1 of 12", "(0)"]),
    "mixed time zones": (good().assign(age=[day.tz_localize("UTC" if day.day % 2 else "Asia/Tokyo") for day in DAYS]),
                         InputTypeError, ["'age'", "time zones", "utc=True"]),
    "dates with and without time zone": (good().assign(age=[DAYS[0].tz_localize("UTC"), *DAYS[1:]]), InputTypeError,
                                         ["'age'", "time zones", "utc=True"]),
    "repeated column name": (pd.concat([good(), good()[["x"]]], axis=1), InputError, ["'x'", "more than one", "drop"]),
    "columns of two levels": (pd.concat({"a": good()}, axis=1), InputError, ["2 levels", "flatten"]),
    "missing column": (good().rename(columns={"x": "xx"}), InputError, ["'x'", "mean 'xx'?", "y, xx, site, age"]),
    "missing label column": (good().rename(columns={"site": "sites"}), InputError, ["'site'", "Did you mean 'sites'?"]),
    "missing context column": (good().rename(columns={"age": "Age"}), InputError, ["'age'", "Did you mean 'Age'?"]),
    "an array": (good().to_numpy(), InputTypeError, ["ndarray", "pandas, polars or Arrow"]),
    "a dictionary": ({"y": [1.0]}, InputTypeError, ["dict", "pandas, polars or Arrow"]),
    "a column": (good()["y"], InputTypeError, ["Series", "pandas, polars or Arrow"]),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_frame(case: str) -> None:
    frame, kind, words = BAD_FRAMES[case]
    prior = bp.PartialPooling("site") + bp.LinearVarying("age")
    with warnings.catch_warnings(), pytest.raises(kind) as caught:
        warnings.simplefilter("error")
        bp.fit(bp.Model("y ~ x", prior=prior), frame)
    assert isinstance(caught.value, BayesPersonalError)
    for word in words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


BAD_FORMULAS = {
    "no outcome": ("~ x", SpecificationError, ["outcome ~ predictors"]),
    "nothing": ("", SpecificationError, ["outcome ~ predictors"]),
    "constant as outcome": ("0 ~ x", SpecificationError, ["no outcome"]),
    "two outcomes": ("y + age ~ x", SpecificationError, ["more than one outcome", "I(a + b)"]),
    "outcome in parts": ("y | age ~ x", SpecificationError, ["more than one outcome"]),
    "no predictors": ("y ~ 0", SpecificationError, ["no predictors", "outcome ~ 1"]),
    "groups in the formula": ("y ~ x | site", SpecificationError, ["PartialPooling"]),
    "groups as lme4 has them": ("y ~ x + (1 | site)", SpecificationError, ["PartialPooling"]),
    "dangling plus": ("y ~ x +", SpecificationError, ["cannot be read"]),
    "open bracket": ("y ~ np.log(x", SpecificationError, ["cannot be read"]),
    "space in a name": ("y ~ blood pressure", SpecificationError, ["backticks"]),
    "everything": ("y ~ .", SpecificationError, ["by name"]),
    "not Python": ("y ~ I(x ++)", SpecificationError, ["y ~ I(x ++)"]),
    "not text": (None, InputTypeError, ["None", "text"]),
    "categorical outcome": ("site ~ x", InputTypeError, ["'site'", "'a'"]),
    "outcome made categorical": ("C(site) ~ x", SpecificationError, ["C(site)", "categorical"]),
    "outcome on both sides": ("y ~ x + y", SpecificationError, ["among the predictors"]),
    "unknown column": ("y ~ agee", InputError, ["'agee'", "Did you mean 'age'?"]),
    "unknown column in a call": ("y ~ np.log(agee)", InputError, ["'agee'", "Did you mean 'age'?"]),
    "unknown outcome": ("yy ~ x", InputError, ["'yy'", "Did you mean 'y'?"]),
    "unknown function": ("y ~ center_(x)", SpecificationError, ["'center_'", "Did you mean 'center'?", "assign"]),
    "unknown function of NumPy": ("y ~ np.lg(x)", SpecificationError, ["np.lg(x)"]),
    "infinite by formula": ("y ~ np.log(age - 20)", InputError, ["np.log(age - 20)", "infinite", "1 of 12", "(0)"]),
    "undefined by formula": ("y ~ np.log(age - 22)", InputError, ["np.log(age - 22)", "1 of 12", "(0)"]),
    "undefined category": ("y ~ C(np.sqrt(age - 22))", InputError, ["C(np.sqrt(age - 22))", "1 of 12", "(0)"]),
    "infinite outcome by formula": ("np.log(age - 20) ~ x", InputError, ["np.log(age - 20)", "infinite", "(0)"]),
    "beyond float64 by formula": ("y ~ I(age**50)", InputError, ["I(age ** 50)", "beyond"]),
    "constant by formula": ("y ~ I(0 * x)", InputError, ["I(0 * x)", "one value"]),
    "one level": ("y ~ C(x > -100)", InputError, ["C(x > -100)", "one value"]),
    "levels left out": ("y ~ C(site, levels=['a', 'b'])", InputError, ["'c'", "levels"]),
    "as many levels as values": ("y ~ x[:3]", SpecificationError, ["x[:3]", "rows of a column"]),
    "ranks": ("y ~ x.rank()", SpecificationError, ["x.rank", "assign"]),
    "differences from the mean": ("y ~ I(x - np.mean(x))", SpecificationError, ["np.mean(x)", "each row by itself"]),
    "shifted": ("y ~ x.shift(fill_value=0)", SpecificationError, ["x.shift", "assign"]),
}


@pytest.mark.parametrize("case", BAD_FORMULAS)
def test_bad_formula(case: str) -> None:
    formula, kind, words = BAD_FORMULAS[case]
    with warnings.catch_warnings(), pytest.raises(kind) as caught:
        warnings.simplefilter("error")
        bp.fit(bp.Model(formula), good())
    assert isinstance(caught.value, BayesPersonalError)
    for word in words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


WARNED = {
    "a row": ("y ~ 1", good().iloc[:1], ["1 coefficients for 1 rows"]),
    "more coefficients than rows": ("y ~ x + age + I(x**2)", good().iloc[:3], ["4 coefficients for 3 rows"]),
    "a predictor twice": ("y ~ x + z", good().assign(z=good()["x"]), ["'z'", "'x'", "Remove one"]),
    "a predictor in two units": ("y ~ x + z + age", good().assign(z=4 - 1000 * good()["x"]), ["'z'", "'x'"]),
    "a sum of predictors": ("y ~ x + age + I(x + age)", good(), ["'I(x + age)'", "'x', 'age'"]),
    "a level's own indicator": ("y ~ site + b", good().assign(b=good()["site"] == "b"), ["'b'", "'site[T.b]'"]),
    "unused categories of a predictor": (
        "y ~ c", good().assign(c=pd.Categorical(["u", "v"] * 6, categories=list("wvu"))), ["'c'", "no rows", "'w'"]),
}


@pytest.mark.parametrize("case", WARNED)
def test_unusual_input_is_fitted_with_a_warning(case: str) -> None:
    formula, frame, words = WARNED[case]
    with pytest.warns(InputWarning) as caught:
        bound = bp.Model(formula).bind(frame)
    assert len(caught) == 1 and np.isfinite(bound.x).all() and np.isfinite(bound.coefficients.unit).all()
    for word in words:
        assert word in str(caught[0].message), f"no {word!r} in: {caught[0].message}"


@pytest.mark.parametrize("prior", PRIORS)
def test_good_rows_are_taken_without_a_word(prior: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bp.Model("y ~ x", prior=PRIORS[prior]).bind(good())


WIDTHS = {"int8": np.int8, "uint16": np.uint16, "int64": np.int64, "float32": np.float32, "Int64": "Int64",
          "Float32": "Float32", "object": object}


@pytest.mark.parametrize("kind", WIDTHS)
def test_numbers_of_any_width_are_the_same_predictor(kind: str) -> None:
    """Products are of float64: 100 * 100 does not fit into int8."""
    values = pd.Series(np.arange(ROWS) * 9, index=good().index)
    plain = bp.Model("y ~ x + I(x * x)").bind(good().assign(x=values.astype(float)))
    narrow = bp.Model("y ~ x + I(x * x)").bind(good().assign(x=values.astype(WIDTHS[kind])))
    np.testing.assert_array_equal(narrow.x, plain.x)


@pytest.mark.parametrize("kind", [bool, "boolean", object])
def test_booleans_are_zero_and_one(kind: object) -> None:
    truth = pd.Series([True, False, False] * 4, index=good().index).astype(kind)
    np.testing.assert_array_equal(bp.Model("y ~ x").bind(good().assign(x=truth)).x[:, 1], [1.0, 0.0, 0.0] * 4)


@pytest.mark.parametrize("scale", [1e12, 1e-12])
@pytest.mark.parametrize("prior", PRIORS)
def test_units_go_into_the_natural_units_and_nowhere_else(prior: str, scale: float) -> None:
    plain = bp.Model("y ~ x", prior=PRIORS[prior]).bind(good())
    scaled = bp.Model("y ~ x", prior=PRIORS[prior]).bind(
        good().assign(y=good()["y"] / scale, x=good()["x"] * scale, age=good()["age"] * scale))
    np.testing.assert_allclose(scaled.coefficients.unit, plain.coefficients.unit / [scale, scale**2], rtol=1e-12)
    for one, other in zip(plain.features, scaled.features, strict=True):
        difference = dense(one.matrix) - dense(other.matrix)
        assert abs(difference).max() < 1e-9


MISUSED = {
    "standard deviation of zero": (lambda: bp.Hyperprior("HalfNormal", sigma=0.0), ["sigma", "positive"]),
    "infinite standard deviation": (lambda: bp.Hyperprior("HalfNormal", sigma=np.inf), ["sigma", "finite"]),
    "negative rate": (lambda: bp.Hyperprior("Gamma", alpha=1, beta=-1), ["beta", "positive"]),
    "unknown hyperprior": (lambda: bp.Hyperprior("HalfNorm", sigma=1), ["HalfNormal"]),
    "scale that can be negative": (lambda: bp.PartialPooling("site", scale=bp.Hyperprior("Normal", sigma=1)),
                                   ["negative", "HalfNormal"]),
    "concentration of no correlations": (lambda: bp.PartialPooling("site", concentration=1, correlated=False),
                                         ["concentration=1", "correlated=False", "Leave one"]),
    "correlated as text": (lambda: bp.PartialPooling("site", correlated="no"), ["correlated='no'", "True or False"]),
    "concentration of zero": (lambda: bp.PartialPooling("site", concentration=0), ["concentration=0", "positive"]),
    "a mean that is not Normal": (
        lambda: bp.Conditional("site", mean=bp.Hyperprior("Cauchy", beta=1)), ["Cauchy", "Normal"]),
    "two priors for the whole": (lambda: bp.Model("y ~ x", prior=bp.Conditional("site") + bp.Conditional("arm")).bind(
        good().assign(arm=list("ab") * 6)), ["two summands", "on="]),
    "knots as text": (lambda: bp.LinearVarying("age", basis="spline", df="a"), ["df='a'", "whole number"]),
    "a number for a hyperprior": (lambda: bp.PartialPooling("site", scale=3), ["scale=3", "Hyperprior"]),
    "text for a number": (lambda: bp.Hyperprior("HalfNormal", sigma="a"), ["sigma='a'", "number"]),
    "no coefficient": (lambda: bp.Model("y ~ x", prior=bp.PartialPooling("site", on=[])).bind(good()), ["on=()"]),
    "unknown basis": (lambda: bp.LinearVarying("age", basis="splines"), ["'splines'", "'spline'"]),
    "two knots": (lambda: bp.LinearVarying("age", basis="spline", df=2), ["df=2", "3"]),
    "unknown kernel": (lambda: bp.GaussianProcess("age", kernel="rbf"), ["'rbf'", "matern52"]),
    "four contexts at once": (lambda: bp.GaussianProcess(*"abcd"), ["4 contexts"]),
    "no context": (lambda: bp.Model("y ~ x", prior=bp.LinearVarying()).bind(good()), ["at least one context"]),
    "a context twice": (lambda: bp.Model("y ~ x", prior=bp.LinearVarying("age", "age")).bind(good()), ["twice"]),
    "a column for two priors": (
        lambda: bp.Model("y ~ x", prior=bp.PartialPooling("site") + bp.Conditional("site")).bind(good()), ["'site'"]),
    "unknown coefficient": (
        lambda: bp.Model("y ~ x", prior=bp.PartialPooling("site", on=["xx"])).bind(good()), ["'xx'", "'x'"]),
    "text where numbers must be": (
        lambda: bp.Model("y ~ x", prior=bp.GaussianProcess("site")).bind(good()), ["'site'", "PartialPooling"]),
    "negative standard error": (
        lambda: bp.Model("y ~ x", family=bp.Normal(sd="s")).bind(good().assign(s=[1.0] * 11 + [-1.0])), ["'s'", "110"]),
    "three draws": (lambda: bp.NUTS(draws=3), ["draws=3", "4 or more"]),
    "half a draw": (lambda: bp.NUTS(draws=10.5), ["draws=10.5", "whole number"]),
    "no chains": (lambda: bp.NUTS(chains=0), ["chains=0", "1 or more"]),
    "certain acceptance": (lambda: bp.NUTS(target_accept=1.0), ["target_accept=1.0"]),
}


@pytest.mark.parametrize("case", MISUSED)
def test_a_contradiction_is_refused_when_it_is_stated(case: str) -> None:
    make, words = MISUSED[case]
    with pytest.raises((SpecificationError, InputError)) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"no {word!r} in: {caught.value}"


@pytest.mark.parametrize("name", [3, None, ["site"]], ids=repr)
@pytest.mark.parametrize("prior", [bp.PartialPooling, bp.Conditional])
def test_a_column_is_named_by_text(prior: type, name: object) -> None:
    with pytest.raises(InputTypeError, match="must be text"):
        bp.Model("y ~ x", prior=prior(name)).bind(good().rename(columns={"age": 3}))


clean = st.floats(-1e3, 1e3)
numbers = st.one_of(clean, st.sampled_from([0.0, 1.0, 1e-300, 5e-324, 1e300, -1e80, 1e15]))
dirt = st.sampled_from([np.nan, np.inf, -np.inf])
KINDS = [
    clean, numbers, st.one_of(clean, dirt), st.just(3.0), st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1),
    st.booleans(), st.sampled_from(["a", "b", "", "ü /:[]", "1"]), st.sampled_from(["1", "2,5"]),
    st.sampled_from([1, "1", 2.0, None, True]), st.sampled_from([Decimal(1), Decimal("NaN")]), st.complex_numbers(),
    st.sampled_from([pd.Timestamp(2020, 1, 1), pd.Timestamp(2021, 1, 1), pd.NaT]),
    st.sampled_from([pd.Timestamp(2020, 1, 1), pd.Timestamp(2020, 1, 1, tz="UTC")]),
    st.sampled_from([(1, 2), (3,), frozenset()]), st.lists(st.integers(0, 1), max_size=1), st.none(),
]


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """One to twelve rows of columns of any kind, nearly always with the names that the models need."""
    rows = draw(st.integers(1, 12))
    columns = []
    for name in ("y", "x", "c", draw(st.sampled_from(["extra"] * 19 + ["x"]))):
        kind = KINDS[0] if draw(st.integers(0, 2)) else draw(st.sampled_from(KINDS))
        values = pd.Series(draw(st.lists(kind, min_size=rows, max_size=rows)), name=name, dtype=object)
        turn = draw(st.sampled_from(["object", "category"] + ["infer"] * 8))
        if turn == "infer":
            values = values.infer_objects()
        elif turn == "category" and all(isinstance(value, str | float) for value in values):
            values = values.astype("category")
        columns.append(values)
    frame = pd.concat(columns, axis=1)
    frame.index = pd.Index(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))
    return frame


FUZZED = (bp.Population(), bp.PartialPooling("c"), bp.Conditional("c"), bp.LinearVarying("c"),
          bp.LinearVarying("c", basis="spline", df=5), bp.GaussianProcess("c"),
          bp.TotalVariation("c"), bp.Sparse())
FORMULAS = ("y ~ x", "y ~ C(x)", "y ~ x * c", "y ~ 0 + x", "y ~ np.log(x) + poly(c, 2)", "I(y - 1) ~ center(x)",
            "y ~ 1")


@given(frames(), st.sampled_from(FORMULAS), st.sampled_from(FUZZED))
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_frame_is_bound_or_refused_in_our_words(frame: pd.DataFrame, formula: str, prior: bp.Population) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        try:
            bound = bp.Model(formula, prior=prior).bind(frame)
            features = bound.features
            again = bound.design.at(bound.frame)
        except BayesPersonalError as error:
            assert len(str(error)) > 10
            return
    assert np.isfinite(bound.x).all() and np.isfinite(bound.y).all()
    assert np.isfinite(bound.coefficients.unit).all() and (bound.coefficients.unit > 0).all()
    for one in features:
        assert one.matrix.shape[0] == len(frame) and np.isfinite(dense(one.matrix).sum())
    np.testing.assert_array_equal(again, bound.x)
    pd.testing.assert_index_equal(bound.frame.index, frame.index)
