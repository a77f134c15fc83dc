"""A model whose rows choose among alternatives, as the compiled moves take it, and their points as draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.choice_moves import sweeps
from bayes_personal.kernels.choices import LENGTH, METRIC, OWN, SCALE, Laws, Rows, State
from bayes_personal.kernels.codes import NORMAL
from bayes_personal.kernels.tape import Symbolic, Tape
from bayes_personal.priors.parts.pieces import Alternatives

# Expected length of a slice before it is known.
WIDTH = 0.5


def plain(array: Any) -> np.ndarray:
    """Return a copy in the one form that functions are compiled for."""
    return np.array(array, float, order="C")


def chooses(bound: BoundModel) -> bool:
    """Say whether the model consists of alternatives alone, whose moves are compiled."""
    choice = bound.choice
    return (choice is not None and len(bound.pieces) == 1 and choice.alternatives is not None
            and isinstance(bound.rows, InMemory) and bound.coefficients.linear_predictors == 1
            and (bound.family.gaussian or bound.family.compiled is not None)
            and (bound.mean is None or bound.mean_prior.gaussian))


@final
@dataclass(frozen=True, eq=False)
class Choosing:
    """The model as rows, laws and hyperparameters."""

    bound: BoundModel

    @cached_property
    def alternatives(self) -> Alternatives:
        """The parts of the choice."""
        choice = self.bound.choice
        assert choice is not None and choice.alternatives is not None
        return choice.alternatives

    @cached_property
    def hyper(self) -> list[tuple[int, Parameter]]:
        """The hyperparameters that move along slices, and what each governs."""
        parts = self.alternatives
        found = [*((OWN, each) for each in self.bound.family_parameters), (SCALE, parts.scale),
                 (METRIC, parts.metric), (LENGTH, parts.length)]
        return [(kind, parameter) for kind, parameter in found if parameter is not None]

    @cached_property
    def rows(self) -> Rows:
        """The rows."""
        bound, coefficients = self.bound, self.bound.coefficients
        (choice,) = bound.nonlinear
        y, known = np.asarray(bound.y, float), np.asarray(bound.constants, float)
        unit, size = 1.0, len(y)
        if bound.family.gaussian:
            unit = bound.unit
            known = known**-2.0 if bound.family.error_parameter else (known / unit) ** -2.0
        x = coefficients.predictors(bound.x, bound.everywhere)
        offset = x @ bound.fixed_mean
        if bound.mean is not None:
            offset = offset + x[:, bound.shared] @ bound.mean.location
        outcomes, counts = np.unique(y, return_counts=True)

        def by_unit(columns: np.ndarray, positions: np.ndarray) -> np.ndarray:
            return (columns * coefficients.unit[positions] / unit).T

        code = NORMAL if bound.family.gaussian else bound.family.compiled
        assert code is not None
        matrix = np.zeros((size, 0)) if self.alternatives.gate else bound.features[0].matrix
        return Rows(code, *map(plain, (
            (y - offset) / unit if bound.family.gaussian else y, known,
            np.zeros(size) if bound.family.gaussian else offset, by_unit(x[:, bound.shared], bound.shared),
            by_unit(coefficients.predictors(bound.x, choice.positions), choice.positions), matrix.T, outcomes, counts)))

    @cached_property
    def laws(self) -> Laws:
        """The prior."""
        bound, parts = self.bound, self.alternatives
        mean = bound.mean
        at = np.zeros(0) if mean is None else (mean.arguments["mu"] - mean.location) / mean.unit
        wide = np.zeros(0) if mean is None else mean.arguments["sigma"] / mean.unit
        sd = parts.component.arguments["sigma"][0] / self.component_unit
        gate, level, slope = parts.gate, parts.level, parts.slope
        readings = 0 if slope is None else slope.shape[1]
        return Laws(
            plain(at + np.zeros(len(bound.shared))), plain(wide + np.zeros(len(bound.shared))), plain(sd),
            0.0 if gate is None else float(gate.arguments["alpha"][0]),
            1.0 if level is None else float(level.arguments["sigma"].flat[0]),
            1.0 if slope is None else float(slope.arguments["sigma"].flat[0]),
            np.full(readings, -1) if parts.owner is None else np.array(parts.owner, np.int64),
            0.0 if parts.repulsion is None else parts.repulsion.strength,
            np.array([kind for kind, parameter in self.hyper for _ in range(parameter.size)], np.int64),
            self.own_count, 0 if parts.metric is None else parts.metric.size)

    @property
    def component_unit(self) -> np.ndarray:
        """Units of the alternatives' coefficients: 1 where a scale multiplies them."""
        unit = self.bound.nonlinear[0].unit
        return np.ones(len(unit)) if self.alternatives.scale is not None else unit

    @cached_property
    def own_count(self) -> int:
        """How many numbers the family has."""
        values = {parameter.name: parameter.unit for parameter in self.bound.family_parameters}
        return 1 if self.bound.family.gaussian else len(self.bound.family.compiled_numbers(values))

    def own(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the family's own numbers, in natural units."""
        family = self.bound.family
        if not family.gaussian:
            return list(family.compiled_numbers(values))
        return [values[family.error_parameter] / self.bound.unit if family.error_parameter else 1.0]

    def _outputs(self, point: Any) -> list[Any]:
        start, values, prior = 0, dict[str, Any](), 0.0
        for _, parameter in self.hyper:
            part = point[None, start : start + parameter.size]
            values[parameter.name] = parameter.value(part)
            prior = prior + parameter.log_density(values[parameter.name], part)
            start += parameter.size
        parts, unit = self.alternatives, self.bound.nonlinear[0].unit
        scale = np.ones(len(unit)) if parts.scale is None else values[parts.scale.name] / unit
        metric = [] if parts.metric is None else values[parts.metric.name]
        length = normaliser = 1.0
        if parts.length is not None and parts.repulsion is not None:
            length = parts.repulsion.reached(values[parts.length.name], Symbolic())
            normaliser = parts.repulsion.log_normaliser(length, Symbolic())
        return [entry for part in (prior, *self.own(values), scale, metric, length, normaliser)
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """Log prior, numbers of the family, scales, metrics, length and normaliser as functions of phi."""
        return Tape.of(self._outputs, len(self.laws.kinds))

    def start(self, rng: np.random.Generator) -> State:
        """Return a point of a chain that starts from the prior."""
        rows, laws, count, size = self.rows, self.laws, self.count, len(self.rows.y)
        width = 1 if laws.alpha else 1 + len(rows.contexts)
        gate = np.full((count, 1), -np.log(count)) if laws.alpha else 0.1 * rng.standard_normal((count, width))
        eta, likelihood, log_gate, odds, ratio = (np.zeros((count, size)) for _ in range(5))
        return State(np.zeros(len(laws.kinds)), laws.mean.copy(),
                     plain(laws.sd * rng.standard_normal((count, len(laws.sd)))), plain(gate),
                     np.zeros(len(self.tape.outputs)), eta, likelihood, log_gate, odds, ratio, np.zeros(size, np.int64),
                     np.full((3, max(len(laws.kinds), gate.size)), WIDTH))

    @property
    def count(self) -> int:
        """Number of alternatives."""
        return self.alternatives.component.shape[0]

    def walk(self, state: State, powers: np.ndarray, adapt: bool, thin: int,
             rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Move a point on, and return the points kept on the way: phi, shared, coefficients, gate."""
        kept = len(powers) // thin
        arrays = tuple(np.empty((kept, *part.shape)) for part in state[:4])
        sweeps(self.rows, self.laws, self.tape.arrays, state, powers, adapt, thin, rng, *arrays)
        return arrays

    def values(self, points: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        """Return the model's variables at points."""
        phi, shared, coefficients, gate = points
        parts, result, start = self.alternatives, dict[str, np.ndarray](), 0
        for _, parameter in self.hyper:
            result[parameter.name] = parameter.value(phi[:, start : start + parameter.size])
            start += parameter.size
        if self.bound.mean is not None:
            result[self.bound.mean.name] = self.bound.mean.location + self.bound.mean.unit * shared
        result[parts.component.name] = coefficients * self.component_unit
        if parts.gate is not None:
            result[parts.gate.name] = np.exp(gate[:, :, 0])
        else:
            assert parts.level is not None and parts.slope is not None
            result[parts.level.name], result[parts.slope.name] = gate[:, :, 0], gate[:, :, 1:]
        return result
