"""NEGATIVE_BINOMIAL_VARYING: that of NEGATIVE_BINOMIAL with a = e^-2u, u a second linear predictor.

All that depends on a belongs to l; the rest is y log n - log y!. In place of the curvature by u stands the expected
one, an approximation that is exact in its limits.
"""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.count_factors import log_ratio, ratio_slope
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_one_plus, rate
from bayes_personal.kernels.varying_scales import apart, within


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        a = exp_of(-2.0 * within(eta[1, begin + i]))
        reached = HIGHEST if eta[0, begin + i] > HIGHEST else eta[0, begin + i]
        out[i] += y[at + i] * reached - (y[at + i] + a) * log_one_plus(n[at + i] * exp_of(reached) / a)
        out[i] += log_ratio(a, y[at + i])


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    apart(count, curvature, positive)
    for i in range(count):
        a = exp_of(-2.0 * within(eta[1, begin + i]))
        mean = rate(n[at + i], eta[0, begin + i])
        x = mean / a
        share = 1.0 / (1.0 + x)
        slope = ratio_slope(a, y[at + i])
        score[0, i] = y[at + i] * share - a * (x * share)
        score[1, i] = -2.0 * (a * (slope - log_one_plus(x)) + (y[at + i] + a) * (x * share) - y[at + i])
        curvature[0, 0, i] = positive[0, 0, i] = (y[at + i] + a) * (x * share) * share
        # That of the logarithm of a variance that is estimated by the square of a residual.
        shape = 1.0 + 1.0 / (1.0 + 2.4 * a)
        twice = 2.0 * mean * (1.0 + x)
        curvature[1, 1, i] = positive[1, 1, i] = 2.0 * shape * (x * share) ** 2 * (twice / (1.0 + twice)
                                                                                   if twice < 1e100 else 1.0)
