"""What a prediction is: draws of theta, of the mean or of the outcome at rows, computed where they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import unit_labels
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.posterior.lazy import ROWS, Lazy, blockwise
from bayes_personal.posterior.summary import tabulate
from bayes_personal.posterior.theta import Computed, RowSlice
from bayes_personal.priors.parts.features import Features
from bayes_personal.samplers.redrawn import extended

Kind = Literal["theta", "mean", "outcome"]
KINDS = ("theta", "mean", "outcome")

# Rows of the summary that `repr` shows.
HEAD = 10


@final
@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """Draws of a prediction at every row of a frame.

    Attributes
    ----------
    kind : "theta", "mean" or "outcome"
    computed : the array that computes the draws
    index : index of the frame
    status : for every column of group labels, "known", "new", "empty" or "unknown" of each row
    labels : names along the last dimension: of coefficients, of levels, or of a network's nodes; empty where there
        is none
    levels : names of the levels of an outcome that is no number
    """

    kind: Kind
    computed: Lazy
    index: pd.Index
    status: Mapping[str, np.ndarray]
    labels: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()

    @cached_property
    def draws(self) -> xr.DataArray:
        """(chain, draw, unit); of theta (chain, draw, unit, coefficient), of the probabilities of levels (chain, draw,
        unit, level), of networks (chain, draw, unit, node); in data units, outcomes that are levels by their labels.

        Draws are computed when they are asked for, and always the same: ``draws.isel(unit=3)`` computes one row. The
        whole array is as large as draws times rows; `frame` summarises it without making it. The coordinate ``unit`` is
        the frame's index, as in `Posterior.theta`.
        """
        chains, draws = self.computed.sizes
        coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws),
                                  "unit": unit_labels(self.index)}
        coords |= {f"{name}_status": ("unit", labels) for name, labels in self.status.items()}
        if self.labels:
            coords[self.computed.dims[-1]] = list(self.labels)
        return self.computed.array(self.kind, coords)

    def frame(self) -> pd.DataFrame:
        """Tabulate mean, sd and 5, 50, 95 % quantiles, and group status if rows have one; the frame's index is kept.

        Of probabilities of levels the table has a row a unit and level; of drawn levels a row a unit, with the level
        that is drawn most often and the share of every level.
        """
        return self._summary(len(self.index))

    def _summary(self, rows: int) -> pd.DataFrame:
        """Tabulate the first rows."""
        if isinstance(self.computed, Outcome) and self.levels:
            return self._counted(self.computed, rows)
        status = {f"{name}_status": labels[:rows] for name, labels in self.status.items()}
        return tabulate(self.computed.statistics(np.arange(rows)), self.index[:rows], self.labels,
                        self.computed.dims[-1], **status)

    def _counted(self, computed: "Outcome", rows: int) -> pd.DataFrame:
        """Tabulate the level that most draws have, and the share of each, of the first rows."""
        shares = computed.counted(np.arange(rows))
        result = pd.DataFrame(shares, self.index[:rows], list(self.levels))
        result.insert(0, "most_likely", computed.bound.family.labelled(shares.argmax(axis=1)))
        for place, (name, labels) in enumerate(self.status.items()):
            result.insert(place, f"{name}_status", labels[:rows])
        return result

    def __repr__(self) -> str:
        sizes = " x ".join(f"{size} {dim}" for dim, size in self.draws.sizes.items())
        return f"Prediction of {self.kind}: {sizes}\n{self._summary(min(len(self.index), HEAD)).head(HEAD)}"


@dataclass(frozen=True, eq=False, repr=False)
class Mean(Computed):
    """Expected outcomes, (chain, draw, unit), or the probabilities of all levels, (chain, draw, unit, level)."""

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        likelihood = self.likelihood(self.at(draws), draws, places, part)
        return likelihood.mean() if self.bound.family.labels is None else likelihood.shares()

    @property
    def inner(self) -> tuple[int, ...]:
        return () if self.bound.family.labels is None else (len(self.bound.family.labels),)

    @property
    def dims(self) -> tuple[str, ...]:
        return super().dims if self.bound.family.labels is None else (*super().dims, "level")

    @property
    def work(self) -> int:
        return super().work + len(self.bound.family.labels or ())

    def likelihood(self, values: Mapping[str, np.ndarray], draws: np.ndarray, places: np.ndarray,
                   part: RowSlice) -> Likelihood:
        """Return the distribution of the outcomes at some draws and rows."""
        family_values = self.family_values(values, part)
        return self.bound.family.likelihood(self.eta(draws, places, part), family_values, part.constants, np)

    def eta(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        """Return x_i' theta_i, (draw, unit, predictor)."""
        return self.bound.eta_of(self.theta(draws, places, part), part.x)

    def family_values(self, values: Mapping[str, np.ndarray], part: RowSlice) -> dict[str, np.ndarray]:
        """Return the values of the family's own parameters, (draw, 1) or (draw, unit)."""
        result = self.bound.family_values(values)
        for term, features in zip(self.bound.terms, part.features, strict=False):
            for parameter in result:
                if (elsewhere := term.name_elsewhere(parameter)) is not None:
                    unseen = features.matrix.indices >= term.size
                    result[parameter] = np.where(unseen, values[elsewhere][:, None], result[parameter])
        return result


@final
@dataclass(frozen=True, eq=False, repr=False)
class Outcome(Mean):
    """New outcomes, (chain, draw, unit), which do not depend on the rows and draws asked for."""

    block_size: ClassVar = ROWS

    @property
    def inner(self) -> tuple[int, ...]:
        return ()

    @property
    def dims(self) -> tuple[str, ...]:
        return ("chain", "draw", "unit")

    @property
    def dtype(self) -> np.dtype:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Numbers, or what the levels are."""
        return self.bound.family.labelled(np.zeros(1)).dtype

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        return self.bound.family.labelled(super()._outer(key))

    def counted(self, wanted: np.ndarray) -> np.ndarray:
        """Return the share of draws of each level at the ascending rows `wanted`, (unit, level)."""
        levels = np.arange(len(self.bound.family.labels or ()))
        return self.summarised(wanted, lambda draws: (draws[..., None] == levels).mean(axis=0))

    def block(self, draws: np.ndarray, places: np.ndarray, part: RowSlice) -> np.ndarray:
        def made(rng: np.random.Generator, all_draws: np.ndarray, of_places: np.ndarray, rows: RowSlice) -> np.ndarray:
            likelihood = self.likelihood(self.at(all_draws), all_draws, of_places, rows)
            return likelihood.draw(rng, (len(all_draws), len(rows)))

        return blockwise(made, self, draws, places, part, self.seeds)


def with_new_features(bound: BoundModel, values: Mapping[str, np.ndarray], features: tuple[Features, ...],
                      rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Extend the values, every effect and the variables of functions, to features that training never saw."""
    result = dict(values)
    for term, piece_features in zip(bound.terms, features, strict=False):
        name = f"{term.name}_effect"
        effect = values[name]
        new_count = piece_features.matrix.shape[1] - effect.shape[1]
        if new_count:
            result[name] = extended(effect, term.unseen(values, new_count, rng))
    for field, piece_features in zip(bound.nonlinear, features[len(bound.terms) :], strict=True):
        result |= field.extended(result, piece_features.matrix, rng)
    return result
