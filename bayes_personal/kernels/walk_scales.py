"""Gibbs draws of all scales of a walk over places, with the walk itself integrated out.

Steps have the standard deviation ``s_k(local_tk)``, in units of `scale_k`: ``sqrt(local / divisor)`` where these make
them Laplace, and ``local / sqrt(divisor + local^2)`` for a regularised horseshoe. A sweep updates

1. every local scale given all other scales, by a slice: what all outcomes tell of one step, all else integrated out, is
   a precision c and a moment b, under which ``log p(y | q) = -log(1 + q c) / 2 + b^2 q / (1 + q c) / 2 + const``
   for the variance q of the step;
2. for the horseshoe, pairs of local scales of neighbouring steps, by an exchange that is accepted with the ratio of the
   likelihoods, since the prior of both is the same: it moves a jump from one step to the next;
3. the scales and the family's own hyperparameters, one by one by slices of the density with the walk integrated out;
4. each scale and all its local scales, along the curve on which the standard deviations of its steps do not change,
   where the likelihood is constant.

References: Neal (2003), doi:10.1214/aos/1056562461, on slices. Liu and Sabatti (2000), doi:10.1093/biomet/87.2.353, on
moves along curves.
"""

from typing import NamedTuple

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.tape import forward, outputs_of
from bayes_personal.kernels.walks import absorb, eliminate, evidence, look_ahead, of_one, of_step, spread

LAPLACE, HORSESHOE = 0, 1
# Steps out of a slice, and steps into it, before an update is given up, which leaves the value as it is.
OUT, IN = 30, 100
# Expected length of the slice of the logarithm of a local scale.
LOCAL_WIDTH = 3.0


class Steps(NamedTuple):
    """Rows of all places in order, and the prior of the steps between them.

    Attributes
    ----------
    arrays : tape from a point to its log prior, the error's standard deviation and the scales
    kind, divisor : LAPLACE or HORSESHOE, and what a local scale is measured against
    start, sums, share : as `walks.evidence` takes them
    count : number of rows
    """

    arrays: tuple[np.ndarray, ...]
    kind: int
    divisor: float
    start: np.ndarray
    sums: np.ndarray
    share: np.ndarray
    count: float


class Scratch(NamedTuple):
    """Arrays that updates overwrite: `variance` holds those of all steps, (place - 1, p)."""

    variance: np.ndarray
    ahead: np.ndarray
    message: np.ndarray
    spare: np.ndarray
    joint: np.ndarray
    small: np.ndarray
    moved: np.ndarray
    curve: np.ndarray


@inlined
def scratch_of(steps, point, log_local):
    """Return arrays to overwrite."""
    (places, p), size = log_local.shape, len(steps.start)
    return Scratch(np.empty((places, p)), np.empty((places + 1, size, size)), np.empty((size, size)),
                   np.empty((size, size)), np.empty((size + p, size + p)), np.empty((p + 1, p + 1)),
                   np.empty(len(point)), np.empty(places))


@inlined
def variance_of(log_local, kind, divisor):
    """Return the variance of a step in units of its scale squared."""
    if kind == LAPLACE:
        return np.exp(log_local) / divisor
    square = np.exp(2 * log_local)
    return square / (divisor + square) if square < 1e300 else 1.0


@inlined
def log_prior(log_local, kind):
    """Return the log density of the logarithm of a local scale, Exponential(1) or HalfCauchy(1), up to a constant."""
    if kind == LAPLACE:
        return log_local - np.exp(log_local)
    return -np.log(2 * np.cosh(log_local)) if abs(log_local) < 300 else -abs(log_local)


@inlined
def of_local(log_local, kind, divisor, square, precision, moment):
    """Return the log density of one local scale given all other scales, up to a constant."""
    variance = square * variance_of(log_local, kind, divisor)
    own = 1 + variance * precision
    return log_prior(log_local, kind) + 0.5 * (moment * moment * variance / own - np.log(own))


@inlined
def slice_local(log_local, kind, divisor, square, precision, moment, width, rng):
    """Draw the logarithm of one local scale given all other scales, by a slice."""
    height = of_local(log_local, kind, divisor, square, precision, moment) - rng.standard_exponential()
    low = log_local - width * rng.random()
    high = low + width
    for _ in range(OUT):
        if not of_local(low, kind, divisor, square, precision, moment) > height:
            break
        low -= width
    for _ in range(OUT):
        if not of_local(high, kind, divisor, square, precision, moment) > height:
            break
        high += width
    for _ in range(IN):
        new = low + (high - low) * rng.random()
        if of_local(new, kind, divisor, square, precision, moment) > height:
            return new
        if new < log_local:
            low = new
        else:
            high = new
    return log_local


@inlined
def after_step(message, variance, sums, share, inverse_variance, p):
    """Move a message over a step to the next place, and take in its rows; return the step's part of -2 log density."""
    total = 0.0
    for k in range(p):
        total += spread(message, 1 + k, variance[k])
    absorb(message, sums, share, inverse_variance, p)
    return total


@inlined
def over_two(before, after, first, second, sums, share, inverse_variance, message):
    """Return log p(y) up to a constant, from the messages before and after two steps and their variances."""
    p = len(first)
    message[:] = before
    total = after_step(message, first, sums, share, inverse_variance, p)
    for k in range(p):
        total += spread(message, 1 + k, second[k])
    for i in range(len(message)):
        for j in range(len(message)):
            message[i, j] += after[i, j]
    total += eliminate(message, 1)
    return -0.5 * (total + message[0, 0])


@inlined
def hyper(steps, point, p):
    """Return log prior, inverse variance of the error, and squared scales at a point."""
    arrays = steps.arrays
    values = outputs_of(forward(point, arrays[0], arrays[1], arrays[2]), arrays[3])
    return values[0], 1 / values[1] ** 2, values[2 : 2 + p] ** 2


@inlined
def set_variances(steps, log_local, squares, variance):
    """Set the variances of all steps."""
    for t in range(len(log_local)):
        for k in range(len(squares)):
            variance[t, k] = squares[k] * variance_of(log_local[t, k], steps.kind, steps.divisor)


@inlined
def of_hyper(steps, point, log_local, scratch):
    """Return the log density of the hyperparameters given the local scales."""
    prior, inverse_variance, squares = hyper(steps, point, log_local.shape[1])
    if not (np.isfinite(prior) and np.isfinite(inverse_variance) and inverse_variance > 0):
        return -np.inf
    for k in range(len(squares)):
        if not np.isfinite(squares[k]):
            return -np.inf
    set_variances(steps, log_local, squares, scratch.variance)
    result = (prior + 0.5 * steps.count * np.log(inverse_variance)
              + evidence(steps.start, steps.sums, steps.share, scratch.variance, inverse_variance, scratch.spare))
    return result if np.isfinite(result) else -np.inf


@inlined
def along(steps, new_entry, point, square, log_local, k, scratch):
    """Return the log density, up to a constant, where entry k of the point has another value and all steps keep their
    variances; fill `curve` with the local scales of coefficient k there."""
    moved, new = scratch.moved, scratch.curve
    moved[:] = point
    moved[k] = new_entry
    total, _, squares = hyper(steps, moved, log_local.shape[1])
    shift = 0.5 * np.log(squares[k] / square)
    if not (np.isfinite(total) and np.isfinite(shift)):
        return -np.inf
    for t in range(len(log_local)):
        if steps.kind == LAPLACE:
            new[t] = log_local[t, k] - 2 * shift
        else:
            # With u = local^2 the variance is scale^2 u / (m + u).
            share = variance_of(log_local[t, k], steps.kind, steps.divisor) * np.exp(-2 * shift)
            if not share < 1:
                return -np.inf
            new[t] = 0.5 * (np.log(steps.divisor * share) - np.log1p(-share))
            # The derivative of log local by the logarithm of this share is 1 / (1 - share) / 2.
            total -= np.log1p(-share)
        total += log_prior(new[t], steps.kind)
    return total


@inlined
def slide(steps, point, log_local, k, scratch, rng):
    """Move one scale and its local scales along the curve on which the variances of its steps do not change, by a
    slice."""
    _, _, squares = hyper(steps, point, log_local.shape[1])
    square, old, width = squares[k], point[k], 2 / np.sqrt(len(log_local))
    height = along(steps, old, point, square, log_local, k, scratch) - rng.standard_exponential()
    low = old - width * rng.random()
    high = low + width
    for _ in range(OUT):
        if not along(steps, low, point, square, log_local, k, scratch) > height:
            break
        low -= width
    for _ in range(OUT):
        if not along(steps, high, point, square, log_local, k, scratch) > height:
            break
        high += width
    for _ in range(IN):
        entry = low + (high - low) * rng.random()
        if along(steps, entry, point, square, log_local, k, scratch) > height:
            point[k] = entry
            for t in range(len(scratch.curve)):
                log_local[t, k] = scratch.curve[t]
            break
        if entry < old:
            low = entry
        else:
            high = entry


@inlined
def exchange(steps, log_local, t, inverse_variance, scratch, descending, rng):
    """Exchange local scales of the steps before and after place t, or not, one coefficient after the other; the message
    of all places before t is known, and that of t and all later ones is made anew."""
    first, second, p = scratch.variance[t - 1].copy(), scratch.variance[t].copy(), log_local.shape[1]
    sums, share = steps.sums[t], steps.share[t]
    now = over_two(scratch.message, scratch.ahead[t + 1], first, second, sums, share, inverse_variance, scratch.spare)
    for turn in range(p):
        k = p - 1 - turn if descending else turn
        first[k], second[k] = second[k], first[k]
        other = over_two(scratch.message, scratch.ahead[t + 1], first, second, sums, share, inverse_variance,
                         scratch.spare)
        if -rng.standard_exponential() < other - now:
            now = other
            log_local[t - 1, k], log_local[t, k] = log_local[t, k], log_local[t - 1, k]
        else:
            first[k], second[k] = second[k], first[k]
    scratch.variance[t - 1], scratch.variance[t] = first, second
    # The message of place t holds the step after it, which may have changed.
    scratch.ahead[t] = scratch.ahead[t + 1]
    after_step(scratch.ahead[t], second, sums, share, inverse_variance, p)


@inlined
def along_places(steps, point, log_local, slices, exchanges, descending, scratch, rng):
    """Update local scales of all steps in the order of the places: by exchanges with the next one, by slices, or by
    both. Coefficients of a step take turns in their order, or in `descending` order."""
    p, kind, variance, message = log_local.shape[1], steps.kind, scratch.variance, scratch.message
    _, inverse_variance, squares = hyper(steps, point, p)
    set_variances(steps, log_local, squares, variance)
    look_ahead(steps.sums, steps.share, variance, inverse_variance, scratch.ahead)
    message[:] = steps.start
    absorb(message, steps.sums[0], steps.share[0], inverse_variance, p)
    for t in range(1, len(steps.sums)):
        if exchanges and t + 1 < len(steps.sums):
            exchange(steps, log_local, t, inverse_variance, scratch, descending, rng)
        if slices:
            of_step(message, scratch.ahead[t], p, scratch.joint)
            for turn in range(p):
                k = p - 1 - turn if descending else turn
                precision, moment = of_one(scratch.joint, variance[t - 1], k, scratch.small)
                log_local[t - 1, k] = slice_local(log_local[t - 1, k], kind, steps.divisor, squares[k], precision,
                                                  moment, LOCAL_WIDTH, rng)
                variance[t - 1, k] = squares[k] * variance_of(log_local[t - 1, k], kind, steps.divisor)
        after_step(message, variance[t - 1], steps.sums[t], steps.share[t], inverse_variance, p)


@inlined
def slice_hyper(steps, point, log_local, j, now, widths, learning, scratch, rng):
    """Move one hyperparameter by a slice, from the log density `now`; return the new one."""
    old, height, moved, width = point[j], now - rng.standard_exponential(), scratch.moved, widths[j]
    moved[:] = point
    low = old - width * rng.random()
    high = low + width
    for _ in range(OUT):
        moved[j] = low
        if not of_hyper(steps, moved, log_local, scratch) > height:
            break
        low -= width
    for _ in range(OUT):
        moved[j] = high
        if not of_hyper(steps, moved, log_local, scratch) > height:
            break
        high += width
    for _ in range(IN):
        moved[j] = low + (high - low) * rng.random()
        new = of_hyper(steps, moved, log_local, scratch)
        if new > height:
            point[j], now = moved[j], new
            break
        if moved[j] < old:
            low = moved[j]
        else:
            high = moved[j]
    if learning:
        widths[j] += 0.05 * (3 * abs(point[j] - old) - width)
    return now


@compiled
def sweeps(steps, point, log_local, widths, kept, thin, learning, rng, points, log_locals):
    """Make `kept` times `thin` sweeps from a state, which is overwritten, and fill `points` (kept, hyperparameter) and
    `log_locals` (kept, place - 1, p).

    Parameters
    ----------
    point, log_local
        Hyperparameters on the sampler's scale and logarithms of the local scales.
    widths
        Initial widths of the hyperparameters' slices; they are adapted while `learning`.
    """
    scratch = scratch_of(steps, point, log_local)
    for draw in range(kept):
        for _ in range(thin):
            along_places(steps, point, log_local, True, steps.kind == HORSESHOE, False, scratch, rng)
            now = of_hyper(steps, point, log_local, scratch)
            for j in range(len(point)):
                now = slice_hyper(steps, point, log_local, j, now, widths, learning, scratch, rng)
            for k in range(log_local.shape[1]):
                slide(steps, point, log_local, k, scratch, rng)
        points[draw] = point
        log_locals[draw] = log_local
