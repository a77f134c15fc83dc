"""Distributions of outcomes that may not have been seen exactly: a density where one was seen, a probability elsewhere.

Their parameters are the known constant n of `censoring`, eta, and one number of the family's own. What is drawn, and
what their mean is, are outcomes as they are without censoring.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from bayes_personal.hyperpriors.distributions import Distribution, Support

# Largest logarithm of an outcome that is drawn.
HIGHEST = 700.0


class Program:
    """The distribution as PyMC takes it, made in the way of PyMC's own classes."""

    def __init__(self, name: str, own: str, draw: Callable[..., Any]) -> None:
        self.name, self.own, self.draw = name, own, draw

    def __call__(self, name: str, *, n: Any, eta: Any, **given: Any) -> Any:
        """Declare the variable `name` in the open model."""
        import pymc as pm

        own = given.pop(self.own)
        return pm.CustomDist(name, n, eta, own, logp=self._logp, random=self._random, **given)

    def dist(self, *, n: Any, eta: Any, **given: Any) -> Any:
        """Make a variable that belongs to no model."""
        import pymc as pm

        return pm.CustomDist.dist(n, eta, given[self.own], logp=self._logp, random=self._random, class_name=self.name)

    def _logp(self, value: Any, n: Any, eta: Any, own: Any) -> Any:
        from bayes_personal.families.parts.censored_program import CensoredRows

        return CensoredRows(self.name).of(value, n, eta, own)

    def _random(self, n: Any, eta: Any, own: Any, rng: np.random.Generator, size: Any = None) -> Any:
        shape = np.broadcast_shapes(np.shape(n), np.shape(eta), np.shape(own)) if size is None else tuple(size)
        return self.draw(rng, shape, n, eta, own)


def log_p(name: str, *arguments: Any) -> tuple[np.ndarray, ...]:
    """Return log p, its score and negative curvature by eta, and its slope by the family's own number."""
    from bayes_personal.kernels import censored_rows

    return censored_rows.log_p(name, *arguments)


def _law(name: str, own: str, support: Support, draw: Callable[..., Any], mean: Callable[..., Any]) -> Distribution:
    def derivatives(y: Any, n: Any, eta: Any, **given: Any) -> tuple[Any, Any]:
        _, score, curvature, _ = log_p(name, y, n, eta, given[own])
        return score, -curvature

    return Distribution(
        name, {"n": "known", "eta": "location" if support == "real" else "log-location", own: "shape"}, support,
        lambda y, n, eta, **given: log_p(name, y, n, eta, given[own])[0],
        lambda rng, shape, n, eta, **given: draw(rng, shape, n, eta, given[own]),
        lambda n, eta, **given: mean(eta, given[own]) + 0 * np.where(np.isfinite(n), n, 0),
        derivatives, Program(name, own, draw),
        log_survival=lambda y, n, eta, **given: log_p(name, y, np.inf, eta, given[own])[0])


def _exp(eta: Any) -> Any:
    return np.exp(np.minimum(eta, HIGHEST))


CENSORED = {law.name: law for law in (
    _law("normal", "sigma", "real", lambda rng, shape, n, eta, sigma: rng.normal(eta, sigma, shape),
         lambda eta, sigma: eta + 0 * sigma),
    _law("log_normal", "sigma", "positive",
         lambda rng, shape, n, eta, sigma: _exp(rng.normal(eta, sigma, shape)),
         lambda eta, sigma: _exp(eta + 0.5 * sigma * sigma)),
    _law("gamma", "alpha", "positive",
         lambda rng, shape, n, eta, alpha: _exp(eta) * rng.gamma(alpha, 1 / alpha, shape),
         lambda eta, alpha: _exp(eta) + 0 * alpha),
    _law("weibull", "alpha", "positive",
         lambda rng, shape, n, eta, alpha: _exp(eta + np.log(rng.exponential(size=shape)) / alpha),
         lambda eta, alpha: _exp(eta + special.gammaln(1 + 1 / alpha))))}
