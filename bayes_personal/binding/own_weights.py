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


def whitened(term: Term, x: np.ndarray, values: Values, level: int) -> np.ndarray:
    """Return how one group's whitened weights move eta, for predictors x (row, varying): (draw, row, varying)."""
    scale, root = term.scales(values, np)
    scale = scale[..., min(level, scale.shape[-2] - 1), :]
    loading = x * scale.reshape(-1, 1, scale.shape[-1])
    count = len(next(iter(values.values())))
    return np.broadcast_to(loading if root is None else loading @ root, (count, *x.shape))


def loadings(bound: BoundModel, term: Term, x: np.ndarray, values: Values, level: int) -> np.ndarray:
    """Return how one group's whitened weights move every linear predictor of rows, (draw, row, predictor, weight).

    `x` are predictors of all coefficients, (row, coefficient).
    """
    coefficients = bound.coefficients
    varying = coefficients.predictors(x, term.positions)
    of_predictors = [np.isin(np.arange(len(term.positions)), np.arange(len(term.positions))[of])
                     for of in coefficients.of_predictors(term.positions)]
    return np.stack([whitened(term, varying * of, values, level) for of in of_predictors], axis=2)


def steps(bound: BoundModel, values: Values) -> np.ndarray:
    """Return differences of the linear predictors that are small on the scale on which densities change, at the
    posterior mean, (predictor,)."""
    mean = {name: value.mean(axis=0) for name, value in values.items()}
    theta = bound.theta(mean, bound.features, len(bound.rows))
    eta, family_values = bound.eta_of(theta, bound.x), bound.family_values(mean, axes=0)

    def log_density(shift: np.ndarray) -> np.ndarray:
        return bound.family.likelihood(eta + shift, family_values, bound.constants, np).log_density(bound.y)

    result = []
    for place, unit in enumerate(bound.predictor_units):
        shift = np.zeros(len(bound.predictor_units))
        shift[place] = STEP * unit
        second = log_density(shift) - 2 * log_density(0 * shift) + log_density(-shift)
        result.append(STEP / np.sqrt(unit**-2 + np.median(np.abs(second)) / shift[place] ** 2))
    return np.array(result)


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
    curvature : -d^2 log p(y_i) / d eta_i^2 at the posterior mean, positive, (unit,)
    step : a difference of eta that is small on the scale on which these densities change
    """

    curvature: np.ndarray
    step: float

    @classmethod
    def of(cls, bound: BoundModel, values: Values) -> "Sharpness":
        """Compute the sharpness at the posterior mean of theta and of the family's own hyperparameters."""
        mean = {name: value.mean(axis=0) for name, value in values.items()}
        theta = bound.theta(mean, bound.features, len(bound.rows))
        eta, family_values = bound.eta_of(theta, bound.x), bound.family_values(mean, axes=0)

        def curvature(unit: float) -> np.ndarray:
            return -bound.family.derivatives(bound.y, eta, family_values, bound.constants, unit)[1]

        # An error much smaller than the natural unit makes densities narrow.
        unit = 1 / float(np.sqrt(bound.unit**-2 + np.median(np.abs(curvature(bound.unit)))))
        curvatures = curvature(unit)
        return cls(np.maximum(curvatures, 1e-3 * np.median(np.abs(curvatures)) + 1e-300), STEP * unit)
