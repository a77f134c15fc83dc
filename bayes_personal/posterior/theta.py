"""Draws at rows, computed for the draws and rows that are asked for: all draws of all rows are never kept."""

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

# Numbers computed at a time: a few arrays of as many stay in the processor's cache.
SIZE = 2**19


@final
@dataclass(frozen=True, eq=False)
class RowSlice:
    """Some rows, as theta and the outcome depend on them.

    Attributes
    ----------
    features : f(c), piece by piece
    x, constants : their predictors, and the known constants of their likelihoods
    y : their outcomes, where these are known and say which branch of a field a row takes
    """

    features: tuple[Features, ...]
    x: np.ndarray
    constants: np.ndarray
    y: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: np.ndarray | slice) -> "RowSlice":
        return RowSlice(tuple(Features(one.matrix[rows]) for one in self.features), np.ascontiguousarray(self.x[rows]),
                        self.constants[rows], None if self.y is None else self.y[rows])

    @property
    def alike(self) -> tuple[np.ndarray, np.ndarray]:
        """One row of all that have the same features and hence the same theta, and which of these each row is like."""
        told = [one.matrix.indices[:, None] if sp.issparse(one.matrix) else one.matrix for one in self.features]
        _, first, which = np.unique(np.column_stack([np.empty((len(self), 0)), *told]), axis=0, return_index=True,
                                    return_inverse=True)
        return first, which


class Rows(Protocol):
    """Rows at which something can be computed."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, RowSlice]]:
        """The rows at the places `wanted`, which ascend: some at a time, with their places."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Training:
    """The training rows, wherever they are kept."""

    bound: BoundModel

    def __len__(self) -> int:
        return len(self.bound.rows)

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, RowSlice]]:
        """Batch by batch; features are made of the rows that are wanted."""
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
        """All at once: they are there."""
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
    seeds : what the random numbers of every row, or block of draws and rows, follow from
    """

    bound: BoundModel
    values: Mapping[str, np.ndarray]
    sizes: tuple[int, int]
    rows: Rows
    seeds: np.random.SeedSequence

    dtype = np.dtype(float)
    # So many consecutive rows are computed together or not at all.
    together = 1

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
        """The entries (draw, unit, ...) at some draws, counted chain after chain, and at the rows at some places."""

    def alike(self, part: RowSlice) -> tuple[np.ndarray, np.ndarray]:
        """One row of all that have the same draws, and which of these each row is like."""
        return np.arange(len(part)), np.arange(len(part))

    def at(self, draws: np.ndarray) -> Mapping[str, np.ndarray]:
        """The values at some draws of what the outcome depends on: mean, effects, parameters of fields and family."""
        names = {"mu", *(f"{term.name}_effect" for term in self.bound.terms),
                 *(term.error_elsewhere for term in self.bound.terms if term.error_elsewhere is not None),
                 *(each.name for field in self.bound.nonlinear for each in field.parameters()),
                 *(name for field in self.bound.nonlinear for name in field.latent),
                 *(each.name for each in self.bound.family_parameters)}
        everything = np.array_equal(draws, np.arange(np.prod(self.sizes)))
        return {name: value if everything else value[draws] for name, value in self.values.items() if name in names}

    def theta(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """theta in data units of the rows at some places, (draw, unit, coefficient)."""
        values = self.at(draws)
        return self.bound.theta(values, part.features, len(part), self.labels(values, draws, places, part))

    def labels(self, values: Mapping[str, np.ndarray], draws: np.ndarray, places: np.ndarray,
               part: RowSlice) -> np.ndarray | None:
        """Which branch each row takes in each draw, (draw, unit); None where nothing branches."""
        if self.bound.choice is None:
            return None
        total = shares(self.bound, values, part).cumsum(axis=-1)
        uniform = np.stack([np.random.default_rng(np.random.SeedSequence(self.seeds.entropy, spawn_key=(int(place),)))
                            .random(np.prod(self.sizes))[draws] for place in places], axis=1)
        return np.minimum((uniform[..., None] >= total).sum(axis=-1), total.shape[-1] - 1)

    def array(self, name: str, coords: Mapping[str, Any]) -> xr.DataArray:
        """The same as xarray shows it to users."""
        dims = ("chain", "draw", "unit", "coefficient")[: len(self.shape)]
        return xr.DataArray(indexing.LazilyIndexedArray(self), name=name, dims=dims, coords=coords)

    def blocks(self, draws: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The entries at some draws and the rows at the places `wanted`, which ascend: some at a time."""
        for places, part in self.rows.parts(self._whole(wanted)):
            for some in self.pieces(len(part), len(draws)):
                kept = np.isin(places[some], wanted)
                if kept.any():
                    found = self.block(draws, places[some], part[some])
                    yield places[some][kept], found if kept.all() else found[:, kept]

    @one_blas_thread()
    def statistics(self, wanted: np.ndarray) -> np.ndarray:
        """Mean, sd and quantiles at the rows at the places `wanted`, which ascend, (unit, ..., statistic)."""
        draws, found = np.arange(np.prod(self.sizes)), []
        for places, part in self.rows.parts(self._whole(wanted)):
            one, which = self.alike(part)
            numbers = [statistics(self.block(draws, places[one[some]], part[one[some]]))
                       for some in self.pieces(len(one), len(draws))]
            found.append(np.concatenate(numbers)[which][np.isin(places, wanted)])
        return np.concatenate(found)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Nothing can be written to it.
        return self

    @one_blas_thread()
    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        """All combinations of the places asked for along each dimension."""
        asked = [np.arange(size)[each] for each, size in zip(key, self.shape, strict=True)]
        chain, draw, unit, *inner = map(np.atleast_1d, asked)
        draws = (self.sizes[1] * chain[:, None] + draw).ravel()
        wanted, which = np.unique(unit, return_inverse=True)
        result = np.empty((len(draws), len(wanted), *map(len, inner)))
        for places, found in self.blocks(draws, wanted):
            start = np.searchsorted(wanted, places[0])
            result[:, start : start + len(places)] = found[..., *inner]
        if not np.array_equal(wanted, unit):
            result = result[:, which]
        return result.reshape([size for each in asked for size in each.shape])

    def _whole(self, wanted: np.ndarray) -> np.ndarray:
        """The places `wanted`, and those of the rows that are computed together with them."""
        first = self.together * np.unique(wanted // self.together)
        whole = (first[:, None] + np.arange(self.together)).ravel()
        return whole[whole < len(self.rows)]

    def pieces(self, rows: int, draws: int) -> Iterator[slice]:
        """So many rows at a time that what is computed with so many draws stays small."""
        numbers = max(draws, 1) * len(self.bound.coefficients.names) * self.together
        size = max(SIZE // numbers, 1) * self.together
        return (slice(start, start + size) for start in range(0, rows, size))


def shares(bound: BoundModel, values: Mapping[str, np.ndarray], part: RowSlice) -> np.ndarray:
    """Probability of each branch for some rows, their outcomes considered if they are known, (draw, unit, branch)."""
    branches = bound.branches(values, part.features, part.x, np)
    assert branches is not None
    logs, added = branches
    if part.y is not None:
        eta = bound.eta_of(bound.theta(values, part.features, len(part)), part.x)
        likelihood = bound.family.likelihood(eta[..., None] + added, bound.family_values(values, axes=2),
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

    def alike(self, part: RowSlice) -> tuple[np.ndarray, np.ndarray]:
        # Rows that choose a branch do so one by one.
        return super().alike(part) if self.bound.choice else part.alike
