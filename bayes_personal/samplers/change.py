"""What an approximate density of hyperparameters given a population lacks, as a polynomial in both."""

from dataclasses import dataclass
from typing import NamedTuple, Self, final

import numpy as np

from bayes_personal.densities.linearised.remainder import monomials

# Hyperparameters are taken no farther out, in standard deviations of the draws that the polynomial was fitted to.
FARTHEST = 3.0
# What is known of its coefficients beforehand, as so many draws on which it is 0; and the farthest, in nats from the
# middle one, that a draw may lie.
RIDGE, OUTLYING = 1.0, 10.0


class Pairs(NamedTuple):
    """Hyperparameters and populations at which the density is known.

    Attributes
    ----------
    points : (pair, size)
    whitened : populations, (pair, coefficient)
    lacking : log of the density over the approximate one, (pair,)
    """

    points: np.ndarray
    whitened: np.ndarray
    lacking: np.ndarray

    def and_also(self, other: "Pairs") -> "Pairs":
        """Return all pairs of both."""
        return Pairs(*(np.concatenate(both) for both in zip(self, other, strict=True)))


class Standard(NamedTuple):
    """Coordinates in standard deviations around a centre, both (coordinate,)."""

    centre: np.ndarray
    scale: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return values (draw, coordinate) in these coordinates."""
        return (values - self.centre) / self.scale


@final
@dataclass(frozen=True, eq=False)
class Change:
    """A sum of products of a polynomial in mu, which is 0 at its mean, and one in phi, both of degree two.

    A part that does not depend on phi changes no distribution of phi, but what is fitted has one.

    Attributes
    ----------
    population, hyper : coordinates of mu, around its mean, and of phi
    coefficients : (monomial of phi, monomial of mu)
    pairs : what it was fitted to
    """

    population: Standard
    hyper: Standard
    coefficients: np.ndarray
    pairs: Pairs

    @classmethod
    def fitted(cls, pairs: Pairs, population: Standard) -> Self:
        """Fit it by least squares, shrunk where pairs are few."""
        usable = np.isfinite(pairs.lacking)
        points, whitened, lacking = (each[usable] for each in pairs)
        scale = points.std(axis=0)
        hyper = Standard(points.mean(axis=0), np.where(scale > 0, scale, 1.0))
        middle = np.median(lacking)
        of_hyper, of_population = of_points(points, hyper), of_populations(whitened, population)
        design = (of_hyper[:, :, None] * of_population[:, None, :]).reshape(len(points), -1)
        target = design.T @ np.clip(lacking, middle - OUTLYING, middle + OUTLYING)
        coefficients = np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), target)
        return cls(population, hyper, coefficients.reshape(of_hyper.shape[1], -1), pairs)

    def by_products(self, points: np.ndarray) -> np.ndarray:
        """Return what is added at points for each product of coordinates of mu, (draw, product)."""
        return of_points(points, self.hyper) @ self.coefficients


def of_points(points: np.ndarray, hyper: Standard) -> np.ndarray:
    """Return the monomials in phi, (draw, monomial)."""
    return monomials(np.clip(hyper.of(points), -FARTHEST, FARTHEST))


def of_populations(whitened: np.ndarray, population: Standard) -> np.ndarray:
    """Return the monomials in mu but for the constant, (draw, monomial)."""
    return monomials(population.of(whitened))[:, 1:]
