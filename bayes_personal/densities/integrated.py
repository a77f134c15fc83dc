"""Which density a model has once all but its hyperparameters is integrated out."""

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.densities.field.field_density import FieldDensity, integrates
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.sufficient import collapses
from bayes_personal.densities.marginal import MarginalDensity


def marginal_density(bound: BoundModel) -> MarginalDensity | None:
    """The density of the hyperparameters alone, the same object whenever it is asked for; None where all else does not
    integrate out."""
    return bound.once(integrated)


def integrated(bound: BoundModel) -> MarginalDensity | None:
    """A new such density."""
    if bound.division is not None:
        return DivisionDensity(bound)
    if integrates(bound):
        return FieldDensity(bound)
    return GaussianDensity(bound) if collapses(bound) else None
