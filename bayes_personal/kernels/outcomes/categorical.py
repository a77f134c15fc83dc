"""CATEGORICAL: l = eta_y - log(1 + sum_k e^eta_k), eta_0 = 0; y counts categories from 0, and n is 1.

There are as many linear predictors as categories but the first, and `HIGHEST` is the largest that counts. The log
likelihood is concave. Loops over rows are innermost, which lets them use the processor's vectors; in between, `factor`
and `positive` hold the sum of the exponentials.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_of


@inlined
def counted(eta):
    """Return a linear predictor as far as it counts."""
    return HIGHEST if eta > HIGHEST else eta


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for k in range(len(eta)):
        for i in range(count):
            place = counted(eta[k, begin + i])
            factor[i] += exp_of(place)
            out[i] += n[at + i] * place if y[at + i] == k + 1.0 else 0.0
    for i in range(count):
        out[i] -= n[at + i] * log_of(factor[i])
        factor[i] = 1.0


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        positive[0, 0, i] = 1.0
    for k in range(len(eta)):
        for i in range(count):
            score[k, i] = exp_of(counted(eta[k, begin + i]))
            positive[0, 0, i] += score[k, i]
    for i in range(count):
        positive[0, 0, i] = 1.0 / positive[0, 0, i]
    for k in range(len(eta)):
        for i in range(count):
            score[k, i] *= positive[0, 0, i]
            # p (1 - p) by the probabilities of all others: a difference would lose its digits where p is near 1.
            curvature[k, k, i] = n[at + i] * score[k, i] * positive[0, 0, i]
    for k in range(len(eta)):
        for m in range(k):
            for i in range(count):
                both = n[at + i] * score[k, i] * score[m, i]
                curvature[k, k, i] += both
                curvature[m, m, i] += both
                curvature[k, m, i] = curvature[m, k, i] = -both
    for k in range(len(eta)):
        for m in range(len(eta)):
            for i in range(count):
                positive[k, m, i] = curvature[k, m, i]
        for i in range(count):
            score[k, i] = n[at + i] * ((1.0 if y[at + i] == k + 1.0 else 0.0) - score[k, i])
