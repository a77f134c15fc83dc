"""GAMMA_VARYING: that of GAMMA with a = e^-2u, u a second linear predictor.

All that depends on a belongs to l; the rest is -log y. In place of the curvature by u stands the expected one.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, exp_of, log_of, shifted, stirling
from bayes_personal.kernels.outcomes.gamma import excess, excess_slope, log_over_mean
from bayes_personal.kernels.varying_scales import apart

# Farthest logarithm of a dispersion: its shape times any outcome over its mean is a number.
FARTHEST_SCALE = 50.0


@inlined
def scale_within(u):
    """Return the logarithm of a dispersion, kept where its shape is a number."""
    return -FARTHEST_SCALE if u < -FARTHEST_SCALE else (FARTHEST_SCALE if u > FARTHEST_SCALE else u)


@inlined
def height(a):
    """Return a log a - a - log Gamma(a)."""
    z, product, _ = shifted(a)
    small = a * log_of(a) - a - ((z - 0.5) * log_of(z) - z + stirling(z) - log_of(product))
    return small if a < LARGE else 0.5 * log_of(a) - stirling(z)


@inlined
def height_slope(a):
    """Return log a - digamma(a)."""
    z, product, slope = shifted(a)
    small = log_of(a) - log_of(z) - digamma_less_log(z) + slope / product
    return small if a < LARGE else -digamma_less_log(z)


@inlined
def expected_curvature(a):
    """Return 4 a^2 (trigamma(a) - 1/a), the information on u."""
    x = a if a > 1e-30 else 1e-30
    total = 0.0
    for k in range(8):
        total += 1.0 / ((x + k) * (x + k))
    z = x + 8.0
    w = 1.0 / (z * z)
    series = w * (1 / 2 + (1 / 6 - w * (1 / 30 - w * (1 / 42 - w * (1 / 30 - w * 5 / 66)))) / z)
    small = total + 1.0 / z + series - 1.0 / x
    v = 1.0 / (x * x)
    large = v * (1 / 2 + (1 / 6 - v * (1 / 30 - v * (1 / 42 - v * (1 / 30 - v * 5 / 66)))) / x)
    return 4.0 * x * x * (small if x < LARGE else large)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        a = exp_of(-2.0 * scale_within(eta[1, begin + i]))
        out[i] += n[at + i] * (height(a) - a * excess(log_over_mean(y[at + i], eta[0, begin + i])))


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    apart(count, curvature, positive)
    for i in range(count):
        shape = exp_of(-2.0 * scale_within(eta[1, begin + i]))
        a = n[at + i] * shape
        r = log_over_mean(y[at + i], eta[0, begin + i])
        score[0, i] = a * excess_slope(r)
        score[1, i] = -2.0 * a * (height_slope(shape) - excess(r))
        curvature[0, 0, i] = positive[0, 0, i] = a * exp_of(r)
        curvature[1, 1, i] = positive[1, 1, i] = n[at + i] * expected_curvature(shape)
