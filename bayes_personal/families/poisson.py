"""Poisson: counts of independent events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.rates import Rates
from bayes_personal.hyperpriors.conjugate import GammaConjugate
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class Poisson(Rates):
    """Counts of independent events.

    Generative story: ``y_i ~ Poisson(exposure_i exp(x_i' theta_i))``. A coefficient is the log of the factor by which
    the rate changes for one unit of its predictor.

    Right for events that come independently of one another, rare against what could occur. Fails where counts vary
    more than their mean, as most do: intervals then come out too narrow; use NegativeBinomial.

    Parameters
    ----------
    exposure
        Column with the exposure of each row, such as person-years, area or hours, in any positive unit; rates are per
        that unit. By default 1 for every row.

    Raises
    ------
    SpecificationError
        An exposure that does not name a column.
    InputError
        Counts that are negative, fractional or beyond 2**53; an exposure that is not positive, or missing.
    InputTypeError
        Counts or exposures that are not numbers.

    Warns
    -----
    InputWarning
        All counts are 0: the posterior is proper, but rests on the prior.

    References
    ----------
    McCullagh and Nelder (1989), Generalized Linear Models, chapter 6, doi:10.1007/978-1-4899-3242-6.
    """

    @property
    def heavier(self) -> str:
        return "NegativeBinomial"

    @property
    def conjugate(self) -> GammaConjugate:
        return GammaConjugate()

    @property
    def compiled(self) -> codes.Code:
        return codes.Poisson()

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        return Likelihood(DISTRIBUTIONS["Poisson"], {"mu": constants * xp.exp(eta[..., 0])})

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Poisson({self.rate})",)
