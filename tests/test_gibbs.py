"""Gibbs: its moves leave the posterior as it is, and its draws are healthy at the defaults."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from pace import cases

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.choosing import Choosing, chooses
from bayes_personal.samplers.networked import Networked
from bayes_personal.samplers.walking import Walking

UNIT = bp.Hyperprior("Normal", mu=0.0, sigma=1.0)
HALF = bp.Hyperprior("LogNormal", mu=-0.7, sigma=0.3)
ERRORS: dict[str, Any] = {"sigma": bp.Hyperprior("LogNormal", mu=0.0, sigma=0.4)}
MODELS = {
    "Normal": bp.Model("y ~ x", bp.Mixture(3, mean=UNIT), bp.Normal(**ERRORS)),
    "known errors": bp.Model("y ~ x", bp.Mixture(2, on="x", mean=UNIT, gate="c"), bp.Normal(sd="e"), UNIT),
    "StudentT": bp.Model("y ~ x", bp.Repulsive("c", archetypes=2, on="Intercept", scale=HALF), bp.StudentT(**ERRORS),
                         UNIT),
    "Poisson": bp.Model("y ~ x", bp.Mixture(3, gate=["c", "s"], mean=bp.Hyperprior("Normal", mu=0.0, sigma=0.5)),
                        bp.Poisson("e")),
    "Repulsive": bp.Model("y ~ x", bp.Repulsive("c", "s", archetypes=3, scale=HALF), bp.Normal(**ERRORS), UNIT),
    "no repulsion": bp.Model("y ~ x", bp.Repulsive("c", archetypes=2, strength=0.0, scale=HALF), bp.Bernoulli(), UNIT),
    "NegativeBinomial": bp.Model("y ~ x", bp.Repulsive("c", archetypes=2, scale=HALF), bp.NegativeBinomial(),
                                 bp.Hyperprior("Normal", mu=0.0, sigma=0.5)),
    "Binomial": bp.Model("y ~ x", bp.Mixture(2, mean=UNIT), bp.Binomial("n")),
    "network": bp.Model("y ~ x", bp.Contextualized("c", "s", hidden=2, scale=HALF), bp.Normal(**ERRORS), UNIT),
    "network, Bernoulli": bp.Model("y ~ x", bp.Contextualized("c", hidden=2, on="x", scale=HALF), bp.Bernoulli(), UNIT),
    "network, StudentT": bp.Model("y ~ 1", bp.Contextualized("c", hidden=2, scale=HALF), bp.StudentT(**ERRORS), UNIT),
}


def rows(family: Any, count: int = 12) -> pd.DataFrame:
    """Rows whose outcomes only say which values are possible."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=count), "c": rng.normal(size=count), "s": list("abc") * (count // 3),
                          "e": rng.uniform(0.5, 2, count), "n": 5})
    measured = isinstance(family, bp.Normal | bp.StudentT)
    return frame.assign(y=rng.normal(size=count) if measured else np.arange(count) % 2)


def at_prior(model: Walking, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw all parameters from their prior."""
    values: dict[str, np.ndarray] = {}
    for parameter in model.bound.hyperparameters:
        values[parameter.name] = parameter.draw(rng, values)
    return values


def numbers(values: dict[str, np.ndarray]) -> np.ndarray:
    """Return functions of the parameters that tell prior from posterior."""
    parts = []
    for name, value in values.items():
        flat = np.ravel(value)
        if name.endswith(("component", "slope_gate", "level_gate", "layer")):
            # Of labels that switch: the size, and the smallest and largest.
            parts += [np.array([np.abs(flat).mean(), (flat**2).mean()]), np.sort(value, axis=0)[[0, -1]].ravel()]
        elif "mu" in name:
            parts += [flat, flat**2]
        else:
            parts += [np.sort(np.log(np.maximum(flat, 1e-10)))]
    return np.concatenate(parts)


# One model in every run, all kinds of moves in the slow suite.
@pytest.mark.parametrize("name", cases(MODELS, every_run=["Normal"]))
def test_the_moves_leave_the_joint_distribution_as_it_is(name: str, count: int = 5000) -> None:
    """Where outcomes are drawn anew after every sweep, parameters keep their prior (Geweke 2004)."""
    stated, rng = MODELS[name], np.random.default_rng(5)
    bound = stated.bind(rows(stated.family))
    model: Any = Choosing(bound) if chooses(bound) else Networked(bound)
    prior = np.array([numbers(at_prior(model, rng)) for _ in range(4000)])
    state, found, place = model.start(rng), [], "rows" if chooses(bound) else "data"
    given = getattr(model, place)
    for step in range(count + 50):
        points = model.walk(state, np.ones(1), adapt=step < 50 and place == "rows", thin=1, rng=rng)
        values = model.values(points)
        one = {name: value[0] for name, value in values.items()}
        found.append(numbers({each.name: one[each.name] for each in bound.hyperparameters}))
        _, y, _ = bound.simulated({**one, **bound.derived(one, np)}, rng)
        y = np.asarray(y, float)
        outcomes, counts = np.unique(y, return_counts=True)
        natural = (y - model.offset) / bound.unit if bound.family.gaussian else y
        model.__dict__[place] = given._replace(y=natural, outcomes=outcomes, counts=counts.astype(float))
        if place == "data" and bound.family.gaussian:
            # Otherwise pseudo-data stand for the rows, and may be any.
            state.outcome[:] = natural
    chain = np.array(found[50:])
    worth: list[Any] = [array_stats.ess(column[None], method="mean") for column in chain.T]
    error = np.sqrt(chain.var(axis=0) / np.array(worth, float) + prior.var(axis=0) / len(prior))
    z = (chain.mean(axis=0) - prior.mean(axis=0)) / error
    assert np.abs(z).max() < 4.2, z.round(1)


def world(family: str, seed: int, types: bool, count: int = 150) -> pd.DataFrame:
    """Two types with opposite slopes, or none."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(-2, 2, count), rng.normal(size=count)
    z = (rng.random(count) < 1 / (1 + np.exp(-2 * c))).astype(int) if types else np.zeros(count, int)
    theta = np.array([[-1.0, -1.0], [1.0, 1.5]])[z] * (0.5 if family == "Poisson" else 1.0)
    eta = theta[:, 0] + theta[:, 1] * x
    y = rng.poisson(np.exp(eta)) if family == "Poisson" else eta + 0.5 * rng.normal(size=count)
    return pd.DataFrame({"y": y, "x": x, "c": c})


@pytest.mark.parametrize(("prior", "family", "types"), [
    (bp.Mixture(3), "Normal", False), (bp.Mixture(2, gate="c"), "Normal", True), (bp.Repulsive("c"), "Normal", False),
    pytest.param(bp.Mixture(3), "Poisson", True, marks=pytest.mark.slow),
    pytest.param(bp.Contextualized("c", hidden=4), "Poisson", True, marks=pytest.mark.slow)], ids=str)
def test_fits_at_the_defaults_are_healthy(prior: Any, family: str, types: bool) -> None:
    stated = bp.Model("y ~ x", prior, getattr(bp, family)())
    posterior = bp.fit(stated, world(family, 1, types), seed=1, progress=False)
    assert not posterior.complaints, posterior.complaints
    assert posterior.diagnostics.engine.startswith("Gibbs") and posterior.diagnostics.chains == 4


def test_what_it_cannot_draw_is_refused() -> None:
    frame = rows(bp.Normal())
    for prior in (bp.Population(), bp.Mixture(2) + bp.PartialPooling("s")):
        with pytest.raises(SpecificationError, match=r"only varying part is a Mixture, Repulsive or a .*Use NUTS\(\)"):
            bp.fit(bp.Model("y ~ x", prior), frame, method=bp.Gibbs(), progress=False)
    for wrong in ({"draws": 3}, {"chains": 0}, {"tune": 0}):
        with pytest.raises(SpecificationError, match="Gibbs"):
            bp.Gibbs(**wrong)
