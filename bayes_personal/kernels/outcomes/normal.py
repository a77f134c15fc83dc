"""NORMAL: l = -n r^2/2, r = (y - eta)/b, of known precisions n, which are 1 where errors are alike.

`own` is b, and the rest -log b. Nearly everywhere the weights of a Normal family integrate out; moves of what does not
use this.
"""

import numpy as np

from bayes_personal.kernels.compiling import spliced


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) / own[0]
        out[i] -= 0.5 * n[at + i] * r * r


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        curvature[0, 0, i] = positive[0, 0, i] = n[at + i] / own[0] ** 2
        score[0, i] = curvature[0, 0, i] * (y[at + i] - eta[0, begin + i])


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) / own[0]
        out[0] += weights[i] * n[at + i] * r * r / own[0]


@spliced
def rest(own, outcomes, counts, slopes):
    rows = counts.sum()
    slopes[0] = -rows / own[0]
    return -rows * np.log(own[0])
