"""BETA_VARYING: that of BETA with a = e^-2u, u a second linear predictor.

Beside the score stand expected curvatures alone, which are a positive matrix; by both predictors it is no zero, as
the mean of a Beta and its precision are not told apart by the same numbers.
"""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.outcomes.beta import divergence, log_likelihood, relative_score
from bayes_personal.kernels.outcomes.beta_binomial import chances, placed
from bayes_personal.kernels.outcomes.beta_binomial_varying import precision
from bayes_personal.kernels.shapes import digamma_rest, trigamma_rest


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        p, q = chances(placed(eta[0, begin + i]))
        out[i] += log_likelihood(precision(eta[1, begin + i]), y[at + i], p, q) if n[at + i] > 0 else 0.0


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        a, place, inside = precision(eta[1, begin + i]), placed(eta[0, begin + i]), n[at + i] > 0
        p, q = chances(place)
        rests = digamma_rest(a) - p * digamma_rest(a * p) - q * digamma_rest(a * q)
        score[0, i] = a * p * q * relative_score(a, y[at + i], place, p, q) if inside else 0.0
        score[1, i] = -2.0 * a * (rests - divergence(y[at + i], p, q)) if inside else 0.0
        up, down = trigamma_rest(a * p), trigamma_rest(a * q)
        positive[0, 0, i] = a * p * q + q * q * up + p * p * down if inside else 0.0
        positive[1, 1, i] = 4.0 * (up + down - trigamma_rest(a)) if inside else 0.0
        positive[0, 1, i] = -2.0 * (q * up - p * down) if inside else 0.0
        positive[1, 0, i] = positive[0, 1, i]
        curvature[0, 0, i], curvature[1, 1, i] = positive[0, 0, i], positive[1, 1, i]
        curvature[0, 1, i] = curvature[1, 0, i] = positive[0, 1, i]
