"""A penalised natural cubic spline as independent features: straight lines taken out, each direction scaled."""

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.interpolate import CubicSpline


@final
@dataclass(frozen=True, eq=False)
class Spline:
    """The wiggle of a natural cubic spline over one standardised context.

    With independent ``Normal(0, smooth)`` weights on its features, the prior is the one whose log density is minus
    half the integrated squared second derivative, in units in which the wiggle's variance is ``smooth**2`` on average
    over the training rows.

    Attributes
    ----------
    knots : (knot,)
    directions : values at the knots of each feature, (knot, feature)
    """

    knots: np.ndarray
    directions: np.ndarray

    @classmethod
    def learn(cls, values: np.ndarray, df: int) -> "Spline":
        """Knots at quantiles of the distinct values; none of them wiggles where there are fewer than three."""
        distinct = np.unique(values)
        count = min(df, len(distinct))
        if count < 3:
            return cls(distinct, np.zeros((len(distinct), 0)))
        knots = np.quantile(distinct, np.linspace(0, 1, count))
        curvature = CubicSpline(knots, np.eye(count), bc_type="natural").derivative(2)(knots)
        width = np.diff(knots)
        # The second derivative is linear between knots, so that its squared integral is exact.
        gram = np.zeros((count, count))
        for i, h in enumerate(width):
            gram[i : i + 2, i : i + 2] += h / 6 * np.array([[2.0, 1.0], [1.0, 2.0]])
        eigenvalues, vectors = np.linalg.eigh(curvature.T @ gram @ curvature)
        directions = vectors[:, 2:] / np.sqrt(eigenvalues[2:])
        at = cls(knots, directions).at(values)
        return cls(knots, directions / np.sqrt((at**2).sum(axis=1).mean()))

    @property
    def size(self) -> int:
        """How many features it has."""
        return self.directions.shape[1]

    def at(self, values: np.ndarray) -> np.ndarray:
        """Features of any values, (value, feature); beyond the outer knots they go on along a straight line."""
        if not self.size:
            return np.zeros((len(values), 0))
        curve = CubicSpline(self.knots, self.directions, bc_type="natural")
        inside = np.clip(values, self.knots[0], self.knots[-1])
        return curve(inside) + curve(inside, 1) * (values - inside)[:, None]
