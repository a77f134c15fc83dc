"""Mean, spread and range of rows that come in parts, in any number, without loss of digits."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

# Number of rows whose temporary copies stay in the processor's cache.
SLICE = 65_536


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """The moments of the rows of a matrix; the moments of all rows are the sum over their parts, in any order.

    Means and products are those of distances from `origin`, and merge as in Chan, Golub and LeVeque (1983),
    doi:10.1080/00031305.1983.10483115: neither a large mean nor a trend from part to part costs digits.

    Attributes
    ----------
    count : number of rows
    origin : a value near the other values, from which distances are measured, (column,)
    shift : mean distance from the origin, (column,)
    products : sums of products of the columns' distances from their means, (column, column)
    low, high : smallest and largest value, (column,)
    """

    count: int
    origin: np.ndarray
    shift: np.ndarray
    products: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, origin: np.ndarray | None = None) -> Self:
        """Return the moments of a finite matrix (row, column), or of a vector as a single column."""
        if values.ndim == 1:
            values = values[:, None]
        start = values[0].copy() if origin is None else origin
        result = cls._of_slice(values[:SLICE], start)
        for row in range(SLICE, len(values), SLICE):
            result += cls._of_slice(values[row : row + SLICE], start)
        return result

    @classmethod
    def _of_slice(cls, values: np.ndarray, origin: np.ndarray) -> Self:
        # Columns are contiguous, because NumPy sums neighbours in pairs, but loses digits when it sums over rows.
        distances = np.subtract(values, origin, order="F")
        shift = distances.mean(axis=0)
        distances -= shift
        return cls(len(values), origin, shift, distances.T @ distances, values.min(axis=0), values.max(axis=0))

    def __add__(self, other: "Moments") -> Self:
        """Return the moments of the rows of both, which have the same origin."""
        count, difference = self.count + other.count, other.shift - self.shift
        share = other.count / count
        return type(self)(count, self.origin, self.shift + share * difference,
                          self.products + other.products + self.count * share * np.outer(difference, difference),
                          np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def select(self, columns: np.ndarray) -> Self:
        """Return the moments of some columns, chosen by a truth value each."""
        return type(self)(self.count, self.origin[columns], self.shift[columns], self.products[columns][:, columns],
                          self.low[columns], self.high[columns])

    @property
    def mean(self) -> np.ndarray:
        """The mean of every column, (column,)."""
        return self.origin + self.shift

    def spread_about(self, center: np.ndarray) -> np.ndarray:
        """Return the root mean square distance of every column from its `center`, (column,)."""
        return np.sqrt(np.diag(self.gram(center)))

    def gram(self, center: np.ndarray) -> np.ndarray:
        """Return mean products of the columns' distances from `center`, (column, column)."""
        offset = self.origin - center + self.shift
        return self.products / self.count + np.outer(offset, offset)
