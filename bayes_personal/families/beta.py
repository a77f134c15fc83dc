"""Beta: proportions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from scipy.special import logit

from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, first
from bayes_personal.families.parts.dispersed import Dispersed
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.measurements import (
    measured,
    must_have_errors,
    must_have_errors_within,
    must_vary,
    must_vary_within,
)
from bayes_personal.families.parts.shapes import beta_shapes
from bayes_personal.families.parts.varying import Varying
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.kernels import codes

ROLE = "outcome of a Beta family"


@final
@dataclass(frozen=True, repr=False)
class Beta(Dispersed):
    """Proportions strictly between 0 and 1.

    Generative story: ``y_i ~ Beta(m_i a, (1 - m_i) a)`` with ``logit(m_i) = x_i' theta_i``, ``a = 1 / dispersion^2``.
    So m_i is the mean, a the precision, and ``var(y_i) = m_i (1 - m_i) dispersion^2 / (1 + dispersion^2)``. A
    coefficient is the change of the log odds of the mean for one unit of its predictor.

    Right for shares, rates and scores on a bounded scale, whose spread shrinks towards both ends. Fails where 0 or 1
    itself occurs, and where proportions are successes out of few trials: those are a `Binomial` or a `BetaBinomial`.

    Parameters
    ----------
    dispersion
        Hyperprior of the dispersion, without unit; by default ``HalfNormal(1)``. It is the standard deviation of
        outcomes around a mean of 1/2, doubled, where it is small, and so stated as the sigma of a Normal family; a
        hyperprior on the precision a would have to know how near outcomes come to their means. The uniform distribution
        has the dispersion ``sqrt(1/2)``. Or `Varying`, where the dispersion differs between groups or contexts: then it
        is ``exp(log_dispersion_i)``, expected around 0.5.

    Raises
    ------
    SpecificationError
        A dispersion that can be negative.
    InputError
        An outcome that is 0 or 1, or beyond; one that does not vary, or that predictors explain exactly.
    InputTypeError
        An outcome that is not numbers.

    References
    ----------
    Ferrari and Cribari-Neto (2004), doi:10.1080/0266476042000214501. A dispersion that varies: Smithson and Verkuilen
    (2006), doi:10.1037/1082-989X.11.1.54.
    """

    dispersion: Hyperprior | Varying | None = None
    shared_code, varying_code = codes.Beta, codes.BetaVarying

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        y = measured(values, ROLE)
        beyond, edge = (y < 0) | (y > 1), (y == 0) | (y == 1)
        if beyond.any():
            raise InputError(f"{ROLE}: column {values.name!r} lies outside of 0 and 1 in {beyond.sum()} of {len(y)} "
                             f"rows ({first(values.index[beyond])}), the first {y[beyond][0]:g}. Divide percentages by "
                             "100, and scores by the width of their scale.")
        if edge.any():
            raise InputError(f"{ROLE}: column {values.name!r} is 0 or 1 in {edge.sum()} of {len(y)} rows "
                             f"({first(values.index[edge])}), where a Beta has no density. Of successes out of trials "
                             "use BetaBinomial(trials=column); of a rounded one take the middle of what rounds to it; "
                             "where 0 or 1 is another kind of outcome, fit whether it occurs with a "
                             "Bernoulli family, and the other rows with this one.")
        return y

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Refuse an outcome that does not vary."""
        must_vary(Moments.of(outcome), f"{ROLE}: column {name!r}")

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Refuse predictors that leave no errors, whose size is to be learned."""
        must_have_errors(logit(outcome), x, names)

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that leave no errors within groups."""
        must_have_errors_within(logit(outcome), x, groups, groups_in_words)
        if isinstance(self.dispersion, Varying) and self.dispersion.prior is None:
            must_vary_within(logit(outcome), x, groups, groups_in_words)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return float(logit(outcome.mean())), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "logit(mean(y))", "1"

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        return Likelihood(DISTRIBUTIONS["Beta"], beta_shapes(eta[..., 0], self.alpha(eta, values, xp), xp))

    def story(self) -> tuple[str, ...]:
        return (f"y_i ~ Beta(m_i a, (1 - m_i) a), logit(m_i) = x_i' theta_i, a = 1 / {self.in_words}^2",
                *self.hyperprior)
