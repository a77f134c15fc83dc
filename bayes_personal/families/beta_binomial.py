"""BetaBinomial: successes out of trials of a row that are alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from bayes_personal.families.parts.dispersed import Dispersed
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.shapes import beta_shapes
from bayes_personal.families.parts.trials import Trials
from bayes_personal.families.parts.varying import Varying
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.kernels import codes


@final
@dataclass(frozen=True, repr=False)
class BetaBinomial(Dispersed, Trials):
    """Successes that vary more than independent trials do.

    Generative story: ``y_i ~ Binomial(n_i, q_i)``, ``q_i ~ Beta(p_i a, (1 - p_i) a)``, that is
    ``y_i ~ BetaBinomial(n_i, p_i, a)`` with ``logit(p_i) = x_i' theta_i``, ``a = 1 / dispersion^2``. So two trials of a
    row have the correlation ``rho = dispersion^2 / (1 + dispersion^2)``, the intraclass correlation, and
    ``var(y_i) = n_i p_i (1 - p_i) (1 + (n_i - 1) rho)``; at 0 this is the Binomial family. A coefficient is a log odds
    ratio of p_i for one unit of its predictor.

    Right for trials of a row that share what no predictor says, such as pups of a litter or pupils of a class. Fails
    where trials exclude each other's success and vary less than independent ones; and says nothing of the dispersion
    where rows have one trial.

    Parameters
    ----------
    trials
        Column with the number of trials of each row: whole numbers from 1 on.
    dispersion
        Hyperprior of the dispersion, without unit; by default ``HalfNormal(1)``, whose density is highest at the
        Binomial family, and whose 1 is a correlation of 1/2. A hyperprior on the precision a that looks as flat says
        that the trials are far from independent. Or `Varying`, where the dispersion differs between groups or contexts:
        then it is ``exp(log_dispersion_i)``, expected around 0.5.

    Raises
    ------
    SpecificationError
        A dispersion that can be negative, or trials that do not name a column.
    InputError
        Successes that are negative, fractional or more than the trials; trials that are 0, fractional or missing.
    InputTypeError
        Successes or trials that are not numbers.

    Warns
    -----
    InputWarning
        No success at all or no failure at all, or predictors that separate successes from failures: the posterior is
        proper, but rests on the prior.

    References
    ----------
    Williams (1975), doi:10.2307/2529820. Crowder (1978), doi:10.2307/2346223. A hyperprior that is densest at the
    simpler model: Simpson, Rue, Riebler, Martins and Sørbye (2017), doi:10.1214/16-STS576.
    """

    dispersion: Hyperprior | Varying | None = None
    shared_code, varying_code = codes.BetaBinomial, codes.BetaBinomialVarying

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        shapes = beta_shapes(eta[..., 0], self.alpha(eta, values, xp), xp)
        return Likelihood(DISTRIBUTIONS["BetaBinomial"], {**shapes, "n": constants})

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Binomial({self.trials}_i, q_i), q_i ~ Beta(p_i a, (1 - p_i) a)",
                f"logit(p_i) = x_i' theta_i, a = 1 / {self.in_words}^2", *self.hyperprior)
