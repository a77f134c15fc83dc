"""Integrals over the weights of thousands of small groups by adaptive Gauss-Hermite quadrature, compiled.

The likelihood of group g, given its weights ``T z`` and the part e of its rows' linear predictors that other weights
make, integrated over z ~ Normal(0, 1):

    I_g = int Normal(z | 0, 1) prod_i p(y_i | e_i + x_i'T z) dz
        ~ |L|^-1 sum_j w_j exp(t_j't_j/2 - z_j'z_j/2) prod_i p(y_i | e_i + x_i'T z_j),     z_j = z_hat + L'^-1 t_j,

with the mode z_hat, ``L L' = 1 + T'X'W X T`` there, and the nodes t_j and weights w_j of the average over a standard
normal vector (Liu and Pierce 1994, doi:10.1093/biomet/81.3.624; Pinheiro and Bates 1995). A rule need not be centred
exactly: a few steps of Newton's method, from the mode under pseudo-data, are enough.

Groups stand side by side, `LANES` of them in a tile, and innermost loops run over them. Groups are sorted by size, and
a tile has as many slots as its largest group has rows; a slot without a row has the constant 0. The arguments are, by
position:

    ============  ===================================  ==============================================================
    code, own     as in `likelihoods`
    y, n          (slot, lane)                         outcomes and constants, the slots of all tiles in a row
    x             (varying, predictor, slot, lane)     what a weight adds to eta, in units of eta
    starts        (tile + 1,)                          first slot of each tile, and the number of slots
    sd            (varying, 1 or tile, lane)           standard deviations of the weights, and
    root          (varying, varying)                   factor of their correlations: T = diag(sd) root
    e             (predictor, slot, lane)              linear predictors without the groups' weights
    response,     (predictor, slot, lane)              pseudo-data, from which the search for the mode starts; the
    precision     (predictor, predictor, slot, lane)   precision of an empty slot is 0
    nodes,        (varying, node)                      the nodes t_j and
    log_weights   (node,)                              log w_j + t_j't_j/2
    ============  ===================================  ==============================================================
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.likelihoods import FOLDED, add_and_set_slopes, add_log_likelihoods, add_own_slopes, fold

LANES = 64
# Most steps of Newton's method, and the squared length in standard deviations of a step that may be the last.
STEPS, CLOSE = 8, 1e-1
# Least curvature of a row relative to one that is never negative.
LEAST = 0.1


@inlined
def set_loadings(x, start, rows, sd, root, c):
    """Set c (varying, predictor, row, lane) to what a whitened weight adds to eta."""
    p = len(root)
    for k in range(p):
        for r in range(x.shape[1]):
            for i in range(rows):
                for g in range(x.shape[3]):
                    c[k, r, i, g] = 0.0
                for a in range(k, p):
                    if root[a, k] != 0.0:
                        for g in range(x.shape[3]):
                            c[k, r, i, g] += root[a, k] * sd[a, g] * x[a, r, start + i, g]


@inlined
def set_eta(e, c, start, i, z, eta):
    """Set eta (predictor, lane) of slot i of a tile at whitened weights z (varying, lane)."""
    for r in range(len(eta)):
        for g in range(eta.shape[1]):
            eta[r, g] = e[r, start + i, g]
        for k in range(len(z)):
            for g in range(eta.shape[1]):
                eta[r, g] += c[k, r, i, g] * z[k, g]


@inlined
def factor_lanes(h):
    """Replace matrices (varying, varying, lane) by the lower triangles of their Cholesky factors."""
    for k in range(len(h)):
        for m in range(k + 1):
            for r in range(m):
                for g in range(h.shape[2]):
                    h[k, m, g] -= h[k, r, g] * h[m, r, g]
            if k == m:
                for g in range(h.shape[2]):
                    h[k, k, g] = np.sqrt(h[k, k, g])
            else:
                for g in range(h.shape[2]):
                    h[k, m, g] /= h[m, m, g]


@inlined
def solve_lower(h, z):
    """Multiply vectors z (varying, lane) by L^-1."""
    for k in range(len(h)):
        for r in range(k):
            for g in range(h.shape[2]):
                z[k, g] -= h[k, r, g] * z[r, g]
        for g in range(h.shape[2]):
            z[k, g] /= h[k, k, g]


@inlined
def solve_upper(h, z):
    """Multiply vectors z (varying, lane) by L'^-1."""
    for k in range(len(h) - 1, -1, -1):
        for r in range(k + 1, len(h)):
            for g in range(h.shape[2]):
                z[k, g] -= h[r, k, g] * z[r, g]
        for g in range(h.shape[2]):
            z[k, g] /= h[k, k, g]


@inlined
def set_identity(h):
    """Set the lower triangles of matrices (varying, varying, lane) to those of the identity."""
    for k in range(len(h)):
        for m in range(k + 1):
            for g in range(h.shape[2]):
                h[k, m, g] = 1.0 if k == m else 0.0


@inlined
def mode_under_pseudo_data(e, c, start, rows, response, precision, z, h):
    """Set z to the mode of the weights of a tile's groups under pseudo-data."""
    p, q, lanes = len(z), len(e), z.shape[1]
    set_identity(h)
    for k in range(p):
        for g in range(lanes):
            z[k, g] = 0.0
    for i in range(rows):
        for r in range(q):
            for s in range(q):
                for k in range(p):
                    for g in range(lanes):
                        weighted = c[k, r, i, g] * precision[r, s, start + i, g]
                        z[k, g] += weighted * (response[s, start + i, g] - e[s, start + i, g])
                    for m in range(k + 1):
                        for g in range(lanes):
                            h[k, m, g] += c[k, r, i, g] * precision[r, s, start + i, g] * c[m, s, i, g]
    factor_lanes(h)
    solve_lower(h, z)
    solve_upper(h, z)


@inlined
def climb(code, own, y, n, e, c, start, rows, z, h):
    """Climb from z to the modes of a tile's groups, and set h to the factors of the curvature near them.

    A step after which the density is lower is halved, lane by lane.
    """
    p, q, lanes = len(z), len(e), z.shape[1]
    eta, score = np.empty((q, lanes)), np.empty((q, lanes))
    curvature, positive = np.empty((q, q, lanes)), np.empty((q, q, lanes))
    height, total, length, share = np.full(lanes, -np.inf), np.empty(lanes), np.empty(lanes), np.ones(lanes)
    move, last, step, factor = np.zeros((p, lanes)), z.copy(), np.empty((p, lanes)), np.ones(lanes)
    for _ in range(STEPS):
        total[:] = 0.0
        set_identity(h)
        for k in range(p):
            for g in range(lanes):
                total[g] -= 0.5 * z[k, g] * z[k, g]
                step[k, g] = -z[k, g]
        for i in range(rows):
            set_eta(e, c, start, i, z, eta)
            add_and_set_slopes(code, own, y[start + i], n[start + i], eta, total, factor, score, curvature, positive)
            if (i + 1) % FOLDED == 0 or i == rows - 1:
                fold(code, total, factor)
            if q == 1:
                for g in range(lanes):
                    positive[0, 0, g] = max(curvature[0, 0, g], LEAST * positive[0, 0, g])
            for r in range(q):
                for k in range(p):
                    for g in range(lanes):
                        step[k, g] += score[r, g] * c[k, r, i, g]
                    for s in range(q):
                        for m in range(k + 1):
                            for g in range(lanes):
                                h[k, m, g] += positive[r, s, g] * c[k, r, i, g] * c[m, s, i, g]
        factor_lanes(h)
        solve_lower(h, step)
        length[:] = 0.0
        for k in range(p):
            for g in range(lanes):
                length[g] += step[k, g] * step[k, g]
        solve_upper(h, step)
        longest = 0.0
        for g in range(lanes):
            if total[g] < height[g] - 1e-9 * (1.0 + abs(height[g])):
                share[g] *= 0.5
                longest = np.inf
                for k in range(p):
                    z[k, g] = last[k, g] + share[g] * move[k, g]
            else:
                height[g], share[g] = total[g], 1.0
                longest = max(longest, length[g])
                for k in range(p):
                    last[k, g], move[k, g] = z[k, g], step[k, g]
                    z[k, g] += step[k, g]
        if longest < CLOSE:
            break


@inlined
def set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h):
    """Set the loadings c of the rows of tile t, the mode z of its groups' whitened weights, and the root h there."""
    set_loadings(x, start, rows, sd[:, t if sd.shape[1] > 1 else 0], root, c)
    mode_under_pseudo_data(e, c, start, rows, response, precision, z, h)
    climb(code, own, y, n, e, c, start, rows, z, h)


@inlined
def set_node(nodes, j, z, h, node):
    """Set node (varying, lane) to z + L'^-1 t_j."""
    for k in range(len(z)):
        for g in range(z.shape[1]):
            node[k, g] = nodes[k, j]
    solve_upper(h, node)
    for k in range(len(z)):
        for g in range(z.shape[1]):
            node[k, g] += z[k, g]


@inlined
def sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each):
    """Set `logs` (node, lane) to the logs of the terms of the sums, and `each` (lane,) to log I_g."""
    p, lanes = z.shape
    node, eta, factor = np.empty((p, lanes)), np.empty((len(e), lanes)), np.ones(lanes)
    for j in range(len(log_weights)):
        set_node(nodes, j, z, h, node)
        for g in range(lanes):
            logs[j, g] = log_weights[j]
        for k in range(p):
            for g in range(lanes):
                logs[j, g] -= 0.5 * node[k, g] * node[k, g]
        for i in range(rows):
            set_eta(e, c, start, i, node, eta)
            add_log_likelihoods(code, own, y[start + i], n[start + i], eta, logs[j], factor)
            if (i + 1) % FOLDED == 0 or i == rows - 1:
                fold(code, logs[j], factor)
    for g in range(lanes):
        highest = logs[0, g]
        for j in range(1, len(log_weights)):
            highest = max(highest, logs[j, g])
        total, volume = 0.0, 1.0
        for j in range(len(log_weights)):
            total += np.exp(logs[j, g] - highest)
        for k in range(p):
            volume *= h[k, k, g]
        each[g] = highest + np.log(total / volume)


@inlined
def tallest(starts):
    """Return the largest number of slots of a tile."""
    result = 0
    for t in range(len(starts) - 1):
        result = max(result, starts[t + 1] - starts[t])
    return result


@compiled
def log_integrals(code, own, y, n, x, starts, sd, root, e, response, precision, nodes, log_weights, each):
    """Set `each` (tile, lane) to log I_g."""
    p, q, lanes = len(root), len(e), y.shape[1]
    c = np.empty((p, q, tallest(starts), lanes))
    z, h, logs = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((len(log_weights), lanes))
    for t in range(len(starts) - 1):
        start, rows = starts[t], starts[t + 1] - starts[t]
        set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h)
        sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each[t])


@compiled
def log_integrals_and_slopes(code, own, y, n, x, starts, sd, root, e, response, precision, nodes, log_weights, each,
                             by_own, by_e, by_t):
    """Set `each` as `log_integrals` does, and the slopes of their sum, by Fisher's identity.

    `by_own` is (number,), `by_e` has the shape of e, and `by_t` is (varying, varying, tile, lane), the slope by T of
    each group.
    """
    p, q, lanes = len(root), len(e), y.shape[1]
    c = np.empty((p, q, tallest(starts), lanes))
    z, h, logs = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((len(log_weights), lanes))
    node, eta, score = np.empty((p, lanes)), np.empty((q, lanes)), np.empty((q, lanes))
    curvature, positive, share = np.empty((q, q, lanes)), np.empty((q, q, lanes)), np.empty(lanes)
    unused, factor = np.zeros(lanes), np.ones(lanes)
    by_own[:], by_e[:], by_t[:] = 0.0, 0.0, 0.0
    for t in range(len(starts) - 1):
        start, rows = starts[t], starts[t + 1] - starts[t]
        set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h)
        sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each[t])
        for j in range(len(log_weights)):
            set_node(nodes, j, z, h, node)
            for g in range(lanes):
                volume = 1.0
                for k in range(p):
                    volume *= h[k, k, g]
                share[g] = np.exp(logs[j, g] - each[t, g]) / volume
            for i in range(rows):
                set_eta(e, c, start, i, node, eta)
                factor[:] = 1.0
                add_and_set_slopes(code, own, y[start + i], n[start + i], eta, unused, factor, score, curvature,
                                   positive)
                add_own_slopes(code, own, y[start + i], n[start + i], eta, share, by_own)
                for r in range(q):
                    for g in range(lanes):
                        score[r, g] *= share[g]
                        by_e[r, start + i, g] += score[r, g]
                    for a in range(p):
                        for k in range(a + 1):
                            for g in range(lanes):
                                by_t[a, k, t, g] += x[a, r, start + i, g] * score[r, g] * node[k, g]
