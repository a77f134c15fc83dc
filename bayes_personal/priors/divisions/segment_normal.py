"""Segments of a Normal regression: y ~ Normal(x'theta, (sigma known)^2), theta ~ Normal(mean, diag(tau^2))."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np

from bayes_personal.kernels.segment_factors import NORMAL, scaled_sums
from bayes_personal.priors.divisions.segments import SegmentSums, SortedRows

LOG_2PI = np.log(2 * np.pi)
# Sum of squared deviations of the outcome, in squared errors, above which the evidence loses digits.
FARTHEST = 1e12


@final
@dataclass(frozen=True, eq=False)
class NormalData:
    """Sums over the rows of each context, in one pass; rows are divided by their known errors.

    Attributes
    ----------
    rows : order of the rows
    x, y : predictors (row, p), and outcome less its value at `origin` (row,), sorted
    log_known : logarithms of known errors, sorted, (row,)
    origin : coefficients that fit all data, so that sums do not cancel, (p,)
    grams, products : X'X by rows of the lower triangle (triangle, T), and X'y (p, T)
    """

    rows: SortedRows
    x: np.ndarray
    y: np.ndarray
    log_known: np.ndarray
    origin: np.ndarray
    grams: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, constants: np.ndarray, places: np.ndarray, contexts: int) -> Self:
        """Sum predictors (row, p) and outcomes, known factors of sigma and places of the rows' contexts, all (row,)."""
        rows = SortedRows.of(places, contexts)
        constants = np.broadcast_to(np.asarray(constants, float), np.shape(y))[rows.order]
        x, y = x[rows.order] / constants[:, None], y[rows.order] / constants
        origin = np.linalg.lstsq(x, y)[0]
        y = y - x @ origin
        low = np.tril_indices(x.shape[1])
        return cls(rows, x, y, np.log(constants), origin, rows.summed(x.T[low[0]] * x.T[low[1]]), rows.summed(x.T * y))

    @cached_property
    def square(self) -> float:
        """y'y."""
        return float(self.y @ self.y)

    @cached_property
    def total(self) -> tuple[np.ndarray, np.ndarray, float]:
        """X'X and X'y of all rows, and the sum of the logarithms of their errors."""
        return self.x.T @ self.x, self.x.T @ self.y, float(self.log_known.sum())

    def at(self, sigma: float, tau: np.ndarray, mean: np.ndarray) -> "NormalSegments":
        """Return the sums at one point of the hyperparameters; tau and mean are (p,)."""
        tau, mean = np.asarray(tau, float), np.asarray(mean, float)
        sums = scaled_sums(self.grams, self.products, tau, mean - self.origin, float(sigma))
        return NormalSegments(self, np.float64(sigma), tau, mean, sums)


@final
@dataclass(frozen=True, eq=False)
class NormalSegments(SegmentSums):
    """Sums at one point of the hyperparameters; its gradient is by log sigma, log tau (p,) and mean (p,)."""

    data: NormalData
    sigma: np.float64
    tau: np.ndarray
    mean: np.ndarray
    sums: np.ndarray
    kind = NORMAL
    numbers = np.zeros(0)

    @property
    def rows(self) -> SortedRows:
        return self.data.rows

    @property
    def within_reach(self) -> bool:
        return bool(self.constant > -FARTHEST)

    @cached_property
    def fit(self) -> float:
        """Sum of squared residuals from the mean, over sigma^2."""
        gram, product, _ = self.data.total
        offset = self.mean - self.data.origin
        square = self.data.square + float(offset @ (gram @ offset - 2 * product))
        return float(square / self.sigma**2)

    @property
    def constant(self) -> float:
        rows = len(self.data.y)
        return -0.5 * (rows * LOG_2PI + self.fit) - rows * np.log(self.sigma) - self.data.total[2]

    @property
    def coefficients(self) -> int:
        """How many coefficients a segment has."""
        return len(self.tau)

    @property
    def slopes(self) -> int:
        """How many slopes a log factor has."""
        return 2 * len(self.tau) + 1

    @cached_property
    def residuals(self) -> np.ndarray:
        """Distances from the mean over sigma, sorted, (row,)."""
        return (self.data.y - self.data.x @ (self.mean - self.data.origin)) / self.sigma

    @cached_property
    def row_terms(self) -> np.ndarray:
        return -0.5 * (LOG_2PI + self.residuals**2) - np.log(self.sigma) - self.data.log_known

    @cached_property
    def row_statistics(self) -> np.ndarray:
        z = self.data.x.T * self.tau[:, None] / self.sigma
        low = np.tril_indices(len(z))
        return np.concatenate([z[low[0]] * z[low[1]], z * self.residuals])

    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        p = len(self.tau)
        # The factors' slopes by the mean already include the contribution of all rows' residuals.
        by_tau, by_mean = slopes[:p], slopes[p : 2 * p] / self.tau
        by_sigma = self.fit - len(self.data.y) - slopes[2 * p] - by_tau.sum()
        return np.concatenate([[by_sigma], by_tau, by_mean])

    @property
    def least(self) -> float:
        return -np.inf

    def whitened(self, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (segment, p) and root of the covariance of the whitened coefficients of segments."""
        p, statistics = len(self.tau), statistics.T
        low = np.tril_indices(p)
        precision = np.empty((len(statistics), p, p))
        precision[:, low[0], low[1]] = precision[:, low[1], low[0]] = statistics[:, : len(low[0])]
        precision += np.eye(p)
        root = np.linalg.inv(np.linalg.cholesky(precision)).mT
        return (root @ (root.mT @ statistics[:, len(low[0]) :, None]))[:, :, 0], root

    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mean, root = self.whitened(statistics)
        return self.mean + self.tau * (mean + (root @ rng.standard_normal((*mean.shape, 1)))[:, :, 0])
