"""What a Gamma outcome of mean e^eta and shape a says that may not have been seen exactly, by r = log y - eta.

The density of r is exp(h(a) - a (e^r - 1 - r)), h(a) = a log a - a - log Gamma(a). Relative to its value at one end of
an interval,

    forward   ∫ exp(-a g(s)) ds,  g(s) = e^r (e^s - 1) - s,    of what lies up to w above r, r >= 0
    backward  ∫ exp(-a g(s)) ds,  g(s) = s - e^r (1 - e^-s),   of what lies up to w below r, r <= 0

have integrands that fall from 1, and no digit is lost however far out r is. Gauss and Legendre's rule gives these
integrals and, with the same nodes, their slopes by a and the moments that slopes by eta are made of; of small shapes
the lower tail is the series of the incomplete Gamma function. With p the density over the probability at both ends, the
curvature is a sum of positive terms. For n see `families.parts.censoring`.
"""

import math

import numpy as np

from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import LARGE, digamma_less_log, shifted, stirling
from bayes_personal.kernels.outcomes.gamma import FARTHEST, excess, excess_slope

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
    """Return the integral up to w above r; its slope by a; that of e^s - 1; and the integrand and e^s - 1 at w."""
    b, c, t = excess_slope(r), math.exp(r), END / a
    reach = 2.0 * t / (b + math.hypot(b, math.sqrt(2.0 * c * t)))
    for _ in range(4):
        reach = min(reach, math.log1p((t + reach) / c))
    width = min(w, reach)
    mass, by_shape, moment = 0.0, 0.0, 0.0
    for k in range(len(NODES)):
        s = width * NODES[k]
        grown = math.expm1(s)
        # e^r (e^s - 1) - s without the cancellation of small s.
        g = b * grown + (grown - s if s > 0.05 else excess(s))
        share = WEIGHTS[k] * math.exp(-a * g)
        mass += share
        by_shape -= share * g
        moment += share * grown
    if w > reach:
        return width * mass, width * by_shape, width * moment, 0.0, 0.0
    grown = math.expm1(w)
    at_end = math.exp(-a * (b * grown + (grown - w if w > 0.05 else excess(w))))
    return width * mass, width * by_shape, width * moment, at_end, grown


@inlined
def lower_tail(a, r):
    """Return what `backward` does for all that lies below r, by the series of the incomplete Gamma function."""
    q = math.exp(r)
    x = a * q
    term, total, slope, moved = 1.0, 0.0, 0.0, 0.0
    for j in range(1, 400):
        term *= x / (a + j)
        moved += j / (a * (a + j))
        total += term
        slope += term * moved
        if term < 1e-17 * (1.0 + total):
            break
    mass = (1.0 + total) / a
    # 1 - (1 + total) (1 - q), over a q; of a tiny q its limit.
    moment = (q * (1.0 + total) - total) / (a * q) if q > 1e-8 else 1.0 / (a * (a + 1.0))
    return mass, slope / a - mass / a, moment


@inlined
def backward(a, r, w):
    """Return the integral down to w below r; its slope by a; that of 1 - e^-s; and the integrand and 1 - e^-s at w."""
    q, b = math.exp(r), -excess_slope(r)
    shrunk = -math.expm1(-w)
    g_end = w - q * shrunk if w > 0.05 else b * w + q * excess(-w)
    at_end = math.exp(-a * g_end)
    if a < SMALL_SHAPE and w > WIDE:
        mass, by_shape, moment = lower_tail(a, r)
        if w < np.inf and at_end > 1e-18:
            other, other_by_shape, other_moment = lower_tail(a, r - w)
            mass -= at_end * other
            by_shape -= at_end * (other_by_shape - g_end * other)
            moment -= at_end * (shrunk * other + math.exp(-w) * other_moment)
        return mass, by_shape, moment, at_end, shrunk
    t = END / a
    reach = 2.0 * t / (b + math.hypot(b, math.sqrt(4.0 * q * t / 3.0)))
    if reach > 1.0:
        reach = t + q
        for _ in range(4):
            reach = t - q * math.expm1(-reach)
    width = min(w, reach)
    mass, by_shape, moment = 0.0, 0.0, 0.0
    for k in range(len(NODES)):
        s = width * NODES[k]
        less = -math.expm1(-s)
        # s - e^r (1 - e^-s) without the cancellation of small s.
        g = b * s + q * (s - less if s > 0.05 else excess(-s))
        share = WEIGHTS[k] * math.exp(-a * g)
        mass += share
        by_shape -= share * g
        moment += share * less
    if w > reach:
        at_end, shrunk = 0.0, 0.0
    return width * mass, width * by_shape, width * moment, at_end, shrunk


@inlined
def between(a, r, w, below):
    """Return log P, its slope and negative curvature as r moves, and the slope by a.

    The outcome lies between r and r + w or, with `below`, between minus infinity and r.
    """
    h, h_slope = log_factor(a)
    if not below and r >= 0:
        mass, by_shape, moment, at_end, grown = forward(a, r, w)
        scale, mean = a * math.exp(r), moment / mass
        curvature = scale * (mean + at_end * (grown - mean)) / mass
        return (h - a * excess(r) + math.log(mass), -a * excess_slope(r) - scale * mean, curvature,
                h_slope - excess(r) + by_shape / mass)
    top = r if below else r + w
    if top <= 0:
        mass, by_shape, moment, at_end, shrunk = backward(a, top, np.inf if below else w)
        scale, mean = a * math.exp(top), moment / mass
        curvature = scale * (mean + at_end * (shrunk - mean)) / mass
        return (h - a * excess(top) + math.log(mass), -a * excess_slope(top) + scale * mean, curvature,
                h_slope - excess(top) + by_shape / mass)
    lower, lower_by_shape, lower_moment, at_low, _ = backward(a, 0.0, np.inf if below else -r)
    upper, upper_by_shape, upper_moment, at_high, _ = forward(a, 0.0, top)
    mass = lower + upper
    slope = a * (lower_moment - upper_moment) / mass
    # The density falls by a (e^r - 1) at the upper end and grows by it at the lower one.
    curvature = slope * slope + a * (excess_slope(top) * at_high if at_high > 0 else 0.0) / mass
    curvature -= a * (excess_slope(r) * at_low if at_low > 0 and not below else 0.0) / mass
    return h + math.log(mass), slope, curvature, h_slope + (lower_by_shape + upper_by_shape) / mass


@inlined
def gamma_row(y, n, eta, a):
    """Return log p, but for -log y where it was seen; its score and negative curvature by eta, and its slope by a."""
    r = min(max(math.log(y) - eta, -FARTHEST), FARTHEST)
    if n == SEEN:
        h, h_slope = log_factor(a)
        return h - a * excess(r), a * excess_slope(r), a * math.exp(r), h_slope - excess(r)
    height, slope, curvature, by_shape = between(a, r, 0.0 if n == BELOW else math.log1p(n / y), n == BELOW)
    return height, -slope, curvature, by_shape
