"""Marginal likelihoods of segments of counts, at any size of the shapes of their Gamma or Beta.

Where segments differ little, the shape is large: the ratio of two Gamma functions at x and x + k then hardly differs
from x^k, and a difference of their logarithms has no digit left. With Stirling's series
log Gamma(x) = (x - 1/2) log x - x + s(x), s small and smooth,

    log Gamma(x + k) - log Gamma(x) - k log x = (x + k - 1/2) log(1 + k / x) - k + s(x + k) - s(x),

in which no terms cancel: the logarithm is computed from k / x. Below 8, where the series is not used, shapes are small
and so is the cancellation. The derivative is written in the same way, digamma(x) = log x + p(x).

Poisson counts Y with expected counts E, rate ~ Gamma(a, b) of mean r = a / b: with z = a + Y,

    z log(z / (a + r E)) + Y log r + E - Y - log(z / a) / 2 + s(z) - s(a),

where z / (a + r E) - 1 = (Y - r E) / (a + r E). The term E belongs to the rows, and with it large
counts do not cancel either.

Binomial successes S and failures F, chance ~ Beta(a, b), n = a + b: the ratios as above for S with a and F with b, less
the ratio for S + F with n, plus S log(a / n) + F log(b / n).

Slopes are with respect to log a and log b. `of_shape` computes once all that depends on a shape alone.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, log_beyond_one, log_of, shifted, stirling

# Number of values kept for a shape: the shape, log Gamma and s, digamma and p.
OF_SHAPE = 5


@compiled
def of_shape(x):
    """Return the values of a shape: the shape, log Gamma and s, digamma and p."""
    z, product, slope = shifted(x)
    log_x, log_z = np.log(x), np.log(z)
    log_gamma = (z - 0.5) * log_z - z + stirling(z) - np.log(product)
    digamma = log_z + digamma_less_log(z) - slope / product
    if x < LARGE:
        return np.array([x, log_gamma, log_gamma - (x - 0.5) * log_x + x, digamma, digamma - log_x])
    return np.array([x, log_gamma, stirling(x), digamma, digamma_less_log(x)])


@inlined
def log_ratio(x, k):
    """Return log Gamma(x + k) - log Gamma(x) - k log x, of a shape x that no other value shares."""
    z, product, _ = shifted(x)
    w, other_product, _ = shifted(x + k)
    log_x, log_z, log_w = log_of(x), log_of(z), log_of(w)
    low = (z - 0.5) * log_z - z + stirling(z) - log_of(product)
    high = (w - 0.5) * log_w - w + stirling(w) - log_of(other_product)
    ratio = k / x
    series = (x + k - 0.5) * log_beyond_one(1.0 + ratio, ratio) - k + stirling(w)
    remainder = low - (x - 0.5) * log_x + x if x < LARGE else stirling(z)
    return high - low - k * log_x if x + k < LARGE else series - remainder


@inlined
def ratio_slope(x, k):
    """Return digamma(x + k) - digamma(x), of a shape x that no other value shares."""
    z, product, slope = shifted(x)
    w, other_product, other_slope = shifted(x + k)
    low = log_of(z) + digamma_less_log(z) - slope / product
    high = log_of(w) + digamma_less_log(w) - other_slope / other_product
    ratio = k / x
    remainder = low - log_of(x) if x < LARGE else digamma_less_log(z)
    return high - low if x + k < LARGE else log_beyond_one(1.0 + ratio, ratio) + digamma_less_log(w) - remainder


@compiled
def add_ratios(sign, shape, values, count, out):
    """Add sign times log Gamma(x + k) - log Gamma(x) - k log x for the first `count` values k, where x is the shape."""
    x, log_gamma, remainder = shape[0], shape[1], shape[2]
    log_x = np.log(x)
    for i in range(count):
        k = values[i]
        z, product, _ = shifted(x + k)
        small = x + k < LARGE
        ratio = k / x
        log = log_beyond_one(z if small else 1.0 + ratio, LARGE if small else ratio)
        subtrahend = z + log_of(product) + log_gamma + k * log_x if small else k + remainder
        out[i] += sign * ((z - 0.5) * log + stirling(z) - subtrahend)


@compiled
def add_ratio_slopes(sign, shape, values, count, out):
    """Add sign times digamma(x + k) - digamma(x) for the first `count` values k, where x is the shape."""
    x, digamma, remainder = shape[0], shape[3], shape[4]
    for i in range(count):
        k = values[i]
        z, product, slope = shifted(x + k)
        small = x + k < LARGE
        ratio = k / x
        log = log_beyond_one(z if small else 1.0 + ratio, LARGE if small else ratio)
        out[i] += sign * (log + digamma_less_log(z) - (slope / product + digamma if small else remainder))


@compiled
def gamma_factors(numbers, counts, exposures, count, out):
    """Compute log factors of Poisson counts; `numbers` has the values of shape a, then b, log b, r, log r and log a."""
    a, (b, log_b, mean, log_mean, log_a) = numbers[0], numbers[OF_SHAPE : OF_SHAPE + 5]
    small_constant, constant = numbers[1] - a * log_b, numbers[2] - 0.5 * log_a
    for i in range(count):
        y, e = counts[i], exposures[i]
        x, w, v = a + y, b + e, a + mean * e
        z, product, _ = shifted(x)
        small = x < LARGE
        log = log_beyond_one(w if small else x / v, w - 1.0 if small else (y - mean * e) / v)
        log_z, series = log_of(z), stirling(z)
        small_factor = (z - 0.5) * log_z - z - log_of(product) - x * log + e - small_constant
        out[i] = series + (small_factor if small else x * log + y * log_mean + (e - y) - 0.5 * log_z - constant)


@compiled
def gamma_slopes(numbers, counts, exposures, count, by_a, by_b):
    """Compute the slopes of log factors of Poisson counts."""
    a, (b, log_b, mean, _, _) = numbers[0], numbers[OF_SHAPE : OF_SHAPE + 5]
    small_constant, constant = numbers[3] - log_b, numbers[4]
    for i in range(count):
        y, e = counts[i], exposures[i]
        x, w, v = a + y, b + e, a + mean * e
        z, product, slope = shifted(x)
        small = x < LARGE
        log = log_beyond_one(w if small else x / v, w - 1.0 if small else (y - mean * e) / v)
        series = digamma_less_log(z)
        small_slope = log_of(z) - slope / product - log - small_constant
        by_a[i] = a * (series + (small_slope if small else log - constant))
        by_b[i] = (mean * e - y) * (b / w)


@compiled
def beta_factors(numbers, successes, failures, trials, count, out):
    """Compute log factors of successes and failures.

    `numbers` has the values of the shapes a, b and n, then log(a / n) and log(b / n). `trials` is room for the sums of
    successes and failures.
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
    """Compute the slopes of log factors of successes and failures, given `trials`."""
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
