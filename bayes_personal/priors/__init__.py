"""p(theta | c, phi): each file holds one sharing assumption.

Enters: priors that users name.
"""

from bayes_personal.priors.conditional import Conditional
from bayes_personal.priors.contextualized import Contextualized
from bayes_personal.priors.distance_regularized import DistanceRegularized
from bayes_personal.priors.fine_tuned import FineTuned
from bayes_personal.priors.gaussian_process import GaussianProcess
from bayes_personal.priors.invariant import Invariant
from bayes_personal.priors.linear_varying import LinearVarying
from bayes_personal.priors.meta_learned import MetaLearned
from bayes_personal.priors.mixture import Mixture
from bayes_personal.priors.partial_pooling import PartialPooling
from bayes_personal.priors.partition import Partition
from bayes_personal.priors.parts.base import Prior, Sum
from bayes_personal.priors.population import Population
from bayes_personal.priors.repulsive import Repulsive
from bayes_personal.priors.sparse import Sparse
from bayes_personal.priors.total_variation import TotalVariation
from bayes_personal.priors.transfer import Transfer
from bayes_personal.priors.tree_partition import TreePartition

__all__ = [
    "Conditional", "Contextualized", "DistanceRegularized", "FineTuned", "GaussianProcess", "Invariant",
    "LinearVarying", "MetaLearned", "Mixture", "PartialPooling", "Partition", "Population", "Prior", "Repulsive",
    "Sparse", "Sum", "TotalVariation", "Transfer", "TreePartition",
]
