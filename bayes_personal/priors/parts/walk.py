"""Walks along an ordered context, whose steps have scales of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features, Steps
from bayes_personal.priors.parts.pieces import Term

LOCAL = {"laplace": Hyperprior("Exponential", scale=1.0), "horseshoe": Hyperprior("HalfCauchy", beta=1.0)}


def reached(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how many places after the first each value of the context has reached, (value,)."""
    return np.searchsorted(places[1:], values, side="right")


@final
@dataclass(frozen=True, eq=False)
class Walk(Term):
    """The increments at all distinct training contexts but the first.

    Attributes
    ----------
    places : the distinct contexts in order, standardised, (place,)
    share : share of the training rows that have reached each place after the first, (place - 1,)
    labels : labels of the places after the first
    """

    prior: Any
    context: Context
    places: np.ndarray
    share: np.ndarray
    labels: tuple[str, ...]
    positions: np.ndarray
    coefficients: Coefficients
    narrow: ClassVar[str] = "steps know only the order of contexts"

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_place": self.labels}

    def parameters(self) -> tuple[Parameter, ...]:
        ones = np.ones((len(self.labels), len(self.positions)))
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                LOCAL[self.prior.increments].bind(f"{self.name}_local", 0.0, ones, self.features | self.varying))

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        scale, local = values[f"{self.name}_scale"][..., None, :], values[f"{self.name}_local"]
        if self.prior.increments == "laplace":
            # A Normal whose variance is 2 b^2 Exponential(1) is Laplace(0, b): its standard deviation is sqrt(2) b.
            return scale / np.sqrt(self.divisor) * xp.sqrt(local), None
        return scale * local / xp.sqrt(self.divisor + local**2), None

    @property
    def divisor(self) -> float:
        """What a local scale is measured against: under Laplace increments the variance of a walk of unit steps over
        the rows, under the horseshoe the square of the number of steps."""
        laplace = self.prior.increments == "laplace"
        return float((self.share * (1 - self.share)).sum()) if laplace else float(len(self.labels) ** 2)

    @property
    def walk(self) -> bool:
        return True

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(Steps(reached(self.places, self.context.at(frame)[:, 0]), self.share))

    @property
    def axes(self) -> tuple[Context, ...]:
        return (self.context,)
