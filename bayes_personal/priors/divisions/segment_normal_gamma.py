"""Segments of a Normal regression with errors of their own size: given w ~ Gamma(a, a), sigma and tau are both divided
by the root of w."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.kernels.count_factors import add_ratio_slopes, add_ratios, of_shape
from bayes_personal.kernels.segment_factors import NORMAL_GAMMA
from bayes_personal.priors.divisions.segment_normal import LOG_2PI, NormalSegments
from bayes_personal.priors.divisions.segments import SegmentSums, SortedRows, running


@final
@dataclass(frozen=True, eq=False)
class NormalGammaSegments(SegmentSums):
    """Sums at one point of the hyperparameters; its gradient is by log sigma, log tau (p,), mean (p,) and log a.

    Attributes
    ----------
    normal : the sums where w is 1
    shape : the shape a
    """

    normal: NormalSegments
    shape: float
    kind = NORMAL_GAMMA

    @property
    def rows(self) -> SortedRows:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Order of the rows."""
        return self.normal.rows

    @cached_property
    def numbers(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The shape, and log Gamma(a + h) - log Gamma(a) - h log a with its slopes by log a, h halves of rows."""
        shape, halves = of_shape(self.shape), 0.5 * np.arange(len(self.normal.data.y) + 1)
        ratios, slopes = np.zeros((2, len(halves)))
        add_ratios(1.0, shape, halves, len(halves), ratios)
        add_ratio_slopes(1.0, shape, halves, len(halves), slopes)
        return np.concatenate([[self.shape], ratios, self.shape * slopes - halves])

    @cached_property
    def _of_rows(self) -> np.ndarray:
        """Squares from the mean over sigma^2, and halves of rows, (2, row)."""
        squares = self.normal.residuals**2
        return np.stack([squares, np.full(len(squares), 0.5)])

    @cached_property
    def sums(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Running sums of the statistics, (statistic, T + 1)."""
        return np.concatenate([self.normal.sums, running(self.rows.summed(self._of_rows))])

    @property
    def within_reach(self) -> bool:
        return self.normal.within_reach and bool(np.isfinite(self.numbers).all())

    @property
    def coefficients(self) -> int:
        """How many coefficients a segment has beside its scale."""
        return self.normal.coefficients

    @property
    def slopes(self) -> int:
        """How many slopes a log factor has."""
        return self.normal.slopes + 1

    @property
    def constant(self) -> float:
        return self.normal.constant + 0.5 * self.normal.fit

    @cached_property
    def row_terms(self) -> np.ndarray:
        data = self.normal.data
        return -0.5 * LOG_2PI - np.log(self.normal.sigma) - data.log_known

    @cached_property
    def row_statistics(self) -> np.ndarray:
        return np.concatenate([self.normal.row_statistics, self._of_rows])

    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        p = len(self.normal.tau)
        by_tau, by_mean = slopes[:p], slopes[p : 2 * p] / self.normal.tau
        by_sigma = slopes[2 * p] - len(self.normal.data.y) - by_tau.sum()
        return np.concatenate([[by_sigma], by_tau, by_mean, slopes[2 * p + 1 :]])

    @property
    def least(self) -> float:
        return -np.inf

    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        normal, (squares, halves) = statistics[:-2], statistics[-2:]
        mean, root = self.normal.whitened(normal)
        fitted = (np.linalg.solve(root, mean[:, :, None])[:, :, 0] ** 2).sum(axis=1)
        rate = self.shape + 0.5 * np.maximum(squares - fitted, 0.0)
        w = rng.gamma(self.shape + halves) / rate
        noise = (root @ rng.standard_normal((*mean.shape, 1)))[:, :, 0] / np.sqrt(w)[:, None]
        log_sigma = np.log(self.normal.sigma) - 0.5 * np.log(w)
        return np.column_stack([self.normal.mean + self.normal.tau * (mean + noise), log_sigma])
