"""Functions of context that several outcomes of the same rows have in common: a row's type, or a network of contexts.

A row has one type for all of its outcomes, and types have coefficients of every outcome: such a function is that of one
outcome, for the coefficients of all of them. Each hyperparameter that it has coefficient by coefficient falls into
parts, one an outcome; all its other hyperparameters are the same for all outcomes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.division import Division
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Choice, Function, GaussianFunction

Values = Mapping[str, Any]
# Of every outcome, by its name, the values of its variables.
OfOutcomes = Mapping[str, Values]


def own_functions(bound: BoundModel) -> tuple[Function, ...]:
    """Return the functions of one outcome that it would share with others: not those that are Gaussian given their
    hyperparameters, of which each outcome has its own, and not divisions."""
    return tuple(piece for piece in bound.nonlinear if not isinstance(piece, GaussianFunction | Division))


def dimensions_behind(function: Function, parameter: Parameter) -> int | None:
    """Return how many dimensions follow that of the coefficients in a hyperparameter; None where it has none."""
    dims, ((coefficients, _),) = tuple(parameter.coords), function.varying.items()
    return len(dims) - 1 - dims.index(coefficients) if coefficients in dims else None


@final
@dataclass(frozen=True, eq=False)
class SharedFunctions:
    """Models of several outcomes of the same rows, with functions that they have in common.

    Attributes
    ----------
    bounds : the model of every outcome with its data, by the name of the outcome
    """

    bounds: Mapping[str, BoundModel]

    @classmethod
    def of(cls, bounds: Mapping[str, BoundModel]) -> Self | None:
        """Join the outcomes that have functions in common; None where no two outcomes have one."""
        chosen = {name: bound for name, bound in bounds.items() if own_functions(bound)}
        return cls(chosen) if len(chosen) > 1 else None

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """The functions, each for the coefficients of all outcomes that have it."""
        by_name: dict[str, dict[str, Function]] = {}
        for name, bound in self.bounds.items():
            for function in own_functions(bound):
                by_name.setdefault(function.name, {})[name] = function
        return tuple(map(self._joined, by_name.values()))

    def _joined(self, parts: Mapping[str, Function]) -> Function:
        """Return the function of which these are the parts, by outcome."""
        bounds = [self.bounds[name] for name in parts]
        starts = np.cumsum([0, *(len(bound.coefficients.names) for bound in bounds)])
        names = tuple(f"{name} ~ {coefficient}" for name in parts for coefficient in
                      self.bounds[name].coefficients.names)
        location, unit, center = (np.concatenate([getattr(bound.coefficients, field) for bound in bounds])
                                  for field in ("location", "unit", "center"))
        positions = np.concatenate([start + function.positions
                                    for start, function in zip(starts, parts.values(), strict=False)])
        one: Any = next(iter(parts.values()))
        return replace(one, positions=positions, coefficients=Coefficients(names, location, unit, center))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The hyperparameters of the functions, each after those that its joint density depends on."""
        return tuple(parameter for function in self.functions for parameter in function.parameters())

    @cached_property
    def _places(self) -> dict[tuple[str, str], slice]:
        """The places, among the coefficients of each function, of those of each outcome."""
        result, ends = {}, dict.fromkeys((function.name for function in self.functions), 0)
        for name, bound in self.bounds.items():
            for function in own_functions(bound):
                start = ends[function.name]
                ends[function.name] = start + len(function.positions)
                result[function.name, name] = slice(start, ends[function.name])
        return result

    def part(self, outcome: str, values: Values) -> dict[str, Any]:
        """Return what one outcome has of some values of the functions' hyperparameters, (..., *shape)."""
        result = {}
        for function in self.functions:
            place = self._places.get((function.name, outcome))
            for parameter in () if place is None else function.parameters():
                if parameter.name not in values:
                    continue
                value, behind = values[parameter.name], dimensions_behind(function, parameter)
                result[parameter.name] = value if behind is None else value[(..., place, *(slice(None),) * behind)]
        return result

    def drawn_in_common(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw, from the prior, the hyperparameters that outcomes have in common or that have a joint density."""
        result: dict[str, np.ndarray] = {}
        for function in self.functions:
            for parameter in function.parameters():
                if dimensions_behind(function, parameter) is None or parameter.joint is not None:
                    result[parameter.name] = parameter.draw(rng, result)
        return result

    @property
    def branches(self) -> int:
        """Number of alternatives of which a row takes one; 1 where rows do not choose."""
        return next((function.branches for function in self.functions if isinstance(function, Choice)), 1)

    @property
    def has_weights(self) -> bool:
        """Whether outcomes have weights beside the functions, so that a row may have parameters of its own."""
        return any(bound.terms or bound.gaussian_functions for bound in self.bounds.values())

    def given_branches(self, outcome: str, values: Values, eta: Any, x: Any, features: tuple[Features, ...],
                       constants: Any, xp: Any) -> tuple[Any, Likelihood]:
        """Return the log probability of each branch (..., unit, branch), or None where the outcome has no branches, and
        the distribution of the outcome in each.

        `eta` is x_i' theta_i without the part of the branches, (..., unit, predictor).
        """
        bound = self.bounds[outcome]
        branches = bound.branches(values, features, x, xp)
        eta = eta[..., None, :] if branches is None else eta[..., None, :] + branches[1]
        family_values = bound.family_values(values, axes=2)
        return branches and branches[0], bound.family.likelihood(eta, family_values, constants[:, None], xp)

    def log_joint(self, given: Callable[[str, BoundModel], tuple[Any, Any]]) -> Any:
        """Return log p(branch, outcomes of the row), (..., unit, branch): outcomes are summed before branches are.

        `given` returns, of an outcome, the log probabilities of the branches, or None, and the log density of the
        outcome in each.
        """
        gate, total = None, 0.0
        for name, bound in self.bounds.items():
            own_gate, log_density = given(name, bound)
            # All outcomes that have branches have the same probabilities of them.
            gate, total = own_gate if gate is None else gate, total + log_density
        return total if gate is None else gate + total

    def log_of_rows(self, values: OfOutcomes, rows: np.ndarray,
                    features: Mapping[str, tuple[Features, ...]]) -> np.ndarray:
        """Return log p(branch, training row), (draw, unit, branch), at the places `rows`.

        `features` are those of all training rows, outcome by outcome.
        """
        def given(name: str, bound: BoundModel) -> tuple[Any, Any]:
            own, x = values[name], np.ascontiguousarray(bound.x[rows])
            chosen = tuple(piece.take(rows, np) for piece in features[name])
            eta = bound.eta_of(bound.theta(own, chosen, len(rows)), x)
            gate, likelihood = self.given_branches(name, own, eta, x, chosen, bound.constants[rows], np)
            return gate, likelihood.log_density(bound.y[rows][:, None])

        return self.log_joint(given)

    def drawn_branches(self, values: OfOutcomes, rng: np.random.Generator) -> np.ndarray | None:
        """Draw the branch that each training row takes before its outcomes are known, (unit,); None without a choice.
        """
        for name, bound in self.bounds.items():
            if bound.choice is not None:
                gate = bound.choice.log_gate(values[name], bound.features[bound.pieces.index(bound.choice)].matrix, np)
                shares = np.exp(gate).cumsum(axis=-1)
                return (rng.random((len(bound.rows), 1)) >= shares / shares[:, -1:]).sum(axis=-1)
        return None

    def drawn(self, values: OfOutcomes, parents: Mapping[str, Sequence[str]], rng: np.random.Generator) -> np.ndarray:
        """Draw the outcomes of all training rows, (unit, outcome), one after the other, from values of all variables.

        `parents` are outcomes among the predictors of each outcome, which are taken as they are drawn.
        """
        branches, result = self.drawn_branches(values, rng), dict[str, np.ndarray]()
        for name, bound in self.bounds.items():
            own, x = {**values[name], **bound.derived(values[name], np)}, bound.x.copy()
            for parent in parents[name]:
                x[:, bound.coefficients.names.index(parent)] = result[parent]
            theta = bound.theta(own, bound.features, len(bound.rows), branches)
            likelihood = bound.family.likelihood(bound.eta_of(theta, x), bound.family_values(own), bound.constants, np)
            result[name] = likelihood.draw(rng, (len(bound.rows),))
        return np.stack([result[name] for name in self.bounds], axis=-1)
