"""Proportions: Beta shapes from log odds of the mean and a precision."""

from typing import Any

# Largest size of log odds that densities are computed at, where shapes are still positive numbers.
FARTHEST = 600.0


def beta_shapes(log_odds: Any, precision: Any, xp: Any) -> dict[str, Any]:
    """Return the two shapes of a Beta distribution, whose mean has these log odds and whose sum is the precision."""
    place = xp.clip(log_odds, -FARTHEST, FARTHEST)
    return {"alpha": precision / (1 + xp.exp(-place)), "beta": precision / (1 + xp.exp(place))}
