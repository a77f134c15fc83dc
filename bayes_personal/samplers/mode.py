"""The mode of a smooth log density and the curvature there: a change of variable that makes it nearly spherical."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import optimize

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]

# The sampler's scale counts in natural units and logarithms of them: e^12 natural units are far from any data.
BOX = 12.0
# Standard deviations that the curvature may ask for: flatter directions are left to the sampler to find.
NARROW, WIDE = 1e-4, 3.0
# Height of what is beyond the density, over that of the point where a climb starts.
WALL = 1e3


@final
@dataclass(frozen=True, eq=False)
class Mode:
    """Where a density is highest, and how it falls off.

    Attributes
    ----------
    point : (size,)
    root : R with covariance R R' of the normal approximation there, (size, size)
    """

    point: np.ndarray
    root: np.ndarray

    @classmethod
    def find(cls, density: Density, size: int, start: np.ndarray | None = None) -> "Mode":
        """Climb from `start`, or from the middle of the natural units."""
        return cls.at(density, climbed(density, np.zeros(size) if start is None else start))

    @classmethod
    def at(cls, density: Density, point: np.ndarray) -> "Mode":
        """At a point that is known; curvature by differences of the gradient."""
        step = 1e-4
        rows = [(density(point + step * axis)[1] - density(point - step * axis)[1]) / (2 * step)
                for axis in np.eye(len(point))]
        curvature = -np.array(rows)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        return cls(point, vectors / np.sqrt(np.clip(values, WIDE**-2, NARROW**-2)))

    def whitened(self, density: Density) -> Density:
        """The density as a function of v, the point being mode + R v; its constant Jacobian left out."""
        def moved(v: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = density(self.point + self.root @ v)
            return value, slope @ self.root
        return moved


def climbed(density: Density, start: np.ndarray) -> np.ndarray:
    """The point that a climb from `start` ends at."""
    # Where there is no density stands a wall, not so high that a step back from it comes to nothing.
    first = density(start)[0]
    wall = WALL * (1 + abs(first)) if np.isfinite(first) else 1e300

    def descend(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = density(point)
        return (-value, -slope) if np.isfinite(value) else (wall, np.zeros(len(point)))
    return optimize.minimize(descend, start, jac=True, method="L-BFGS-B", bounds=[(-BOX, BOX)] * len(start)).x
