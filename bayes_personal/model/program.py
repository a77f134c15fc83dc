"""The generative `pm.Model` of a model with its data, in the data's own units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.parameter import Joint, Parameter


class Affine(Transform):
    """The transform to (value - location) / unit; the last `together` axes have a joint density."""

    name = "standardised"

    def __init__(self, location: Any, unit: Any, together: int = 0) -> None:
        self.location, self.unit = np.asarray(location, float), np.asarray(unit, float)
        self.joint_axes = tuple(range(-together, 0))

    def forward(self, value: Any, *inputs: Any) -> Any:
        return (value - self.location) / self.unit

    def backward(self, value: Any, *inputs: Any) -> Any:
        return self.location + self.unit * value

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        log_units = pt.zeros_like(value) + np.log(self.unit)
        return log_units.sum(axis=self.joint_axes) if self.joint_axes else log_units


class Logarithm(Transform):
    """The transform to log(value / unit)."""

    name = "log"

    def __init__(self, unit: Any) -> None:
        self.unit = np.asarray(unit, float)

    def forward(self, value: Any, *inputs: Any) -> Any:
        return pt.log(value / self.unit)

    def backward(self, value: Any, *inputs: Any) -> Any:
        return self.unit * pt.exp(value)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        return value + np.log(self.unit)


def declare(parameter: Parameter, dims: tuple[str, ...], values: Mapping[str, Any] | None = None) -> Any:
    """Declare a hyperparameter in the open model; the sampler moves in its natural units.

    `values` are the variables declared before it, on which a joint density may depend.
    """
    if parameter.joint is not None:
        return jointly(parameter, parameter.joint, dims, values or {})
    kind = getattr(pm, parameter.distribution)
    if parameter.support == "positive":
        transform = {"default_transform": Logarithm(parameter.unit)}
    elif parameter.support == "real":
        transform = {"default_transform": Affine(parameter.location, parameter.unit)}
    else:
        transform = {}
    return kind(parameter.name, dims=dims or None, **transform, **parameter.arguments)


def jointly(parameter: Parameter, joint: Joint, dims: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    """Declare an array whose entries depend on each other."""
    names, count = list(parameter.arguments), len(joint.given)
    arguments = [np.broadcast_to(value, parameter.shape) for value in parameter.arguments.values()]
    given = [values[name] for name in joint.given]

    def logp(value: Any, *inputs: Any) -> Any:
        base = getattr(pm, parameter.distribution).dist(**dict(zip(names, inputs[count:], strict=True)))
        return pt.sum(pm.logp(base, value)) + joint.log_ratio(value, inputs[:count], pt)

    def random(*inputs: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
        return parameter.draw(rng, dict(zip(joint.given, inputs, strict=False)))

    core_dims = ",".join(f"d{k}" for k in range(len(parameter.shape)))
    cores = (*(",".join(f"g{place}{k}" for k in range(variable.ndim)) for place, variable in enumerate(given)),
             *(core_dims for _ in arguments))
    return pm.CustomDist(parameter.name, *given, *arguments, logp=logp, random=random, dims=dims,
                         signature=f"{','.join(f'({core})' for core in cores)}->({core_dims})",
                         default_transform=Affine(parameter.location, parameter.unit, len(parameter.shape)))


def program(bound: BoundModel, batch: int | None = None) -> pm.Model:
    """Return the PyMC model: hyperparameters, population mean, whitened weights and likelihood.

    It has no potentials, because PyMC would leave them out when it samples forward.

    Its variables and dimensions are those of every posterior of the model. With a `batch` the likelihood is that of so
    many rows, drawn anew at every evaluation, scaled to all rows.
    """
    with pm.Model(coords=coordinates(bound)) as model:
        values = unknowns(bound, {name: tuple(dims) for name, dims in bound.dims.items()})
        if bound.division is not None:
            divided(bound, values)
        else:
            likelihood(bound, values, batch)
    return model


def coordinates(bound: BoundModel) -> dict[str, Any]:
    """Return the labels along every dimension of the model's variables."""
    coords: dict[str, Any] = {"unit": bound.units, "coefficient": bound.coefficients.names}
    for labelled in bound.dims.values():
        coords |= labelled
    return coords


def unknowns(bound: BoundModel, dims: Mapping[str, tuple[str, ...]],
             given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Declare, in the open model, all that the outcome depends on; return the variables by name.

    `dims` are the names of the dimensions of each; `given` are hyperparameters that are declared already.
    """
    values: dict[str, Any] = dict(given or {})
    for parameter in bound.hyperparameters:
        if parameter.name not in values:
            values[parameter.name] = declare(parameter, dims[parameter.name], values)
    for term in bound.terms:
        name = f"{term.name}_z"
        values[name] = pm.Normal(name, dims=dims[name])
    for field in bound.gaussian_functions:
        z = pm.Normal(f"{field.name}_z", dims=dims[f"{field.name}_z"])
        for name, value in field.colored(values, z, pt).items():
            values[name] = pm.Deterministic(name, value, dims=dims[name])
    for name, value in bound.derived(values, pt).items():
        if name not in values and name not in (f"{field.name}_z" for field in bound.gaussian_functions):
            pm.Deterministic(name, value, dims=dims[name])
    return values


def likelihood(bound: BoundModel, values: Mapping[str, Any], batch: int | None = None, x: Any = None) -> Any:
    """Declare the outcome of every row given its eta, with the choice among branches summed out.

    `x` are the rows' predictors, some of which may be other outcomes; by default those of the data.
    """
    x = bound.x if x is None else x
    constants: Any = bound.constants
    features, rows = bound.features, None
    outcome = {"observed": bound.y, "dims": "unit"}
    if batch is not None:
        # `pm.Minibatch` takes arrays and returns one variable for each, whatever its annotations say.
        minibatch: Any = pm.Minibatch
        rows, y = minibatch(np.arange(len(bound.y)), bound.y, batch_size=batch)
        x, constants = pt.take(x, rows, axis=0), pt.take(constants, rows)
        features = tuple(piece.take(rows, pt) for piece in features)
        outcome = {"observed": y, "total_size": len(bound.y)}
    eta, branches = bound.eta_at(values, x, features, pt), bound.branches(values, features, x, pt)
    if branches is None:
        law, arguments = bound.family.likelihood(eta, values, constants, pt)
        return law.of_pymc("y", **outcome, **arguments)
    gate, added = branches
    law, arguments = bound.family.likelihood(eta[:, None, :] + added, values, constants[:, None], pt)
    return pm.Mixture("y", w=pt.exp(gate), comp_dists=law.of_pymc.dist(**arguments), **outcome)


def divided(bound: BoundModel, values: Mapping[str, Any]) -> None:
    """Declare the outcome of all rows with divisions of contexts summed out; forward draws have a division."""
    from bayes_personal.densities.division_density import DivisionDensity
    from bayes_personal.densities.evidence import LogEvidence

    piece = bound.division
    assert piece is not None
    if not piece.integrates_out:
        raise SpecificationError("pymc: what cells have of their own does not integrate out of "
                                 f"{bound.family!r}, and PyMC has no distribution of divisions, so that this model has "
                                 "no program. posterior.tree holds its draws.")
    density = DivisionDensity(bound)

    def logp(outcome: Any, *given: Any) -> Any:
        natural = density.natural(dict(zip(values, given, strict=False)), pt)
        outputs: Any = LogEvidence(density)(pt.stack(natural))
        return outputs[0]

    def random(*given: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
        draws = dict(zip(values, given, strict=False))
        return bound.simulated(draws | bound.derived(draws, np), rng)[1]

    # Every dimension of every hyperparameter is a core dimension of the distribution; the known constants give the
    # number of rows.
    cores = (",".join(f"d{place}{k}" for k in range(variable.ndim)) for place, variable in enumerate(values.values()))
    signature = "".join(f"({core})," for core in cores)
    pm.CustomDist("y", *values.values(), bound.constants, logp=logp, random=random, signature=f"{signature}(n)->(n)",
                  observed=bound.y, dims="unit")
