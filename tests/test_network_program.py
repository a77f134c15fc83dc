"""The generative program of a network: that of a person, and whole rows drawn from it."""

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from conftest import SUFFIX, plain

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.model.network_program import network_program


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=90), "u": rng.normal(size=90), "c": rng.uniform(-1, 1, 90)})
    frame["b"] = frame["c"] * frame["a"] + 0.6 * rng.normal(size=90)
    return frame.assign(d=0.7 * frame["b"] - 0.3 * frame["a"] + rng.normal(size=90))


def test_the_program_is_that_of_a_person(rows: pd.DataFrame) -> None:
    """The same density of all variables and rows as models/network.py."""
    network = bp.Network("a + b + d ~ 1", bp.LinearVarying("c"))
    bounds = network.bind(rows)
    ours, rng = network_program(network, bounds), np.random.default_rng(1)
    x = rows[["a", "b", "d"]].to_numpy()
    units = [bound.coefficients.unit for bound in bounds.values()]
    theirs = plain("network").model(x, (rows["c"] - rows["c"].mean()).to_numpy() / rows["c"].std(ddof=0),
                                    location=[bound.coefficients.location for bound in bounds.values()], unit=units,
                                    sd=x.std(axis=0))
    own: dict[str, np.ndarray] = {}
    written: dict[str, np.ndarray] = {}
    for j, (node, bound) in enumerate(bounds.items()):
        for parameter in bound.hyperparameters:
            point = 0.5 * rng.normal(size=parameter.size)
            own[f"{node}::{parameter.name}{SUFFIX[parameter.support]}"] = point.reshape(parameter.shape)
            name = {"mu": f"mu_{j}", "mu_centered": f"mu_{j}", "sigma": f"sigma_{j}_log__"}.get(
                parameter.name, f"scale_{j}_log__")
            value = parameter.value(point)
            written[name] = (np.log(value) if "log" in name else value).reshape(() if "sigma" in name else -1)
        z = rng.normal(size=(1, j + 1))
        own[f"{node}::linear_c_z"], written[f"z_{j}"] = z, z[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        densities = [model.compile_logp(jacobian=False, mode="FAST_COMPILE")(point)
                     for model, point in ((ours, own), (theirs, written))]
    assert densities[0] == pytest.approx(densities[1], abs=1e-8)


def test_the_program_draws_whole_rows(rows: pd.DataFrame) -> None:
    """A node depends on the parents that are drawn, not on those of the data."""
    network = bp.Network("a + b + d ~ u", bp.LinearVarying("c"))
    bounds = network.bind(rows)
    drawn = pm.sample_prior_predictive(1, model=network_program(network, bounds), random_seed=2)
    values, outcome = drawn["prior"].isel(chain=0, draw=0), drawn["prior_predictive"].isel(chain=0, draw=0)
    bound = bounds["d"]
    x = np.column_stack([np.ones(90), rows["u"], outcome["a::y"], outcome["b::y"]])
    theta = values["d::mu"].to_numpy() + bound.features[0].matrix @ values["d::linear_c_effect"].to_numpy()
    error = outcome["d::y"].to_numpy() - (x * theta).sum(axis=1)
    z = error / float(values["d::sigma"])
    assert abs(z.mean()) < 4 / np.sqrt(90) and abs(z.var() - 1) < 4 * np.sqrt(2 / 90)


def test_a_network_has_defaults_of_its_own() -> None:
    """They stand in the place of a prior's defaults, in every summand, and what the user states stays."""
    mean, scale = bp.Hyperprior("Normal", mu=0.0, sigma=0.2), bp.Hyperprior("HalfNormal", sigma=3.0)
    own = bp.Hyperprior("HalfNormal", sigma=0.7)
    prior = bp.Mixture(2, on="edges") + bp.LinearVarying("c", scale=own) + bp.PartialPooling("g")
    node = bp.Network("a + b ~ 1", prior, mean=mean, scale=scale).node("b")
    assert node.prior == bp.Mixture(2, on=("a",), mean=mean) + bp.LinearVarying("c", scale=own, smooth=scale) + (
        bp.PartialPooling("g", scale=scale))
    assert bp.Network("a + b ~ 1", bp.Conditional("g"), mean=mean).node("b").prior == bp.Conditional("g", mean=mean)
    narrow = bp.Network("a + b ~ 1", bp.Partition("c")).node("a").prior
    assert narrow == bp.Partition("c", scale=bp.Hyperprior("HalfNormal", sigma=0.5, relative=True))
    wide = bp.Hyperprior("StudentT", nu=3, mu=0, sigma=1)
    with pytest.raises(SpecificationError, match="Conditional.*Normal"):
        bp.Network("a + b ~ 1", bp.Conditional("g"), mean=wide).node("b")
    with pytest.raises(SpecificationError, match="Network.*scale"):
        bp.Network("a + b ~ 1", bp.Conditional("g"), scale=wide)
