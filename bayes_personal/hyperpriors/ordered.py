"""Distributions of ordered levels, which count from 0: cuts divide the line on which a latent variable lies."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from bayes_personal.hyperpriors.custom import Custom
from bayes_personal.hyperpriors.distributions import Distribution

ROOT_OF_HALF_PI = float(np.sqrt(np.pi / 2))
HALF_LOG_2PI = float(0.5 * np.log(2 * np.pi))


def _ends(y: Any, eta: Any, cuts: Any, count: int, xp: Any) -> tuple[Any, Any, Any, Any]:
    """Return the cuts below and above level y, less eta, and whether y is the lowest and the highest level."""
    lower = upper = cuts[..., 0]
    for k in range(1, count):
        lower = xp.where(y > k, cuts[..., k], lower)
        upper = xp.where(y >= k, cuts[..., k], upper)
    return lower - eta, upper - eta, y <= 0, y >= count


def _log_logit(y: Any, eta: Any, cuts: Any, xp: Any, count: int) -> Any:
    lower, upper, lowest, highest = _ends(y, eta, cuts, count, xp)
    between = xp.where(lowest | highest, 1.0, upper - lower)
    return (xp.log(-xp.expm1(-between)) * xp.where(lowest | highest, 0.0, 1.0)
            - xp.where(lowest, 0.0, _softplus(lower, xp)) - xp.where(highest, 0.0, _softplus(-upper, xp)))


def _softplus(x: Any, xp: Any) -> Any:
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def _mirrored(lower: Any, upper: Any, lowest: Any, highest: Any, xp: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return an interval (-u, v) of the same probability with v <= u, w = |v|, whether its lower end counts, and
    whether it was mirrored."""
    finite = xp.where(lowest | highest, 0.0, 1.0)
    mirrored = highest | ((lower + upper > 0) & (finite > 0))
    v = xp.where(mirrored, -lower, upper)
    w = xp.abs(v)
    return xp.where(finite > 0, xp.where(mirrored, upper, -lower), w), v, w, finite, mirrored


def _probit_parts(u: Any, v: Any, w: Any, finite: Any, xp: Any, erfcx: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Return the log probability of (-u, v), what the density at v is divided by it, and that of -u to that of v."""
    decay = finite * xp.exp(-0.5 * (u - w) * (u + w))
    at_v, at_u = ROOT_OF_HALF_PI * erfcx(w / np.sqrt(2)), ROOT_OF_HALF_PI * erfcx(u / np.sqrt(2)) * decay
    log_density, tail = -0.5 * w * w - HALF_LOG_2PI, v <= 0
    density = xp.exp(log_density)
    # In the tail the density is a factor of both ends; otherwise the two tails are taken from 1. What is not taken has
    # a finite gradient.
    probability = xp.where(tail, at_v - at_u, 1 - density * (at_v + at_u))
    log_probability = xp.log(probability) + xp.where(tail, log_density, 0.0)
    return log_probability, xp.where(tail, 1.0, density) / probability, decay


def _log_probit(y: Any, eta: Any, cuts: Any, xp: Any, count: int) -> Any:
    if xp is np:
        erfcx: Any = special.erfcx
    else:
        from pytensor.tensor import erfcx
    u, v, w, finite, _ = _mirrored(*_ends(y, eta, cuts, count, xp), xp)
    return _probit_parts(u, v, w, finite, xp, erfcx)[0]


def _logit_slopes(y: Any, eta: Any, cuts: Any) -> tuple[Any, Any]:
    lower, upper, lowest, highest = _ends(y, eta, cuts, np.shape(cuts)[-1], np)
    p, q = np.where(lowest, 0.0, special.expit(lower)), np.where(highest, 0.0, special.expit(-upper))
    return p - q, -(p * special.expit(-lower) + q * special.expit(upper))


def _probit_slopes(y: Any, eta: Any, cuts: Any) -> tuple[Any, Any]:
    u, v, w, finite, mirrored = _mirrored(*_ends(y, eta, cuts, np.shape(cuts)[-1], np), np)
    _, at_v, decay = _probit_parts(u, v, w, finite, np, special.erfcx)
    slope = at_v * (1 - decay)
    return np.where(mirrored, slope, -slope), -(slope**2 + at_v * (u * decay + v))


def _law(name: str, log_density: Callable[..., Any], above: Callable[[Any], Any],
         derivatives: Callable[..., tuple[Any, Any]]) -> Distribution:
    """Return a distribution of levels: y exceeds k with the probability ``above(eta - cuts[k])``."""
    def logarithm(y: Any, eta: Any, cuts: Any, xp: Any = np) -> Any:
        count = np.shape(cuts)[-1] if xp is np else cuts.type.shape[-1]
        return log_density(y, eta, cuts, xp, count)

    def drawn(rng: np.random.Generator, shape: tuple[int, ...], eta: Any, cuts: Any) -> Any:
        uniform = rng.random(shape)
        return sum(1.0 * (uniform < above(eta - cuts[..., k])) for k in range(np.shape(cuts)[-1]))

    def expected(eta: Any, cuts: Any) -> Any:
        return sum(above(eta - cuts[..., k]) for k in range(np.shape(cuts)[-1]))

    def shares(eta: Any, cuts: Any) -> Any:
        levels = range(np.shape(cuts)[-1] + 1)
        return np.stack([np.exp(logarithm(np.full(np.shape(eta), float(k)), eta, cuts)) for k in levels], axis=-1)

    custom = Custom(name, ("eta", "cuts"), "(),(k)->()", logarithm, drawn)
    return Distribution(name, {"eta": "location", "cuts": "known"}, "count", logarithm, drawn, expected, derivatives,
                        pymc=custom, shares=shares)


ORDERED: Mapping[str, Distribution] = {
    "logit": _law("OrderedLogistic", _log_logit, special.expit, _logit_slopes),
    "probit": _law("OrderedProbit", _log_probit, special.ndtr, _probit_slopes)}
