"""Rows left out one by one whose one linear predictor is nearly normal given all rows, and averages over draws."""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.likelihoods import STRIP, add_log_likelihoods, fold

# Largest leverage of a row that is left out: without it eta has a finite variance.
MOST_LEVERAGE = 1.0 - 1e-9


@compiled
def set_cavities(code, own, y, n, fit, variance, response, precision, nodes, weights, left_out, left_in, moved):
    """Set log p(y_i | all other rows, draw) and log p(y_i again | all rows, draw), (draw, row) without constants.

    Under pseudo-data, `response` and `precision` (row,), eta is ``Normal(fit, variance)`` given all rows, (draw, row).
    Without the row's own pseudo-observation it has another mean and variance, over which the likelihood and its square
    are averaged on the nodes of a standard normal variable, (node,). `own` is (draw, number), and `moved` (row,) is set
    to the distance that leaving out the row moves eta, in standard deviations, averaged over draws.
    """
    draws, rows = fit.shape
    eta, factor, logs = np.empty((1, STRIP)), np.ones(STRIP), np.empty((len(nodes), STRIP))
    centre, width, highest, once, twice = (np.empty(STRIP), np.empty(STRIP), np.empty(STRIP), np.empty(STRIP),
                                           np.empty(STRIP))
    for start in range(0, rows, STRIP):
        count = min(STRIP, rows - start)
        for i in range(count):
            moved[start + i] = 0.0
        for d in range(draws):
            for i in range(count):
                spread, gap = variance[d, start + i], fit[d, start + i] - response[start + i]
                leverage = min(precision[start + i] * spread, MOST_LEVERAGE)
                change = leverage / (1.0 - leverage) * gap
                moved[start + i] += abs(change) / np.sqrt(spread) / draws
                centre[i], width[i] = fit[d, start + i] + change, np.sqrt(spread / (1.0 - leverage))
                highest[i], once[i], twice[i] = -np.inf, 0.0, 0.0
            for j in range(len(nodes)):
                for i in range(count):
                    eta[0, i], logs[j, i] = centre[i] + width[i] * nodes[j], 0.0
                add_log_likelihoods(code, own[d], y, n, start, eta, 0, count, logs[j], factor)
                fold(code, count, logs[j], factor)
                for i in range(count):
                    highest[i] = max(highest[i], logs[j, i])
            for j in range(len(nodes)):
                for i in range(count):
                    relative = exp_of(logs[j, i] - highest[i])
                    once[i] += weights[j] * relative
                    twice[i] += weights[j] * relative * relative
            for i in range(count):
                # The logarithm takes no other number for NaN.
                fine = once[i] > 0.0
                left_out[d, start + i] = highest[i] + log_of(once[i]) if fine else np.nan
                left_in[d, start + i] = highest[i] + log_of(twice[i] / once[i]) if fine else np.nan


@compiled
def log_means(logs):
    """Return the log of the mean of exponentials over draws of `logs` (draw, row), (row,)."""
    draws, rows = logs.shape
    highest, total = np.full(rows, -np.inf), np.zeros(rows)
    for d in range(draws):
        for i in range(rows):
            highest[i] = max(highest[i], logs[d, i])
    for d in range(draws):
        for i in range(rows):
            total[i] += exp_of(logs[d, i] - highest[i])
    for i in range(rows):
        total[i] = highest[i] + np.log(total[i] / draws) if np.isfinite(highest[i]) else highest[i]
    return total
