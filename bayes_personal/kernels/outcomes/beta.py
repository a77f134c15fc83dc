"""BETA: y ~ Beta(a p, a q), p = 1 - q = 1 / (1 + e^-eta); n is 1.

With s of `kernels.shapes` and D = p log(p / y) + q log(q / (1 - y)), which is 0 where y is p,

    l = log(a p q) / 2 - a D + s(a) - s(a p) - s(a q),

in which no terms of the size of a cancel. `own` is a, and the rest -log(y (1 - y)). Beside the curvature, which may be
negative far from p, stands the expected one.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import log_beyond_one, log_of
from bayes_personal.kernels.outcomes.beta_binomial import LEAST, chances, placed
from bayes_personal.kernels.shapes import digamma_rest, log_gamma_rest, trigamma_rest


@inlined
def divergence(y, p, q):
    """Return D."""
    return -p * log_beyond_one(y / p, (y - p) / p) - q * log_beyond_one((1.0 - y) / q, (p - y) / q)


@inlined
def log_likelihood(a, y, p, q):
    """Return l of one row."""
    rests = log_gamma_rest(a) - log_gamma_rest(a * p) - log_gamma_rest(a * q)
    return 0.5 * (log_of(a) + log_of(p) + log_of(q)) - a * divergence(y, p, q) + rests


@inlined
def relative_score(a, y, eta, p, q):
    """Return the score over a p q: what the log odds of y have beside those that are expected."""
    return log_of(y) - log_of(1.0 - y) - eta - digamma_rest(a * p) + digamma_rest(a * q)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        p, q = chances(placed(eta[0, begin + i]))
        out[i] += log_likelihood(a, y[at + i], p, q) if n[at + i] > 0 else 0.0


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        place, inside = placed(eta[0, begin + i]), n[at + i] > 0
        p, q = chances(place)
        slope = a * p * q * relative_score(a, y[at + i], place, p, q)
        expected = a * p * q + q * q * trigamma_rest(a * p) + p * p * trigamma_rest(a * q)
        score[0, i] = slope if inside else 0.0
        positive[0, 0, i] = expected if inside else 0.0
        curvature[0, 0, i] = expected - (q - p) * slope if inside else 0.0


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        p, q = chances(placed(eta[0, begin + i]))
        slope = digamma_rest(a) - p * digamma_rest(a * p) - q * digamma_rest(a * q) - divergence(y[at + i], p, q)
        out[0] += weights[i] * slope if n[at + i] > 0 else 0.0
