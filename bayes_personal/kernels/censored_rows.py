"""Log likelihoods of outcomes that may not have been seen exactly, made of functions of one row.

Such a function takes y, n, eta and the one number of the family's own, and returns log p, its score and negative
curvature by eta, and its slope by that number. Where that number varies its logarithm, or minus that, is a second
linear predictor u, and the function takes u in its place. Rows differ in what was seen of them, so that no loop over
rows uses the processor's vectors.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bayes_personal.kernels.censored_gamma import gamma_row
from bayes_personal.kernels.censored_normal import log_normal_row, normal_row
from bayes_personal.kernels.censored_weibull import weibull_row
from bayes_personal.kernels.codes import SEEN
from bayes_personal.kernels.compiling import compiled, spliced


def of_rows(row: Any) -> tuple[Callable[..., Any], ...]:
    """Return the functions that `likelihoods` asks of a family: log likelihoods, their slopes, and those by `own`."""

    @spliced
    def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
        for i in range(count):
            if n[at + i] != 0:
                out[i] += row(y[at + i], n[at + i], eta[0, begin + i], own[0])[0]

    @spliced
    def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
        for i in range(count):
            score[0, i] = curvature[0, 0, i] = 0.0
            if n[at + i] != 0:
                _, score[0, i], curvature[0, 0, i], _ = row(y[at + i], n[at + i], eta[0, begin + i], own[0])
            positive[0, 0, i] = curvature[0, 0, i]

    @spliced
    def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
        for i in range(count):
            if n[at + i] != 0:
                out[0] += weights[i] * row(y[at + i], n[at + i], eta[0, begin + i], own[0])[3]

    return add_log_likelihoods, set_slopes, add_own_slopes


def of_varying_rows(row: Any) -> tuple[Callable[..., Any], ...]:
    """Return the functions that `likelihoods` asks of a family of two linear predictors and no number of its own.

    Of y, n, eta and u the function of one row returns log p, its scores by eta and u, and the curvatures by eta, by
    both and by u that stand in place of the negative ones, which are a positive matrix.
    """

    @spliced
    def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
        for i in range(count):
            if n[at + i] != 0:
                out[i] += row(y[at + i], n[at + i], eta[0, begin + i], eta[1, begin + i])[0]

    @spliced
    def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
        for i in range(count):
            first, second, of_first, mixed, of_second = 0.0, 0.0, 0.0, 0.0, 0.0
            if n[at + i] != 0:
                _, first, second, of_first, mixed, of_second = row(y[at + i], n[at + i], eta[0, begin + i],
                                                                   eta[1, begin + i])
            score[0, i], score[1, i] = first, second
            curvature[0, 0, i] = positive[0, 0, i] = of_first
            curvature[0, 1, i] = curvature[1, 0, i] = positive[0, 1, i] = positive[1, 0, i] = mixed
            curvature[1, 1, i] = positive[1, 1, i] = of_second

    return add_log_likelihoods, set_slopes


@compiled
def normal_rows(y, n, eta, own):
    """Return what `normal_row` does of every row, (4, row)."""
    out = np.empty((4, len(y)))
    for i in range(len(y)):
        out[0, i], out[1, i], out[2, i], out[3, i] = normal_row(y[i], n[i], eta[i], own[i])
    return out


@compiled
def log_normal_rows(y, n, eta, own):
    """Return what `log_normal_row` does of every row, (4, row)."""
    out = np.empty((4, len(y)))
    for i in range(len(y)):
        out[0, i], out[1, i], out[2, i], out[3, i] = log_normal_row(y[i], n[i], eta[i], own[i])
    return out


@compiled
def gamma_rows(y, n, eta, own):
    """Return what `gamma_row` does of every row, (4, row)."""
    out = np.empty((4, len(y)))
    for i in range(len(y)):
        out[0, i], out[1, i], out[2, i], out[3, i] = gamma_row(y[i], n[i], eta[i], own[i])
    return out


@compiled
def weibull_rows(y, n, eta, own):
    """Return what `weibull_row` does of every row, (4, row)."""
    out = np.empty((4, len(y)))
    for i in range(len(y)):
        out[0, i], out[1, i], out[2, i], out[3, i] = weibull_row(y[i], n[i], eta[i], own[i])
    return out


ROWS = {"normal": normal_rows, "log_normal": log_normal_rows, "gamma": gamma_rows, "weibull": weibull_rows}


def log_p(name: str, y: Any, n: Any, eta: Any, own: Any) -> tuple[np.ndarray, ...]:
    """Return log p, its score and negative curvature by eta, and its slope by the family's own number."""
    y, n, eta, own = np.broadcast_arrays(*(np.asarray(each, float) for each in (y, n, eta, own)))
    rows = ROWS[name](*(np.ravel(each) for each in (y, n, eta, own)))
    height, *slopes = (each.reshape(y.shape) for each in rows)
    if name != "normal":
        height = height - np.where(n == SEEN, np.log(y), 0.0)
    return height, *slopes
