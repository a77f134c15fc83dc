"""What a sharing prior is: a random function of context, theta(c) = mu + sum of terms W' f(c), W Gaussian given phi.

A prior never sees the outcome. It reads its context columns (`terms`) and each term then answers two things: which
weights it declares in the open model, and which features f(c) a row has.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from bayes_personal.errors import SpecificationError, did_you_mean
from bayes_personal.hyperprior import Hyperprior


@final
@dataclass(frozen=True)
class Coefficients:
    """What a prior may know of the coefficients: their names and natural units, never the outcome itself.

    Attributes
    ----------
    names : (coefficient,)
    location : where each is expected, with the intercept taken at the predictors' means, (coefficient,)
    unit : natural unit of each, scale of the linear predictor / spread of the predictor, (coefficient,)
    center : means of the predictors, (coefficient,)
    """

    names: tuple[str, ...]
    location: np.ndarray
    unit: np.ndarray
    center: np.ndarray

    def select(self, on: tuple[str, ...] | None, owner: str) -> np.ndarray:
        """Positions of the coefficients that vary."""
        if on is None:
            return np.arange(len(self.names))
        for name in on:
            if name not in self.names:
                raise SpecificationError(f"{owner}: no coefficient {name!r}. {did_you_mean(name, self.names)}")
        return np.array([k for k, name in enumerate(self.names) if name in on])

    def to_data_units(self, positions: np.ndarray) -> np.ndarray:
        """A with theta = W A: undoes the centring of the intercept, where the intercept is among `positions`."""
        names = [self.names[k] for k in positions]
        change = np.eye(len(names))
        if "Intercept" in names:
            change[:, names.index("Intercept")] -= self.center[positions]
        return change


class Term(ABC):
    """One bound part of a prior: its features at any rows, its weights in the open model."""

    positions: np.ndarray

    @property
    @abstractmethod
    def name(self) -> str:
        """What its variables are called after."""

    @abstractmethod
    def declare(self, coefficients: Coefficients) -> Any:
        """Declare hyperparameters and weights in the open model; the weights in data units, (feature, varying)."""

    @abstractmethod
    def spread(self, weights: Any, frame: pd.DataFrame) -> Any:
        """W' f(c) at the rows of `frame`, (unit, varying)."""


class Prior(ABC):
    """p(theta_1..theta_N | c, phi). Priors add: ``PartialPooling("site") + Conditional("arm", on=["dose"])``."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The context columns that it reads."""

    @abstractmethod
    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        """Learn what must be remembered from the training rows: levels, scalings."""

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """The prior in words, a line a statement."""

    def __add__(self, other: "Prior") -> "Sum":
        return Sum((*parts(self), *parts(other)))


def parts(prior: Prior) -> tuple[Prior, ...]:
    """The summands of a prior."""
    return prior.summands if isinstance(prior, Sum) else (prior,)


@final
@dataclass(frozen=True)
class Sum(Prior):
    """theta_i = mu + the deviations of every summand."""

    summands: tuple[Prior, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for prior in self.summands for name in prior.columns))

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        bound = tuple(term for prior in self.summands for term in prior.terms(frame, coefficients))
        names = [term.name for term in bound]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise SpecificationError(f"Two summands vary with {twice[0]!r}: state that context once.")
        return bound

    def story(self) -> tuple[str, ...]:
        return tuple(line for prior in self.summands for line in prior.story())


def population_mean(mean: Hyperprior, coefficients: Coefficients, positions: np.ndarray) -> Any:
    """mu of the coefficients at `positions`, in data units; its hyperprior holds at the predictors' means."""
    names = [coefficients.names[k] for k in positions]
    pm.modelcontext(None).add_coord("shared", names)
    location, unit = coefficients.location[positions], coefficients.unit[positions]
    change = coefficients.to_data_units(positions)
    if np.array_equal(change, np.eye(len(names))):
        return mean.declare("mu", location, unit, dims="shared")
    centered = mean.declare("mu_centered", location, unit, dims="shared")
    return pm.Deterministic("mu", pt.dot(centered, change), dims="shared")
