"""Importance weights of many rows at once: ArviZ's, and the Monte Carlo error of what they average."""

import warnings

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from calibration import assert_healthy
from scipy.optimize import brentq
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.leaving_out.estimates import judged
from bayes_personal.leaving_out.smoothing import predictive, separated
from bayes_personal.posterior.posterior import Posterior

RNG = np.random.default_rng(0)


def dominated(shape: tuple[int, int], few: int, least: float) -> np.ndarray:
    """Log densities of which a few are far below the others, so that their draws have nearly all of the weight."""
    result = 0.3 * RNG.normal(size=shape)
    result[:few] += least
    return RNG.permuted(result, axis=0)


DRAWS = {"light": lambda shape: 0.3 * RNG.normal(size=shape), "heavy": lambda shape: -RNG.pareto(3, shape),
         "of all scales": lambda shape: RNG.normal(size=shape) * np.exp(RNG.normal(size=shape[1])),
         "of a wide range": lambda shape: -np.exp(1.5 * RNG.normal(size=shape)),
         "nearly equal": lambda shape: 1e-4 * RNG.normal(size=shape) - 2.0,
         "constant": lambda shape: np.full(shape, -2.0),
         "of few values": lambda shape: RNG.normal(size=shape).round(1),
         "of one draw": lambda shape: dominated(shape, 1, -900.0),
         "of one draw and little else": lambda shape: dominated(shape, 1, -60.0),
         "of few draws": lambda shape: dominated(shape, shape[0] // 20, -40.0),
         # The rest of the tail exceeds its cutoff by 1e-300 or so.
         "of very few draws": lambda shape: dominated(shape, shape[0] // 20, -690.0)}


def of_arviz(densities: np.ndarray, efficiency: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `predictive` returns, by ArviZ's weights and Pareto k."""
    logs = separated(densities)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        weights, k = array_stats.psislw(logs, r_eff=efficiency, axis=0)
    elpd = logsumexp(weights + logs.T, axis=1)
    return elpd, np.where(np.isnan(k), np.inf, k), (np.exp(weights + logs.T - elpd[:, None]) - np.exp(weights)).T


@pytest.mark.parametrize(("count", "efficiency"), [(25, 0.8), (60, 0.8), (100, 1.0), (250, 0.3), (250, 0.8),
                                                   (1000, 1.6), (4000, 0.8)])
@pytest.mark.parametrize("kind", DRAWS)
def test_they_are_those_of_arviz(count: int, efficiency: float, kind: str) -> None:
    densities = DRAWS[kind]((count, 60))
    before = densities.copy()
    elpd, k, influence = predictive(densities, efficiency)
    np.testing.assert_array_equal(densities, before)
    wanted_elpd, wanted_k, wanted_influence = of_arviz(densities, efficiency)
    np.testing.assert_allclose(k, wanted_k, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(elpd, wanted_elpd, rtol=1e-11, atol=1e-11)
    # Draws of equal density may have each other's places in the tail.
    order, wanted_order = (np.lexsort((each, densities), axis=0) for each in (influence, wanted_influence))
    np.testing.assert_allclose(np.take_along_axis(influence, order, axis=0),
                               np.take_along_axis(wanted_influence, wanted_order, axis=0), atol=1e-10)
    # The weights of a self-normalised average add to one.
    np.testing.assert_allclose(influence.sum(axis=0), 0.0, atol=1e-9)


def with_tail(tail: np.ndarray, cutoff: float) -> np.ndarray:
    """100 log densities, of which 20 are minus these log ratios, and all others are below that cutoff."""
    assert len(tail) == 20
    return -RNG.permutation(np.concatenate([cutoff - np.arange(80.0), tail]))[:, None]


def assert_of_arviz(densities: np.ndarray) -> None:
    """Assert that a column of 100 is smoothed as ArviZ does."""
    for got, wanted in zip(predictive(densities, 1.0), of_arviz(densities, 1.0), strict=True):
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("distance", [1e-4, 1e-7, 1e-9, -1e-9, -1e-4])
def test_tails_whose_grid_nearly_has_the_exponential_distribution(distance: float) -> None:
    """Its likelihood is a ratio of two numbers that are nearly zero."""
    excesses = -np.log1p(-np.arange(0.5, 20) / 20)
    # The fifth is the first quartile; for this largest one, the 22nd of 34 rates is zero.
    excesses[-1] = 3 * excesses[4] / (np.sqrt(34 / 21.5) - 1) * (1 + distance)
    assert excesses[-1] > excesses[-2]
    assert_of_arviz(with_tail(np.log(1e-6 + excesses), np.log(1e-6)))


def test_a_fitted_tail_that_is_nearly_exponential() -> None:
    draws = RNG.random((100, 1))
    scale = brentq(lambda scale: predictive(scale * draws, 1.0)[1][0], 0.1, 20.0, xtol=1e-15)
    assert abs(predictive(scale * draws, 1.0)[1][0]) < 1e-12
    assert_of_arviz(scale * draws)


@pytest.mark.parametrize(("cutoff", "quartile"), [(-709.0, -706.0), (-1000.0, -708.895)])
def test_ratios_where_float64_ends(cutoff: float, quartile: float) -> None:
    tail = np.concatenate([np.linspace(cutoff + 0.1, quartile, 5), np.linspace(-700, 0, 15)])
    assert_of_arviz(with_tail(tail, cutoff))


def test_each_column_is_on_its_own() -> None:
    """However many there are, whatever the others are and however they lie in memory."""
    densities = np.column_stack([draw((250, 120)) for draw in DRAWS.values()])
    densities[3, [100, 500]] = np.nan, np.inf
    densities[4, 500:502] = -np.inf
    with np.errstate(invalid="ignore"):
        elpd, k, influence = predictive(densities, 0.8)
        in_other_order = predictive(np.asfortranarray(densities), 0.8)
    for one, other in zip((elpd, k, influence), in_other_order, strict=True):
        np.testing.assert_array_equal(one, other)
    broken = np.isin(np.arange(len(k)), [100, 500, 501])
    assert np.isnan(elpd[broken]).all() and np.isnan(influence[:, broken]).all() and (k[broken] == np.inf).all()
    assert np.isfinite(elpd[~broken]).all() and np.isfinite(influence[:, ~broken]).all()
    for place in np.flatnonzero(~broken)[::37]:
        alone = predictive(np.broadcast_to(densities[:, place], (2, 250)).T, 0.8)
        for one, other in zip(alone, (elpd[place], k[place], influence[:, [place]]), strict=True):
            np.testing.assert_allclose(one, np.broadcast_to(other, one.shape), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", [25, 200, 4000])
def test_a_tail_of_equal_weights(count: int) -> None:
    """As of draws that importance sampling repeats, which ArviZ refuses."""
    densities = RNG.permuted(np.tile(np.arange(count) % 2 / 10, (50, 1)), axis=1).T
    elpd, k, influence = predictive(densities, 1.0)
    np.testing.assert_allclose(elpd, -logsumexp(-densities, axis=0) + np.log(count), rtol=1e-12)
    assert (k == 0).all()
    weights = np.exp(-densities) / np.exp(-densities).sum(axis=0)
    np.testing.assert_allclose(influence, 1 / count - weights, atol=1e-14)


@pytest.mark.parametrize("least", [-720.0, -760.0, -5000.0])
def test_a_tail_that_no_distribution_fits(least: float) -> None:
    """Its excesses end where float64 does, and its weights stay as they are."""
    densities = dominated((250, 50), 10, least)
    elpd, k, influence = predictive(densities, 1.0)
    weights = np.exp(-densities - logsumexp(-densities, axis=0))
    assert (k == np.inf).all()
    np.testing.assert_allclose(elpd, np.log(250) - logsumexp(-densities, axis=0), rtol=1e-12)
    np.testing.assert_allclose(influence, 1 / 250 - weights, atol=1e-12)


def test_the_error_is_that_of_repetitions() -> None:
    repetitions, y = 400, RNG.normal(size=30)
    sums, errors = np.empty((2, repetitions))
    for repetition in range(repetitions):
        mean = y.mean() + RNG.normal(size=(300, 1)) / np.sqrt(len(y))
        elpd, _, influence = predictive(-0.5 * (y - mean) ** 2, 1.0)
        sums[repetition], errors[repetition] = elpd.sum(), np.sqrt(300) * influence.sum(axis=1).std()
    ratio = errors.mean() / sums.std(ddof=1)
    assert abs(np.log(ratio)) < 4 / np.sqrt(2 * repetitions)


@pytest.fixture(scope="module")
def sloped() -> Posterior:
    """More draws than are needed."""
    posterior = bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), bp.load_dataset("sleepstudy"), seed=1,
                       method=bp.NUTS(draws=500, chains=2), progress=False)
    assert_healthy(posterior, ess=150, r_hat=1.03)
    return posterior


def test_draws_are_thinned_while_that_costs_little_precision(sloped: Posterior,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    every = bp.loo(sloped, progress=False)
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    some = bp.loo(sloped, progress=False)
    assert every.n_samples == 1000 and some.n_samples == 250 and every.mcse < some.mcse < some.se / 10
    assert abs(every.elpd - some.elpd) < 4 * np.hypot(every.mcse, some.mcse)
    assert f"Monte Carlo error of elpd: {some.mcse:.2g}" in str(some)
    # With a smaller error asked for, the draws are as many as that takes.
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LARGEST_SHARE", 0.8 * some.mcse / some.se)
    assert 250 < bp.loo(sloped, progress=False).n_samples < 1000
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LARGEST_SHARE", 1e-6)
    pd.testing.assert_series_equal(bp.loo(sloped, progress=False).elpd_i.to_series(), every.elpd_i.to_series())


def test_rows_of_a_high_pareto_k_are_left_out_at_more_draws(sloped: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    every = bp.loo(sloped, progress=False, refit=False)
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    thinned = bp.loo(sloped, progress=False, refit=False)
    worst = np.flatnonzero(thinned.pareto_k > np.quantile(thinned.pareto_k, 0.9))
    limit = float(np.quantile(thinned.pareto_k, 0.9))
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LEVEL", 0.0)
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.good_k", lambda count: limit if count == 250 else 0.7)
    found = bp.loo(sloped, progress=False, refit=False)
    others = np.setdiff1d(np.arange(len(found.elpd_i)), worst)
    np.testing.assert_allclose(found.elpd_i[worst], every.elpd_i[worst], rtol=1e-3)
    np.testing.assert_array_equal(found.elpd_i[others], thinned.elpd_i[others])
    assert not np.allclose(found.elpd_i[worst], thinned.elpd_i[worst], rtol=1e-5)


def test_a_single_row_of_a_high_pareto_k_is_refitted(sloped: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    every = bp.loo(sloped, progress=False, refit=False)
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    thinned = bp.loo(sloped, progress=False, refit=False)
    first, second = np.sort(thinned.pareto_k)[::-1][:2]
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LEVEL", 0.0)
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.good_k", lambda count: (first + second) / 2)
    found = bp.loo(sloped, progress=False)
    worst = int(np.argmax(thinned.pareto_k.data))
    assert list(found.refits.index) == [sloped.bound.rows.index[worst]] and found.good_k == (first + second) / 2
    assert abs(float(found.elpd_i[worst]) - float(every.elpd_i[worst])) < 0.1 + 4 * found.refits["se"].iloc[0]


def test_weights_that_hardly_differ_have_no_tail() -> None:
    rng = np.random.default_rng(2)
    heavy = rng.pareto(1.0, (400, 2))
    logs = np.column_stack([-0.9 * heavy[:, 0] / heavy[:, 0].max(), -20 * heavy[:, 1] / heavy[:, 1].max()])
    _, k, _ = judged(logs, 1.0, 0.6)
    _, smoothed, _ = predictive(logs, 1.0)
    assert (smoothed > 0.6).all() and k[0] == 0.0 and k[1] == smoothed[1]
