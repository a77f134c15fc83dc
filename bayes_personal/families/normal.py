"""Normal: measurements with an unknown or a known error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import column, numbers
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, SpecificationError, first
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.measurements import (
    measured,
    must_add_up,
    must_have_errors,
    must_have_errors_within,
    must_vary,
    must_vary_within,
)
from bayes_personal.families.parts.varying import LogScale, Varying, columns_of, log_scales_of, shared_scale
from bayes_personal.hyperpriors.conjugate import Conjugate, NormalConjugate, NormalGammaConjugate
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes
from bayes_personal.system.arguments import column_name

ROLE = "outcome of a Normal family"


@final
@dataclass(frozen=True, repr=False)
class Normal(Family):
    """Measurements with Normal errors.

    Generative story: ``y_i ~ Normal(x_i' theta_i, sigma)``; with `sd`, ``y_i ~ Normal(x_i' theta_i, sd_i)``.

    Right for symmetric errors of one size, of known sizes as in a meta-analysis, or of sizes that vary in a way that is
    stated. Fails with outliers.

    Parameters
    ----------
    sd
        Column of known standard errors, in units of the outcome; by default one unknown sigma.
    sigma
        Hyperprior of sigma, in units of the outcome; by default half-normal with the standard deviation of the
        outcome as its scale. Or `Varying`, where sigma differs between groups, segments or contexts: then
        ``y_i ~ Normal(x_i' theta_i, exp(log_sigma_i))``. With `sd` there is no sigma.

    Raises
    ------
    SpecificationError
        A sigma that can be negative, or one beside `sd`.
    InputError
        An outcome that does not vary; a standard error that is not positive, or below 1e-7 standard deviations of the
        outcome: float64 cannot add up the information of such rows and others.
    """

    sd: str | None = None
    sigma: Hyperprior | Varying | None = None

    def __post_init__(self) -> None:
        column_name("Normal", sd=self.sd)
        if self.sigma is not None and self.sd is not None:
            raise SpecificationError(f"Normal: sd={self.sd!r} states the errors, so that there is no sigma to give a "
                                     f"hyperprior; got sigma={self.sigma!r}. Drop one of the two.")
        must_be_positive("Normal", sigma=self._sigma)

    @property
    def columns(self) -> tuple[str, ...]:
        return columns_of(self.sigma) if self.sd is None else (self.sd,)

    @property
    def gaussian(self) -> bool:
        return not isinstance(self.sigma, Varying)

    @property
    def normal(self) -> bool:
        return True

    @property
    def error_parameter(self) -> str | None:
        return "sigma" if self.sd is None and self.gaussian else None

    @property
    def additive(self) -> bool:
        return True

    @property
    def compiled(self) -> codes.Code | None:
        return None if self.gaussian else codes.NormalVarying()

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.sigma, "log_sigma", float(np.log(unit)))

    @property
    def heavier(self) -> str:
        return "StudentT" if self.sd is None else ""

    @property
    def conjugate(self) -> Conjugate | None:
        if isinstance(self.sigma, Varying):
            return None if self.sigma.prior is not None else NormalGammaConjugate()
        return NormalConjugate()

    @property
    def _sigma(self) -> Hyperprior:
        return shared_scale(self.sigma, NATURAL_SCALE)

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return measured(values, ROLE)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Refuse an outcome that does not vary."""
        must_vary(Moments.of(outcome), f"{ROLE}: column {name!r}")

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        if self.sd is None:
            return np.ones(len(frame))
        sd = numbers(column(frame, self.sd, "Normal(sd=...)"), "Normal(sd=...)")
        if (sd <= 0).any():
            raise InputError(f"Normal(sd={self.sd!r}): standard errors must be positive; {(sd <= 0).sum()} rows are "
                             f"not ({first(frame.index[sd <= 0])}).")
        return sd

    def must_add_up(self, constants: np.ndarray, index: pd.Index, unit: float) -> None:
        """Refuse standard errors that are too small."""
        if self.sd is not None:
            must_add_up(constants, index, unit, f"Normal(sd={self.sd!r})")

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Refuse predictors that leave no errors, where the size of the errors is to be learned."""
        if self.sd is None:
            must_have_errors(outcome, x, names)

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that leave no errors within groups."""
        if self.sd is None:
            must_have_errors_within(outcome, x, groups, groups_in_words)
        if isinstance(self.sigma, Varying) and self.sigma.prior is None:
            must_vary_within(outcome, x, groups, groups_in_words)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(outcome.mean()), float(outcome.std()) or 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "mean(y)", "sd(y)"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.error_parameter is None else (self._sigma.bind("sigma", 0.0, unit),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        error = constants if self.sd is not None else values["sigma"] if self.gaussian else xp.exp(eta[..., 1])
        return Likelihood(DISTRIBUTIONS["Normal"], {"mu": eta[..., 0], "sigma": error})

    def story(self) -> tuple[str, ...]:
        if self.sd is not None:
            return (f"y_i ~ Normal(x_i' theta_i, {self.sd}_i)",)
        if isinstance(self.sigma, Varying):
            return ("y_i ~ Normal(x_i' theta_i, exp(log_sigma_i))",)
        return ("y_i ~ Normal(x_i' theta_i, sigma)", f"sigma ~ {self._sigma.words(unit='sd(y)')}")
