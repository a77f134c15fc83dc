"""log p(what is left out | the rest, phi), draw by draw and a part of the rows at a time."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from bayes_personal.bound import Bound
from bayes_personal.errors import InputError, first
from bayes_personal.families.base import log_density
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.line import LineIntegral
from bayes_personal.inference.statistics import Statistics
from bayes_personal.rows import Batch

# Draws times rows in memory at once.
NUMBERS = 2**22

Values = Mapping[str, np.ndarray]


@final
@dataclass(frozen=True, eq=False)
class Part:
    """Some of the units, or groups, that are left out one by one.

    Attributes
    ----------
    places : theirs among all
    densities : (draw, place)
    rows : of the units, where their sums can be taken from those of all rows
    sums : of the groups, likewise
    """

    places: np.ndarray
    densities: np.ndarray
    rows: Batch | None = None
    sums: tuple[Statistics, ...] = ()

    def left_out(self, density: Collapsed, entry: int) -> Statistics:
        """The sums over the rows that are left out."""
        if self.sums:
            return self.sums[entry]
        assert self.rows is not None
        return Statistics.of(density.arrangement, [self.rows.take(np.array([entry]))])


def batch_size(count: int) -> int:
    """How many rows to look at together, for this many draws."""
    return max(1, NUMBERS // count)


def units(density: Collapsed, values: Values, count: int) -> Iterator[Part]:
    """log p(y_i | y_-i, phi), all weights integrated out."""
    for batch in density.bound.rows.batches(batch_size(count)):
        yield Part(np.arange(batch.start, batch.start + len(batch)), density.leave_one_out(values, count, batch), batch)


def groups(density: Collapsed, points: np.ndarray, sums: Mapping[Hashable, Statistics]) -> Iterator[Part]:
    """log p(y_g | y_-g, phi) = log p(y | phi) - log p(y_-g | phi), all weights integrated out."""
    everything = density.each_value(points)
    for place, each in enumerate(sums.values()):
        rest = density.each_value(points, density.statistics - each)
        yield Part(np.array([place]), (everything - rest)[:, None], sums=(each,))


def sums_by(density: Collapsed, by: str) -> dict[Hashable, Statistics]:
    """The sums over the rows of each group, in the order of their first rows."""
    result: dict[Hashable, Statistics] = {}
    for batch in density.bound.rows.batches():
        labels = batch.frame[by]
        missing = labels.isna().to_numpy()
        if missing.any():
            raise InputError(f"loo(by={by!r}): {missing.sum()} labels are missing (rows "
                             f"{first(batch.frame.index[missing])}). Label or drop these rows.")
        for label, rows in labels.reset_index(drop=True).groupby(labels.to_numpy(), sort=False).indices.items():
            found = Statistics.of(density.arrangement, [batch.take(rows)])
            result[label] = result[label] + found if label in result else found
    return result


def lines(bound: Bound, values: Values, progress: bool) -> Iterator[Part]:
    """log p(y_i | y_-i, all but one direction of the weights), by quadrature."""
    for rows, densities in LineIntegral(bound).leave_one_out(values, progress):
        yield Part(rows, densities)


def conditional(bound: Bound, values: Values, count: int) -> Iterator[Part]:
    """log p(y_i | theta_i)."""
    own = {each.name: values[each.name][:, None] for each in bound.family.parameters(bound.unit)}
    for batch in bound.rows.batches(batch_size(count)):
        theta = bound.theta(values, bound.features_at(batch.frame), len(batch))
        eta = np.einsum("...nk,nk->...n", theta, batch.x)
        densities = log_density(bound.family, batch.y, eta, own, batch.known)
        yield Part(np.arange(batch.start, batch.start + len(batch)), np.broadcast_to(densities, (count, len(batch))))
