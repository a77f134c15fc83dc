"""BETA_BINOMIAL: successes of n trials whose probability is Beta(a p, a q), p = 1 - q = 1 / (1 + e^-eta).

With r(x, k) = log Gamma(x + k) - log Gamma(x) - k log x, which vanishes where the shape x is large,

    l = y log p + (n - y) log q + r(a p, y) + r(a q, n - y) - r(a, n).

`own` is a, and the rest log (n choose y). With A = y and B = n - y where the shapes are large, and otherwise
A = a p (digamma(a p + y) - digamma(a p)) and B the same of a q and n - y, the score is q A - p B. The curvature is
p q (A + B) less what makes it negative where outcomes are far from what they are expected to be; what stands beside it,
never negative and at least as large, is p q (A + B) itself.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.count_factors import log_ratio, ratio_slope
from bayes_personal.kernels.elementary import decay, log_one_plus
from bayes_personal.kernels.shapes import trigamma_rest

# Largest size of eta and least precision: shapes are then numbers that are not subnormal.
FARTHEST, LEAST = 600.0, 1e-40


@inlined
def chances(eta):
    """Return p and q."""
    e = decay(eta)
    more = 1.0 / (1.0 + e)
    return (more if eta > 0 else e * more), (e * more if eta > 0 else more)


@inlined
def placed(eta):
    """Return eta as near to 0 as it is looked at."""
    return -FARTHEST if eta < -FARTHEST else (FARTHEST if eta > FARTHEST else eta)


@inlined
def log_likelihood(a, y, n, eta):
    """Return l of one row."""
    place = placed(eta)
    p, q = chances(place)
    above = place if place > 0 else 0.0
    binomial = y * place - n * (above + log_one_plus(decay(place)))
    return binomial + log_ratio(a * p, y) + log_ratio(a * q, n - y) - log_ratio(a, n)


@inlined
def excess(x, k, slope):
    """Return the sum over j < k of j x / (x + j)^2, where slope is that of 1 / (x + j)."""
    share = x / (x + k)
    return x * slope - share * k - trigamma_rest(x) + share * share * trigamma_rest(x + k)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        out[i] += log_likelihood(a, y[at + i], n[at + i], eta[0, begin + i])


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        p, q = chances(placed(eta[0, begin + i]))
        up, down = ratio_slope(a * p, y[at + i]), ratio_slope(a * q, n[at + i] - y[at + i])
        successes, failures = a * p * up, a * q * down
        score[0, i] = q * successes - p * failures
        positive[0, 0, i] = p * q * (successes + failures)
        curvature[0, 0, i] = positive[0, 0, i] - q * q * excess(a * p, y[at + i], up) - (
            p * p * excess(a * q, n[at + i] - y[at + i], down))


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    a = own[0] if own[0] > LEAST else LEAST
    for i in range(count):
        p, q = chances(placed(eta[0, begin + i]))
        slope = p * ratio_slope(a * p, y[at + i]) + q * ratio_slope(a * q, n[at + i] - y[at + i])
        out[0] += weights[i] * (slope - ratio_slope(a, n[at + i]))
