"""Marginal likelihoods of segments of counts, at any size of the shapes of their Gamma or Beta.

A small scale of what segments have of their own is a large shape: the ratio of two Gamma functions at x and x + k then
hardly differs from x^k, and a difference of their logarithms has no digit left. With Stirling's series
log Gamma(x) = (x - 1/2) log x - x + s(x), s small and smooth,

    log Gamma(x + k) - log Gamma(x) - k log x = (x + k - 1/2) log(1 + k / x) - k + s(x + k) - s(x),

in which nothing cancels: the logarithm is computed from k / x. Below 8, where the series is not used, shapes are small
and so is what cancels. The derivative is written in the same way, digamma(x) = log x + p(x).

Poisson counts Y with expected counts E, rate ~ Gamma(a, b) of mean r = a / b: with z = a + Y,

    z log(z / (a + r E)) + Y log r + E - Y - log(z / a) / 2 + s(z) - s(a),

where z / (a + r E) - 1 = (Y - r E) / (a + r E). The term E belongs to the rows: then large counts do not cancel either.

Binomial successes S and failures F, chance ~ Beta(a, b), n = a + b: ratios as above, for S of a and F of b, less that
for S + F of n, and S log(a / n) + F log(b / n).

Slopes are by log a and log b. What depends on a shape alone is computed once, by `of_shape`.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, log_beyond_one, log_of, shifted, stirling

# Numbers of a shape: itself, log Gamma and s, digamma and p.
OF_SHAPE = 5


@compiled
def of_shape(x):
    """The numbers of a shape."""
    z, product, slope = shifted(x)
    log_x, log_z = np.log(x), np.log(z)
    log_gamma = (z - 0.5) * log_z - z + stirling(z) - np.log(product)
    digamma = log_z + digamma_less_log(z) - slope / product
    if x < LARGE:
        return np.array([x, log_gamma, log_gamma - (x - 0.5) * log_x + x, digamma, digamma - log_x])
    return np.array([x, log_gamma, stirling(x), digamma, digamma_less_log(x)])


@compiled
def add_ratios(sign, shape, values, count, out):
    """Add sign times log Gamma(x + k) - log Gamma(x) - k log x of the first `count` values k, x the shape."""
    x, before, remainder = shape[0], shape[1], shape[2]
    log_x = np.log(x)
    for i in range(count):
        k = values[i]
        z, product, _ = shifted(x + k)
        small = x + k < LARGE
        ratio = k / x
        log = log_beyond_one(z if small else 1.0 + ratio, LARGE if small else ratio)
        less = z + log_of(product) + before + k * log_x if small else k + remainder
        out[i] += sign * ((z - 0.5) * log + stirling(z) - less)


@compiled
def add_ratio_slopes(sign, shape, values, count, out):
    """Add sign times digamma(x + k) - digamma(x)."""
    x, before, remainder = shape[0], shape[3], shape[4]
    for i in range(count):
        k = values[i]
        z, product, slope = shifted(x + k)
        small = x + k < LARGE
        ratio = k / x
        log = log_beyond_one(z if small else 1.0 + ratio, LARGE if small else ratio)
        out[i] += sign * (log + digamma_less_log(z) - (slope / product + before if small else remainder))


@compiled
def gamma_factors(numbers, counts, exposures, count, out):
    """Log factors of Poisson counts; `numbers` are those of a, then b, log b, r, log r and log a."""
    a, (b, log_b, mean, log_mean, log_a) = numbers[0], numbers[OF_SHAPE : OF_SHAPE + 5]
    small_constant, constant = numbers[1] - a * log_b, numbers[2] - 0.5 * log_a
    for i in range(count):
        y, e = counts[i], exposures[i]
        x, w, v = a + y, b + e, a + mean * e
        z, product, _ = shifted(x)
        small = x < LARGE
        log = log_beyond_one(w if small else x / v, w - 1.0 if small else (y - mean * e) / v)
        log_z, rest = log_of(z), stirling(z)
        below = (z - 0.5) * log_z - z - log_of(product) - x * log + e - small_constant
        out[i] = rest + (below if small else x * log + y * log_mean + (e - y) - 0.5 * log_z - constant)


@compiled
def gamma_slopes(numbers, counts, exposures, count, by_a, by_b):
    """Their slopes."""
    a, (b, log_b, mean, _, _) = numbers[0], numbers[OF_SHAPE : OF_SHAPE + 5]
    small_constant, constant = numbers[3] - log_b, numbers[4]
    for i in range(count):
        y, e = counts[i], exposures[i]
        x, w, v = a + y, b + e, a + mean * e
        z, product, slope = shifted(x)
        small = x < LARGE
        log = log_beyond_one(w if small else x / v, w - 1.0 if small else (y - mean * e) / v)
        rest = digamma_less_log(z)
        below = log_of(z) - slope / product - log - small_constant
        by_a[i] = a * (rest + (below if small else log - constant))
        by_b[i] = (mean * e - y) * (b / w)


@compiled
def beta_factors(numbers, successes, failures, trials, count, out):
    """Log factors of successes and failures; `numbers` are those of a, b and n, then log(a / n) and log(b / n).

    `trials` is room for their sums.
    """
    log_chance, log_other = numbers[3 * OF_SHAPE], numbers[3 * OF_SHAPE + 1]
    for i in range(count):
        trials[i] = successes[i] + failures[i]
        out[i] = successes[i] * log_chance + failures[i] * log_other
    add_ratios(1.0, numbers[:OF_SHAPE], successes, count, out)
    add_ratios(1.0, numbers[OF_SHAPE : 2 * OF_SHAPE], failures, count, out)
    add_ratios(-1.0, numbers[2 * OF_SHAPE : 3 * OF_SHAPE], trials, count, out)


@compiled
def beta_slopes(numbers, successes, failures, trials, count, by_a, by_b):
    """Their slopes, where `trials` are known."""
    a, b = numbers[0], numbers[OF_SHAPE]
    for i in range(count):
        by_a[i] = 0.0
    add_ratio_slopes(-1.0, numbers[2 * OF_SHAPE : 3 * OF_SHAPE], trials, count, by_a)
    for i in range(count):
        by_b[i] = by_a[i]
    add_ratio_slopes(1.0, numbers[:OF_SHAPE], successes, count, by_a)
    add_ratio_slopes(1.0, numbers[OF_SHAPE : 2 * OF_SHAPE], failures, count, by_b)
    for i in range(count):
        by_a[i] *= a
        by_b[i] *= b
