"""Likelihoods of groups on all nodes of a product grid, whose exponentials are products of a few.

At the node t a row's linear predictor is ``eta_hat + d``, ``d = sum_k a_k t_k``, where eta_hat is that at the centre of
the grid and ``a = L^-1 c``, c what whitened weights add. With n nodes along each of p axes, e^d at all n^p nodes are
products of the p n numbers e^(a_k t). A row adds, relative to its log likelihood at the centre (for POISSON to
y eta_hat, as m may be large),

    ==================  =======================================================================================
    BERNOULLI           y d - log(u + q e^d),              q = 1 - u the probability of 1 at the centre
    BINOMIAL            y d - n log(u + q e^d)
    POISSON             y d - m e^d,                       m the rate at the centre
    NEGATIVE_BINOMIAL   y d - (y + a) log(u + q e^d),      q = 1 - u = m / (a + m)
    ==================  =======================================================================================

and ``-(a + 1)/2 log(1 + (r - d)^2/a)`` itself for STUDENT_T, in units of b. ``u + q e^d`` lies between e^-|d| and
e^|d|, so that as many rows' factors can be multiplied before a logarithm is taken as floating point holds. Arguments
are those of `group_integrals`, with one linear predictor a row.
"""

import numpy as np
from numba.extending import overload

from bayes_personal.kernels import codes
from bayes_personal.kernels.compiling import OPTIONS, inlined
from bayes_personal.kernels.elementary import exp_of, log_beyond_one, log_of, rate
from bayes_personal.kernels.likelihoods import FOLDED

# Largest |d|, and largest sum of the logarithms of factors that are multiplied: float64 ends at e^709.
FARTHEST, LARGEST = 300.0, 600.0
# Largest |d| of StudentT in its scales: the square is a number.
FARTHEST_IN_SCALES = 1e100
# Families whose likelihoods are such products.
BERNOULLI, BINOMIAL, POISSON, NEGATIVE_BINOMIAL, STUDENT_T = range(5)
KINDS = {codes.Bernoulli: BERNOULLI, codes.Binomial: BINOMIAL, codes.Poisson: POISSON,
         codes.NegativeBinomial: NEGATIVE_BINOMIAL, codes.StudentT: STUDENT_T}


def kind_of(code):
    """Return the kind of a code, which is known when functions are compiled; -1 for those without a grid."""
    raise NotImplementedError


@overload(kind_of, jit_options=OPTIONS)
def _kind_of(code):
    kind = KINDS.get(code.instance_class, -1)
    return lambda code: kind


@inlined
def order_of(nodes):
    """Return the number of nodes along each axis of a product grid, (axis, node), whose last axis runs fastest."""
    last, order = nodes[len(nodes) - 1], 1
    while order < len(last) and last[order] > last[order - 1]:
        order += 1
    return order


@inlined
def set_inverse(h, inverse):
    """Set lower triangles (varying, varying, lane) to the inverses of those of h."""
    for k in range(len(h)):
        for g in range(h.shape[2]):
            inverse[k, k, g] = 1.0 / h[k, k, g]
        for m in range(k):
            for g in range(h.shape[2]):
                inverse[k, m, g] = 0.0
            for r in range(m, k):
                for g in range(h.shape[2]):
                    inverse[k, m, g] -= h[k, r, g] * inverse[r, m, g]
            for g in range(h.shape[2]):
                inverse[k, m, g] *= inverse[k, k, g]


@inlined
def set_node(nodes, j, z, inverse, node):
    """Set node (varying, lane) to z + L'^-1 t_j."""
    for k in range(len(z)):
        for g in range(z.shape[1]):
            node[k, g] = z[k, g]
        for m in range(k, len(z)):
            for g in range(z.shape[1]):
                node[k, g] += inverse[m, k, g] * nodes[m, j]


@inlined
def set_slopes(c, rows, inverse, a, sizes):
    """Set a (varying, row, lane) to L^-1 times what the whitened weights of groups add to their rows' predictors, and
    `sizes` (lane,) to the sums of their absolute values over the rows of a group."""
    p, lanes = len(a), a.shape[2]
    for g in range(lanes):
        sizes[g] = 0.0
    for k in range(p):
        for i in range(rows):
            for g in range(lanes):
                a[k, i, g] = 0.0
            for r in range(k + 1):
                for g in range(lanes):
                    a[k, i, g] += inverse[k, r, g] * c[r, 0, i, g]
            for g in range(lanes):
                sizes[g] += abs(a[k, i, g])


@inlined
def farthest(a, i, reach):
    """Return the largest |d| of a row over all lanes and nodes; infinity where it is no number."""
    result = 0.0
    for g in range(a.shape[2]):
        total = 0.0
        for k in range(len(a)):
            total += abs(a[k, i, g])
        result = max(result, total * reach if total * reach < np.inf else np.inf)
    return result


@inlined
def set_products(a, i, t, multiply, front, last):
    """Set `front` (node of all axes but the last, lane) and `last` (node of the last axis, lane), whose products are
    e^d in row i, or whose sums are d where they are not to be multiplied."""
    p, lanes, count = len(a), a.shape[2], 1
    for g in range(lanes):
        front[0, g] = 1.0 if multiply else 0.0
    for k in range(p):
        for b in range(len(t)):
            if multiply:
                for g in range(lanes):
                    last[b, g] = exp_of(a[k, i, g] * t[b])
            else:
                for g in range(lanes):
                    last[b, g] = a[k, i, g] * t[b]
        if k < p - 1:
            # From the end, so that no product is overwritten before it has been used.
            for place in range(count - 1, -1, -1):
                for b in range(len(t) - 1, -1, -1):
                    if multiply:
                        for g in range(lanes):
                            front[place * len(t) + b, g] = front[place, g] * last[b, g]
                    else:
                        for g in range(lanes):
                            front[place * len(t) + b, g] = front[place, g] + last[b, g]
            count *= len(t)


@inlined
def set_centre(kind, own, y, n, at, eta, rows, u, q, total, product):
    """Set u and q of all rows of a tile, (row * lane,); m in q for Poisson, and the residual there for StudentT.

    The log likelihoods at the centre are added to `total` (lane,), but for the logarithm of `product`, (lane,).
    """
    lanes = len(total)
    for i in range(rows):
        v = i * lanes
        w = at + v
        if kind == BERNOULLI:
            for g in range(lanes):
                size = abs(eta[0, v + g])
                e = exp_of(-size)
                near, far = e / (1.0 + e), 1.0 / (1.0 + e)
                # A slot without a row has no factor.
                q[v + g] = n[w + g] * (far if eta[0, v + g] > 0 else near)
                u[v + g] = 1.0 - n[w + g] + n[w + g] * (near if eta[0, v + g] > 0 else far)
                total[g] += y[w + g] * eta[0, v + g] - n[w + g] * 0.5 * (eta[0, v + g] + size)
                product[g] *= 1.0 + n[w + g] * e
        elif kind == BINOMIAL:
            for g in range(lanes):
                size = abs(eta[0, v + g])
                e = exp_of(-size)
                near, far = e / (1.0 + e), 1.0 / (1.0 + e)
                q[v + g] = far if eta[0, v + g] > 0 else near
                u[v + g] = near if eta[0, v + g] > 0 else far
                total[g] += (y[w + g] * eta[0, v + g]
                             - n[w + g] * (0.5 * (eta[0, v + g] + size) + log_beyond_one(1.0 + e, e)))
        elif kind == POISSON:
            for g in range(lanes):
                q[v + g] = rate(n[w + g], eta[0, v + g])
                total[g] += y[w + g] * eta[0, v + g]
        elif kind == NEGATIVE_BINOMIAL:
            for g in range(lanes):
                x = rate(n[w + g], eta[0, v + g]) / own[0]
                u[v + g] = 1.0 / (1.0 + x)
                q[v + g] = x * u[v + g]
                total[g] += y[w + g] * eta[0, v + g] - (y[w + g] + own[0]) * log_beyond_one(1.0 + x, x)
        else:
            for g in range(lanes):
                q[v + g] = (y[w + g] - eta[0, v + g]) / own[1]


@inlined
def add_row(kind, own, y, n, at, u, q, v, front, last, count, logs, factor):
    """Add a row at all nodes to `logs` (node, lane), but for y d, and for factors whose logarithms are still to be
    subtracted. Its outcomes stand at `at`, its u and q at v; `front` is overwritten."""
    order, lanes = len(last), last.shape[1]
    for place in range(count):
        if kind == BERNOULLI or kind == POISSON:
            for g in range(lanes):
                front[place, g] *= q[v + g]
        for b in range(order):
            j = place * order + b
            if kind == BERNOULLI:
                for g in range(lanes):
                    factor[j, g] *= u[v + g] + front[place, g] * last[b, g]
            elif kind == BINOMIAL:
                for g in range(lanes):
                    logs[j, g] -= n[at + g] * log_of(u[v + g] + q[v + g] * (front[place, g] * last[b, g]))
            elif kind == POISSON:
                for g in range(lanes):
                    logs[j, g] -= front[place, g] * last[b, g]
            elif kind == NEGATIVE_BINOMIAL:
                for g in range(lanes):
                    e = front[place, g] * last[b, g]
                    logs[j, g] -= (y[at + g] + own[0]) * log_beyond_one(u[v + g] + q[v + g] * e, q[v + g] * (e - 1.0))
            else:
                for g in range(lanes):
                    r = q[v + g] - (front[place, g] + last[b, g]) / own[1]
                    factor[j, g] *= 1.0 + n[at + g] * r * r / own[0]


@inlined
def fold_factors(kind, own, logs, factor):
    """Subtract the logarithms of the factors, which become 1."""
    power = 0.5 * (own[0] + 1.0) if kind == STUDENT_T else 1.0
    for j in range(len(logs)):
        for g in range(logs.shape[1]):
            logs[j, g] -= power * log_of(factor[j, g])
            factor[j, g] = 1.0


@inlined
def highest_factor(own, q, v, lanes, distance):
    """Return the logarithm of the largest factor of a row of StudentT."""
    residual = 0.0
    for g in range(lanes):
        residual = max(residual, abs(q[v + g]))
    residual += distance / own[1]
    return np.log(1.0 + residual * residual / own[0])


@inlined
def add_on_grid(code, own, y, n, e, c, start, rows, z, inverse, nodes, logs):
    """Add the log likelihoods of all rows of a tile to `logs` (node, lane); return whether that can be done so.

    It cannot where a node is so far from the centre that a factor leaves the range of floating point; `logs` is then
    as it was. `inverse` is L^-1.
    """
    p, lanes = z.shape
    order, kind = order_of(nodes), kind_of(code)
    if kind < 0:
        return False
    t, count, multiply, of_tile = nodes[p - 1, :order], len(logs) // order, kind != STUDENT_T, rows * lanes
    a, sizes, reach = np.empty((p, rows, lanes)), np.empty(lanes), max(abs(t[0]), abs(t[order - 1]))
    set_slopes(c, rows, inverse, a, sizes)
    largest = 0.0
    for g in range(lanes):
        largest = max(largest, sizes[g] * reach if sizes[g] * reach < np.inf else np.inf)
    # Where all factors of a group can be multiplied, none is looked at by itself.
    at_once = multiply and largest < LARGEST
    if not at_once:
        for i in range(rows):
            distance = farthest(a, i, reach)
            # d of StudentT is in units of the outcome, and its factors are powers of it, not of e.
            if distance >= FARTHEST if multiply else distance / own[1] >= FARTHEST_IN_SCALES:
                return False
    eta, u, q = np.empty((1, of_tile)), np.ones(of_tile), np.empty(of_tile)
    for i in range(rows):
        for g in range(lanes):
            eta[0, i * lanes + g] = e[0, start + i, g]
        for k in range(p):
            for g in range(lanes):
                eta[0, i * lanes + g] += c[k, 0, i, g] * z[k, g]
    total, product, sums = np.zeros(lanes), np.ones(lanes), np.zeros((p, lanes))
    for first in range(0, rows, FOLDED):
        some = min(FOLDED, rows - first)
        set_centre(kind, own, y, n, (start + first) * lanes, eta[:, first * lanes :], some, u[first * lanes :],
                   q[first * lanes :], total, product)
        for g in range(lanes):
            total[g] -= log_of(product[g])
            product[g] = 1.0
    if multiply:
        for i in range(rows):
            for k in range(p):
                for g in range(lanes):
                    sums[k, g] += y[(start + i) * lanes + g] * a[k, i, g]
    front, last, factor = np.empty((count, lanes)), np.empty((order, lanes)), np.ones((len(logs), lanes))
    height = 0.0
    for i in range(rows):
        set_products(a, i, t, multiply, front, last)
        if not at_once:
            bound = farthest(a, i, reach)
            if not multiply:
                bound = highest_factor(own, q, i * lanes, lanes, bound)
            if height + bound > LARGEST:
                fold_factors(kind, own, logs, factor)
                height = 0.0
            height += bound
        add_row(kind, own, y, n, (start + i) * lanes, u, q, i * lanes, front, last, count, logs, factor)
    if kind == BERNOULLI or kind == STUDENT_T:
        fold_factors(kind, own, logs, factor)
    for j in range(len(logs)):
        for g in range(lanes):
            logs[j, g] += total[g]
        for k in range(p):
            for g in range(lanes):
                logs[j, g] += nodes[k, j] * sums[k, g]
    return True
