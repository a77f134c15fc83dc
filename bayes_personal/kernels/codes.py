"""The types by which families name their compiled log likelihoods, apart so that reading them compiles nothing.

Functions that take one are compiled for it alone: the code of other families costs nothing. What each stands for is
said in its file of `outcomes`.
"""

from typing import NamedTuple

# Known constants n of a row that say what was seen of its outcome: y itself, or that it is below y.
SEEN, BELOW = -1.0, -2.0


class Code(NamedTuple):
    """The base of all of them, which hold nothing."""


class Normal(Code):
    pass


class Bernoulli(Code):
    pass


class Binomial(Code):
    pass


class Poisson(Code):
    pass


class NegativeBinomial(Code):
    pass


class StudentT(Code):
    pass


class Gamma(Code):
    pass


class LogNormal(Code):
    pass


class BetaBinomial(Code):
    pass


class Beta(Code):
    pass


class ZeroInflatedPoisson(Code):
    pass


# Bernoulli and Binomial families with other links than the logit.
class Probit(Code):
    pass


class ComplementaryLogLog(Code):
    pass


# Families whose scale or dispersion has a linear predictor of its own.
class NormalVarying(Code):
    pass


class StudentTVarying(Code):
    pass


class NegativeBinomialVarying(Code):
    pass


class GammaVarying(Code):
    pass


class LogNormalVarying(Code):
    pass


# Families some of whose outcomes may not be seen exactly.
class NormalCensored(Code):
    pass


class LogNormalCensored(Code):
    pass


class GammaCensored(Code):
    pass


class Weibull(Code):
    pass


class NormalCensoredVarying(Code):
    pass


class LogNormalCensoredVarying(Code):
    pass


class GammaCensoredVarying(Code):
    pass


class WeibullVarying(Code):
    pass


class BetaBinomialVarying(Code):
    pass


class BetaVarying(Code):
    pass


class CumulativeLogit(Code):
    pass


class CumulativeProbit(Code):
    pass


# Of as many linear predictors as categories but the first.
class Categorical(Code):
    pass
