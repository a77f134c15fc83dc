"""Distributions that SciPy does not have, or not in both tails, with the methods of its own."""

from typing import Any

import numpy as np
from scipy import special, stats


class Successes:
    """A binomial distribution by the logarithms of p and 1 - p; scipy's has p alone, which may round to 1."""

    dist = stats.binom

    def __init__(self, n: Any, log_p: np.ndarray, log_q: np.ndarray) -> None:
        self.n, self.log_p, self.log_q = n, log_p, log_q

    def logpmf(self, y: np.ndarray) -> np.ndarray:
        return np.log(special.comb(self.n, y)) + y * self.log_p + (self.n - y) * self.log_q

    def mean(self) -> np.ndarray:
        return self.n * np.exp(self.log_p)

    def var(self) -> np.ndarray:
        return self.n * np.exp(self.log_p + self.log_q)


def probit(eta: np.ndarray, n: Any) -> Successes:
    return Successes(n, stats.norm.logcdf(eta), stats.norm.logsf(eta))


def cloglog(eta: np.ndarray, n: Any) -> Successes:
    """Whether a Gumbel variable is below eta."""
    return Successes(n, stats.gumbel_l.logcdf(eta), stats.gumbel_l.logsf(eta))


class Inflated:
    """A Poisson distribution, or 0 with the probability `zeros`."""

    dist = stats.poisson

    def __init__(self, mean: np.ndarray, zeros: float) -> None:
        self.counts, self.zeros = stats.poisson(mean), zeros

    def logpmf(self, y: np.ndarray) -> np.ndarray:
        return np.log(self.zeros * (y == 0) + (1 - self.zeros) * self.counts.pmf(y))

    def mean(self) -> np.ndarray:
        return (1 - self.zeros) * self.counts.mean()

    def var(self) -> np.ndarray:
        return (1 - self.zeros) * (self.counts.var() + self.counts.mean() ** 2) - self.mean() ** 2
