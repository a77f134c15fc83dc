"""Exponentials, logarithms and gamma functions that compile to the processor's vectors.

A loop that calls the mathematical library takes one number at a time. The functions below are polynomials without a
branch: the compiler puts them into the loop that calls them and handles four or eight numbers at once. Relative errors
are a few 1e-16. The constants of the logarithm are those of fdlibm's log.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined

LOWEST = -708.0
PER_LOG2 = 1.4426950408889634
LOG2_HIGH, LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# A double of 2^52 or more has no fraction: an integer added to one of these constants appears in its last bits.
WHOLE = 4503599627370496.0
WHOLE_AND_BIAS = 6755399441055744.0 + 1023.0
EXPONENT = np.uint64(52)
WHOLE_BITS = np.uint64(0x4330000000000000)
# Bits of sqrt(1/2), and 1024 steps of the exponent, which keep the difference from being negative.
ROOT_OF_HALF = np.uint64(0x3FE6A09E00000000)
SHIFTED = np.uint64(1024 << 52)
TOP_BITS = np.uint64(0xFFF0000000000000)
HALF_LOG_2PI = 0.9189385332046727
# Beyond this linear predictor the exponential stays as it is, for float64 ends at e^709, and with it what it is a part
# of: no outcome is likelier than there.
HIGHEST = 700.0
# Below this x, log(1 + x) is its series: the logarithm of a sum would lose its digits.
SMALL = 1e-4
# From this value on Stirling's series is used: eight terms are then exact to rounding.
LARGE = 8.0


@inlined
def exp_of(x):
    """Return exp(x) for x up to 700; values below -708 count as -708, and NaN stays NaN."""
    x = LOWEST if x < LOWEST else x
    k = np.floor(x * PER_LOG2 + 0.5)
    r = (x - k * LOG2_HIGH) - k * LOG2_LOW
    q = 1 / 39916800 + r * (1 / 479001600)
    q = 1 / 3628800 + r * q
    q = 1 / 362880 + r * q
    q = 1 / 40320 + r * q
    q = 1 / 5040 + r * q
    q = 1 / 720 + r * q
    q = 1 / 120 + r * q
    q = 1 / 24 + r * q
    q = 1 / 6 + r * q
    q = 1.0 + r * (1.0 + r * (0.5 + r * q))
    power = np.float64(k + WHOLE_AND_BIAS).view(np.uint64) << EXPONENT
    return q * np.uint64(power).view(np.float64)


@inlined
def log_of_parts(k, f):
    """Return log(2^k (1 + f)), 1 + f between sqrt(1/2) and sqrt(2)."""
    s = f / (2.0 + f)
    z = s * s
    r = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    r = 1.818357216161805012e-01 + z * r
    r = 2.222219843214978396e-01 + z * r
    r = 2.857142874366239149e-01 + z * r
    r = 3.999999999940941908e-01 + z * r
    r = z * (6.666666666666735130e-01 + z * r)
    half = 0.5 * f * f
    return k * LOG2_HIGH - ((half - (s * (half + r) + k * LOG2_LOW)) - f)


@inlined
def parts_of(x):
    """Return k and f of x = 2^k (1 + f), 1 + f between sqrt(1/2) and sqrt(2)."""
    bits = np.float64(x).view(np.uint64)
    excess = bits - ROOT_OF_HALF
    k = np.uint64(((excess + SHIFTED) >> EXPONENT) | WHOLE_BITS).view(np.float64) - (WHOLE + 1024.0)
    return k, np.uint64(bits - (excess & TOP_BITS)).view(np.float64) - 1.0


@inlined
def log_of(x):
    """Return log(x) for x that is positive, finite and not subnormal."""
    k, f = parts_of(x)
    return log_of_parts(k, f)


@inlined
def log_beyond_one(x, excess):
    """Return log(x), x = 1 + excess; near 1 it is computed from the excess, some digits of which x has lost."""
    k, f = parts_of(x)
    return log_of_parts(k, excess if -0.25 < excess < 0.25 else f)


@inlined
def shifted(x):
    """Return the argument z = x or x + 8 of Stirling's series, and x (x + 1) ... (x + 7) or 1 with its slope."""
    product, slope = x, 1.0
    for k in range(1, 8):
        slope = slope * (x + k) + product
        product *= x + k
    small = x < LARGE
    return x + LARGE if small else x, product if small else 1.0, slope if small else 0.0


@inlined
def stirling(z):
    """Return log Gamma(z) - (z - 1/2) log z + z for z from 8 on."""
    y = 1.0 / z
    w = y * y
    q = -691 / 360360 + w * (1 / 156 - w * (3617 / 122400))
    q = -1 / 1680 + w * (1 / 1188 + w * q)
    q = 1 / 12 + w * (-1 / 360 + w * (1 / 1260 + w * q))
    return HALF_LOG_2PI + y * q


@inlined
def digamma_less_log(z):
    """Return the derivative of log Gamma at z, less log z, for z from 8 on."""
    y = 1.0 / z
    w = y * y
    q = 691 / 32760 - w * (1 / 12 - w * (3617 / 8160))
    q = 1 / 240 + w * (-1 / 132 + w * q)
    q = -1 / 12 + w * (1 / 120 + w * (-1 / 252 + w * q))
    return w * q - 0.5 * y


@inlined
def log_one_plus(x):
    """Return log(1 + x) for x from 0 on."""
    series = x * (1.0 - x * (0.5 - x * (1 / 3 - x * 0.25)))
    logarithm = log_of(1.0 + x)
    return series if x < SMALL else logarithm


@inlined
def decay(eta):
    """Return e^-|eta|."""
    return exp_of(-eta if eta > 0 else eta)


@inlined
def rate(n, eta):
    """Return n e^eta."""
    return n * exp_of(HIGHEST if eta > HIGHEST else eta)


@inlined
def share_of_decay(m):
    """Return (1 - e^-m) / m for m from 0 to 1/2."""
    q = 1 / 87178291200 - m * (1 / 1307674368000)
    q = 1 / 479001600 - m * (1 / 6227020800 - m * q)
    q = 1 / 3628800 - m * (1 / 39916800 - m * q)
    q = 1 / 40320 - m * (1 / 362880 - m * q)
    q = 1 / 720 - m * (1 / 5040 - m * q)
    q = 1 / 24 - m * (1 / 120 - m * q)
    q = 1 / 2 - m * (1 / 6 - m * q)
    return 1.0 - m * q
