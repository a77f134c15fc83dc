"""Mean, spread and range of numbers of which any number of rows comes in parts, without loss of digits."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

# Rows whose temporary copies stay in the processor's cache.
SLICE = 65_536


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """What is remembered of the rows of a matrix; that of all rows is the sum over their parts, in any order.

    Means and products are of distances from `origin`, and merge as Chan, Golub and LeVeque (1983) do it,
    doi:10.1080/00031305.1983.10483115: neither a large mean nor a trend from part to part costs digits.

    Attributes
    ----------
    count : of rows
    origin : a value near the others, from which means are counted, (column,)
    shift : mean distance from it, (column,)
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
        """Those of the rows of a finite matrix (row, column), or of a vector as its one column."""
        if values.ndim == 1:
            values = values[:, None]
        start = values[0].copy() if origin is None else origin
        result = cls._of_slice(values[:SLICE], start)
        for row in range(SLICE, len(values), SLICE):
            result += cls._of_slice(values[row : row + SLICE], start)
        return result

    @classmethod
    def _of_slice(cls, values: np.ndarray, origin: np.ndarray) -> Self:
        # Column by column, for NumPy sums neighbours in pairs, and loses digits over rows.
        distances = np.subtract(values, origin, order="F")
        shift = distances.mean(axis=0)
        distances -= shift
        return cls(len(values), origin, shift, distances.T @ distances, values.min(axis=0), values.max(axis=0))

    def __add__(self, other: "Moments") -> Self:
        """Those of the rows of both, which count from the same origin."""
        count, apart = self.count + other.count, other.shift - self.shift
        share = other.count / count
        return type(self)(count, self.origin, self.shift + share * apart,
                          self.products + other.products + self.count * share * np.outer(apart, apart),
                          np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def only(self, columns: np.ndarray) -> Self:
        """Those of some of the columns, a truth value each."""
        return type(self)(self.count, self.origin[columns], self.shift[columns], self.products[columns][:, columns],
                          self.low[columns], self.high[columns])

    @property
    def mean(self) -> np.ndarray:
        """Of every column, (column,)."""
        return self.origin + self.shift

    def spread_about(self, center: np.ndarray) -> np.ndarray:
        """Root mean square distance of every column from its `center`, (column,)."""
        return np.sqrt(np.diag(self.gram(center)))

    def gram(self, center: np.ndarray) -> np.ndarray:
        """Mean products of the columns' distances from `center`, (column, column)."""
        away = self.origin - center + self.shift
        return self.products / self.count + np.outer(away, away)
