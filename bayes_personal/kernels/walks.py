"""Gaussian walks over places in order, one block after the other: the algebra behind `densities.walk`.

Row i at place t has the outcome ``y_i ~ Normal(x_i' a_t + z_i' b, sigma^2)``. The walk a_1, a_2, ... has p
coefficients and ``a_t - a_(t-1) ~ Normal(0, diag(variance_t))``; it has no prior of its own level, but what follows
from its mean over the rows has one, ``m = sum_t w_t' a_t + C b ~ Normal(0, S)``, and so have other entries of b. A
message about a_t is a matrix M of the variables ``v = (1, a_t, b, l)``, which says

    log density = -v' M v / 2.

The variables l stand for the prior of m, which is the integral of exp(l' m + l' S l / 2) over imaginary l: M has -S
in its block of l and -C' between b and l, and loses w_t between a_t and l at each place. A place adds its sums over
rows, a step of one coefficient is a rank-one change, and to integrate out is to eliminate. Nothing is ever inverted
that prior or data leave open, for l is eliminated first. A pass costs O(T p (p + b)^2).
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined


@inlined
def absorb(message, sums, share, inverse_variance, p):
    """Add the rows of a place: `sums` of products of (-y, x, z), (1 + p + b, 1 + p + b), and `share`, w_t, (p, l)."""
    size = len(sums)
    for i in range(size):
        for j in range(size):
            message[i, j] += inverse_variance * sums[i, j]
    for k in range(p):
        for j in range(share.shape[1]):
            message[1 + k, size + j] -= share[k, j]
            message[size + j, 1 + k] -= share[k, j]


@inlined
def spread(message, k, variance):
    """Add a Normal step to entry k of v; return what the step's integral adds to -2 log density."""
    own = message[k, k]
    factor = 1.0 / (1.0 + variance * own)
    drop = variance * factor
    for i in range(len(message)):
        if i != k:
            change = drop * message[i, k]
            for j in range(len(message)):
                if j != k:
                    message[i, j] -= change * message[k, j]
    for j in range(len(message)):
        message[k, j] *= factor
        message[j, k] = message[k, j]
    return np.log1p(variance * own)


@inlined
def eliminate(matrix, kept):
    """Eliminate all variables of a symmetric matrix but the first ones, the last one first, and update its lower
    triangle; return the log of the absolute determinant of what was eliminated."""
    total = 0.0
    for pivot in range(len(matrix) - 1, kept - 1, -1):
        own = matrix[pivot, pivot]
        total += np.log(abs(own))
        for i in range(pivot):
            factor = matrix[pivot, i] / own
            for j in range(i + 1):
                matrix[i, j] -= factor * matrix[pivot, j]
    return total


@inlined
def evidence(start, sums, share, variance, inverse_variance, scratch):
    """Return log p(y), up to a constant of the priors and of the number of rows; `scratch` is overwritten."""
    p = variance.shape[1]
    scratch[:] = start
    absorb(scratch, sums[0], share[0], inverse_variance, p)
    total = 0.0
    for t in range(1, len(sums)):
        for k in range(p):
            total += spread(scratch, 1 + k, variance[t - 1, k])
        absorb(scratch, sums[t], share[t], inverse_variance, p)
    total += eliminate(scratch, 1)
    return -0.5 * (total + scratch[0, 0])


@compiled
def log_evidence(start, sums, share, variance, inverse_variance):
    """Return `evidence`."""
    return evidence(start, sums, share, variance, inverse_variance, np.empty(start.shape))


@inlined
def look_ahead(sums, share, variance, inverse_variance, ahead):
    """Fill `ahead` with the messages of all later places and of each place itself, (place, v, v)."""
    p, last = variance.shape[1], len(sums) - 1
    ahead[last] = 0.0
    absorb(ahead[last], sums[last], share[last], inverse_variance, p)
    for t in range(last - 1, -1, -1):
        message = ahead[t]
        message[:] = ahead[t + 1]
        for k in range(p):
            spread(message, 1 + k, variance[t, k])
        absorb(message, sums[t], share[t], inverse_variance, p)


@inlined
def of_step(before, after, p, joint):
    """Say what all outcomes tell of the step between two places: leave (1, step) in the first entries of `joint`.

    `before` is the message of a_(t-1), `after` that of ``a_t = a_(t-1) + step``; `joint` has the variables
    (1, step, a_(t-1), b, l).
    """
    size = len(before)
    for i in range(size):
        row = i if i == 0 else i + p
        for j in range(size):
            joint[row, j if j == 0 else j + p] = before[i, j] + after[i, j]
    for k in range(1, p + 1):
        joint[k, 0] = joint[0, k] = after[k, 0]
        for j in range(1, size):
            joint[k, j + p] = joint[j + p, k] = after[k, j]
        for j in range(1, p + 1):
            joint[k, j] = after[k, j]
    eliminate(joint, p + 1)


@inlined
def of_one(step, variance, k, scratch):
    """Return precision and moment of one coefficient's step, the steps of all others integrated out, from `of_step`."""
    p = len(variance)
    for i in range(p + 1):
        for j in range(i + 1):
            scratch[i, j] = scratch[j, i] = step[i, j]
    for j in range(p):
        if j != k:
            spread(scratch, 1 + j, variance[j])
    return scratch[1 + k, 1 + k], -scratch[0, 1 + k]


@inlined
def of_place(before, after, here):
    """Say what all outcomes tell of one place: leave (1, a_t, b) in the first entries of `here`.

    `before` holds the place's own rows and the earlier ones, `after` the later ones.
    """
    for i in range(len(here)):
        for j in range(len(here)):
            here[i, j] = before[i, j] + after[i, j]


@inlined
def inverse_root(precision, size, inverse, root):
    """Fill the lower triangle of `inverse` with the inverse of the Cholesky factor of a matrix of (1, variables), of
    which the lower triangle is read, and that of `root` with the factor."""
    for i in range(size):
        for j in range(i + 1):
            total = precision[1 + i, 1 + j]
            for k in range(j):
                total -= root[i, k] * root[j, k]
            root[i, j] = np.sqrt(total) if i == j else total / root[j, j]
    for j in range(size):
        inverse[j, j] = 1 / root[j, j]
        for i in range(j + 1, size):
            total = 0.0
            for k in range(j, i):
                total -= root[i, k] * inverse[k, j]
            inverse[i, j] = total / root[i, i]


@inlined
def moments(precision, size, mean, covariance):
    """Fill mean and covariance of the variables of a matrix of (1, variables)."""
    inverse = np.empty((size, size))
    inverse_root(precision, size, inverse, np.empty((size, size)))
    for i in range(size):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, size):
                total += inverse[k, i] * inverse[k, j]
            covariance[i, j] = covariance[j, i] = total
    for i in range(size):
        mean[i] = 0.0
        for j in range(size):
            mean[i] -= covariance[i, j] * precision[1 + j, 0]


@inlined
def draw_normal(precision, size, noise, result, inverse, root, half):
    """Draw the variables of a matrix of (1, variables) from standard normals; the last arrays are overwritten."""
    inverse_root(precision, size, inverse, root)
    for k in range(size):
        half[k] = noise[k]
        for j in range(k + 1):
            half[k] -= inverse[k, j] * precision[1 + j, 0]
    for i in range(size):
        result[i] = 0.0
        for k in range(i, size):
            result[i] += inverse[k, i] * half[k]


@compiled
def smoothed(start, sums, share, variance, inverse_variance):
    """Return mean (place, p + b) and covariance (place, p + b, p + b) of (a_t, b) given all outcomes, and the
    derivatives of `log_evidence` by each variance, (place - 1, p)."""
    places, size, p = len(sums), len(start), variance.shape[1]
    known = sums.shape[1] - 1
    ahead = np.empty((places, size, size))
    look_ahead(sums, share, variance, inverse_variance, ahead)
    means, covariances = np.empty((places, known)), np.empty((places, known, known))
    slopes = np.empty(variance.shape)
    message, later, here = start.copy(), np.empty((size, size)), np.empty((size, size))
    joint, scratch = np.empty((size + p, size + p)), np.empty((p + 1, p + 1))
    for t in range(places):
        if t > 0:
            of_step(message, ahead[t], p, joint)
            for k in range(p):
                precision, moment = of_one(joint, variance[t - 1], k, scratch)
                shrunk = 1 / (1 + variance[t - 1, k] * precision)
                slopes[t - 1, k] = 0.5 * shrunk * (moment * moment * shrunk - precision)
            for k in range(p):
                spread(message, 1 + k, variance[t - 1, k])
        absorb(message, sums[t], share[t], inverse_variance, p)
        later[:] = 0.0
        if t + 1 < places:
            later[:] = ahead[t + 1]
            for k in range(p):
                spread(later, 1 + k, variance[t, k])
        of_place(message, later, here)
        eliminate(here, 1 + known)
        moments(here, known, means[t], covariances[t])
    return means, covariances, slopes


@compiled
def draw_walk(start, sums, share, sd, inverse_variance, noise, whitened, walk, rest):
    """Turn standard normals (place, p + b) into a draw of the steps divided by their standard deviations, `whitened`
    (place - 1, p), of the walk (place, p) and of b, `rest`."""
    places, size, p = len(sums), len(start), sd.shape[1]
    known = sums.shape[1] - 1
    messages = np.empty((places, size, size))
    messages[0] = start
    absorb(messages[0], sums[0], share[0], inverse_variance, p)
    for t in range(1, places):
        messages[t] = messages[t - 1]
        for k in range(p):
            spread(messages[t], 1 + k, sd[t - 1, k] ** 2)
        absorb(messages[t], sums[t], share[t], inverse_variance, p)
    here = messages[places - 1]
    eliminate(here, 1 + known)
    drawn, inverse, root, half = np.empty(known), np.empty((known, known)), np.empty((known, known)), np.empty(known)
    draw_normal(here, known, noise[places - 1], drawn, inverse, root, half)
    walk[places - 1] = drawn[:p]
    rest[:] = drawn[p:]
    reached, matrix = np.zeros(size - known - 1), np.empty((p + 1, p + 1))
    result = np.empty(p)
    for t in range(places - 2, -1, -1):
        here = messages[t]
        for j in range(len(reached)):
            # What the later places add to m is known.
            for k in range(p):
                reached[j] += share[t + 1, k, j] * walk[t + 1, k]
            here[1 + known + j, 0] -= reached[j]
        eliminate(here, 1 + known)
        for i in range(p):
            moment = here[1 + i, 0]
            for j in range(known - p):
                moment += here[1 + p + j, 1 + i] * rest[j]
            for j in range(p):
                moment += here[1 + max(i, j), 1 + min(i, j)] * walk[t + 1, j]
            # a_t is a_(t+1) less sd times the whitened step.
            matrix[1 + i, 0] = -sd[t, i] * moment
            for j in range(i + 1):
                matrix[1 + i, 1 + j] = sd[t, i] * here[1 + i, 1 + j] * sd[t, j]
            matrix[1 + i, 1 + i] += 1.0
        draw_normal(matrix, p, noise[t], result, inverse, root, half)
        for k in range(p):
            whitened[t, k] = result[k]
            walk[t, k] = walk[t + 1, k] - sd[t, k] * result[k]
