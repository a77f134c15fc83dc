"""The posterior of every plain program in models/ is the engine's: means and sds of eta at every row.

Programs that sum out of which kind a row is have no eta: the noise that is left says what they know of it.
"""

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from calibration import assert_healthy
from scipy import special, stats
from test_specification import CASES, Case, plain

import bayes_personal as bp

pytestmark = pytest.mark.slow
# What is frozen is no posterior of one program.
FIRST = {case.stem: case for case in reversed(CASES) if getattr(case.prior, "freeze", None) is None}
SUMMED_OUT = {"mixture", "partition", "repulsive", "tree_partition"}


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.stem)
def test_the_posterior_is_that_of_the_plain_program(case: Case, frame: pd.DataFrame) -> None:
    frame = frame.assign(decade=10 * (frame["age"] // 10))
    posterior = bp.fit(bp.Model("y ~ dose + weight", prior=case.prior), frame, seed=1, progress=False,
                       method=bp.NUTS(draws=2000, target_accept=0.98))
    assert_healthy(posterior)
    bound = posterior.bound
    arguments, options = case.arguments(bound)
    program = plain(case.stem).model(bound.y, bound.x - bound.coefficients.center, *arguments, sd=bound.y.std(),
                                     location=bound.coefficients.location, unit=bound.coefficients.unit, **options)
    with program:
        if case.stem not in SUMMED_OUT:
            pm.Deterministic("eta", program["y"].owner.inputs[2])
        # nutpie cannot start on the packed root of a covariance.
        theirs = pm.sample(2000, tune=1500, chains=4, target_accept=0.98, random_seed=2, progressbar=False, quiet=True,
                           nuts_sampler="pymc" if case.stem == "partial_pooling" else "nutpie")
    # Plain programs have funnels that the engine integrates out: what few divergences there move, z would show.
    assert float(theirs["sample_stats"]["diverging"].mean()) < 0.005
    name = "sigma" if case.stem in SUMMED_OUT else "eta"
    assert float(az.rhat(theirs["posterior"].to_dataset()[[name]])[name].max()) < 1.01
    ours = (posterior.tree["posterior"]["sigma"].to_numpy() if name == "sigma" else
            (posterior.theta.to_numpy() * bound.x).sum(axis=-1))
    other = theirs["posterior"][name].to_numpy()
    for method, statistic in (("mean", np.mean), ("sd", np.std)):
        errors = [az.mcse(az.convert_to_dataset({"v": each}), method=method)["v"].to_numpy() for each in (ours, other)]
        z = (statistic(ours, axis=(0, 1)) - statistic(other, axis=(0, 1))) / np.hypot(*errors)
        assert np.abs(z).max() < 4, f"{case.stem}, {method}: {np.abs(z).max():.2f}"


def test_two_types_are_those_of_a_long_run_of_the_plain_program() -> None:
    """What is compared does not depend on labels, which mean nothing: theta of every row, its type summed out."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=120)
    slope = np.where(rng.random(120) < 0.35, 1.5, -0.5)
    rows = pd.DataFrame({"x": x, "y": 0.3 + slope * x + 0.5 * rng.normal(size=120)})
    posterior = bp.fit(bp.Model("y ~ x", bp.Mixture(2)), rows, seed=1, progress=False,
                       method=bp.NUTS(draws=4000, chains=4, target_accept=0.95))
    assert_healthy(posterior)
    bound = posterior.bound
    centred = bound.x - bound.coefficients.center
    program = plain("mixture").model(bound.y, centred, 2, sd=bound.y.std(), location=bound.coefficients.location,
                                     unit=bound.coefficients.unit)
    with program:
        theirs = pm.sample(10_000, tune=2000, chains=4, random_seed=2, progressbar=False, quiet=True,
                           nuts_sampler="nutpie", target_accept=0.95)
    draws = theirs["posterior"]
    assert int(theirs["sample_stats"]["diverging"].sum()) == 0
    a, sigma, g = (draws[name].to_numpy() for name in ("a", "sigma", "g"))
    density = stats.norm.logpdf(bound.y[:, None], np.einsum("rj, cdkj -> cdrk", centred, a), sigma[..., None, None])
    odds = np.log(g / g.sum(axis=-1, keepdims=True))[:, :, None, :] + density
    # theta_i of the row given the draw, a mixture of two points, has this mean; intercept at predictors of 0.
    mean = np.einsum("cdrk, cdkj -> cdrj", special.softmax(odds, axis=-1), a)
    mean[..., 0] -= mean[..., 1] * bound.coefficients.center[1]
    both = {"theta": (posterior.theta.to_numpy(), mean),
            "sigma": (posterior.tree["posterior"]["sigma"].to_numpy(), sigma)}
    for name, (ours, other) in both.items():
        errors = [az.mcse(az.convert_to_dataset({"v": each}))["v"].to_numpy() for each in (ours, other)]
        z = (ours.mean(axis=(0, 1)) - other.mean(axis=(0, 1))) / np.hypot(*errors)
        assert np.abs(z).max() < 4, f"{name}: {np.abs(z).max():.2f}"
