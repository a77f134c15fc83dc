"""Outcomes that are levels: probabilities of all of them, and published data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mpmath import mp, mpf
from scipy import stats


@dataclass(frozen=True)
class Shares:
    """A distribution of levels with the methods of SciPy's, of probabilities (row, level)."""

    p: np.ndarray
    dist: Any = stats.bernoulli

    def logpmf(self, y: np.ndarray) -> np.ndarray:
        return np.log(np.take_along_axis(self.p, y.astype(int)[:, None], axis=1)[:, 0])

    def mean(self) -> np.ndarray:
        return self.p @ np.arange(self.p.shape[1])

    def var(self) -> np.ndarray:
        return self.p @ np.arange(self.p.shape[1]) ** 2 - self.mean() ** 2


def ordered(twin: Any, eta: np.ndarray, cuts: list[float]) -> Shares:
    """Levels between cuts, of a latent variable whose error has a distribution of SciPy's."""
    ends = np.column_stack([np.full(len(eta), -np.inf), *(cut - eta for cut in cuts), np.full(len(eta), np.inf)])
    # Where both ends are in the upper tail, 1 less the one is 1 less the other but for rounding.
    return Shares(np.where(ends[:, :-1] > 0, -np.diff(twin.sf(ends), axis=1), np.diff(twin.cdf(ends), axis=1)))


def log_ordered(link: str, cuts: list[mpf], y: mpf, eta: mpf) -> mpf:
    """log p(y | eta) in many digits."""
    def below(x: mpf) -> mpf:
        return 1 / (1 + mp.exp(-x)) if link == "logit" else mp.erfc(-x / mp.sqrt(2)) / 2

    k = int(y)
    low, high = mpf("-inf") if k == 0 else cuts[k - 1] - eta, mpf("inf") if k == len(cuts) else cuts[k] - eta
    if low + high > 0 or k == len(cuts):
        low, high = -high, -low
    return mp.log((below(high) if high < mp.inf else 1) - (below(low) if low > -mp.inf else 0))


def wine() -> pd.DataFrame:
    """Bitterness of wine from 1 to 5, 72 ratings of bottles made cold or warm, without or with contact of juice and
    skins.

    Randall (1989), as tabulated for the data set ``wine`` of the package ordinal of R.
    """
    counts = {("cold", "no"): (4, 9, 5, 0, 0), ("cold", "yes"): (1, 7, 8, 2, 0),
              ("warm", "no"): (0, 5, 8, 3, 2), ("warm", "yes"): (0, 1, 5, 7, 5)}
    return pd.DataFrame([(rating, *condition) for condition, each in counts.items()
                         for rating, count in enumerate(each, 1) for _ in range(count)],
                        columns=["rating", "temp", "contact"])


def alligators() -> pd.DataFrame:
    """What 219 alligators of four lakes in Florida had eaten most of, by their size, small up to 2.3 metres.

    Delany and Moore, as tabulated by Agresti (2013), Categorical Data Analysis, table 8.1.
    """
    foods = ("fish", "invertebrates", "reptiles", "birds", "other")
    counts = {("hancock", 1): (23, 4, 2, 2, 8), ("hancock", 0): (7, 0, 1, 3, 5), ("oklawaha", 1): (5, 11, 1, 0, 3),
              ("oklawaha", 0): (13, 8, 6, 1, 0), ("trafford", 1): (5, 11, 2, 1, 5), ("trafford", 0): (8, 7, 6, 3, 5),
              ("george", 1): (16, 19, 1, 2, 3), ("george", 0): (17, 1, 0, 1, 3)}
    lakes = ("hancock", "oklawaha", "trafford")
    return pd.DataFrame([{"food": food, "small": small} | {each: int(each == lake) for each in lakes}
                         for (lake, small), of_foods in counts.items()
                         for food, count in zip(foods, of_foods, strict=True) for _ in range(count)])
