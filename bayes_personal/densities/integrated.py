"""Which density a model has once all but its hyperparameters is integrated out."""

from bayes_personal.binding.bound import Bound
from bayes_personal.densities.divisions.division_density import Summed
from bayes_personal.densities.field.field_density import Markov, integrates
from bayes_personal.densities.gaussian.collapsed import Collapsed
from bayes_personal.densities.gaussian.sufficient import collapses
from bayes_personal.densities.marginal import Marginal


def marginal(bound: Bound) -> Marginal | None:
    """The density of the hyperparameters alone; None where all else does not integrate out."""
    if bound.divided is not None:
        return Summed(bound)
    if integrates(bound):
        return Markov(bound)
    return Collapsed(bound) if collapses(bound) else None
