"""CUMULATIVE_LOGIT: l = -log(1 + e^(c_y - eta)) - log(1 + e^(eta - c_(y+1))); y counts levels from 0, and n is 1.

The first is 0 at the lowest level, the second at the highest. `own` are the cuts c_2, c_3, ..., and c_1 is 0. The rest
is log(1 - e^(c_y - c_(y+1))) between two cuts. The log likelihood is concave.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import decay, log_one_plus


@inlined
def gaps_to_cuts(own, k, eta):
    """Return how far eta lies below the lower cut of level k, and above its upper one; far above and below none."""
    below = (own[k - 2] if k > 1 else 0.0) - eta if k > 0 else -np.inf
    above = eta - (own[k - 1] if k > 0 else 0.0) if k <= len(own) else -np.inf
    return below, above


@inlined
def logistic(x):
    """Return 1/(1 + e^-x)."""
    e = decay(x)
    return (1.0 if x > 0 else e) / (1.0 + e)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        below, above = gaps_to_cuts(own, int(y[at + i]), eta[0, begin + i])
        e, f = decay(below), decay(above)
        large = (below if below > 0 else 0.0) + (above if above > 0 else 0.0)
        out[i] -= n[at + i] * (large + log_one_plus(e + f + e * f))


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        below, above = gaps_to_cuts(own, int(y[at + i]), eta[0, begin + i])
        p, q = logistic(below), logistic(above)
        score[0, i] = n[at + i] * (p - q)
        curvature[0, 0, i] = n[at + i] * (p * logistic(-below) + q * logistic(-above))
        positive[0, 0, i] = curvature[0, 0, i]


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    for i in range(count):
        k = int(y[at + i])
        below, above = gaps_to_cuts(own, k, eta[0, begin + i])
        if k > 1:
            out[k - 2] -= n[at + i] * weights[i] * logistic(below)
        if 0 < k <= len(own):
            out[k - 1] += n[at + i] * weights[i] * logistic(above)


@spliced
def rest(own, outcomes, counts, slopes):
    total = 0.0
    for j in range(len(outcomes)):
        k = int(outcomes[j])
        if 0 < k <= len(own):
            gap = own[k - 1] - (own[k - 2] if k > 1 else 0.0)
            total += counts[j] * np.log(-np.expm1(-gap))
            slope = counts[j] / np.expm1(gap)
            slopes[k - 1] += slope
            if k > 1:
                slopes[k - 2] -= slope
    return total
