"""The generative `pm.Model` of a model with its data, in the data's own units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from bayes_personal.bound import Bound
from bayes_personal.parameter import Parameter


class Affine(Transform):
    """The sampler sees (value - location) / unit."""

    name = "standardised"

    def __init__(self, location: Any, unit: Any) -> None:
        self.location, self.unit = np.asarray(location, float), np.asarray(unit, float)

    def forward(self, value: Any, *inputs: Any) -> Any:
        return (value - self.location) / self.unit

    def backward(self, value: Any, *inputs: Any) -> Any:
        return self.location + self.unit * value

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        return pt.zeros_like(value) + np.log(self.unit)


class Logarithm(Transform):
    """The sampler sees log(value / unit)."""

    name = "log"

    def __init__(self, unit: Any) -> None:
        self.unit = np.asarray(unit, float)

    def forward(self, value: Any, *inputs: Any) -> Any:
        return pt.log(value / self.unit)

    def backward(self, value: Any, *inputs: Any) -> Any:
        return self.unit * pt.exp(value)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        return value + np.log(self.unit)


def declare(parameter: Parameter) -> Any:
    """Declare a hyperparameter in the open model; the sampler moves in its natural units."""
    kind = getattr(pm, parameter.distribution)
    if parameter.support == "positive":
        moves = {"default_transform": Logarithm(parameter.unit)}
    elif parameter.support == "real":
        moves = {"default_transform": Affine(parameter.location, parameter.unit)}
    else:
        moves = {}
    return kind(parameter.name, dims=tuple(parameter.coords) or None, **moves, **parameter.arguments)


def program(bound: Bound) -> pm.Model:
    """Hyperparameters, population mean, weights (whitened, or as they are where data pin them down), likelihood.

    No potentials: PyMC would leave them out when it samples forward.

    Its variables and dimensions are those of every posterior of the model.
    """
    coords = {"unit": np.arange(len(bound.rows)), "coefficient": bound.coefficients.names}
    for labelled in bound.dims.values():
        coords |= labelled
    with pm.Model(coords=coords) as model:
        hyper = (*([bound.mean] if bound.mean else []), *bound.parameters)
        values = {parameter.name: declare(parameter) for parameter in hyper}
        for term in bound.terms:
            name, dims = f"{term.name}_z", tuple(bound.dims[f"{term.name}_z"])
            if term.name in bound.pinned:
                scale, _ = term.scales(values, pt)
                weight = pm.Normal(f"{term.name}_weight", np.float64(0.0), scale, dims=dims,
                                   default_transform=Affine(0.0, term.unit))
                values[name] = pm.Deterministic(name, weight / scale, dims=dims)
            else:
                values[name] = pm.Normal(name, dims=dims)
        for field in bound.markov:
            z = pm.Normal(f"{field.name}_z", dims=tuple(bound.dims[f"{field.name}_z"]))
            for name, value in field.colored(values, z, pt).items():
                values[name] = pm.Deterministic(name, value, dims=tuple(bound.dims[name]))
        for name, value in bound.derived(values, pt).items():
            if name not in model.named_vars:
                pm.Deterministic(name, value, dims=tuple(bound.dims[name]))
        (likelihood if bound.divided is None else divided)(bound, values)
    return model


def likelihood(bound: Bound, values: Mapping[str, Any]) -> None:
    """The outcome of every row given its eta, which of several branches a row takes summed out."""
    eta, branches = bound.eta(values, pt), bound.branches(values, bound.features, bound.x, pt)
    if branches is None:
        name, arguments = bound.family.likelihood(eta, values, bound.known, pt)
        getattr(pm, name)("y", observed=bound.y, dims="unit", **arguments)
    else:
        gate, added = branches
        name, arguments = bound.family.likelihood(eta[:, None] + added, values, bound.known[:, None], pt)
        pm.Mixture("y", w=pt.exp(gate), comp_dists=getattr(pm, name).dist(**arguments), observed=bound.y, dims="unit")


def divided(bound: Bound, values: Mapping[str, Any]) -> None:
    """The outcome of all rows, divisions of contexts summed out; drawn forward, with a division."""
    from bayes_personal.inference.evidence import LogEvidence
    from bayes_personal.inference.summed import Summed

    density = Summed(bound)

    def logp(outcome: Any, *given: Any) -> Any:
        natural = density.natural(dict(zip(values, given, strict=False)), pt)
        return LogEvidence(density)(pt.stack(natural))[0]

    def random(*given: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
        drawn = dict(zip(values, given, strict=False))
        return bound.simulated(drawn | bound.derived(drawn, np), rng)[1]

    # Every dimension of every hyperparameter is one of the distribution's own; the known constants say how many rows
    # there are.
    cores = (",".join(f"d{place}{k}" for k in range(one.ndim)) for place, one in enumerate(values.values()))
    signature = "".join(f"({core})," for core in cores)
    pm.CustomDist("y", *values.values(), bound.known, logp=logp, random=random, signature=f"{signature}(n)->(n)",
                  observed=bound.y, dims="unit")
