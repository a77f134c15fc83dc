"""p(theta | c, phi): one file a sharing assumption."""

from bayes_personal.priors.base import Prior, Sum
from bayes_personal.priors.partial_pooling import PartialPooling
from bayes_personal.priors.population import Population

__all__ = ["PartialPooling", "Population", "Prior", "Sum"]
