"""Sums over all recursive halvings of boxes.

Let g(A) be the factor of a box's rows and h the chance that a box is halved, along one of d axes at random. Then

    Phi(A) = (1 - h) g(A) + h / d sum over axes of Phi(lower half) Phi(upper half),

where Phi = g for a box that cannot be halved, and Phi = 1 for a box without rows. Boxes are listed before the boxes
inside them.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.segment_factors import (
    TOGETHER,
    coefficients_of,
    log_factors,
    log_factors_and_slopes,
    slopes_of,
    workspace,
)


@compiled
def factors(kind, statistics, numbers):
    """Return the log factors of boxes, from their statistics (statistic, box)."""
    count, p = statistics.shape[1], coefficients_of(kind, len(statistics))
    result = np.empty(count)
    block, out = workspace(len(statistics))
    for low in range(0, count, TOGETHER):
        high = min(low + TOGETHER, count)
        for k in range(len(statistics)):
            block[k, : high - low] = statistics[k, low:high]
        log_factors(kind, p, numbers, block, high - low, out)
        result[low:high] = out[: high - low]
    return result


@compiled
def factors_and_slopes(kind, statistics, numbers):
    """Return the log factors of boxes and their slopes (slope, box)."""
    count, p = statistics.shape[1], coefficients_of(kind, len(statistics))
    result, slopes = np.empty(count), np.empty((slopes_of(kind, p, numbers), count))
    block, out = workspace(len(statistics))
    block_slopes = np.empty((len(slopes), TOGETHER))
    for low in range(0, count, TOGETHER):
        high = min(low + TOGETHER, count)
        for k in range(len(statistics)):
            block[k, : high - low] = statistics[k, low:high]
        log_factors_and_slopes(kind, p, numbers, block, high - low, out, block_slopes)
        result[low:high], slopes[:, low:high] = out[: high - low], block_slopes[:, : high - low]
    return result, slopes


@compiled
def inside(log_g, children, halved, log_keep, log_cut):
    """Return log Phi of every box, (box,), and the share of each axis in Phi, (box, axis + 1).

    The last share is that of the box as a leaf.
    """
    boxes, axes = children.shape[0], children.shape[1]
    log_phi, shares, terms = np.empty(boxes), np.zeros((boxes, axes + 1)), np.empty(axes)
    for box in range(boxes - 1, -1, -1):
        if not halved[box]:
            log_phi[box], shares[box, axes] = log_g[box], 1.0
            continue
        keep = log_keep + log_g[box]
        top = keep
        for axis in range(axes):
            terms[axis] = log_cut - np.log(axes)
            for half in range(2):
                child = children[box, axis, half]
                if child >= 0:
                    terms[axis] += log_phi[child]
            top = max(top, terms[axis])
        shares[box, axes] = total = np.exp(keep - top)
        for axis in range(axes):
            shares[box, axis] = np.exp(terms[axis] - top)
            total += shares[box, axis]
        for axis in range(axes + 1):
            shares[box, axis] /= total
        log_phi[box] = top + np.log(total)
    return log_phi, shares


@compiled
def outside(shares, children):
    """Return the probability that each box is a leaf of the tree, and that it is halved, (box,) each."""
    boxes, axes = children.shape[0], children.shape[1]
    reached, leaf, cut = np.zeros(boxes), np.zeros(boxes), np.zeros(boxes)
    reached[0] = 1.0
    for box in range(boxes):
        if reached[box] == 0.0:
            continue
        for axis in range(axes):
            part = reached[box] * shares[box, axis]
            cut[box] += part
            for half in range(2):
                child = children[box, axis, half]
                if child >= 0:
                    reached[child] += part
        leaf[box] = reached[box] * shares[box, axes]
    return leaf, cut
