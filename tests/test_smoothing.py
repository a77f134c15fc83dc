"""Importance weights of many rows at once: ArviZ's, and the Monte Carlo error of what they average."""

import warnings

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from calibration import assert_healthy
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.leaving_out.smoothing import predictive, separated
from bayes_personal.posterior.posterior import Posterior

RNG = np.random.default_rng(0)
DRAWS = {"light": lambda shape: 0.3 * RNG.normal(size=shape), "heavy": lambda shape: -RNG.pareto(3, shape),
         "of all scales": lambda shape: RNG.normal(size=shape) * np.exp(RNG.normal(size=shape[1])),
         "constant": lambda shape: np.full(shape, -2.0)}


@pytest.mark.parametrize("count", [25, 60, 250, 1000])
@pytest.mark.parametrize("kind", DRAWS)
def test_they_are_those_of_arviz(count: int, kind: str) -> None:
    densities = DRAWS[kind]((count, 200))
    elpd, k, influence = predictive(densities, 0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weights, wanted = array_stats.psislw(separated(densities), r_eff=0.8, axis=0)
    np.testing.assert_allclose(k, np.where(np.isnan(wanted), np.inf, wanted), rtol=1e-9)
    np.testing.assert_allclose(elpd, logsumexp(weights + separated(densities).T, axis=1), rtol=1e-9, atol=1e-12)
    # The weights of a self-normalised average add to one.
    np.testing.assert_allclose(influence.sum(axis=0), 0.0, atol=1e-9)


def test_a_tail_of_equal_weights() -> None:
    """As of draws that importance sampling repeats, which ArviZ refuses."""
    densities = RNG.integers(0, 2, (200, 50)) / 10
    elpd, k, _ = predictive(densities, 1.0)
    np.testing.assert_allclose(elpd, -logsumexp(-densities, axis=0) + np.log(200), rtol=1e-12)
    assert (k == 0).all()


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
    monkeypatch.setattr("bayes_personal.leaving_out.elpd.LARGEST_SHARE", 0.8 * some.mcse / some.se)
    assert 250 < bp.loo(sloped, progress=False).n_samples < 1000
    monkeypatch.setattr("bayes_personal.leaving_out.elpd.LARGEST_SHARE", 1e-6)
    pd.testing.assert_series_equal(bp.loo(sloped, progress=False).elpd_i.to_series(), every.elpd_i.to_series())


def test_rows_of_a_high_pareto_k_are_left_out_at_more_draws(sloped: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    every = bp.loo(sloped, progress=False, refit=False)
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    thinned = bp.loo(sloped, progress=False, refit=False)
    worst = np.flatnonzero(thinned.pareto_k > np.quantile(thinned.pareto_k, 0.9))
    limit = float(np.quantile(thinned.pareto_k, 0.9))
    monkeypatch.setattr("bayes_personal.leaving_out.elpd.good_k", lambda count: limit if count == 250 else 0.7)
    found = bp.loo(sloped, progress=False, refit=False)
    others = np.setdiff1d(np.arange(len(found.elpd_i)), worst)
    np.testing.assert_allclose(found.elpd_i[worst], every.elpd_i[worst], rtol=1e-3)
    np.testing.assert_array_equal(found.elpd_i[others], thinned.elpd_i[others])
    assert not np.allclose(found.elpd_i[worst], thinned.elpd_i[worst], rtol=1e-5)
