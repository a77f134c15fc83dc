"""Sums over all ways to cut ordered contexts into segments, exact, in quadratic time and linear memory.

With g(s, e) a segment's factor and o_s the odds of its start, o_0 = 1,

    A(0) = 1,  A(e + 1) = sum over s <= e of A(s) o_s g(s, e),      A(T) the evidence,
    B(T) = 1,  B(s) = o_s sum over e >= s of g(s, e) B(e + 1),      B(0) = A(T),

and A(s) o_s g(s, e) B(e + 1) / A(T) is the probability that [s, e] is a segment, A(s) B(s) / A(T) that one starts at s.
All are kept as logarithms, and every sum is taken relative to its largest term, as far as the sum has come.

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
    from_on,
    log_factors,
    log_factors_and_slopes,
    slopes_of,
    up_to,
    workspace,
)

# Numbers that are compared at once: a largest one found one by one would wait for each comparison.
LANES = 8


@inlined
def highest(values, count, lanes):
    """The largest of the first `count` values."""
    for j in range(LANES):
        lanes[j] = -np.inf
    whole = count - count % LANES
    for i in range(0, whole, LANES):
        for j in range(LANES):
            lanes[j] = values[i + j] if values[i + j] > lanes[j] else lanes[j]
    result = -np.inf
    for j in range(LANES):
        result = max(result, lanes[j])
    for i in range(whole, count):
        result = max(result, values[i])
    return result


@inlined
def weigh(values, count, top):
    """exp(value - top) in place of each, and their sum; what is above the top is so by rounding only."""
    total = 0.0
    for i in range(count):
        above = values[i] - top
        values[i] = exp_of(0.0 if above > 0.0 else above)
        total += values[i]
    return total


@inlined
def add(out, first, second):
    """Add two arrays, of which the second may be longer."""
    for i in range(len(first)):
        out[i] += first[i] + second[i]


@inlined
def weighted_sum(weights, first, second):
    """Sum of the weights times two arrays' sum, of which the second may be longer."""
    total = 0.0
    for i in range(len(first)):
        total += weights[i] * (first[i] + second[i])
    return total


@inlined
def number_of_starts(e, contexts, shortest):
    """How many starts a segment that ends with `e` can have."""
    return e + 1 if e == contexts - 1 else e + 2 - shortest


@compiled
def forward(kind, sums, numbers, log_odds, shortest):
    """log A, (T + 1,)."""
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    log_before = np.zeros(contexts + 1)
    block, out = workspace(len(sums))
    lanes = np.empty(LANES)
    for e in range(contexts):
        top, total = -np.inf, 0.0
        starts = number_of_starts(e, contexts, shortest)
        for low in range(0, starts, TOGETHER):
            high = min(low + TOGETHER, starts)
            up_to(sums, e, low, high, block)
            log_factors(kind, p, numbers, block, high - low, out)
            add(out, log_before[low:high], log_odds[low:high])
            here = highest(out, high - low, lanes)
            if here > top:
                total *= np.exp(top - here)
                top = here
            if top > -np.inf:
                total += weigh(out, high - low, top)
        log_before[e + 1] = top + np.log(total) if top > -np.inf else -np.inf
    return log_before


@compiled
def forward_with_slopes(kind, sums, numbers, log_odds, odds_slopes, shortest):
    """log A, and the slopes of log A(T): those of the log factor, then by what `odds_slopes` are slopes of log odds by.

    Each log A(s) carries its slopes along, so that one pass is enough.
    """
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    own = slopes_of(kind, p)
    log_before, carried = np.zeros(contexts + 1), np.zeros((own + 1, contexts + 1))
    block, out = workspace(len(sums))
    lanes, slopes, totals = np.empty(LANES), np.empty((own, TOGETHER)), np.empty(own + 1)
    for e in range(contexts):
        top, total = -np.inf, 0.0
        totals[:] = 0.0
        starts = number_of_starts(e, contexts, shortest)
        for low in range(0, starts, TOGETHER):
            high = min(low + TOGETHER, starts)
            up_to(sums, e, low, high, block)
            log_factors_and_slopes(kind, p, numbers, block, high - low, out, slopes)
            add(out, log_before[low:high], log_odds[low:high])
            here = highest(out, high - low, lanes)
            if here > top:
                less = np.exp(top - here)
                total *= less
                for k in range(own + 1):
                    totals[k] *= less
                top = here
            if top > -np.inf:
                total += weigh(out, high - low, top)
                for k in range(own):
                    totals[k] += weighted_sum(out, carried[k, low:high], slopes[k])
                totals[own] += weighted_sum(out, carried[own, low:high], odds_slopes[low:high])
        log_before[e + 1] = top + np.log(total) if top > -np.inf else -np.inf
        for k in range(own + 1):
            carried[k, e + 1] = totals[k] / total if top > -np.inf else 0.0
    return log_before, carried[:, contexts].copy()


@compiled
def backward(kind, sums, numbers, log_odds, shortest):
    """log B, (T + 1,)."""
    contexts, p = len(log_odds), coefficients_of(kind, len(sums))
    log_after = np.zeros(contexts + 1)
    block, out = workspace(len(sums))
    lanes, nothing = np.empty(LANES), np.zeros(TOGETHER)
    for s in range(contexts - 1, -1, -1):
        top, total = -np.inf, 0.0
        # The last context ends a segment of any length.
        for low in range(min(s + shortest - 1, contexts - 1), contexts, TOGETHER):
            high = min(low + TOGETHER, contexts)
            from_on(sums, s, low, high, block)
            log_factors(kind, p, numbers, block, high - low, out)
            add(out, log_after[low + 1 : high + 1], nothing)
            here = highest(out, high - low, lanes)
            if here > top:
                total *= np.exp(top - here)
                top = here
            total += weigh(out, high - low, top)
        log_after[s] = log_odds[s] + top + np.log(total)
    return log_after


@compiled
def draw_starts(kind, sums, numbers, log_odds, log_before, shortest, uniforms):
    """Exact draws of where segments start, (draw, T), of as many uniform numbers; from the last segment back."""
    draws, contexts = uniforms.shape
    p = coefficients_of(kind, len(sums))
    starts = np.zeros((draws, contexts), np.bool_)
    block, out = workspace(len(sums))
    for d in range(draws):
        e = contexts - 1
        while e >= 0:
            left, start = uniforms[d, e], -1
            high = number_of_starts(e, contexts, shortest)
            # Late starts are usually the likely ones.
            while high > 0 and start < 0:
                low = max(high - TOGETHER, 0)
                up_to(sums, e, low, high, block)
                log_factors(kind, p, numbers, block, high - low, out)
                add(out, log_before[low:high], log_odds[low:high])
                weigh(out, high - low, log_before[e + 1])
                for i in range(high - low - 1, -1, -1):
                    left -= out[i]
                    if left < 0.0:
                        start = low + i
                        break
                high = low
            # Rounding may leave a uniform number next to 1 above the sum.
            start = max(start, 0)
            starts[d, start] = True
            e = start - 1
    return starts
