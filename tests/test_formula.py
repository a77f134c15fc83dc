"""Formulas mean what they say: outcomes, names of every alphabet, functions of one's own, and what to write instead."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_personal as bp
from bayes_personal.errors import (
    BayesPersonalError,
    InputError,
    InputWarning,
    SpecificationError,
)
from bayes_personal.formulas.design import Design
from bayes_personal.formulas.expression import CHARACTERS, DEPTH, Expression, Scope
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.syntax import BRACKETS
from bayes_personal.formulas.terms import outcome


def numbers(frame: pd.DataFrame, text: str, **functions: Any) -> np.ndarray:
    """What an expression is in the rows of a frame."""
    return np.asarray(Expression.read(text, functions).value(Scope(frame, functions)))


def every_kind() -> pd.DataFrame:
    """Columns of every kind."""
    rng = np.random.default_rng(3)
    return pd.DataFrame({"post": rng.uniform(5, 9, 24), "pre": rng.uniform(1, 4, 24), "x": rng.normal(size=24),
                         "my y": rng.uniform(1, 2, 24), "x 1": rng.normal(size=24), "g": list("abcd") * 6,
                         "day": pd.date_range("2024-02-27", periods=24)})


@pytest.fixture
def rows() -> pd.DataFrame:
    return every_kind()


OUTCOMES = {
    "post - pre ~ x": lambda f: f.post - f.pre,
    "(post - pre) ~ x": lambda f: f.post - f.pre,
    "{post - pre} ~ x": lambda f: f.post - f.pre,
    "I(post - pre) ~ x": lambda f: f.post - f.pre,
    "post - 1 ~ x": lambda f: f.post - 1,
    "-post ~ x": lambda f: -f.post,
    "post**2 ~ x": lambda f: f.post**2,
    "post / pre ~ x": lambda f: f.post / f.pre,
    "post * 2 ~ x": lambda f: f.post * 2,
    "log( post ) - log(pre) ~ x": lambda f: np.log(f.post) - np.log(f.pre),
    "`my y` ~ x": lambda f: f["my y"],
    "Q('my y') ~ x": lambda f: f["my y"],
    "log(`my y`) ~ x": lambda f: np.log(f["my y"]),
    "np.where(g == 'a', post, pre) ~ x": lambda f: f.post.where(f.g == "a", f.pre),
    "day.dt.day ~ x": lambda f: f.day.dt.day,
}


@pytest.mark.parametrize("formula", OUTCOMES)
def test_an_outcome_means_what_it_says(rows: pd.DataFrame, formula: str) -> None:
    bound = bp.Model(formula).bind(rows)
    np.testing.assert_allclose(bound.y, OUTCOMES[formula](rows), rtol=1e-14)
    assert bp.Model(formula).outcome == Formula.read(formula).outcome.text


REFUSED_OUTCOMES = {
    "post + pre ~ x": "more than one outcome.*I\\(a \\+ b\\)",
    "post, pre ~ x": "more than one outcome",
    "[post, pre] ~ x": "more than one outcome",
    "post:pre ~ x": r"write a \* b for a product",
    "post^2 ~ x": r"Write \*\*",
    "3 ~ x": "no outcome",
    "I(3) ~ x": "no outcome",
    "post ~ x ~ pre": "more than one '~'",
    "post pre ~ x": "'post pre' is not an expression",
    "C(g) ~ x": "one column of numbers",
    "poly(post, 2) ~ x": "one column of numbers",
}


@pytest.mark.parametrize("formula", REFUSED_OUTCOMES)
def test_what_no_outcome_can_mean_is_refused(rows: pd.DataFrame, formula: str) -> None:
    with pytest.raises(SpecificationError, match=REFUSED_OUTCOMES[formula]):
        bp.Model(formula).bind(rows)


@pytest.mark.parametrize("formula", ["post ~ x", "`my y` ~ x", "log(post) ~ x", "log( post ) ~ x", "I(post*2) ~ x",
                                     "post - pre ~ x", "Q('my y') ~ x"])
def test_a_simulated_frame_is_fitted_to_what_was_simulated(rows: pd.DataFrame, formula: str) -> None:
    model = bp.Model(formula)
    made = bp.simulate(model, rows, seed=1)
    np.testing.assert_array_equal(model.bind(made.frame).y, made.outcome)
    assert not np.allclose(made.outcome, model.bind(rows).y)


def test_simulate_takes_the_unit_of_an_outcome_that_is_computed(rows: pd.DataFrame) -> None:
    """Ten times the differences, and everything relative is ten times as large."""
    scaled = rows.assign(post=10 * rows["post"], pre=10 * rows["pre"])
    one, ten = (bp.simulate(bp.Model("post - pre ~ x"), frame, seed=2) for frame in (rows, scaled))
    np.testing.assert_allclose(ten.outcome, 10 * one.outcome, rtol=1e-10)


RIGHT_SIDES = ("y ~ I(y*2)", "y ~ scale(y)", "y ~ log(y)", "y ~ x:y", "log(y) ~ y", "I(y - 1) ~ x + y", "y ~ x + `y`",
               "post - pre ~ post + pre", "y ~ bs(y, df=4)", "y ~ Q('y')")


@pytest.mark.parametrize("formula", RIGHT_SIDES)
def test_an_outcome_does_not_explain_itself(formula: str) -> None:
    with pytest.raises(SpecificationError, match="outcome among the predictors"):
        bp.Model(formula)


READERS = {
    "context": ("y ~ 1", {"prior": bp.LinearVarying("y")}),
    "tree": ("y ~ x", {"prior": bp.TreePartition("z", "y")}),
    "summand": ("y ~ x", {"prior": bp.PartialPooling("g") + bp.GaussianProcess("y")}),
    "standard error": ("y ~ x", {"family": bp.Normal(sd="y")}),
    "exposure": ("y ~ x", {"family": bp.Poisson(exposure="y")}),
    "with a predictor": ("y - x ~ x", {"prior": bp.LinearVarying("y")}),
}


@pytest.mark.parametrize("case", READERS)
def test_the_outcome_is_no_context_of_its_own(case: str) -> None:
    formula, arguments = READERS[case]
    with pytest.raises(SpecificationError, match="reads the outcome's own column 'y'"):
        bp.Model(formula, **arguments)


READ_TWICE = {
    "predictor as context": ("post ~ x", bp.LinearVarying("x"), "'x' is a predictor and read by LinearVarying"),
    "predictor as group": ("post ~ C(g)", bp.PartialPooling("g"), "'g' is a predictor and read by PartialPooling"),
    "part of the outcome": ("post - pre ~ pre", bp.Population(), "'pre' is part of the outcome post - pre"),
    "part of the outcome as context": ("post - pre ~ x", bp.LinearVarying("pre"), "'pre' is part of the outcome"),
}


@pytest.mark.parametrize("case", READ_TWICE)
def test_a_column_with_two_parts_in_the_model_is_warned_of_once(rows: pd.DataFrame, case: str) -> None:
    formula, prior, words = READ_TWICE[case]
    with pytest.warns(InputWarning, match=words) as caught:
        bp.Model(formula, prior).bind(rows)
    assert len(caught) == 1


# Names that Python's parser takes for another, and that other.
COMPATIBLE = {
    "micro sign": ("\u00b5g", "\u03bcg"), "angstrom": ("\u212b", "\u00c5"), "ligature": ("\ufb01t", "fit"),
    "ordinal": ("n\u00ba", "no"), "decomposed": ("gro\u0308sse", "gr\u00f6sse"), "superscript": ("m\u00b2", "m2"),
    "full width": ("\uff58", "x"), "mathematical bold": ("\U0001d431", "x"), "long s": ("\u017fum", "sum"),
    "roman numeral": ("\u2163", "IV"),
}
ON_A_COLUMN = {
    "{0}": lambda v: v,
    "`{0}`": lambda v: v,
    "log({0})": np.log,
    "log(`{0}`)": np.log,
    "I({0} * 2)": lambda v: 2 * v,
    "scale({0})": lambda v: (v - v.mean()) / v.std(ddof=1),
    "poly({0}, 1)": lambda v: (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).sum()),
    "Q('{0}')": lambda v: v,
}


@pytest.mark.parametrize("kind", COMPATIBLE)
@pytest.mark.parametrize("both", [True, False])
def test_a_name_is_the_column_that_is_written_so(rows: pd.DataFrame, kind: str, both: bool) -> None:
    odd, plain = COMPATIBLE[kind]
    frame = pd.DataFrame({odd: rows["post"], "y": rows["x"]} | ({plain: rows["pre"]} if both else {}))
    for text, right in ON_A_COLUMN.items():
        design, x = Design.learn(Formula.read(f"y ~ {text.format(odd)}"), frame)
        np.testing.assert_allclose(x[:, 1], right(frame[odd].to_numpy()), rtol=1e-10, err_msg=text)
        np.testing.assert_allclose(design.at(frame), x, rtol=1e-12)
        if both:
            x = Design.learn(Formula.read(f"y ~ {text.format(plain)}"), frame)[1]
            np.testing.assert_allclose(x[:, 1], right(frame[plain].to_numpy()), rtol=1e-10, err_msg=text)
    values = outcome(Formula.read(f"log({odd}) ~ y"), frame)
    np.testing.assert_allclose(values, np.log(frame[odd]), rtol=1e-14)


ODD_NAMES = ("class", "if", "1st", "a.b", "a-b", "a b", "x:y", "log(x)", "log", "np", "C", "#0", "n0", "\u200b", "50%",
             "[", "|", "it's", 'say "x"', "a\\b", "None", "~", "\U0001f600", "x\ny", "_", "Q")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_in_backticks_may_be_anything(rows: pd.DataFrame, name: str) -> None:
    frame = rows.rename(columns={"pre": name})
    design, x = Design.learn(Formula.read(f"post ~ `{name}` + log(`{name}`) + `{name}`:x"), frame)
    right = np.column_stack([np.ones(24), rows.pre, np.log(rows.pre), rows.pre * rows.x])
    np.testing.assert_allclose(x, right, rtol=1e-13)
    assert design.coefficients[1] == name
    for text, expression in design.formula.expressions.items():
        assert Expression.read(text) == expression
    np.testing.assert_array_equal(design.at(frame), x)


@pytest.mark.parametrize("text", ["Q('x 1')", "`x 1`"])
def test_q_is_the_column_of_that_name(rows: pd.DataFrame, text: str) -> None:
    design, x = Design.learn(Formula.read(f"post ~ {text} + I({text}**2)"), rows)
    assert design.coefficients == ("Intercept", "x 1", "I(`x 1` ** 2)")
    np.testing.assert_allclose(x[:, 1:], np.column_stack([rows["x 1"], rows["x 1"] ** 2]), rtol=1e-14)


REMEDIES = {
    "c ~ x + offset(log(area))": "exposure=", "c ~ offset(area) + x": "exposure=", "k | trials(n) ~ x": "trials=",
    "trials(k, n) ~ x": "trials=", "cbind(k, f) ~ x": "trials=", "p(k, n) ~ x": "trials=", "y | weights(w) ~ x": "sd=",
    "weights(y, w) ~ x": "sd=", "y | se(s) ~ x": "sd=", "y ~ x + weights(w)": "sd=", "y ~ s(age)": r"bs\(age, df=5\)",
    "y ~ te(x, z)": r"bs\(", "y ~ gp(x)": "GaussianProcess", "y ~ x + (1 | n)": r"PartialPooling\('n'\)",
    "y ~ (1 + x || n)": r"PartialPooling\('n'\)", "y ~ x | n": r"PartialPooling\('n'\)", "y ~ factor(x)": r"C\(x\)",
    "ln(y) ~ x": r"log\(", "y ~ ifelse(x > 0, 1, 0)": "np.where",
    "y ~ x**2": r"I\(x\*\*2\)", "y ~ x^2": r"I\(x\*\*2\)", "y ~ x:x": r"I\(x\*\*2\)", "y ~ x*x": r"I\(x\*\*2\)",
    "y ~ x - z": r"I\(a - b\)", "y ~ -x": r"I\(a - b\)", "y ~ QQ('x 1')": "Did you mean 'Q'",
    "y ~ I(x > 0 & z < 1)": "Compare two at a time", "y ~ I(x > 0 and z < 1)": r"\(a > 0\) & \(b > 0\)",
    "y ~ I(x^2)": r"Write \*\*", "y ~ lag(x)": r"make it a column first, with frame\.assign",
}


@pytest.mark.parametrize("formula", REMEDIES)
def test_what_is_written_elsewhere_is_answered_with_what_to_write_here(formula: str) -> None:
    with pytest.raises(SpecificationError, match=REMEDIES[formula]):
        bp.Model(formula)


@pytest.mark.parametrize(("formula", "family", "remedy"), [
    ("c / area ~ x", bp.Poisson(), "exposure="), ("k / n ~ x", bp.Binomial("n"), "trials=")])
def test_a_rate_is_answered_with_the_argument_of_the_family(formula: str, family: Any, remedy: str) -> None:
    frame = pd.DataFrame({"c": [1, 2, 3], "area": [2.0, 3.0, 7.0], "k": [1, 2, 3], "n": [2, 3, 7], "x": [1, 5, 2.0]})
    with pytest.raises(InputError, match=remedy):
        bp.Model(formula, family=family).bind(frame)


def test_limits_are_said() -> None:
    Formula.read("y ~ " + "(" * BRACKETS + "x" + ")" * BRACKETS)
    for text, words in (("(" * (BRACKETS + 1) + "x" + ")" * (BRACKETS + 1), "brackets are nested too deeply"),
                        ("I(" + "-" * DEPTH + "x)", "nested too deeply"),
                        ("I(" + "x + " * CHARACTERS + "x)", "too long"),
                        ("*".join(f"x{k}" for k in range(20)), "more than 10,000 terms"),
                        ("(a + b + c + d)**9", "more than 10,000 terms"), (" + ".join(["x"] * 60_000), "too many")):
        with pytest.raises(SpecificationError, match=words) as caught:
            Formula.read(f"y ~ {text}")
        assert len(str(caught.value)) < 1000


def test_messages_do_not_repeat_a_long_formula(rows: pd.DataFrame) -> None:
    names = [f"predictor_number_{k}" for k in range(1500)]
    many = pd.concat([rows[["post"]], pd.DataFrame(np.random.default_rng(0).normal(size=(24, 1500)), columns=names)],
                     axis=1)
    model = bp.Model("post ~ " + " + ".join(names))
    for frame in (many.drop(columns=names[7]), many.assign(**{names[7]: np.nan}), many.assign(**{names[7]: 1.0})):
        with pytest.raises(InputError, match="predictor_number_7'") as caught:
            model.bind(frame)
        assert len(str(caught.value)) < 1000
    with pytest.warns(InputWarning) as warned:
        model.bind(many)
    assert all(len(str(each.message)) < 1000 for each in warned)


def test_factorials_with_an_empty_cell(rows: pd.DataFrame) -> None:
    """Cell means by least squares, whichever of the cells is empty."""
    cells = pd.DataFrame({"wool": np.repeat(list("AB"), 12), "tension": np.tile(np.repeat(list("LMH"), 4), 2)})
    cells["y"] = np.random.default_rng(1).normal(30, 9, 24)
    for wool, tension in (("A", "H"), ("A", "L"), ("B", "M"), ("B", "L"), ("B", "H")):
        empty = (cells["wool"] == wool) & (cells["tension"] == tension)
        some = cells[~empty]
        for formula in ("y ~ wool*tension", "y ~ 0 + wool:tension"):
            with pytest.warns(InputWarning, match="(for none has these levels together|Where no row has some levels)"):
                design, x = Design.learn(Formula.read(formula), some)
            fitted = x @ np.linalg.lstsq(x, some["y"], rcond=None)[0]
            np.testing.assert_allclose(fitted, some.groupby(["wool", "tension"])["y"].transform("mean"), rtol=1e-10)
            np.testing.assert_array_equal(design.at(some), x)
            assert x.shape[1] == len(design.coefficients) and x.any(axis=0).all()
            if not design.kept.all():
                with pytest.raises(InputError, match="4 of 4 rows .*no training row had these levels together"):
                    design.at(cells[empty])


def test_an_empty_cell_of_rows_in_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": list("pq") * 20, "b": np.repeat(list("uvwx"), 10), "y": rng.normal(size=40)})
    for empty in ("q", "x"), ("p", "u"):
        some = frame[(frame["a"] != empty[0]) | (frame["b"] != empty[1])]
        some.to_parquet(tmp_path / "rows.parquet", index=False)
        with pytest.warns(InputWarning, match="these levels together|some levels together"):
            held = bp.Model("y ~ a*b").bind(some)
        with pytest.warns(InputWarning, match="these levels together|some levels together"):
            stored = bp.Model("y ~ a*b").bind(tmp_path / "rows.parquet")
        (batch,) = stored.rows.batches()
        np.testing.assert_array_equal(batch.x, held.x)
        assert stored.coefficients.names == held.coefficients.names
        np.testing.assert_allclose(stored.coefficients.unit, held.coefficients.unit, rtol=1e-12)


@pytest.mark.parametrize("formula", ["(post > 7) ~ x", "I(g == 'a') ~ x", "(post > 7) & (x < 1) ~ pre"])
def test_a_comparison_is_a_true_or_false_outcome(rows: pd.DataFrame, formula: str) -> None:
    bound = bp.Model(formula, family=bp.Bernoulli()).bind(rows)
    assert set(bound.y) == {0.0, 1.0}


def test_an_empty_cell_is_fitted_saved_and_predicted(rows: pd.DataFrame, tmp_path: Path) -> None:
    frame = rows[(rows["g"] != "d") | (rows["x"] > 0)].assign(h=lambda f: np.where(f["x"] > 0, "up", "down"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        posterior = bp.fit(bp.Model("post ~ g*h"), frame, method=bp.Laplace(), seed=1, progress=False)
        posterior.save(tmp_path / "cell.nc")
        again = bp.load(tmp_path / "cell.nc")
    pd.testing.assert_frame_equal(bp.predict(again, frame).frame(), bp.predict(posterior, frame).frame())


ADVICE = {
    "cr(x, df=5)": "constraints='center'", "cs(x, df=5)": "constraints='center'", "cc(x, df=5)": "constraints='center'",
    "x + I(2 * x)": "Remove one of them",
}


@pytest.mark.parametrize("term", ADVICE)
def test_advice_on_predictors_that_depend_on_one_another_can_be_followed(rows: pd.DataFrame, term: str) -> None:
    with pytest.warns(InputWarning, match=ADVICE[term]) as caught:
        bp.Model(f"post ~ {term}").bind(rows)
    assert len(caught) == 1
    if "center" in ADVICE[term]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            bp.Model(f"post ~ {term[:-1]}, constraints='center')").bind(rows)


PIECES = ("y", "x", "g", "`x 1`", "log(", "C(", "bs(x, df=4", "I(", ")", "(", "[", "]", "{", "}", "~", "+", "-", "*",
          "/", ":", "**", "^", "|", "%in%", "%", "1", "0", "2", "1e5", ".", ",", "=", "'a'", '"', "`", " ", "np.",
          ".dt.year", "\\", "#0", "\n", "\u00b5", "and", "lambda", ":=", "<", "!", "?", "$", "@", ";", "\x00",
          "Q('x 1')")


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans())
@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_text_is_read_or_refused_in_our_words(pieces: list[str], with_outcome: bool) -> None:
    frame = pd.DataFrame({"y": np.arange(8.0) ** 2, "x": np.cos(np.arange(8)), "x 1": np.sin(np.arange(8)),
                          "g": list("abcdabcd")})
    text = "y ~ " * with_outcome + "".join(pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        try:
            formula = Formula.read(text)
            design, x = Design.learn(formula, frame)
            again = design.at(frame)
            y = outcome(formula, frame)
        except BayesPersonalError as error:
            assert 10 < len(str(error)) < 5000
            return
    np.testing.assert_array_equal(again, x)
    assert len(y) == len(x) == 8


@pytest.mark.parametrize("right", ["3:x", "x:2 + z", "x + 2:z", "(x + z):2", "(x + z)/2", "x/100", "2*x", "2*(x + z)",
                                   "x/0", "x*1", "x + 2", "(x + z)**2:3"])
def test_numbers_that_would_rescale_a_predictor_are_refused(right: str) -> None:
    with pytest.raises(SpecificationError, match=r"the number \d+ would rescale .* I\(x / 100\)"):
        bp.Model(f"y ~ {right}")


@pytest.mark.parametrize("right", ["1 + x", "0 + x", "x - 1", "(1 + x):z", "(x + z)**2", "(x + z)^2:w", "x/z"])
def test_numbers_that_scale_nothing_are_taken(right: str) -> None:
    assert bp.Model(f"y ~ {right}").formula == f"y ~ {right}"


def test_a_comparison_of_predictors_is_told_where_to_go() -> None:
    with pytest.raises(SpecificationError, match=r"I\(x > 0\)"):
        bp.Model("y ~ x>0")
