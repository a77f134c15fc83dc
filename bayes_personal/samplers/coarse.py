"""The choice of weights that a cheaper density needs, where proposals are sought and adapted."""

import numpy as np

from bayes_personal.densities.gaussian.arrangement import MANY
from bayes_personal.densities.gaussian.coarse import CoarseDensity, most_needed
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.marginal import HyperparameterDensity, MarginalDensity
from bayes_personal.samplers.mode import Mode

# The first share of the weights that is tried, the factor to the next one, and the largest share, of the size of the
# matrix that is factored, that is worth the trouble.
FIRST, MORE, WORTH = 0.25, 1.5, 0.7
# Standard deviation of the difference of the log densities over the posterior up to which draws of the cheaper one lose
# little: importance sampling keeps a share exp(-sd^2) of them. It is measured at a few points around the mode, not far
# out in standard deviations.
NEAR, POINTS, FAR = 0.5, 24, 2.5


def coarse(density: MarginalDensity, rng: np.random.Generator) -> HyperparameterDensity:
    """Return a cheaper density that is near a density where this has its mass; the same one if there is none."""
    if not isinstance(density, GaussianDensity) or density.arrangement.rank < MANY:
        return density
    count, points = int(FIRST * density.arrangement.size), np.zeros((1, density.size))
    while count <= WORTH * density.arrangement.rank:
        cheaper = CoarseDensity(density, most_needed(density, points, count))
        mode = Mode.find(cheaper.log_density, density.size)
        noise = np.clip(rng.standard_normal((POINTS, density.size)), -FAR, FAR)
        points = mode.point + noise @ mode.root.T
        gap = density.each_value(points) - cheaper.each_value(points)
        if gap.std() <= NEAR:
            return cheaper
        count = int(MORE * count)
    return density
