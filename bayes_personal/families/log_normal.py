"""LogNormal: positive outcomes whose logarithm is Normal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.data.moments import Moments
from bayes_personal.families.parts.censored import Censored
from bayes_personal.families.parts.censored_laws import CENSORED
from bayes_personal.families.parts.censoring import middles
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.measurements import (
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


@final
@dataclass(frozen=True, repr=False)
class LogNormal(Censored):
    """Positive outcomes whose logarithm is Normal, such as incomes, concentrations and times.

    Generative story: ``log(y_i) ~ Normal(x_i' theta_i, sigma)``. So ``exp(x_i' theta_i)`` is the median, and a
    coefficient the logarithm of a ratio of medians for one unit of its predictor; the mean is
    ``exp(x_i' theta_i + sigma^2 / 2)``. Densities, in `loo` and `compare` too, are those of y_i itself, so that such a
    model can be compared with one of another family.

    Right for outcomes that many factors multiply, with a right tail heavier than that of `Gamma`; of times, where the
    hazard rises and falls. Fails with zeros, and where small outcomes are rounded: there logarithms exaggerate. Weights
    are integrated out under pseudo-data, as of other families than the Normal one. A Normal family of the logarithm, as
    in ``Model("log(y) ~ x")``, integrates them out exactly, and its densities are those of log(y).

    Parameters
    ----------
    sigma
        Hyperprior of sigma, without unit; by default half-normal with the standard deviation of ``log(y)`` as its
        scale. Or `Varying`, where sigma differs between groups or contexts: then ``sigma_i = exp(log_sigma_i)``.
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
        A sigma that can be negative; one bound without the other, or bounds beside `event`.
    InputError
        Outcomes that are not positive, or do not vary; an event other than 0 and 1; bounds that are missing or in the
        wrong order.
    InputTypeError
        Outcomes, events or bounds that are not numbers.

    Warns
    -----
    InputWarning
        All outcomes are censored on the same side: the posterior is proper, but rests on the prior.

    References
    ----------
    Limpert, Stahel and Abbt (2001), doi:10.1641/0006-3568(2001)051[0341:LNDATS]2.0.CO;2.
    """

    sigma: Hyperprior | Varying | None = None
    event: str | None = None
    lower: str | None = None
    upper: str | None = None
    positive = True

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_positive("LogNormal", sigma=self._sigma)

    @property
    def varies(self) -> bool:
        """Whether sigma differs between rows."""
        return isinstance(self.sigma, Varying)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *columns_of(self.sigma))

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.sigma, "log_sigma", float(np.log(unit)))

    @property
    def _sigma(self) -> Hyperprior:
        return shared_scale(self.sigma, NATURAL_SCALE)

    @property
    def compiled(self) -> codes.Code:
        if self.censoring.stated:
            return codes.LogNormalCensoredVarying() if self.varies else codes.LogNormalCensored()
        return codes.LogNormalVarying() if self.varies else codes.LogNormal()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return () if self.varies else (values["sigma"],)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Refuse an outcome that does not vary; warn where all are censored on the same side."""
        super().examine_outcome(outcome, constants, name)
        if not self.censoring.stated:
            must_vary(Moments.of(np.log(outcome)), f"outcome of a LogNormal family: the logarithm of column {name!r}")

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Refuse predictors that leave no errors, whose size is to be learned."""
        if not self.censoring.stated:
            must_have_errors(np.log(outcome), x, names)

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that leave no errors within groups."""
        if not self.censoring.stated:
            must_have_errors_within(np.log(outcome), x, groups, groups_in_words)
            if isinstance(self.sigma, Varying) and self.sigma.prior is None:
                must_vary_within(np.log(outcome), x, groups, groups_in_words)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        logs = np.log(middles(outcome, constants) if self.censoring.stated else outcome)
        return float(logs.mean()), float(logs.std()) or 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "mean(log(y))", "sd(log(y))"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.varies else (self._sigma.bind("sigma", 0.0, unit),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        sigma = xp.exp(eta[..., 1]) if self.varies else values["sigma"]
        if self.censoring.stated:
            return Likelihood(CENSORED["log_normal"], {"n": constants, "eta": eta[..., 0], "sigma": sigma})
        return Likelihood(DISTRIBUTIONS["LogNormal"], {"mu": eta[..., 0], "sigma": sigma})

    def story(self) -> tuple[str, ...]:
        if self.varies:
            return "log(y_i) ~ Normal(x_i' theta_i, exp(log_sigma_i))", *self.censoring.story()
        return ("log(y_i) ~ Normal(x_i' theta_i, sigma)", *self.censoring.story(),
                f"sigma ~ {self._sigma.words(unit='sd(log(y))')}")
