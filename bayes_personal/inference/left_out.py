"""log p(what is left out | the rest, phi), draw by draw and a part of the rows at a time."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np

from bayes_personal.bound import Bound
from bayes_personal.errors import InputError, first
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.group_integral import GroupIntegral
from bayes_personal.inference.groups import NUMBERS, Advance, Values
from bayes_personal.inference.line import LineIntegral
from bayes_personal.inference.statistics import Statistics
from bayes_personal.rows import Batch


@final
@dataclass(frozen=True, eq=False)
class Part:
    """Some of the units, or groups, that are left out one by one.

    Attributes
    ----------
    places : theirs among all
    densities : (draw, place)
    without : what a refit without one of them, the first being 0, must know of it: the sums over its rows where the
        weights integrate out, the places of its rows where they do not
    """

    places: np.ndarray
    densities: np.ndarray
    without: Callable[[int], Any]


def batch_size(count: int) -> int:
    """How many rows to look at together, for this many draws."""
    return max(1, NUMBERS // count)


def units(density: Collapsed, values: Values, count: int, advance: Advance) -> Iterator[Part]:
    """log p(y_i | y_-i, phi), all weights integrated out."""
    for batch in density.bound.rows.batches(batch_size(count)):
        places = np.arange(batch.start, batch.start + len(batch))
        found = density.leave_one_out(values, count, batch)
        advance(len(batch))
        yield Part(places, found, partial(sums_of, density, batch))


def sums_of(density: Collapsed, batch: Batch, row: int) -> Statistics:
    """The sums over one row."""
    return Statistics.of(density.arrangement, [batch.take(np.array([row]))])


def groups(density: Collapsed, points: np.ndarray, sums: Mapping[Hashable, Statistics],
           advance: Advance) -> Iterator[Part]:
    """log p(y_g | y_-g, phi) = log p(y | phi) - log p(y_-g | phi), all weights integrated out."""
    everything = density.each_value(points)
    for place, each in enumerate(sums.values()):
        rest = density.each_value(points, density.statistics - each)
        advance(1)
        yield Part(np.array([place]), (everything - rest)[:, None], [each].__getitem__)


def labelled(bound: Bound, by: str) -> Iterator[tuple[Batch, Hashable, np.ndarray]]:
    """Batch by batch, the labels that rows of it have in a column, and which of its rows those are."""
    for batch in bound.rows.also(by).batches():
        labels = batch.frame[by]
        missing = labels.isna().to_numpy()
        if missing.any():
            raise InputError(f"loo(by={by!r}): {missing.sum()} labels are missing (rows "
                             f"{first(batch.frame.index[missing])}). Label or drop these rows.")
        for label, rows in labels.reset_index(drop=True).groupby(labels.to_numpy(), sort=False).indices.items():
            yield batch, label, rows


def sums_by(density: Collapsed, by: str) -> dict[Hashable, Statistics]:
    """The sums over the rows of each group, in the order of their first rows."""
    result: dict[Hashable, Statistics] = {}
    for batch, label, rows in labelled(density.bound, by):
        found = Statistics.of(density.arrangement, [batch.take(rows)])
        result[label] = result[label] + found if label in result else found
    return result


def rows_by(bound: Bound, by: str) -> dict[Hashable, np.ndarray]:
    """The places of the rows of each group, in the order of their first rows."""
    result: dict[Hashable, list[np.ndarray]] = {}
    for batch, label, rows in labelled(bound, by):
        result.setdefault(label, []).append(batch.start + rows)
    return {label: np.concatenate(parts) for label, parts in result.items()}


def lines(bound: Bound, values: Values, advance: Advance) -> Iterator[Part]:
    """log p(y_i | y_-i, all but one direction of the weights), by quadrature."""
    for rows, densities in LineIntegral(bound).leave_one_out(values, advance):
        yield Part(rows, densities, rows[:, None].__getitem__)


def integrals(integral: GroupIntegral, values: Values, sets: Sequence[np.ndarray], advance: Advance) -> Iterator[Part]:
    """log p(y_g | y_-g, all but the weights that groups have of their own), by quadrature."""
    for place, densities in enumerate(integral.left_out(values, sets)):
        advance(1)
        yield Part(np.array([place]), densities[:, None], [sets[place]].__getitem__)


def conditional(bound: Bound, values: Values, count: int, advance: Advance) -> Iterator[Part]:
    """log p(y_i | theta_i), or p(y_i | every theta that row i may have)."""
    own = {each.name: values[each.name][:, None] for each in bound.family.parameters(bound.unit)}
    for batch in bound.rows.batches(batch_size(count)):
        features = bound.features_at(batch.frame)
        eta = np.einsum("...nk,nk->...n", bound.theta(values, features, len(batch)), batch.x)
        branches = bound.branches(values, features, batch.x, np)
        densities = bound.log_likelihood(batch.y, eta, own, batch.known, branches)
        places = np.arange(batch.start, batch.start + len(batch))
        advance(len(batch))
        yield Part(places, np.broadcast_to(densities, (count, len(batch))), places[:, None].__getitem__)
