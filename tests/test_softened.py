"""Scales that may be near 0 are no wall to NUTS."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.samplers.softened import Softened


def test_the_density_changes_by_the_jacobian() -> None:
    """Its integral stays, and its gradient is right, from where a scale is nothing to where it is large."""
    softened = Softened(np.array([-2.0, 0.3]), np.array([True, False]))

    def density(u: np.ndarray) -> tuple[float, np.ndarray]:
        return float(u[0] - np.exp(2 * u[0]) - u[1] ** 2), np.array([1 - 2 * np.exp(2 * u[0]), -2 * u[1]])

    changed = softened.density(density)
    for v in (np.array(each, float) for each in ([-60, 1], [-37, 0], [-5, 0.5], [0, -1], [4, 2], [30, 0])):
        gradient, step = changed(v)[1], 1e-5
        for k, axis in enumerate(np.eye(2)):
            slope = (changed(v + step * axis)[0] - changed(v - step * axis)[0]) / (2 * step)
            assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6)
    along = np.linspace(-45, 60, 200_001)
    each = np.array([changed(np.array([v, -0.3]))[0] for v in along])
    # The integral of exp(u - exp(2u)) over u is sqrt(pi) / 2.
    assert np.exp(each).sum() * (along[1] - along[0]) == pytest.approx(np.sqrt(np.pi) / 2, rel=1e-8)
    np.testing.assert_allclose(softened.points(np.array([[0.0, 0.0], [-50.0, 1.0]])),
                               [[-2.0, 0.3], [-52.0 + 0.36651292058166435, 1.3]], rtol=1e-12)


def test_what_has_a_heavy_tail_stays_a_logarithm() -> None:
    frame = pd.DataFrame({"y": np.arange(20.0) % 7, "c": np.arange(20.0)})
    cauchy = bp.LinearVarying("c", scale=bp.Hyperprior("HalfCauchy", beta=1.0))
    density = GaussianDensity(bp.Model("y ~ 1", cauchy).bind(frame))
    assert [parameter.name for parameter in density.parameters] == ["linear_c_scale", "sigma"]
    assert density.may_vanish.tolist() == [False, True]


@pytest.mark.parametrize("prior", [bp.LinearVarying("c"), bp.LinearVarying("c", basis="spline"),
                                   bp.GaussianProcess("c", kernel="squared_exponential", shortest=0.3)], ids=repr)
def test_nothing_varies_and_no_chain_diverges(prior: Any) -> None:
    """Most such fits had divergences on the logarithms of scales."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"y": rng.normal(size=500), "c": rng.uniform(-1, 1, 500)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            posterior = bp.fit(bp.Model("y ~ 1", prior), frame, seed=seed, method=bp.NUTS(), progress=False)
        assert not posterior.complaints
