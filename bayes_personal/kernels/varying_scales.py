"""Log likelihoods of rows whose second linear predictor is the logarithm of a scale.

They are stated, and their arguments explained, in `likelihoods`, which calls them.
"""

from bayes_personal.kernels.codes import NORMAL_VARYING, STUDENT_T_VARYING
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.count_factors import log_ratio, ratio_slope
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_one_plus, rate

# Largest logarithm of a scale, in either direction.
FARTHEST = 300.0


@inlined
def within(u):
    """Return the logarithm of a scale, kept where its square and the inverse of that are numbers."""
    return -FARTHEST if u < -FARTHEST else (FARTHEST if u > FARTHEST else u)


@inlined
def add_varying(code, own, y, n, at, eta, begin, count, out):
    """Add l of `count` rows, as `add_log_likelihoods` does."""
    if code == NORMAL_VARYING:
        for i in range(count):
            u = within(eta[1, begin + i])
            r = (y[at + i] - eta[0, begin + i]) * exp_of(-u)
            out[i] -= n[at + i] * (0.5 * r * r + u)
    elif code == STUDENT_T_VARYING:
        a = own[0]
        for i in range(count):
            u = within(eta[1, begin + i])
            r = (y[at + i] - eta[0, begin + i]) * exp_of(-u)
            out[i] -= n[at + i] * (0.5 * (a + 1.0) * log_one_plus(r * r / a) + u)
    else:
        for i in range(count):
            a = exp_of(-2.0 * within(eta[1, begin + i]))
            reached = HIGHEST if eta[0, begin + i] > HIGHEST else eta[0, begin + i]
            out[i] += y[at + i] * reached - (y[at + i] + a) * log_one_plus(n[at + i] * exp_of(reached) / a)
            out[i] += log_ratio(a, y[at + i])


@inlined
def set_varying_slopes(code, own, y, n, at, eta, begin, count, score, curvature, positive):
    """Set score and curvatures of `count` rows, as `add_and_set_slopes` does."""
    for i in range(count):
        curvature[0, 1, i] = curvature[1, 0, i] = positive[0, 1, i] = positive[1, 0, i] = 0.0
    if code == NORMAL_VARYING:
        for i in range(count):
            e = exp_of(-within(eta[1, begin + i]))
            r = (y[at + i] - eta[0, begin + i]) * e
            score[0, i], score[1, i] = n[at + i] * r * e, n[at + i] * (r * r - 1.0)
            curvature[0, 0, i] = positive[0, 0, i] = n[at + i] * e * e
            curvature[1, 1, i] = positive[1, 1, i] = 2.0 * n[at + i]
    elif code == STUDENT_T_VARYING:
        a = own[0]
        for i in range(count):
            e = exp_of(-within(eta[1, begin + i]))
            r = (y[at + i] - eta[0, begin + i]) * e
            share = 1.0 / (a + r * r)
            positive[0, 0, i] = n[at + i] * (a + 1.0) * share * e * e
            score[0, i] = n[at + i] * (a + 1.0) * share * r * e
            score[1, i] = n[at + i] * ((a + 1.0) * share * r * r - 1.0)
            curvature[0, 0, i] = positive[0, 0, i] * (a - r * r) * share
            curvature[1, 1, i] = positive[1, 1, i] = n[at + i] * 2.0 * a / (a + 3.0)
    else:
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
