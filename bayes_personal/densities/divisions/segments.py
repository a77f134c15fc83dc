"""Data along ordered contexts at one point of the hyperparameters, as the sums over partitions take them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self, final

import numpy as np


def running(values: np.ndarray) -> np.ndarray:
    """Running sums over contexts that start with 0: (statistic, T) becomes (statistic, T + 1)."""
    result = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=result[:, 1:])
    return result


@final
@dataclass(frozen=True, eq=False)
class SortedRows:
    """Rows sorted by context, any number at each, also none.

    Attributes
    ----------
    order : rows as they came, in the order of their contexts, (row,)
    first : the first row of each context in that order, (T + 1,)
    """

    order: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, contexts: int) -> Self:
        """Of the place of each row's context, from 0 to `contexts` - 1."""
        first = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=contexts))])
        return cls(np.argsort(places, kind="stable"), first.astype(np.int64))

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Sums over each context's rows, of (..., row) that are sorted."""
        cut = np.concatenate([values, np.zeros((*values.shape[:-1], 1))], axis=-1)
        return np.add.reduceat(cut, self.first[:-1], axis=-1) * (np.diff(self.first) > 0)

    def as_they_came(self, values: np.ndarray) -> np.ndarray:
        """(..., row) in the rows' own order."""
        result = np.empty_like(values)
        result[..., self.order] = values
        return result


class SegmentSums(ABC):
    """What the sums over partitions take of data and hyperparameters, and what their results mean."""

    kind: int
    rows: SortedRows
    sums: np.ndarray  # Running sums of the statistics, (statistic, T + 1).
    numbers: np.ndarray  # Hyperparameters, where the statistics do not hold them.

    @property
    def contexts(self) -> int:
        """How many."""
        return self.sums.shape[1] - 1

    @property
    @abstractmethod
    def within_reach(self) -> bool:
        """Whether numbers have digits enough for the sums."""

    @property
    @abstractmethod
    def constant(self) -> float:
        """Sum over rows of what of log p(y) is not in the segments' factors."""

    @property
    @abstractmethod
    def row_terms(self) -> np.ndarray:
        """The same of each row, sorted, (row,)."""

    @property
    @abstractmethod
    def taken(self) -> np.ndarray:
        """What each row adds to its segment's statistics, sorted, (statistic, row)."""

    @abstractmethod
    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        """Of the slopes of the factors, those of log p(y) by the hyperparameters."""

    @abstractmethod
    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Coefficients (segment, p) of segments with these statistics (statistic, segment)."""

    @property
    @abstractmethod
    def least(self) -> float:
        """What no statistic is below, whatever rounding makes of differences."""

    def draw(self, start: np.ndarray, stop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Coefficients (segment, p) of segments of the contexts from `start` up to `stop`, given their data."""
        return self.draw_given(self.sums[:, stop] - self.sums[:, start], rng)
