"""Rows left out one by one where cells do not integrate out: given divisions that were drawn, and phi."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import NUMBERS
from bayes_personal.densities.expanded_divisions import CellLikelihoods, HyperpriorsOfDivisions
from bayes_personal.densities.linearised.pseudo_data import grid
from bayes_personal.kernels import cavities, cells_left_out, likelihoods

# Nodes of a row's integral over its linear predictor; nodes along each of 1, 2, ... coefficients of a cell.
LINE, ORDERS = 21, {1: 11, 2: 7, 3: 5, 4: 3}


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
        features = bound.features[bound.pieces.index(piece)].matrix
        membership = piece.membership(self.values, features)
        hyperpriors = bound.once(HyperpriorsOfDivisions)
        natural = np.stack([np.broadcast_to(each, self.count) for each in hyperpriors.natural(self.values, np)], axis=1)
        p, level = len(x), piece.level(self.values)
        line, weights = grid(LINE, 1)
        nodes = self._nodes
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
                                         start, np.append(start[1:], len(y)), mean, scale, theta, line[0], weights,
                                         *nodes, out, again)
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
