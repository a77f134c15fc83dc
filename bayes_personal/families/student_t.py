"""StudentT: measurements with outliers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bayes_personal.data.moments import Moments
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.measurements import (
    measured,
    must_have_errors,
    must_have_errors_within,
    must_vary,
    must_vary_within,
)
from bayes_personal.families.parts.varying import LogScale, Varying, columns_of, log_scales_of, shared_scale
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes

ROLE = "outcome of a StudentT family"


@final
@dataclass(frozen=True, repr=False)
class StudentT(Family):
    """Measurements with heavy-tailed errors, so that outliers have little weight.

    Generative story: ``y_i ~ StudentT(nu, x_i' theta_i, sigma)``: centre ``x_i' theta_i``, scale sigma, nu degrees of
    freedom. The standard deviation of an error is ``sigma sqrt(nu / (nu - 2))``, where nu > 2. Where nu <= 1 the
    distribution has no mean, and its centre, the median, takes its place.

    Right for symmetric errors with outliers; with nu large it is the Normal family. Fails with skewed errors, and
    with outliers in the predictors.

    Parameters
    ----------
    sigma
        Hyperprior of sigma, in units of the outcome; by default half-normal, with the scaled median absolute
        deviation of the outcome, ``mad_sd(y) = 1.4826 median|y - median(y)|``, as its scale, or the standard deviation
        where more than half of the outcomes are equal. Outliers do not move it. Or `Varying`, where sigma differs
        between groups or contexts: then ``y_i ~ StudentT(nu, x_i' theta_i, exp(log_sigma_i))``.
    nu
        Hyperprior of nu, without unit; by default ``Gamma(2, 0.1)``, of mean 20.

    Raises
    ------
    SpecificationError
        A sigma or nu that can be negative.
    InputError
        An outcome that does not vary.

    References
    ----------
    Lange, Little and Taylor (1989), doi:10.1080/01621459.1989.10478852. The default of nu: Juárez and Steel (2010),
    doi:10.1198/jbes.2009.07145.
    """

    sigma: Hyperprior | Varying | None = None
    nu: Hyperprior | None = None

    def __post_init__(self) -> None:
        must_be_positive("StudentT", sigma=self._sigma, nu=self._nu)

    @property
    def varies(self) -> bool:
        """Whether sigma differs between rows."""
        return isinstance(self.sigma, Varying)

    @property
    def columns(self) -> tuple[str, ...]:
        return columns_of(self.sigma)

    @property
    def additive(self) -> bool:
        return True

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.sigma, "log_sigma", float(np.log(unit)))

    @property
    def _sigma(self) -> Hyperprior:
        return shared_scale(self.sigma, NATURAL_SCALE)

    @property
    def _nu(self) -> Hyperprior:
        return self.nu or Hyperprior("Gamma", alpha=2.0, beta=0.1)

    @property
    def compiled(self) -> codes.Code:
        return codes.StudentTVarying() if self.varies else codes.StudentT()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return (values["nu"],) if self.varies else (values["nu"], values["sigma"])

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return measured(values, ROLE)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Refuse an outcome that does not vary."""
        must_vary(Moments.of(outcome), f"{ROLE}: column {name!r}")

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Refuse predictors that leave no errors, whose size is to be learned."""
        must_have_errors(outcome, x, names)

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that leave no errors within groups."""
        must_have_errors_within(outcome, x, groups, groups_in_words)
        if isinstance(self.sigma, Varying) and self.sigma.prior is None:
            must_vary_within(outcome, x, groups, groups_in_words)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        location = np.median(outcome)
        scale = np.median(np.abs(outcome - location)) / ndtri(0.75)
        return float(location), float(scale) or float(outcome.std()) or 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "median(y)", "mad_sd(y)"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return (*(() if self.varies else (self._sigma.bind("sigma", 0.0, unit),)), self._nu.bind("nu"))

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        sigma = xp.exp(eta[..., 1]) if self.varies else values["sigma"]
        return Likelihood(DISTRIBUTIONS["StudentT"], {"nu": values["nu"], "mu": eta[..., 0], "sigma": sigma})

    def story(self) -> tuple[str, ...]:
        sigma = () if self.varies else (f"sigma ~ {self._sigma.words(unit='mad_sd(y)')}",)
        scale = "exp(log_sigma_i)" if self.varies else "sigma"
        return (f"y_i ~ StudentT(nu, x_i' theta_i, {scale})", *sigma, f"nu ~ {self._nu.words()}")
