"""Rows left out of their cells, the coefficients that the other rows share integrated out, compiled.

A row of a cell with few rows, or one that moves the cell's coefficients by much, is left out in earnest:
log p(y_i | others) is the difference of the logs of two integrals, of the cell's likelihood with and without the row,
each on product nodes around its own mode,

    I ~ |L|^-1 sum_j w_j exp(t_j't_j/2 - z_j'z_j/2) prod_i p(y_i | x_i'theta_j),     z_j = z_hat + L'^-1 t_j.

Any other row is taken away from the parabola at the cell's mode
alone, which leaves eta_i a normal distribution over which its likelihood is averaged. Arguments are those of
`expansions`.

Where cells are given by their expansions, no pass over the rows of a large one is needed. A row that moves such a
cell by much is then taken away from the parabola at the mode of the other rows.
"""

import numpy as np

from bayes_personal.kernels.cell_integrals import log_likelihood
from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.expansions import climb, factor_below, solve_below, workplace
from bayes_personal.kernels.likelihoods import STRIP, add_and_set_slopes, add_log_likelihoods, fold
from bayes_personal.kernels.segment_factors import triangle

# Rows of a cell up to which each is left out in earnest, and standard deviations by which eta may move else.
FEW, MOVED = 16, 0.5
# Largest leverage of a row.
MOST_LEVERAGE = 1.0 - 1e-6


@inlined
def log_sum(terms, count):
    """Return the log of the sum of exponentials."""
    top, total = -np.inf, 0.0
    for j in range(count):
        top = max(top, terms[j])
    for j in range(count):
        total += exp_of(terms[j] - top)
    return top + log_of(total)


@inlined
def at_nodes(code, own, y, n, eta, out, factor, count):
    """Set `out` to l of one outcome at the linear predictors `eta`, (1, node)."""
    out[:], factor[:] = 0.0, 1.0
    add_log_likelihoods(code, own, y, n, 0, eta, 0, count, out, factor)
    fold(code, count, out, factor)


@inlined
def mean_on_line(code, own, y, n, i, centre, variance, line, line_weights, eta, same_y, same_n, logs, factor):
    """Return the log of the average of a row's likelihood over a normal linear predictor."""
    for j in range(len(line)):
        same_y[j], same_n[j] = y[i], n[i]
        eta[0, j] = centre + np.sqrt(variance) * line[j]
    at_nodes(code, own, same_y, same_n, eta, logs, factor, len(line))
    for j in range(len(line)):
        logs[j] += line_weights[j]
    return log_sum(logs, len(line))


@inlined
def on_nodes(code, own, x, y, n, low, high, mean, scale, z, lower, nodes, weights, node, at, terms, eta, out, factor):
    """Return the log of a cell's integral on nodes around the mode z, lower lower' the curvature there."""
    p, log_root = len(z), 0.0
    for a in range(p):
        log_root += np.log(lower[a, a])
    for j in range(len(weights)):
        square, spread = 0.0, 0.0
        for a in range(p):
            node[a] = nodes[a, j]
            spread += node[a] * node[a]
        for a in range(p - 1, -1, -1):
            for b in range(a + 1, p):
                node[a] -= lower[b, a] * node[b]
            node[a] /= lower[a, a]
        for a in range(p):
            node[a] += z[a]
            square += node[a] * node[a]
            at[a] = mean[a] + scale[a] * node[a]
        terms[j] = np.log(weights[j]) + 0.5 * (spread - square) + log_likelihood(
            code, own, x, y, n, low, high, at, eta, out, factor)
    return log_sum(terms, len(weights)) - log_root


@compiled
def leave_out(code, own, x, y, n, start, stop, wanted, mean, scale, theta, sums, line, line_weights, nodes, weights,
              out, again):
    """Set log p(y_i | other rows of its cell), and log p(y_i again | all rows of its cell), without constants.

    Both are of the `wanted` rows of each cell, cell by cell. `theta` (cell, p) is where the search for modes starts.
    `sums` are U and v of the cells' expansions, as `whitened` returns them, or have no columns; with them no row is
    told again. `line` and the logs `line_weights` are nodes of the average over a standard normal, `nodes` (p, node)
    and `weights` those over a vector of them.
    """
    p, y, n, given, place = len(x), y.copy(), n.copy(), sums.shape[1] > 0, 0
    room, step, last, z, apart = workplace(p), np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    whitened, lower, other = np.zeros((p, p)), np.zeros((p, p)), np.zeros((p, p))
    eta, logs, factor = np.empty((1, STRIP)), np.empty(STRIP), np.ones(STRIP)
    score, curvature, positive = np.empty((1, STRIP)), np.empty((1, 1, STRIP)), np.empty((1, 1, STRIP))
    of_one, same_y, same_n = np.empty((1, 1)), np.empty(STRIP), np.empty(STRIP)
    lone, unit = np.empty(1), np.ones(1)
    pull, at, node, coefficients = np.empty(p), np.empty(p), np.empty(p), np.empty(p)
    below = np.empty(len(weights))
    for k in range(len(start)):
        low, high = start[k], stop[k]
        for a in range(p):
            z[a] = (theta[k, a] - mean[a]) / scale[a]
        if given and high - low > FEW:
            for a in range(p):
                for b in range(a + 1):
                    whitened[a, b] = sums[triangle(a) + b, k]
                whitened[a, a] += 1.0
                z[a], step[a] = sums[triangle(p) + a, k], 0.0
            factor_below(whitened, p, lower)
            solve_below(lower, p, z)
        else:
            climb(code, own, x, y, n, low, high, mean, scale, z, room, whitened, lower, step, last)
        known, whole = False, 0.0
        for a in range(p):
            z[a] += step[a]
            coefficients[a] = mean[a] + scale[a] * z[a]
        for i in range(low, high):
            if not wanted[i]:
                continue
            place += 1
            of_one[0, 0], variance = 0.0, 0.0
            for a in range(p):
                of_one[0, 0] += x[a, i] * coefficients[a]
                pull[a] = scale[a] * x[a, i]
                at[a] = pull[a]
            solve_below(lower, p, pull)
            for a in range(p):
                variance += at[a] * pull[a]
            lone[0], unit[0] = 0.0, 1.0
            add_and_set_slopes(code, own, y, n, i, of_one, 0, 1, lone, unit, score, curvature, positive)
            rest = 1.0 - min(curvature[0, 0, 0] * variance, MOST_LEVERAGE)
            moved = score[0, 0] * variance / rest
            if not given:
                again[place - 1] = mean_on_line(code, own, y, n, i, of_one[0, 0], variance, line, line_weights, eta,
                                                same_y, same_n, logs, factor)
            large, little = high - low > FEW, abs(moved) < MOVED * np.sqrt(variance)
            if len(weights) == 0 or (large and little):
                out[place - 1] = mean_on_line(code, own, y, n, i, of_one[0, 0] - moved, variance / rest, line,
                                              line_weights, eta, same_y, same_n, logs, factor)
                continue
            own_y, own_n = y[i], n[i]
            y[i], n[i] = 0.0, 0.0
            # A row far out has bent the parabola so much that a step away from it may end anywhere.
            apart[:] = z
            climb(code, own, x, y, n, low, high, mean, scale, apart, room, whitened, other, step, last)
            for a in range(p):
                apart[a] += step[a]
            if given and large:
                y[i], n[i] = own_y, own_n
                centre, variance = 0.0, 0.0
                for a in range(p):
                    centre += x[a, i] * (mean[a] + scale[a] * apart[a])
                    pull[a] = scale[a] * x[a, i]
                    at[a] = pull[a]
                solve_below(other, p, pull)
                for a in range(p):
                    variance += at[a] * pull[a]
                out[place - 1] = mean_on_line(code, own, y, n, i, centre, variance, line, line_weights, eta, same_y,
                                              same_n, logs, factor)
                continue
            others = on_nodes(code, own, x, y, n, low, high, mean, scale, apart, other, nodes, weights, node, at, below,
                              eta, logs, factor)
            y[i], n[i] = own_y, own_n
            if not known:
                whole = on_nodes(code, own, x, y, n, low, high, mean, scale, z, lower, nodes, weights, node, at, below,
                                 eta, logs, factor)
                known = True
            out[place - 1] = whole - others
