"""Normal observations that stand for rows with another likelihood."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Self, final

import numpy as np
from scipy.special import ndtri, roots_hermitenorm
from scipy.stats.qmc import Sobol

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import Arrangement, Loadings
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.rows import Rows, form
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.families import Normal
from bayes_personal.kernels import likelihoods

# Nodes of the average of a row's slopes over the distribution of its linear predictor.
NODES = 7
# Most nodes of a product grid over a row's linear predictors; where that allows fewer than so many along each, points
# of a Sobol sequence take its place.
MOST_NODES, FEWEST, POINTS = 4096, 5, 4096
# Least precision of a row, relative to natural units, to a curvature that is never negative, and to the median row.
LEAST, OF_POSITIVE, OF_MEDIAN = 1e-10, 0.1, 1e-3


@final
@dataclass(frozen=True, eq=False)
class PseudoData:
    """``response_i ~ Normal(eta_i, precision_i^-1)``, in place of log p(y_i | eta_i) near eta_i ~ Normal(mean_i, C_i).

    The slope and the curvature of both log densities agree on average (Opper and Archambeau 2009); where C_i is 0, they
    agree at the mean, as in iterated weighted least squares (McCullagh and Nelder 1989, section 2.5).

    Attributes
    ----------
    mean : (predictor, unit)
    root : R_i with C_i = R_i R_i', (predictor, predictor, unit)
    response : (predictor, unit)
    precision : (predictor, predictor, unit)

    References
    ----------
    Opper and Archambeau (2009), doi:10.1162/neco.2008.08-07-592.
    """

    mean: np.ndarray
    root: np.ndarray
    response: np.ndarray
    precision: np.ndarray

    @classmethod
    def touching(cls, rows: RowLikelihoods, eta: np.ndarray, own: np.ndarray) -> Self:
        """Match slopes and curvatures at eta, (predictor, unit)."""
        score, curvature, positive = likelihoods.slopes(rows.code, own, *rows.outcomes, np.ascontiguousarray(eta))
        least = OF_POSITIVE * np.linalg.eigvalsh(natural(rows, positive))[:, 0]
        return cls._matched(rows, eta, np.zeros(curvature.shape), score, curvature, least)

    @classmethod
    def averaged(cls, rows: RowLikelihoods, mean: np.ndarray, root: np.ndarray, own: np.ndarray) -> Self:
        """Match averages of slopes and curvatures over normal linear predictors."""
        nodes, weights = nodes_of_rows(NODES, len(mean))
        score, curvature, _ = likelihoods.average_slopes(rows.code, own, *rows.outcomes, np.ascontiguousarray(mean),
                                                         np.ascontiguousarray(root), nodes, weights)
        size = np.abs(np.linalg.eigvalsh(natural(rows, curvature))).max(axis=1)
        return cls._matched(rows, mean, root, score, curvature, OF_MEDIAN * np.median(size))

    @classmethod
    def _matched(cls, rows: RowLikelihoods, mean: np.ndarray, root: np.ndarray, score: np.ndarray,
                 curvature: np.ndarray, least: np.ndarray | float) -> Self:
        units = rows.bound.predictor_units
        values, vectors = np.linalg.eigh(natural(rows, curvature))
        lowest = np.maximum(least, LEAST)
        values = np.maximum(values, np.broadcast_to(lowest, len(values))[:, None])
        precision = (vectors * values[:, None]) @ vectors.mT / np.outer(units, units)
        step = (vectors / values[:, None]) @ (vectors.mT @ (units * score.T)[:, :, None])
        return cls(mean, root, mean + units[:, None] * step[:, :, 0].T,
                   np.ascontiguousarray(precision.transpose(1, 2, 0)))

    def take(self, places: np.ndarray) -> "PseudoData":
        """Return the pseudo-data of some of the rows."""
        return PseudoData(*(each[..., places] for each in (self.mean, self.root, self.response, self.precision)))

    @cached_property
    def precision_root(self) -> np.ndarray:
        """P_i with P_i'P_i the precision of a row, (unit, predictor, predictor)."""
        return np.linalg.cholesky(self.precision.transpose(2, 0, 1)).mT

    def gaussian(self, bound: BoundModel) -> GaussianDensity:
        """Return the model of these observations with its weights integrated out."""
        model = with_pseudo_outcome(bound)
        arrangement = Arrangement(model)
        return GaussianDensity(model, bound.rows.total(partial(self._total, arrangement)))

    def _total(self, arrangement: Arrangement, batches: Iterable[Batch]) -> Statistics | Rows:
        return form(arrangement).total(arrangement, self._standardised(arrangement, batches))

    def _standardised(self, arrangement: Arrangement,
                      batches: Iterable[Batch]) -> Iterator[tuple[Loadings, np.ndarray, float]]:
        """Yield loadings and outcomes of rows divided by their errors, one linear predictor's worth at a time."""
        bound, coefficients = arrangement.bound, arrangement.bound.coefficients
        count = coefficients.linear_predictors
        for batch in batches:
            root, features = self.precision_root[batch.places], bound.features_at(batch.frame)
            natural = np.full(len(batch), bound.unit)
            products = coefficients.predictors(batch.x, bound.everywhere) * arrangement.centre
            residual = self.response[:, batch.places].T - coefficients.total(products, bound.everywhere, np)
            # Of a Normal with an error of 1 in natural units.
            log_error = -np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=0) - len(batch) * np.log(bound.unit)
            parts = [arrangement.loadings(batch.x, natural, features, None if count == 1 else place)
                     for place in range(count)]
            for place in range(count):
                factors = bound.unit * root[:, place]
                dense = sum(part.dense * factors[:, [k]] for k, part in enumerate(parts))
                of_group = sum(part.of_group * factors[:, [k]] for k, part in enumerate(parts))
                yield (Loadings(np.asfortranarray(dense), parts[0].groups, np.asarray(of_group)),
                       (root[:, place] * residual).sum(axis=1), float(log_error[place]))

    def log_density(self, eta: np.ndarray) -> np.ndarray:
        """Return the log density of all observations at eta (..., predictor, unit), (...)."""
        gap = eta - self.response
        square = np.einsum("...pn,pqn,...qn->...", gap, self.precision, gap)
        return self.log_constant - 0.5 * square

    @cached_property
    def log_constant(self) -> float:
        """The sum over rows of what the log density has beside the square."""
        logs = np.log(np.diagonal(self.precision_root, axis1=1, axis2=2)).sum()
        return float(logs - 0.5 * self.response.size * np.log(2 * np.pi))

    @cached_property
    def expected(self) -> float:
        """The sum over rows of the log density's average over their linear predictors."""
        spread = np.einsum("pqn,prn,qrn->", self.precision, self.root, self.root)
        return float(self.log_density(self.mean) - 0.5 * spread)


def with_pseudo_outcome(bound: BoundModel) -> BoundModel:
    """Return the model of pseudo-observations, whose errors are known; it has no family of its own."""
    return replace(bound, family=Normal(sd="error of a pseudo-outcome"))


def natural(rows: RowLikelihoods, curvature: np.ndarray) -> np.ndarray:
    """Return curvatures (predictor, predictor, unit) in natural units, (unit, predictor, predictor)."""
    units = rows.bound.predictor_units
    return curvature.transpose(2, 0, 1) * np.outer(units, units)


@cache
def nodes_of_rows(order: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (size, node) and weights (node,) of an average over a row's linear predictors.

    These are those of `grid`, but for fewer along each of several linear predictors. Of many the nodes are scattered
    evenly, with equal weights.
    """
    affordable = next(nodes for nodes in range(order, 0, -1) if nodes**size <= MOST_NODES)
    if affordable >= min(order, FEWEST):
        return grid(affordable, size)
    # Half of the points mirror the others, so that odd moments are exact.
    shares = Sobol(size, rng=0).random(POINTS // 2).T
    nodes = ndtri(shares)
    return np.concatenate([nodes, -nodes], axis=1), np.full(POINTS, 1 / POINTS)


@cache
def grid(order: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (size, node) and weights (node,) of the average over a standard normal vector."""
    nodes, weights = roots_hermitenorm(order)
    axes = np.meshgrid(*[nodes] * size, indexing="ij")
    products = np.prod(np.meshgrid(*[weights / weights.sum()] * size, indexing="ij"), axis=0)
    return np.array([axis.ravel() for axis in axes]), products.ravel()
