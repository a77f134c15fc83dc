"""Log likelihoods of rows as functions of their linear predictors, compiled.

A family names one of the `codes`. Its functions take, by position:

    =========  ====================  =========================================================================
    code       whole number          one of `codes`
    own        (number,)             what the family's own hyperparameters come to, as the table below says
    y          (row,)                outcomes
    n          (row,)                known constants; 0 takes a row out: its log likelihood is then 0
    eta        (predictor, row)      linear predictors, in the units of the link
    =========  ====================  =========================================================================

and compute ``l(eta)``, the part of log p(y | eta) that depends on eta. What is left depends on the outcome, the
constant and the family's own hyperparameters alone (`rest`):

    ==================  ==================================  ===========  ===================================
    code                l(eta)                              own          rest
    ==================  ==================================  ===========  ===================================
    BERNOULLI           y eta - log(1 + e^eta)
    BINOMIAL            y eta - n log(1 + e^eta)                         log (n choose y)
    POISSON             y eta - n e^eta                                  y log n - log y!
    NEGATIVE_BINOMIAL   y eta - (y + a) log(1 + n e^eta/a)  a            y log(n/a) + log (a + y - 1 choose y)
    STUDENT_T           -(a + 1)/2 log(1 + r^2/a),          a, b         log Gamma((a + 1)/2) - log Gamma(a/2)
                        r = (y - eta)/b                                  - log(pi a)/2 - log b
    ==================  ==================================  ===========  ===================================

In three more a second linear predictor u is the logarithm of a scale. All that depends on it belongs to l(eta, u):

    =========================  =====================  =====  =========================================
    code                       those above, with      own    rest
    =========================  =====================  =====  =========================================
    NORMAL_VARYING             -r^2/2 - u, b = e^u           -log(2 pi)/2
    STUDENT_T_VARYING          b = e^u, less u        a      log Gamma((a + 1)/2) - log Gamma(a/2)
                                                             - log(pi a)/2
    NEGATIVE_BINOMIAL_VARYING  a = e^-2u, plus               y log n - log y!
                               log Gamma(y + a)
                               - log Gamma(a) - y log a
    =========================  =====================  =====  =========================================

The curvature ``-l''`` is a matrix a row, (predictor, predictor, row). StudentT's is negative far from its centre:
`slopes` also return a curvature that never is, that of the expectation step of an EM algorithm. Of a row's two
predictors it is no positive matrix anywhere but at the mode; what stands in its place has the expected curvature by u,
and none by both, which is 0 on average over outcomes (an approximation for the NegativeBinomial, exact in its limits).

Rows are the last axis, and innermost loops run over them, which lets these use the processor's vectors.
"""

import numpy as np

from bayes_personal.kernels.codes import (
    BERNOULLI,
    BINOMIAL,
    NEGATIVE_BINOMIAL,
    NORMAL_VARYING,
    POISSON,
    STUDENT_T,
    STUDENT_T_VARYING,
)
from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.count_factors import add_ratio_slopes, add_ratios, of_shape
from bayes_personal.kernels.elementary import HALF_LOG_2PI, HIGHEST, exp_of, log_of, log_one_plus, rate
from bayes_personal.kernels.varying_scales import add_varying, set_varying_slopes, within

# Rows whose factors are multiplied before a logarithm is taken.
FOLDED = 512
# Rows that are handled side by side.
STRIP = 256


@inlined
def decay(eta):
    """Return e^-|eta|."""
    return exp_of(-eta if eta > 0 else eta)


@inlined
def add_log_likelihoods(code, own, y, n, at, eta, begin, count, out, factor):
    """Add l of `count` rows to `out`, (row,), but for a logarithm that `fold` adds: that of `factor`, (row,).

    They are those whose outcomes and constants start at `at`, and whose linear predictors start at `begin`. Slices of
    arrays would cost as much as several rows.
    """
    if code == BERNOULLI:
        for i in range(count):
            out[i] += y[at + i] * eta[0, begin + i] - n[at + i] * (eta[0, begin + i] if eta[0, begin + i] > 0 else 0.0)
            factor[i] *= 1.0 + n[at + i] * decay(eta[0, begin + i])
    elif code == BINOMIAL:
        for i in range(count):
            above = eta[0, begin + i] if eta[0, begin + i] > 0 else 0.0
            out[i] += y[at + i] * eta[0, begin + i] - n[at + i] * (above + log_one_plus(decay(eta[0, begin + i])))
    elif code == POISSON:
        for i in range(count):
            out[i] += y[at + i] * eta[0, begin + i] - rate(n[at + i], eta[0, begin + i])
    elif code >= NORMAL_VARYING:
        add_varying(code, own, y, n, at, eta, begin, count, out)
    elif code == NEGATIVE_BINOMIAL:
        a = own[0]
        for i in range(count):
            reached = HIGHEST if eta[0, begin + i] > HIGHEST else eta[0, begin + i]
            out[i] += y[at + i] * reached - (y[at + i] + a) * log_one_plus(n[at + i] * exp_of(reached) / a)
    else:
        a, b = own[0], own[1]
        for i in range(count):
            r = (y[at + i] - eta[0, begin + i]) / b
            out[i] -= 0.5 * n[at + i] * (a + 1.0) * log_one_plus(r * r / a)


@inlined
def add_and_set_slopes(code, own, y, n, at, eta, begin, count, out, factor, score, curvature, positive):
    """Do what `add_log_likelihoods` does, and set score l', (predictor, row), and the curvatures -l'' and one that is
    never negative, (predictor, predictor, row)."""
    add_log_likelihoods(code, own, y, n, at, eta, begin, count, out, factor)
    if code == BERNOULLI or code == BINOMIAL:
        for i in range(count):
            e = decay(eta[0, begin + i])
            q = 1.0 / (1.0 + e)
            score[0, i] = y[at + i] - n[at + i] * (q if eta[0, begin + i] > 0 else e * q)
            curvature[0, 0, i] = n[at + i] * e * q * q
            positive[0, 0, i] = curvature[0, 0, i]
    elif code == POISSON:
        for i in range(count):
            mean = rate(n[at + i], eta[0, begin + i])
            score[0, i], curvature[0, 0, i], positive[0, 0, i] = y[at + i] - mean, mean, mean
    elif code >= NORMAL_VARYING:
        set_varying_slopes(code, own, y, n, at, eta, begin, count, score, curvature, positive)
    elif code == NEGATIVE_BINOMIAL:
        a = own[0]
        for i in range(count):
            x = rate(n[at + i], eta[0, begin + i]) / a
            share = 1.0 / (1.0 + x)
            # The product of the two is at most 1, however large x is.
            score[0, i] = y[at + i] * share - a * (x * share)
            curvature[0, 0, i] = (y[at + i] + a) * (x * share) * share
            positive[0, 0, i] = curvature[0, 0, i]
    else:
        a, b = own[0], own[1]
        for i in range(count):
            r = (y[at + i] - eta[0, begin + i]) / b
            share = 1.0 / (a + r * r)
            positive[0, 0, i] = n[at + i] * (a + 1.0) * share / (b * b)
            score[0, i] = positive[0, 0, i] * b * r
            curvature[0, 0, i] = positive[0, 0, i] * (a - r * r) * share


@inlined
def fold(code, count, out, factor):
    """Subtract from the first entries of `out` the logarithms of those of `factor`, which become 1.

    One logarithm serves many Bernoulli rows, whose factors are at most 2.
    """
    if code == BERNOULLI:
        for i in range(count):
            out[i] -= log_of(factor[i])
            factor[i] = 1.0


@inlined
def add_own_slopes(code, own, y, n, at, eta, begin, count, weights, out):
    """Add the sum over `count` rows of weight times dl/down to `out`, (number,)."""
    if code == NEGATIVE_BINOMIAL:
        a = own[0]
        for i in range(count):
            x = rate(n[at + i], eta[0, begin + i]) / a
            out[0] += weights[i] * ((1.0 + y[at + i] / a) * x / (1.0 + x) - log_one_plus(x))
    elif code == STUDENT_T:
        a, b = own[0], own[1]
        for i in range(count):
            r = (y[at + i] - eta[0, begin + i]) / b
            x = r * r / a
            share = n[at + i] * weights[i] * (a + 1.0) * x / (1.0 + x)
            out[0] += 0.5 * share / a - 0.5 * n[at + i] * weights[i] * log_one_plus(x)
            out[1] += share / b
    elif code == STUDENT_T_VARYING:
        a = own[0]
        for i in range(count):
            r = (y[at + i] - eta[0, begin + i]) * exp_of(-within(eta[1, begin + i]))
            x = r * r / a
            share = (a + 1.0) * x / (1.0 + x)
            out[0] += 0.5 * n[at + i] * weights[i] * (share / a - log_one_plus(x))


@compiled
def log_likelihoods(code, own, y, n, eta):
    """Return l of every row, (row,)."""
    out, factor = np.zeros(len(y)), np.ones(len(y))
    add_log_likelihoods(code, own, y, n, 0, eta, 0, len(y), out, factor)
    fold(code, len(y), out, factor)
    return out


@inlined
def total(code, own, y, n, eta, out, factor):
    """Return the sum over rows of l, which are taken in strips as long as `out` and `factor`."""
    out[:], factor[:] = 0.0, 1.0
    width, since, result = len(out), 0, 0.0
    for start in range(0, len(y), width):
        add_log_likelihoods(code, own, y, n, start, eta, start, min(width, len(y) - start), out, factor)
        since += 1
        if since == FOLDED:
            fold(code, width, out, factor)
            since = 0
    fold(code, width, out, factor)
    for i in range(width):
        result += out[i]
    return result


@compiled
def totals(code, own, y, n, eta):
    """Return the sums over rows of l at draws of own (draw, number) and eta (draw, predictor, row), (draw,)."""
    result, out, factor = np.empty(len(eta)), np.empty(STRIP), np.empty(STRIP)
    for d in range(len(eta)):
        result[d] = total(code, own[d], y, n, eta[d], out, factor)
    return result


@compiled
def slopes(code, own, y, n, eta):
    """Return score (predictor, row) and the two curvatures (predictor, predictor, row)."""
    score, curvature, positive = np.empty(eta.shape), np.empty((len(eta), *eta.shape)), np.empty((len(eta), *eta.shape))
    add_and_set_slopes(code, own, y, n, 0, eta, 0, len(y), np.zeros(len(y)), np.ones(len(y)), score, curvature,
                       positive)
    return score, curvature, positive


@compiled
def own_slopes(code, own, y, n, eta):
    """Return the sum over rows of dl/down, (number,)."""
    out = np.zeros(len(own))
    add_own_slopes(code, own, y, n, 0, eta, 0, len(y), np.ones(len(y)), out)
    return out


@inlined
def place_node(mean, root, nodes, j, eta):
    """Set eta to mean + root nodes[:, j], (predictor, row)."""
    for k in range(len(mean)):
        for i in range(mean.shape[1]):
            eta[k, i] = mean[k, i]
        for m in range(k + 1):
            for i in range(mean.shape[1]):
                eta[k, i] += root[k, m, i] * nodes[m, j]


@compiled
def average(code, own, y, n, mean, root, nodes, weights):
    """Return the sum over rows of E[l], and its slopes by `own`; the arguments are those of `average_slopes`."""
    eta, ones, out, factor = np.empty(mean.shape), np.ones(len(y)), np.empty(STRIP), np.empty(STRIP)
    result, by_own, by_own_at_node = 0.0, np.zeros(len(own)), np.empty(len(own))
    for j in range(len(weights)):
        place_node(mean, root, nodes, j, eta)
        by_own_at_node[:] = 0.0
        add_own_slopes(code, own, y, n, 0, eta, 0, len(y), ones, by_own_at_node)
        result += weights[j] * total(code, own, y, n, eta, out, factor)
        by_own += weights[j] * by_own_at_node
    return result, by_own


@compiled
def average_slopes(code, own, y, n, mean, root, nodes, weights):
    """Return E[l'] and E[-l''] over eta ~ Normal(mean, root root'), and E of the curvature that is never negative.

    `mean` is (predictor, row), `root` (predictor, predictor, row); `nodes` (predictor, node) and `weights` (node,) are
    those of a standard normal's quadrature.
    """
    score, curvature = np.zeros(mean.shape), np.zeros((len(mean), *mean.shape))
    positive = np.zeros(curvature.shape)
    eta, slope, out, factor = np.empty(mean.shape), np.empty(mean.shape), np.zeros(len(y)), np.ones(len(y))
    curve, safe = np.empty(curvature.shape), np.empty(curvature.shape)
    for j in range(len(weights)):
        place_node(mean, root, nodes, j, eta)
        factor[:] = 1.0
        add_and_set_slopes(code, own, y, n, 0, eta, 0, len(y), out, factor, slope, curve, safe)
        for k in range(len(mean)):
            for i in range(mean.shape[1]):
                score[k, i] += weights[j] * slope[k, i]
            for m in range(len(mean)):
                for i in range(mean.shape[1]):
                    curvature[k, m, i] += weights[j] * curve[k, m, i]
                    positive[k, m, i] += weights[j] * safe[k, m, i]
    return score, curvature, positive


@compiled
def rest(code, own, outcomes, counts):
    """Return the sum over rows of what log p has beside l, as far as it depends on `own`, and its slopes, (number,).

    `outcomes` are the distinct outcomes of the rows and `counts` the numbers of rows that have them.
    """
    slopes_by_own = np.zeros(len(own))
    if code == NEGATIVE_BINOMIAL:
        shape, ratios, ratio_slopes = of_shape(own[0]), np.zeros(len(outcomes)), np.zeros(len(outcomes))
        add_ratios(1.0, shape, outcomes, len(outcomes), ratios)
        add_ratio_slopes(1.0, shape, outcomes, len(outcomes), ratio_slopes)
        slopes_by_own[0] = ((ratio_slopes - outcomes / own[0]) * counts).sum()
        return (ratios * counts).sum(), slopes_by_own
    if code == STUDENT_T or code == STUDENT_T_VARYING:
        # Gamma((a + 1) / 2) / Gamma(a / 2), whose logarithms differ in few digits where a is large.
        half, shape, rows = np.full(1, 0.5), of_shape(0.5 * own[0]), counts.sum()
        ratio, ratio_slope = np.zeros(1), np.zeros(1)
        add_ratios(1.0, shape, half, 1, ratio)
        add_ratio_slopes(1.0, shape, half, 1, ratio_slope)
        slopes_by_own[0] = 0.5 * rows * (ratio_slope[0] - 1.0 / own[0])
        if code == STUDENT_T_VARYING:
            return rows * (ratio[0] - HALF_LOG_2PI), slopes_by_own
        slopes_by_own[1] = -rows / own[1]
        return rows * (ratio[0] - HALF_LOG_2PI - np.log(own[1])), slopes_by_own
    return 0.0, slopes_by_own


@compiled
def rests(code, own, outcomes):
    """Return what log p has beside l, as far as it depends on `own`, at each of some outcomes."""
    one, count, result = np.empty(1), np.ones(1), np.empty(len(outcomes))
    for k in range(len(outcomes)):
        one[0] = outcomes[k]
        result[k] = rest(code, own, one, count)[0]
    return result
