"""STUDENT_T_VARYING: that of STUDENT_T with b = e^u, less u, a second linear predictor.

`own` is a, and the rest that of STUDENT_T without b.
"""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import exp_of, log_one_plus
from bayes_personal.kernels.outcomes.student_t import ratio_of_gammas
from bayes_personal.kernels.varying_scales import apart, within


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    a = own[0]
    for i in range(count):
        u = within(eta[1, begin + i])
        r = (y[at + i] - eta[0, begin + i]) * exp_of(-u)
        out[i] -= n[at + i] * (0.5 * (a + 1.0) * log_one_plus(r * r / a) + u)


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    a = own[0]
    apart(count, curvature, positive)
    for i in range(count):
        e = exp_of(-within(eta[1, begin + i]))
        r = (y[at + i] - eta[0, begin + i]) * e
        share = 1.0 / (a + r * r)
        positive[0, 0, i] = n[at + i] * (a + 1.0) * share * e * e
        score[0, i] = n[at + i] * (a + 1.0) * share * r * e
        score[1, i] = n[at + i] * ((a + 1.0) * share * r * r - 1.0)
        curvature[0, 0, i] = positive[0, 0, i] * (a - r * r) * share
        curvature[1, 1, i] = positive[1, 1, i] = n[at + i] * 2.0 * a / (a + 3.0)


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    a = own[0]
    for i in range(count):
        r = (y[at + i] - eta[0, begin + i]) * exp_of(-within(eta[1, begin + i]))
        x = r * r / a
        share = (a + 1.0) * x / (1.0 + x)
        out[0] += 0.5 * n[at + i] * weights[i] * (share / a - log_one_plus(x))


@spliced
def rest(own, outcomes, counts, slopes):
    rows = counts.sum()
    ratio, slope = ratio_of_gammas(own[0])
    slopes[0] = rows * slope
    return rows * ratio
