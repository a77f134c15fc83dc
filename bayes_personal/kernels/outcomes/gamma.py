"""GAMMA: l = -a (e^r - 1 - r), r = log y - eta; n is 1.

`own` is the shape a, and the rest a log a - a - log Gamma(a); what is left is -log y.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.count_factors import of_shape
from bayes_personal.kernels.elementary import exp_of, log_of

# Farthest logarithm of an outcome over its mean: its exponential times any shape is a number.
FARTHEST = 600.0
# Below this r its series keeps digits of e^r - 1 - r that a difference would lose.
NEAR = 0.05
SMALLEST = 1e-300


@inlined
def log_over_mean(y, eta):
    """Return log y - eta, kept where its exponential is a number."""
    r = log_of(y if y > SMALLEST else SMALLEST) - eta
    return -FARTHEST if r < -FARTHEST else (FARTHEST if r > FARTHEST else r)


@inlined
def excess(r):
    """Return e^r - 1 - r."""
    series = r * r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (
        1 / 5040 + r * (1 / 40320 + r / 362880)))))))
    return series if -NEAR < r < NEAR else exp_of(r) - 1.0 - r


@inlined
def excess_slope(r):
    """Return e^r - 1."""
    series = r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (
        1 / 5040 + r / 40320)))))))
    return series if -NEAR < r < NEAR else exp_of(r) - 1.0


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        out[i] -= own[0] * n[at + i] * excess(log_over_mean(y[at + i], eta[0, begin + i]))


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        r = log_over_mean(y[at + i], eta[0, begin + i])
        score[0, i] = own[0] * n[at + i] * excess_slope(r)
        curvature[0, 0, i] = positive[0, 0, i] = own[0] * n[at + i] * exp_of(r)


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    for i in range(count):
        out[0] -= weights[i] * n[at + i] * excess(log_over_mean(y[at + i], eta[0, begin + i]))


@spliced
def rest(own, outcomes, counts, slopes):
    rows, shape = counts.sum(), of_shape(own[0])
    slopes[0] = -rows * shape[4]
    return rows * (0.5 * np.log(own[0]) - shape[2])
