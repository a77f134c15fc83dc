"""log p(y, phi | mu) of groups around a known population, their weights integrated out of the rows' own likelihoods."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.linearised.eliminated import EliminatedGroups
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.linearised.tiles import Tiles, lanes_for
from bayes_personal.kernels import likelihoods
from bayes_personal.priors.parts.pieces import Term


@final
@dataclass(frozen=True, eq=False)
class GivenPopulation:
    """log p(y, phi | mu) of a model with one term, of whose features a row has one at most.

    Rows with the same feature are a group, whose weights integrate out by quadrature; all others say what they do of
    the family's own hyperparameters. The population mu may be another one at every draw.

    Attributes
    ----------
    density : density under pseudo-data, with a known population, which has the rows and the hyperparameters
    """

    density: LinearisedDensity

    @property
    def bound(self) -> BoundModel:
        """The model with its data."""
        return self.density.bound

    @property
    def term(self) -> Term:
        """The term of the groups."""
        (term,) = self.bound.terms
        return term

    @property
    def rows(self) -> RowLikelihoods:
        """The rows' own log likelihoods."""
        return self.density.rows

    @cached_property
    def group(self) -> np.ndarray:
        """The group of each row, -1 for rows of none, (unit,)."""
        matrix: Any = self.bound.features[0].matrix
        if self.term.grouped:
            return matrix.indices.astype(np.int64)
        return np.where(matrix.any(axis=1), matrix.argmax(axis=1), -1)

    @cached_property
    def predictors(self) -> np.ndarray:
        """What the coefficients of the population multiply, (coefficient, unit)."""
        return self.bound.coefficients.predictors(self.bound.x, self.bound.everywhere).T

    @cached_property
    def groups(self) -> EliminatedGroups:
        """The rows of groups."""
        bound, term, pseudo = self.bound, self.term, self.density.pseudo
        chosen = np.flatnonzero(self.group >= 0)
        tiles = Tiles(self.group[chosen], term.size, lanes_for(term.size))
        x = (bound.coefficients.predictors(bound.x, term.positions) * term.unit).T
        y, n = self.rows.outcomes
        arrays = (x[:, None], self.predictors[:, None], np.zeros((1, len(y))), y, n, pseudo.response, pseudo.precision)
        return EliminatedGroups(self.rows, term, tiles, *(tiles.of_rows(each[..., chosen]) for each in arrays))

    def scaling(self, values: dict[str, np.ndarray], count: int) -> Scaling:
        """Return the scales of the groups' weights at draws of the hyperparameters."""
        sd, root = self.term.scales(values, np)
        varying = len(self.term.positions)
        own_sd = np.broadcast_to(sd / self.term.unit, (count, *np.shape(sd)[-2:]))
        own_root = np.broadcast_to(np.eye(varying) if root is None else root, (count, varying, varying))
        return Scaling(np.zeros((count, 0)), np.zeros((count, 0, 1, 1)), np.ascontiguousarray(own_sd),
                       np.ascontiguousarray(own_root))

    def each_value(self, points: np.ndarray, population: np.ndarray, order: int) -> np.ndarray:
        """Return the log density at draws of the hyperparameters (draw, size) and of the population, with the intercept
        at the predictors' means, (draw, coefficient), by so many nodes along each weight of a group, (draw,)."""
        with np.errstate(all="ignore"):
            values = self.density.values(points)
            result = self.density.log_prior(points, values)
            usable = np.flatnonzero(np.isfinite(result))
            some = {name: value[usable] for name, value in values.items()}
            result[usable] += self.log_likelihood(some, population[usable], order)
        return np.where(np.isfinite(result), result, -np.inf)

    def log_likelihood(self, values: dict[str, np.ndarray], population: np.ndarray, order: int) -> np.ndarray:
        """Return log p(y | mu, phi), (draw,)."""
        count = len(population)
        own, scaling = self.rows.own(values, count), self.scaling(values, count)
        result = np.array([self.rows.rest(each)[0] for each in own]) + self.rows.constant
        result += self._without_group(own, population)
        for draw, eta in self.groups.each_eta(population):
            scales = self.groups.scales(scaling, draw)
            result[draw] += self.groups.log_integrals(own[draw], scales, eta, order).sum()
        return result

    def _without_group(self, own: np.ndarray, population: np.ndarray) -> np.ndarray:
        """Return the log likelihood of the rows that are of no group, (draw,)."""
        others = np.flatnonzero(self.group < 0)
        if not len(others):
            return np.zeros(len(own))
        y, n = (each[others] for each in self.rows.outcomes)
        eta = population @ self.predictors[:, others]
        return likelihoods.totals(self.rows.code, own, y, n, np.ascontiguousarray(eta[:, None]))
