"""Repulsive over several data sets: better where regimes are near and opposite, and no worse where nothing repels."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_personal as bp
from bayes_personal.priors import Prior

pytestmark = pytest.mark.slow

ROWS = 200
METHOD = bp.NUTS(draws=1000, tune=1000, chains=2, target_accept=0.97)


def adjacent(c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three regimes; the middle one is narrow, and its coefficients have the opposite signs."""
    return np.array([[0.5, 1.2, -0.8], [-0.5, -1.2, 0.8], [1.0, 0.6, -1.4]])[np.digitize(c, [-0.2, 0.2])]


def close(c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two regimes that differ little."""
    return np.array([[0.2, 0.5, -0.2], [-0.1, 0.1, 0.2]])[(c > 0.1).astype(int)]


def latent(c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two types, whose odds depend on context."""
    return np.array([[-0.5, -1.0, 0.8], [0.5, 1.0, -0.4]])[(rng.random(len(c)) < special.expit(3 * c)).astype(int)]


def static(c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One vector for all."""
    return np.tile([0.3, 0.7, -0.5], (len(c), 1))


def errors(truth: Callable[..., np.ndarray], priors: list[Prior], seed: int) -> list[float]:
    """Root-mean-square error of the posterior mean of theta under each prior."""
    rng, found = np.random.default_rng(seed), []
    c, x = rng.uniform(-1, 1, ROWS), rng.normal(size=(ROWS, 2))
    theta = truth(c, rng)
    y = theta[:, 0] + (theta[:, 1:] * x).sum(axis=1) + 0.5 * rng.normal(size=ROWS)
    frame = pd.DataFrame({"y": y, "a": x[:, 0], "b": x[:, 1], "c": c})
    for prior in priors:
        posterior = bp.fit(bp.Model("y ~ a + b", prior), frame, seed=seed, method=METHOD, progress=False)
        found.append(float(np.sqrt(np.mean((posterior.theta.mean(("chain", "draw")).to_numpy() - theta) ** 2))))
    return found


def test_adjacent_opposite_regimes() -> None:
    ratios = [repelled / smooth for repelled, smooth in (
        errors(adjacent, [bp.Repulsive("c"), bp.GaussianProcess("c")], seed) for seed in (1, 2, 3))]
    assert np.mean(ratios) < 0.75, ratios


@pytest.mark.parametrize("truth", [close, latent, static], ids=lambda truth: truth.__name__)
def test_no_worse_than_the_mixture_where_nothing_repels(truth: Callable[..., np.ndarray]) -> None:
    found = np.array([errors(truth, [bp.Repulsive("c"), bp.Mixture(4, gate="c")], seed) for seed in (1, 2, 3)])
    repelled, mixed = found.mean(axis=0)
    assert repelled < 1.03 * mixed, found


def test_more_archetypes_than_there_are_do_no_harm() -> None:
    found = np.array([errors(adjacent, [bp.Repulsive("c", archetypes=6), bp.Repulsive("c", archetypes=3)], seed)
                      for seed in (1, 2, 3)])
    many, few = found.mean(axis=0)
    assert many < 1.1 * few, found
