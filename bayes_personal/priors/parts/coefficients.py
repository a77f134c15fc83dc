"""What a prior may know of the coefficients of a model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from bayes_personal.errors import SpecificationError, did_you_mean
from bayes_personal.hyperpriors.conjugate import Conjugate


@final
@dataclass(frozen=True)
class Coefficients:
    """The coefficients as a prior may know them: names and natural units, never the outcome itself.

    Attributes
    ----------
    names : names of the coefficients, (coefficient,)
    location : expected values, that of the intercept at the predictors' means, (coefficient,)
    unit : natural units, scale of the linear predictor / spread of the predictor, (coefficient,)
    center : means of the predictors, 0 for the intercept, (coefficient,)
    conjugate : the distribution under which coefficients that rows share integrate out of the family's likelihood
    expands : whether rows have a compiled likelihood of one linear predictor
    predictor : place of the linear predictor that each coefficient belongs to, (coefficient,); None for a single one
    plain_names : names within their linear predictors, (coefficient,); None where these are `names`
    prefix : start of the names of all variables that govern these coefficients
    """

    names: tuple[str, ...]
    location: np.ndarray
    unit: np.ndarray
    center: np.ndarray
    conjugate: Conjugate | None = None
    expands: bool = False
    predictor: np.ndarray | None = None
    plain_names: tuple[str, ...] | None = None
    prefix: str = ""

    def first(self, count: int) -> "Coefficients":
        """Return the first coefficients by themselves; their positions stay the same."""
        predictor = None if self.predictor is None else self.predictor[:count]
        return replace(self, names=self.names[:count], location=self.location[:count], unit=self.unit[:count],
                       center=self.center[:count], predictor=predictor, plain_names=self.within[:count])

    @property
    def within(self) -> tuple[str, ...]:
        """Names of the coefficients within their linear predictors, (coefficient,)."""
        return self.names if self.plain_names is None else self.plain_names

    @property
    def intercept(self) -> np.ndarray:
        """Which coefficients are the intercepts of their linear predictors, (coefficient,)."""
        return np.array([name == "Intercept" for name in self.within], bool)

    @property
    def place(self) -> np.ndarray:
        """Place of the linear predictor that each coefficient belongs to, (coefficient,)."""
        return np.zeros(len(self.names), int) if self.predictor is None else self.predictor

    def select(self, on: Any, owner: str) -> np.ndarray:
        """Return the positions of the coefficients that vary; a name within linear predictors is that in all of them.
        """
        if on is None:
            return np.arange(len(self.names))
        if not on:
            raise SpecificationError(f"{owner}: on={on!r} names no coefficient to vary. {did_you_mean('', self.names)}")
        for name in on:
            if name not in self.names and name not in self.within:
                raise SpecificationError(f"{owner}: no coefficient {name!r}. {did_you_mean(name, self.names)}")
        both = zip(self.names, self.within, strict=True)
        return np.array([k for k, names in enumerate(both) if set(names) & set(on)])

    def centred(self, positions: np.ndarray) -> np.ndarray:
        """Say which weights at `positions` refer to the intercept at the predictors' means: those whose linear
        predictor has its intercept among them."""
        place = self.place[positions]
        return np.isin(place, place[self.intercept[positions]])

    def to_data_units(self, positions: np.ndarray) -> np.ndarray:
        """Return A with theta = W A, which undoes the centring where the intercept is among `positions`."""
        place = self.place[positions]
        of_intercept = (place[:, None] == place) & self.intercept[positions]
        return np.eye(len(positions)) - of_intercept * self.center[positions, None]

    @property
    def linear_predictors(self) -> int:
        """How many linear predictors a row has."""
        return 1 if self.predictor is None else int(self.predictor.max(initial=0)) + 1

    def of_predictors(self, positions: np.ndarray) -> Iterator[np.ndarray | slice]:
        """Yield, linear predictor by linear predictor, the places among `positions` of its coefficients."""
        if self.predictor is None or self.linear_predictors == 1:
            yield slice(None)
            return
        for place in range(self.linear_predictors):
            yield np.flatnonzero(self.predictor[positions] == place)

    def total(self, products: Any, positions: np.ndarray, xp: Any) -> Any:
        """Return the sums over coefficients of x_k theta_k within each linear predictor, (..., predictor).

        `products` are those of the coefficients at `positions`, (..., coefficient).
        """
        return xp.stack([products[..., of].sum(axis=-1) for of in self.of_predictors(positions)], axis=-1)

    def predictors(self, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return the predictors that weights at `positions` multiply, centred where the intercept is among these."""
        return x[:, positions] - self.center[positions] * self.centred(positions)
