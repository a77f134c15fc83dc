"""STUDENT_T: l = -(a + 1)/2 log(1 + r^2/a), r = (y - eta)/b; n is 1.

`own` is a and b, and the rest log Gamma((a + 1)/2) - log Gamma(a/2) - log(pi a)/2 - log b. The curvature is negative
far from the centre; what stands beside it, never negative, is that of the expectation step of an EM algorithm.
"""

import numpy as np

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.count_factors import add_ratio_slopes, add_ratios, of_shape
from bayes_personal.kernels.elementary import HALF_LOG_2PI, log_one_plus


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    a, b = own[0], own[1]
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) / b
        out[i] -= 0.5 * n[at + i] * (a + 1.0) * log_one_plus(r * r / a)


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    a, b = own[0], own[1]
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) / b
        share = 1.0 / (a + r * r)
        positive[0, 0, i] = n[at + i] * (a + 1.0) * share / (b * b)
        score[0, i] = positive[0, 0, i] * b * r
        curvature[0, 0, i] = positive[0, 0, i] * (a - r * r) * share


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    a, b = own[0], own[1]
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) / b
        x = r * r / a
        share = n[at + i] * weights[i] * (a + 1.0) * x / (1.0 + x)
        out[0] += 0.5 * share / a - 0.5 * n[at + i] * weights[i] * log_one_plus(x)
        out[1] += share / b


@spliced
def ratio_of_gammas(a):
    """Return log Gamma((a + 1)/2) - log Gamma(a/2) - log(pi a)/2, and its slope by a."""
    # The logarithms of the two differ in few digits where a is large.
    half, shape, ratio, slope = np.full(1, 0.5), of_shape(0.5 * a), np.zeros(1), np.zeros(1)
    add_ratios(1.0, shape, half, 1, ratio)
    add_ratio_slopes(1.0, shape, half, 1, slope)
    return ratio[0] - HALF_LOG_2PI, 0.5 * (slope[0] - 1.0 / a)


@spliced
def rest(own, outcomes, counts, slopes):
    rows = counts.sum()
    ratio, slope = ratio_of_gammas(own[0])
    slopes[0], slopes[1] = rows * slope, -rows / own[1]
    return rows * (ratio - np.log(own[1]))
