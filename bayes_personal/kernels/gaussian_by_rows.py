"""The algebra of `gaussian` where rows are fewer than weights: a matrix of rows is factored, not one of weights.

With B = Z T, (row, weight), of weights w = T z, z ~ Normal(0, 1), and errors s,

    C = s^2 I + B B' = L L',    y ~ Normal(0, C),    z | y ~ Normal(B'C^-1 y, 1 - B'C^-1 B).

The functions have the names, arguments and results of those in `gaussian`, except that `loadings` (row, weight) is Z,
divided by the known errors, in the place of `gram`, `outcome` (row,) is y in that of `moment`, and there are no groups:
`sums`, `own_sd` and `own_root` are not read.

References
----------
Andrews (1968), A square root formulation of the Kalman covariance equations, doi:10.2514/3.4693.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.gaussian import apply_roots, repeated, scaling, slopes_of_block, solve_upper
from bayes_personal.kernels.lapack import add_gram, cholesky, divide_lower
from bayes_personal.kernels.tape import backward, forward, outputs_of


@compiled
def factor(loadings, outcome, sd, roots, rooted, s):
    """Return L, B, L^-1 y and log |L|; the first value returned says whether L exists and these are finite."""
    rows, size = loadings.shape
    b, lower, turned = np.empty((rows, size)), np.zeros((rows, rows)), outcome.copy()
    for i in range(rows):
        for k in range(size):
            b[i, k] = loadings[i, k] * sd[k]
        lower[i, i] = s * s
    apply_roots(b, roots, rooted)
    add_gram(b, 1.0, lower)
    fine, half = cholesky(lower), 0.0
    for i in range(rows):
        for k in range(i):
            turned[i] -= lower[i, k] * turned[k]
        turned[i] /= lower[i, i]
        half += np.log(lower[i, i])
    return fine and np.isfinite(half), lower, b, turned, half


@inlined
def log_marginal(constant, half, turned):
    """Return log p(y | phi)."""
    fit = 0.0
    for i in range(len(turned)):
        fit += turned[i] ** 2
    return constant - half - 0.5 * fit


@compiled
def value(point, start, given, code, outputs, shape, loadings, outcome, sums, rooted, numbers):
    """Return log p(y, phi), -inf where it is not finite."""
    out = outputs_of(forward(point, start, given, code), outputs)
    sd, roots, _, _ = scaling(out, shape)
    fine, _, _, turned, half = factor(loadings, outcome, sd, roots, rooted, out[1])
    result = out[0] + log_marginal(numbers[2], half, turned)
    return result if fine and np.isfinite(result) else -np.inf


@compiled
def values(points, start, given, code, outputs, shape, loadings, outcome, sums, rooted, numbers):
    """Return log p(y, phi) at many points."""
    result = np.empty(len(points))
    for i in range(len(points)):
        result[i] = value(points[i], start, given, code, outputs, shape, loadings, outcome, sums, rooted, numbers)
    return result


@compiled
def value_and_gradient(point, start, given, code, outputs, shape, loadings, outcome, sums, rooted, numbers):
    """Return log p(y, phi) and its gradient; by Fisher's identity, d log p / d log sd_k = E[z_k^2 | y] - 1, etc."""
    work = forward(point, start, given, code)
    out = outputs_of(work, outputs)
    sd, roots, _, _ = scaling(out, shape)
    s = out[1]
    fine, lower, b, turned, half = factor(loadings, outcome, sd, roots, rooted, s)
    result = out[0] + log_marginal(numbers[2], half, turned)
    if not (fine and np.isfinite(result)):
        return -np.inf, np.zeros(len(point))
    slope = np.zeros(len(out))
    slope[0] = 1.0
    by_sd, by_roots, _, _ = scaling(slope, shape)
    rows, size = b.shape
    # L^-1 B, whose Gram matrix is what the rows take from the variance of z.
    divide_lower(lower, b)
    mean, explained = np.zeros(size), np.zeros(size)
    for i in range(rows):
        for k in range(size):
            mean[k] += b[i, k] * turned[i]
            explained[k] += b[i, k] ** 2
    excess_of_all = 0.0
    for k in range(size):
        excess_of_all += mean[k] ** 2 - explained[k]
        by_sd[k] = (mean[k] ** 2 - explained[k]) / sd[k] if sd[k] > 0 else 0.0
    for t in range(len(rooted)):
        first, features, width = rooted[t]
        block = np.empty((width, width, 1))
        for j in range(features):
            at = first + j * width
            for a in range(width):
                for c in range(width):
                    total = mean[at + a] * mean[at + c] + (1.0 if a == c else 0.0)
                    for i in range(rows):
                        total -= b[i, at + a] * b[i, at + c]
                    block[a, c, 0] = total
            slopes_of_block(block, t, at, sd, roots, by_sd, by_roots)
    # s^2 (|C^-1 y|^2 - tr C^-1), where s^2 C^-1 is what B B' leaves of the unit matrix.
    fit = 0.0
    for i in range(rows):
        fit += turned[i] ** 2
    slope[1] = (fit - rows - excess_of_all) / s
    by_place = np.zeros(len(work))
    for k in range(len(outputs)):
        by_place[outputs[k]] += slope[k]
    return result, backward(work, by_place, given, code)


@compiled
def move(lower, b, turned, s, z):
    """Replace standard normal z by ``B'C^-1 y + R z``, with R R' the conditional covariance of z, in place.

    R is ``1 - B'L'^-1 (L + s)^-1 B`` (Andrews 1968), whose determinant is s^rows / |L|.
    """
    rows = len(lower)
    gap = np.empty(rows)
    for i in range(rows):
        total = 0.0
        for k in range(len(z)):
            total += b[i, k] * z[k]
        for k in range(i):
            total -= lower[i, k] * gap[k]
        gap[i] = total / (lower[i, i] + s)
    for i in range(rows):
        gap[i] = turned[i] - gap[i]
    solve_upper(lower, gap)
    for i in range(rows):
        for k in range(len(z)):
            z[k] += b[i, k] * gap[i]


@compiled
def draw(order, loadings, outcome, sums, sd, roots, rooted, own_sd, own_root, s, z, own_z):
    """Replace standard normal noise by exact draws of the weights, one for each draw of the hyperparameters."""
    for place in range(len(order)):
        i = order[place]
        if not repeated(order, place, sd, roots, own_sd, own_root, s):
            fine, lower, b, turned, _ = factor(loadings, outcome, sd[i], roots[i], rooted, s[i])
        if not fine:
            return False
        move(lower, b, turned, s[i], z[i])
    return True


@compiled
def place(loadings, outcome, sums, sd, roots, rooted, own_sd, own_root, s, z, log_volumes):
    """Replace standard normal u by weights ``mean + R u``, and set -log |R|, (draw,), infinite where L does not
    exist."""
    for i in range(len(s)):
        fine, lower, b, turned, half = factor(loadings, outcome, sd[i], roots[i], rooted, s[i])
        log_volumes[i] = half - len(outcome) * np.log(s[i]) if fine else np.inf
        if fine:
            move(lower, b, turned, s[i], z[i])

