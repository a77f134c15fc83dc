"""The training rows, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
import pandas as pd

# Rows a batch: its arrays stay in the processor's cache, and Python's share of the work is small.
BATCH = 8192

Sum = TypeVar("Sum")


def pieces(frame: Any, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Columns of a frame, or of a table on disk, a batch at a time."""
    if not isinstance(frame, pd.DataFrame):
        yield from frame.pieces(names, BATCH)
        return
    chosen = frame[list(names)]
    for start in range(0, len(chosen), BATCH):
        yield chosen.iloc[start : start + BATCH]


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """Some consecutive rows.

    Attributes
    ----------
    start : place of the first among all
    frame : their columns
    x, y, constants : their predictors, outcome and known constant of the likelihood
    """

    start: int
    frame: pd.DataFrame
    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def places(self) -> slice:
        """Theirs among all rows."""
        return slice(self.start, self.start + len(self))

    def take(self, rows: np.ndarray) -> "Batch":
        """Some of them, in this order; where they stand among all is not kept."""
        return Batch(-1, self.frame.iloc[rows], self.x[rows], self.y[rows], self.constants[rows])


@final
@dataclass(frozen=True, eq=False)
class InMemory:
    """Rows that are in memory.

    Attributes
    ----------
    frame : their columns, with the index that the user gave
    x, y, constants : their predictors, outcome and known constant of the likelihood
    """

    frame: pd.DataFrame
    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def index(self) -> pd.Index:
        """Labels of the rows."""
        return self.frame.index

    @property
    def columns(self) -> list[str]:
        """Names of the columns that every batch has."""
        return list(self.frame.columns)

    @property
    def available(self) -> list[str]:
        """Names of all columns that there are."""
        return self.columns

    def also(self, name: str) -> "InMemory":
        """The rows with one more column in every batch: they have all already."""
        return self

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """All rows in their order."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch(start, self.frame.iloc[part], self.x[part], self.y[part], self.constants[part])

    def total(self, of: Callable[[Iterable[Batch]], Sum]) -> Sum:
        """What `of` makes of all rows."""
        return of(self.batches())
