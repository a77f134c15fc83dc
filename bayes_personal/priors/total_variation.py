"""TotalVariation: coefficients walk along an ordered context, in steps most of which are small."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.context import Context
from bayes_personal.data import spelled
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.parameter import Parameter
from bayes_personal.priors.base import Coefficients, Features, Prior, Term, as_names, restricted, variable
from bayes_personal.rows import pieces

LOCAL = {"laplace": Hyperprior("Exponential", scale=1.0), "horseshoe": Hyperprior("HalfCauchy", beta=1.0)}
# Distinct contexts: each has a local scale for every coefficient, and an evaluation costs the cube of their number.
MOST = 500


@final
@dataclass(frozen=True, repr=False)
class TotalVariation(Prior):
    """TODO."""

    order: str
    increments: Literal["laplace", "horseshoe"] = "laplace"
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE

    def __post_init__(self) -> None:
        owner = f"TotalVariation({self.order!r})"
        object.__setattr__(self, "on", as_names(self.on))
        must_be_positive(owner, scale=self.scale)
        if self.increments not in LOCAL:
            raise SpecificationError(f"{owner}: increments={self.increments!r} must be 'laplace' or 'horseshoe'.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.order,)

    @property
    def name(self) -> str:
        """What its variables are called after."""
        return variable(f"steps_{self.order}")

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = f"TotalVariation({self.order!r})"
        context = Context.learn(frame, self.order, owner)
        if context.levels:
            raise SpecificationError(f"{owner}: context {self.order!r} is categorical, and steps need an order. Give "
                                     f"numbers or dates, or use PartialPooling({self.order!r}).")
        read: dict[float, Any] = {}
        for piece in pieces(frame, [self.order]):
            values, first = np.unique(context.at(piece)[:, 0], return_index=True)
            read = dict(zip(values, piece[self.order].iloc[first], strict=True)) | read
            if len(read) > MOST:
                raise InputError(f"{owner}: {self.order!r} has more than {MOST} distinct values, and every coefficient "
                                 "would have a scale of its own at each. Round it to fewer, or use "
                                 f"GaussianProcess({self.order!r}), whose cost does not grow with them.")
        places = np.array(sorted(read))
        share = sum(steps(places, context.at(piece)[:, 0]).sum(axis=0)
                    for piece in pieces(frame, [self.order])) / len(frame)
        labels = spelled(read[place] for place in places[1:])
        return (StepsTerm(self, context, places, share, labels, coefficients.select(self.on, owner), coefficients),)

    @property
    def deviation(self) -> str:
        return restricted(f"steps({self.order})", self.on)

    def story(self) -> tuple[str, ...]:
        return ()


def steps(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which of the places but the first have been reached at values of the context, (value, place - 1)."""
    return (values[:, None] >= places[1:]).astype(float)


@final
@dataclass(frozen=True, eq=False)
class StepsTerm(Term):
    """The increments at all distinct training contexts but the first.

    Attributes
    ----------
    places : the distinct contexts in order, standardised, (place,)
    share : of the training rows that have reached each but the first, (place - 1,)
    labels : what those but the first are called
    """

    prior: TotalVariation
    context: Context
    places: np.ndarray
    share: np.ndarray
    labels: tuple[str, ...]
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def name(self) -> str:
        return self.prior.name

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_place": self.labels}

    def parameters(self) -> tuple[Parameter, ...]:
        one = np.ones((len(self.labels), len(self.positions)))
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                LOCAL[self.prior.increments].bind(f"{self.name}_local", 0.0, one, self.features | self.varying))

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        scale, local = values[f"{self.name}_scale"][..., None, :], values[f"{self.name}_local"]
        if self.prior.increments == "laplace":
            # A Normal whose variance is 2 b^2 Exponential(1) is Laplace(0, b): its standard deviation is sqrt(2) b.
            return scale / np.sqrt((self.share * (1 - self.share)).sum()) * xp.sqrt(local), None
        return scale / len(self.labels) * local, None

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(steps(self.places, self.context.at(frame)[:, 0]) - self.share)

    def outside(self, frame: pd.DataFrame) -> Mapping[str, np.ndarray]:
        return {self.context.name: self.context.outside(frame)}
