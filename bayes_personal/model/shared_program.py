"""The `pm.Model` of several outcomes of the same rows that have functions of context in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.model.program import coordinates, declare, unknowns


def shared_program(functions: SharedFunctions, parents: Mapping[str, Sequence[str]]) -> pm.Model:
    """Return the PyMC model: the hyperparameters of the functions, all else outcome by outcome, and the rows.

    Names and dimensions of an outcome's own variables begin with the outcome: ``mek::mu`` and ``mek::coefficient``. The
    variable ``y`` is all outcomes of all rows, (unit, node): the branch that a row takes is summed out of all its
    outcomes together. Forward sampling draws whole rows, each with one branch. `parents` are outcomes among the
    predictors of each outcome.
    """
    bounds, names = functions.bounds, list(functions.bounds)
    coords: dict[str, Any] = {"unit": next(iter(bounds.values())).units, "node": names}
    for parameter in functions.parameters:
        coords |= parameter.coords
    with pm.Model(coords=coords) as whole:
        common: dict[str, Any] = {}
        for parameter in functions.parameters:
            common[parameter.name] = declare(parameter, tuple(parameter.coords), common)
        values = {name: _own(whole, name, bound, functions.part(name, common)) for name, bound in bounds.items()}
        of_rows = {name: {variable: value for variable, value in own.items() if variable not in common}
                   for name, own in values.items()}
        _rows(functions, common, of_rows, parents)
    return whole


def _own(whole: pm.Model, name: str, bound: BoundModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Declare an outcome's own variables, and return all that it depends on."""
    for dim, labels in coordinates(bound).items():
        if dim != "unit":
            whole.add_coord(f"{name}::{dim}", labels)
    dims = {variable: tuple(f"{name}::{dim}" for dim in own) for variable, own in bound.dims.items()}
    with pm.Model(name=name):
        return unknowns(bound, dims, given)


def _rows(functions: SharedFunctions, common: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]],
          parents: Mapping[str, Sequence[str]]) -> None:
    """Declare the outcomes of all rows, given the variables that all outcomes have in common and those of each."""
    bounds, names = functions.bounds, list(functions.bounds)
    variables = [*common.values(), *(value for values in own.values() for value in values.values())]

    def restored(given: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """Return the values of the variables of every outcome."""
        remaining = iter(given)
        shared = {name: next(remaining) for name in common}
        return {name: functions.part(name, shared) | {variable: next(remaining) for variable in values}
                for name, values in own.items()}

    def logp(rows: Any, *given: Any) -> Any:
        values = restored(given)

        def of_outcome(name: str, bound: BoundModel) -> tuple[Any, Any]:
            x: Any = pt.as_tensor(bound.x)
            for parent in parents[name]:
                x = pt.set_subtensor(x[:, bound.coefficients.names.index(parent)], rows[:, names.index(parent)])
            eta = bound.eta_at(values[name], x, bound.features, pt)
            gate, (law, arguments) = functions.given_branches(name, values[name], eta, x, bound.features,
                                                              bound.constants, pt)
            return gate, pm.logp(law.of_pymc.dist(**arguments), rows[:, names.index(name)][:, None])

        joint = functions.log_joint(of_outcome)
        by_row: Any = pm.math.logsumexp(joint, axis=-1) if functions.branches > 1 else joint
        return by_row.sum()

    def random(*given: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
        return functions.drawn(restored(given), parents, rng)

    # Every dimension of every variable is a core dimension of the distribution; the last argument gives its shape.
    observed = np.stack([bound.y for bound in bounds.values()], axis=-1)
    cores = (",".join(f"d{place}{k}" for k in range(variable.ndim)) for place, variable in enumerate(variables))
    signature = "".join(f"({core})," for core in cores)
    pm.CustomDist("y", *variables, np.zeros(observed.shape), logp=logp, random=random,
                  signature=f"{signature}(n,m)->(n,m)", observed=observed, dims=("unit", "node"))
