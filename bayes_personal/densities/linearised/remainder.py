"""What a finer rule adds to the groups' log integrals, as a polynomial of all other unknowns."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self, final

import numpy as np

# The polynomial is taken no farther out, in standard deviations of the draws that it is fitted to.
FARTHEST = 4.0
# Draws that it is fitted to, for each of its coefficients.
TIMES = 4


@final
@dataclass(frozen=True, eq=False)
class Remainder:
    """A polynomial of degree two in standardised unknowns, which is constant far from where it was fitted.

    Sums over many groups of what a finer rule adds are smooth, and nearly quadratic over a posterior that these groups
    have made narrow.

    Attributes
    ----------
    order : nodes along each weight of a group, of the finer rule
    centre, scale : means and standard deviations of the draws that the polynomial was fitted to, (coordinate,)
    coefficients : (monomial,)
    """

    order: int
    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def fitted(cls, order: int, points: np.ndarray, added: np.ndarray) -> Self:
        """Fit it to what the finer rule adds at points (draw, coordinate), by least squares."""
        centre, scale = points.mean(axis=0), points.std(axis=0)
        design = monomials((points - centre) / np.where(scale > 0, scale, 1.0))
        coefficients, *_ = np.linalg.lstsq(design, added)
        return cls(order, centre, np.where(scale > 0, scale, 1.0), coefficients)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return what the finer rule adds, (draw,)."""
        standardised = np.clip((points - self.centre) / self.scale, -FARTHEST, FARTHEST)
        return monomials(standardised) @ self.coefficients


def draws_for(size: int) -> int:
    """Return how many draws a polynomial in so many coordinates is fitted to."""
    return TIMES * (size + 1) * (size + 2) // 2


def monomials(points: np.ndarray) -> np.ndarray:
    """Return all products of at most two coordinates, (draw, monomial)."""
    pairs = [points[:, i] * points[:, j] for i, j in combinations_with_replacement(range(points.shape[1]), 2)]
    return np.column_stack([np.ones(len(points)), points, *pairs])
