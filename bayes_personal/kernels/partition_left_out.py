"""The density of each row left out of its segment: exact over all partitions, or for drawn partitions.

A row's statistics are its contribution to those of its segment; its context stays, and so do the odds of changes. Let
w(s, e) be the probability that [s, e] is a segment given all rows, g its factor, and g_i its factor without row i. Then

    p(row terms of i) / p(y_i | y_-i) = sum over segments around i of w(s, e) g_i(s, e) / g(s, e).

Rows are sorted by context; `first` (T + 1,) holds the first row of each context, and `stats` (statistic, row) the
statistics of the rows.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.segment_factors import (
    BETA,
    GAMMA,
    TOGETHER,
    coefficients_of,
    log_factors,
    starting_at,
    workspace,
)


@inlined
def remove_rows(kind, sums, stats, start, end, low, high, block):
    """Compute the statistics of the segment [start, end] without each of the rows from `low` up to `high`."""
    for k in range(len(sums)):
        total, part, row = sums[k, end + 1] - sums[k, start], stats[k, low:high], block[k]
        for i in range(len(part)):
            row[i] = total - part[i]
        if kind == GAMMA or kind == BETA:
            # Rounding must not make the exposure of an emptied segment negative.
            for i in range(len(part)):
                row[i] = row[i] if row[i] > 0.0 else 0.0


@inlined
def add_terms(terms, tops, totals):
    """Add exp(term) to each total, which is relative to exp(top), and keep the largest term as top."""
    for i in range(len(tops)):
        # One of the two exponentials that a new largest term needs is 1.
        excess = terms[i] - tops[i]
        decay = exp_of(-abs(excess))
        larger = excess > 0.0
        totals[i] = totals[i] * decay + 1.0 if larger else totals[i] + decay
        tops[i] = terms[i] if larger else tops[i]


@compiled
def left_out(kind, sums, numbers, log_odds, log_before, log_after, shortest, stats, first, lowest):
    """Return the log of the sum above over segments of log probability above `lowest`, (row,), in cubic time."""
    contexts, p, rows = len(log_odds), coefficients_of(kind, len(sums)), stats.shape[1]
    top, total = np.full(rows, -1e300), np.zeros(rows)
    block, out = workspace(len(sums))
    factors = np.empty(TOGETHER)
    for s in range(contexts):
        start = log_before[s] + log_odds[s] - log_before[contexts]
        for early in range(min(s + shortest - 1, contexts - 1), contexts, TOGETHER):
            late = min(early + TOGETHER, contexts)
            starting_at(sums, s, early, late, block)
            log_factors(kind, p, numbers, block, late - early, factors)
            for e in range(early, late):
                outer = start + log_after[e + 1]
                # NaN is not skipped, so that the caller sees it.
                if outer + factors[e - early] <= lowest:
                    continue
                for low in range(first[s], first[e + 1], TOGETHER):
                    high = min(low + TOGETHER, first[e + 1])
                    remove_rows(kind, sums, stats, s, e, low, high, block)
                    log_factors(kind, p, numbers, block, high - low, out)
                    for i in range(high - low):
                        out[i] += outer
                    add_terms(out, top[low:high], total[low:high])
    return top + np.log(total)


@compiled
def left_out_of_draws(kind, sums, numbers, starts, stats, first):
    """Return log g_i / g of the segment around each row in each of the drawn partitions, (draw, row)."""
    draws, contexts = starts.shape
    p, rows = coefficients_of(kind, len(sums)), stats.shape[1]
    result = np.empty((draws, rows))
    block, out = workspace(len(sums))
    for d in range(draws):
        s = 0
        for e in range(contexts):
            if e < contexts - 1 and not starts[d, e + 1]:
                continue
            starting_at(sums, s, e, e + 1, block)
            log_factors(kind, p, numbers, block, 1, out)
            full = out[0]
            for low in range(first[s], first[e + 1], TOGETHER):
                high = min(low + TOGETHER, first[e + 1])
                remove_rows(kind, sums, stats, s, e, low, high, block)
                log_factors(kind, p, numbers, block, high - low, out)
                for i in range(high - low):
                    result[d, low + i] = out[i] - full
            s = e + 1
    return result
