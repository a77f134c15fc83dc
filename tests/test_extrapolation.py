"""Rows far from all training rows are counted: beyond a range, in a long gap, and not among ordinary values."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.data.gaps import long_gaps, within
from bayes_personal.errors import InputWarning

DAYS = np.r_[0:21, 80:101].astype(float)
SHORT = bp.NUTS(draws=5, tune=5, chains=1)


def said(call) -> list[str]:
    """The warnings of input of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in caught if each.category is InputWarning]


def walk(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"t": DAYS, "y": np.cumsum(rng.normal(size=101))[DAYS.astype(int)], "s": rng.normal(size=42)})


@pytest.mark.parametrize(("values", "wanted"), [
    (DAYS, [[20, 80]]), (np.r_[DAYS, DAYS], [[20, 80]]), (np.r_[DAYS, 200.0], [[20, 80], [100, 200]]),
    (np.r_[0:30:1.0, 365:395, 730:760], [[29, 365], [394, 730]]), (np.r_[0:9:1.0, 500], [[8, 500]]),
    (np.arange(50.0), []), (2.0 ** np.arange(12), []), (10.0 ** np.arange(8), []), (np.array([0.0, 1, 100]), []),
    (np.zeros(5), []), (np.r_[0:10, 12:20, 25:40].astype(float), []), (np.arange(30.0) ** 2, [])])
def test_long_gaps_are_where_a_reader_sees_them(values: np.ndarray, wanted: list[list[float]]) -> None:
    for shift, scale in ((0.0, 1.0), (-3e3, 1e-9), (5.0, 1e9)):
        found = (long_gaps(np.random.default_rng(0).permutation(values) * scale + shift * scale) / scale) - shift
        np.testing.assert_allclose(found, np.reshape(wanted, (-1, 2)), atol=1e-6)


@pytest.mark.parametrize("draw", ["random", "standard_normal", "standard_exponential"])
@pytest.mark.parametrize("count", [20, 100, 1000])
def test_new_values_of_the_same_distribution_are_in_no_long_gap(draw: str, count: int) -> None:
    rng = np.random.default_rng(0)
    share = np.mean([within(long_gaps(getattr(rng, draw)(count)), getattr(rng, draw)(100)).mean() for _ in range(100)])
    assert share < 0.015


def test_only_the_middle_of_a_gap_is_far_from_its_ends() -> None:
    asked = np.array([0, 20, 21, 26.1, 50, 73.9, 79, 80, 200])
    assert within(long_gaps(DAYS), asked).tolist() == [False] * 3 + [True] * 3 + [False] * 3


@pytest.mark.parametrize("prior", [
    bp.TotalVariation("t"), bp.TreePartition("t"), bp.Partition("t"), bp.DistanceRegularized("t"),
    bp.GaussianProcess("t"), bp.LinearVarying("t"), bp.LinearVarying("t", basis="spline"), bp.PartialPooling("g")
    + bp.GaussianProcess("t")], ids=str)
def test_new_contexts_in_a_long_gap_are_counted_under_every_prior(prior: bp.priors.Prior) -> None:
    frame = walk().assign(g=[*"abc"] * 14)
    new = pd.DataFrame({"t": [10.0, 50.0, 60.0, 130.0], "g": "a"}, index=[*"uvwx"])
    method = bp.Laplace(draws=50) if isinstance(prior, bp.DistanceRegularized) else SHORT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = bp.fit(bp.Model("y ~ 1", prior), frame, seed=1, progress=False, method=method)
    outside, between = said(lambda: bp.predict(posterior, new, seed=1))
    assert outside.startswith("1 of 4 rows have a 't' outside the training range (rows 'x')")
    assert between.startswith("2 of 4 rows have a 't' in the middle of a long gap between training contexts, ")
    assert "from 20 to 80 (rows 'v', 'w')" in between
    narrow = isinstance(prior, bp.TotalVariation | bp.TreePartition)
    assert ("so that intervals do not widen" in between) == ("so that intervals do not widen" in outside) == narrow
    assert not said(lambda: bp.predict(posterior, new.head(1), seed=1))
    assert not said(lambda: bp.predict(posterior, frame, seed=1))


def test_dates_are_named_as_dates() -> None:
    frame = walk()
    frame["t"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame["t"], unit="D")
    bound = bp.Model("y ~ 1", bp.GaussianProcess("t")).bind(frame)
    assert bound.terms[0].axes[0].gaps_in_words == "from 2020-01-21 00:00:00 to 2020-03-21 00:00:00"


def test_a_walk_that_takes_a_long_gap_for_one_step_says_so_before_it_is_fitted() -> None:
    with pytest.warns(InputWarning, match=r"TotalVariation\('t'\): 't' has long gaps \(from 20 to 80\).*order"):
        bp.Model("y ~ 1", bp.TotalVariation("t")).bind(walk())
    assert not said(lambda: bp.Model("y ~ 1", bp.TotalVariation("s")).bind(walk()))


@pytest.mark.parametrize(("formula", "asked", "far"), [
    ("y ~ x", [3.0, 7.0, 12.0, -4.0], [12.0, -4.0]), ("y ~ poly(x, 3)", [3.0, 12.0], [12.0]),
    ("y ~ log(x)", [3.0, 9.0, 1e4], [1e4]), ("y ~ I(x**2)", [6.5, 8.0], [8.0]),
    ("y ~ cr(x, df=4, constraints='center')", [3.0, 12.0], [12.0])])
def test_predictors_far_outside_their_range_are_counted(formula: str, asked: list[float], far: list[float]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.r_[0.1, rng.uniform(0.1, 6, 58), 6.0]})
    frame["y"] = np.sin(frame.x) + 0.1 * rng.normal(size=60)
    posterior = bp.fit(bp.Model(formula), frame, seed=1, progress=False, method=bp.Laplace(draws=50))
    new = pd.DataFrame({"x": asked}, index=asked)
    (message,) = said(lambda: bp.predict(posterior, new))
    assert message.startswith(f"{len(far)} of {len(asked)} rows have a ")
    assert "far outside the training range" in message
    assert f"(rows {', '.join(map(repr, far))})" in message
    assert not said(lambda: bp.predict(posterior, frame))
