"""Log likelihoods of cells as functions of the coefficients theta that all rows of a cell share, compiled.

Cells are stretches of consecutive rows, which may overlap: the rows of cell k are those from `start[k]` to before
`stop[k]`. Near the mode of ``Normal(theta | mean, D^2) prod_i p(y_i | x_i'theta)``, D = diag(scale),

    sum_i l(x_i'theta) ~ c + b'm - m'H m / 2,     m = theta - origin,

of which a cell's statistics are H by rows of its lower triangle, then b, then c. Under any other mean and D the
integral over theta is then the log factor of a Normal segment with U = D H D and v = D (b - H m), m = mean - origin,
plus ``c + b'm - m'H m / 2`` (`whitened`).

The arguments `code`, `own`, `y` and `n` are those of `likelihoods`; `x` is (coefficient, row).
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.likelihoods import STRIP, add_and_set_slopes, fold
from bayes_personal.kernels.segment_factors import triangle

# Most passes over the rows of a cell, and how near to the mode, in its standard deviations, the search may end.
PASSES, CLOSE = 40, 0.15
# Share of the curvature that is never negative, below which that takes the place of the curvature itself.
LEAST = 0.1


@inlined
def workplace(p):
    """Return room for `add_rows`, and for the numbers of a cell."""
    eta, out, factor = np.empty((1, STRIP)), np.empty(STRIP), np.ones(STRIP)
    return (eta, out, factor, np.empty((1, STRIP)), np.empty((1, 1, STRIP)), np.empty((1, 1, STRIP)), np.empty(p),
            np.empty((p, p)), np.empty((p, p)))


@inlined
def add_rows(code, own, x, y, n, low, high, theta, room):
    """Return the sum of l over rows from `low` to before `high`, and set its slopes and curvatures by theta.

    The slopes are `room[6]`, (p,), and the lower triangles of the two curvatures are `room[7]` and `room[8]`.
    """
    eta, out, factor, score, curvature, positive, slope, curve, safe = room
    p, total = len(theta), 0.0
    slope[:], curve[:], safe[:] = 0.0, 0.0, 0.0
    for at in range(low, high, STRIP):
        count = min(STRIP, high - at)
        for i in range(count):
            eta[0, i], out[i], factor[i] = 0.0, 0.0, 1.0
        for a in range(p):
            for i in range(count):
                eta[0, i] += x[a, at + i] * theta[a]
        add_and_set_slopes(code, own, y, n, at, eta, 0, count, out, factor, score, curvature, positive)
        fold(code, count, out, factor)
        for i in range(count):
            total += out[i]
        for a in range(p):
            for i in range(count):
                slope[a] += x[a, at + i] * score[0, i]
            for b in range(a + 1):
                for i in range(count):
                    product = x[a, at + i] * x[b, at + i]
                    curve[a, b] += product * curvature[0, 0, i]
                    safe[a, b] += product * positive[0, 0, i]
    return total


@inlined
def factor_below(matrix, p, lower):
    """Set the Cholesky factor of a matrix whose lower triangle is given; return whether there is one."""
    for a in range(p):
        for b in range(a + 1):
            entry = matrix[a, b]
            for k in range(b):
                entry -= lower[a, k] * lower[b, k]
            if a == b:
                if not entry > 0.0:
                    return False
                lower[a, a] = np.sqrt(entry)
            else:
                lower[a, b] = entry / lower[b, b]
    return True


@inlined
def solve_below(lower, p, vector):
    """Replace a vector by M^-1 vector, M = lower lower'."""
    for a in range(p):
        for k in range(a):
            vector[a] -= lower[a, k] * vector[k]
        vector[a] /= lower[a, a]
    for a in range(p - 1, -1, -1):
        for k in range(a + 1, p):
            vector[a] -= lower[k, a] * vector[k]
        vector[a] /= lower[a, a]


@inlined
def nowhere_hollow(curve, safe, p):
    """Set the curvature to the one that is never negative, where it is far below that in some direction."""
    for a in range(p):
        if curve[a, a] < LEAST * safe[a, a]:
            curve[:] = safe
            return
    if p > 1:
        ridge = np.empty((p, p))
        lower = np.zeros((p, p))
        for a in range(p):
            for b in range(a + 1):
                ridge[a, b] = curve[a, b] - LEAST * safe[a, b]
            # A cell with few rows has no curvature in some directions.
            ridge[a, a] += 1e-9 * (1e-300 + safe[a, a])
        if not factor_below(ridge, p, lower):
            curve[:] = safe


@inlined
def climb(code, own, x, y, n, low, high, mean, scale, z, room, whitened, lower, step, last):
    """Climb to the mode of the whitened coefficients z, theta = mean + D z, from where they are; return the log
    likelihood there.

    `room` then has the slopes and curvatures there, `lower` the Cholesky factor of 1 + D H D, and `step` the step that
    is left to the mode.
    """
    p, theta, height, value = len(z), np.empty(len(z)), -np.inf, 0.0
    last[:], step[:] = z, 0.0
    for turn in range(PASSES):
        square = 0.0
        for a in range(p):
            theta[a] = mean[a] + scale[a] * z[a]
            square += z[a] * z[a]
        value = add_rows(code, own, x, y, n, low, high, theta, room)
        slope, curve, safe = room[6], room[7], room[8]
        new = value - 0.5 * square
        if turn > 0 and not new >= height - 1e-9 * abs(height) and turn < PASSES - 1:
            for a in range(p):
                z[a] = 0.5 * (z[a] + last[a])
            continue
        nowhere_hollow(curve, safe, p)
        for a in range(p):
            for b in range(a + 1):
                whitened[a, b] = scale[a] * curve[a, b] * scale[b]
            whitened[a, a] += 1.0
            step[a] = scale[a] * slope[a] - z[a]
        factor_below(whitened, p, lower)
        decrement = 0.0
        for a in range(p):
            last[a] = step[a]
        solve_below(lower, p, step)
        for a in range(p):
            decrement += last[a] * step[a]
        if decrement < CLOSE * CLOSE or turn == PASSES - 1:
            break
        height = new
        for a in range(p):
            last[a] = z[a]
            z[a] += step[a]
    return value


@compiled
def expanded(code, own, x, y, n, start, stop, after, mean, scale):
    """Return the statistics of cells at their modes, (statistic, cell); the mean is the origin.

    The search for a cell's mode starts where that of the cell `after` ended, which stands before it; -1 has it start
    at the mean.
    """
    p, cells = len(x), len(start)
    result, modes = np.zeros((triangle(p) + p + 1, cells)), np.zeros((cells, p))
    room, z, step, last = workplace(p), np.zeros(p), np.zeros(p), np.zeros(p)
    whitened, lower, at = np.zeros((p, p)), np.zeros((p, p)), np.zeros(p)
    for k in range(cells):
        if after[k] >= 0:
            z[:] = modes[after[k]]
        else:
            z[:] = 0.0
        value = climb(code, own, x, y, n, start[k], stop[k], mean, scale, z, room, whitened, lower, step, last)
        slope, curve = room[6], room[7]
        for a in range(p):
            at[a] = scale[a] * z[a]
            modes[k, a] = z[a] + step[a]
        constant, low = value, 0
        for a in range(p):
            product = 0.0
            for b in range(p):
                product += (curve[a, b] if a >= b else curve[b, a]) * at[b]
                if b <= a:
                    result[low, k] = curve[a, b]
                    low += 1
            constant -= (slope[a] + 0.5 * product) * at[a]
            result[triangle(p) + a, k] = slope[a] + product
        result[triangle(p) + p, k] = constant
    return result


@compiled
def whitened(statistics, scale, offset):
    """Return U and v of cells, as the factors of Normal segments take them, and what their log factors have beside.

    `offset` is the mean less the origin.
    """
    p, cells = len(scale), statistics.shape[1]
    result, beside = np.empty((triangle(p) + p, cells)), statistics[triangle(p) + p].copy()
    for a in range(p):
        moment, b_a = result[triangle(p) + a], statistics[triangle(p) + a]
        for k in range(cells):
            moment[k] = b_a[k]
            beside[k] += b_a[k] * offset[a]
        for b in range(p):
            curve = statistics[triangle(max(a, b)) + min(a, b)]
            for k in range(cells):
                moment[k] -= curve[k] * offset[b]
                beside[k] -= 0.5 * offset[a] * offset[b] * curve[k]
            if b <= a:
                into = result[triangle(a) + b]
                for k in range(cells):
                    into[k] = scale[a] * scale[b] * curve[k]
        for k in range(cells):
            moment[k] *= scale[a]
    return result, beside
