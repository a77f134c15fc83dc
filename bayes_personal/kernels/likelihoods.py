"""Log likelihoods of rows as functions of their linear predictors, compiled.

A family names one of the `codes`, and a file of `outcomes` has its functions. They take, by position:

    =========  ====================  =========================================================================
    code       one of `codes`        which compiles the functions of its family
    own        (number,)             what the family's own hyperparameters come to, as its file says
    y          (row,)                outcomes
    n          (row,)                known constants; 0 takes a row out: its log likelihood is then 0
    eta        (predictor, row)      linear predictors, in the units of the link
    =========  ====================  =========================================================================

and compute ``l(eta)``, the part of log p(y | eta) that depends on eta. What is left depends on the outcome, the
constant and the family's own hyperparameters alone (`rest`). Where a second linear predictor u is the logarithm of a
scale, all that depends on it belongs to l(eta, u).

The curvature ``-l''`` is a matrix a row, (predictor, predictor, row). Where it may be negative, `slopes` also return a
curvature that never is. Of a row's two predictors the first is no positive matrix anywhere but at the mode either; what
stands in its place has the expected curvature by u, and by both, which mostly is 0 on average over outcomes. Where
outcomes may be censored nobody knows which others could have been; there it is about the curvature in coordinates in
which l is concave.

Rows are the last axis, and innermost loops run over them, which lets these use the processor's vectors.
"""

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numba.extending import overload

from bayes_personal.kernels import codes
from bayes_personal.kernels.compiling import OPTIONS, compiled, inlined
from bayes_personal.kernels.outcomes import (
    bernoulli,
    beta,
    beta_binomial,
    beta_binomial_varying,
    beta_varying,
    binomial,
    categorical,
    complementary_log_log,
    cumulative_logit,
    cumulative_probit,
    gamma,
    gamma_censored,
    gamma_censored_varying,
    gamma_varying,
    log_normal,
    log_normal_censored,
    log_normal_censored_varying,
    log_normal_varying,
    negative_binomial,
    negative_binomial_varying,
    normal,
    normal_censored,
    normal_censored_varying,
    normal_varying,
    poisson,
    probit,
    student_t,
    student_t_varying,
    weibull,
    weibull_varying,
    zero_inflated_poisson,
)

# Rows whose factors are multiplied before a logarithm is taken.
FOLDED = 512
# Rows that are handled side by side.
STRIP = 256
OUTCOMES: dict[type[codes.Code], ModuleType] = {
    codes.Normal: normal, codes.Bernoulli: bernoulli, codes.Binomial: binomial, codes.Poisson: poisson,
    codes.NegativeBinomial: negative_binomial, codes.StudentT: student_t, codes.NormalVarying: normal_varying,
    codes.StudentTVarying: student_t_varying, codes.NegativeBinomialVarying: negative_binomial_varying,
    codes.Gamma: gamma, codes.GammaVarying: gamma_varying, codes.GammaCensored: gamma_censored,
    codes.LogNormal: log_normal, codes.LogNormalVarying: log_normal_varying,
    codes.LogNormalCensored: log_normal_censored, codes.NormalCensored: normal_censored, codes.Weibull: weibull,
    codes.LogNormalCensoredVarying: log_normal_censored_varying, codes.GammaCensoredVarying: gamma_censored_varying,
    codes.NormalCensoredVarying: normal_censored_varying, codes.WeibullVarying: weibull_varying,
    codes.Probit: probit, codes.ComplementaryLogLog: complementary_log_log, codes.Beta: beta,
    codes.BetaVarying: beta_varying, codes.BetaBinomial: beta_binomial,
    codes.BetaBinomialVarying: beta_binomial_varying, codes.ZeroInflatedPoisson: zero_inflated_poisson,
    codes.CumulativeLogit: cumulative_logit, codes.CumulativeProbit: cumulative_probit,
    codes.Categorical: categorical}


# Registers what a function of a code compiles to, as a part of those that call it. The function itself has no body that
# runs: only compiled code calls it.
chosen_for = partial(overload, jit_options=OPTIONS, inline="always")


def of_family(code: Any, name: str) -> Any:
    """Return the function that the family of a code has under a name; None where it needs none."""
    return getattr(OUTCOMES[code.instance_class], name, None)


def is_normal(code):
    """Return whether a code is that of the Normal family, which is known when functions are compiled."""
    raise NotImplementedError


@chosen_for(is_normal)
def _is_normal(code):
    answer = code.instance_class is codes.Normal
    return lambda code: answer


def add_log_likelihoods(code, own, y, n, at, eta, begin, count, out, factor):
    """Add l of `count` rows to `out`, (row,), but for a logarithm that `fold` adds: that of `factor`, (row,).

    They are those whose outcomes and constants start at `at`, and whose linear predictors start at `begin`. Slices of
    arrays would cost as much as several rows.
    """
    raise NotImplementedError


@chosen_for(add_log_likelihoods)
def _add_log_likelihoods(code, own, y, n, at, eta, begin, count, out, factor):
    function = of_family(code, "add_log_likelihoods")

    def chosen(code, own, y, n, at, eta, begin, count, out, factor):
        function(own, y, n, at, eta, begin, count, out, factor)

    return chosen


def set_slopes(code, own, y, n, at, eta, begin, count, score, curvature, positive):
    """Set the score l', (predictor, row), -l'' and a curvature that is never negative, (predictor, predictor, row)."""
    raise NotImplementedError


@chosen_for(set_slopes)
def _set_slopes(code, own, y, n, at, eta, begin, count, score, curvature, positive):
    function = of_family(code, "set_slopes")

    def chosen(code, own, y, n, at, eta, begin, count, score, curvature, positive):
        function(own, y, n, at, eta, begin, count, score, curvature, positive)

    return chosen


def fold(code, count, out, factor):
    """Subtract from the first entries of `out` the logarithms of those of `factor`, which become 1."""
    raise NotImplementedError


@chosen_for(fold)
def _fold(code, count, out, factor):
    function = of_family(code, "fold")
    if function is None:
        return lambda code, count, out, factor: None

    def chosen(code, count, out, factor):
        function(count, out, factor)

    return chosen


def add_own_slopes(code, own, y, n, at, eta, begin, count, weights, out):
    """Add the sum over `count` rows of weight times dl/down to `out`, (number,)."""
    raise NotImplementedError


@chosen_for(add_own_slopes)
def _add_own_slopes(code, own, y, n, at, eta, begin, count, weights, out):
    function = of_family(code, "add_own_slopes")
    if function is None:
        return lambda code, own, y, n, at, eta, begin, count, weights, out: None

    def chosen(code, own, y, n, at, eta, begin, count, weights, out):
        function(own, y, n, at, eta, begin, count, weights, out)

    return chosen


def rest_and_slopes(code, own, outcomes, counts, slopes):
    """Return the sum over rows of what log p has beside l, as far as it depends on `own`, and set its slopes."""
    raise NotImplementedError


@chosen_for(rest_and_slopes)
def _rest_and_slopes(code, own, outcomes, counts, slopes):
    function = of_family(code, "rest")
    if function is None:
        return lambda code, own, outcomes, counts, slopes: 0.0

    def chosen(code, own, outcomes, counts, slopes):
        return function(own, outcomes, counts, slopes)

    return chosen


@inlined
def add_and_set_slopes(code, own, y, n, at, eta, begin, count, out, factor, score, curvature, positive):
    """Do what `add_log_likelihoods` and `set_slopes` do."""
    add_log_likelihoods(code, own, y, n, at, eta, begin, count, out, factor)
    set_slopes(code, own, y, n, at, eta, begin, count, score, curvature, positive)


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
    slopes = np.zeros(len(own))
    return rest_and_slopes(code, own, outcomes, counts, slopes), slopes


@compiled
def rests(code, own, outcomes):
    """Return what log p has beside l, as far as it depends on `own`, at each of some outcomes."""
    one, count, result = np.empty(1), np.ones(1), np.empty(len(outcomes))
    for k in range(len(outcomes)):
        one[0] = outcomes[k]
        result[k] = rest(code, own, one, count)[0]
    return result
