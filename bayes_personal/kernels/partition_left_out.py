"""What each row is worth when it is left out of its segment: exact over all partitions, or for draws of them.

A row's statistics are what it adds to its segment's; its context stays, and so do the odds of changes. With w(s, e) the
probability that [s, e] is a segment given all rows, g its factor and g_i that without row i,

    p(row terms of i) / p(y_i | y_-i) = sum over segments around i of w(s, e) g_i(s, e) / g(s, e).

Rows are sorted by context; `first` (T + 1,) says which is the first of each. `taken` (statistic, row).
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.segment_factors import NORMAL, TOGETHER, coefficients_of, from_on, log_factors, workspace


@inlined
def without(kind, sums, taken, start, end, low, high, block):
    """Statistics of the segment [start, end] without each of the rows from `low` up to `high`."""
    for k in range(len(sums)):
        whole, part, row = sums[k, end + 1] - sums[k, start], taken[k, low:high], block[k]
        for i in range(len(part)):
            row[i] = whole - part[i]
        if kind != NORMAL:
            # What rounding leaves of a segment's only exposure must not be negative.
            for i in range(len(part)):
                row[i] = row[i] if row[i] > 0.0 else 0.0


@inlined
def add_terms(terms, tops, totals):
    """Add exp(term) to each total, which is relative to exp(top), and keep the largest term as top."""
    for i in range(len(tops)):
        # Of the two exponentials that a new largest term asks for, one is 1.
        above = terms[i] - tops[i]
        less = exp_of(-abs(above))
        larger = above > 0.0
        totals[i] = totals[i] * less + 1.0 if larger else totals[i] + less
        tops[i] = terms[i] if larger else tops[i]


@compiled
def left_out(kind, sums, numbers, log_odds, log_before, log_after, shortest, taken, first, lowest):
    """log of the sum above, (row,), over segments of log probability above `lowest`; cubic time."""
    contexts, p, rows = len(log_odds), coefficients_of(kind, len(sums)), taken.shape[1]
    top, total = np.full(rows, -1e300), np.zeros(rows)
    block, out = workspace(len(sums))
    factors = np.empty(TOGETHER)
    for s in range(contexts):
        start = log_before[s] + log_odds[s] - log_before[contexts]
        for early in range(min(s + shortest - 1, contexts - 1), contexts, TOGETHER):
            late = min(early + TOGETHER, contexts)
            from_on(sums, s, early, late, block)
            log_factors(kind, p, numbers, block, late - early, factors)
            for e in range(early, late):
                others = start + log_after[e + 1]
                # Also when it is not a number, which is for the caller to see.
                if others + factors[e - early] <= lowest:
                    continue
                for low in range(first[s], first[e + 1], TOGETHER):
                    high = min(low + TOGETHER, first[e + 1])
                    without(kind, sums, taken, s, e, low, high, block)
                    log_factors(kind, p, numbers, block, high - low, out)
                    for i in range(high - low):
                        out[i] += others
                    add_terms(out, top[low:high], total[low:high])
    return top + np.log(total)


@compiled
def left_out_of_draws(kind, sums, numbers, starts, taken, first):
    """log g_i / g of the segment around each row in each of the drawn partitions, (draw, row)."""
    draws, contexts = starts.shape
    p, rows = coefficients_of(kind, len(sums)), taken.shape[1]
    result = np.empty((draws, rows))
    block, out = workspace(len(sums))
    for d in range(draws):
        s = 0
        for e in range(contexts):
            if e < contexts - 1 and not starts[d, e + 1]:
                continue
            from_on(sums, s, e, e + 1, block)
            log_factors(kind, p, numbers, block, 1, out)
            whole = out[0]
            for low in range(first[s], first[e + 1], TOGETHER):
                high = min(low + TOGETHER, first[e + 1])
                without(kind, sums, taken, s, e, low, high, block)
                log_factors(kind, p, numbers, block, high - low, out)
                for i in range(high - low):
                    result[d, low + i] = out[i] - whole
            s = e + 1
    return result
