"""The distribution of levels without an order, which count from 0: the softmax of linear predictors, the first 0."""

from typing import Any

import numpy as np
from scipy import special

from bayes_personal.hyperpriors.custom import Custom
from bayes_personal.hyperpriors.distributions import Distribution


def _log_softmax(y: Any, eta: Any, xp: Any = np) -> Any:
    """Return log P(y) of linear predictors eta (..., predictor), one for each level but the first."""
    count = np.shape(eta)[-1] if xp is np else eta.type.shape[-1]
    highest = xp.maximum(eta.max(axis=-1), 0.0)
    total = xp.exp(-highest) + xp.exp(eta - highest[..., None]).sum(axis=-1)
    equal, chosen = np.equal if xp is np else xp.eq, 0.0
    for k in range(count):
        chosen = xp.where(equal(y, k + 1.0), eta[..., k], chosen)
    return chosen - highest - xp.log(total)


def _shares(eta: Any) -> np.ndarray:
    """Return the probabilities of all levels, (..., level)."""
    return special.softmax(np.concatenate([np.zeros((*np.shape(eta)[:-1], 1)), eta], axis=-1), axis=-1)


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], eta: Any) -> Any:
    below = _shares(eta).cumsum(axis=-1)[..., :-1]
    return (rng.random(shape)[..., None] >= below).sum(axis=-1).astype(float)


def _expected(eta: Any) -> np.ndarray:
    shares = _shares(eta)
    return shares @ np.arange(shares.shape[-1])


def _slopes(y: Any, eta: Any) -> tuple[Any, Any]:
    """Return the first two derivatives of log P(y) by the first of the linear predictors."""
    share = _shares(eta)[..., 1]
    return (np.asarray(y) == 1) - share, -share * (1 - share)


SOFTMAX = Distribution(
    "Softmax", {"eta": "location"}, "count", _log_softmax, _drawn, _expected, _slopes,
    pymc=Custom("Softmax", ("eta",), "(k)->()", _log_softmax, _drawn), shares=_shares)
