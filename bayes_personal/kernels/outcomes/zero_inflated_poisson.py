"""ZERO_INFLATED_POISSON: a count of mean m = n e^eta, of exposures n, or 0 with the probability z.

l = y eta - m where y is positive, and log(z + (1 - z) e^-m) where it is 0. `own` is z, and the rest log(1 - z) where y
is positive, and what no unknown enters. With w = 1 / (1 + z / ((1 - z) e^-m)), the probability that a 0 has been
counted, the slopes of a 0 are -m w and m w (1 - (1 - w) m), negative where w is small; beside the latter stands m w,
that of the expectation step of an EM algorithm.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_beyond_one, rate, share_of_decay

# Up to this mean a probability near 1 is computed from what it lacks.
NEAR = 0.5


@inlined
def counted(z, mean):
    """Return the mean, as far as e^-mean is a number, the probability of 0, what it lacks, and w."""
    m = mean if mean < HIGHEST else HIGHEST
    e = exp_of(-m)
    lack = (1.0 - z) * (m * share_of_decay(m) if m < NEAR else 1.0 - e)
    chance = 1.0 - lack if m < NEAR else z + (1.0 - z) * e
    return m, chance, lack, (1.0 - z) * e / chance


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    z = own[0]
    for i in range(count):
        mean = rate(n[at + i], eta[0, begin + i])
        m, chance, lack, _ = counted(z, mean)
        of_zero = log_beyond_one(chance, -lack if m < NEAR else 1.0)
        out[i] += y[at + i] * eta[0, begin + i] - mean if y[at + i] > 0 else of_zero


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    z = own[0]
    for i in range(count):
        mean = rate(n[at + i], eta[0, begin + i])
        m, _, _, w = counted(z, mean)
        seen = y[at + i] > 0
        score[0, i] = y[at + i] - mean if seen else -m * w
        positive[0, 0, i] = mean if seen else m * w
        curvature[0, 0, i] = mean if seen else m * w * (1.0 - (1.0 - w) * m)


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    z = own[0]
    for i in range(count):
        _, chance, lack, _ = counted(z, rate(n[at + i], eta[0, begin + i]))
        out[0] += 0.0 if y[at + i] > 0 else weights[i] * (lack / (1.0 - z)) / chance


@spliced
def rest(own, outcomes, counts, slopes):
    seen = counts[outcomes > 0].sum()
    slopes[0] = -seen / (1.0 - own[0])
    return seen * np.log1p(-own[0])
