"""What a family is: p(y_i | eta_i), eta_i = x_i' theta_i. A family never sees the context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.system.arguments import call_of


class Family(ABC):
    """One likelihood. Its columns are known constants of a row: standard errors, trials, exposure."""

    def __repr__(self) -> str:
        return call_of(self)

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of the frame that it reads beside the outcome."""

    @property
    def gaussian(self) -> bool:
        """Whether y_i given eta_i is ``Normal(eta_i, sigma known_i)``, so that Gaussian weights integrate out."""
        return False

    @property
    def additive(self) -> bool:
        """Whether all errors ``(y_i - eta_i) / known_i`` have one distribution, which rows are compared by."""
        return False

    @property
    def conjugate(self) -> Conjugate | None:
        """How coefficients that rows share must be distributed to integrate out; None where nothing does it."""
        return None

    @property
    def heavier(self) -> str:
        """The family with heavier tails that may suit outlying outcomes of this one; empty for none."""
        return ""

    @abstractmethod
    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        """The outcome as numbers, or an error that says why it cannot be one of this family."""

    @abstractmethod
    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        """The known constant of each row, checked; ones where the family has none, (unit,)."""

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn of what outcome and predictors together leave to the prior; most families have nothing to say."""
        return None

    def must_add_up(self, constants: np.ndarray, index: pd.Index, unit: float) -> None:
        """Refuse known constants of rows that cannot be added up with others, where the outcome's natural unit is
        `unit`; most families take all."""
        return None

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, what: str) -> None:
        """Refuse predictors that leave nothing of the outcome within groups; most families have nothing to say."""
        return None

    @abstractmethod
    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        """Where eta is expected and the natural unit of its variation, on the scale of the link."""

    @property
    @abstractmethod
    def natural(self) -> tuple[str, str]:
        """`location_scale` in words."""

    @abstractmethod
    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        """Its own hyperparameters, such as sigma, where 1 natural unit of the outcome is `unit`."""

    @abstractmethod
    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> tuple[str, dict[str, Any]]:
        """Name and arguments of the distribution of the outcome, under PyMC's names.

        Parameters
        ----------
        eta
            Linear predictor, any shape.
        values
            Of the family's hyperparameters by name, broadcasting against `eta`.
        known
            Known constants, broadcasting against `eta`.
        xp
            `numpy` or `pytensor.tensor`.
        """

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """The family in words, a line a statement."""


def log_density(family: Family, outcome: Any, eta: Any, values: Mapping[str, Any], constants: Any) -> np.ndarray:
    """log p(y | eta) without compiling anything."""
    name, arguments = family.likelihood(eta, values, constants, np)
    return DISTRIBUTIONS[name].log_density(outcome, **arguments)


def curvature(family: Family, outcome: Any, eta: Any, values: Mapping[str, Any], constants: Any,
              unit: float) -> np.ndarray:
    """What an outcome says of its eta: minus the second derivative of log p(y | eta), where eta varies by `unit`."""
    step = 1e-3 * unit
    below, at, above = (log_density(family, outcome, eta + shift, values, constants) for shift in (-step, 0.0, step))
    return -(below - 2 * at + above) / step**2


def mean(family: Family, eta: Any, values: Mapping[str, Any], constants: Any) -> np.ndarray:
    """E[y | eta], in units of the outcome."""
    name, arguments = family.likelihood(eta, values, constants, np)
    expectation = DISTRIBUTIONS[name].mean
    assert expectation is not None
    return expectation(**arguments)


def draw(family: Family, eta: np.ndarray, values: Mapping[str, Any], constants: Any,
         rng: np.random.Generator) -> np.ndarray:
    """One outcome for every entry of eta."""
    name, arguments = family.likelihood(eta, values, constants, np)
    return np.asarray(DISTRIBUTIONS[name].draw(rng, np.shape(eta), **arguments), float)
