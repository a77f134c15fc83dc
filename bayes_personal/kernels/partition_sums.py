"""Exact sums over all ways to cut ordered contexts into segments, in quadratic time and linear memory.

With g(s, e) a segment's factor and o_s the odds of its start, o_0 = 1,

    A(0) = 1,  A(e + 1) = sum over s <= e of A(s) o_s g(s, e),      A(T) the evidence,
    B(T) = 1,  B(s) = o_s sum over e >= s of g(s, e) B(e + 1),      B(0) = A(T),

and A(s) o_s g(s, e) B(e + 1) / A(T) is the probability that [s, e] is a segment, A(s) B(s) / A(T) that one starts at s.
All sums are kept as logarithms, and each is computed relative to the largest of the terms added so far.

Contexts are counted from 0; `sums` (statistic, T + 1) are running sums that start with 0; `log_odds` (T,). A segment
shorter than `shortest` contexts must be the last one.

References
----------
Fearnhead (2006), Statistics and Computing 16, 203-213, doi:10.1007/s11222-006-8450-8.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.segment_factors import (
    TOGETHER,
    coefficients_of,
    ending_at,
    log_factors,
    log_factors_and_slopes,
    slopes_of,
    starting_at,
    workspace,
)

# Number of values compared at once: a search one by one would wait for each comparison.
LANES = 8


@inlined
def highest(values, count, lanes):
    """Return the largest of the first `count` values."""
    for j in range(LANES):
        lanes[j] = -np.inf
    blocked = count - count % LANES
    for i in range(0, blocked, LANES):
        for j in range(LANES):
            lanes[j] = values[i + j] if values[i + j] > lanes[j] else lanes[j]
    result = -np.inf
    for j in range(LANES):
        result = max(result, lanes[j])
    for i in range(blocked, count):
        result = max(result, values[i])
    return result


@inlined
def weigh(values, count, top):
    """Replace each value by exp(value - top), and return the sum; only rounding can put a value above the top."""
    total = 0.0
    for i in range(count):
        excess = values[i] - top
        values[i] = exp_of(0.0 if excess > 0.0 else excess)
        total += values[i]
    return total


@inlined
def add(out, first, second):
    """Add two arrays to `out`; the second may be longer."""
    for i in range(len(first)):
        out[i] += first[i] + second[i]


@inlined
def weighted_sum(weights, first, second):
    """Return the weighted sum of two arrays' sum; the second may be longer."""
    total = 0.0
    for i in range(len(first)):
        total += weights[i] * (first[i] + second[i])
    return total


@inlined
def number_of_starts(e, contexts, shortest):
    """Return how many starts a segment that ends with `e` can have."""
    return e + 1 if e == contexts - 1 else e + 2 - shortest


@compiled
def forward(kind, sums, numbers, log_odds, shortest):
    """Return log A, (T + 1,)."""
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    log_before = np.zeros(contexts + 1)
    block, out = workspace(len(sums))
    lanes = np.empty(LANES)
    for e in range(contexts):
        top, total = -np.inf, 0.0
        starts = number_of_starts(e, contexts, shortest)
        for low in range(0, starts, TOGETHER):
            high = min(low + TOGETHER, starts)
            ending_at(sums, e, low, high, block)
            log_factors(kind, p, numbers, block, high - low, out)
            add(out, log_before[low:high], log_odds[low:high])
            peak = highest(out, high - low, lanes)
            if peak > top:
                total *= np.exp(top - peak)
                top = peak
            if top > -np.inf:
                total += weigh(out, high - low, top)
        log_before[e + 1] = top + np.log(total) if top > -np.inf else -np.inf
    return log_before


@compiled
def forward_with_slopes(kind, sums, numbers, log_odds, odds_slopes, shortest):
    """Return log A, and the slopes of log A(T): by the parameters of the log factor, then by that of `odds_slopes`.

    `odds_slopes` are slopes of the log odds. Each log A(s) carries its slopes along, so one pass is enough.
    """
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    count = slopes_of(kind, p, numbers)
    log_before, carried = np.zeros(contexts + 1), np.zeros((count + 1, contexts + 1))
    block, out = workspace(len(sums))
    lanes, slopes, totals = np.empty(LANES), np.empty((count, TOGETHER)), np.empty(count + 1)
    for e in range(contexts):
        top, total = -np.inf, 0.0
        totals[:] = 0.0
        starts = number_of_starts(e, contexts, shortest)
        for low in range(0, starts, TOGETHER):
            high = min(low + TOGETHER, starts)
            ending_at(sums, e, low, high, block)
            log_factors_and_slopes(kind, p, numbers, block, high - low, out, slopes)
            add(out, log_before[low:high], log_odds[low:high])
            peak = highest(out, high - low, lanes)
            if peak > top:
                decay = np.exp(top - peak)
                total *= decay
                for k in range(count + 1):
                    totals[k] *= decay
                top = peak
            if top > -np.inf:
                total += weigh(out, high - low, top)
                for k in range(count):
                    totals[k] += weighted_sum(out, carried[k, low:high], slopes[k])
                totals[count] += weighted_sum(out, carried[count, low:high], odds_slopes[low:high])
        log_before[e + 1] = top + np.log(total) if top > -np.inf else -np.inf
        for k in range(count + 1):
            carried[k, e + 1] = totals[k] / total if top > -np.inf else 0.0
    return log_before, carried[:, contexts].copy()


@compiled
def backward(kind, sums, numbers, log_odds, shortest):
    """Return log B, (T + 1,)."""
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    log_after = np.zeros(contexts + 1)
    block, out = workspace(len(sums))
    lanes, zeros = np.empty(LANES), np.zeros(TOGETHER)
    for s in range(contexts - 1, -1, -1):
        top, total = -np.inf, 0.0
        # The last context ends a segment of any length.
        for low in range(min(s + shortest - 1, contexts - 1), contexts, TOGETHER):
            high = min(low + TOGETHER, contexts)
            starting_at(sums, s, low, high, block)
            log_factors(kind, p, numbers, block, high - low, out)
            add(out, log_after[low + 1 : high + 1], zeros)
            peak = highest(out, high - low, lanes)
            if peak > top:
                total *= np.exp(top - peak)
                top = peak
            total += weigh(out, high - low, top)
        log_after[s] = log_odds[s] + top + np.log(total)
    return log_after


@compiled
def draw_starts(kind, sums, numbers, log_odds, log_before, shortest, uniforms):
    """Draw exactly where segments start, from the last segment back, by means of uniform numbers, both (draw, T)."""
    draws, contexts = uniforms.shape
    p = coefficients_of(kind, len(sums))
    starts = np.zeros((draws, contexts), np.bool_)
    block, out = workspace(len(sums))
    for d in range(draws):
        e = contexts - 1
        while e >= 0:
            remainder, start = uniforms[d, e], -1
            high = number_of_starts(e, contexts, shortest)
            # Late starts are usually the likely ones.
            while high > 0 and start < 0:
                low = max(high - TOGETHER, 0)
                ending_at(sums, e, low, high, block)
                log_factors(kind, p, numbers, block, high - low, out)
                add(out, log_before[low:high], log_odds[low:high])
                weigh(out, high - low, log_before[e + 1])
                for i in range(high - low - 1, -1, -1):
                    remainder -= out[i]
                    if remainder < 0.0:
                        start = low + i
                        break
                high = low
            # With rounding, a uniform number next to 1 may exceed the sum.
            start = max(start, 0)
            starts[d, start] = True
            e = start - 1
    return starts
