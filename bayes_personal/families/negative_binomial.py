"""NegativeBinomial: counts that vary more than independent events do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from bayes_personal.families.parts.dispersed import Dispersed
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.rates import Rates
from bayes_personal.families.parts.varying import Varying
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class NegativeBinomial(Dispersed, Rates):
    """Counts that vary more than independent events do.

    Generative story: ``y_i ~ Poisson(g_i m_i)``, ``g_i ~ Gamma(alpha, alpha)``, that is
    ``y_i ~ NegativeBinomial(m_i, alpha)`` with ``m_i = exposure_i exp(x_i' theta_i)``, ``alpha = 1 / dispersion^2``.
    So ``dispersion`` is the coefficient of variation of the rates of rows with equal mean, and
    ``var(y_i) = m_i + (dispersion m_i)^2``; at 0 this is the Poisson family.

    Right for counts with unexplained differences between rows. Fails where there are more zeros than these explain,
    or where the counts vary less than Poisson counts.

    Parameters
    ----------
    exposure
        Column with the exposure of each row, such as person-years, area or hours, in any positive unit; rates are per
        that unit. By default 1 for every row.
    dispersion
        Hyperprior of the dispersion, without unit; by default ``HalfNormal(1)``, whose density is highest at the
        Poisson family. A hyperprior on alpha that looks as flat says that the counts are far from Poisson. Or
        `Varying`, where the dispersion differs between groups or contexts: then it is ``exp(log_dispersion_i)``,
        expected around 0.5.

    Raises
    ------
    SpecificationError
        A dispersion that can be negative, or an exposure that does not name a column.
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
    Lawless (1987), doi:10.2307/3314912. A hyperprior that is densest at the simpler model: Simpson, Rue, Riebler,
    Martins and Sørbye (2017), doi:10.1214/16-STS576.
    """

    dispersion: Hyperprior | Varying | None = None
    shared_code, varying_code = codes.NegativeBinomial, codes.NegativeBinomialVarying

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        mean = constants * xp.exp(eta[..., 0])
        return Likelihood(DISTRIBUTIONS["NegativeBinomial"], {"mu": mean, "alpha": self.alpha(eta, values, xp)})

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ NegativeBinomial({self.rate}, alpha), alpha = 1 / {self.in_words}^2", *self.hyperprior)
