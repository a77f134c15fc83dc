"""Marginal likelihoods of many segments at a time, where all contexts of a segment share their coefficients.

A segment's statistics are differences of running sums; its log factor is log p(y of the segment | hyperparameters) up
to terms that add over rows and so do not depend on where segments end. There are five kinds:

NORMAL, y ~ Normal(x'theta, sigma^2), theta ~ Normal(mu0, D^2): with U = D X'X D / sigma^2, M = 1 + U and
v = D X'(y - X mu0) / sigma^2 the log factor is v'M^-1 v / 2 - log|M| / 2, and D^-1 (theta - mu0) is
Normal(M^-1 v, M^-1).

GAMMA, y ~ Poisson(rate e), rate ~ Gamma(a, b): F(a + Y, b + E) - F(a, b), F(z, w) = log Gamma(z) - z log w + w, and
rate ~ Gamma(a + Y, b + E).

BETA, y ~ Binomial(n, theta), theta ~ Beta(a, b): log B(a + S, b + F) - log B(a, b), and theta ~ Beta(a + S, b + F).

NORMAL_GAMMA, y ~ Normal(x'theta, sigma^2 / w), theta ~ Normal(mu0, D^2 / w), w ~ Gamma(a, a): with U, M and v as above,
R the sum of squares of y - X mu0 over sigma^2, Q = R - v'M^-1 v and h half the number of rows, the log factor is

    log Gamma(a + h) - log Gamma(a) - h log a - (a + h) log(1 + Q / 2a) - log|M| / 2,

w is Gamma(a + h, a + Q / 2), and given it D^-1 (theta - mu0) is Normal(M^-1 v, M^-1 / w). The first kind is its limit
where a is large, but for R / 2, which there belongs to the rows.

SEVERAL, regressions of the first or the last kind, one for each of several outcomes of every row, which share the
segments: the log factor is the sum of theirs. `numbers` starts with how many of them each outcome has: how many
coefficients, and the `numbers` of NORMAL_GAMMA, or zeros where it is of the first kind.

The statistics of the first kind are U by rows of its lower triangle, then v; its slopes are those by log tau, those by
mu0 times tau, and, instead of the slope by log sigma, the fit v'M^-1 v. With a Gamma these are followed by R and h, the
slopes by that by log a, and in place of the fit stands Q times the mean of w; `numbers` are a, the first three terms of
the log factor for 0, 1, 2, ... rows, and their slopes by log a. Those of several outcomes follow each other. The
statistics of counts are Y and E, or S and F; their slopes and `numbers` are those of `count_factors`.

The segments are the last axis of arrays, and the innermost loops run over them, which lets these use the processor's
vectors. The loops run over rows cut from the arrays: an index that, as far as the compiler knows, might be negative
would prevent that.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.count_factors import beta_factors, beta_slopes, gamma_factors, gamma_slopes
from bayes_personal.kernels.elementary import log_beyond_one, log_of

NORMAL, GAMMA, BETA, SEVERAL, NORMAL_GAMMA = 0, 1, 2, 3, 4
# Number of segments handled together: their values stay in the fastest memory.
TOGETHER = 128
# The product of this many pivots, each below 1e70, is finite.
PIVOTS = 4


@inlined
def triangle(p):
    """Return how many numbers a triangle of p rows has."""
    return p * (p + 1) // 2


@inlined
def coefficients_of(kind, statistics):
    """Return how many coefficients a segment with this number of statistics has."""
    p, beside = 1, 2 if kind == NORMAL_GAMMA else 0
    if kind == NORMAL or kind == NORMAL_GAMMA:
        while triangle(p) + p + beside < statistics:
            p += 1
    return p


@inlined
def of_outcomes(numbers):
    """Return how many of `numbers` belong to each of several outcomes."""
    return int(numbers[0])


@inlined
def slopes_of(kind, p, numbers):
    """Return how many slopes a log factor has."""
    if kind == SEVERAL:
        total = 0
        for at in range(1, len(numbers), of_outcomes(numbers)):
            total += 2 * int(numbers[at]) + (2 if numbers[at + 1] > 0 else 1)
        return total
    return 2 * p + 1 if kind == NORMAL else 2 * p + 2 if kind == NORMAL_GAMMA else 2


@inlined
def workspace(statistics):
    """Return room for the statistics of segments, with two more rows to work in, and for their log factors."""
    return np.empty((statistics + 2, TOGETHER)), np.empty(TOGETHER)


@inlined
def ending_at(sums, last, low, high, block):
    """Compute the statistics of the segments that start at `low` up to `high` and end with `last`."""
    for k in range(len(sums)):
        end, starts, row = sums[k, last + 1], sums[k, low:high], block[k]
        for i in range(len(starts)):
            row[i] = end - starts[i]


@inlined
def starting_at(sums, first, low, high, block):
    """Compute the statistics of the segments that start at `first` and end with `low` up to `high`."""
    for k in range(len(sums)):
        start, ends, row = sums[k, first], sums[k, low + 1 : high + 1], block[k]
        for i in range(len(ends)):
            row[i] = ends[i] - start


@inlined
def subtract_product(left, right, count, out):
    """Subtract left times right from `out`, in place."""
    for i in range(count):
        out[i] -= left[i] * right[i]


@inlined
def eliminate_segments(block, product, p, count, out):
    """Compute the log factors; `block` becomes 1 / d and L of M = L diag(d) L', then L^-1 v.

    1 / d is on the diagonal of the triangle, and L below it. `product` (segment,) is worked in.
    """
    first = triangle(p)
    for k in range(p):
        inverse, fitted = block[triangle(k) + k], block[first + k]
        if k == 0:
            for i in range(count):
                product[i] = inverse[i] = 1.0 + inverse[i]
        else:
            for i in range(count):
                inverse[i] += 1.0
                product[i] *= inverse[i]
        for i in range(count):
            inverse[i] = 1.0 / inverse[i]
        if k == 0:
            for i in range(count):
                out[i] = 0.5 * fitted[i] * fitted[i] * inverse[i]
        else:
            for i in range(count):
                out[i] += 0.5 * fitted[i] * fitted[i] * inverse[i]
        for j in range(k + 1, p):
            below, corner, lower = block[triangle(j) + k], block[triangle(j) + j], block[first + j]
            # The rows above already hold L; this row still holds its product with the pivot.
            for above in range(k + 1, j):
                subtract_product(below, block[triangle(above) + k], count, block[triangle(j) + above])
            for i in range(count):
                scaled = below[i] * inverse[i]
                corner[i] -= below[i] * scaled
                lower[i] -= scaled * fitted[i]
                below[i] = scaled
        if k % PIVOTS == PIVOTS - 1 or k == p - 1:
            for i in range(count):
                out[i] -= 0.5 * log_of(product[i])
                product[i] = 1.0


@inlined
def invert_segments(block, p, count):
    """Replace L by L^-1, and L^-1 v by M^-1 v."""
    first = triangle(p)
    for j in range(1, p):
        for a in range(j):
            entry = block[triangle(j) + a]
            for i in range(count):
                entry[i] = -entry[i]
            for k in range(a + 1, j):
                subtract_product(block[triangle(j) + k], block[triangle(k) + a], count, entry)
    for a in range(p):
        entry, inverse = block[first + a], block[triangle(a) + a]
        for i in range(count):
            entry[i] *= inverse[i]
        for j in range(a + 1, p):
            below, inverse, lower = block[triangle(j) + a], block[triangle(j) + j], block[first + j]
            for i in range(count):
                entry[i] += below[i] * inverse[i] * lower[i]


@inlined
def variances(block, p, a, count, out):
    """Compute the element a, a of M^-1 from the result of `invert_segments`."""
    corner = block[triangle(a) + a]
    for i in range(count):
        out[i] = corner[i]
    for k in range(a + 1, p):
        edge, inverse = block[triangle(k) + a], block[triangle(k) + k]
        for i in range(count):
            out[i] += edge[i] * edge[i] * inverse[i]


@inlined
def normal_slopes(block, p, count, slopes):
    """Compute the slopes of the log factors from the result of `eliminate_segments`."""
    first = triangle(p)
    fit = slopes[2 * p]
    for k in range(p):
        inverse, fitted = block[triangle(k) + k], block[first + k]
        if k == 0:
            for i in range(count):
                fit[i] = fitted[i] * fitted[i] * inverse[i]
        else:
            for i in range(count):
                fit[i] += fitted[i] * fitted[i] * inverse[i]
    invert_segments(block, p, count)
    for a in range(p):
        by_tau, by_mean, mean = slopes[a], slopes[p + a], block[first + a]
        variances(block, p, a, count, by_tau)
        for i in range(count):
            by_mean[i] = mean[i]
            by_tau[i] += mean[i] * mean[i] - 1.0


@inlined
def unexplained(block, p, shape, count, out):
    """Compute Q / 2a from the result of `eliminate_segments`."""
    first = triangle(p)
    squares, half = block[first + p], 0.5 / shape
    for i in range(count):
        out[i] = squares[i]
    for k in range(p):
        fitted, inverse = block[first + k], block[triangle(k) + k]
        for i in range(count):
            out[i] -= fitted[i] * fitted[i] * inverse[i]
    for i in range(count):
        # Rounding may leave less than nothing.
        out[i] = half * (out[i] if out[i] > 0.0 else 0.0)


@inlined
def eliminate_with_scale(block, product, p, numbers, count, out):
    """Compute the log factors of segments with a w of their own, as `eliminate_segments` does those without."""
    eliminate_segments(block, product, p, count, out)
    first, a, ratios = triangle(p), numbers[0], numbers[1:]
    squares, halves = block[first + p], block[first + p + 1]
    unexplained(block, p, a, count, product)
    for i in range(count):
        q = product[i]
        # What `out` has beside -log|M| / 2 is half of what is fitted.
        out[i] += a * q - 0.5 * squares[i] - (a + halves[i]) * log_beyond_one(1.0 + q, q)
        product[i] = 1.0
    for i in range(count):
        out[i] += ratios[int(2.0 * halves[i] + 0.5)]


@inlined
def scale_slopes(block, product, p, numbers, count, slopes):
    """Compute the slopes of segments with a w of their own from the result of `eliminate_with_scale`."""
    first, a, of_ratios = triangle(p), numbers[0], numbers[1 + (len(numbers) - 1) // 2 :]
    expected, halves, by_scale, by_shape = block[first + p], block[first + p + 1], slopes[2 * p], slopes[2 * p + 1]
    unexplained(block, p, a, count, product)
    normal_slopes(block, p, count, slopes)
    for i in range(count):
        by_shape[i] = of_ratios[int(2.0 * halves[i] + 0.5)]
    for i in range(count):
        q = product[i]
        expected[i] = (a + halves[i]) / (a + a * q)
        by_scale[i] = 2.0 * a * q * expected[i]
        by_shape[i] += a * q * expected[i] - a * log_beyond_one(1.0 + q, q)
        product[i] = 1.0
    for k in range(p):
        by_tau, by_mean, mean = slopes[k], slopes[p + k], block[first + k]
        for i in range(count):
            by_mean[i] = mean[i] * expected[i]
            by_tau[i] += mean[i] * mean[i] * (expected[i] - 1.0)


@compiled
def log_factors(kind, p, numbers, block, count, out):
    """Compute the log factors of the first `count` segments of `block`, which is changed in place."""
    if kind == NORMAL:
        eliminate_segments(block, block[len(block) - 1], p, count, out)
    elif kind == NORMAL_GAMMA:
        product = block[len(block) - 1]
        eliminate_with_scale(block, product, p, numbers, count, out)
    elif kind == SEVERAL:
        product, part, low, each = block[len(block) - 1], block[len(block) - 2], 0, of_outcomes(numbers)
        for i in range(count):
            out[i] = 0.0
        for at in range(1, len(numbers), each):
            of_outcome = int(numbers[at])
            high = low + triangle(of_outcome) + of_outcome
            if numbers[at + 1] > 0:
                high += 2
                eliminate_with_scale(block[low:high], product, of_outcome, numbers[at + 1 : at + each], count, part)
            else:
                eliminate_segments(block[low:high], product, of_outcome, count, part)
            for i in range(count):
                out[i] += part[i]
            low = high
    elif kind == GAMMA:
        gamma_factors(numbers, block[0], block[1], count, out)
    else:
        beta_factors(numbers, block[0], block[1], block[2], count, out)


@compiled
def log_factors_and_slopes(kind, p, numbers, block, count, out, slopes):
    """Compute log factors as `log_factors` does, and their slopes (slope, segment)."""
    log_factors(kind, p, numbers, block, count, out)
    if kind == NORMAL:
        normal_slopes(block, p, count, slopes)
    elif kind == NORMAL_GAMMA:
        scale_slopes(block, block[len(block) - 1], p, numbers, count, slopes)
    elif kind == SEVERAL:
        low, first, each = 0, 0, of_outcomes(numbers)
        for at in range(1, len(numbers), each):
            of_outcome = int(numbers[at])
            high, last = low + triangle(of_outcome) + of_outcome, first + 2 * of_outcome + 1
            if numbers[at + 1] > 0:
                high, last = high + 2, last + 1
                scale_slopes(block[low:high], block[len(block) - 1], of_outcome, numbers[at + 1 : at + each], count,
                             slopes[first:last])
            else:
                normal_slopes(block[low:high], of_outcome, count, slopes[first:last])
            low, first = high, last
    elif kind == GAMMA:
        gamma_slopes(numbers, block[0], block[1], count, slopes[0], slopes[1])
    else:
        beta_slopes(numbers, block[0], block[1], block[2], count, slopes[0], slopes[1])


@compiled
def scaled_sums(grams, products, scale, offset, sigma):
    """Return running sums of U by rows of the lower triangle, then of v; `offset` is the prior mean less the origin."""
    precision = 1 / (sigma * sigma)
    p, contexts = products.shape
    sums = np.zeros((len(grams) + p, contexts + 1))
    k = 0
    for a in range(p):
        for b in range(a + 1):
            factor, gram, into = scale[a] * scale[b] * precision, grams[k], sums[k]
            for t in range(contexts):
                into[t + 1] = into[t] + gram[t] * factor
            k += 1
    moment = np.empty(contexts)
    for a in range(p):
        factor, into = scale[a] * precision, sums[len(grams) + a]
        moment[:] = products[a]
        for b in range(p):
            gram = grams[max(a, b) * (max(a, b) + 1) // 2 + min(a, b)]
            for t in range(contexts):
                moment[t] -= gram[t] * offset[b]
        for t in range(contexts):
            into[t + 1] = into[t] + moment[t] * factor
    return sums
