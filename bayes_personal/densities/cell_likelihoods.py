"""Rows' own likelihoods cell by cell, for all cells that divisions of contexts may have."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.kernels import expansions
from bayes_personal.kernels.codes import Code
from bayes_personal.priors.divisions.listed_cells import ListedCells


class Hyper(NamedTuple):
    """Hyperparameters at one point, as expansions take them.

    Attributes
    ----------
    mean, scale : of every coefficient of a cell, (coefficient,)
    own : the family's own numbers, (number,)
    last : the argument of the divisions
    """

    mean: np.ndarray
    scale: np.ndarray
    own: np.ndarray
    last: float


@final
@dataclass(frozen=True, eq=False)
class CellLikelihoods:
    """The rows' likelihoods, cell by cell, for all cells that divisions may have."""

    bound: BoundModel

    @cached_property
    def rows(self) -> RowLikelihoods:
        """The rows' own log likelihoods."""
        return self.bound.once(RowLikelihoods)

    @cached_property
    def listed(self) -> ListedCells:
        """All cells, and the sums over divisions."""
        bound = self.bound
        assert bound.division is not None
        return bound.division.sums.listed(bound.features[bound.pieces.index(bound.division)].matrix)

    @cached_property
    def x(self) -> np.ndarray:
        """Predictors of all rows with the intercept at their means, (coefficient, row)."""
        return np.ascontiguousarray(self.bound.coefficients.predictors(self.bound.x, self.bound.everywhere).T)

    @cached_property
    def stretched(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predictors, outcomes and constants of the cells' rows, as the kernels take them."""
        order = self.listed.rows.order
        y, n = self.rows.outcomes
        return np.ascontiguousarray(self.x[:, order]), y[order], n[order]

    @property
    def data(self) -> tuple[Code, np.ndarray, np.ndarray, np.ndarray]:
        """The family's code, and `stretched`."""
        return self.rows.code, *self.stretched

    def expanded(self, hyper: Hyper) -> np.ndarray:
        """Return the expansions of all cells around their modes at one point of the hyperparameters."""
        code, *data = self.data
        _, start, stop, after = self.listed.rows
        return expansions.expanded(code, hyper.own, *data, start, stop, after, hyper.mean, hyper.scale)

    @cached_property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """The estimate of the coefficients from all rows together, and its standard errors, (coefficient,)."""
        bound = self.bound
        y, n = self.rows.outcomes
        own = self.rows.own({parameter.name: parameter.unit for parameter in bound.family_parameters}, 1)[0]
        # A prior a natural unit wide keeps the estimate finite, where outcomes are all alike.
        unit, location = bound.coefficients.unit, bound.coefficients.location
        everything = np.zeros(1, np.int64), np.array([len(y)]), np.full(1, -1)
        statistics = expansions.expanded(self.rows.code, own, self.x, y, n, *everything, location, unit)
        sums, _ = expansions.whitened(statistics, unit, np.zeros(len(unit)))
        low = np.tril_indices(len(unit))
        precision = np.eye(len(unit))
        precision[low] += sums[: len(low[0]), 0]
        precision = np.tril(precision) + np.tril(precision, -1).T
        covariance = np.linalg.inv(precision)
        estimate = location + unit * (covariance @ sums[len(low[0]) :, 0])
        return estimate, unit * np.sqrt(np.clip(np.diag(covariance), 1e-12, 1.0))
