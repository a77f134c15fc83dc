"""Units do not matter: shifted and scaled outcome, predictor and context give the same model, and theta turns back."""

import numpy as np
import pandas as pd
import pytest
from conftest import explicit, split, width

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.priors.parts.base import Prior

PRIORS = [bp.Population(), bp.Conditional("site"), bp.PartialPooling("site"),
          bp.LinearVarying("age", basis="spline", df=6), bp.GaussianProcess("age"),
          bp.TotalVariation("age")]
COLUMNS = {"outcome": "y", "predictor": "dose", "context": "age"}


def changed(frame: pd.DataFrame, what: str, shift: float, scale: float) -> pd.DataFrame:
    """One column, or all three, in another unit with another zero."""
    names = list(COLUMNS.values()) if what == "all" else [COLUMNS[what]]
    return frame.assign(**{name: (frame[name] + shift) * scale for name in names})


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("what", ["outcome", "predictor", "context", "all"])
@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_the_collapsed_density_is_the_same(frame: pd.DataFrame, prior: Prior, what: str, scale: float,
                                           shift: float) -> None:
    model = bp.Model("y ~ dose", prior=prior)
    before, after = GaussianDensity(model.bind(frame)), GaussianDensity(model.bind(changed(frame, what, shift, scale)))
    constant = len(frame) * np.log(scale) * (what in ("outcome", "all"))
    for u in np.random.default_rng(9).normal(0, 0.7, (20, before.size)):
        (value, gradient), (moved, moved_gradient) = before.log_density(u), after.log_density(u)
        np.testing.assert_allclose(moved + constant, value, rtol=1e-6)
        np.testing.assert_allclose(moved_gradient, gradient, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1e6), (0.0, 1e-6), (1e6, 1e-6)])
@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_the_explicit_density_is_the_same(frame: pd.DataFrame, prior: Prior, scale: float, shift: float) -> None:
    model = bp.Model("y ~ dose", prior=prior)
    before, after = model.bind(frame), model.bind(changed(frame, "all", shift, scale))
    plain, moved = explicit(before), explicit(after)
    for u in np.random.default_rng(10).normal(0, 0.7, (20, width(before))):
        np.testing.assert_allclose(moved(u) + len(frame) * np.log(scale), plain(u), rtol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_theta_turns_back(frame: pd.DataFrame, prior: Prior, scale: float, shift: float) -> None:
    """y' = a (y + s), x' = b (x + t): slope' = slope a / b, intercept' = a (intercept + s) - slope' b t."""
    model, a, b, s, t = bp.Model("y ~ dose", prior=prior), scale, 7 / scale, shift, -shift / 3
    rescaled = frame.assign(y=a * (frame["y"] + s), dose=b * (frame["dose"] + t), age=(frame["age"] - shift) / scale)
    before, after = model.bind(frame), model.bind(rescaled)
    u = np.random.default_rng(12).normal(0, 0.7, (4, width(before)))
    theta = []
    for bound in (before, after):
        values, _ = split(bound, u)
        theta.append(bound.theta(values | bound.derived(values, np), bound.features, len(frame)))
    slope = theta[0][..., 1] * a / b
    intercept = a * (theta[0][..., 0] + s) - slope * b * t
    # Rounding of the shifted columns: 1e-16 of a shift of about 1000 natural units, and as much again in turning back.
    unit = after.coefficients.unit
    np.testing.assert_allclose(theta[1][..., 1] / unit[1], slope / unit[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(theta[1][..., 0] / unit[0], intercept / unit[0], rtol=0, atol=1e-9)


# Importance sampling refuses a local scale at every context.
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1e6), (0.0, 1e-6), (1e6, 1e-6), (1e6, 1e6)])
@pytest.mark.parametrize("prior", [prior for prior in PRIORS if prior != bp.TotalVariation("age")],
                         ids=lambda prior: type(prior).__name__)
def test_posterior_summaries_are_the_same(frame: pd.DataFrame, prior: Prior, scale: float, shift: float) -> None:
    """Two fits with different seeds, each row's eta and slope back in the first one's units."""
    model, rescaled = bp.Model("y ~ dose", prior=prior), changed(frame, "all", shift, scale)
    before, after = (bp.fit(model, data, seed=seed, progress=False, method=bp.Laplace(draws=1000, proposals=1024))
                     for seed, data in enumerate((frame, rescaled)))
    assert not before.complaints and not after.complaints
    one, other = (each.theta.to_numpy().reshape(1000, len(frame), 2) for each in (before, after))
    # Outcome and predictor share the scale, so that the slope keeps its unit.
    eta = ((one * before.bound.x).sum(axis=-1), (other * after.bound.x).sum(axis=-1) / scale - shift)
    ess = min(each.diagnostics.importance.ess for each in (before, after))
    for left, right in (eta, (one[..., 1], other[..., 1])):
        error = np.hypot(left.std(axis=0), right.std(axis=0)) * np.sqrt(1 / ess + 1 / 1000)
        assert (np.abs(left.mean(axis=0) - right.mean(axis=0)) < 4 * error).all()
        assert (np.abs(np.log(left.std(axis=0) / right.std(axis=0))) < 4 * np.sqrt(1 / ess + 1 / 1000)).all()
