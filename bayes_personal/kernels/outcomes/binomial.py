"""BINOMIAL: l = y eta - n log(1 + e^eta), of n trials; the rest is log (n choose y)."""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import decay, log_one_plus


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        above = eta[0, begin + i] if eta[0, begin + i] > 0 else 0.0
        out[i] += y[at + i] * eta[0, begin + i] - n[at + i] * (above + log_one_plus(decay(eta[0, begin + i])))


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        e = decay(eta[0, begin + i])
        q = 1.0 / (1.0 + e)
        score[0, i] = y[at + i] - n[at + i] * (q if eta[0, begin + i] > 0 else e * q)
        curvature[0, 0, i] = n[at + i] * e * q * q
        positive[0, 0, i] = curvature[0, 0, i]
