"""POISSON: l = y eta - n e^eta, of exposures n; the rest is y log n - log y!."""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import rate


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        out[i] += y[at + i] * eta[0, begin + i] - rate(n[at + i], eta[0, begin + i])


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        mean = rate(n[at + i], eta[0, begin + i])
        score[0, i], curvature[0, 0, i], positive[0, 0, i] = y[at + i] - mean, mean, mean
