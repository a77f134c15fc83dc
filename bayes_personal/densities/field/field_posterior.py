"""A Gaussian Markov field given outcomes: exact at one point of the hyperparameters, by sparse Cholesky factors.

Where y_i is Normal given eta_i = x_i' mu + z_i' f_place(i), the precision of the field's values given mu, y and the
hyperparameters is that of the prior plus a block for each place, and mu follows by a Schur complement,

    P = Q (x) diag(step^-2) + blocks sum z z' / s^2,   C = blocks sum z x' / s^2,
    M = diag(prior precision) + sum x x' / s^2 - C' P^-1 C.

Gradients come from Fisher's identity, which needs only the covariances of neighbours: the inverse on the pattern of its
factor. Everything is in natural units, as in `collapsed`; places stand in the order in which they are eliminated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
from scipy.linalg import get_lapack_funcs

from bayes_personal.kernels import sparse
from bayes_personal.kernels.sparse import Pattern
from bayes_personal.priors.parts.markov_field import MarkovField

# Step in the logarithm of a hyperparameter over which differences of log v are derivatives to eight digits.
STEP = 1e-4
# Sum of squared deviations of the outcome, in squared errors, above which the evidence loses digits.
FARTHEST = 1e12
CHOLESKY: Any = get_lapack_funcs("potrf", dtype=float)


class Sums(NamedTuple):
    """Sums over the rows of each place, divided by their known errors, which the density needs.

    Attributes
    ----------
    gram : sums of (z, x) (z, x)', (place, varying + coefficient, varying + coefficient)
    moment : sums of (z, x) y, (place, varying + coefficient)
    square, count : sum of y^2, and number of rows
    log_error : sum of the logarithms of the known errors in the outcome's own units
    """

    gram: np.ndarray
    moment: np.ndarray
    square: float
    count: int
    log_error: float


class Point(NamedTuple):
    """Hyperparameters as the density takes them.

    Attributes
    ----------
    sigma : unknown part of the error, in natural units
    anchor : added to the diagonal of Q
    scale : standard deviations of the field over the rows, in natural units, (varying,)
    metric : weights of coordinates, (coordinate,)
    local : divisors of the weights of edges, (edge,); empty where there are none
    """

    sigma: float
    anchor: float
    scale: np.ndarray
    metric: np.ndarray
    local: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class FieldGiven:
    """Field and mean given the outcomes, at one point of the hyperparameters.

    Attributes
    ----------
    weights : w_ij of the edges, local scales included, (edge,)
    precision : step^-2, in natural units, (varying,)
    prior_inverse : inverse of Q, as `Pattern.inverse` returns it
    pattern, lower : pattern and factor of P
    half : inverse of the factor of P times C and the field's own moments, (place * varying, coefficient + 1)
    shared : expected mean less its prior mean, (coefficient,)
    shared_lower : factor of M
    log_evidence : log p(y | hyperparameters)
    """

    weights: np.ndarray
    precision: np.ndarray
    prior_inverse: tuple[np.ndarray, np.ndarray]
    pattern: Pattern
    lower: np.ndarray
    half: np.ndarray
    shared: np.ndarray
    shared_lower: np.ndarray
    log_evidence: float

    @cached_property
    def solved(self) -> np.ndarray:
        """P^-1 times C and the field's own moments, (place, varying, coefficient + 1)."""
        result = self.half.copy()
        sparse.backward(self.pattern.start, self.pattern.rows, self.lower, result)
        return result.reshape(-1, len(self.precision), result.shape[1])

    @property
    def coupling(self) -> np.ndarray:
        """P^-1 C, (place, varying, coefficient)."""
        return self.solved[:, :, :-1]

    @cached_property
    def mean(self) -> np.ndarray:
        """The expected field, (place, varying)."""
        return self.solved[:, :, -1] - self.coupling @ self.shared


@final
@dataclass(frozen=True, eq=False)
class FieldPosterior:
    """A field's prior and the sums over the rows.

    Attributes
    ----------
    field : the field
    order : places of the field in the order of elimination, (place,)
    shared_precision : prior precision of mu, (coefficient,)
    sums : sums over the rows
    """

    field: MarkovField
    order: np.ndarray
    shared_precision: np.ndarray
    sums: Sums

    @property
    def varying(self) -> int:
        """Number of coefficients that vary."""
        return len(self.field.positions)

    @cached_property
    def edges(self) -> np.ndarray:
        """The field's edges, the later place first, (edge, 2)."""
        return np.sort(np.argsort(self.order)[self.field.edges], axis=1)[:, ::-1]

    @cached_property
    def share(self) -> np.ndarray:
        """Share of the rows at each context, (place,)."""
        return self.field.share[self.order]

    @cached_property
    def prior_pattern(self) -> Pattern:
        """Pattern of Q."""
        return Pattern.of(len(self.order), self.edges, 1)

    @cached_property
    def pattern(self) -> Pattern:
        """Pattern of P."""
        return Pattern.of(len(self.order), self.edges, self.varying)

    def degree(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of values of edges over the edges of each place, (place,)."""
        return np.bincount(self.edges.ravel(), np.repeat(values, 2), len(self.order))

    def prior_factor(self, anchor: float, weights: np.ndarray) -> np.ndarray | None:
        """Return the factor of Q, or None where it is beyond the reach of floating point."""
        pattern, diagonal = self.prior_pattern, anchor + self.degree(weights)
        lower = pattern.matrix(diagonal[:, None, None], -weights[:, None])
        return lower if sparse.factorize(pattern.start, pattern.rows, lower) else None

    def log_variance(self, lower: np.ndarray, variances: np.ndarray) -> float:
        """Return log v, with v the variance over the rows of a field of these variances and this precision's factor."""
        pattern, share = self.prior_pattern, self.share[:, None].copy()
        sparse.forward(pattern.start, pattern.rows, lower, share)
        return float(np.log(self.share @ variances.ravel() - (share**2).sum()))

    def log_variance_at(self, anchor: float, metric: np.ndarray) -> float:
        """Return log v at hyperparameters, with all local scales 1."""
        lower = self.prior_factor(anchor, self.field.weights(metric, np))
        return np.nan if lower is None else self.log_variance(lower, self.prior_pattern.inverse(lower)[0])

    def variance_slopes(self, point: Point) -> tuple[float, np.ndarray]:
        """Return the derivatives of log v by the anchor and by the metric."""
        metric, by_metric = point.metric, np.zeros(len(point.metric))
        by_anchor = difference(lambda anchor: self.log_variance_at(anchor, metric), point.anchor)
        for m in range(len(metric) - 1):
            axis = np.arange(len(metric)) == m
            by_metric[m] = difference(lambda at, axis=axis: self.log_variance_at(
                point.anchor, np.where(axis, at, metric)), metric[m])
        # Only the ratios of the metric's weights matter; a weight that is rounded to 0 has the derivative 0.
        by_metric[-1] = -by_metric[:-1] @ metric[:-1] / metric[-1] if metric[-1] > 0 else 0.0
        return by_anchor, by_metric

    def given(self, point: Point) -> FieldGiven | None:
        """Return field and mean given the outcomes at a point, or None beyond the reach of floating point."""
        if not all(np.isfinite(numbers).all() for numbers in point):
            return None
        sums, pattern, p = self.sums, self.pattern, self.varying
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            plain = self.field.weights(point.metric, np)
            weights = plain / point.local if len(point.local) else plain
            prior_lower = self.prior_factor(point.anchor, weights)
            if prior_lower is None:
                return None
            prior_inverse = self.prior_pattern.inverse(prior_lower)
            variance = (self.log_variance(prior_lower, prior_inverse[0]) if self.field.prior.power == 2 else
                        self.log_variance_at(point.anchor, point.metric))
            precision = np.exp(variance) / point.scale**2
            gram, moment = sums.gram / point.sigma**2, sums.moment / point.sigma**2
            diagonal = (point.anchor + self.degree(weights))[:, None] * precision
            lower = pattern.matrix(gram[:, :p, :p] + diagonal[:, None, :] * np.eye(p), -weights[:, None] * precision)
            reached = np.isfinite(lower).all() and (precision > 0).all() and sums.square < FARTHEST * point.sigma**2
        if not (reached and sparse.factorize(pattern.start, pattern.rows, lower)):
            return None
        shared_gram, shared_moment = gram[:, p:, p:].sum(axis=0), moment[:, p:].sum(axis=0)
        # P^-1 is applied to C and to the field's own moments.
        half = np.concatenate([gram[:, :p, p:], moment[:, :p, None]], axis=2).reshape(p * len(gram), -1)
        sparse.forward(pattern.start, pattern.rows, lower, half)
        products = half.T @ half
        shared_lower, wrong = CHOLESKY(shared_gram - products[:-1, :-1] + np.diag(self.shared_precision), lower=1)
        if wrong:
            return None
        shared_half = np.linalg.solve(shared_lower, shared_moment - products[:-1, -1])
        shared = np.linalg.solve(shared_lower.T, shared_half)
        determinants = (pattern.log_determinant(lower) + 2 * np.log(np.diag(shared_lower)).sum()
                        - p * self.prior_pattern.log_determinant(prior_lower)
                        - len(self.order) * np.log(precision).sum() - np.log(self.shared_precision).sum())
        fit = products[-1, -1] + shared_half @ shared_half
        evidence = -0.5 * (determinants + sums.square / point.sigma**2 - fit) - sums.log_error - sums.count * (
            0.5 * np.log(2 * np.pi) + np.log(point.sigma))
        return FieldGiven(weights, precision, prior_inverse, pattern, lower, half, shared, shared_lower,
                          float(evidence))

    def covariances(self, given: FieldGiven) -> tuple[np.ndarray, np.ndarray]:
        """Return the covariances of the field's values at each place (place, varying, varying), and of each
        coefficient at the two ends of each edge, (edge, varying), with the mean integrated out."""
        at_places, along_edges = self.pattern.inverse(given.lower)
        spread = np.linalg.solve(given.shared_lower, given.coupling.mT).mT
        later, earlier = self.edges.T
        return at_places + spread @ spread.mT, along_edges + (spread[later] * spread[earlier]).sum(axis=2)

    def slopes(self, point: Point, given: FieldGiven) -> np.ndarray:
        """Return the derivatives of log p(y | hyperparameters) by the numbers of a `Point`."""
        sums, field, (later, earlier) = self.sums, self.field, self.edges.T
        count, p = len(self.order), self.varying
        prior_variance, prior_edge_covariance = (entries.ravel() for entries in given.prior_inverse)
        covariance, edge_covariance = self.covariances(given)
        variances = np.diagonal(covariance, axis1=1, axis2=2)
        # Expected squares of coefficients at places, and of their differences along edges.
        spread = variances[later] + variances[earlier] - 2 * edge_covariance
        squares = variances + given.mean**2
        differences = spread + (given.mean[later] - given.mean[earlier]) ** 2
        quadratic = given.weights @ differences + point.anchor * squares.sum(axis=0)
        by_log_precision = 0.5 * (count - given.precision * quadratic)
        by_weight = 0.5 * (p * (prior_variance[later] + prior_variance[earlier] - 2 * prior_edge_covariance)
                           - differences @ given.precision)
        by_anchor = 0.5 * (p * prior_variance.sum() - squares.sum(axis=0) @ given.precision)
        # E |y - eta|^2 is that of the expected coefficients plus the share of their precision that the data contribute.
        theta = np.hstack([given.mean, np.tile(given.shared, (count, 1))])
        residual = sums.square - 2 * (sums.moment * theta).sum() + np.einsum("ga,gab,gb", theta, sums.gram, theta)
        variance_quadratic = given.weights @ spread + point.anchor * variances.sum(axis=0)
        inverse = np.linalg.inv(given.shared_lower)
        leverage = (count * p - given.precision @ variance_quadratic + len(given.shared)
                    - ((inverse**2).sum(axis=0) * self.shared_precision).sum())
        by_sigma = (residual / point.sigma**2 + leverage - sums.count) / point.sigma
        # The metric acts through the weights and through v.
        perturbed = point.metric + 1e-30j * np.eye(len(point.metric))
        each_weight = by_weight / point.local if len(point.local) else by_weight
        by_metric = field.weights(perturbed, np).imag / 1e-30 @ each_weight
        of_variance = self.variance_slopes(point)
        by_anchor += by_log_precision.sum() * of_variance[0]
        by_metric += by_log_precision.sum() * of_variance[1]
        return np.concatenate([[by_sigma, by_anchor], -2 * by_log_precision / point.scale, by_metric,
                               -each_weight * given.weights if len(point.local) else []])


def difference(function: Callable[[float], float], at: float) -> float:
    """Return the derivative of a function of a positive number."""
    low, high = at * np.exp(-STEP), at * np.exp(STEP)
    return (function(high) - function(low)) / (high - low)
