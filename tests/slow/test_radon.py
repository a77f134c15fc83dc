"""Radon: counties as the explicit program estimates them, by a sampler that integrates nothing out."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
from calibration import assert_healthy
from radon import MODEL, explicit_program

import bayes_personal as bp

pytestmark = pytest.mark.slow


def test_counties_are_those_of_the_explicit_program() -> None:
    frame = bp.load_dataset("radon")
    posterior = bp.fit(MODEL, frame, seed=1, progress=False,
                       method=bp.NUTS(draws=1000, tune=500, chains=4, target_accept=0.95))
    assert_healthy(posterior)
    with explicit_program(frame):
        plain = pm.sample(2000, tune=1000, chains=4, target_accept=0.95, random_seed=2, progressbar=False, quiet=True)
    hyper = plain["posterior"].to_dataset()[["mu", "scale", "partial", "sigma"]]
    assert int(plain["sample_stats"]["diverging"].sum()) == 0
    assert max(float(each.max()) for each in az.rhat(hyper).data_vars.values()) < 1.01

    ours = posterior.tree["posterior"].to_dataset()
    effect = ours["county_effect"].to_numpy() + ours["mu"].to_numpy()[:, :, None, :2]
    floor, uranium = frame["floor"].mean(), frame["uranium"].mean()
    effect[..., 0] += effect[..., 1] * floor + ours["mu"].to_numpy()[:, :, None, 2] * uranium
    theirs = plain["posterior"].to_dataset()
    pairs = {"county": (effect, theirs["county"].to_numpy()),
             "uranium": (ours["mu"].to_numpy()[..., 2], theirs["mu"].to_numpy()[..., 2]),
             "scale": (ours["county_scale"].to_numpy(), theirs["scale"].to_numpy()),
             "partial": (ours["county_partial"].to_numpy()[..., 0], theirs["partial"].to_numpy()),
             "sigma": (ours["sigma"].to_numpy(), theirs["sigma"].to_numpy())}
    for name, (one, other) in pairs.items():
        for method in ("mean", "sd"):
            first, second = (az.mcse(az.convert_to_dataset({"v": each}), method=method)["v"].to_numpy()
                             for each in (one, other))
            statistic = getattr(np, {"mean": "mean", "sd": "std"}[method])
            z = (statistic(one, axis=(0, 1)) - statistic(other, axis=(0, 1))) / np.hypot(first, second)
            assert (np.abs(z) < 4).all(), f"{name}, {method}: {np.abs(z).max():.2f}"
