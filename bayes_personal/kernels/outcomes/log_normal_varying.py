"""LOG_NORMAL_VARYING: that of NORMAL_VARYING for the logarithm of the outcome; what is left is -log y - log(2 pi)/2."""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.varying_scales import apart, within


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        u = within(eta[1, begin + i])
        r = (log_of(y[at + i] if n[at + i] > 0 else 1.0) - eta[0, begin + i]) * exp_of(-u)
        out[i] -= n[at + i] * (0.5 * r * r + u)


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    apart(count, curvature, positive)
    for i in range(count):
        e = exp_of(-within(eta[1, begin + i]))
        r = (log_of(y[at + i] if n[at + i] > 0 else 1.0) - eta[0, begin + i]) * e
        score[0, i], score[1, i] = n[at + i] * r * e, n[at + i] * (r * r - 1.0)
        curvature[0, 0, i] = positive[0, 0, i] = n[at + i] * e * e
        curvature[1, 1, i] = positive[1, 1, i] = 2.0 * n[at + i]
