"""Stacking weights: the best mixture, also where every density underflows."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from bayes_personal.errors import ConvergenceWarning
from bayes_personal.leaving_out.stacking import NATS, stacked


def score(log_density: np.ndarray, weights: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(logsumexp(log_density + np.log(weights), axis=1).sum())


@pytest.mark.parametrize("shift", [0.0, -2000.0])
def test_two_assumptions(shift: float) -> None:
    log_density = np.random.default_rng(1).normal(shift, 2, (50, 2))
    best = minimize_scalar(lambda w: -score(log_density, np.array([w, 1 - w])), bounds=(0, 1), method="bounded",
                           options={"xatol": 1e-10}).x
    assert score(log_density, stacked(log_density)) > score(log_density, np.array([best, 1 - best])) - NATS


@pytest.mark.parametrize("seed", range(30))
def test_no_direction_leads_higher(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, count = int(rng.integers(3, 400)), int(rng.integers(2, 9))
    log_density = (10 ** rng.uniform(-2, 2) * rng.normal(size=(rows, count)) + rng.choice([0, 0.1, 10]) *
                   rng.normal(size=count) + rng.choice([0, 500]) * rng.normal(size=(rows, 1)))
    weights = stacked(log_density)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1, abs=1e-12)
    reached = score(log_density, weights)
    for other in (*np.eye(count), *rng.dirichlet(np.ones(count), 20)):
        for step in (1e-3, 0.1, 1.0):
            assert score(log_density, (1 - step) * weights + step * other) < reached + NATS


def test_the_order_does_not_matter_and_what_is_worse_everywhere_has_no_weight() -> None:
    log_density = np.random.default_rng(2).normal(-800, 3, (40, 4))
    log_density[:, 2] = log_density[:, 0] - 1
    weights = stacked(log_density)
    # A weight there, given to the first, would raise the score of each row by as much times 1 - 1 / e.
    assert weights[2] < NATS / (40 * (1 - 1 / np.e))
    assert abs(score(log_density[:, ::-1], stacked(log_density[:, ::-1])) - score(log_density, weights)) < NATS
    np.testing.assert_allclose(stacked(log_density + np.linspace(-100, 100, 40)[:, None]), weights, atol=1e-6)


def test_a_search_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUNDS", "STEPS"):
        monkeypatch.setattr(f"bayes_personal.leaving_out.stacking.{name}", 1)
    monkeypatch.setattr("bayes_personal.leaving_out.stacking.NATS", 1e-15)
    with pytest.warns(ConvergenceWarning, match="nats worse"):
        stacked(np.random.default_rng(3).normal(0, 2, (50, 4)))


def test_the_search_goes_on_until_the_score_of_all_rows_is_near_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step a round from far away: what is left is counted over all rows and not as their mean."""
    for name, count in (("ROUNDS", 5000), ("STEPS", 1)):
        monkeypatch.setattr(f"bayes_personal.leaving_out.stacking.{name}", count)
    monkeypatch.setattr("bayes_personal.leaving_out.stacking.minimize", lambda loss, at, **_: SimpleNamespace(x=at))
    log_density = np.random.default_rng(5).normal(0, 0.4, (400, 3))
    weights = stacked(log_density)
    density = np.exp(log_density)
    left = len(density) * ((density / (density @ weights)[:, None]).mean(axis=0).max() - 1)
    assert NATS / 10 < left < NATS
