"""Arrays with an entry for every draw and row, of which only what is asked for is computed."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bayes_personal.posterior.summary import statistics
from bayes_personal.system.running import one_blas_thread

# Numbers computed at a time: a few arrays of this size stay in the processor's cache.
SIZE = 2**19
# Draws and rows whose random numbers are made together, from one seed.
DRAWS, ROWS = 1024, 64


class Rows[Part](Protocol):
    """Rows at which something can be computed."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, Part]]:
        """Yield the rows at the ascending positions `wanted`, some at a time, with their positions.

        A part has a length, and is indexed by positions of rows.
        """
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Lazy(BackendArray):
    """An array (chain, draw, unit, ...) that xarray asks for the entries that it needs.

    Attributes
    ----------
    sizes : how many chains, and draws in each
    rows : the units
    """

    sizes: tuple[int, int]
    rows: Rows[Any]

    dtype = np.dtype(float)
    # This many consecutive rows are computed together or not at all.
    block_size: ClassVar = 1

    @property
    def inner(self) -> tuple[int, ...]:
        """Sizes of the dimensions after the unit's."""
        return ()

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of all dimensions."""
        return ("chain", "draw", "unit")

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dimensions."""
        return (*self.sizes, len(self.rows), *self.inner)

    @property
    @abstractmethod
    def work(self) -> int:
        """How many numbers are computed for a draw and a row."""

    @abstractmethod
    def block(self, draws: np.ndarray, places: np.ndarray, part: Any) -> np.ndarray:
        """Compute the entries (draw, unit, ...) at some draws, counted chain after chain, and at the rows `places`."""

    def distinct(self, part: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return rows with distinct draws, and which of these each row equals."""
        return np.arange(len(part)), np.arange(len(part))

    def array(self, name: str, coords: Mapping[str, Any]) -> xr.DataArray:
        """Return the lazy `xarray.DataArray` that users see."""
        return xr.DataArray(indexing.LazilyIndexedArray(self), name=name, dims=list(self.dims), coords=coords)

    def blocks(self, draws: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the entries at some draws and at the ascending rows `wanted`, some at a time, with their positions."""
        for places, part in self.rows.parts(self._completed(wanted)):
            for rows in self.pieces(len(part), len(draws)):
                is_wanted = np.isin(places[rows], wanted)
                if is_wanted.any():
                    entries = self.block(draws, places[rows], part[rows])
                    yield places[rows][is_wanted], entries if is_wanted.all() else entries[:, is_wanted]

    def statistics(self, wanted: np.ndarray) -> np.ndarray:
        """Return the mean, sd and quantiles at the ascending rows `wanted`, (unit, ..., statistic)."""
        return self.summarised(wanted, statistics)

    @one_blas_thread()
    def summarised(self, wanted: np.ndarray, summary: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return a summary of all draws (draw, unit, ...) at the ascending rows `wanted`, (unit, ...)."""
        draws, tables = np.arange(np.prod(self.sizes)), []
        for places, part in self.rows.parts(self._completed(wanted)):
            first, inverse = self.distinct(part)
            numbers = [summary(self.block(draws, places[first[rows]], part[first[rows]]))
                       for rows in self.pieces(len(first), len(draws))]
            tables.append(np.concatenate(numbers)[inverse][np.isin(places, wanted)])
        return np.concatenate(tables)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The array cannot be written to.
        return self

    @one_blas_thread()
    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        """Return all combinations of the positions asked for along each dimension."""
        positions = [np.arange(size)[index] for index, size in zip(key, self.shape, strict=True)]
        chain, draw, unit, *inner = map(np.atleast_1d, positions)
        draws = (self.sizes[1] * chain[:, None] + draw).ravel()
        wanted, inverse = np.unique(unit, return_inverse=True)
        result = np.empty((len(draws), len(wanted), *map(len, inner)))
        for places, entries in self.blocks(draws, wanted):
            start = np.searchsorted(wanted, places[0])
            for axis, chosen in enumerate(inner, start=2):
                entries = entries.take(chosen, axis)
            result[:, start : start + len(places)] = entries
        if not np.array_equal(wanted, unit):
            result = result[:, inverse]
        return result.reshape([size for array in positions for size in array.shape])

    def _completed(self, wanted: np.ndarray) -> np.ndarray:
        """Return the positions `wanted` and those of the rows that are computed together with them."""
        starts = self.block_size * np.unique(wanted // self.block_size)
        places = (starts[:, None] + np.arange(self.block_size)).ravel()
        return places[places < len(self.rows)]

    def pieces(self, rows: int, draws: int) -> Iterator[slice]:
        """Slice the rows so that arrays of this many draws stay small."""
        numbers = max(draws, 1) * self.work * self.block_size
        size = max(SIZE // numbers, 1) * self.block_size
        return (slice(start, start + size) for start in range(0, rows, size))


def blockwise(made: Callable[[np.random.Generator, np.ndarray, np.ndarray, Any], np.ndarray], array: Lazy,
              draws: np.ndarray, places: np.ndarray, part: Any, seeds: np.random.SeedSequence) -> np.ndarray:
    """Return random entries (draw, unit, ...) that do not depend on the draws and rows asked for.

    Parameters
    ----------
    made
        Function that makes the entries of all draws and rows of a block, given a generator of its own.
    array
        The array that the entries are of; its `block_size` is `ROWS`.
    draws, places, part
        The arguments of `Lazy.block`.
    seeds
        Source of the generators.
    """
    result, numbers = np.empty((len(draws), len(part), *array.inner)), draws // DRAWS
    for number in np.unique(numbers):
        all_draws = np.arange(number * DRAWS, min((number + 1) * DRAWS, np.prod(array.sizes)))
        positions = np.flatnonzero(numbers == number)
        for start in range(0, len(part), ROWS):
            rows = slice(start, start + ROWS)
            seed = np.random.SeedSequence(seeds.entropy, spawn_key=(int(number), int(places[start]) // ROWS))
            entries = made(np.random.default_rng(seed), all_draws, places[rows], part[rows])
            result[positions, rows] = entries[draws[positions] - all_draws[0]]
    return result
