"""Divisions of contexts, and what their cells have of their own, summed out: exact given the hyperparameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, final

import numpy as np

from bayes_personal.bound import Bound
from bayes_personal.inference.changes import Changes
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.marginal import Marginal
from bayes_personal.inference.markov import Markov, integrates
from bayes_personal.inference.partition import Partition, log_evidence_and_gradient
from bayes_personal.inference.segment_counts import CountData
from bayes_personal.inference.segment_normal import NormalData
from bayes_personal.inference.segments import Segments
from bayes_personal.inference.statistics import collapses
from bayes_personal.inference.tape import Symbolic, Tape, outputs, pulled_back
from bayes_personal.parameter import Parameter
from bayes_personal.rows import Batch

# Scale of coefficients that do not vary, in natural units: nothing beside what data can tell, and something to divide by.
CONSTANT = 1e-9
# Digits of the evidence are lost where the outcome is so many squared errors, in all, away from the mean.
FARTHEST = 1e12
# Contexts up to which leaving a row out sums over all partitions; beyond, over those that the posterior has drawn.
FEW = 300
# Contexts from which on an evaluation takes milliseconds.
MANY = 400
# Errors and expected changes, as logarithms of natural units, at which climbs for modes start.
STARTS = ((-1.5, 1.5), (-3.0, 3.0))


def marginal(bound: Bound) -> Marginal | None:
    """The density of the hyperparameters alone; None where all else does not integrate out."""
    if bound.divided is not None:
        return Summed(bound)
    if integrates(bound):
        return Markov(bound)
    return Collapsed(bound) if collapses(bound) else None


@final
@dataclass(frozen=True, eq=False)
class Summed(Marginal):
    """The model of change points as a function of its hyperparameters and its mean.

    Attributes
    ----------
    bound : the model with its data
    left_out : which rows are not looked at, (unit,); none where it is not given
    """

    bound: Bound
    left_out: np.ndarray | None = None

    climbs: ClassVar[int] = 0
    proposals: ClassVar[int] = 1024
    fewer: ClassVar[int] = 4

    @cached_property
    def piece(self) -> Any:
        """What the prior consists of."""
        return self.bound.divided

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        assert self.bound.mean is not None
        return self.bound.mean, *self.bound.parameters

    @cached_property
    def starts(self) -> tuple[np.ndarray, ...]:
        found = []
        for error, changes in STARTS:
            moved = {"sigma": error, f"{self.piece.name}_expected": changes}
            found.append(np.concatenate([np.full(each.size, moved.get(each.name, 0.0)) for each in self.parameters]))
        return tuple(found)

    @cached_property
    def data(self) -> NormalData | CountData:
        """Sums over the rows of each context."""
        bound, contexts = self.bound, len(self.piece.places)
        kept = slice(None) if self.left_out is None else ~self.left_out
        y, known = bound.y[kept], bound.known[kept]
        at = np.searchsorted(self.piece.places, bound.features[0].matrix[kept, 0])
        if self.piece.law.kind == "normal":
            x = bound.coefficients.predictors(bound.x[kept], bound.everywhere)
            return NormalData.of(x, y, known, at, contexts)
        count = CountData.of_counts if self.piece.law.kind == "gamma" else CountData.of_successes
        return count(y, known, at, contexts)

    def natural(self, values: Mapping[str, Any], xp: Any) -> list[Any]:
        """What the sums over partitions take of hyperparameters, each (...): log sigma, log tau and mean, or logarithms
        of shapes; and the log of the rate."""
        scale, mean = self.piece.scale(values), values[self.parameters[0].name]
        rate = xp.log(self.piece.rate(values))
        if self.piece.law.kind != "normal":
            return [*self.piece.law.log_shapes(mean[..., 0], scale[..., 0], xp), rate]
        where = {k: place for place, k in enumerate(self.piece.positions)}
        constant = np.log(CONSTANT * self.bound.coefficients.unit)
        tau = [xp.log(scale[..., where[k]]) if k in where else constant[k] + 0 * mean[..., k]
               for k in self.bound.everywhere]
        error = xp.log(values["sigma"]) if "sigma" in values else 0 * rate
        return [error, *tau, *(mean[..., k] for k in self.bound.everywhere), rate]

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        return [entry for part in (self.log_prior(stepped, values), *self.natural(values, Symbolic()))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """What hyperparameters make of log prior and the arguments of the sums."""
        return Tape.of(self._outputs, self.size)

    def at(self, natural: np.ndarray) -> tuple[Segments, Changes]:
        """Segments and changes at one point of the arguments."""
        gaps, p = np.diff(self.piece.places), len(self.bound.everywhere)
        changes = Changes.by_rate(float(np.exp(natural[-1])), gaps, self.piece.prior.shortest)
        if isinstance(self.data, NormalData):
            sigma, tau, mean = np.split(natural[:-1], [1, 1 + p])
            return self.data.at(float(np.exp(sigma[0])), np.exp(tau), mean), changes
        return self.data.at(*np.exp(natural[:-1])), changes

    def sums(self, natural: np.ndarray) -> Partition | None:
        """All partitions at one point of the arguments; None where numbers do not reach."""
        if not np.isfinite(natural).all():
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            segments, changes = self.at(natural)
            known = np.isfinite(segments.constant) and segments.constant > -FARTHEST
        return Partition(segments, changes) if known else None

    def log_evidence(self, natural: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(y | arguments), and its gradient."""
        found = self.sums(natural)
        if found is None:
            return -np.inf, np.zeros(len(natural))
        return log_evidence_and_gradient(found.segments, found.changes)

    def log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, *natural = outputs(point, *self.tape.arrays)
        value, slopes = self.log_evidence(np.array(natural))
        gradient = pulled_back(point, *self.tape.arrays, np.append(1.0, slopes))
        if not np.isfinite(prior + value) or not np.isfinite(gradient).all():
            return -np.inf, np.zeros(self.size)
        return float(prior + value), gradient

    def value(self, point: np.ndarray) -> float:
        prior, *natural = outputs(point, *self.tape.arrays)
        found = self.sums(np.array(natural))
        total = -np.inf if found is None else float(prior + found.log_evidence)
        return total if np.isfinite(total) else -np.inf

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array([self.value(point) for point in np.ascontiguousarray(points)])

    def arguments(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """The arguments of the sums at draws of the hyperparameters, (draw, argument)."""
        of_bound = {each.name: np.asarray(values[each.name], float) for each in self.parameters}
        return np.stack([np.broadcast_to(each, count) for each in self.natural(of_bound, np)], axis=1)

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Exact draws of change points and levels; draws with the same hyperparameters share one sum."""
        natural = self.arguments(values, count)
        points, which = np.unique(natural, axis=0, return_inverse=True)
        changed, levels = np.zeros((count, len(self.piece.places)), bool), {}
        for place, point in enumerate(points):
            draws = np.flatnonzero(which == place)
            segments, changes = self.at(point)
            starts, theta = Partition(segments, changes).draw_segments(len(draws), rng)
            changed[draws] = starts
            own = self.piece.law.theta(theta) - values[self.parameters[0].name][draws[0]]
            cuts = np.cumsum(starts.sum(axis=1))[:-1]
            levels |= dict(zip(draws, np.split(own[:, self.piece.positions], cuts), strict=True))
        return self.piece.sampled(changed, np.concatenate([levels[i] for i in range(count)]), values, rng)

    @property
    def slow(self) -> bool:
        """Whether so many evaluations as NUTS takes are minutes."""
        return len(self.piece.places) >= MANY

    @property
    def leave_one_out_exact(self) -> bool:
        return len(self.piece.places) <= FEW

    @property
    def leave_one_out_work(self) -> int:
        return len(self.piece.places) ** 3 if self.leave_one_out_exact else 0

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        natural = self.arguments(values, count)
        start = values[f"{self.piece.name}_start"]
        result = np.empty((count, len(batch)))
        for draw in range(count):
            sums = Partition(*self.at(natural[draw]))
            found = (sums.left_out() if self.leave_one_out_exact else
                     sums.left_out_of(self.piece.changed(start[draw : draw + 1]))[0])
            result[draw] = found[batch.places]
        return result

    def taken(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self.bound.rows), bool)
        mask[batch.start + rows] = True
        return mask

    def without(self, taken: np.ndarray) -> Self:
        return type(self)(self.bound, taken if self.left_out is None else taken | self.left_out)
