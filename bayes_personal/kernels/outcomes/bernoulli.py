"""BERNOULLI: l = y eta - log(1 + e^eta), n is 1."""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import decay, log_of
from bayes_personal.kernels.outcomes.binomial import set_slopes as set_slopes


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        out[i] += y[at + i] * eta[0, begin + i] - n[at + i] * (eta[0, begin + i] if eta[0, begin + i] > 0 else 0.0)
        factor[i] *= 1.0 + n[at + i] * decay(eta[0, begin + i])


@spliced
def fold(count, out, factor):
    # One logarithm serves many rows, whose factors are at most 2.
    for i in range(count):
        out[i] -= log_of(factor[i])
        factor[i] = 1.0
