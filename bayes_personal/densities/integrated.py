"""The choice of a model's density where everything but its hyperparameters is integrated out."""

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.densities.field.field_density import FieldDensity, integrates
from bayes_personal.densities.gaussian.arrangement import collapses
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.densities.walk.walk_density import WalkDensity, walk_alone


def marginal_density(bound: BoundModel) -> MarginalDensity | None:
    """Return the density of the hyperparameters, the same object at every call; None where everything else does not
    integrate out."""
    return bound.once(integrated)


def integrated(bound: BoundModel) -> MarginalDensity | None:
    """Make the density of the hyperparameters, or return None."""
    if bound.division is not None:
        return DivisionDensity(bound) if bound.division.integrates_out else None
    if integrates(bound):
        return FieldDensity(bound)
    if walk_alone(bound) and bound.family.gaussian:
        return WalkDensity(bound)
    return GaussianDensity(bound) if collapses(bound) else None
