"""ZeroInflatedPoisson: counts with more zeros than independent events leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.rates import Rates
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_a_share
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class ZeroInflatedPoisson(Rates):
    """Counts of independent events where some rows can have none.

    Generative story: with probability ``zeros`` nothing can happen in a row, and ``y_i = 0``; otherwise
    ``y_i ~ Poisson(exposure_i exp(x_i' theta_i))``. So ``P(y_i = 0) = zeros + (1 - zeros) exp(-m_i)``, and the mean is
    ``(1 - zeros) m_i``; at 0 this is the Poisson family. A coefficient is the log of the factor by which the rate
    changes, of rows where something can happen, for one unit of its predictor.

    Right where there are two kinds of zeros, such as sites where a species cannot live and sites where none was seen.
    Fails where counts other than 0 vary more than Poisson counts, which this family takes for zeros; compare it with
    `NegativeBinomial`. It has one share of zeros for all rows.

    Parameters
    ----------
    exposure
        Column with the exposure of each row, such as person-years, area or hours, in any positive unit; rates are per
        that unit. By default 1 for every row.
    zeros
        Hyperprior of the probability that nothing can happen; by default ``Beta(1, 3)``, of mean 1/4, whose density is
        highest at the Poisson family.

    Raises
    ------
    SpecificationError
        A hyperprior of the zeros that is no Beta, or an exposure that does not name a column.
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
    Lambert (1992), doi:10.2307/1269547.
    """

    zeros: Hyperprior | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be_a_share("ZeroInflatedPoisson", zeros=self._zeros)

    @property
    def _zeros(self) -> Hyperprior:
        return Hyperprior("Beta", alpha=1.0, beta=3.0) if self.zeros is None else self.zeros

    @property
    def compiled(self) -> codes.Code:
        return codes.ZeroInflatedPoisson()

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return (values["zeros"],)

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return (self._zeros.bind("zeros"),)

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        mean = constants * xp.exp(eta[..., 0])
        return Likelihood(DISTRIBUTIONS["ZeroInflatedPoisson"], {"psi": 1.0 - values["zeros"], "mu": mean})

    def story(self) -> tuple[str, ...]:
        return (f"y_i = 0 with probability zeros, and otherwise y_i ~ Poisson({self.rate})",
                f"zeros ~ {self._zeros.words()}")
