"""NegativeBinomial: counts that vary more than independent events do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.rates import Rates
from bayes_personal.families.parts.varying import LogScale, Varying, columns_of, log_scales_of, shared_scale
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes

# The logarithm of a dispersion that varies is expected here.
EXPECTED = float(np.log(0.5))


@final
@dataclass(frozen=True, repr=False)
class NegativeBinomial(Rates):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_positive("NegativeBinomial", dispersion=self._dispersion)

    @property
    def varies(self) -> bool:
        """Whether the dispersion differs between rows."""
        return isinstance(self.dispersion, Varying)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *columns_of(self.dispersion))

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        return log_scales_of(self.dispersion, "log_dispersion", EXPECTED)

    @property
    def _dispersion(self) -> Hyperprior:
        return shared_scale(self.dispersion, Hyperprior("HalfNormal", sigma=1.0))

    @property
    def compiled(self) -> codes.Code:
        return codes.NegativeBinomialVarying() if self.varies else codes.NegativeBinomial()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return () if self.varies else (values["dispersion"] ** -2.0,)

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return () if self.varies else (self._dispersion.bind("dispersion"),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        alpha = xp.exp(-2.0 * eta[..., 1]) if self.varies else values["dispersion"] ** -2.0
        return Likelihood(DISTRIBUTIONS["NegativeBinomial"], {"mu": constants * xp.exp(eta[..., 0]), "alpha": alpha})

    def story(self) -> tuple[str, ...]:
        scale = "exp(log_dispersion_i)" if self.varies else "dispersion"
        hyperprior = () if self.varies else (f"dispersion ~ {self._dispersion.words()}",)
        return (f"y_i ~ NegativeBinomial({self.rate}, alpha), alpha = 1 / {scale}^2", *hyperprior)
