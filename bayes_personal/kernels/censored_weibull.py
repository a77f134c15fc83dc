"""What a Weibull outcome says that may not have been seen exactly, by z = k (log y - eta): log S = -e^z.

With u = e^z the outcome is an exponential one, so that an interval from u to u + d has e^-u (1 - e^-d). For n see
`families.parts.censoring`.

Where k varies too, log p is concave in (k eta, k), as the density of the logarithm is log-concave. In place of the
negative curvature by (eta, log k), which is no positive matrix, stands that one carried over to (eta, log k): it lacks
what the slopes add, which is 0 on average over outcomes and at the mode of rows that share both.
"""

import math

import numpy as np

from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.kernels.compiling import inlined

# Farthest z: its exponential, and that times any shape squared, are numbers.
FARTHEST = 600.0
# Farthest logarithm of a shape that varies.
FARTHEST_SHAPE = 50.0


@inlined
def of_exponential(y, n, eta, k):
    """Return log p of a row, but for log(k / y) where it was seen; its slope and negative curvature as z moves; the
    slope by log k, and the negative curvatures by z and log k and by log k."""
    reach = math.log(y) - eta
    z = min(k * reach, FARTHEST)
    u = math.exp(z)
    if n == SEEN:
        return z - u, 1.0 - u, u, z * (1.0 - u), z * u, z * z * u
    if n == np.inf:
        return -u, -u, u, -z * u, z * u, z * z * u
    # `widening` is the slope of log d by log k beside z, and `bend` its own slope, less a share of `widening`.
    if n == BELOW:
        before, log_d, widening, bend = 0.0, z, 0.0, 0.0
    else:
        grown = k * math.log1p(n / y)
        before, log_d = u, min(z + (grown if grown > 40.0 else math.log(math.expm1(grown))), FARTHEST)
        widening = -grown / math.expm1(-grown)
        bend = widening * (grown / math.expm1(grown) if grown < 700.0 else 0.0)
    d = math.exp(log_d)
    # The share q = d / (e^d - 1) and log(1 - e^-d).
    if d < 1e-4:
        share, less, height = 1.0 - 0.5 * d + d * d / 12.0, 0.5 * d + d * d / 12.0, log_d - 0.5 * d
    else:
        share = d / math.expm1(d) if d < 700.0 else 0.0
        less = d + share - 1.0
        height = math.log1p(-math.exp(-d)) if d > 1.0 else math.log(-math.expm1(-d))
    slope, inner, along = share - before, share * less, z + widening
    return (height - before, slope, before + inner, z * slope + widening * share, z * before + inner * along,
            z * z * before + inner * along * along + share * bend)


@inlined
def weibull_row(y, n, eta, k):
    """Return log p, but for -log y where it was seen; its score and negative curvature by eta, and its slope by k."""
    height, slope, curvature, growth, _, _ = of_exponential(y, n, eta, k)
    if n == SEEN:
        height += math.log(k)
        growth += 1.0
    return height, -k * slope, k * k * curvature, growth / k


@inlined
def weibull_varying_row(y, n, eta, log_k):
    """Return log p, but for -log y where it was seen; its scores by eta and log k, and the curvatures by eta, by both
    and by log k."""
    log_k = min(max(log_k, -FARTHEST_SHAPE), FARTHEST_SHAPE)
    k = math.exp(log_k)
    height, slope, curvature, growth, mixed, of_growth = of_exponential(y, n, eta, k)
    if n == SEEN:
        height += log_k
        growth += 1.0
        of_growth += 1.0
    return height, -k * slope, growth, k * k * curvature, -k * mixed, of_growth
