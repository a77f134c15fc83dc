"""LOG_NORMAL: l = -r^2/2, r = (log y - eta)/b; n is 1.

`own` is b, and the rest -log b; what is left is -log y - log(2 pi)/2.
"""

import numpy as np

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import log_of


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        r = (log_of(y[at + i] if n[at + i] > 0 else 1.0) - eta[0, begin + i]) / own[0]
        out[i] -= 0.5 * n[at + i] * r * r


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        precision = n[at + i] / (own[0] * own[0])
        score[0, i] = (log_of(y[at + i] if n[at + i] > 0 else 1.0) - eta[0, begin + i]) * precision
        curvature[0, 0, i] = positive[0, 0, i] = precision


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    for i in range(count):
        r = (log_of(y[at + i] if n[at + i] > 0 else 1.0) - eta[0, begin + i]) / own[0]
        out[0] += weights[i] * n[at + i] * r * r / own[0]


@spliced
def rest(own, outcomes, counts, slopes):
    rows = counts.sum()
    slopes[0] = -rows / own[0]
    return -rows * np.log(own[0])
