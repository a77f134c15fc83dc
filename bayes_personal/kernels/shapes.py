"""What Gamma functions of a shape x have beside their leading terms, at any size of x.

Where a precision is large, log densities are small differences of Gamma functions whose leading terms cancel exactly.
What remains is smooth: log Gamma(x) = (x - 1/2) log x - x + s(x), digamma(x) = log x + p(x) and
x^2 trigamma(x) = x + r(x), r between 1/2 and 1. Below 8 they follow from those at x + 8.
"""

from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, log_of, shifted, stirling


@inlined
def log_gamma_rest(x):
    """Return s(x)."""
    z, product, _ = shifted(x)
    log_z = log_of(z)
    low = (z - 0.5) * log_z - z + stirling(z) - log_of(product) - (x - 0.5) * log_of(x) + x
    return low if x < LARGE else stirling(z)


@inlined
def digamma_rest(x):
    """Return p(x)."""
    z, product, slope = shifted(x)
    low = log_of(z) + digamma_less_log(z) - slope / product - log_of(x)
    return low if x < LARGE else digamma_less_log(z)


@inlined
def trigamma_rest(x):
    """Return r(x)."""
    z, shares = (x + LARGE if x < LARGE else x), 1.0
    for k in range(1, 8):
        shares += (x / (x + k)) ** 2
    y = 1.0 / z
    w = y * y
    q = 7 / 6 - w * (3617 / 510)
    q = 5 / 66 + w * (-691 / 2730 + w * q)
    q = 1 / 42 + w * (-1 / 30 + w * q)
    q = 0.5 + y * (1 / 6 + w * (-1 / 30 + w * q))
    return shares + x * (x * y) * (1.0 + y * q) - x if x < LARGE else q
