"""The rows themselves, in place of sums over them, for models with fewer rows than weights.

Coefficients that vary over a map have more weights than the map has places. A covariance matrix of the rows is then
smaller than one of the weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

import numpy as np

from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import Arrangement, Loadings
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.kernels import gaussian_by_rows


def form(arrangement: Arrangement) -> "type[Statistics] | type[Rows]":
    """Return what a density keeps of its rows."""
    return Rows if arrangement.by_rows else Statistics


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """Loadings and outcomes of rows; those of two sets of rows add, and some of the rows can be subtracted.

    Attributes
    ----------
    loadings : loadings of the weights, divided by the known errors, (row, weight)
    outcome : outcomes less their prior means, divided by the known errors, (row,)
    places : places of the rows among all rows, (row,)
    log_error : sum of the logarithms of the known errors
    """

    kernel: ClassVar = gaussian_by_rows

    loadings: np.ndarray
    outcome: np.ndarray
    places: np.ndarray
    log_error: float

    @classmethod
    def of(cls, arrangement: Arrangement, batches: Iterable[Batch]) -> Self:
        """Gather rows in one pass."""
        return cls.total(arrangement, map(arrangement.standardised, batches))

    @classmethod
    def total(cls, arrangement: Arrangement, parts: Iterable[tuple[Loadings, np.ndarray, float]]) -> Self:
        """Gather loadings, outcomes and sums of log errors, a part of the rows at a time."""
        loadings, outcomes, log_error = [np.empty((0, arrangement.size))], [np.empty(0)], 0.0
        for z, y, log_error_of_part in parts:
            loadings.append(z.dense)
            outcomes.append(y)
            log_error += log_error_of_part
        outcome = np.concatenate(outcomes)
        return cls(np.ascontiguousarray(np.concatenate(loadings)), outcome, np.arange(len(outcome)), log_error)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    @property
    def square(self) -> float:
        """y'y."""
        return float(self.outcome @ self.outcome)

    @property
    def matrices(self) -> tuple[np.ndarray, ...]:
        """Loadings, outcomes and the sums of groups, of which there are none, as the kernel takes them."""
        return self.loadings, self.outcome, np.zeros((1, self.loadings.shape[1] + 2, 0))

    @property
    def squares(self) -> np.ndarray:
        """Sum of the squared loadings of each weight, (weight,)."""
        return np.vecdot(self.loadings.T, self.loadings.T)

    def at_weights(self, kept: np.ndarray) -> Self:
        """Return the rows without the loadings of other weights."""
        return replace(self, loadings=np.ascontiguousarray(self.loadings[:, kept]))

    def summed(self) -> Statistics:
        """Return the sums over the rows."""
        size = self.loadings.shape[1]
        return Statistics(self.loadings.T @ self.loadings, self.outcome @ self.loadings, np.zeros((0, 1, 1)),
                          np.zeros((0, 1, size)), np.zeros((0, 1)), self.square, self.count, self.log_error)

    def __add__(self, other: "Rows") -> Self:
        return type(self)(np.concatenate([self.loadings, other.loadings]),
                          np.concatenate([self.outcome, other.outcome]),
                          np.concatenate([self.places, other.places]), self.log_error + other.log_error)

    def __sub__(self, other: "Rows") -> Self:
        kept = ~np.isin(self.places, other.places)
        return type(self)(np.ascontiguousarray(self.loadings[kept]), self.outcome[kept], self.places[kept],
                          self.log_error - other.log_error)
