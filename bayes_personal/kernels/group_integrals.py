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
    y, n          (slot * lane,)                       outcomes and constants, the slots of all tiles in a row
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
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.grid_of_nodes import add_on_grid, set_inverse, set_node
from bayes_personal.kernels.likelihoods import FOLDED, add_and_set_slopes, add_log_likelihoods, add_own_slopes, fold

LANES = 64
# Rows of a tile's groups whose log likelihoods are computed together.
ROWS = 8
# Most steps of Newton's method, and the squared length in standard deviations of a step that may be the last.
STEPS, CLOSE = 50, 1e-1
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
def set_eta(e, c, start, first, count, z, eta):
    """Set eta (predictor, row * lane) of `count` slots of a tile, from the first one on, at whitened weights z."""
    p, lanes = z.shape
    for r in range(len(eta)):
        for i in range(count):
            for g in range(lanes):
                eta[r, i * lanes + g] = e[r, start + first + i, g]
            for k in range(p):
                for g in range(lanes):
                    eta[r, i * lanes + g] += c[k, r, first + i, g] * z[k, g]


@inlined
def add_rows(code, own, y, n, e, c, start, rows, z, eta, out, factor, product, total):
    """Add the log likelihoods of the rows of a tile's groups at whitened weights z to `total`, (lane,).

    `eta` (predictor, row * lane), `out` and `factor` (row * lane,), and `product` (lane,) are overwritten.
    """
    lanes, since = len(total), 0
    for g in range(lanes):
        product[g] = 1.0
    for first in range(0, rows, ROWS):
        count = min(ROWS, rows - first)
        set_eta(e, c, start, first, count, z, eta)
        for i in range(count * lanes):
            out[i], factor[i] = 0.0, 1.0
        add_log_likelihoods(code, own, y, n, (start + first) * lanes, eta, 0, count * lanes, out, factor)
        if since + count > FOLDED:
            fold(code, lanes, total, product)
            since = 0
        since += count
        for i in range(count):
            for g in range(lanes):
                total[g] += out[i * lanes + g]
                product[g] *= factor[i * lanes + g]
    fold(code, lanes, total, product)


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
    p, q, lanes, since = len(z), len(e), z.shape[1], 0
    eta, score = np.empty((q, ROWS * lanes)), np.empty((q, ROWS * lanes))
    curvature, positive = np.empty((q, q, ROWS * lanes)), np.empty((q, q, ROWS * lanes))
    out, factor, product = np.empty(ROWS * lanes), np.empty(ROWS * lanes), np.ones(lanes)
    height, total, length, share = np.full(lanes, -np.inf), np.empty(lanes), np.empty(lanes), np.ones(lanes)
    move, last, step = np.zeros((p, lanes)), z.copy(), np.empty((p, lanes))
    for _ in range(STEPS):
        total[:] = 0.0
        set_identity(h)
        for k in range(p):
            for g in range(lanes):
                total[g] -= 0.5 * z[k, g] * z[k, g]
                step[k, g] = -z[k, g]
        for first in range(0, rows, ROWS):
            count = min(ROWS, rows - first)
            set_eta(e, c, start, first, count, z, eta)
            for i in range(count * lanes):
                out[i], factor[i] = 0.0, 1.0
            add_and_set_slopes(code, own, y, n, (start + first) * lanes, eta, 0, count * lanes, out, factor, score,
                               curvature, positive)
            if since + count > FOLDED:
                fold(code, lanes, total, product)
                since = 0
            since += count
            if q == 1:
                for i in range(count * lanes):
                    positive[0, 0, i] = max(curvature[0, 0, i], LEAST * positive[0, 0, i])
            for i in range(count):
                at, row = i * lanes, first + i
                for g in range(lanes):
                    total[g] += out[at + g]
                    product[g] *= factor[at + g]
                for r in range(q):
                    for k in range(p):
                        for g in range(lanes):
                            step[k, g] += score[r, at + g] * c[k, r, row, g]
                        for s in range(q):
                            for m in range(k + 1):
                                for g in range(lanes):
                                    h[k, m, g] += positive[r, s, at + g] * c[k, r, row, g] * c[m, s, row, g]
        fold(code, lanes, total, product)
        since = 0
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
def sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each):
    """Set `logs` (node, lane) to the logs of the terms of the sums, and `each` (lane,) to log I_g."""
    p, lanes = z.shape
    node, inverse = np.empty((p, lanes)), np.empty((p, p, lanes))
    set_inverse(h, inverse)
    for j in range(len(log_weights)):
        set_node(nodes, j, z, inverse, node)
        for g in range(lanes):
            logs[j, g] = log_weights[j]
        for k in range(p):
            for g in range(lanes):
                logs[j, g] -= 0.5 * node[k, g] * node[k, g]
    if not (len(e) == 1 and add_on_grid(code, own, y, n, e, c, start, rows, z, inverse, nodes, logs)):
        eta, product = np.empty((len(e), ROWS * lanes)), np.empty(lanes)
        out, factor = np.empty(ROWS * lanes), np.empty(ROWS * lanes)
        for j in range(len(log_weights)):
            set_node(nodes, j, z, inverse, node)
            add_rows(code, own, y, n, e, c, start, rows, node, eta, out, factor, product, logs[j])
    highest, total = np.full(lanes, -np.inf), np.zeros(lanes)
    for j in range(len(log_weights)):
        for g in range(lanes):
            highest[g] = max(highest[g], logs[j, g])
    for j in range(len(log_weights)):
        for g in range(lanes):
            total[g] += exp_of(logs[j, g] - highest[g])
    for g in range(lanes):
        volume = 1.0
        for k in range(p):
            volume *= h[k, k, g]
        each[g] = highest[g] + np.log(total[g] / volume)


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
    p, q, lanes = len(root), len(e), e.shape[2]
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
    p, q, lanes = len(root), len(e), e.shape[2]
    c = np.empty((p, q, tallest(starts), lanes))
    z, h, logs = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((len(log_weights), lanes))
    node, eta, score = np.empty((p, lanes)), np.empty((q, ROWS * lanes)), np.empty((q, ROWS * lanes))
    curvature, positive = np.empty((q, q, ROWS * lanes)), np.empty((q, q, ROWS * lanes))
    unused, factor, share = np.empty(ROWS * lanes), np.empty(ROWS * lanes), np.empty(ROWS * lanes)
    inverse = np.empty((p, p, lanes))
    by_own[:], by_e[:], by_t[:] = 0.0, 0.0, 0.0
    for t in range(len(starts) - 1):
        start, rows = starts[t], starts[t + 1] - starts[t]
        set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h)
        sum_over_nodes(code, own, y, n, e, c, start, rows, z, h, nodes, log_weights, logs, each[t])
        set_inverse(h, inverse)
        for j in range(len(log_weights)):
            set_node(nodes, j, z, inverse, node)
            for g in range(lanes):
                volume = 1.0
                for k in range(p):
                    volume *= h[k, k, g]
                of_node = np.exp(logs[j, g] - each[t, g]) / volume
                for i in range(ROWS):
                    share[i * lanes + g] = of_node
            for first in range(0, rows, ROWS):
                count = min(ROWS, rows - first)
                set_eta(e, c, start, first, count, node, eta)
                for i in range(count * lanes):
                    unused[i], factor[i] = 0.0, 1.0
                add_and_set_slopes(code, own, y, n, (start + first) * lanes, eta, 0, count * lanes, unused, factor,
                                   score, curvature, positive)
                add_own_slopes(code, own, y, n, (start + first) * lanes, eta, 0, count * lanes, share, by_own)
                for r in range(q):
                    for i in range(count):
                        at, row = i * lanes, start + first + i
                        for g in range(lanes):
                            score[r, at + g] *= share[g]
                            by_e[r, row, g] += score[r, at + g]
                        for a in range(p):
                            for k in range(a + 1):
                                for g in range(lanes):
                                    by_t[a, k, t, g] += x[a, r, row, g] * score[r, at + g] * node[k, g]
