"""log p(what is left out | the rest, phi), draw by draw and a part of the rows at a time."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import NUMBERS, Advance, Values
from bayes_personal.data.rows import Batch
from bayes_personal.densities.marginal import MarginalDensity, given_weights
from bayes_personal.errors import InputError, first
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.samplers.invariant_sets import InvariantSets


@final
@dataclass(frozen=True, eq=False)
class LeftOut:
    """Some of the units, or groups, that are left out one by one.

    Attributes
    ----------
    places : theirs among all
    densities : log p(what is left out | the rest, draw), (draw, place)
    left_in : log p(the same outcomes once more | all rows), what the draws do not share integrated out too, (place,)
    without : what a refit without one of them, the first being 0, must know of it: what its density says where all but
        phi integrates out, the places of its rows where it does not
    error : by how much densities may be off, for integrals that have not settled
    """

    places: np.ndarray
    densities: np.ndarray
    left_in: np.ndarray
    without: Callable[[int], Any]
    error: float = 0.0


def batch_size(count: int) -> int:
    """How many rows to look at together, for this many draws."""
    return max(1, NUMBERS // count)


def units(density: MarginalDensity, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """log p(y_i | y_-i, phi), all but phi integrated out."""
    left_out_and_in = density.left_out_and_in(values, count)
    for batch in density.bound.rows.batches(batch_size(count)):
        places = np.arange(batch.start, batch.start + len(batch))
        found, left_in = left_out_and_in(batch)
        advance(len(batch))
        yield LeftOut(places, found, averaged(left_in), partial(taken_of, density, batch))


def taken_of(density: MarginalDensity, batch: Batch, row: int) -> Any:
    """What a density without one row of a batch must know of it."""
    return density.contribution(batch, np.array([row]))


def averaged(densities: np.ndarray) -> np.ndarray:
    """Log of the average density over draws, (place,)."""
    return logsumexp(densities, axis=0) - np.log(len(densities))


def groups(density: MarginalDensity, values: Values, taken: Mapping[Hashable, Any],
           advance: Advance) -> Iterator[LeftOut]:
    """log p(y_g | y_-g, phi) = log p(y | phi) - log p(y_-g | phi), all but phi integrated out."""
    points = density.points(values)
    everything = density.each_value(points)
    for place, each in enumerate(taken.values()):
        rest = density.each_value_without(points, each)
        left_in = density.log_repeated(values, points, everything, each)
        advance(1)
        yield LeftOut(np.array([place]), (everything - rest)[:, None], averaged(left_in[:, None]), [each].__getitem__)


def labelled(bound: BoundModel, by: str) -> Iterator[tuple[Batch, Hashable, np.ndarray]]:
    """Batch by batch, the labels that rows of it have in a column, and which of its rows those are."""
    for batch in bound.rows.with_column(by).batches():
        labels = batch.frame[by]
        missing = labels.isna().to_numpy()
        if missing.any():
            raise InputError(f"loo(by={by!r}): {missing.sum()} labels are missing (rows "
                             f"{first(batch.frame.index[missing])}). Label or drop these rows.")
        for label, rows in labels.reset_index(drop=True).groupby(labels.to_numpy(), sort=False).indices.items():
            yield batch, label, rows


def taken_by(density: MarginalDensity, by: str) -> dict[Hashable, Any]:
    """What a density without a group must know of its rows, for each group in the order of their first rows."""
    result: dict[Hashable, Any] = {}
    for batch, label, rows in labelled(density.bound, by):
        found = density.contribution(batch, rows)
        result[label] = result[label] + found if label in result else found
    return result


def rows_by(bound: BoundModel, by: str) -> dict[Hashable, np.ndarray]:
    """The places of the rows of each group, in the order of their first rows."""
    result: dict[Hashable, list[np.ndarray]] = {}
    for batch, label, rows in labelled(bound, by):
        result.setdefault(label, []).append(batch.start + rows)
    return {label: np.concatenate(parts) for label, parts in result.items()}


def environments(bound: BoundModel, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """log p(y_e | all other environments), e one that nobody has seen: the same at every draw."""
    term = bound.elsewhere
    assert term is not None
    order = pd.unique(np.concatenate([term.at(batch.frame).matrix.indices for batch in bound.rows.batches()]))
    found = InvariantSets.of(bound, term).left_out(np.random.default_rng(0))[order]
    left_in = np.zeros((count, term.size))
    for batch in bound.rows.batches(batch_size(count)):
        codes = term.at(batch.frame).matrix.indices
        densities = given_weights(bound, values, count, batch)
        for code in np.unique(codes):
            left_in[:, code] += densities[:, codes == code].sum(axis=1)
    advance(len(order))
    yield LeftOut(np.arange(len(order)), np.broadcast_to(found, (count, len(order))), averaged(left_in[:, order]),
                  order[:, None].__getitem__)


def shared(bound: BoundModel) -> bool:
    """Whether a row has no weights but a mean, which is every row's: there is nothing of its own to integrate out."""
    return not bound.terms and not bound.gaussian_functions


def lines(bound: BoundModel, values: Values, advance: Advance) -> Iterator[LeftOut]:
    """log p(y_i | y_-i, all but one direction of the weights), by quadrature."""
    for rows, densities in LineIntegral(bound).leave_one_out(values, advance):
        some = Batch(-1, bound.frame.iloc[rows], bound.x[rows], bound.y[rows], bound.constants[rows])
        left_in = given_weights(bound, values, len(densities), some)
        yield LeftOut(rows, densities, averaged(left_in), rows[:, None].__getitem__)


def integrals(integral: GroupIntegral, values: Values, sets: Sequence[np.ndarray],
              advance: Advance) -> Iterator[LeftOut]:
    """log p(y_g | y_-g, all but the weights that groups have of their own), by quadrature."""
    given = GroupIntegral(integral.bound, None).left_out(values, sets)
    both = zip(integral.left_out(values, sets), given, strict=True)
    for place, ((densities, error), (left_in, _)) in enumerate(both):
        advance(1)
        yield LeftOut(np.array([place]), densities[:, None], averaged(left_in[:, None]), [sets[place]].__getitem__,
                      error)


def conditional(bound: BoundModel, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """log p(y_i | theta_i), or p(y_i | every theta that row i may have)."""
    for batch in bound.rows.batches(batch_size(count)):
        densities = given_weights(bound, values, count, batch)
        places = np.arange(batch.start, batch.start + len(batch))
        advance(len(batch))
        yield LeftOut(places, densities, averaged(densities), places[:, None].__getitem__)
