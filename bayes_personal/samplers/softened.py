"""A change of variable by which NUTS meets no wall where a scale may be near 0."""

from dataclasses import dataclass
from typing import final

import numpy as np

from bayes_personal.kernels.softening import soften
from bayes_personal.samplers.mode import Density


@final
@dataclass(frozen=True, eq=False)
class Softened:
    """The logarithm u of a scale as a function of v: ``u = centre + log(log(1 + exp(v)) / log(2))``.

    Where a scale may be near 0, the density of its logarithm falls off slowly to the left, where the data say nothing
    of it, and to the right like the exponential function of an exponential function: a wall, where a step that is right
    elsewhere diverges. As a function of v the density falls off to the right as that of the scale itself does.

    Attributes
    ----------
    centre : the mode of the density, (size,), where v is 0
    chosen : which entries are changed, (size,); all others are only centred
    """

    centre: np.ndarray
    chosen: np.ndarray

    def points(self, each_v: np.ndarray) -> np.ndarray:
        """Return the points at each v, (draw, size)."""
        result, slopes = np.empty(each_v.shape), np.empty((2, len(self.centre)))
        for v, point in zip(each_v, result, strict=True):
            soften(v, self.centre, self.chosen, point, *slopes)
        return result

    def density(self, density: Density) -> Density:
        """Return the density as a function of v, Jacobian included."""
        def softened_density(v: np.ndarray) -> tuple[float, np.ndarray]:
            point, by_v, by_v_of_log = np.empty((3, len(v)))
            log_jacobian = soften(v, self.centre, self.chosen, point, by_v, by_v_of_log)
            value, slope = density(point)
            return value + log_jacobian, slope * by_v + by_v_of_log
        return softened_density
