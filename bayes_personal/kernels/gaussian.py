"""The algebra of Gaussian weights, compiled once for all models and kept on disk.

With weights w = T z, z ~ Normal(0, 1), errors s, and the blocks of the eliminated groups at the end of

    M = I + T'Z'Z T / s^2,    z | y ~ Normal(M^-1 T'Z'y / s^2, M^-1),

each group's block is C_g C_g', F_g = C_g^-1 M_gd, e_g = C_g^-1 T_g'Z_g'y / s^2, and the matrix that remains for
the other weights is A = M_dd - sum F_g'F_g = L L'. All eigenvalues of M and A are at least 1: no jitter is needed. T is
diagonal, or has a triangular block for each feature of a term whose coefficients correlate.

The functions of a point take eleven arguments, by position:

    ========  ============================  =======================================================================
    point     (hyperparameter,)             phi, without limits
    start     (place,)                      the tape, as `tape.Tape` describes it: its constants,
    given     (hyperparameter,)             the places of phi,
    code      (operation, 4)                the operations,
    outputs   (output,)                     and the places of log p(phi), s, `sd`, `roots`, `own_sd`, `own_root`
    shape     five whole numbers            weights; terms with roots; the widest root; rows of `own_sd`; varying
    gram      (weight, weight)              Z'Z of the weights that are not eliminated, Z divided by the known errors
    moment    (weight,)                     Z'y
    sums      (varying, column, group)      [Z_g'Z_g, Z_g'Z, Z_g'y], with varying, weight and 1 columns
    rooted    (term, 3)                     first weight, features and coefficients of each term with a root
    numbers   three numbers                 y'y; the number of rows; the constant of log p(y | phi) (`log_marginal`)
    ========  ============================  =======================================================================

T of the weights that are not eliminated, in an example with seven: with `rooted` [[1, 3, 2]] the weights from number 1
on are 2 coefficients of 3 features, which share one R, `roots` (term, widest, widest)[0]. `sd` is (weight,).

    | sd_0                                                |
    |       sd_1 R_00                                     |
    |       sd_2 R_10  sd_2 R_11                          |
    |                             sd_3 R_00               |
    |                             sd_4 R_10  sd_4 R_11    |
    |                                                 ... |

T_g of a group's weights, in an example of two: R is `own_root` (varying, varying), and `own_sd` is (group, varying), or
(1, varying) where it is the same for all groups.

    | own_sd[g, 0] R_00                       |
    | own_sd[g, 1] R_10    own_sd[g, 1] R_11  |

`blocks` [C_g', F_g, e_g] have the shape of `sums`. The diagonal of C_g' holds its reciprocals; entries below it are
never read. An example for one group, with two weights of its own and five that are not eliminated:

    | 1/C_00   C_10  |  F_00  F_01  F_02  F_03  F_04  |  e_0 |
    |         1/C_11 |  F_10  F_11  F_12  F_13  F_14  |  e_1 |
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.eliminated_groups import eliminate, excess, moment_root, own_weights, second_moments
from bayes_personal.kernels.lapack import add_gram, cholesky, invert
from bayes_personal.kernels.tape import backward, forward, outputs_of

# Number of groups handled together: the innermost loops run over them and use the processor's vectors.
TOGETHER = 128


@compiled
def apply_roots(matrix, roots, rooted):
    """Multiply `matrix` (row, weight) by the block-diagonal matrix of roots, in place."""
    for t in range(len(rooted)):
        start, features, p = rooted[t]
        for i in range(len(matrix)):
            for f in range(features):
                first = start + f * p
                # The root is a lower triangle: a column needs only itself and later columns.
                for b in range(p):
                    total = 0.0
                    for a in range(b, p):
                        total += matrix[i, first + a] * roots[t, a, b]
                    matrix[i, first + b] = total


@inlined
def solve_upper(lower, vector):
    """Multiply a vector by L'^-1, in place."""
    for i in range(len(vector) - 1, -1, -1):
        vector[i] /= lower[i, i]
        for j in range(i):
            vector[j] -= lower[i, j] * vector[i]


@compiled
def factor(gram, moment, sums, sd, roots, rooted, own_sd, own_root, s):
    """Return L, the weights' conditional mean, the groups' [C', F, e], the sum of log diagonals and z_hat'M z_hat.

    The first value returned says whether L exists and these numbers are finite.
    """
    size, p, groups = len(moment), sums.shape[0], sums.shape[2]
    precision = 1 / (s * s)
    lower, mean = np.empty((size, size)), np.empty((1, size))
    for i in range(size):
        scale = sd[i] * precision
        mean[0, i] = moment[i] * scale
        for j in range(size if len(rooted) else i + 1):
            lower[i, j] = gram[i, j] * scale * sd[j]
    if len(rooted):
        apply_roots(lower, roots, rooted)
        lower = lower.T.copy()
        apply_roots(lower, roots, rooted)
        apply_roots(mean, roots, rooted)
    for i in range(size):
        lower[i, i] += 1.0
    blocks, outcome = np.empty(sums.shape), sums.shape[1] - 1
    half, fit = 0.0, 0.0
    for low in range(0, groups, TOGETHER):
        high = min(low + TOGETHER, groups)
        eliminate(sums, sd, roots, rooted, own_sd, own_root, precision, blocks, low, high)
        for g in range(low, high):
            volume = 1.0
            for a in range(p):
                volume *= blocks[a, a, g]
            half -= np.log(volume)
        for a in range(p):
            for g in range(low, high):
                fit += blocks[a, outcome, g] ** 2
            for i in range(size):
                total = 0.0
                for g in range(low, high):
                    total += blocks[a, p + i, g] * blocks[a, outcome, g]
                mean[0, i] -= total
    fine = True
    if size and groups:
        for a in range(p):
            add_gram(blocks[a, p:outcome], -1.0, lower)
    if size:
        fine = cholesky(lower)
        for i in range(size):
            for k in range(i):
                mean[0, i] -= lower[i, k] * mean[0, k]
            mean[0, i] /= lower[i, i]
            fit += mean[0, i] ** 2
            half += np.log(lower[i, i])
        solve_upper(lower, mean[0])
    return fine and np.isfinite(half + fit), lower, mean[0], blocks, half, fit


@inlined
def log_marginal(square, count, constant, s, half, fit):
    """Return log p(y | phi)."""
    return constant - count * np.log(s) - half - 0.5 * (square / (s * s) - fit)


@inlined
def scaling(out, shape):
    """Return the parts of T among the outputs of a model's tape: `sd`, `roots`, `own_sd` and `own_root`."""
    size, roots, widest, own_rows, p = shape
    first = 2 + size
    second = first + roots * widest * widest
    third = second + own_rows * p
    return (out[2:first], out[first:second].reshape(roots, widest, widest), out[second:third].reshape(own_rows, p),
            out[third:].reshape(p, p))


@compiled
def value(point, start, given, code, outputs, shape, gram, moment, sums, rooted, numbers):
    """Return log p(y, phi), -inf where it is not finite."""
    out = outputs_of(forward(point, start, given, code), outputs)
    square, count, constant = numbers
    sd, roots, own_sd, own_root = scaling(out, shape)
    fine, _, _, _, half, fit = factor(gram, moment, sums, sd, roots, rooted, own_sd, own_root, out[1])
    result = out[0] + log_marginal(square, count, constant, out[1], half, fit)
    return result if fine and np.isfinite(result) else -np.inf


@compiled
def values(points, start, given, code, outputs, shape, gram, moment, sums, rooted, numbers):
    """Return log p(y, phi) at many points."""
    result = np.empty(len(points))
    for i in range(len(points)):
        result[i] = value(points[i], start, given, code, outputs, shape, gram, moment, sums, rooted, numbers)
    return result


@inlined
def slopes_of_weights(lower, mean, sd, by_sd):
    """Return E|z|^2 of the weights that are not eliminated, less their number, and set the slopes by `sd`.

    `lower` is L^-1.
    """
    size, excess_of_all = len(mean), 0.0
    second = np.zeros(size)
    for i in range(size):
        for k in range(i + 1):
            second[k] += lower[i, k] ** 2
    for k in range(size):
        second[k] += mean[k] ** 2
        excess_of_all += second[k] - 1.0
        by_sd[k] = (second[k] - 1.0) / sd[k] if sd[k] > 0 else 0.0
    return excess_of_all


@inlined
def slopes_of_block(block, t, at, sd, roots, by_sd, by_roots):
    """Add the slopes by a term's root, and set those by `sd`, of one feature whose weights from number `at` on have
    second moments `block`, (varying, varying, 1), which is overwritten."""
    width = len(block)
    root = roots[t, :width, :width].copy()
    excess(block, root)
    for a in range(width):
        total = 0.0
        for b in range(a + 1):
            by_roots[t, a, b] += block[b, a, 0]
            total += block[b, a, 0] * root[a, b]
        by_sd[at + a] = total / sd[at + a] if sd[at + a] > 0 else 0.0


@inlined
def slopes_of_roots(lower, mean, sd, roots, rooted, by_sd, by_roots):
    """Set the slopes by `roots`, and by `sd` of the weights with roots; `lower` is L^-1."""
    size = len(mean)
    for t in range(len(rooted)):
        first, features, width = rooted[t]
        block = np.empty((width, width, 1))
        for j in range(features):
            at = first + j * width
            for a in range(width):
                for b in range(width):
                    total = mean[at + a] * mean[at + b]
                    for i in range(at + max(a, b), size):
                        total += lower[i, at + a] * lower[i, at + b]
                    block[a, b, 0] = total
            slopes_of_block(block, t, at, sd, roots, by_sd, by_roots)


@inlined
def slopes_of_groups(blocks, lower, mean, own_sd, own_root, by_own_sd, by_own_root):
    """Return E|z|^2 of the groups' weights, less their number, and add the slopes by `own_sd` and `own_root`.

    `lower` is L^-1.
    """
    p, groups, excess_of_all = blocks.shape[0], blocks.shape[2], 0.0
    root = moment_root(blocks, lower, mean)
    for low in range(0, groups, TOGETHER):
        high = min(low + TOGETHER, groups)
        block = second_moments(root, low, high)
        for a in range(p):
            for g in range(high - low):
                excess_of_all += block[a, a, g] - 1.0
        excess(block, own_root)
        for a in range(p):
            for b in range(a + 1):
                for g in range(high - low):
                    by_own_root[a, b] += block[b, a, g]
                    row = low + g if len(own_sd) > 1 else 0
                    by_own_sd[row, a] += block[b, a, g] * own_root[a, b]
    for row in range(len(own_sd)):
        for a in range(p):
            by_own_sd[row, a] = by_own_sd[row, a] / own_sd[row, a] if own_sd[row, a] > 0 else 0.0
    return excess_of_all


@compiled
def value_and_gradient(point, start, given, code, outputs, shape, gram, moment, sums, rooted, numbers):
    """Return log p(y, phi) and its gradient; by Fisher's identity, d log p / d log sd_k = E[z_k^2 | y] - 1, etc."""
    work = forward(point, start, given, code)
    out = outputs_of(work, outputs)
    square, count, constant = numbers
    sd, roots, own_sd, own_root = scaling(out, shape)
    s = out[1]
    fine, lower, mean, blocks, half, fit = factor(gram, moment, sums, sd, roots, rooted, own_sd, own_root, s)
    result = out[0] + log_marginal(square, count, constant, s, half, fit)
    if not (fine and np.isfinite(result)):
        return -np.inf, np.zeros(len(point))
    slope = np.zeros(len(out))
    slope[0] = 1.0
    by_sd, by_roots, by_own_sd, by_own_root = scaling(slope, shape)
    if len(mean):
        invert(lower)
    excess_of_all = slopes_of_weights(lower, mean, sd, by_sd)
    slopes_of_roots(lower, mean, sd, roots, rooted, by_sd, by_roots)
    excess_of_all += slopes_of_groups(blocks, lower, mean, own_sd, own_root, by_own_sd, by_own_root)
    # E|y - Z w|^2 / s^2 is y'y / s^2 - fit - excess, and it equals the number of rows where the slope is zero.
    slope[1] = (square / (s * s) - fit - excess_of_all - count) / s
    by_place = np.zeros(len(work))
    for k in range(len(outputs)):
        by_place[outputs[k]] += slope[k]
    return result, backward(work, by_place, given, code)


@inlined
def alike(array, i, j):
    """Return whether two rows of an array are the same."""
    one, other = array[i].ravel(), array[j].ravel()
    for k in range(len(one)):
        if one[k] != other[k]:
            return False
    return True


@inlined
def repeated(order, place, sd, roots, own_sd, own_root, s):
    """Return whether the hyperparameters at a place in this order of the draws are those before it."""
    if place == 0:
        return False
    i, j = order[place], order[place - 1]
    return (s[i] == s[j] and alike(sd, i, j) and alike(roots, i, j) and alike(own_sd, i, j) and alike(own_root, i, j))


@compiled
def draw(order, gram, moment, sums, sd, roots, rooted, own_sd, own_root, s, z, own_z):
    """Replace standard normal noise by exact draws of the weights, one for each draw of the hyperparameters.

    `order` is an order of the draws in which those with the same hyperparameters follow each other.
    """
    for place in range(len(order)):
        i = order[place]
        if not repeated(order, place, sd, roots, own_sd, own_root, s):
            fine, lower, mean, blocks, _, _ = factor(gram, moment, sums, sd[i], roots[i], rooted, own_sd[i],
                                                     own_root[i], s[i])
        if not fine:
            return False
        solve_upper(lower, z[i])
        for k in range(len(mean)):
            z[i, k] += mean[k]
        own_weights(blocks, z[i], own_z[i])
    return True


@compiled
def place(gram, moment, sums, sd, roots, rooted, own_sd, own_root, s, z, log_volumes):
    """Replace standard normal u by weights ``mean + L'^-1 u``, the groups integrated out, and set log |L|, (draw,).

    Where L does not exist, log |L| is infinite.
    """
    for i in range(len(s)):
        fine, lower, mean, _, _, _ = factor(gram, moment, sums, sd[i], roots[i], rooted, own_sd[i], own_root[i], s[i])
        log_volumes[i] = 0.0 if fine else np.inf
        if fine:
            solve_upper(lower, z[i])
            for k in range(len(mean)):
                z[i, k] += mean[k]
                log_volumes[i] += np.log(lower[k, k])


@compiled
def draw_eliminated(sums, sd, roots, rooted, own_sd, own_root, s, weights, own_z):
    """Replace standard normal noise by exact draws of some groups' weights, given the `weights` not eliminated."""
    blocks = np.empty(sums.shape)
    for i in range(len(s)):
        eliminate(sums, sd[i], roots[i], rooted, own_sd[i], own_root[i], 1 / (s[i] * s[i]), blocks, 0, sums.shape[2])
        own_weights(blocks, weights[i], own_z[i])


@compiled
def project(dense, groups, varying, sums, mean, sd, roots, rooted, own_root, own_sd, s):
    """Return the fit of rows in these groups, and the groups' part of their leverage.

    `dense` holds the columns of ZT for the weights that are not eliminated. It is replaced by the vectors to which L^-1
    is to be applied for the remaining part of the leverage.
    """
    rows, p = varying.shape
    fit, part = np.zeros(rows), np.zeros(rows)
    blocks, unit, means = np.empty(sums.shape), np.empty(p), np.zeros((p, 1, sums.shape[2]))
    eliminate(sums, sd, roots, rooted, own_sd, own_root, 1 / (s * s), blocks, 0, sums.shape[2])
    own_weights(blocks, mean, means)
    for i in range(rows):
        for j in range(len(mean)):
            fit[i] += dense[i, j] * mean[j]
        if sums.shape[2]:
            g = groups[i]
            row = g if len(own_sd) > 1 else 0
            for a in range(p):
                total = 0.0
                for k in range(a, p):
                    total += varying[i, k] * own_sd[row, k] * own_root[k, a]
                fit[i] += total * means[a, 0, g]
                for k in range(a):
                    total -= blocks[k, a, g] * unit[k]
                unit[a] = total * blocks[a, a, g]
                part[i] += unit[a] ** 2
                for j in range(len(mean)):
                    dense[i, j] -= unit[a] * blocks[a, p + j, g]
    return fit, part
