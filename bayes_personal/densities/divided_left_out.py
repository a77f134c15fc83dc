"""Rows left out one by one where cells do not integrate out: given divisions that were drawn, and phi."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import NUMBERS
from bayes_personal.densities.cell_likelihoods import CellLikelihoods, Hyper
from bayes_personal.densities.expanded_divisions import (
    ExpandedDivisions,
    HyperpriorsOfDivisions,
    whitened_moments,
)
from bayes_personal.densities.linearised.pseudo_data import grid
from bayes_personal.kernels import cavities, cells_left_out, likelihoods

# Log of the probability of a cell below which it counts for no row.
LOWEST = -40.0
# Nodes of a row's integral over its linear predictor; nodes along each of 1, 2, ... coefficients of a cell.
LINE, ORDERS = 13, {1: 11, 2: 7, 3: 5, 4: 3}


class DividedDensities(NamedTuple):
    """Log densities of all rows.

    Attributes
    ----------
    left_out : log p(y_i | all other rows, phi, division), (draw, unit)
    left_in : log p(y_i again | all rows), averaged over draws, (unit,)
    """

    left_out: np.ndarray
    left_in: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class DividedLeftOut:
    """Rows left out one by one given draws of hyperparameters and divisions.

    The coefficients of the row's cell are integrated out. Divisions are those of the posterior, which weights correct
    for the row that is left out, as they do for the hyperparameters.

    Attributes
    ----------
    bound : the model with its data
    values : draws of all variables
    count : number of draws
    """

    bound: BoundModel
    values: Mapping[str, np.ndarray]
    count: int

    @property
    def work(self) -> float:
        """About how many evaluations of a row's likelihood one draw takes."""
        return 4.0 * LINE * len(self.bound.rows)

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes around the coefficients that vary, (coefficient, node); the others stay where they are."""
        piece = self.bound.division
        assert piece is not None
        p, varying = len(self.bound.everywhere), len(piece.positions)
        if varying not in ORDERS:
            return np.zeros((p, 0)), np.zeros(0)
        own, weights = grid(ORDERS[varying], varying)
        nodes = np.zeros((p, len(weights)))
        nodes[piece.positions] = own
        return nodes, weights

    @cached_property
    def _line(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes of a standard normal, and the logs of their weights."""
        line, weights = grid(LINE, 1)
        return line[0], np.log(weights)

    @cached_property
    def _natural(self) -> np.ndarray:
        """Means, log scales and the argument of divisions at the draws, (draw, number)."""
        natural = self.bound.once(HyperpriorsOfDivisions).natural(self.values, np)
        return np.stack([np.broadcast_to(each, self.count) for each in natural], axis=1)

    def few(self, places: np.ndarray) -> np.ndarray:
        """Return log p(y_i | all other rows, phi) of some rows, in ascending order, summed over all divisions, (draw,
        place).

        The probabilities of divisions are those of expansions at the middle of the draws, calibrated there.
        """
        of_cells, p = self.bound.once(CellLikelihoods), len(self.bound.everywhere)
        own, rows = of_cells.rows.own(self.values, self.count), of_cells.listed.rows
        hypers = [Hyper(each[:p], np.exp(each[p : 2 * p]), numbers, float(each[-1]))
                  for each, numbers in zip(self._natural, own, strict=True)]
        middle = np.median(self._natural, axis=0)
        at = Hyper(middle[:p], np.exp(middle[p : 2 * p]), np.median(own, axis=0), float(middle[-1]))
        density = ExpandedDivisions(self.bound, at, of_cells.expanded(at))
        # Without a row that is far out, cells count that have hardly any probability with it.
        density = density.calibrated(np.random.default_rng(0), np.exp(LOWEST))
        position = np.flatnonzero(np.isin(rows.order, places))
        row = np.searchsorted(places, rows.order[position])
        wanted = np.zeros(len(rows.order), bool)
        wanted[position] = True
        low, high = np.searchsorted(position, rows.start), np.searchsorted(position, rows.stop)
        result = np.empty((self.count, len(places)))
        for draw, hyper in enumerate(hypers):
            factors = density.factors(hyper)
            with np.errstate(divide="ignore"):
                log_chance = np.log(density.listed.log_sum_and_slopes(factors, hyper.last)[1])
            cells = np.flatnonzero((high > low) & (log_chance > LOWEST))
            sums = density.sums(hyper, cells)
            count = high[cells] - low[cells]
            each = row[np.repeat(low[cells] - np.cumsum(count) + count, count) + np.arange(count.sum())]
            out = np.empty(len(each))
            code, *data = of_cells.data
            theta = hyper.mean + hyper.scale * whitened_moments(sums, p)[0]
            with np.errstate(all="ignore"):
                cells_left_out.leave_out(code, hyper.own, *data, rows.start[cells], rows.stop[cells], wanted,
                                         hyper.mean, hyper.scale, theta, sums, *self._line, *self._nodes, out, out)
            terms = np.repeat(log_chance[cells], count) - out
            top = np.full(len(places), -np.inf)
            np.maximum.at(top, each, terms)
            result[draw] = -top - np.log(np.bincount(each, np.exp(terms - top[each]), len(places)))
        return result + self._constants(own)[:, places]

    def parts(self) -> Iterator[tuple[np.ndarray, DividedDensities]]:
        """Yield positions of rows and their log densities, a part of the draws' numbers at a time."""
        densities = self.all_rows
        together = max(1, NUMBERS // self.count)
        for start in range(0, len(self.bound.rows), together):
            places = np.arange(start, min(start + together, len(self.bound.rows)))
            yield places, DividedDensities(densities.left_out[:, places], densities.left_in[places])

    @cached_property
    def all_rows(self) -> DividedDensities:
        """The log densities of all rows."""
        bound, of_cells = self.bound, self.bound.once(CellLikelihoods)
        piece, rows, x = bound.division, of_cells.rows, of_cells.x
        assert piece is not None
        (y, n), own = rows.outcomes, rows.own(self.values, self.count)
        membership = piece.membership(self.values, bound.features[bound.pieces.index(piece)].matrix)
        p, level, natural = len(x), piece.level(self.values), self._natural
        line, nodes, no_sums = self._line, self._nodes, np.zeros((0, 0))
        left_out, left_in = np.empty((2, self.count, len(y)))
        for draw, cell in enumerate(membership):
            order = np.argsort(cell, kind="stable")
            labels, start = np.unique(cell[order], return_index=True)
            mean, scale = natural[draw, :p], np.exp(natural[draw, p : 2 * p])
            theta = np.tile(mean, (len(labels), 1))
            theta[:, piece.positions] += level[draw, labels]
            out, again = np.empty((2, len(y)))
            with np.errstate(all="ignore"):
                cells_left_out.leave_out(rows.code, own[draw], np.ascontiguousarray(x[:, order]), y[order], n[order],
                                         start, np.append(start[1:], len(y)), np.ones(len(y), bool), mean, scale,
                                         theta, no_sums, *line, *nodes, out, again)
            left_out[draw, order], left_in[draw, order] = out, again
        constants = self._constants(own)
        return DividedDensities(left_out + constants, cavities.log_means(left_in + constants))

    def _constants(self, own: np.ndarray) -> np.ndarray:
        """Return what log p(y_i) has beside l, (draw or 1, unit)."""
        rows = self.bound.once(CellLikelihoods).rows
        distinct, entries = np.unique(rows.outcomes[0], return_inverse=True)
        by_draw = np.array([likelihoods.rests(rows.code, each, distinct) for each in own]) if own.size else \
            np.zeros((1, len(distinct)))
        return rows.constants + by_draw[:, entries]
