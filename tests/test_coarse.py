"""The density without weights that hardly matter: near where the posterior is, and no part of what is kept."""

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.gaussian.coarse import CoarseDensity, most_needed
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.rows import Rows
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.samplers.coarse import NEAR, coarse
from bayes_personal.samplers.mode import Mode

MAP = bp.GaussianProcess("a", "b")
# With sums over rows, with rows themselves, and beside coefficients that correlate and groups that are eliminated.
CASES = {"many rows": (MAP, 400), "few rows": (MAP, 140), "beside groups": (MAP + bp.PartialPooling("g"), 400),
         "beside correlated": (bp.PartialPooling("h") + bp.PartialPooling("g") + MAP, 300)}


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    a, b, x = rng.uniform(-1, 1, (3, rows))
    y = np.sin(3 * a) + b * x + 0.3 * rng.normal(size=rows)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "g": rng.integers(0, 30, rows), "h": rng.integers(0, 6, rows)})


def whole(case: str) -> GaussianDensity:
    prior, rows = CASES[case]
    return GaussianDensity(bp.Model("y ~ x", prior).bind(frame(rows)))


def kept(density: GaussianDensity, count: int) -> np.ndarray:
    return most_needed(density, np.zeros((1, density.size)), count)


@pytest.mark.parametrize("case", CASES)
def test_with_all_weights_it_is_the_density(case: str) -> None:
    density = whole(case)
    everything = CoarseDensity(density, np.ones(density.arrangement.size, bool))
    for point in 0.5 * np.random.default_rng(2).normal(size=(3, density.size)):
        assert everything.value(point) == pytest.approx(density.value(point), abs=1e-8)
        np.testing.assert_allclose(everything.log_density(point)[1], density.log_density(point)[1], atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_it_has_the_weights_that_are_kept(case: str) -> None:
    """The value is that of the whole density where the loadings of all other weights are 0; slopes are differences."""
    density = whole(case)
    chosen = kept(density, 60)
    cheaper = CoarseDensity(density, chosen)
    assert chosen.sum() >= 60 and all(chosen[block.weights].all() for block in density.rooted)
    point = 0.5 * np.random.default_rng(3).normal(size=density.size)
    data = density.data
    if isinstance(data, Rows):
        without = Rows(data.loadings * chosen, data.outcome, data.places, data.log_error)
        assert isinstance(cheaper.data, Statistics), "sums serve where rows are more than the weights that are kept"
    else:
        without = Statistics(data.gram * np.outer(chosen, chosen), data.moment * chosen, data.group_gram,
                             data.cross * chosen, data.group_moment, data.square, data.count, data.log_error)
    assert cheaper.value(point) == pytest.approx(GaussianDensity(density.bound, without).value(point), abs=1e-8)
    slopes = [(cheaper.value(point + 1e-5 * axis) - cheaper.value(point - 1e-5 * axis)) / 2e-5
              for axis in np.eye(density.size)]
    np.testing.assert_allclose(cheaper.log_density(point)[1], slopes, rtol=1e-5, atol=1e-4)


def test_it_is_near_where_the_posterior_is() -> None:
    density = whole("many rows")
    cheaper = coarse(density, np.random.default_rng(1))
    assert isinstance(cheaper, CoarseDensity) and cheaper.kept.sum() < density.arrangement.size / 2
    mode = Mode.find(density.log_density, density.size)
    points = mode.point + np.random.default_rng(4).normal(size=(60, density.size)) @ mode.root.T
    assert (density.each_value(points) - cheaper.each_value(points)).std() < 2 * NEAR


def test_a_density_that_is_cheap_already_is_left_as_it_is() -> None:
    density = GaussianDensity(bp.Model("y ~ x", bp.GaussianProcess("a")).bind(frame(100)))
    assert coarse(density, np.random.default_rng(1)) is density
