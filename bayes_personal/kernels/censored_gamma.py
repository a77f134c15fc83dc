"""What a Gamma outcome of mean e^eta and shape a says that may not have been seen exactly, by r = log y - eta.

The density of r is exp(h(a) - a (e^r - 1 - r)), h(a) = a log a - a - log Gamma(a). Relative to its value at one end of
an interval,

    forward   ∫ exp(-a g(s)) ds,  g(s) = e^r (e^s - 1) - s,    of what lies up to w above r, r >= 0
    backward  ∫ exp(-a g(s)) ds,  g(s) = s - e^r (1 - e^-s),   of what lies up to w below r, r <= 0

have integrands that fall from 1, and no digit is lost however far out r is. Gauss and Legendre's rule gives these
integrals and, with the same nodes, their slopes by a and the moments that slopes by eta are made of; of small shapes
the lower tail is the series of the incomplete Gamma function. With p the density over the probability at both ends, the
curvature is a sum of positive terms. For n see `families.parts.censoring`.

Where a = e^-2u varies too, squares and products under the same rule are its second slopes: with R the unseen value of
r, that of log p by a is h''(a) and the variance of e^R - 1 - R. The negative curvature by (eta, u) is no positive
matrix. In its place stands, as of a Normal outcome, that one less the score by u, and by both less the score by eta:
what is taken away is 0 on average over outcomes and at the mode of rows that share both. What is left by both is
bounded where the matrix would not be positive.
"""

import math

import numpy as np

from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, shifted, stirling
from bayes_personal.kernels.outcomes.gamma import FARTHEST, excess, excess_slope
from bayes_personal.kernels.outcomes.gamma_varying import expected_curvature, scale_within

# The integrands end where they are e^-42.
END = 42.0
# Below this shape, intervals wider than this below r are sums of a series.
SMALL_SHAPE, WIDE = 30.0, 3.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
NODES, WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS


@inlined
def log_factor(a):
    """Return h(a) and its slope."""
    z, product, slope = shifted(a)
    if a < LARGE:
        value = a * math.log(a) - a - ((z - 0.5) * math.log(z) - z + stirling(z) - math.log(product))
        return value, math.log(a) - math.log(z) - digamma_less_log(z) + slope / product
    return 0.5 * math.log(a) - stirling(a), -digamma_less_log(a)


@inlined
def forward(a, r, w):
    """Return the integral up to w above r; its slope by a; that of e^s - 1; the integrand and e^s - 1 at w; and the
    integrals of g^2 and of g (e^s - 1)."""
    b, c, t = excess_slope(r), math.exp(r), END / a
    reach = 2.0 * t / (b + math.hypot(b, math.sqrt(2.0 * c * t)))
    for _ in range(4):
        reach = min(reach, math.log1p((t + reach) / c))
    width = min(w, reach)
    mass, by_shape, moment, square, product = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(len(NODES)):
        s = width * NODES[k]
        grown = math.expm1(s)
        # e^r (e^s - 1) - s without the cancellation of small s.
        g = b * grown + (grown - s if s > 0.05 else excess(s))
        share = WEIGHTS[k] * math.exp(-a * g)
        mass += share
        by_shape -= share * g
        moment += share * grown
        square += share * g * g
        product += share * g * grown
    at_end, grown = 0.0, 0.0
    if w <= reach:
        grown = math.expm1(w)
        at_end = math.exp(-a * (b * grown + (grown - w if w > 0.05 else excess(w))))
    return width * mass, width * by_shape, width * moment, at_end, grown, width * square, width * product


@inlined
def lower_tail(a, r):
    """Return the integrals that `backward` does for all that lies below r, by the series of the incomplete Gamma
    function."""
    q = math.exp(r)
    x = a * q
    term, total, slope, moved, second, turned = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(1, 400):
        term *= x / (a + j)
        moved += j / (a * (a + j))
        turned -= j * (2.0 * a + j) / (a * (a + j)) ** 2
        total += term
        slope += term * moved
        second += term * (moved * moved + turned)
        if term < 1e-17 * (1.0 + total):
            break
    mass = (1.0 + total) / a
    # 1 - (1 + total) (1 - q), over a q; of a tiny q its limit.
    moment = (q * (1.0 + total) - total) / (a * q) if q > 1e-8 else 1.0 / (a * (a + 1.0))
    by_shape = slope / a - mass / a
    return mass, by_shape, moment, second / a - 2.0 * by_shape / a, slope * (1.0 - q) / (a * q) + moment / a


@inlined
def backward(a, r, w):
    """Return the integral down to w below r; its slope by a; that of 1 - e^-s; the integrand and 1 - e^-s at w; and the
    integrals of g^2 and of g (1 - e^-s)."""
    q, b = math.exp(r), -excess_slope(r)
    shrunk = -math.expm1(-w)
    g_end = w - q * shrunk if w > 0.05 else b * w + q * excess(-w)
    at_end = math.exp(-a * g_end)
    if a < SMALL_SHAPE and w > WIDE:
        mass, by_shape, moment, square, product = lower_tail(a, r)
        if w < np.inf and at_end > 1e-18:
            other, other_by_shape, other_moment, other_square, other_product = lower_tail(a, r - w)
            mass -= at_end * other
            by_shape -= at_end * (other_by_shape - g_end * other)
            kept = math.exp(-w)
            moment -= at_end * (shrunk * other + kept * other_moment)
            square -= at_end * (other_square - 2.0 * g_end * other_by_shape + g_end * g_end * other)
            product -= at_end * (shrunk * (g_end * other - other_by_shape)
                                 + kept * (g_end * other_moment + other_product))
        return mass, by_shape, moment, at_end, shrunk, square, product
    t = END / a
    reach = 2.0 * t / (b + math.hypot(b, math.sqrt(4.0 * q * t / 3.0)))
    if reach > 1.0:
        reach = t + q
        for _ in range(4):
            reach = t - q * math.expm1(-reach)
    width = min(w, reach)
    mass, by_shape, moment, square, product = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(len(NODES)):
        s = width * NODES[k]
        less = -math.expm1(-s)
        # s - e^r (1 - e^-s) without the cancellation of small s.
        g = b * s + q * (s - less if s > 0.05 else excess(-s))
        share = WEIGHTS[k] * math.exp(-a * g)
        mass += share
        by_shape -= share * g
        moment += share * less
        square += share * g * g
        product += share * g * less
    if w > reach:
        at_end, shrunk = 0.0, 0.0
    return width * mass, width * by_shape, width * moment, at_end, shrunk, width * square, width * product


@inlined
def between(a, r, w, below):
    """Return log P, its slope and negative curvature as r moves, the slope by a, and of R the variance of e^R - 1 - R
    and the covariance of that and a e^R.

    The outcome lies between r and r + w or, with `below`, between minus infinity and r.
    """
    h, h_slope = log_factor(a)
    if not below and r >= 0:
        mass, by_shape, moment, at_end, grown, square, product = forward(a, r, w)
        scale, mean, rise = a * math.exp(r), moment / mass, by_shape / mass
        curvature = scale * (mean + at_end * (grown - mean)) / mass
        return (h - a * excess(r) + math.log(mass), -a * excess_slope(r) - scale * mean, curvature,
                h_slope - excess(r) + rise, square / mass - rise * rise, scale * (product / mass + mean * rise))
    top = r if below else r + w
    if top <= 0:
        mass, by_shape, moment, at_end, shrunk, square, product = backward(a, top, np.inf if below else w)
        scale, mean, rise = a * math.exp(top), moment / mass, by_shape / mass
        curvature = scale * (mean + at_end * (shrunk - mean)) / mass
        return (h - a * excess(top) + math.log(mass), -a * excess_slope(top) + scale * mean, curvature,
                h_slope - excess(top) + rise, square / mass - rise * rise, -scale * (product / mass + mean * rise))
    lower, lower_by_shape, lower_moment, at_low, _, lower_square, lower_product = backward(
        a, 0.0, np.inf if below else -r)
    upper, upper_by_shape, upper_moment, at_high, _, upper_square, upper_product = forward(a, 0.0, top)
    mass = lower + upper
    slope, rise = a * (lower_moment - upper_moment) / mass, (lower_by_shape + upper_by_shape) / mass
    # The density falls by a (e^r - 1) at the upper end and grows by it at the lower one.
    curvature = slope * slope + a * (excess_slope(top) * at_high if at_high > 0 else 0.0) / mass
    curvature -= a * (excess_slope(r) * at_low if at_low > 0 and not below else 0.0) / mass
    return (h + math.log(mass), slope, curvature, h_slope + rise, (lower_square + upper_square) / mass - rise * rise,
            a * (upper_product - lower_product) / mass - slope * rise)


@inlined
def of_outcome(y, n, eta, a):
    """Return what `between` does of a row, but for -log y in log p where it was seen."""
    r = min(max(math.log(y) - eta, -FARTHEST), FARTHEST)
    if n == SEEN:
        h, h_slope = log_factor(a)
        return h - a * excess(r), -a * excess_slope(r), a * math.exp(r), h_slope - excess(r), 0.0, 0.0
    return between(a, r, 0.0 if n == BELOW else math.log1p(n / y), n == BELOW)


@inlined
def gamma_row(y, n, eta, a):
    """Return log p, but for -log y where it was seen; its score and negative curvature by eta, and its slope by a."""
    height, slope, curvature, by_shape, _, _ = of_outcome(y, n, eta, a)
    return height, -slope, curvature, by_shape


@inlined
def gamma_varying_row(y, n, eta, u):
    """Return log p, but for -log y where it was seen; its scores by eta and u, the curvatures by eta, both and u."""
    a = math.exp(-2.0 * scale_within(u))
    height, slope, of_eta, by_shape, variance, covariance = of_outcome(y, n, eta, a)
    by_u = -2.0 * a * by_shape
    of_u = max(expected_curvature(a) - 4.0 * a * (a * variance) + by_u, 0.0)
    bound = math.sqrt(of_eta) * math.sqrt(of_u)
    return height, -slope, by_u, of_eta, min(max(-slope - 2.0 * a * covariance, -bound), bound), of_u
