"""The prior of change points: at each step from one context to the next, a chance that a new segment starts."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

# Expected number of changes in a gap above which a change is certain: larger numbers would cancel one another.
CERTAIN = 700.0


@final
@dataclass(frozen=True, eq=False)
class Changes:
    """Log odds of a change before each context, and the log chance of none; both are 0 before the first context.

    Attributes
    ----------
    log_odds, log_stay : log(h / (1 - h)) and log(1 - h), (context,)
    odds_slopes, stay_slopes : derivatives of log_odds and log_stay by the logarithm of the rate
    shortest : number of contexts that must pass before the next change; only the last segment may be shorter
    """

    log_odds: np.ndarray
    log_stay: np.ndarray
    odds_slopes: np.ndarray
    stay_slopes: np.ndarray
    shortest: int = 1

    @classmethod
    def by_rate(cls, rate: float, gaps: np.ndarray, shortest: int = 1) -> Self:
        """Let changes come as a Poisson process, h = 1 - exp(-rate gap), over positive gaps (context - 1,)."""
        expected = np.concatenate([[1.0], rate * np.asarray(gaps, float)])
        certain, expected = expected > CERTAIN, np.minimum(expected, CERTAIN)
        chance = -np.expm1(-expected)
        log_odds, stay, slopes = expected + np.log(chance), -expected, expected / chance
        log_odds[0] = stay[0] = slopes[0] = 0.0
        # A chance that cannot grow further does not depend on the rate.
        return cls(log_odds, stay, np.where(certain, 0.0, slopes), np.where(certain, 0.0, stay), shortest)

    def of_starts(self, log_odds: np.ndarray, log_stay: np.ndarray) -> np.ndarray:
        """Return the log odds of starts less the factors 1 - h of contexts where a segment is too short to end."""
        run = np.cumsum(log_stay)
        until = np.minimum(np.arange(len(run)) + self.shortest - 1, len(run) - 1)
        return log_odds - (run[until] - run)

    @property
    def log_starts(self) -> np.ndarray:
        """Log odds of starts as the sums over partitions take them, (context,)."""
        return self.log_odds if self.shortest == 1 else self.of_starts(self.log_odds, self.log_stay)

    @property
    def starts_slopes(self) -> np.ndarray:
        """Derivatives of `log_starts`, (context,)."""
        return self.odds_slopes if self.shortest == 1 else self.of_starts(self.odds_slopes, self.stay_slopes)
