"""Normal: measurements with an unknown or a known error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import column, numbers
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, SpecificationError, first
from bayes_personal.families.parts.censored import Censored
from bayes_personal.families.parts.censored_laws import CENSORED
from bayes_personal.families.parts.censoring import middles
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.measurements import (
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
class Normal(Censored):
    """Measurements with Normal errors.

    Generative story: ``y_i ~ Normal(x_i' theta_i, sigma)``; with `sd`, ``y_i ~ Normal(x_i' theta_i, sd_i)``.

    Right for symmetric errors of one size, of known sizes as in a meta-analysis, or of sizes that vary in a way that is
    stated. Fails with outliers. Outcomes that were not seen exactly, such as concentrations below what can be measured,
    are stated by `event` or by bounds; weights are then integrated out under pseudo-data, as of other families.

    Parameters
    ----------
    sd
        Column of known standard errors, in units of the outcome; by default one unknown sigma.
    sigma
        Hyperprior of sigma, in units of the outcome; by default half-normal with the standard deviation of the
        outcome as its scale. Or `Varying`, where sigma differs between groups, segments or contexts: then
        ``y_i ~ Normal(x_i' theta_i, exp(log_sigma_i))``. With `sd` there is no sigma.

    event
        Column that is 1 where the outcome was seen, and 0 where it is known to be larger than what stands there:
        censoring on the right.
    lower, upper
        Columns of bounds, in the place of `event`: the outcome was seen where they are equal. Where `upper` is
        ``numpy.inf`` it is larger than `lower`, where `lower` is ``-numpy.inf`` it is smaller than `upper`, and
        elsewhere it is between them. The outcome that the formula names must lie within its bounds, and counts for no
        more than they.

    Raises
    ------
    SpecificationError
        A sigma that can be negative, or one beside `sd`; one bound without the other, or bounds beside `event`; known
        errors where outcomes are censored.
    InputError
        An outcome that does not vary; a standard error that is not positive, or below 1e-7 standard deviations of the
        outcome: float64 cannot add up the information of such rows and others. An event other than 0 and 1; bounds that
        are missing or in the wrong order.

    Warns
    -----
    InputWarning
        All outcomes are censored on the same side: the posterior is proper, but rests on the prior.
    """

    sd: str | None = None
    sigma: Hyperprior | Varying | None = None
    event: str | None = None
    lower: str | None = None
    upper: str | None = None

    positive = False

    def __post_init__(self) -> None:
        super().__post_init__()
        column_name("Normal", sd=self.sd)
        self.censoring.must_be_alone(self.sd is not None, f"a known error, sd={self.sd!r},")
        if self.sigma is not None and self.sd is not None:
            raise SpecificationError(f"Normal: sd={self.sd!r} states the errors, so that there is no sigma to give a "
                                     f"hyperprior; got sigma={self.sigma!r}. Drop one of the two.")
        must_be_positive("Normal", sigma=self._sigma)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *(columns_of(self.sigma) if self.sd is None else (self.sd,)))

    @property
    def varies(self) -> bool:
        """Whether sigma differs between rows."""
        return isinstance(self.sigma, Varying)

    @property
    def gaussian(self) -> bool:
        return not self.varies and not self.censoring.stated

    @property
    def normal(self) -> bool:
        return not self.censoring.stated

    @property
    def error_parameter(self) -> str | None:
        return "sigma" if self.sd is None and self.gaussian else None

    @property
    def additive(self) -> bool:
        return not self.censoring.stated

    @property
    def compiled(self) -> codes.Code | None:
        if self.censoring.stated:
            return codes.NormalCensoredVarying() if self.varies else codes.NormalCensored()
        return None if self.gaussian else codes.NormalVarying()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return (values["sigma"],) if self.censoring.stated and not self.varies else ()

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.sigma, "log_sigma", float(np.log(unit)))

    @property
    def heavier(self) -> str:
        return "StudentT" if self.sd is None and not self.censoring.stated else ""

    @property
    def conjugate(self) -> Conjugate | None:
        if self.censoring.stated:
            return None
        if isinstance(self.sigma, Varying):
            return None if self.sigma.prior is not None else NormalGammaConjugate()
        return NormalConjugate()

    @property
    def _sigma(self) -> Hyperprior:
        return shared_scale(self.sigma, NATURAL_SCALE)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Refuse an outcome that does not vary; warn where all are censored on the same side."""
        super().examine_outcome(outcome, constants, name)
        if not self.censoring.stated:
            must_vary(Moments.of(outcome), f"{ROLE}: column {name!r}")

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        if self.sd is None:
            return super().constants(frame)
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
        if self.sd is None and not self.censoring.stated:
            must_have_errors(outcome, x, names)

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that leave no errors within groups."""
        if self.sd is None and not self.censoring.stated:
            must_have_errors_within(outcome, x, groups, groups_in_words)
            if isinstance(self.sigma, Varying) and self.sigma.prior is None:
                must_vary_within(outcome, x, groups, groups_in_words)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        y = middles(outcome, constants) if self.censoring.stated else outcome
        return float(y.mean()), float(y.std()) or 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "mean(y)", "sd(y)"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.sd is not None or self.varies else (self._sigma.bind("sigma", 0.0, unit),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        error = constants if self.sd is not None else xp.exp(eta[..., 1]) if self.varies else values["sigma"]
        if self.censoring.stated:
            return Likelihood(CENSORED["normal"], {"n": constants, "eta": eta[..., 0], "sigma": error})
        return Likelihood(DISTRIBUTIONS["Normal"], {"mu": eta[..., 0], "sigma": error})

    def story(self) -> tuple[str, ...]:
        if self.sd is not None:
            return (f"y_i ~ Normal(x_i' theta_i, {self.sd}_i)",)
        if self.varies:
            return "y_i ~ Normal(x_i' theta_i, exp(log_sigma_i))", *self.censoring.story()
        return ("y_i ~ Normal(x_i' theta_i, sigma)", *self.censoring.story(),
                f"sigma ~ {self._sigma.words(unit='sd(y)')}")
