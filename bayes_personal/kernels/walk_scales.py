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

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.tape import forward, outputs_of
from bayes_personal.kernels.walks import absorb, eliminate, evidence, look_ahead, of_one, of_step, spread

LAPLACE, HORSESHOE = 0, 1
# Steps out of a slice, and steps into it, before an update is given up, which leaves the value as it is.
OUT, IN = 30, 100


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
def hyper(point, arrays, p):
    """Return log prior, inverse variance of the error, and squared scales at a point."""
    values = outputs_of(forward(point, arrays[0], arrays[1], arrays[2]), arrays[3])
    return values[0], 1 / values[1] ** 2, values[2 : 2 + p] ** 2


@inlined
def of_hyper(point, arrays, log_local, kind, divisor, start, sums, share, count, variance, scratch):
    """Return the log density of the hyperparameters given the local scales; `variance` is overwritten."""
    prior, inverse_variance, squares = hyper(point, arrays, log_local.shape[1])
    if not (np.isfinite(prior) and np.isfinite(inverse_variance) and inverse_variance > 0):
        return -np.inf
    for k in range(len(squares)):
        if not np.isfinite(squares[k]):
            return -np.inf
    for t in range(len(log_local)):
        for k in range(len(squares)):
            variance[t, k] = squares[k] * variance_of(log_local[t, k], kind, divisor)
    result = (prior + 0.5 * count * np.log(inverse_variance)
              + evidence(start, sums, share, variance, inverse_variance, scratch))
    return result if np.isfinite(result) else -np.inf


@inlined
def along(new_entry, point, square, log_local, k, arrays, kind, divisor, moved, new):
    """Return the log density, up to a constant, where entry k of the point has another value and all steps keep their
    variances; fill `new` with the local scales of coefficient k there."""
    moved[:] = point
    moved[k] = new_entry
    total, _, squares = hyper(moved, arrays, log_local.shape[1])
    shift = 0.5 * np.log(squares[k] / square)
    if not (np.isfinite(total) and np.isfinite(shift)):
        return -np.inf
    for t in range(len(log_local)):
        if kind == LAPLACE:
            new[t] = log_local[t, k] - 2 * shift
        else:
            # With u = local^2 the variance is scale^2 u / (m + u).
            share = variance_of(log_local[t, k], kind, divisor) * np.exp(-2 * shift)
            if not share < 1:
                return -np.inf
            new[t] = 0.5 * (np.log(divisor * share) - np.log1p(-share))
            # The derivative of log local by the logarithm of this share is 1 / (1 - share) / 2.
            total -= np.log1p(-share)
        total += log_prior(new[t], kind)
    return total


@inlined
def slide(point, log_local, k, arrays, kind, divisor, moved, new, rng):
    """Move one scale and its local scales along the curve on which the variances of its steps do not change, by a
    slice."""
    _, _, squares = hyper(point, arrays, log_local.shape[1])
    square, old, width = squares[k], point[k], 2 / np.sqrt(len(log_local))
    height = (along(old, point, square, log_local, k, arrays, kind, divisor, moved, new)
              - rng.standard_exponential())
    low = old - width * rng.random()
    high = low + width
    for _ in range(OUT):
        if not along(low, point, square, log_local, k, arrays, kind, divisor, moved, new) > height:
            break
        low -= width
    for _ in range(OUT):
        if not along(high, point, square, log_local, k, arrays, kind, divisor, moved, new) > height:
            break
        high += width
    for _ in range(IN):
        entry = low + (high - low) * rng.random()
        if along(entry, point, square, log_local, k, arrays, kind, divisor, moved, new) > height:
            point[k] = entry
            for t in range(len(new)):
                log_local[t, k] = new[t]
            break
        if entry < old:
            low = entry
        else:
            high = entry


@compiled
def sweeps(point, log_local, widths, arrays, kind, divisor, start, sums, share, count, kept, thin, learning, swaps, rng,
           points, log_locals):
    """Make `kept` times `thin` sweeps from a state, which is overwritten, and fill `points` (kept, hyperparameter) and
    `log_locals` (kept, place - 1, p).

    Parameters
    ----------
    point, log_local
        Hyperparameters on the sampler's scale and logarithms of the local scales.
    widths
        Initial widths of the hyperparameters' slices; they are adapted while `learning`.
    arrays
        Tape from a point to its log prior, the error's standard deviation and the scales.
    """
    places, p, size = len(sums), log_local.shape[1], len(start)
    ahead, scratch = np.empty((places, size, size)), np.empty((size, size))
    message, joint, small = np.empty((size, size)), np.empty((size + p, size + p)), np.empty((p + 1, p + 1))
    variance, curve, first, second = np.empty(log_local.shape), np.empty(len(log_local)), np.empty(p), np.empty(p)
    moved, width_of_local = np.empty(len(point)), 3.0
    for draw in range(kept):
        for _ in range(thin):
            _, inverse_variance, squares = hyper(point, arrays, p)
            for t in range(places - 1):
                for k in range(p):
                    variance[t, k] = squares[k] * variance_of(log_local[t, k], kind, divisor)
            look_ahead(sums, share, variance, inverse_variance, ahead)
            message[:] = start
            absorb(message, sums[0], share[0], inverse_variance, p)
            for t in range(1, places):
                if swaps and t + 1 < places:
                    first[:], second[:] = variance[t - 1], variance[t]
                    now = over_two(message, ahead[t + 1], first, second, sums[t], share[t], inverse_variance, scratch)
                    for k in range(p):
                        first[k], second[k] = second[k], first[k]
                        other = over_two(message, ahead[t + 1], first, second, sums[t], share[t], inverse_variance,
                                         scratch)
                        if -rng.standard_exponential() < other - now:
                            now = other
                            log_local[t - 1, k], log_local[t, k] = log_local[t, k], log_local[t - 1, k]
                        else:
                            first[k], second[k] = second[k], first[k]
                    variance[t - 1], variance[t] = first, second
                    # The message of place t holds the step after it, which may have changed.
                    ahead[t] = ahead[t + 1]
                    after_step(ahead[t], second, sums[t], share[t], inverse_variance, p)
                of_step(message, ahead[t], p, joint)
                for k in range(p):
                    precision, moment = of_one(joint, variance[t - 1], k, small)
                    log_local[t - 1, k] = slice_local(log_local[t - 1, k], kind, divisor, squares[k], precision,
                                                      moment, width_of_local, rng)
                    variance[t - 1, k] = squares[k] * variance_of(log_local[t - 1, k], kind, divisor)
                after_step(message, variance[t - 1], sums[t], share[t], inverse_variance, p)
            # Hyperparameters, one by one.
            now = of_hyper(point, arrays, log_local, kind, divisor, start, sums, share, count, variance, scratch)
            for j in range(len(point)):
                old, height = point[j], now - rng.standard_exponential()
                moved[:] = point
                low = old - widths[j] * rng.random()
                high = low + widths[j]
                for _ in range(OUT):
                    moved[j] = low
                    if not of_hyper(moved, arrays, log_local, kind, divisor, start, sums, share, count, variance,
                                    scratch) > height:
                        break
                    low -= widths[j]
                for _ in range(OUT):
                    moved[j] = high
                    if not of_hyper(moved, arrays, log_local, kind, divisor, start, sums, share, count, variance,
                                    scratch) > height:
                        break
                    high += widths[j]
                for _ in range(IN):
                    moved[j] = low + (high - low) * rng.random()
                    new = of_hyper(moved, arrays, log_local, kind, divisor, start, sums, share, count, variance,
                                   scratch)
                    if new > height:
                        point[j], now = moved[j], new
                        break
                    if moved[j] < old:
                        low = moved[j]
                    else:
                        high = moved[j]
                if learning:
                    widths[j] += 0.05 * (3 * abs(point[j] - old) - widths[j])
            for k in range(p):
                slide(point, log_local, k, arrays, kind, divisor, moved, curve, rng)
        points[draw] = point
        log_locals[draw] = log_local
