"""A model whose rows choose among alternatives, as compiled moves take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.choice_moves import sweeps
from bayes_personal.kernels.choices import LENGTH, METRIC, OWN, SCALE, Laws, Rows, State
from bayes_personal.kernels.tape import Symbolic
from bayes_personal.priors.parts.pieces import Alternatives
from bayes_personal.samplers.walking import WIDTH, Walking, plain, walkable


def chooses(bound: BoundModel) -> bool:
    """Say whether the model consists of alternatives alone, whose moves are compiled."""
    choice = bound.choice
    return choice is not None and len(bound.pieces) == 1 and choice.alternatives is not None and walkable(bound)


@final
@dataclass(frozen=True, eq=False)
class Choosing(Walking):
    """The model as rows, laws and hyperparameters."""

    engine: ClassVar = "Gibbs sampling of types, gate and coefficients"

    @cached_property
    def alternatives(self) -> Alternatives:
        """The parts of the choice."""
        choice = self.bound.choice
        assert choice is not None and choice.alternatives is not None
        return choice.alternatives

    @cached_property
    def hyper(self) -> list[tuple[int, Parameter]]:
        parts = self.alternatives
        found = [*((OWN, each) for each in self.bound.family_parameters), (SCALE, parts.scale),
                 (METRIC, parts.metric), (LENGTH, parts.length)]
        return [(kind, parameter) for kind, parameter in found if parameter is not None]

    @cached_property
    def rows(self) -> Rows:
        """The rows."""
        matrix = np.zeros((0, len(self.bound.rows))) if self.alternatives.gate else self.bound.features[0].matrix.T
        return Rows(self.code, *map(plain, (*self.outcomes(), *self.predictors(), matrix, *self.distinct())))

    @cached_property
    def laws(self) -> Laws:
        """The prior."""
        parts = self.alternatives
        gate, level, slope = parts.gate, parts.level, parts.slope
        readings = 0 if slope is None else slope.shape[1]
        mean, mean_sd = self.mean()
        return Laws(
            plain(mean), plain(mean_sd), plain(parts.component.arguments["sigma"][0] / self.component_unit),
            0.0 if gate is None else float(gate.arguments["alpha"][0]),
            1.0 if level is None else float(level.arguments["sigma"].flat[0]),
            1.0 if slope is None else float(slope.arguments["sigma"].flat[0]),
            np.full(readings, -1) if parts.owner is None else np.array(parts.owner, np.int64),
            0.0 if parts.repulsion is None else parts.repulsion.strength,
            self.kinds, self.own, 0 if parts.metric is None else parts.metric.size)

    @property
    def component_unit(self) -> np.ndarray:
        """Units of the alternatives' coefficients: 1 where a scale multiplies them."""
        unit = self.bound.nonlinear[0].unit
        return np.ones(len(unit)) if self.alternatives.scale is not None else unit

    def natural(self, values: Mapping[str, Any]) -> list[Any]:
        parts, unit = self.alternatives, self.bound.nonlinear[0].unit
        scale = np.ones(len(unit)) if parts.scale is None else values[parts.scale.name] / unit
        metric = [] if parts.metric is None else values[parts.metric.name]
        if parts.length is None or parts.repulsion is None:
            return [scale, metric, 1.0, 1.0]
        length = parts.repulsion.reached(values[parts.length.name], Symbolic())
        return [scale, metric, length, parts.repulsion.log_normaliser(length, Symbolic())]

    def start(self, rng: np.random.Generator) -> State:
        laws, count, size = self.laws, self.alternatives.component.shape[0], len(self.rows.y)
        width = 1 if laws.alpha else 1 + len(self.rows.contexts)
        gate = np.full((count, 1), -np.log(count)) if laws.alpha else 0.1 * rng.standard_normal((count, width))
        eta, likelihood, log_gate, odds, ratio = (np.zeros((count, size)) for _ in range(5))
        return State(np.zeros(len(self.kinds)), laws.mean.copy(),
                     plain(laws.sd * rng.standard_normal((count, len(laws.sd)))), plain(gate),
                     np.zeros(len(self.tape.outputs)), eta, likelihood, log_gate, odds, ratio, np.zeros(size, np.int64),
                     np.full((3, max(len(self.kinds), gate.size)), WIDTH))

    def walk(self, state: State, powers: np.ndarray, adapt: bool, thin: int,
             rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        arrays = tuple(np.empty((len(powers) // thin, *part.shape)) for part in state[:4])
        sweeps(self.rows, self.laws, self.tape.arrays, state, powers, adapt, thin, rng, *arrays)
        return arrays

    def values(self, points: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        phi, shared, coefficients, gate = points
        parts, result = self.alternatives, self.common(phi, shared)
        result[parts.component.name] = coefficients * self.component_unit
        if parts.gate is not None:
            result[parts.gate.name] = np.exp(gate[:, :, 0])
        else:
            assert parts.level is not None and parts.slope is not None
            result[parts.level.name], result[parts.slope.name] = gate[:, :, 0], gate[:, :, 1:]
        return result
