"""PROBIT: l = y log F(eta) + (n - y) log F(-eta), F the standard normal distribution function, of n trials.

The rest is log (n choose y). Slopes follow from the inverse of Mills' ratio, m(z) = f(z) / F(z), whose derivative is
-m(z) (z + m(z)).
"""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.normal_tails import (
    FARTHEST,
    density_at,
    log_other_side,
    log_tail,
    mills_ratio,
    tail_curvature,
)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        above = eta[0, begin + i] > 0
        t = eta[0, begin + i] if above else -eta[0, begin + i]
        t = FARTHEST if t > FARTHEST else t
        ratio = mills_ratio(t)
        likely, failures = log_other_side(t, ratio), n[at + i] - y[at + i]
        out[i] += (y[at + i] if above else failures) * likely
        out[i] += (failures if above else y[at + i]) * log_tail(t, ratio)


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        above = eta[0, begin + i] > 0
        t = eta[0, begin + i] if above else -eta[0, begin + i]
        t = FARTHEST if t > FARTHEST else t
        ratio, density, failures = mills_ratio(t), density_at(t), n[at + i] - y[at + i]
        likely = density / (1.0 - ratio * density)
        expected = y[at + i] if above else failures
        surprising = failures if above else y[at + i]
        slope = expected * likely - surprising / ratio
        score[0, i] = slope if above else -slope
        curvature[0, 0, i] = expected * likely * (likely + t) + surprising * tail_curvature(t, ratio)
        positive[0, 0, i] = curvature[0, 0, i]
