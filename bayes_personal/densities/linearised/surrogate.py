"""A density under pseudo-data at a cost that does not grow with the rows, whatever the family and the groups."""

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations_with_replacement
from typing import Any, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.marginal import Effort, HyperparameterDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back

# Points at which the correction is computed, for every equation that a polynomial of this degree needs, and their
# spread in standard deviations.
DEGREE, TIMES, SPREAD = 2, 4, 1.5
ONE = np.ones(1)


@final
@dataclass(frozen=True, eq=False)
class SurrogateDensity(HyperparameterDensity):
    """A linearised density whose correction is a polynomial, fitted to its values and slopes at a few points.

    The correction is the difference of two nearly equal functions. It depends on the scales T of the groups' weights
    and on the family's own hyperparameters v alone, and is smooth where these go to 0 or grow without limit: it is a
    polynomial in ``T / sqrt(1 + T^2)`` and ``v / (1 + v)``, in natural units, which are bounded.

    Attributes
    ----------
    density : the density with its own correction
    centre : the coordinates at the mode, (coordinate,)
    coefficients : of the monomials of `powers`, in the coordinates less `centre`, (monomial,)
    """

    density: LinearisedDensity
    centre: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def fitted(cls, density: LinearisedDensity, mode: np.ndarray, root: np.ndarray, rng: np.random.Generator) -> Self:
        """Fit the correction around a mode, (size,), where the covariance of the hyperparameters is root root'."""
        tape = coordinates(density)
        centre = outputs(mode, *tape.arrays)
        monomials = powers(len(centre))
        count = 1 + TIMES * (1 + len(monomials) // (1 + len(centre)))
        points = mode + np.vstack([np.zeros(len(mode)), SPREAD * rng.standard_normal((count, len(mode)))]) @ root.T
        equations, targets = [], []
        for point in points:
            value, gradient = density.correction(point)
            if not np.isfinite(value) or not np.isfinite(gradient).all():
                continue
            terms, slopes = evaluated(monomials, outputs(point, *tape.arrays) - centre)
            by_point = np.array([pulled_back(point, *tape.arrays, slope) for slope in slopes.T])
            equations += [terms, *(root.T @ by_point.T)]
            targets += [value, *(root.T @ gradient)]
        coefficients, *_ = np.linalg.lstsq(np.array(equations), np.array(targets))
        return cls(density, centre, coefficients)

    @property
    def bound(self) -> BoundModel:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The model with its data."""
        return self.density.bound

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.density.parameters

    @property
    def effort(self) -> Effort:
        return self.density.effort

    def _outputs(self, point: Any) -> list[Any]:
        distance = np.array(_coordinates(self.density, point), object) - self.centre
        terms = [coefficient * np.prod([entry for entry, power in zip(distance, monomial, strict=True)
                                        for _ in range(power)])
                 for coefficient, monomial in zip(self.coefficients, powers(len(self.centre)), strict=True)]
        return [sum(terms) + self.density.log_prior_at(point)]

    @cached_property
    def tape(self) -> Tape:
        """The correction and the log prior of the family's own hyperparameters as a function of a point."""
        return Tape.of(self._outputs, self.size)

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.density.gaussian.log_density(self.density.of_pieces(point))
        slope = pulled_back(point, *self.tape.arrays, ONE)
        slope[: len(gradient)] += gradient
        return value + outputs(point, *self.tape.arrays)[0], slope

    def _value(self, point: np.ndarray) -> float:
        return self.density.gaussian.value(self.density.of_pieces(point)) + outputs(point, *self.tape.arrays)[0]

    def each_value(self, points: np.ndarray) -> np.ndarray:
        corrections = [outputs(point, *self.tape.arrays)[0] for point in points]
        return self.density.gaussian.each_value(self.density.of_pieces(points)) + corrections


def _coordinates(density: LinearisedDensity, point: Any) -> list[Any]:
    values, result = density.values(point[None]), []
    if density.groups is not None:
        scaling = density.gaussian.scaling(values, (1,), Symbolic())
        for a in range(scaling.own_root.shape[-1]):
            for k in range(a + 1):
                scale = scaling.own_sd[0, 0, a] * scaling.own_root[0, a, k]
                result.append(scale / np.sqrt(1 + scale * scale))
    for parameter in density.bound.family_parameters:
        result += [entry / (1 + entry) for entry in np.ravel(values[parameter.name] / parameter.unit)]
    return result


def coordinates(density: LinearisedDensity) -> Tape:
    """Return the coordinates of the correction as functions of a point."""
    return Tape.of(partial(_coordinates, density), density.size)


def powers(size: int) -> np.ndarray:
    """Return the powers of all monomials up to `DEGREE`, (monomial, coordinate)."""
    chosen = [places for degree in range(DEGREE + 1) for places in combinations_with_replacement(range(size), degree)]
    return np.array([np.bincount(np.array(places, int), minlength=size) for places in chosen])


def evaluated(monomials: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the monomials at a point, (monomial,), and their slopes, (coordinate, monomial)."""
    raised = distance ** monomials
    terms = raised.prod(axis=1)
    slopes = np.empty((len(distance), len(monomials)))
    for k in range(len(distance)):
        lowered = distance[k] ** np.maximum(monomials[:, k] - 1, 0) * monomials[:, k]
        slopes[k] = lowered * np.delete(raised, k, axis=1).prod(axis=1)
    return terms, slopes
