"""Binomial: successes out of a known number of trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.links import LINKS, Link, Name
from bayes_personal.families.parts.trials import Trials
from bayes_personal.hyperpriors.conjugate import BetaConjugate
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes
from bayes_personal.system.arguments import one_of


@final
@dataclass(frozen=True, repr=False)
class Binomial(Trials):
    """Successes out of a known number of trials.

    Generative story: ``y_i ~ Binomial(n_i, p_i)``, ``logit(p_i) = x_i' theta_i``, or another link in the logit's
    place. A coefficient is a log odds ratio for one unit of its predictor; of another link, what `Bernoulli` says. With
    one trial a row this is the Bernoulli family.

    Right for trials of a row that are independent with one probability. Fails where they are not, as with the pupils
    of one class: the successes then vary more than the model knows, and intervals come out too narrow; use
    `BetaBinomial`.

    Parameters
    ----------
    trials
        Column with the number of trials of each row: whole numbers from 1 on.
    link
        "logit", "probit" or "cloglog", as `Bernoulli` explains them.

    Raises
    ------
    SpecificationError
        Trials that do not name a column; a link that is none of these.
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
    McCullagh and Nelder (1989), Generalized Linear Models, chapter 4, doi:10.1007/978-1-4899-3242-6.
    """

    link: Name = "logit"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("Binomial", LINKS, link=self.link)

    @property
    def _link(self) -> Link | None:
        return LINKS[self.link]

    @property
    def heavier(self) -> str:
        return "BetaBinomial"

    @property
    def conjugate(self) -> BetaConjugate | None:
        # Its coefficients are log odds.
        return BetaConjugate() if self._link is None else None

    @property
    def compiled(self) -> codes.Code:
        return codes.Binomial() if self._link is None else self._link.code

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return (0.0, 1.0) if self._link is None else (self._link.location, self._link.unit)

    @property
    def natural(self) -> tuple[str, str]:
        return ("0", "1") if self._link is None else self._link.natural

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        if self._link is None:
            return Likelihood(DISTRIBUTIONS["Binomial"], {"n": constants, "logit_p": eta[..., 0]})
        return Likelihood(self._link.binomial(), {"n": constants, "logit_p": self._link.log_odds(eta[..., 0], xp)})

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Binomial({self.trials}_i, p_i), {self.link}(p_i) = x_i' theta_i",)
