"""Groups that are eliminated: the algebra of thousands of small blocks, compiled. `gaussian` defines the blocks.

The groups are the last axis of arrays, and the innermost loops run over them, which lets these use the processor's
vectors. Every operation on the rows of a block applies to all its columns, so all columns of a group are in one array
(varying, column, group): first those of its own weights, then those of the weights that are not eliminated, and last
that of the outcome.
"""

import numpy as np

from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.lapack import multiply_lower


@inlined
def multiply_columns(blocks, root, first, width, low, high):
    """Multiply the columns from `first` on by a root, in place, for the groups from `low` up to `high`."""
    for a in range(len(blocks)):
        # The root is a lower triangle: a column needs only itself and later columns.
        for b in range(width):
            for g in range(low, high):
                blocks[a, first + b, g] *= root[b, b]
            for k in range(b + 1, width):
                for g in range(low, high):
                    blocks[a, first + b, g] += blocks[a, first + k, g] * root[k, b]


@inlined
def eliminate(sums, sd, roots, rooted, own_sd, own_root, precision, blocks, low, high):
    """Compute C_g', F_g and e_g of the groups from `low` up to `high`; the diagonal of C_g' holds its reciprocals."""
    p, columns = sums.shape[0], sums.shape[1]
    scales = np.empty((p, high - low))
    for a in range(p):
        for i in range(high - low):
            scales[a, i] = own_sd[low + i if len(own_sd) > 1 else 0, a]
    for a in range(p):
        for j in range(columns):
            scale = precision * sd[j - p] if p <= j < columns - 1 else precision
            for i in range(high - low):
                blocks[a, j, low + i] = sums[a, j, low + i] * scales[a, i] * scale
            if j < p:
                for i in range(high - low):
                    blocks[a, j, low + i] *= scales[j, i]
    multiply_columns(blocks, own_root, 0, p, low, high)
    for t in range(len(rooted)):
        for k in range(rooted[t, 1]):
            width = rooted[t, 2]
            multiply_columns(blocks, roots[t], p + rooted[t, 0] + k * width, width, low, high)
    # Multiply by the root from the left too. Entries below the diagonal are no longer needed.
    for a in range(p):
        for j in range(a, columns):
            for g in range(low, high):
                blocks[a, j, g] *= own_root[a, a]
            for k in range(a + 1, p):
                for g in range(low, high):
                    blocks[a, j, g] += own_root[k, a] * blocks[k, j, g]
    for k in range(p):
        for g in range(low, high):
            blocks[k, k, g] = 1 / np.sqrt(1 + blocks[k, k, g])
        for j in range(k + 1, columns):
            for g in range(low, high):
                blocks[k, j, g] *= blocks[k, k, g]
        for a in range(k + 1, p):
            for j in range(a, columns):
                for g in range(low, high):
                    blocks[a, j, g] -= blocks[k, a, g] * blocks[k, j, g]


@inlined
def own_weights(blocks, w, x):
    """Replace the last column of x by C'^-1 (x + e - F w), and its other columns by C'^-1 x.

    w are the weights that are not eliminated.
    """
    p, outcome = len(blocks), x.shape[1] - 1
    for a in range(p - 1, -1, -1):
        for g in range(x.shape[2]):
            x[a, outcome, g] += blocks[a, p + len(w), g]
        for j in range(len(w)):
            for g in range(x.shape[2]):
                x[a, outcome, g] -= blocks[a, p + j, g] * w[j]
        for j in range(outcome + 1):
            for b in range(a + 1, p):
                for g in range(x.shape[2]):
                    x[a, j, g] -= blocks[a, b, g] * x[b, j, g]
            for g in range(x.shape[2]):
                x[a, j, g] *= blocks[a, a, g]


@inlined
def moment_root(blocks, lower, mean):
    """Return X = C'^-1 [1, F L'^-1, e - F mean], so that XX' = E[z z'] of all groups; `lower` is L^-1."""
    p, columns = blocks.shape[0], blocks.shape[1]
    result = np.zeros(blocks.shape)
    for a in range(p):
        for g in range(blocks.shape[2]):
            result[a, a, g] = 1.0
        for j in range(p, columns - 1):
            for g in range(blocks.shape[2]):
                result[a, j, g] = blocks[a, j, g]
        if len(mean) and blocks.shape[2]:
            multiply_lower(lower, result[a, p : columns - 1])
    own_weights(blocks, mean, result)
    return result


@inlined
def second_moments(root, low, high):
    """Return XX' of the groups from `low` up to `high`, (varying, varying, group)."""
    p = len(root)
    result = np.zeros((p, p, high - low))
    for a in range(p):
        for b in range(a + 1):
            # The first columns form an upper triangle.
            for r in range(a, root.shape[1]):
                for i in range(high - low):
                    result[a, b, i] += root[a, r, low + i] * root[b, r, low + i]
            for i in range(high - low):
                result[b, a, i] = result[a, b, i]
    return result


@inlined
def excess(second, root):
    """Compute R'^-1 (E[z z'] - 1) in place: the derivative of the log density by R, where w = diag(sd) R z.

    Rows of the symmetric `second` (varying, varying, group) serve as its columns, and the result is transposed.
    """
    n = second.shape[2]
    for a in range(len(root)):
        for g in range(n):
            second[a, a, g] -= 1.0
        for i in range(len(root) - 1, -1, -1):
            for g in range(n):
                second[a, i, g] /= root[i, i]
            for j in range(i):
                for g in range(n):
                    second[a, j, g] -= root[i, j] * second[a, i, g]
