"""Rows that share weights: which rows these are, how the weights move eta, and eta of some rows at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.priors.parts.pieces import Term

# Largest number of draws times rows in memory at once.
NUMBERS = 2**22
# Number of density evaluations above which draws are thinned, and the fewest draws that remain.
BUDGET, FEWEST = 2e9, 250
# Step of differences as a part of the scale on which a density changes: derivatives are right to half of the digits.
STEP = 1e-3
# Least curvature of a row, relative to the median one.
LEAST = 1e-3

Values = Mapping[str, np.ndarray]
# Called with the number of further units, or groups, that are done.
Advance = Callable[[float], Any]


def stride(work: float, chains: int, draws: int, budget: float = BUDGET, fewest: float = FEWEST) -> int:
    """Return the step by which draws are thinned, where each draw costs `work` density evaluations: to what the budget
    allows, or the fewest that must remain."""
    target = max(budget / work, fewest) / chains
    return max(1, int(draws // max(target, 1)))


def finest(bound: BoundModel) -> int | None:
    """Return the place of the term with the most groups; None where no term has groups."""
    sizes = {place: term.size for place, term in enumerate(bound.terms) if term.grouped}
    return max(sizes, key=lambda place: sizes[place]) if sizes else None


def levels(bound: BoundModel, place: int) -> np.ndarray:
    """Return the group of every training row in a term with groups, (unit,)."""
    return bound.features[place].matrix.indices


def members(codes: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each code that occurs, in the order of the codes."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def apart(bound: BoundModel, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return what coefficients add to each linear predictor of rows with predictors x (row, coefficient), (row,
    predictor, varying)."""
    coefficients = bound.coefficients
    own = coefficients.place[positions] == np.arange(coefficients.linear_predictors)[:, None]
    return coefficients.predictors(x, positions)[:, None] * own


def whitened(term: Term, x: np.ndarray, values: Values, level: int) -> np.ndarray:
    """Return how one group's whitened weights move eta, for predictors x (row, predictor, varying), as (draw, row,
    predictor, varying)."""
    scale, root = term.scales(values, np)
    scale = scale[..., min(level, scale.shape[-2] - 1), :]
    loading = x * scale.reshape(-1, 1, 1, scale.shape[-1])
    count = len(next(iter(values.values())))
    return np.broadcast_to(loading if root is None else loading @ root[..., None, :, :], (count, *x.shape))


def etas(bound: BoundModel, values: Values, sets: Sequence[np.ndarray]) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Yield eta of the rows of each set: the place of the set, a part of the draws, and eta, (draw, row, predictor).

    The draws come in one part unless the rows of a single set are too many for that.
    """
    count = len(next(iter(values.values())))
    for places in batches([len(rows) for rows in sets], NUMBERS // count):
        rows = np.concatenate([sets[place] for place in places])
        ends = np.cumsum([len(sets[place]) for place in places])[:-1]
        step = count if len(places) > 1 else max(1, NUMBERS // max(len(rows), 1))
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            eta = bound.eta({name: value[part] for name, value in values.items()}, np, rows)
            eta = np.broadcast_to(eta, (part.stop - start, len(rows), eta.shape[-1]))
            for place, eta_of_set in zip(places, np.split(eta, ends, axis=1), strict=True):
                yield place, part, eta_of_set


def batches(sizes: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Yield the places of consecutive sets whose sizes sum to at most the limit, or of a single larger set."""
    batch: list[int] = []
    total = 0
    for place, size in enumerate(sizes):
        if batch and total + size > limit:
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += size
    if batch:
        yield batch


@final
@dataclass(frozen=True, eq=False)
class Sharpness:
    """How sharply the outcomes determine eta; it only shapes integrals, and must not depend on a draw.

    Attributes
    ----------
    score, curvature : slopes of log p(y_i) by eta_i at the posterior mean, (unit, predictor), and minus its second
        derivative there, made positive, (unit, predictor, predictor)
    step : differences of eta that are small on the scale on which these densities change, (predictor,)
    """

    score: np.ndarray
    curvature: np.ndarray
    step: np.ndarray

    @property
    def directions(self) -> np.ndarray:
        """The sums of linear predictors that log p(y_i) changes with most, (unit, predictor)."""
        if self.score.shape[1] == 1:
            return np.ones(self.score.shape)
        # A row that is as likely as it can be has hardly a slope; any sum then serves it.
        size = np.abs(self.score).max(axis=1, keepdims=True)
        return np.where(size > 1e-6 / self.step.min(), self.score / np.maximum(size, 1e-300), 1.0)

    @classmethod
    def of(cls, bound: BoundModel, values: Values) -> "Sharpness":
        """Compute the sharpness at the posterior mean of theta and of the family's own hyperparameters."""
        mean = {name: value.mean(axis=0) for name, value in values.items()}
        theta = bound.theta(mean, bound.features, len(bound.rows))
        eta, family_values = bound.eta_of(theta, bound.x), bound.family_values(mean, axes=0)

        def density(at: np.ndarray) -> np.ndarray:
            return bound.family.likelihood(at, family_values, bound.constants, np).log_density(bound.y)

        def slopes(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if len(unit) > 1:
                return differences(density, eta, STEP * unit)
            first, second = bound.family.derivatives(bound.y, eta, family_values, bound.constants, unit[0])
            return first[:, None], second[:, None, None]

        # An error much smaller than the natural unit makes densities narrow.
        size = np.abs(np.diagonal(slopes(bound.predictor_units)[1], axis1=1, axis2=2))
        unit = (bound.predictor_units**-2 + np.median(size, axis=0)) ** -0.5
        score, second = slopes(unit)
        values_of, vectors = np.linalg.eigh(-second)
        values_of = np.maximum(values_of, LEAST * np.median(np.abs(values_of)) + 1e-300)
        return cls(score, (vectors * values_of[:, None]) @ vectors.mT, STEP * unit)


def differences(density: Callable[[np.ndarray], np.ndarray], eta: np.ndarray,
                step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first (..., predictor) and second (..., predictor, predictor) derivatives of a log density at eta (...,
    predictor), by differences."""
    moves, at = np.diag(step), density(eta)
    above, below = (np.stack([density(eta + sign * move) for move in moves], axis=-1) for sign in (1, -1))
    second = np.empty((*above.shape, len(step)))
    for k in range(len(step)):
        second[..., k, k] = above[..., k] - 2 * at + below[..., k]
        for m in range(k):
            corners = density(eta + moves[k] + moves[m]) + density(eta - moves[k] - moves[m])
            straight = above[..., k] + above[..., m] + below[..., k] + below[..., m]
            second[..., k, m] = second[..., m, k] = 0.5 * (corners - straight) + at
    return (above - below) / (2 * step), second / (step[:, None] * step)
