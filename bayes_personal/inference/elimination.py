"""Groups that are eliminated: the algebra of thousands of small blocks, compiled. `kernel` says what they are of.

Arrays have the groups last, and the innermost loops run over them, so that they use the processor's vectors.
"""

import numpy as np

from bayes_personal.inference.lapack import multiply_lower
from bayes_personal.inference.machine import inlined


@inlined
def apply_roots_to_groups(f, roots, rooted, low, high):
    """The same for the groups' f (varying, weight, group), from group `low` up to `high`."""
    for t in range(len(rooted)):
        start, features, p = rooted[t]
        for a in range(len(f)):
            for first in range(start, start + features * p, p):
                for b in range(p):
                    for g in range(low, high):
                        f[a, first + b, g] *= roots[t, b, b]
                    for k in range(b + 1, p):
                        for g in range(low, high):
                            f[a, first + b, g] += f[a, first + k, g] * roots[t, k, b]


@inlined
def blocks_of_groups(own, cross, own_moment, sd, roots, rooted, own_sd, own_root, precision, c, f, e, low, high):
    """C, F and e of the groups from `low` up to `high`."""
    size, p, n = len(sd), len(own_moment), high - low
    t, product, total = np.empty((p, p, n)), np.empty((p, p, n)), np.empty(n)
    for a in range(p):
        for b in range(a + 1):
            for i in range(n):
                t[a, b, i] = own_sd[low + i if len(own_sd) > 1 else 0, a] * own_root[a, b]
    for a in range(p):
        for b in range(p):
            total[:] = 0.0
            for m in range(b, p):
                for i in range(n):
                    total[i] += own[a, m, low + i] * t[m, b, i]
            for i in range(n):
                product[a, b, i] = total[i] * precision
    for a in range(p):
        total[:] = 0.0
        for k in range(a, p):
            for i in range(n):
                total[i] += t[k, a, i] * own_moment[k, low + i]
        for i in range(n):
            e[a, low + i] = total[i] * precision
        for j in range(size):
            total[:] = 0.0
            for k in range(a, p):
                for i in range(n):
                    total[i] += t[k, a, i] * cross[k, j, low + i]
            scale = sd[j] * precision
            for i in range(n):
                f[a, j, low + i] = total[i] * scale
        for b in range(a + 1):
            total[:] = 1.0 if a == b else 0.0
            for k in range(a, p):
                for i in range(n):
                    total[i] += t[k, a, i] * product[k, b, i]
            for i in range(n):
                c[a, b, low + i] = total[i]
    if len(rooted):
        apply_roots_to_groups(f, roots, rooted, low, high)
    for j in range(p):
        for k in range(j):
            for g in range(low, high):
                c[j, j, g] -= c[j, k, g] ** 2
        for g in range(low, high):
            c[j, j, g] = np.sqrt(c[j, j, g])
        for i in range(j + 1, p):
            for k in range(j):
                for g in range(low, high):
                    c[i, j, g] -= c[i, k, g] * c[j, k, g]
            for g in range(low, high):
                c[i, j, g] /= c[j, j, g]
    for a in range(p):
        for k in range(a):
            for g in range(low, high):
                e[a, g] -= c[a, k, g] * e[k, g]
            for j in range(size):
                for g in range(low, high):
                    f[a, j, g] -= c[a, k, g] * f[k, j, g]
        for g in range(low, high):
            e[a, g] /= c[a, a, g]
        for j in range(size):
            for g in range(low, high):
                f[a, j, g] /= c[a, a, g]


@inlined
def own_means(c, f, e, mean, result):
    """Conditional means of the groups' weights (varying, group), where those of the others are `mean`."""
    for a in range(len(e) - 1, -1, -1):
        for g in range(e.shape[1]):
            result[a, g] = e[a, g]
        for j in range(len(mean)):
            for g in range(e.shape[1]):
                result[a, g] -= f[a, j, g] * mean[j]
        for b in range(a + 1, len(e)):
            for g in range(e.shape[1]):
                result[a, g] -= c[b, a, g] * result[b, g]
        for g in range(e.shape[1]):
            result[a, g] /= c[a, a, g]


@inlined
def loadings(c, f, lower):
    """C'^-1 F L'^-1 of all groups, (varying, weight, group); `lower` is L^-1."""
    p, size, groups = f.shape
    result = np.empty((p, size, groups))
    for a in range(p - 1, -1, -1):
        for j in range(size):
            for g in range(groups):
                result[a, j, g] = f[a, j, g]
            for b in range(a + 1, p):
                for g in range(groups):
                    result[a, j, g] -= c[b, a, g] * result[b, j, g]
            for g in range(groups):
                result[a, j, g] /= c[a, a, g]
    if size and groups:
        for a in range(p):
            multiply_lower(lower, result[a])
    return result


@inlined
def second_moments(c, spread, own_z, low, high):
    """E[z z'] of each of the groups from `low` up to `high`, (varying, varying, group); `spread` is their loadings."""
    p, size, n = spread.shape[0], spread.shape[1], high - low
    result, unit = np.empty((p, p, n)), np.zeros((p, p, n))
    for b in range(p):
        for a in range(b, p):
            if a == b:
                unit[a, b, :] = 1.0
            for k in range(b, a):
                for i in range(n):
                    unit[a, b, i] -= c[a, k, low + i] * unit[k, b, i]
            for i in range(n):
                unit[a, b, i] /= c[a, a, low + i]
    for a in range(p):
        for b in range(a + 1):
            for i in range(n):
                result[a, b, i] = own_z[a, low + i] * own_z[b, low + i]
            for k in range(a, p):
                for i in range(n):
                    result[a, b, i] += unit[k, a, i] * unit[k, b, i]
            for r in range(size):
                for i in range(n):
                    result[a, b, i] += spread[a, r, low + i] * spread[b, r, low + i]
            for i in range(n):
                result[b, a, i] = result[a, b, i]
    return result


@inlined
def excess(second, root):
    """R'^-1 (E[z z'] - 1), the derivative of the log density with respect to R where w = diag(sd) R z; in place.

    Of the symmetric `second` (varying, varying, group) rows are taken for columns, and the result is transposed.
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
