"""Gamma: positive outcomes whose spread grows in proportion to their mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.families.parts.censored import Censored
from bayes_personal.families.parts.censored_laws import CENSORED
from bayes_personal.families.parts.censoring import mean_of_times
from bayes_personal.families.parts.dispersed import Dispersed
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.varying import Varying
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class Gamma(Dispersed, Censored):
    """Positive outcomes whose standard deviation is a share of their mean, such as costs, amounts and waiting times.

    Generative story: ``y_i ~ Gamma(alpha, alpha / m_i)`` of shape and rate, with ``m_i = exp(x_i' theta_i)``,
    ``alpha = 1 / dispersion^2``. So ``m_i`` is the mean, ``dispersion`` the coefficient of variation,
    ``sd(y_i) = dispersion m_i``, and a coefficient the logarithm of a ratio of means for one unit of its predictor.
    With a dispersion of 1 outcomes are exponential.

    Right for skewed positive outcomes whose spread grows with their mean. Fails with zeros, and where the right tail is
    heavier than an exponential one: then take `LogNormal`.

    Parameters
    ----------
    dispersion
        Hyperprior of the dispersion, without unit; by default ``HalfNormal(1)``. Or `Varying`, where the dispersion
        differs between groups or contexts: then it is ``exp(log_dispersion_i)``, expected around 0.5.

    event
        Column that is 1 where the outcome was seen, and 0 where it is known to be larger than what stands there:
        censoring on the right.
    lower, upper
        Columns of bounds, in the place of `event`: the outcome was seen where they are equal. Where `upper` is
        ``numpy.inf`` it is larger than `lower`, where `lower` is 0 it is smaller than `upper`, and elsewhere it is
        between them. The outcome that the formula names must lie within its bounds, and counts for no more than they.

    Raises
    ------
    SpecificationError
        A dispersion that can be negative; one bound without the other, or bounds beside `event`.
    InputError
        Outcomes that are not positive; an event other than 0 and 1; bounds that are missing or in the wrong order.
    InputTypeError
        Outcomes, events or bounds that are not numbers.

    Warns
    -----
    InputWarning
        All outcomes are censored on the same side: the posterior is proper, but rests on the prior.

    References
    ----------
    McCullagh and Nelder (1989), Generalized Linear Models, chapter 8, doi:10.1007/978-1-4899-3242-6.
    """

    dispersion: Hyperprior | Varying | None = None
    event: str | None = None
    lower: str | None = None
    upper: str | None = None
    shared_code, varying_code, positive = codes.Gamma, codes.GammaVarying, True

    @property
    def compiled(self) -> codes.Code:
        if self.censoring.stated:
            return codes.GammaCensoredVarying() if self.varies else codes.GammaCensored()
        return super().compiled

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(np.log(mean_of_times(outcome, constants) if self.censoring.stated else outcome.mean())), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "log(sum(y) / outcomes not beyond)" if self.censoring.stated else "log(mean(y))", "1"

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        alpha = self.alpha(eta, values, xp)
        if self.censoring.stated:
            return Likelihood(CENSORED["gamma"], {"n": constants, "eta": eta[..., 0], "alpha": alpha})
        return Likelihood(DISTRIBUTIONS["Gamma"], {"alpha": alpha, "beta": alpha * xp.exp(-eta[..., 0])})

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Gamma(alpha, alpha / exp(x_i' theta_i)), alpha = 1 / {self.in_words}^2",
                *self.censoring.story(), *self.hyperprior)
