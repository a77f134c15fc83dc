"""Rows left out one by one whose linear predictors are nearly normal given all rows, and averages over draws."""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.likelihoods import STRIP, add_log_likelihoods, fold


@compiled
def set_cavities(code, own, y, n, centre, root, nodes, weights, left_out, left_in):
    """Set log p(y_i | all other rows, draw) and log p(y_i again | all rows, draw), (draw, row) without constants.

    Given all other rows eta has the mean `centre` (draw, predictor, row) and the covariance whose lower root is `root`
    (draw, predictor, predictor, row). Over it the likelihood and its square are averaged, on the nodes of a standard
    normal vector, (predictor, node). `own` is (draw, number).
    """
    draws, size, rows = centre.shape
    eta, factor, logs = np.empty((size, STRIP)), np.ones(STRIP), np.empty((len(weights), STRIP))
    highest, once, twice = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP)
    for start in range(0, rows, STRIP):
        count = min(STRIP, rows - start)
        for d in range(draws):
            for i in range(count):
                highest[i], once[i], twice[i] = -np.inf, 0.0, 0.0
            for j in range(len(weights)):
                for k in range(size):
                    for i in range(count):
                        eta[k, i] = centre[d, k, start + i]
                    for m in range(k + 1):
                        for i in range(count):
                            eta[k, i] += root[d, k, m, start + i] * nodes[m, j]
                for i in range(count):
                    logs[j, i] = 0.0
                add_log_likelihoods(code, own[d], y, n, start, eta, 0, count, logs[j], factor)
                fold(code, count, logs[j], factor)
                for i in range(count):
                    highest[i] = max(highest[i], logs[j, i])
            for j in range(len(weights)):
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
