"""p(theta | c, phi): one file a sharing assumption."""

from bayes_personal.priors.base import Prior, Sum
from bayes_personal.priors.conditional import Conditional
from bayes_personal.priors.gaussian_process import GaussianProcess
from bayes_personal.priors.linear_varying import LinearVarying
from bayes_personal.priors.partial_pooling import PartialPooling
from bayes_personal.priors.population import Population

__all__ = ["Conditional", "GaussianProcess", "LinearVarying", "PartialPooling", "Population", "Prior", "Sum"]
