"""Rows in files, which are read and coded a batch at a time and never held together."""

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

# Numbers that are coded together: a formula costs as much for a hundred rows as for thousands.
CODED = 8 * SLICE

Sum = TypeVar("Sum")


def are_stored(data: Any) -> bool:
    """Whether data are said to be in files: by a path, or as a dataset of Arrow."""
    # Who has a dataset has imported its module, which others need not wait for.
    module = sys.modules.get("pyarrow.dataset")
    return isinstance(data, str | os.PathLike) or (module is not None and isinstance(data, module.Dataset))


@final
@dataclass(frozen=True, eq=False)
class OnDisk:
    """Rows that are in files.

    Attributes
    ----------
    files : where they are
    columns : that the model reads
    read : makes predictors, outcome and known constants of a frame with these columns
    width : how many predictors
    client : of the Dask cluster that sums over them; None for this process
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
        # A client belongs to its process.
        return {**self.__dict__, "client": None, "progress": False}

    @property
    def index(self) -> pd.RangeIndex:
        """Numbers of the rows, counted over all files."""
        return self.files.index

    @property
    def available(self) -> list[str]:
        """Names of all columns that there are."""
        return list(self.files.columns)

    def also(self, name: str) -> "OnDisk":
        """The rows with one more column in every batch."""
        return self if name in self.columns else replace(self, columns=(*self.columns, name))

    def batches(self, size: int = BATCH) -> Iterator[Batch]:
        """All rows in their order."""
        for frame in self.files.pieces(self.columns, coded_together(self.width, size)):
            with self.files.locating(frame):
                x, y, constants = self.read(frame)
            for row in range(0, len(frame), size):
                part = slice(row, row + size)
                yield Batch(int(frame.index[row]), frame.iloc[part], x[part], y[part], constants[part])

    def total(self, of: Callable[[Iterable[Batch]], Sum]) -> Sum:
        """What `of` makes of all rows; on a cluster, the sum of what it makes of parts of them."""
        if self.client is None:
            return of(replace(self, files=replace(self.files, progress=self.progress)).batches())
        return cluster.total(self.client, of, [replace(self, files=part, client=None) for part in self.files.parts()])

    @property
    def frame(self) -> pd.DataFrame:
        """Never: they are not held together."""
        raise self._apart

    @property
    def x(self) -> np.ndarray:
        """Never: they are not held together."""
        raise self._apart

    @property
    def y(self) -> np.ndarray:
        """Never: they are not held together."""
        raise self._apart

    @property
    def constants(self) -> np.ndarray:
        """Never: they are not held together."""
        raise self._apart

    @property
    def _apart(self) -> SpecificationError:
        return SpecificationError(
            f"This needs all {len(self):,} rows of {self.files.what} in memory, and they are read a batch at a time. "
            "Such rows fit models whose Gaussian weights integrate out (Normal family, with NUTS() or Laplace()); give "
            "rows of interest as a frame to predict at them. For all else read the table first, for example with "
            "pandas.read_parquet.")


def coded_together(width: int, size: int = BATCH) -> int:
    """How many rows with so many predictors are coded together, a multiple of `size`."""
    return max(size, min(SLICE, CODED // max(width, 1)) // size * size)
