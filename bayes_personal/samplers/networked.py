"""A model whose coefficients are a network with one hidden layer, as compiled moves take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import likelihoods
from bayes_personal.kernels.hidden_units import OWN, SCALE, STEEPNESS, Data, Point
from bayes_personal.kernels.network_moves import network_sweeps
from bayes_personal.priors.parts.pieces import Function, HiddenLayer
from bayes_personal.samplers.walking import WIDTH, Walking, plain, walkable


def networked(bound: BoundModel) -> bool:
    """Say whether the model consists of a network alone, whose moves are compiled."""
    piece = bound.pieces[0] if len(bound.pieces) == 1 else None
    return isinstance(piece, Function) and piece.hidden_layer is not None and walkable(bound)


@final
@dataclass(frozen=True, eq=False)
class Networked(Walking):
    """The model as rows, network and hyperparameters."""

    engine: ClassVar = "Gibbs sampling of hidden units and hyperparameters; weights drawn given these"

    @cached_property
    def parts(self) -> HiddenLayer:
        """The parts of the network."""
        parts = self.bound.nonlinear[0].hidden_layer
        assert parts is not None
        return parts

    @cached_property
    def hyper(self) -> list[tuple[int, Parameter]]:
        return [*((OWN, each) for each in self.bound.family_parameters), (SCALE, self.parts.scale),
                (STEEPNESS, self.parts.steepness)]

    def natural(self, values: Mapping[str, Any]) -> list[Any]:
        return [values[self.parts.scale.name] / self.bound.nonlinear[0].unit, values[self.parts.steepness.name]]

    @cached_property
    def data(self) -> Data:
        """Rows and prior."""
        (y, n, offset), (mean, sd), (shared, varying) = self.outcomes(), self.mean(), self.predictors()
        weights = np.zeros(self.parts.second.size)
        outcomes, counts = self.distinct()
        return Data(self.code, plain(y), plain(n), plain(offset), plain(outcomes), plain(counts), plain(varying),
                    plain(self.bound.features[0].matrix.T), np.append(mean, weights), np.append(sd**-2.0, weights + 1),
                    len(shared), self.own, self.kinds, self.parts.bend, self.parts.root)

    def start(self, rng: np.random.Generator) -> Point:
        data, parts = self.data, self.parts
        shared, _ = self.predictors()
        units, size, rows = parts.second.shape[0], len(data.mean), len(data.y)
        layer = plain(rng.standard_normal((units, 1 + len(data.contexts))))
        features = np.zeros((size, rows))
        features[: len(shared)] = shared
        precision, outcome = data.n.copy(), data.y.copy()
        if not self.bound.family.gaussian:
            # The first pseudo-data are those at the mean's expected value.
            values = {each.name: each.unit for each in self.bound.family_parameters}
            own = np.array([float(each) for each in self.of_family(values)])
            score, _, positive = likelihoods.slopes(data.code, own, data.y, data.n, data.offset[None].copy())
            precision = np.maximum(positive[0, 0], 1e-3)
            outcome = score[0] / precision
        return Point(np.zeros(len(self.kinds)), data.mean.copy(), layer, np.zeros(len(self.tape.outputs)), features,
                     np.zeros((size, size)), np.zeros(size), plain(precision), plain(outcome), np.zeros((4, rows)),
                     np.full((3, len(self.kinds)), WIDTH), np.zeros(1))

    def walk(self, state: Point, powers: np.ndarray, adapt: bool, thin: int,
             rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        arrays = tuple(np.empty((len(powers) // thin, *part.shape)) for part in state[:3])
        network_sweeps(self.data, self.tape.arrays, state, powers, adapt, thin, rng, *arrays)
        return arrays

    def values(self, points: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        phi, theta, layer = points
        parts, shared = self.parts, self.data.shared
        return self.common(phi, theta[:, :shared]) | {
            parts.first.name: layer[:, :, :-1].mT, parts.offset.name: layer[:, :, -1],
            parts.second.name: theta[:, shared:].reshape(-1, *parts.second.shape)}
