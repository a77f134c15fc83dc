"""Types of which rows take one each: how probable they are, and what is said of them that needs no names of theirs."""

from typing import Any


def log_softmax(logit: Any, xp: Any) -> Any:
    """Log probabilities, along the last axis."""
    highest = logit.max(axis=-1)[..., None]
    return logit - highest - xp.log(xp.exp(logit - highest).sum(axis=-1))[..., None]


def share_and_spread(log_share: Any, each: Any, xp: Any) -> tuple[Any, Any]:
    """Shares in falling order, and the standard deviation of coefficients between types.

    Parameters
    ----------
    log_share : log probability of each type, (..., type)
    each : coefficients of each type, (..., type, varying)
    """
    share = xp.exp(log_share)
    mean = (share[..., None] * each).sum(axis=-2)[..., None, :]
    return -xp.sort(-share, axis=-1), xp.sqrt((share[..., None] * (each - mean) ** 2).sum(axis=-2))
