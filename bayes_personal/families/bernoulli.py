"""Bernoulli: yes or no."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import numbers
from bayes_personal.errors import InputError, InputTypeError, InputWarning, first, warn
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.links import LINKS, Link, Name
from bayes_personal.families.parts.separation import warn_of_separation
from bayes_personal.hyperpriors.conjugate import BetaConjugate
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import codes
from bayes_personal.system.arguments import one_of

ROLE = "outcome of a Bernoulli family"


@final
@dataclass(frozen=True, repr=False)
class Bernoulli(Family):
    """An outcome that is 0 or 1, False or True.

    Generative story: ``y_i ~ Bernoulli(p_i)``, ``logit(p_i) = x_i' theta_i``, or another link in the logit's place. A
    coefficient is a log odds ratio for one unit of its predictor; of another link, what `link` says.

    Right for one trial a row, independent given theta_i. Fails where outcomes are miscoded: a single wrong label
    with a probability near 0 pulls hard.

    Parameters
    ----------
    link
        - "logit", the default: ``p_i = 1 / (1 + exp(-x_i' theta_i))``.
        - "probit": ``p_i = F(x_i' theta_i)``, F the distribution function of a standard Normal. Whether a hidden
          measurement with a Normal error of standard deviation 1 exceeds 0; a coefficient is the difference of that
          measurement for one unit of its predictor, in standard deviations of the error. Right for thresholds, as of
          doses; probabilities like those of the logit, but for tails that fall off faster.
        - "cloglog", the complementary log-log link: ``p_i = 1 - exp(-exp(x_i' theta_i))``. Whether any event of a
          Poisson process has happened; a coefficient is the log of the factor by which the rate of events changes for
          one unit of its predictor, a log hazard ratio where rows are intervals of equal length. Right for infections,
          extinctions and grouped survival times. It is not symmetric: failures and successes cannot change places.

    Raises
    ------
    SpecificationError
        A link that is none of these.
    InputTypeError
        Text, categories or objects as the outcome.
    InputError
        Numbers other than 0 and 1.

    Warns
    -----
    InputWarning
        All outcomes are the same, or the predictors separate them: the posterior is proper, but rests on the prior.

    References
    ----------
    Gelman, Jakulin, Pittau and Su (2008), doi:10.1214/08-AOAS191. Links: McCullagh and Nelder (1989), Generalized
    Linear Models, section 4.3, doi:10.1007/978-1-4899-3242-6.
    """

    link: Name = "logit"

    def __post_init__(self) -> None:
        one_of("Bernoulli", LINKS, link=self.link)

    @property
    def _link(self) -> Link | None:
        return LINKS[self.link]

    @property
    def binary(self) -> bool:
        # Pairs of nodes have an interaction in common only on the scale of log odds.
        return self._link is None

    @property
    def conjugate(self) -> BetaConjugate | None:
        # Its coefficients are log odds.
        return BetaConjugate() if self._link is None else None

    @property
    def compiled(self) -> codes.Code:
        return codes.Bernoulli() if self._link is None else self._link.code

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        role, name = ROLE, values.name
        if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(values):
            labels = list(values.dropna().unique())
            raise InputTypeError(f"{role}: column {name!r} holds {first(labels)}: need False and True, or 0 and 1. Say "
                                 f"which one is a success, for example with frame[{name!r}] == {labels[-1]!r}.")
        y = numbers(values, role)
        wrong = ~np.isin(y, (0.0, 1.0))
        if wrong.any():
            raise InputError(f"{role}: column {name!r} takes the values {first(sorted(values.unique()), 5)}; "
                             f"{wrong.sum()} of {len(y)} rows are neither 0 nor 1 ({first(values.index[wrong])}). "
                             "Recode it as 0 and 1; for successes out of several trials use Binomial(trials=column).")
        return y

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn where all outcomes are the same."""
        if len(outcome) > 1 and np.ptp(outcome) == 0:
            warn(f"{ROLE}: column {name!r} is {outcome[0]:g} in all {len(outcome)} rows. The likelihood has no "
                 "maximum: how near to 0 or 1 the probabilities are rests on the prior.", InputWarning)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return (0.0, 1.0) if self._link is None else (self._link.location, self._link.unit)

    @property
    def natural(self) -> tuple[str, str]:
        return ("0", "1") if self._link is None else self._link.natural

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        if self._link is None:
            return Likelihood(DISTRIBUTIONS["Bernoulli"], {"logit_p": eta[..., 0]})
        return Likelihood(self._link.bernoulli(), {"logit_p": self._link.log_odds(eta[..., 0], xp)})

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn where the predictors separate the outcomes."""
        warn_of_separation(outcome, x, names)

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Bernoulli(p_i), {self.link}(p_i) = x_i' theta_i",)
