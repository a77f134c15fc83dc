"""Rows in files, which are read and coded a batch at a time and never held in memory together."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, final

import numpy as np
import pandas as pd

from bayes_personal.data import cluster
from bayes_personal.data.moments import SLICE
from bayes_personal.data.rows import BATCH, Batch
from bayes_personal.errors import SpecificationError

if TYPE_CHECKING:
    from bayes_personal.data.files import Files

# Number of values coded at a time: evaluating a formula costs as much for a hundred rows as for thousands.
CODED = 8 * SLICE

Sum = TypeVar("Sum")


def are_stored(data: Any) -> bool:
    """Return whether data are given as files: by a path, or as a dataset of Arrow."""
    # A user with a dataset has already imported its module; no one else should wait for the import.
    module = sys.modules.get("pyarrow.dataset")
    return isinstance(data, str | os.PathLike) or (module is not None and isinstance(data, module.Dataset))


@final
@dataclass(frozen=True, eq=False)
class OnDisk:
    """Rows that are in files.

    Attributes
    ----------
    files : table of the rows
    columns : names of the columns that the model reads
    read : function that turns a frame with these columns into predictors, outcome and known constants
    width : number of predictors
    client : client of the Dask cluster that sums over the rows; None for this process
    progress : whether sums show a progress bar
    """

    files: "Files"
    columns: tuple[str, ...]
    read: Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray, np.ndarray]]
    width: int
    client: Any = None
    progress: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def __getstate__(self) -> dict[str, Any]:
        # A client cannot leave its process.
        return {**self.__dict__, "client": None, "progress": False}

    @property
    def index(self) -> pd.RangeIndex:
        """The numbers of the rows, counted over all files."""
        return self.files.index

    @property
    def available(self) -> list[str]:
        """The names of all columns."""
        return list(self.files.columns)

    def with_column(self, name: str) -> "OnDisk":
        """Return the rows with one more column in every batch."""
        return self if name in self.columns else replace(self, columns=(*self.columns, name))

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """Yield all rows in order, as batches."""
        for frame in self.files.pieces(self.columns, coded_together(self.width, size)):
            with self.files.locating(frame):
                x, y, constants = self.read(frame)
            for row in range(0, len(frame), size):
                part = slice(row, row + size)
                yield Batch(int(frame.index[row]), frame.iloc[part], x[part], y[part], constants[part])

    def total(self, function: Callable[[Iterable[Batch]], Sum]) -> Sum:
        """Return the value of `function` for the batches of all rows; on a cluster, the sum of its values for parts."""
        if self.client is None:
            return function(replace(self, files=replace(self.files, progress=self.progress)).batches())
        parts = [replace(self, files=part, client=None) for part in self.files.parts()]
        return cluster.total(self.client, function, parts)

    @property
    def frame(self) -> pd.DataFrame:
        """Not available: the rows are not held in memory together."""
        raise self._refusal

    @property
    def x(self) -> np.ndarray:
        """Not available: the rows are not held in memory together."""
        raise self._refusal

    @property
    def y(self) -> np.ndarray:
        """Not available: the rows are not held in memory together."""
        raise self._refusal

    @property
    def constants(self) -> np.ndarray:
        """Not available: the rows are not held in memory together."""
        raise self._refusal

    @property
    def _refusal(self) -> SpecificationError:
        return SpecificationError(
            f"This needs all {len(self):,} rows of {self.files.label} in memory, and they are read a batch at a time. "
            "Such rows fit models whose Gaussian weights integrate out, or are corrected (with NUTS() or Laplace()); "
            "give rows of interest as a frame to predict at them. For all else read the table first, for example with "
            "pandas.read_parquet.")


def coded_together(width: int, size: int = BATCH) -> int:
    """Return how many rows with `width` predictors are coded together, a multiple of `size`."""
    return max(size, min(SLICE, CODED // max(width, 1)) // size * size)
