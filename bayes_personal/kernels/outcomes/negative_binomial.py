"""NEGATIVE_BINOMIAL: l = y eta - (y + a) log(1 + n e^eta/a), of exposures n.

`own` is a, and the rest y log(n/a) + log (a + y - 1 choose y).
"""

import numpy as np

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.count_factors import add_ratio_slopes, add_ratios, of_shape
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_one_plus, rate


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    a = own[0]
    for i in range(count):
        reached = HIGHEST if eta[0, begin + i] > HIGHEST else eta[0, begin + i]
        out[i] += y[at + i] * reached - (y[at + i] + a) * log_one_plus(n[at + i] * exp_of(reached) / a)


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    a = own[0]
    for i in range(count):
        x = rate(n[at + i], eta[0, begin + i]) / a
        share = 1.0 / (1.0 + x)
        # The product of the two is at most 1, however large x is.
        score[0, i] = y[at + i] * share - a * (x * share)
        curvature[0, 0, i] = (y[at + i] + a) * (x * share) * share
        positive[0, 0, i] = curvature[0, 0, i]


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    a = own[0]
    for i in range(count):
        x = rate(n[at + i], eta[0, begin + i]) / a
        out[0] += weights[i] * ((1.0 + y[at + i] / a) * x / (1.0 + x) - log_one_plus(x))


@spliced
def rest(own, outcomes, counts, slopes):
    shape, ratios, ratio_slopes = of_shape(own[0]), np.zeros(len(outcomes)), np.zeros(len(outcomes))
    add_ratios(1.0, shape, outcomes, len(outcomes), ratios)
    add_ratio_slopes(1.0, shape, outcomes, len(outcomes), ratio_slopes)
    slopes[0] = ((ratio_slopes - outcomes / own[0]) * counts).sum()
    return (ratios * counts).sum()
