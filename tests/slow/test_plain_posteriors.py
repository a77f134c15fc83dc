"""The posterior of every plain program in models/ is the engine's: the mean and sd of eta at every row."""

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from calibration import assert_healthy
from test_specification import CASES, Case, plain

import bayes_personal as bp

pytestmark = pytest.mark.slow
FIRST = {case.stem: case for case in reversed(CASES)}


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.stem)
def test_eta_has_the_posterior_of_the_plain_program(case: Case, frame: pd.DataFrame) -> None:
    posterior = bp.fit(bp.Model("y ~ dose + weight", prior=case.prior), frame, seed=1, progress=False,
                       method=bp.NUTS(draws=2000, target_accept=0.95))
    assert_healthy(posterior)
    bound = posterior.bound
    arguments, options = case.arguments(bound)
    program = plain(case.stem).model(bound.y, bound.x - bound.coefficients.center, *arguments, sd=bound.y.std(),
                                     location=bound.coefficients.location, unit=bound.coefficients.unit, **options)
    with program:
        pm.Deterministic("eta", program["y"].owner.inputs[2])
        # nutpie cannot start on the packed root of a covariance.
        theirs = pm.sample(2000, tune=1500, chains=4, target_accept=0.98, random_seed=2, progressbar=False, quiet=True,
                           nuts_sampler="pymc" if case.stem == "partial_pooling" else "nutpie")
    assert int(theirs["sample_stats"]["diverging"].sum()) <= 2
    plain_eta = theirs["posterior"]["eta"].to_numpy()
    assert float(az.rhat(theirs["posterior"].to_dataset()[["eta"]])["eta"].max()) < 1.01
    eta = (posterior.theta.to_numpy() * bound.x).sum(axis=-1)
    for method, statistic in (("mean", np.mean), ("sd", np.std)):
        errors = [az.mcse(az.convert_to_dataset({"v": each}), method=method)["v"].to_numpy()
                  for each in (eta, plain_eta)]
        z = (statistic(eta, axis=(0, 1)) - statistic(plain_eta, axis=(0, 1))) / np.hypot(*errors)
        assert np.abs(z).max() < 4, f"{case.stem}, {method}: {np.abs(z).max():.2f}"
