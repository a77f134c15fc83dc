"""Marginal likelihoods of segments, many at a time: what one set of coefficients for several contexts is worth.

A segment's statistics are differences of running sums; its log factor is log p(y of the segment | hyperparameters) up
to terms that add over rows and so do not depend on where segments end. Three kinds are known:

NORMAL, y ~ Normal(x'theta, sigma^2), theta ~ Normal(mu0, D^2): with U = D X'X D / sigma^2, v = D X'(y - X mu0) / sigma^2
and M = 1 + U, the log factor is v'M^-1 v / 2 - log|M| / 2, and (theta - mu0) / tau ~ Normal(M^-1 v, M^-1).

GAMMA, y ~ Poisson(rate e), rate ~ Gamma(a, b): F(a + Y, b + E) - F(a, b), F(z, w) = log Gamma(z) - z log w + w, and
rate ~ Gamma(a + Y, b + E). The term w leaves E to the rows: then large counts do not cancel.

BETA, y ~ Binomial(n, theta), theta ~ Beta(a, b): log B(a + S, b + F) - log B(a, b), and theta ~ Beta(a + S, b + F).

Arrays have the segments last, and the innermost loops run over them, so that they use the processor's vectors. Of the
NORMAL kind, statistics are U by rows of its lower triangle, then v; slopes are by log tau, by mu0 times tau, and the
fit v'M^-1 v. Of the others, statistics are Y and E or S and F; slopes are by a and b.
"""

import numpy as np

from bayes_personal.inference.elementary import digamma_of, log_of, shifted, stirling
from bayes_personal.inference.machine import compiled, inlined

NORMAL, GAMMA, BETA = 0, 1, 2
# A product of so many pivots, each below 1e70, is finite.
PIVOTS = 4


@inlined
def triangle(p):
    """How many numbers a triangle of p rows has."""
    return p * (p + 1) // 2


@inlined
def coefficients_of(kind, statistics):
    """How many coefficients a segment has, of the number of its statistics."""
    p = 1
    if kind == NORMAL:
        while triangle(p) + p < statistics:
            p += 1
    return p


@inlined
def slopes_of(kind, p):
    """How many slopes a log factor has."""
    return 2 * p + 1 if kind == NORMAL else 2


@inlined
def moments_of(p):
    """How many first and second moments p coefficients have."""
    return p + triangle(p)


@inlined
def up_to(sums, last, low, high, block):
    """Statistics of the segments that start at `low` up to `high` and end with `last`."""
    for k in range(len(sums)):
        end = sums[k, last + 1]
        for i in range(high - low):
            block[k, i] = end - sums[k, low + i]


@inlined
def from_on(sums, first, low, high, block):
    """Statistics of the segments that start at `first` and end with `low` up to `high`."""
    for k in range(len(sums)):
        start = sums[k, first]
        for i in range(high - low):
            block[k, i] = sums[k, low + 1 + i] - start


@inlined
def eliminate_segments(block, p, count, out):
    """The log factor; of M = L diag(d) L', `block` becomes 1 / d on the diagonal and L below it, then L^-1 v."""
    first = triangle(p)
    for i in range(count):
        out[i] = 0.0
    determinant = np.ones(count)
    for k in range(p):
        diagonal = triangle(k) + k
        for i in range(count):
            pivot = 1.0 + block[diagonal, i]
            inverse = 1.0 / pivot
            determinant[i] *= pivot
            block[diagonal, i] = inverse
            out[i] += 0.5 * block[first + k, i] * block[first + k, i] * inverse
        for j in range(k + 1, p):
            below = triangle(j) + k
            for i in range(count):
                block[first + j, i] -= block[below, i] * block[diagonal, i] * block[first + k, i]
            # L of the rows above this one stands there already; the product with the pivot is what they have left.
            for l in range(k + 1, j):
                left, both = triangle(l) + k, triangle(j) + l
                for i in range(count):
                    block[both, i] -= block[below, i] * block[left, i]
            both = triangle(j) + j
            for i in range(count):
                scaled = block[below, i] * block[diagonal, i]
                block[both, i] -= block[below, i] * scaled
                block[below, i] = scaled
        if k % PIVOTS == PIVOTS - 1 or k == p - 1:
            for i in range(count):
                out[i] -= 0.5 * log_of(determinant[i])
                determinant[i] = 1.0


@inlined
def invert_segments(block, p, count):
    """L^-1 in place of L; M^-1 v in place of L^-1 v."""
    first = triangle(p)
    for j in range(1, p):
        for a in range(j):
            here = triangle(j) + a
            for i in range(count):
                block[here, i] = -block[here, i]
            for k in range(a + 1, j):
                left, above = triangle(j) + k, triangle(k) + a
                for i in range(count):
                    block[here, i] -= block[left, i] * block[above, i]
    for a in range(p):
        diagonal = triangle(a) + a
        for i in range(count):
            block[first + a, i] *= block[diagonal, i]
        for j in range(a + 1, p):
            below, inverse = triangle(j) + a, triangle(j) + j
            for i in range(count):
                block[first + a, i] += block[below, i] * block[inverse, i] * block[first + j, i]


@inlined
def covariances(block, p, a, b, count, out):
    """Element a, b of M^-1, b not below a, of what `invert_segments` leaves."""
    corner, edge = triangle(b) + b, triangle(b) + a
    if a == b:
        for i in range(count):
            out[i] = block[corner, i]
    else:
        for i in range(count):
            out[i] = block[edge, i] * block[corner, i]
    for k in range(b + 1, p):
        left, right, diagonal = triangle(k) + a, triangle(k) + b, triangle(k) + k
        for i in range(count):
            out[i] += block[left, i] * block[right, i] * block[diagonal, i]


@inlined
def normal_slopes(block, p, count, slopes):
    """Slopes of the log factor of what `eliminate_segments` leaves."""
    first = triangle(p)
    fit = slopes[2 * p]
    for i in range(count):
        fit[i] = 0.0
    for k in range(p):
        diagonal = triangle(k) + k
        for i in range(count):
            fit[i] += block[first + k, i] * block[first + k, i] * block[diagonal, i]
    invert_segments(block, p, count)
    for a in range(p):
        covariances(block, p, a, a, count, slopes[a])
        for i in range(count):
            slopes[a, i] += block[first + a, i] * block[first + a, i] - 1.0
            slopes[p + a, i] = block[first + a, i]


@inlined
def normal_moments(block, p, count, moments):
    """E[z_a], then E[z_a z_b] by rows of the lower triangle, z = (theta - mu0) / tau."""
    first = triangle(p)
    invert_segments(block, p, count)
    for b in range(p):
        for i in range(count):
            moments[b, i] = block[first + b, i]
        for a in range(b + 1):
            place = p + triangle(b) + a
            covariances(block, p, a, b, count, moments[place])
            for i in range(count):
                moments[place, i] += block[first + a, i] * block[first + b, i]


@inlined
def log_gamma_less(z, w):
    """F(z, w) = log Gamma(z) - z log w + w."""
    place, product, _ = shifted(z)
    return (z * log_of(place / w) + (w - place) + (place - z - 0.5) * log_of(place) - log_of(product)
            + stirling(place))


@inlined
def log_gamma(z):
    """log Gamma(z)."""
    place, product, _ = shifted(z)
    return (place - 0.5) * log_of(place) - place + stirling(place) - log_of(product)


@inlined
def digamma(z):
    """The derivative of log Gamma."""
    place, product, slope = shifted(z)
    return digamma_of(place, log_of(place), product, slope)


@compiled
def log_factors(kind, p, numbers, block, count, out):
    """Log factors of the first `count` segments of `block`, which is worked on in place."""
    a, b = numbers[0], numbers[1]
    if kind == NORMAL:
        eliminate_segments(block, p, count, out)
    elif kind == GAMMA:
        before = log_gamma_less(a, b)
        for i in range(count):
            out[i] = log_gamma_less(a + block[0, i], b + block[1, i]) - before
    else:
        before = log_gamma(a) + log_gamma(b) - log_gamma(a + b)
        for i in range(count):
            out[i] = log_gamma(a + block[0, i]) - before
        for i in range(count):
            out[i] += log_gamma(b + block[1, i]) - log_gamma(a + b + block[0, i] + block[1, i])


@compiled
def log_factors_and_slopes(kind, p, numbers, block, count, out, slopes):
    """The same with the slopes (slope, segment)."""
    a, b = numbers[0], numbers[1]
    log_factors(kind, p, numbers, block, count, out)
    if kind == NORMAL:
        normal_slopes(block, p, count, slopes)
    elif kind == GAMMA:
        before = digamma(a) - np.log(b)
        for i in range(count):
            z, w = a + block[0, i], b + block[1, i]
            slopes[0, i] = digamma(z) - log_of(w) - before
            slopes[1, i] = a / b - z / w
    else:
        both = digamma(a + b)
        by_a, by_b = both - digamma(a), both - digamma(b)
        for i in range(count):
            all_of_it = digamma(a + b + block[0, i] + block[1, i])
            slopes[0, i] = by_a - all_of_it + digamma(a + block[0, i])
            slopes[1, i] = by_b - all_of_it
        for i in range(count):
            slopes[1, i] += digamma(b + block[1, i])


@compiled
def log_factors_and_moments(kind, p, numbers, block, count, out, moments):
    """The same with the first and second moments (moment, segment)."""
    a, b = numbers[0], numbers[1]
    log_factors(kind, p, numbers, block, count, out)
    if kind == NORMAL:
        normal_moments(block, p, count, moments)
    elif kind == GAMMA:
        for i in range(count):
            z, w = a + block[0, i], b + block[1, i]
            moments[0, i] = z / w
            moments[1, i] = z * (z + 1.0) / (w * w)
    else:
        for i in range(count):
            z, n = a + block[0, i], a + b + block[0, i] + block[1, i]
            moments[0, i] = z / n
            moments[1, i] = z * (z + 1.0) / (n * (n + 1.0))
