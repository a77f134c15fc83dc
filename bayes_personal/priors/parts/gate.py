"""Types, of which each row takes one: their probabilities, and summaries that do not depend on their numbering."""

from typing import Any


def log_softmax(logit: Any, xp: Any) -> Any:
    """Return log probabilities along the last axis."""
    highest = logit.max(axis=-1)[..., None]
    return logit - highest - xp.log(xp.exp(logit - highest).sum(axis=-1))[..., None]


def share_and_spread(log_share: Any, coefficients: Any, xp: Any) -> tuple[Any, Any]:
    """Return shares in falling order, and the standard deviation of coefficients between types.

    Parameters
    ----------
    log_share : log probability of each type, (..., type)
    coefficients : coefficients of each type, (..., type, varying)
    """
    share = xp.exp(log_share)
    mean = (share[..., None] * coefficients).sum(axis=-2)[..., None, :]
    return -xp.sort(-share, axis=-1), xp.sqrt((share[..., None] * (coefficients - mean) ** 2).sum(axis=-2))
