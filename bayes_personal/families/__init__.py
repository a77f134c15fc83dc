"""p(y_i | x_i, theta_i): one file for each likelihood.

Enters: classes that a user names as a family.
"""

from bayes_personal.families.bernoulli import Bernoulli
from bayes_personal.families.beta import Beta
from bayes_personal.families.beta_binomial import BetaBinomial
from bayes_personal.families.binomial import Binomial
from bayes_personal.families.categorical import Categorical
from bayes_personal.families.cumulative import Cumulative
from bayes_personal.families.gamma import Gamma
from bayes_personal.families.log_normal import LogNormal
from bayes_personal.families.negative_binomial import NegativeBinomial
from bayes_personal.families.normal import Normal
from bayes_personal.families.parts.base import Family
from bayes_personal.families.poisson import Poisson
from bayes_personal.families.student_t import StudentT
from bayes_personal.families.weibull import Weibull
from bayes_personal.families.zero_inflated_poisson import ZeroInflatedPoisson

__all__ = [
    "Bernoulli", "Beta", "BetaBinomial", "Binomial", "Categorical", "Cumulative", "Family", "Gamma", "LogNormal",
    "NegativeBinomial", "Normal", "Poisson", "StudentT", "Weibull", "ZeroInflatedPoisson",
]
