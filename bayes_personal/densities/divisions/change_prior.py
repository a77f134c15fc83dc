"""The prior of change points: at each step from one context to the next, a chance that a new segment starts."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

# Changes that are expected in a gap from which on none has no chance: larger numbers would cancel one another.
CERTAIN = 700.0


@final
@dataclass(frozen=True, eq=False)
class Changes:
    """Odds of a change before each context, and the logarithm of the chance of none; what is before the first is 0.

    Attributes
    ----------
    log_odds, log_stay : log(h / (1 - h)) and log(1 - h), (context,)
    odds_slopes, stay_slopes : their derivatives by the logarithm of the rate
    shortest : contexts that must pass before the next change; only the last segment may be shorter
    """

    log_odds: np.ndarray
    log_stay: np.ndarray
    odds_slopes: np.ndarray
    stay_slopes: np.ndarray
    shortest: int = 1

    @classmethod
    def by_rate(cls, rate: float, gaps: np.ndarray, shortest: int = 1) -> Self:
        """Changes come as a Poisson process: h = 1 - exp(-rate gap), of positive gaps (context - 1,)."""
        expected = np.concatenate([[1.0], rate * np.asarray(gaps, float)])
        certain, expected = expected > CERTAIN, np.minimum(expected, CERTAIN)
        chance = -np.expm1(-expected)
        log_odds, stay, slopes = expected + np.log(chance), -expected, expected / chance
        log_odds[0] = stay[0] = slopes[0] = 0.0
        # A chance that cannot grow any more does not depend on the rate.
        return cls(log_odds, stay, np.where(certain, 0.0, slopes), np.where(certain, 0.0, stay), shortest)

    def of_starts(self, log_odds: np.ndarray, log_stay: np.ndarray) -> np.ndarray:
        """What starts are worth: a segment that is too short for a change takes no factor 1 - h, and gives it back."""
        run = np.cumsum(log_stay)
        until = np.minimum(np.arange(len(run)) + self.shortest - 1, len(run) - 1)
        return log_odds - (run[until] - run)

    @property
    def log_starts(self) -> np.ndarray:
        """Log odds of starts as the sums over partitions take them, (context,)."""
        return self.log_odds if self.shortest == 1 else self.of_starts(self.log_odds, self.log_stay)

    @property
    def starts_slopes(self) -> np.ndarray:
        """Their derivatives, (context,)."""
        return self.odds_slopes if self.shortest == 1 else self.of_starts(self.odds_slopes, self.stay_slopes)
