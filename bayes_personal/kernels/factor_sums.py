"""Sums over all ways to cut ordered contexts into segments, of which each segment's log factor is known.

They are those of `partition_sums`, A from the first context on and B from the last one back, for factors that are no
function of running sums. The segment [s, e] of T contexts has the place ``first(s) + e - s`` in `factors`,
``first(s) = s T - s (s - 1) / 2``: segments with the same start stand side by side.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of


@inlined
def first_of(s, contexts):
    """Return the place of the segment of the context s alone."""
    return s * contexts - s * (s - 1) // 2


@inlined
def earliest(s, contexts, shortest):
    """Return the first context with which a segment that starts at s may end."""
    return min(s + shortest - 1, contexts - 1)


@compiled
def backward(factors, log_odds, shortest):
    """Return log B, (T + 1,)."""
    contexts = len(log_odds)
    log_after, terms = np.zeros(contexts + 1), np.empty(contexts)
    for s in range(contexts - 1, -1, -1):
        low = earliest(s, contexts, shortest)
        count, row = contexts - low, factors[first_of(s, contexts) + low - s :]
        later, top = log_after[low + 1 :], -np.inf
        for i in range(count):
            terms[i] = row[i] + later[i]
            top = max(top, terms[i])
        total = 0.0
        for i in range(count):
            total += exp_of(terms[i] - top)
        log_after[s] = log_odds[s] + top + np.log(total)
    return log_after


@compiled
def forward(factors, log_odds, shortest):
    """Return log A, (T + 1,)."""
    contexts = len(log_odds)
    top, total = np.full(contexts + 1, -1e300), np.zeros(contexts + 1)
    log_before = np.full(contexts + 1, -np.inf)
    log_before[0] = 0.0
    for s in range(contexts):
        if s > 0:
            log_before[s] = top[s] + np.log(total[s]) if total[s] > 0.0 else -np.inf
        if log_before[s] == -np.inf:
            continue
        low = earliest(s, contexts, shortest)
        row, start = factors[first_of(s, contexts) + low - s :], log_before[s] + log_odds[s]
        tops, totals = top[low + 1 :], total[low + 1 :]
        for i in range(contexts - low):
            # One of the two exponentials that a new largest term needs is 1.
            excess = start + row[i] - tops[i]
            decay = exp_of(-abs(excess))
            larger = excess > 0.0
            totals[i] = totals[i] * decay + 1.0 if larger else totals[i] + decay
            tops[i] = start + row[i] if larger else tops[i]
    log_before[contexts] = top[contexts] + np.log(total[contexts])
    return log_before


@compiled
def probabilities(factors, log_odds, log_before, log_after, shortest):
    """Return the probability that each segment is one of the partition, (segment,)."""
    contexts, result = len(log_odds), np.zeros(len(factors))
    for s in range(contexts):
        low = earliest(s, contexts, shortest)
        at = first_of(s, contexts) + low - s
        row, into, later = factors[at:], result[at:], log_after[low + 1 :]
        start = log_before[s] + log_odds[s] - log_before[contexts]
        if start == -np.inf:
            continue
        for i in range(contexts - low):
            into[i] = exp_of(min(start + row[i] + later[i], 0.0))
    return result


@compiled
def draw_starts(factors, log_odds, log_after, shortest, uniforms):
    """Draw exactly where segments start, from the first one on, by means of uniform numbers, both (draw, T)."""
    draws, contexts = uniforms.shape
    starts = np.zeros((draws, contexts), np.bool_)
    for d in range(draws):
        s = 0
        while s < contexts:
            starts[d, s] = True
            low = earliest(s, contexts, shortest)
            at = first_of(s, contexts) + low - s
            # With rounding, a uniform number next to 1 may exceed the sum.
            remainder, end = uniforms[d, s], contexts - 1
            for i in range(contexts - low):
                remainder -= exp_of(min(log_odds[s] + factors[at + i] + log_after[low + i + 1] - log_after[s], 0.0))
                if remainder < 0.0:
                    end = low + i
                    break
            s = end + 1
    return starts
