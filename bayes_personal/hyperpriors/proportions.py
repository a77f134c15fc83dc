"""Densities of proportions, of successes that vary more than binomial ones, and of counts with more zeros."""

from typing import Any

import numpy as np
from scipy import special

# From this shape on what Gamma functions have beside their leading terms is taken from asymptotic series.
LARGE = 50.0


def digamma_rest(x: Any) -> Any:
    """Return digamma(x) - log x."""
    y = 1 / np.maximum(x, LARGE)
    series = -y * (1 / 2 + y * (1 / 12 - y**2 * (1 / 120 - y**2 / 252)))
    return np.where(np.asarray(x) < LARGE, special.psi(x) - np.log(x), series)


def trigamma_rest(x: Any) -> Any:
    """Return x^2 trigamma(x) - x."""
    y = 1 / np.maximum(x, LARGE)
    near = np.minimum(x, LARGE)
    series = 1 / 2 + y * (1 / 6 - y**2 * (1 / 30 - y**2 * (1 / 42 - y**2 / 30)))
    # Near 0 the trigamma function overflows; the one at x + 1 does not.
    small = 1 + near**2 * special.polygamma(1, near + 1) - near
    return np.where(np.asarray(x) < LARGE, small, series)


def _rising(x: Any, k: Any) -> Any:
    """Return log Gamma(x + k) - log Gamma(x) - k log x; a difference of large terms would lose its digits."""
    def rest(z: Any) -> Any:
        y = 1 / np.maximum(z, LARGE)
        return y * (1 / 12 - y**2 * (1 / 360 - y**2 * (1 / 1260 - y**2 / 1680)))

    near = np.minimum(x, LARGE)
    small = special.gammaln(near + k) - special.gammaln(near) - k * np.log(near)
    return np.where(np.asarray(x) < LARGE, small, (x + k - 0.5) * np.log1p(k / x) - k + rest(x + k) - rest(x))


def draw_beta(rng: np.random.Generator, shape: tuple[int, ...], alpha: Any, beta: Any) -> np.ndarray:
    """Draw between 0 and 1; what would round to one of these is the number next to it."""
    return np.clip(rng.beta(alpha, beta, shape), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)


def beta_derivatives(y: Any, alpha: Any, beta: Any) -> tuple[Any, Any]:
    """Return those by the log odds of the mean, at a precision alpha + beta that is held."""
    precision = alpha + beta
    p, q = alpha / precision, beta / precision
    log_odds = np.log(y) - np.log1p(-y) - np.log(alpha) + np.log(beta)
    slope = precision * p * q * (log_odds - digamma_rest(alpha) + digamma_rest(beta))
    expected = precision * p * q + q**2 * trigamma_rest(alpha) + p**2 * trigamma_rest(beta)
    return slope, (q - p) * slope - expected


def beta_binomial(y: Any, alpha: Any, beta: Any, n: Any) -> Any:
    """Return the log density: that of a binomial distribution, and what vanishes where shapes are large."""
    total = alpha + beta
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    binomial = choose + y * np.log(alpha / total) + (n - y) * np.log(beta / total)
    return binomial + _rising(alpha, y) + _rising(beta, n - y) - _rising(total, n)


def draw_beta_binomial(rng: np.random.Generator, shape: tuple[int, ...], alpha: Any, beta: Any, n: Any) -> np.ndarray:
    """Draw successes."""
    return rng.binomial(np.asarray(n, int), rng.beta(alpha, beta, shape))


def _slope_and_excess(x: Any, k: Any) -> tuple[Any, Any]:
    """Return x times the sum over j < k of 1 / (x + j), and that of j x / (x + j)^2."""
    share = x / (x + k)
    slope = x * (np.log1p(k / x) + digamma_rest(x + k) - digamma_rest(x))
    return slope, slope - share * k - trigamma_rest(x) + share**2 * trigamma_rest(x + k)


def beta_binomial_derivatives(y: Any, alpha: Any, beta: Any, n: Any) -> tuple[Any, Any]:
    """Return those by the log odds of the mean, at a precision alpha + beta that is held."""
    p, q = alpha / (alpha + beta), beta / (alpha + beta)
    (successes, above), (failures, below) = _slope_and_excess(alpha, y), _slope_and_excess(beta, n - y)
    return q * successes - p * failures, q**2 * above + p**2 * below - p * q * (successes + failures)


def zero_inflated_poisson(y: Any, psi: Any, mu: Any) -> Any:
    """Return the log density of a Poisson count that is seen with probability psi, and is 0 otherwise."""
    counted = np.log(psi) + special.xlogy(y, mu) - mu - special.gammaln(np.asarray(y) + 1)
    return np.where(np.asarray(y) > 0, counted, np.logaddexp(np.log1p(-psi), counted))


def zero_inflated_poisson_derivatives(y: Any, psi: Any, mu: Any) -> tuple[Any, Any]:
    """Return those by the log of the Poisson mean."""
    mean = np.minimum(mu, 1e300)
    seen, chance = np.asarray(y) > 0, psi * np.exp(-mean)
    counted = chance / (1 - psi + chance)
    return (np.where(seen, y - mean, -mean * counted),
            np.where(seen, -mean, -mean * counted * (1 - (1 - counted) * mean)))
