"""What a Weibull outcome says that may not have been seen exactly, by z = k (log y - eta): log S = -e^z.

With u = e^z the outcome is an exponential one, so that an interval from u to u + d has e^-u (1 - e^-d). For n see
`families.parts.censoring`.
"""

import math

import numpy as np

from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.kernels.compiling import inlined

# Farthest z: its exponential, and that times any shape squared, are numbers.
FARTHEST = 600.0


@inlined
def of_exponential(y, n, eta, k):
    """Return log p of a row, but for log(k / y) where it was seen; its slope and negative curvature as z moves; and the
    slope by k."""
    reach = math.log(y) - eta
    z = min(k * reach, FARTHEST)
    u = math.exp(z)
    if n == SEEN:
        return z - u, 1.0 - u, u, z / k * (1.0 - u)
    if n == np.inf:
        return -u, -u, u, -z / k * u
    if n == BELOW:
        before, log_d, widening = 0.0, z, 0.0
    else:
        width = math.log1p(n / y)
        grown = k * width
        before, log_d = u, min(z + (grown if grown > 40.0 else math.log(math.expm1(grown))), FARTHEST)
        widening = -width / math.expm1(-grown)
    d = math.exp(log_d)
    # The share q = d / (e^d - 1) and log(1 - e^-d).
    if d < 1e-4:
        share, less, height = 1.0 - 0.5 * d + d * d / 12.0, 0.5 * d + d * d / 12.0, log_d - 0.5 * d
    else:
        share = d / math.expm1(d) if d < 700.0 else 0.0
        less = d + share - 1.0
        height = math.log1p(-math.exp(-d)) if d > 1.0 else math.log(-math.expm1(-d))
    slope = share - before
    return height - before, slope, before + share * less, z / k * slope + widening * share


@inlined
def weibull_row(y, n, eta, k):
    """Return log p, but for -log y where it was seen; its score and negative curvature by eta, and its slope by k."""
    height, slope, curvature, growth = of_exponential(y, n, eta, k)
    if n == SEEN:
        height += math.log(k)
        growth += 1.0 / k
    return height, -k * slope, k * k * curvature, growth
