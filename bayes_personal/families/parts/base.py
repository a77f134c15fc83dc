"""What a family is: p(y_i | eta_i), eta_i = x_i' theta_i. A family never sees the context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.hyperpriors.conjugate import Conjugate
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
    def error_parameter(self) -> str | None:
        """Name of the hyperparameter that is sigma of a Gaussian family; None where the constants are the errors."""
        return None

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
    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        """The distribution of the outcome given its linear predictor.

        Parameters
        ----------
        eta
            Linear predictor, any shape.
        values
            Of the family's hyperparameters by name, broadcasting against `eta`.
        constants
            Known constants, broadcasting against `eta`.
        xp
            `numpy` or `pytensor.tensor`.
        """

    @final
    def derivatives(self, outcome: Any, eta: Any, values: Mapping[str, Any], constants: Any,
                    unit: float) -> tuple[Any, Any]:
        """First and second derivative of log p(y | eta) by eta: by differences small against `unit`, the natural unit
        of eta, where the distribution does not say them."""
        likelihood = self.likelihood(eta, values, constants, np)
        if likelihood.law.derivatives is not None:
            return likelihood.score(outcome), -likelihood.curvature(outcome)
        step = 1e-3 * unit
        below, above = (self.likelihood(eta + shift, values, constants, np).log_density(outcome)
                        for shift in (-step, step))
        return (above - below) / (2 * step), (below - 2 * likelihood.log_density(outcome) + above) / step**2

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """The family in words, a line a statement."""
