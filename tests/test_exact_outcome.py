"""An outcome that predictors explain to the last digit is refused before sampling, and nothing else is."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import InputError

ROWS = 40
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": RNG.normal(size=ROWS), "z": RNG.normal(size=ROWS), "g": list("abcd") * 10,
                      "e": RNG.normal(size=ROWS), "se": 1.0})
MADE = {
    "line": ("1 + 2 * x", "y ~ x + z", ["'x'"]),
    "the predictor itself": ("x", "y ~ x", ["'x'"]),
    "rounding": ("1 + 2 * x + 1e-9 * e", "y ~ x + z", ["'x'"]),
    "two predictors": ("3 * x - z", "y ~ x + z", ["'x', 'z'"]),
    "no intercept": ("2 * x", "y ~ 0 + x + z", ["'x'"]),
    "large and far": ("1e9 + 1e6 * x", "y ~ x", ["'x'"]),
    "small": ("1e-9 * x", "y ~ x", ["'x'"]),
    "square": ("x * x - x", "y ~ x + I(x**2)", ["'x', 'I(x ** 2)'"]),
    "means of groups": ("(g == 'a') - 2 * (g == 'b')", "y ~ g", ["'g[T.b]'"]),
}


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize("family", [bp.Normal(), bp.StudentT()], ids=repr)
def test_an_exact_outcome_is_refused_by_the_names_of_its_predictors(case: str, family: bp.Normal) -> None:
    outcome, formula, words = MADE[case]
    frame = FRAME.assign(y=FRAME.eval(outcome).astype(float))
    for prior in (bp.Population(), bp.PartialPooling("g")):
        with pytest.raises(InputError, match="exact linear combination") as caught:
            bp.Model(formula, prior, family).bind(frame)
        for word in (*words, "40 rows", "Remove"):
            assert word in str(caught.value)


def test_an_outcome_with_errors_of_any_size_that_sums_resolve_is_fitted() -> None:
    """At a millionth of the spread, sigma is still learned: its posterior is that of the residuals."""
    frame = FRAME.assign(y=1 + 2 * FRAME["x"] + 2e-6 * FRAME["e"])
    posterior = bp.fit(bp.Model("y ~ x"), frame, seed=1, progress=False, method=bp.Laplace())
    assert not posterior.complaints
    x = np.column_stack([np.ones(ROWS), frame["x"]])
    left = frame["y"] - x @ np.linalg.lstsq(x, frame["y"])[0]
    # sigma^2 | y is a scaled inverse chi-squared of 38 degrees of freedom, the mean of sigma 1.02 s.
    size = np.sqrt((left**2).sum() / (ROWS - 2))
    np.testing.assert_allclose(posterior.tree["posterior"]["sigma"].mean(), 1.02 * size, rtol=4 * 0.12 / np.sqrt(1000))


def test_known_errors_and_few_rows_are_no_reason() -> None:
    exact = FRAME.assign(y=2 * FRAME["x"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bp.Model("y ~ x", family=bp.Normal(sd="se")).bind(exact)
    with pytest.warns(bp.errors.InputWarning, match="2 coefficients for 1 rows|3 coefficients for 3 rows|prior"):
        bp.Model("y ~ x + z + e").bind(exact.head(3))


WITHIN = {
    "measured once a group": ("y ~ 1", FRAME["g"].map({"a": 1.0, "b": 4.0, "c": 9.0, "d": 2.0})),
    "a line of each group": ("y ~ x", FRAME["x"] * FRAME["g"].map({"a": 1.0, "b": 4.0, "c": 9.0, "d": 2.0}) + 1),
}


@pytest.mark.parametrize("case", WITHIN)
@pytest.mark.parametrize("prior", [bp.PartialPooling("g"), bp.Conditional("g")], ids=repr)
def test_an_outcome_that_is_exact_within_groups_is_refused(case: str, prior: bp.PartialPooling) -> None:
    formula, outcome = WITHIN[case]
    with pytest.raises(InputError, match=r"Within every group of 'g' .*\(40 of 40 rows\).*keep one row of each"):
        bp.Model(formula, prior).bind(FRAME.assign(y=outcome))
    noisy = FRAME.assign(y=outcome + np.where(FRAME["g"] == "a", 0.01 * FRAME["e"], 0.0))
    assert len(bp.Model(formula, prior).bind(noisy).terms) == 1
    if formula == "y ~ x":
        assert len(bp.Model(formula, bp.PartialPooling("g", on="Intercept")).bind(FRAME.assign(y=outcome)).terms) == 1
