"""The mode of a smooth log density and the curvature there: a change of variable that makes it nearly spherical."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import optimize

Density = Callable[[np.ndarray], tuple[float, np.ndarray]]

# The sampler's scale counts in natural units and logarithms of them: e^12 natural units are far from any data.
BOX = 12.0
# Standard deviations that the curvature may ask for; flatter directions are left for the sampler to find.
NARROW, WIDE = 1e-4, 3.0
# Height of the wall around the density, relative to that of the point where a climb starts.
WALL = 1e3


@final
@dataclass(frozen=True, eq=False)
class Mode:
    """Where a density is highest, and how it falls off.

    Attributes
    ----------
    point : (size,)
    root : R, with R R' the covariance of the normal approximation at the mode, (size, size)
    """

    point: np.ndarray
    root: np.ndarray

    @classmethod
    def find(cls, density: Density, size: int, start: np.ndarray | None = None) -> "Mode":
        """Climb from `start`, or from the middle of the natural units."""
        return cls.at(density, climbed(density, np.zeros(size) if start is None else start))

    @classmethod
    def at(cls, density: Density, point: np.ndarray) -> "Mode":
        """Take a known point as the mode, and the curvature from differences of the gradient."""
        step = 1e-4
        rows = [(density(point + step * axis)[1] - density(point - step * axis)[1]) / (2 * step)
                for axis in np.eye(len(point))]
        curvature = -np.array(rows)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        return cls(point, vectors / np.sqrt(np.clip(values, WIDE**-2, NARROW**-2)))

    def whitened(self, density: Density) -> Density:
        """Return the density as a function of v, where the point is mode + R v, without the constant Jacobian."""
        def whitened_density(v: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = density(self.point + self.root @ v)
            return value, slope @ self.root
        return whitened_density


def climbed(density: Density, start: np.ndarray) -> np.ndarray:
    """Climb from `start` to where the density is locally highest."""
    # Points without a density are a wall, not so high that a step back from it comes to nothing.
    first, slope = density(start)
    wall = WALL * (1 + abs(first)) if np.isfinite(first) else 1e300
    # Within bounds the first step is as long as the slope, which many rows make steep: it would end in a corner.
    unit = max(1.0, float(np.linalg.norm(slope))) if np.isfinite(first) else 1.0

    def descend(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = density(point)
        return (-value / unit, -slope / unit) if np.isfinite(value) else (wall, np.zeros(len(point)))
    return optimize.minimize(descend, start, jac=True, method="L-BFGS-B", bounds=[(-BOX, BOX)] * len(start)).x
