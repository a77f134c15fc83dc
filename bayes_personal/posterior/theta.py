"""Draws at rows, computed for the draws and rows that are asked for: the whole array is never kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy.sparse as sp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.posterior.lazy import Lazy
from bayes_personal.posterior.whole_rows import WholeRows
from bayes_personal.priors.parts.features import Features, Steps


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
        columns = [matrix.indices[:, None] if sp.issparse(matrix) else
                   matrix.made[:, None] if isinstance(matrix, Steps) else matrix for matrix in matrices]
        _, first, inverse = np.unique(np.column_stack([np.empty((len(self), 0)), *columns]), axis=0, return_index=True,
                                    return_inverse=True)
        return first, inverse


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
class Computed(Lazy):
    """An array (chain, draw, unit, ...) that follows from draws of a model's variables.

    Attributes
    ----------
    bound : the model
    values : draws of the model's variables in data units, chain after chain, by name
    seeds : source of the random numbers of every row, or block of draws and rows
    whole : the training rows of a network, where rows choose among branches for all nodes together; else None
    """

    bound: BoundModel
    values: Mapping[str, np.ndarray]
    seeds: np.random.SeedSequence
    whole: WholeRows | None = None

    @property
    def work(self) -> int:
        return len(self.bound.coefficients.names)

    def at(self, draws: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return what the outcome depends on at some draws: mean, effects, parameters of functions and family."""
        names = {"mu", *(f"{term.name}_effect" for term in self.bound.terms),
                 *(name for term in self.bound.terms for parameter in self.bound.family_parameters
                   if (name := term.name_elsewhere(parameter.name)) is not None),
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
        total = self.shares(values, draws, places, part).cumsum(axis=-1)
        uniform = np.stack([np.random.default_rng(np.random.SeedSequence(self.seeds.entropy, spawn_key=(int(place),)))
                            .random(np.prod(self.sizes))[draws] for place in places], axis=1)
        return np.minimum((uniform[..., None] >= total).sum(axis=-1), total.shape[-1] - 1)

    def shares(self, values: Mapping[str, np.ndarray], draws: np.ndarray, places: np.ndarray,
               part: RowSlice) -> np.ndarray:
        """Return the probability of each branch, given all outcomes of the row if known, (draw, unit, branch)."""
        if self.whole is None or part.y is None:
            return shares(self.bound, values, part)
        return self.whole.shares(draws, places)


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

    @property
    def dims(self) -> tuple[str, ...]:
        return (*super().dims, "coefficient")

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        return self.theta(draws, places, part)

    def distinct(self, part: RowSlice) -> tuple[np.ndarray, np.ndarray]:
        # Each row chooses a branch by itself.
        return super().distinct(part) if self.bound.choice else part.distinct
