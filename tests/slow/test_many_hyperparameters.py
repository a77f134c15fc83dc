"""Laplace with many hyperparameters, and against NUTS: right where it is trusted."""

import arviz as az
import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.samplers.laplace import Laplace

pytestmark = pytest.mark.slow


def rows(seed: int, groups: int, predictors: int, differ: float) -> pd.DataFrame:
    """Groups of 15 rows whose coefficients differ by so much."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 15)
    x = rng.normal(size=(len(group), predictors))
    own = differ * rng.normal(size=(groups, predictors))
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(predictors)])
    return frame.assign(y=(x * own[group]).sum(axis=1) + rng.normal(size=len(group)), g=[f"g{k}" for k in group])


@pytest.mark.parametrize("differ", [0.0, 1.0])
@pytest.mark.parametrize("groups", [4, 20])
def test_twenty_two_hyperparameters(groups: int, differ: float) -> None:
    """Six scales, fifteen correlations and sigma; where the groups do not differ, all scales are near zero."""
    model = bp.Model("y ~ " + " + ".join(f"x{k}" for k in range(5)), prior=bp.PartialPooling("g"))
    frame = rows(groups, groups, 5, differ)
    density = GaussianDensity(model.bind(frame))
    assert density.size == 22
    found = [Laplace().weighted(density, np.random.default_rng(seed)) for seed in range(3)]
    nuts = bp.fit(model, frame, seed=1, progress=False, method=bp.NUTS(draws=4000, target_accept=0.95))
    assert nuts.diagnostics.divergences < 10 and nuts.diagnostics.r_hat.value < 1.01
    drawn = density.points({one.name: nuts.tree["posterior"][one.name].to_numpy().reshape(-1, *one.shape)
                            for one in density.bound.parameters})
    chains = {"phi": drawn.reshape(4, -1, 22)}
    mcse = az.mcse(az.from_dict({"posterior": chains}))["phi"].to_numpy()
    trusted = [one for one in found if one.trusted]
    for one in trusted:
        error = np.hypot(mcse, drawn.std(axis=0) / np.sqrt(one.ess))
        assert (np.abs(one.weights @ one.points - drawn.mean(axis=0)) < 4 * error).all()
    evidences = np.array([one.log_evidence for one in trusted])
    errors = np.array([one.log_evidence_se for one in trusted])
    if len(trusted) > 1:
        assert np.ptp(evidences) < 4 * np.hypot(*np.sort(errors)[-2:])


def test_the_standard_error_of_the_evidence_of_a_real_model() -> None:
    """Thirty seeds spread about their mean by what the standard errors say."""
    density = GaussianDensity(bp.Model("reaction ~ days", prior=bp.PartialPooling("subject")).bind(
        bp.load_dataset("sleepstudy")))
    found = [Laplace().weighted(density, np.random.default_rng(seed)) for seed in range(30)]
    assert all(one.trusted for one in found)
    evidences = np.array([one.log_evidence for one in found])
    errors = np.array([one.log_evidence_se for one in found])
    spread = evidences.std(ddof=1) / np.sqrt((errors**2).mean())
    # Sobol points spread less than independent ones; more would be wrong: chi-square with 29 degrees at z = 4.
    assert spread < 1.6
