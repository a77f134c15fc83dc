"""Draws at rows, computed for the draws and rows that are asked for: the whole array is never kept."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, final

import numpy as np
import scipy.sparse as sp
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from bayes_personal.binding.bound import BoundModel
from bayes_personal.posterior.summary import statistics
from bayes_personal.priors.parts.features import Features
from bayes_personal.system.running import one_blas_thread

# Numbers computed at a time: a few arrays of this size stay in the processor's cache.
SIZE = 2**19


@final
@dataclass(frozen=True, eq=False)
class RowSlice:
    """The variables of some rows that theta and the outcome depend on.

    Attributes
    ----------
    features : f(c), piece by piece
    x, constants : predictors, and known constants of the likelihoods
    y : outcomes, where they are known and tell which branch of a choice a row takes
    """

    features: tuple[Features, ...]
    x: np.ndarray
    constants: np.ndarray
    y: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: np.ndarray | slice) -> "RowSlice":
        features = tuple(Features(piece.matrix[rows]) for piece in self.features)
        return RowSlice(features, np.ascontiguousarray(self.x[rows]), self.constants[rows],
                        None if self.y is None else self.y[rows])

    @property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows with distinct features, hence distinct theta, and which of these each row equals."""
        matrices = [piece.matrix for piece in self.features]
        columns = [matrix.indices[:, None] if sp.issparse(matrix) else matrix for matrix in matrices]
        _, first, inverse = np.unique(np.column_stack([np.empty((len(self), 0)), *columns]), axis=0, return_index=True,
                                    return_inverse=True)
        return first, inverse


class Rows(Protocol):
    """Rows at which theta and the outcome can be computed."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, RowSlice]]:
        """Yield the rows at the ascending positions `wanted`, some at a time, with their positions."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Training:
    """The training rows, in memory or in files."""

    bound: BoundModel

    def __len__(self) -> int:
        return len(self.bound.rows)

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, RowSlice]]:
        """Yield the rows batch by batch; features are computed for the wanted rows alone."""
        for batch in self.bound.rows.batches():
            if not len(wanted) or batch.start > wanted[-1]:
                return
            places = wanted[slice(*np.searchsorted(wanted, [batch.start, batch.start + len(batch)]))]
            if len(places):
                rows = places - batch.start
                features = self.bound.features_at(batch.frame.iloc[rows])
                yield places, RowSlice(features, np.ascontiguousarray(batch.x[rows]), batch.constants[rows],
                                       batch.y[rows])


@final
@dataclass(frozen=True, eq=False)
class KnownContexts:
    """Rows in memory."""

    rows: RowSlice

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, RowSlice]]:
        """Yield all wanted rows at once."""
        yield wanted, self.rows[wanted]


@dataclass(frozen=True, eq=False, repr=False)
class Computed(BackendArray):
    """An array (chain, draw, unit, ...) that xarray asks for the entries that it needs.

    Attributes
    ----------
    bound : the model
    values : draws of the model's variables in data units, chain after chain, by name
    sizes : how many chains, and draws in each
    rows : the units
    seeds : source of the random numbers of every row, or block of draws and rows
    """

    bound: BoundModel
    values: Mapping[str, np.ndarray]
    sizes: tuple[int, int]
    rows: Rows
    seeds: np.random.SeedSequence

    dtype = np.dtype(float)
    # This many consecutive rows are computed together or not at all.
    block_size = 1

    @property
    def inner(self) -> tuple[int, ...]:
        """Sizes of the dimensions after the unit's."""
        return ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dimensions."""
        return (*self.sizes, len(self.rows), *self.inner)

    @abstractmethod
    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """Compute the entries (draw, unit, ...) at some draws, counted chain after chain, and at the rows `places`."""

    def distinct(self, part: RowSlice) -> tuple[np.ndarray, np.ndarray]:
        """Return rows with distinct draws, and which of these each row equals."""
        return np.arange(len(part)), np.arange(len(part))

    def at(self, draws: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return what the outcome depends on at some draws: mean, effects, parameters of functions and family."""
        names = {"mu", *(f"{term.name}_effect" for term in self.bound.terms),
                 *(term.error_elsewhere for term in self.bound.terms if term.error_elsewhere is not None),
                 *(parameter.name for field in self.bound.nonlinear for parameter in field.parameters()),
                 *(name for field in self.bound.nonlinear for name in field.latent),
                 *(parameter.name for parameter in self.bound.family_parameters)}
        all_draws = np.array_equal(draws, np.arange(np.prod(self.sizes)))
        return {name: value if all_draws else value[draws] for name, value in self.values.items() if name in names}

    def theta(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """Return theta in data units at the rows `places`, (draw, unit, coefficient)."""
        values = self.at(draws)
        return self.bound.theta(values, part.features, len(part), self.labels(values, draws, places, part))

    def labels(self, values: Mapping[str, np.ndarray], draws: np.ndarray, places: np.ndarray,
               part: RowSlice) -> np.ndarray | None:
        """Draw which branch each row takes, (draw, unit); None for a model without a choice."""
        if self.bound.choice is None:
            return None
        total = shares(self.bound, values, part).cumsum(axis=-1)
        uniform = np.stack([np.random.default_rng(np.random.SeedSequence(self.seeds.entropy, spawn_key=(int(place),)))
                            .random(np.prod(self.sizes))[draws] for place in places], axis=1)
        return np.minimum((uniform[..., None] >= total).sum(axis=-1), total.shape[-1] - 1)

    def array(self, name: str, coords: Mapping[str, Any]) -> xr.DataArray:
        """Return the lazy `xarray.DataArray` that users see."""
        dims = ("chain", "draw", "unit", "coefficient")[: len(self.shape)]
        return xr.DataArray(indexing.LazilyIndexedArray(self), name=name, dims=dims, coords=coords)

    def blocks(self, draws: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the entries at some draws and at the ascending rows `wanted`, some at a time, with their positions."""
        for places, part in self.rows.parts(self._completed(wanted)):
            for rows in self.pieces(len(part), len(draws)):
                is_wanted = np.isin(places[rows], wanted)
                if is_wanted.any():
                    entries = self.block(draws, places[rows], part[rows])
                    yield places[rows][is_wanted], entries if is_wanted.all() else entries[:, is_wanted]

    @one_blas_thread()
    def statistics(self, wanted: np.ndarray) -> np.ndarray:
        """Return the mean, sd and quantiles at the ascending rows `wanted`, (unit, ..., statistic)."""
        draws, tables = np.arange(np.prod(self.sizes)), []
        for places, part in self.rows.parts(self._completed(wanted)):
            first, inverse = self.distinct(part)
            numbers = [statistics(self.block(draws, places[first[rows]], part[first[rows]]))
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
            result[:, start : start + len(places)] = entries[..., *inner]
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
        numbers = max(draws, 1) * len(self.bound.coefficients.names) * self.block_size
        size = max(SIZE // numbers, 1) * self.block_size
        return (slice(start, start + size) for start in range(0, rows, size))


def shares(bound: BoundModel, values: Mapping[str, np.ndarray], part: RowSlice) -> np.ndarray:
    """Return the probability of each branch for some rows, given their outcomes if known, (draw, unit, branch)."""
    branches = bound.branches(values, part.features, part.x, np)
    assert branches is not None
    logs, added = branches
    if part.y is not None:
        eta = bound.eta_of(bound.theta(values, part.features, len(part)), part.x)
        likelihood = bound.family.likelihood(eta[..., None, :] + added, bound.family_values(values, axes=2),
                                             part.constants[:, None], np)
        logs = logs + likelihood.log_density(part.y[:, None])
    result = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return result / result.sum(axis=-1, keepdims=True)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Theta(Computed):
    """theta in data units, (chain, draw, unit, coefficient)."""

    @property
    def inner(self) -> tuple[int, ...]:
        return (len(self.bound.coefficients.names),)

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        return self.theta(draws, places, part)

    def distinct(self, part: RowSlice) -> tuple[np.ndarray, np.ndarray]:
        # Each row chooses a branch by itself.
        return super().distinct(part) if self.bound.choice else part.distinct
