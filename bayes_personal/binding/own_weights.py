"""Rows that share weights of their own: which they are, how these weights move eta, and eta of some rows at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.priors.parts.pieces import Term

# Draws times rows in memory at once.
NUMBERS = 2**22
# How many densities are worth evaluating before draws are thinned, and the fewest draws that are left.
BUDGET, FEWEST = 2e9, 250
# Of what changes a density: differences over this part of it are derivatives, to half of the digits.
STEP = 1e-3

Values = Mapping[str, np.ndarray]
# Is told of so many more units, or groups, that are done.
Advance = Callable[[float], Any]


def stride(work: float, chains: int, draws: int) -> int:
    """How draws are thinned, each of which costs so many densities."""
    wanted = max(BUDGET / work, FEWEST) / chains
    return max(1, int(draws // max(wanted, 1)))


def finest(bound: BoundModel) -> int | None:
    """Place of the term with most groups; None where no term has groups."""
    sizes = {place: term.size for place, term in enumerate(bound.terms) if term.grouped}
    return max(sizes, key=lambda place: sizes[place]) if sizes else None


def levels(bound: BoundModel, place: int) -> np.ndarray:
    """The group of every training row in a term with groups, (unit,)."""
    return bound.features[place].matrix.indices


def members(codes: np.ndarray) -> list[np.ndarray]:
    """The rows of every code that there is, in the order of the codes."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def whitened(term: Term, x: np.ndarray, values: Values, level: int) -> np.ndarray:
    """How one group's whitened weights move eta where predictors are x (row, varying): (draw, row, varying)."""
    scale, root = term.scales(values, np)
    scale = scale[..., min(level, scale.shape[-2] - 1), :]
    moved = x * scale.reshape(-1, 1, scale.shape[-1])
    count = len(values[f"{term.name}_z"])
    return np.broadcast_to(moved if root is None else moved @ root, (count, *x.shape))


def etas(bound: BoundModel, values: Values, sets: Sequence[np.ndarray]) -> Iterator[tuple[int, slice, np.ndarray]]:
    """eta of the rows of one set after the other: its place, a part of the draws, and eta there, (draw, row).

    The draws come in one part unless the rows of a single set are too many for that.
    """
    count = len(next(iter(values.values())))
    for places in batches([len(rows) for rows in sets], NUMBERS // count):
        rows = np.concatenate([sets[place] for place in places])
        ends = np.cumsum([len(sets[place]) for place in places])[:-1]
        some = count if len(places) > 1 else max(1, NUMBERS // max(len(rows), 1))
        for start in range(0, count, some):
            part = slice(start, min(start + some, count))
            eta = bound.eta({name: value[part] for name, value in values.items()}, np, rows)
            eta = np.broadcast_to(eta, (part.stop - start, len(rows)))
            for place, own in zip(places, np.split(eta, ends, axis=1), strict=True):
                yield place, part, own


def batches(sizes: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Places of consecutive sets whose sizes add up to at most the limit, or of a single larger one."""
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
    """How sharply the outcomes say what eta is: it only shapes integrals, and must not depend on a draw.

    Attributes
    ----------
    curvature : -d^2 log p(y_i) / d eta_i^2 at the posterior mean, positive, (unit,)
    step : a difference of eta small against what changes these densities
    """

    curvature: np.ndarray
    step: float

    @classmethod
    def of(cls, bound: BoundModel, values: Values) -> "Sharpness":
        """At the posterior mean of theta and of the family's own hyperparameters."""
        mean = {name: value.mean(axis=0) for name, value in values.items()}
        theta = bound.theta(mean, bound.features, len(bound.rows))
        eta, own = bound.eta_of(theta, bound.x), bound.family_values(mean, axes=0)

        def curvature(unit: float) -> np.ndarray:
            return -bound.family.derivatives(bound.y, eta, own, bound.constants, unit)[1]

        # An error much smaller than the natural unit makes densities narrow.
        unit = 1 / float(np.sqrt(bound.unit**-2 + np.median(np.abs(curvature(bound.unit)))))
        curved = curvature(unit)
        return cls(np.maximum(curved, 1e-3 * np.median(np.abs(curved)) + 1e-300), STEP * unit)
