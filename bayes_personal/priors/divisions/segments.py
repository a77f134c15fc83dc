"""Data along ordered contexts at one point of the hyperparameters, as the sums over partitions take them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self, final

import numpy as np


def running(values: np.ndarray) -> np.ndarray:
    """Return running sums over contexts, which start with 0: (statistic, T) becomes (statistic, T + 1)."""
    result = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=result[:, 1:])
    return result


@final
@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows sorted by context, with any number of rows at each context, including none.

    Attributes
    ----------
    order : indices of the original rows in the order of their contexts, (row,)
    first : the first row of each context in that order, (T + 1,)
    """

    order: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, contexts: int) -> Self:
        """Sort rows by the places of their contexts, from 0 to `contexts` - 1."""
        first = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=contexts))])
        return cls(np.argsort(places, kind="stable"), first.astype(np.int64))

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of sorted values (..., row) over each context's rows, (..., context)."""
        cut = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
        return np.add.reduceat(cut, self.first[:-1], axis=-1) * (np.diff(self.first) > 0)

    def as_they_came(self, values: np.ndarray) -> np.ndarray:
        """Return sorted values (..., row) in the original order of the rows."""
        result = np.empty_like(values)
        result[..., self.order] = values
        return result


class SegmentSums(ABC):
    """Data and hyperparameters as the sums over partitions take them, and what the results of these sums mean."""

    kind: int
    rows: SortedRows
    sums: np.ndarray  # Running sums of the statistics, (statistic, T + 1).
    numbers: np.ndarray  # Hyperparameters, where the statistics do not hold them.

    @property
    def contexts(self) -> int:
        """Number of contexts."""
        return self.sums.shape[1] - 1

    @property
    @abstractmethod
    def within_reach(self) -> bool:
        """Whether floating point has enough digits for the sums."""

    @property
    @abstractmethod
    def constant(self) -> float:
        """Sum over rows of the part of log p(y) that is outside the segments' factors."""

    @property
    @abstractmethod
    def row_terms(self) -> np.ndarray:
        """The part of log p(y) outside the segments' factors of each row, sorted, (row,)."""

    @property
    @abstractmethod
    def row_statistics(self) -> np.ndarray:
        """The statistics that each row adds to its segment, sorted, (statistic, row)."""

    @abstractmethod
    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        """Return the gradient of log p(y) by the hyperparameters, from the slopes of the segments' factors."""

    @abstractmethod
    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the coefficients (segment, p) of segments with these statistics (statistic, segment)."""

    @property
    @abstractmethod
    def least(self) -> float:
        """Lower bound of every statistic, which rounding of differences could otherwise undercut."""

    def draw(self, start: np.ndarray, stop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the coefficients (segment, p) of segments of contexts from `start` to before `stop`, given data."""
        return self.draw_given(self.sums[:, stop] - self.sums[:, start], rng)
