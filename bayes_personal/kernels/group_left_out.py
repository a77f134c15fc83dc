"""Rows left out of their groups one by one, on the nodes of `group_integrals`, whose arguments these are."""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.grid_of_nodes import set_inverse, set_node
from bayes_personal.kernels.group_integrals import (
    set_eta,
    set_mode,
    sum_over_nodes,
    tallest,
)
from bayes_personal.kernels.likelihoods import add_log_likelihoods, fold


@compiled
def log_left_out(code, own, y, n, x, starts, sd, root, e, response, precision, nodes, log_weights, left_out, left_in):
    """Set the log density of each row's outcome given those of its group's other rows, and given those of all of them.

    Both are (slot, lane), without the rows' constants, and computed on the nodes of I_g: with the terms s_j of its sum,
    ``-log sum_j s_j / p_ij`` and ``log sum_j s_j p_ij``, sum_j s_j = 1. Of a row that is alone in its group the first
    is log I_g itself: the nodes lie where it is, which says little of the prior.
    """
    p, q, lanes = len(root), len(e), e.shape[2]
    c, each = np.empty((p, q, tallest(starts), lanes)), np.empty(lanes)
    z, h, logs = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((len(log_weights), lanes))
    node, eta, factor = np.empty((p, lanes)), np.empty((q, lanes)), np.ones(lanes)
    all_nodes, of_row = np.empty((len(log_weights), p, lanes)), np.empty((len(log_weights), lanes))
    members, inverse = np.empty(lanes, np.int64), np.empty((p, p, lanes))
    without, again, sum_without, sum_again = np.empty(lanes), np.empty(lanes), np.empty(lanes), np.empty(lanes)
    for t in range(len(starts) - 1):
        start, rows = starts[t], starts[t + 1] - starts[t]
        set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h)
        sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each)
        set_inverse(h, inverse)
        for j in range(len(log_weights)):
            set_node(nodes, j, z, inverse, node)
            for k in range(p):
                for g in range(lanes):
                    all_nodes[j, k, g] = node[k, g]
            for g in range(lanes):
                volume = 1.0
                for k in range(p):
                    volume *= h[k, k, g]
                logs[j, g] -= each[g] + np.log(volume)
        members[:] = 0
        for i in range(rows):
            for g in range(lanes):
                members[g] += n[(start + i) * lanes + g] != 0.0
        for i in range(rows):
            of_row[:] = 0.0
            for j in range(len(log_weights)):
                set_eta(e, c, start, i, 1, all_nodes[j], eta)
                add_log_likelihoods(code, own, y, n, (start + i) * lanes, eta, 0, lanes, of_row[j], factor)
                fold(code, lanes, of_row[j], factor)
            for g in range(lanes):
                without[g], again[g], sum_without[g], sum_again[g] = -np.inf, -np.inf, 0.0, 0.0
            for j in range(len(log_weights)):
                for g in range(lanes):
                    without[g] = max(without[g], logs[j, g] - of_row[j, g])
                    again[g] = max(again[g], logs[j, g] + of_row[j, g])
            for j in range(len(log_weights)):
                for g in range(lanes):
                    sum_without[g] += exp_of(logs[j, g] - of_row[j, g] - without[g])
                    sum_again[g] += exp_of(logs[j, g] + of_row[j, g] - again[g])
            for g in range(lanes):
                left_out[start + i, g] = each[g] if members[g] == 1 else -without[g] - np.log(sum_without[g])
                left_in[start + i, g] = again[g] + np.log(sum_again[g])
