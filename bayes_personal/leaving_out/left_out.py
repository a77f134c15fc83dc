"""log p(rows left out | the other rows, phi), draw by draw and a part of the rows at a time."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import NUMBERS, Advance, Values
from bayes_personal.data.rows import Batch
from bayes_personal.densities.divided_left_out import DividedLeftOut
from bayes_personal.densities.linearised.left_out import LeftOutRows
from bayes_personal.densities.marginal import MarginalDensity, given_weights
from bayes_personal.errors import InputError, first
from bayes_personal.kernels.cavities import log_means
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.samplers.unseen_environments import sets_of

# Standard deviations of eta by which leaving out a row may move it under pseudo-data: beyond, these are not those of
# the other rows. Of several linear predictors fewer, for the row's curvature by all of them is only expected.
FARTHEST, FARTHEST_OF_SEVERAL = 1.0, 0.5


@final
@dataclass(frozen=True, eq=False)
class LeftOut:
    """Some of the units or groups that are left out one by one.

    Attributes
    ----------
    places : positions among all units or groups
    densities : log p(unit or group | all others, draw), (draw, place)
    left_in : log p(the same outcomes once more | all rows), with own parameters integrated out too, (place,)
    removal : function from the position of one in this part to what a refit without it must know: its sums over rows
        where all but phi integrates out, the positions of its rows where not
    error : possible error of the densities, where integrals have not settled
    inexact : mask of the places whose densities are known to be off, (place,); None where they are exact
    """

    places: np.ndarray
    densities: np.ndarray
    left_in: np.ndarray
    removal: Callable[[int], Any]
    error: float = 0.0
    inexact: np.ndarray | None = None


def batch_size(count: int) -> int:
    """Return how many rows to process together, for this many draws."""
    return max(1, NUMBERS // count)


def units(density: MarginalDensity, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_i | y_-i, phi), all but phi integrated out."""
    left_out_and_in = density.left_out_and_in(values, count)
    for batch in density.bound.rows.batches(batch_size(count)):
        places = np.arange(batch.start, batch.start + len(batch))
        densities, left_in = left_out_and_in(batch)
        advance(len(batch))
        yield LeftOut(places, densities, averaged(left_in), partial(removal_of, density, batch))


def removal_of(density: MarginalDensity, batch: Batch, row: int) -> Any:
    """Return what a density without one row of a batch must know of the row."""
    return density.contribution(batch, np.array([row]))


def averaged(densities: np.ndarray) -> np.ndarray:
    """Return the log of the average density over draws, (place,)."""
    return log_means(np.ascontiguousarray(densities))


def groups(density: MarginalDensity, values: Values, removed: Mapping[Hashable, Any],
           advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_g | y_-g, phi) = log p(y | phi) - log p(y_-g | phi), all but phi integrated out."""
    points = density.points(values)
    log_all = density.each_value(points)
    for place, removal in enumerate(removed.values()):
        log_without = density.each_value_without(points, removal)
        left_in = density.log_repeated(values, points, log_all, removal)
        advance(1)
        densities = (log_all - log_without)[:, None]
        yield LeftOut(np.array([place]), densities, averaged(left_in[:, None]), [removal].__getitem__)


def labelled(bound: BoundModel, by: str) -> Iterator[tuple[Batch, Hashable, np.ndarray]]:
    """Yield, batch by batch, each label that its rows have in a column, and the positions of those rows in it."""
    for batch in bound.rows.with_column(by).batches():
        labels = batch.frame[by]
        missing = labels.isna().to_numpy()
        if missing.any():
            raise InputError(f"loo(by={by!r}): {missing.sum()} labels are missing (rows "
                             f"{first(batch.frame.index[missing])}). Label or drop these rows.")
        for label, rows in labels.reset_index(drop=True).groupby(labels.to_numpy(), sort=False).indices.items():
            yield batch, label, rows


def removals_by(density: MarginalDensity, by: str) -> dict[Hashable, Any]:
    """Return what a density without a group must know of its rows, for each group in order of first appearance."""
    result: dict[Hashable, Any] = {}
    for batch, label, rows in labelled(density.bound, by):
        removal = density.contribution(batch, rows)
        result[label] = result[label] + removal if label in result else removal
    return result


def rows_by(bound: BoundModel, by: str) -> dict[Hashable, np.ndarray]:
    """Return the positions of the rows of each group, in order of first appearance."""
    result: dict[Hashable, list[np.ndarray]] = {}
    for batch, label, rows in labelled(bound, by):
        result.setdefault(label, []).append(batch.start + rows)
    return {label: np.concatenate(parts) for label, parts in result.items()}


def environments(bound: BoundModel, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_e | all other environments), for e as an unseen environment: it is equal at every draw."""
    term = bound.elsewhere
    assert term is not None
    order = pd.unique(np.concatenate([term.at(batch.frame).matrix.indices for batch in bound.rows.batches()]))
    log_densities = sets_of(bound, term).left_out(np.random.default_rng(0))[order]
    left_in = np.zeros((count, term.size))
    for batch in bound.rows.batches(batch_size(count)):
        codes = term.at(batch.frame).matrix.indices
        densities = given_weights(bound, values, count, batch)
        for code in np.unique(codes):
            left_in[:, code] += densities[:, codes == code].sum(axis=1)
    advance(len(order))
    yield LeftOut(np.arange(len(order)), np.broadcast_to(log_densities, (count, len(order))),
                  averaged(left_in[:, order]), order[:, None].__getitem__)


def shared(bound: BoundModel) -> bool:
    """Return whether all rows share the mean and have no other weights, so that a row has none to integrate out."""
    return not bound.terms and not bound.gaussian_functions


def approximated(rows: LeftOutRows, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_i | y_-i, draw), theta_i integrated out under pseudo-data or by quadrature."""
    for places, densities in rows.parts():
        advance(len(places))
        yield LeftOut(places, densities.left_out, densities.left_in, places[:, None].__getitem__,
                      inexact=densities.moved > (FARTHEST if rows.predictors == 1 else FARTHEST_OF_SEVERAL))


def divided(rows: DividedLeftOut, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_i | y_-i, phi, division), the coefficients of cells integrated out."""
    for places, densities in rows.parts():
        advance(len(places))
        yield LeftOut(places, densities.left_out, densities.left_in, places[:, None].__getitem__)


def lines(bound: BoundModel, values: Values, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_i | y_-i, all but one direction of the weights), by quadrature."""
    for rows, densities in LineIntegral(bound).leave_one_out(values, advance):
        batch = Batch(-1, bound.frame.iloc[rows], bound.x[rows], bound.y[rows], bound.constants[rows])
        left_in = given_weights(bound, values, len(densities), batch)
        yield LeftOut(rows, densities, averaged(left_in), rows[:, None].__getitem__)


def integrals(integral: GroupIntegral, values: Values, sets: Sequence[np.ndarray],
              advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_g | y_-g, all but the groups' own weights), by quadrature."""
    left_in_densities = GroupIntegral(integral.bound, ()).left_out(values, sets)
    pairs = zip(integral.left_out(values, sets), left_in_densities, strict=True)
    for place, ((densities, error), (left_in, _)) in enumerate(pairs):
        advance(1)
        yield LeftOut(np.array([place]), densities[:, None], averaged(left_in[:, None]), [sets[place]].__getitem__,
                      error)


def conditional(bound: BoundModel, values: Values, count: int, advance: Advance) -> Iterator[LeftOut]:
    """Yield log p(y_i | theta_i), or log p(y_i | every theta that row i may have)."""
    for batch in bound.rows.batches(batch_size(count)):
        densities = given_weights(bound, values, count, batch)
        places = np.arange(batch.start, batch.start + len(batch))
        advance(len(batch))
        yield LeftOut(places, densities, averaged(densities), places[:, None].__getitem__)
