"""Published posteriors and explicit programs: eight schools, and radon in Minnesota."""

import arviz as az
import numpy as np
import pytest
from calibration import assert_healthy
from conftest import split, width
from radon import MODEL, explicit_program

import bayes_personal as bp
from bayes_personal.model.program import program
from bayes_personal.posterior.posterior import Posterior

# Reference posterior of posteriordb, eight_schools-eight_schools_noncentered: mean and sd over 10,000 draws.
EIGHT_SCHOOLS = {"mu": (4.40, 3.32), "school_scale": (3.60, 3.22)}


@pytest.fixture(scope="module")
def schools() -> Posterior:
    prior = bp.PartialPooling("school", scale=bp.Hyperprior("HalfCauchy", beta=5))
    model = bp.Model("effect ~ 1", prior, bp.Normal(sd="se"), mean=bp.Hyperprior("Normal", mu=0, sigma=5))
    posterior = bp.fit(model, bp.load_dataset("eight_schools"), seed=1, progress=False,
                       method=bp.NUTS(draws=2000, tune=500, chains=2, target_accept=0.95))
    assert_healthy(posterior)
    return posterior


@pytest.mark.parametrize("name", EIGHT_SCHOOLS)
def test_eight_schools(schools: Posterior, name: str) -> None:
    draws = schools.tree["posterior"].to_dataset()[[name]]
    mean, sd = EIGHT_SCHOOLS[name]
    published = sd / np.sqrt(10_000)
    for found, reference, own, other in (
            (float(draws[name].mean()), mean, float(az.mcse(draws)[name].max()), published),
            # The sd of a sample has sd / sqrt(2 n) as its error where tails are Normal; these are longer.
            (float(draws[name].std()), sd, float(az.mcse(draws, method="sd")[name].max()), 2 * published)):
        # The reference is printed to 0.01.
        assert abs(found - reference) < 4 * np.hypot(own, other) + 0.005, (name, found, reference)


def test_radon_counties_are_estimated_in_health() -> None:
    posterior = bp.fit(MODEL, bp.load_dataset("radon"), seed=1, progress=False)
    assert_healthy(posterior, ess=400, r_hat=1.01)
    assert posterior.theta.sizes["unit"] == 919 and posterior.tree["posterior"].sizes["county"] == 85
    # Uranium does not vary within the model: all counties have its one coefficient.
    uranium = posterior.theta.sel(coefficient="uranium").to_numpy()
    assert (uranium == uranium[..., :1]).all() and (posterior.theta.sel(coefficient="floor").std("unit") > 0).all()


def test_radon_is_the_explicit_program() -> None:
    frame = bp.load_dataset("radon")
    bound = MODEL.bind(frame)
    ours = program(bound).compile_logp(mode="FAST_COMPILE")
    theirs = explicit_program(frame).compile_logp(mode="FAST_COMPILE")
    rng, differences = np.random.default_rng(1), []
    for _ in range(8):
        values, named = split(bound, rng.normal(0, 0.5, width(bound)))
        partial = np.reshape(values["county_partial"], ())
        plain = {"mu": values["mu_centered"], "scale_log__": np.log(values["county_scale"]),
                 "partial_logodds__": np.log(partial / (1 - partial)), "z": values["county_z"],
                 "sigma_log__": np.log(values["sigma"])}
        differences.append(float(ours(named)) - float(theirs(plain)))
    # They differ by the log Jacobian of the units, which is the same everywhere: densities here are near -1e4.
    np.testing.assert_allclose(differences, differences[0], rtol=0, atol=1e-7)
