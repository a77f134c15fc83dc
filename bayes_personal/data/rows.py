"""The training rows, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
import pandas as pd

# Rows in a batch: its arrays fit into the processor's cache, and Python's share of the work is small.
BATCH = 8192

Sum = TypeVar("Sum")


def pieces(frame: Any, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield columns of a frame, or of a table on disk, a batch at a time."""
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
    start : place of the first row among all rows
    frame : columns of the rows
    x, y, constants : predictors, outcome and known constant of the likelihood
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
        """The places of the batch's rows among all rows."""
        return slice(self.start, self.start + len(self))

    def take(self, rows: np.ndarray) -> "Batch":
        """Return a batch of some of the rows, in the given order; it does not keep their places among all rows."""
        return Batch(-1, self.frame.iloc[rows], self.x[rows], self.y[rows], self.constants[rows])


@final
@dataclass(frozen=True, eq=False)
class InMemory:
    """Rows that are in memory.

    Attributes
    ----------
    frame : columns of the rows, with the index that the user gave
    x, y, constants : predictors, outcome and known constant of the likelihood
    """

    frame: pd.DataFrame
    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    @property
    def index(self) -> pd.Index:
        """The labels of the rows."""
        return self.frame.index

    @property
    def columns(self) -> list[str]:
        """The names of the columns that every batch has."""
        return list(self.frame.columns)

    @property
    def available(self) -> list[str]:
        """The names of all columns."""
        return self.columns

    def with_column(self, name: str) -> "InMemory":
        """Return the rows with one more column in every batch: in memory they have all columns already."""
        return self

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """Yield all rows in order, as batches."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch(start, self.frame.iloc[part], self.x[part], self.y[part], self.constants[part])

    def total(self, function: Callable[[Iterable[Batch]], Sum]) -> Sum:
        """Return the value of `function` for the batches of all rows."""
        return function(self.batches())


def rows_at(rows: Any, places: np.ndarray) -> Batch:
    """Return the rows at some places among all rows, in ascending order, from one pass over their batches."""
    parts = [batch.take(places[start:stop] - batch.start) for batch in rows.batches()
             for start, stop in [np.searchsorted(places, [batch.start, batch.start + len(batch)])] if start < stop]
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "constants"))
    return Batch(-1, pd.concat([part.frame for part in parts]), *arrays)
