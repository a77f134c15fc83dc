"""A penalised natural cubic spline as independent features, without straight lines, each direction scaled."""

from dataclasses import dataclass
from typing import final

import numpy as np

from bayes_personal.data.rows import BATCH


@final
@dataclass(frozen=True, eq=False)
class Spline:
    """The wiggle of a natural cubic spline over one standardised context.

    With independent ``Normal(0, smooth)`` weights on its features, the prior is the one whose log density is minus
    half the integrated squared second derivative, in units in which the wiggle's variance is ``smooth**2`` on average
    over the training rows.

    Attributes
    ----------
    knots : places of the knots, (knot,)
    directions : values of each feature at the knots, (knot, feature)
    """

    knots: np.ndarray
    directions: np.ndarray

    @classmethod
    def learn(cls, values: np.ndarray, df: int) -> "Spline":
        """Place knots at quantiles of the distinct values; with fewer than three knots there are no features."""
        # Values nearer to each other than this would make knots whose second differences drown in rounding.
        width = (values.max() - values.min()) * 1e-9 or 1.0
        distinct = np.unique(np.round((values - values.min()) / width)) * width + values.min()
        count = min(df, len(distinct))
        if count < 3:
            return cls(distinct, np.zeros((len(distinct), 0)))
        knots = np.quantile(distinct, np.linspace(0, 1, count))
        # Second differences of the values at the knots are a tridiagonal matrix times the second derivatives there, and
        # the quadratic form of this matrix is the integrated square: difference @ values = gram @ derivatives.
        step = np.diff(knots)
        difference, gram = np.zeros((count - 2, count)), np.zeros((count - 2, count - 2))
        for j, (left, right) in enumerate(zip(step[:-1], step[1:], strict=True)):
            difference[j, j : j + 3] = 1 / left, -1 / left - 1 / right, 1 / right
            gram[j, j] = (left + right) / 3
            if j:
                gram[j, j - 1] = gram[j - 1, j] = left / 6
        height = 1 / np.abs(difference).max(axis=1)
        directions = np.linalg.pinv(height[:, None] * difference) @ (height[:, None] * np.linalg.cholesky(gram))
        plain = cls(knots, directions)
        squares = sum(float((plain.at(values[start : start + BATCH]) ** 2).sum())
                      for start in range(0, len(values), BATCH))
        return cls(knots, directions / np.sqrt(squares / len(values)))

    @property
    def size(self) -> int:
        """Number of features."""
        return self.directions.shape[1]

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return the features of any values, (value, feature), which are straight lines beyond the outer knots."""
        from scipy.interpolate import CubicSpline

        if not self.size:
            return np.zeros((len(values), 0))
        curve = CubicSpline(self.knots, self.directions, bc_type="natural")
        inside = np.clip(values, self.knots[0], self.knots[-1])
        return curve(inside) + curve(inside, 1) * (values - inside)[:, None]
