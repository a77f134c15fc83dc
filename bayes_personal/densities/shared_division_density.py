"""Several outcomes of the same rows whose parameters change together: one division of contexts, summed out for all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back
from bayes_personal.priors.divisions.segment_several import SeveralSegments
from bayes_personal.priors.divisions.sums import DivisionSums

Values = Mapping[str, np.ndarray]
# Operations of one draw up to which leaving a row out sums over all partitions; beyond it, it uses drawn ones.
FEW = 3e8


@final
@dataclass(frozen=True, eq=False)
class SharedDivisionDensity(HyperparameterDensity):
    """The hyperparameters of all outcomes, of which the frequency of cuts is one for all.

    Given a division and hyperparameters, outcomes are independent: the log factor of a cell is the sum over outcomes,
    and the sums over divisions are those for one outcome.

    Attributes
    ----------
    outcomes : the density of each outcome by itself, whose frequency of cuts is not its own here
    """

    outcomes: tuple[DivisionDensity, ...]

    @classmethod
    def of(cls, bounds: Sequence[BoundModel]) -> Self:
        """Join models that are bound to the same rows with the same division."""
        return cls(tuple(DivisionDensity(bound) for bound in bounds))

    @property
    def bound(self) -> BoundModel:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The model of the first outcome with its data."""
        return self.outcomes[0].bound

    @property
    def divisions(self) -> DivisionSums:
        """The sums over divisions."""
        return self.outcomes[0].divisions

    @property
    def target_accept(self) -> float:
        return self.divisions.target_accept

    @cached_property
    def frequency(self) -> Parameter:
        """The hyperparameter that sets the expected number of cells."""
        return next(parameter for parameter in self.outcomes[0].parameters
                    if parameter.name == self.outcomes[0].piece.frequency)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        own = (parameter for outcome in self.outcomes for parameter in outcome.parameters
               if parameter.name != self.frequency.name)
        return self.frequency, *own

    @cached_property
    def may_vanish(self) -> np.ndarray:
        return np.zeros(self.size, bool)

    @cached_property
    def places(self) -> tuple[np.ndarray, ...]:
        """Where the numbers of each outcome's point are in the joint one, whose first is the frequency's."""
        result, start = [], 1
        for outcome in self.outcomes:
            places = []
            for parameter in outcome.parameters:
                if parameter.name == self.frequency.name:
                    places.append(np.zeros(1, int))
                else:
                    places.append(np.arange(start, start + parameter.size))
                    start += parameter.size
            result.append(np.concatenate(places))
        return tuple(result)

    @cached_property
    def tape(self) -> Tape:
        """The log prior of the frequency as a function of its point."""
        def log_prior(point: Any) -> list[Any]:
            return [self.frequency.log_density(self.frequency.value(point[None], Symbolic()), point[None])[0]]

        return Tape.of(log_prior, 1)

    def joint(self, naturals: Sequence[np.ndarray]) -> SeveralSegments | None:
        """Return the sums at the arguments of each outcome, or None beyond the reach of floating point."""
        # Of Normal outcomes, the sums are those of Normal segments.
        parts: Any = [outcome.within_reach(natural) for outcome, natural in zip(self.outcomes, naturals, strict=True)]
        return None if any(part is None for part in parts) else SeveralSegments(tuple(parts))

    def _read(self, point: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Return the log prior, and the arguments of the sums of each outcome."""
        read = [outputs(point[places], *outcome.tape.arrays)
                for outcome, places in zip(self.outcomes, self.places, strict=True)]
        # Each outcome counts the prior of the frequency.
        repeated = (len(self.outcomes) - 1) * outputs(point[:1], *self.tape.arrays)[0]
        return sum(each[0] for each in read) - repeated, [np.array(each[1:]) for each in read]

    @np.errstate(all="ignore")
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, naturals = self._read(point)
        segments = self.joint(naturals)
        if segments is None:
            return -np.inf, np.zeros(self.size)
        value, slopes = self.divisions.log_evidence_and_gradient(segments, float(naturals[0][-1]))
        gradient, cuts = np.zeros(self.size), np.cumsum([0, *(len(natural) - 1 for natural in naturals)])
        for j, (outcome, places, (low, high)) in enumerate(zip(self.outcomes, self.places, pairwise(cuts),
                                                               strict=True)):
            own = np.concatenate([[1.0], slopes[low:high], [slopes[-1] if j == 0 else 0.0]])
            gradient[places] += pulled_back(point[places], *outcome.tape.arrays, own)
        gradient[:1] -= (len(self.outcomes) - 1) * pulled_back(point[:1], *self.tape.arrays, np.ones(1))
        return prior + value, gradient

    @np.errstate(all="ignore")
    def _value(self, point: np.ndarray) -> float:
        prior, naturals = self._read(point)
        segments = self.joint(naturals)
        return -np.inf if segments is None else prior + self.divisions.log_evidence(segments, naturals[0][-1])

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array([self.value(point) for point in np.ascontiguousarray(points)])

    def of_outcomes(self, points: np.ndarray) -> list[dict[str, np.ndarray]]:
        """Return the hyperparameters of each outcome at points (draw, size)."""
        return [outcome.values(points[:, places]) for outcome, places in zip(self.outcomes, self.places, strict=True)]

    def arguments(self, values: Sequence[Values], count: int) -> np.ndarray:
        """Return the arguments of all sums at draws of the hyperparameters, (draw, argument)."""
        return np.concatenate([outcome.arguments(own, count)
                               for outcome, own in zip(self.outcomes, values, strict=True)], axis=1)

    def at(self, arguments: np.ndarray) -> tuple[SeveralSegments, float]:
        """Return the sums at one draw, and the argument of the divisions."""
        cuts = np.cumsum([0, *(self._arguments_of(outcome) for outcome in self.outcomes)])
        parts: Any = [outcome.segments(arguments[low:high])
                      for outcome, (low, high) in zip(self.outcomes, pairwise(cuts), strict=True)]
        return SeveralSegments(tuple(parts)), float(arguments[-1])

    def _arguments_of(self, outcome: DivisionDensity) -> int:
        # Beside the log prior, the tape has those of the cells and the frequency.
        return len(outcome.tape.outputs) - 1

    def draw_rest(self, values: Sequence[Values], count: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
        """Draw divisions and cells exactly, the same divisions for all outcomes."""
        points, inverse = np.unique(self.arguments(values, count), axis=0, return_inverse=True)
        drawn: list[Any] = [None] * count
        levels: list[Any] = [None] * count
        for place, own_rng in enumerate(rng.spawn(len(points))):
            draws, (segments, last) = np.flatnonzero(inverse == place), self.at(points[place])
            divisions, theta = self.divisions.draw(segments, last, len(draws), own_rng)
            cuts = np.cumsum(list(map(len, divisions)))[:-1]
            for draw, division, level in zip(draws, divisions, np.split(theta, cuts), strict=True):
                drawn[draw], levels[draw] = division, level
        sizes = np.cumsum([0, *(len(outcome.bound.coefficients.names) for outcome in self.outcomes)])
        theta, of_draw, result = np.concatenate(levels), np.repeat(np.arange(count), list(map(len, drawn))), []
        for outcome, own, (low, high) in zip(self.outcomes, values, pairwise(sizes), strict=True):
            deviations = theta[:, low:high] - own[outcome.parameters[0].name][of_draw]
            result.append(outcome.piece.sampled(drawn, deviations[:, outcome.piece.positions]))
        return result

    @property
    def exact(self) -> bool:
        """Whether leaving a row out sums over all divisions, whatever has been drawn."""
        sizes = np.array([len(outcome.bound.coefficients.names) for outcome in self.outcomes])
        pairs = float(self.divisions.leave_one_out_work) ** (2 / 3) * len(self.bound.rows)
        return self.divisions.exact and (not self.divisions.ordered or pairs * float((sizes**3).sum()) / 18 < FEW)

    @property
    def leave_one_out_work(self) -> float:
        """Count of numbers that leaving out all rows computes at each draw."""
        return len(self.outcomes) * float(self.divisions.leave_one_out_work if self.exact else len(self.bound.rows))

    def leave_one_out(self, values: Sequence[Values], count: int) -> np.ndarray:
        """Return log p(x_i of all outcomes | x_-i, phi) at draws, (draw, unit)."""
        arguments, piece = self.arguments(values, count), self.outcomes[0].piece

        def left_out(draw: int) -> np.ndarray:
            (segments, last), division = self.at(arguments[draw]), None
            if not self.exact:
                (division,) = piece.drawn({name: values[0][name][draw : draw + 1] for name in piece.latent})
            return self.divisions.left_out(segments, last, division)

        return np.array(self.outcomes[0].mapped(left_out, range(count)))

    def change_probability(self, values: Sequence[Values], count: int) -> np.ndarray:
        """Return the probability of a change before each context, averaged over draws, (context,)."""
        points, counts = np.unique(self.arguments(values, count), axis=0, return_counts=True)
        by_point = self.outcomes[0].mapped(lambda point: self.divisions.change_probability(*self.at(point)), points)
        return np.average(by_point, axis=0, weights=counts)
