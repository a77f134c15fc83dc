"""Segments of counts: Poisson with Gamma rates, and Binomial (so Bernoulli) with Beta probabilities."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
from scipy.special import gammaln

from bayes_personal.kernels.count_factors import of_shape
from bayes_personal.kernels.segment_factors import BETA, GAMMA
from bayes_personal.priors.divisions.segments import SegmentSums, SortedRows, running

# Logarithm of the shapes above which segments are alike to the last digit, whatever their counts; and of the largest
# number with which nothing overflows.
ALIKE, FARTHEST = 300.0, 600.0


@final
@dataclass(frozen=True, eq=False)
class CountData:
    """Two numbers of each row, and their running sums.

    Attributes
    ----------
    kind : GAMMA or BETA
    rows : order of the rows
    row_statistics : counts and exposures in units of `unit`, or successes and failures, sorted, (2, row)
    row_terms : terms of log p(y) outside the segments' factors, sorted, (row,)
    sums : running sums over contexts, (2, T + 1)
    unit : rate of all rows together, so that exposures are expected counts; 1 of probabilities
    """

    kind: int
    rows: SortedRows
    row_statistics: np.ndarray
    row_terms: np.ndarray
    sums: np.ndarray
    unit: float = 1.0

    @classmethod
    def of_counts(cls, y: np.ndarray, exposure: np.ndarray, places: np.ndarray, contexts: int) -> Self:
        """Sum counts and positive exposures, (row,)."""
        rows = SortedRows.of(places, contexts)
        y, exposure = np.asarray(y, float)[rows.order], np.broadcast_to(exposure, np.shape(y))[rows.order]
        unit = max(float(y.sum()), 1.0) / float(exposure.sum())
        statistics = np.stack([y, exposure * unit])
        terms = y * np.log(statistics[1]) - gammaln(y + 1) - statistics[1]
        return cls(GAMMA, rows, statistics, terms, running(rows.summed(statistics)), unit)

    @classmethod
    def of_successes(cls, y: np.ndarray, trials: np.ndarray, places: np.ndarray, contexts: int) -> Self:
        """Sum successes and trials, (row,); rows of one trial are Bernoulli."""
        rows = SortedRows.of(places, contexts)
        y, trials = np.asarray(y, float)[rows.order], np.broadcast_to(trials, np.shape(y)).astype(float)[rows.order]
        statistics = np.stack([y, trials - y])
        terms = gammaln(trials + 1) - gammaln(y + 1) - gammaln(trials - y + 1)
        return cls(BETA, rows, statistics, terms, running(rows.summed(statistics)))

    @cached_property
    def constant(self) -> float:
        """Sum of the row terms."""
        return float(self.row_terms.sum())

    def at(self, log_a: float, log_b: float) -> "CountSegments":
        """Return the sums at the logarithms of the Gamma's shape and rate, or of the Beta's shapes."""
        return CountSegments(self, float(log_a), float(log_b))


@final
@dataclass(frozen=True, eq=False)
class CountSegments(SegmentSums):
    """Sums at one point of the hyperparameters; its gradient is by log a and log b."""

    data: CountData
    log_a: float
    log_b: float

    @property
    def kind(self) -> int:
        return self.data.kind

    @property
    def rows(self) -> SortedRows:
        return self.data.rows

    @property
    def sums(self) -> np.ndarray:
        return self.data.sums

    @property
    def constant(self) -> float:
        return self.data.constant

    @property
    def row_terms(self) -> np.ndarray:
        return self.data.row_terms

    @property
    def row_statistics(self) -> np.ndarray:
        return self.data.row_statistics

    @cached_property
    def logs(self) -> tuple[float, float]:
        """log a and log b for exposures in units, lowered by the same amount where they are too large to matter."""
        log_a, log_b = self.log_a, self.log_b + np.log(self.data.unit)
        beyond = max(min(log_a, log_b) - ALIKE, 0.0)
        return log_a - beyond, log_b - beyond

    @property
    def scaled(self) -> tuple[float, float]:
        """a and b for exposures in units, as in `logs`."""
        log_a, log_b = self.logs
        return float(np.exp(log_a)), float(np.exp(log_b))

    @property
    def within_reach(self) -> bool:
        log_a, log_b = self.logs
        return max(abs(log_a), abs(log_b), abs(log_a - log_b)) < FARTHEST

    @cached_property
    def numbers(self) -> np.ndarray:
        (log_a, log_b), (a, b) = self.logs, self.scaled
        if self.kind == GAMMA:
            log_mean = log_a - log_b
            return np.array([*of_shape(a), b, log_b, np.exp(log_mean), log_mean, log_a])
        log_n = np.logaddexp(log_a, log_b)
        return np.array([*of_shape(a), *of_shape(b), *of_shape(a + b), log_a - log_n, log_b - log_n])

    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        return slopes

    @property
    def least(self) -> float:
        return 0.0

    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        a, b = self.scaled
        first, second = statistics
        if self.kind == GAMMA:
            return (rng.gamma(a + first) / (b + second) * self.data.unit)[:, None]
        return rng.beta(a + first, b + second)[:, None]
