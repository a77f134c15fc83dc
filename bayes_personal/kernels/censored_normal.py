"""What a Normal outcome says, or the logarithm of one, that may not have been seen exactly.

The functions of rows take n as `families.parts.censoring` makes it: -1 where y was seen, infinity where the outcome is
above y, -2 where it is below y, and otherwise the width of the interval above y that holds it. Far out logarithms of
probabilities are asymptotic series, and those of narrow intervals are quadratures, since differences would have no
digit left.

Where sigma varies too, u = log sigma, log p is concave in (eta / sigma, 1 / sigma), as the density is log-concave. In
place of the negative curvature by (eta, u), which is no positive matrix, stands that one carried over to (eta, u): it
lacks what the slopes add, which is 0 on average over outcomes and at the mode of rows that share both.
"""

import math

import numpy as np

from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import HALF_LOG_2PI
from bayes_personal.kernels.varying_scales import within

# From here on series are used, which are then exact to 1e-11.
FAR = 35.0
ROOT_OF_HALF = 0.7071067811865476
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)
NODES, WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


@inlined
def log_above(z):
    """Return log P(Z > z)."""
    if z > FAR:
        v = 1.0 / (z * z)
        return -0.5 * z * z - math.log(z) - HALF_LOG_2PI + math.log1p(-v * (1.0 - v * (3.0 - v * (15.0 - 105.0 * v))))
    if z > -1.0:
        return math.log(0.5 * math.erfc(z * ROOT_OF_HALF))
    return math.log1p(-0.5 * math.erfc(-z * ROOT_OF_HALF))


@inlined
def hazard(z):
    """Return the density over P(Z > z), and how far that is above z."""
    if z > FAR:
        v = 1.0 / (z * z)
        gap = (1.0 - v * (2.0 - v * (10.0 - v * (74.0 - 706.0 * v)))) / z
        return z + gap, gap
    value = math.exp(-0.5 * z * z - HALF_LOG_2PI - log_above(z))
    return value, value - z


@inlined
def narrow(z, w):
    """Return what `between` returns of an interval over which the density hardly changes."""
    mass, first, second = 0.0, 0.0, 0.0
    for k in range(len(NODES)):
        t = w * NODES[k]
        share = WEIGHTS[k] * math.exp(-t * (z + 0.5 * t))
        mass += share
        first += share * t
        second += share * t * t
    first, second = first / mass, second / mass
    place = z + first
    variance = second - first * first
    return (-0.5 * z * z - HALF_LOG_2PI + math.log(w * mass), -place, 1.0 - variance,
            1.0 - place * place - variance, math.exp(-w * (z + 0.5 * w)) / mass, first)


@inlined
def between(z, w):
    """Return log P(z < Z < z + w); its slope and negative curvature as both ends move; the slope as both grow; and the
    negative curvatures as they move and grow, and as they grow, the ends' place in proportion to e^growth."""
    flipped = 2.0 * z + w < 0
    low = -(z + w) if flipped else z
    high = low + w
    # `reach` is w times the density at the upper end over the probability, `first` the mean distance from the lower.
    if w * (1.0 + max(low, 0.0)) < 1.0:
        height, slope, curvature, growth, reach, first = narrow(low, w)
    else:
        above = log_above(low)
        height = above + math.log1p(-math.exp(log_above(high) - above))
        at_low = math.exp(-0.5 * low * low - HALF_LOG_2PI - height)
        at_high = math.exp(-0.5 * high * high - HALF_LOG_2PI - height)
        slope, growth, reach = at_high - at_low, high * at_high - low * at_low, w * at_high
        if low > 1.0:
            # The density over the probability, less `low`, without its cancellation.
            ratio = math.exp(log_above(high) - above)
            gap = (hazard(low)[1] + low * ratio) / (1.0 - ratio)
            curvature = at_low * gap - 2.0 * at_low * at_high + at_high * at_high + high * at_high
            first = gap - at_high
        else:
            curvature = slope * slope + growth
            first = -slope - low
    curvature, across = max(curvature, 0.0), reach * (w - first)
    mixed = low * curvature + across
    of_growth = low * (low * curvature + 2.0 * across) + w * (reach * high) + reach * reach
    return height, -slope if flipped else slope, curvature, growth, -mixed if flipped else mixed, of_growth


@inlined
def of_one_end(height, slope, curvature, z):
    """Return what `of_error` does where its log p depends on z alone."""
    return height, slope, curvature, z * slope, z * curvature, z * z * curvature


@inlined
def of_error(n, z, w):
    """Return log p of a row, but for the logarithm of the scale, and what else `between` does of one."""
    if n == SEEN:
        return of_one_end(-0.5 * z * z - HALF_LOG_2PI, -z, 1.0, z)
    if n == np.inf:
        value, gap = hazard(z)
        return of_one_end(log_above(z), -value, value * gap, z)
    if n == BELOW:
        value, gap = hazard(-z)
        return of_one_end(log_above(-z), value, value * gap, z)
    return between(z, w)


@inlined
def scaled(n, z, w, sigma):
    """Return log p, its score and negative curvature by eta, and its slope by sigma."""
    height, slope, curvature, growth, _, _ = of_error(n, z, w)
    if n == SEEN:
        height -= math.log(sigma)
        growth += 1.0
    return height, -slope / sigma, curvature / (sigma * sigma), -growth / sigma


@inlined
def normal_row(y, n, eta, sigma):
    """Return what `scaled` does of a Normal outcome."""
    return scaled(n, (y - eta) / sigma, n / sigma, sigma)


@inlined
def log_normal_row(y, n, eta, sigma):
    """Return what `scaled` does of an outcome whose logarithm is Normal, but for -log y where it was seen."""
    return scaled(n, (math.log(y) - eta) / sigma, math.log1p(n / y) / sigma if n > 0 else 0.0, sigma)


@inlined
def varying(n, z, w, u, inverse):
    """Return log p, its scores by eta and u, and the curvatures by eta, by both and by u; `inverse` is e^-u."""
    height, slope, curvature, growth, mixed, of_growth = of_error(n, z, w)
    if n == SEEN:
        height -= u
        growth += 1.0
        of_growth += 1.0
    return height, -slope * inverse, -growth, curvature * inverse * inverse, mixed * inverse, of_growth


@inlined
def normal_varying_row(y, n, eta, u):
    """Return what `varying` does of a Normal outcome."""
    u = within(u)
    inverse = math.exp(-u)
    return varying(n, (y - eta) * inverse, n * inverse, u, inverse)


@inlined
def log_normal_varying_row(y, n, eta, u):
    """Return what `varying` does of an outcome whose logarithm is Normal, but for -log y where it was seen."""
    u = within(u)
    inverse = math.exp(-u)
    return varying(n, (math.log(y) - eta) * inverse, math.log1p(n / y) * inverse if n > 0 else 0.0, u, inverse)
