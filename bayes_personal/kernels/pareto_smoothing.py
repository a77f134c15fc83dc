"""Pareto-smoothed importance sampling of rows, one after the other.

A row has an importance ratio for each draw, the largest of which is 1, and a draw's weight is its ratio but in the
tail: the largest ratios, of which the next one is the cutoff. A generalised Pareto distribution is fitted to what the
tail exceeds the cutoff by, and its quantiles become the weights of the tail.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of, log_beyond_one, log_of

# The prior of the shape of a tail: that of 10 observations of .5. That of its scale is a third of the first quartile.
PRIOR_COUNT, PRIOR_SHAPE, PRIOR_QUARTILES = 10, 0.5, 3.0
# Rates of less weight do not count.
NEGLIGIBLE = 10 * np.finfo(float).eps
# Factors that are multiplied before a logarithm is taken, and the largest of which so many have a finite product; the
# smallest is above 1e-4.
FOLDED, LARGEST = 16, 1e18
# Where a rate, times the first quartile, is nearer to zero, the logarithm of each factor 1 + x is computed from x: the
# factor has lost some of its digits.
SMALL = 2e-3
# Below this log ratio, the ratio is computed in two steps, as far down as float64 goes.
LOW, STEP = -600.0, 100.0
# Exponentials end here: float64 does at e^709.
HIGHEST = 700.0
# The least number that has all its digits.
LEAST = np.finfo(float).tiny


@compiled
def smooth(ratios, log_survival, steps, gains, shapes):
    """Smooth the tails of rows, and replace log ratios by what draws add to the errors of weighted averages.

    ============  =============  ====================================================================================
    ratios        (row, draw)    log ratios, the largest 0, or a row of NaN. Set to the share that a draw has of the
                                 sum of weight / ratio, less its share of the sum of weights.
    log_survival  (tail,)        log P(excess > quantile), of the quantiles that replace the tail in ascending order
    steps         (rate,)        grid of rates, of which each is a step from 1 / largest excess in units of the prior
    gains         (row,)         set to the log of the weighted average of 1 / ratio
    shapes        (row,)         set to Pareto k: 0 where all of the tail equals its cutoff, infinite where no
                                 distribution is fitted, as where a single draw has all the weight
    ============  =============  ====================================================================================
    """
    count, length, grid = ratios.shape[1], len(log_survival), len(steps)
    width = FOLDED * ((length - 1) // FOLDED + 1)
    values, weights, relative = np.empty(count), np.empty(count), np.empty(length)
    found, places = np.empty(length + 1, np.int64), np.empty(length, np.int64)
    tail, excesses = np.full(width, np.inf), np.zeros(width)
    rates, means, heights = np.empty(grid), np.empty(grid), np.empty(grid)
    for i in range(len(ratios)):
        row = ratios[i]
        if np.isnan(row[0]):
            gains[i], shapes[i] = np.nan, np.inf
            continue
        for d in range(count):
            values[d], weights[d] = row[d], weight_of(row[d])
        log_cutoff = largest_but(values, length)
        set_places(row, log_cutoff, found, tail, places)
        cutoff = weight_of(log_cutoff)
        for j in range(length):
            excesses[j] = weights[places[j]] - cutoff
        shape, scale = fitted(excesses, length, steps, rates, means, heights)
        relative[:] = 0.0
        if np.isfinite(shape):
            for j in range(length):
                weight = min(max(cutoff + quantile(shape, scale, log_survival[j]), LEAST), 1.0)
                relative[j] = log_of(weight) - row[places[j]]
                weights[places[j]] = weight
        shapes[i] = 0.0 if excesses[length - 1] == 0.0 else np.inf if np.isnan(shape) else shape
        gains[i] = set_influence(weights, relative, places, row)


@inlined
def weight_of(ratio):
    """Return the exponential of a log ratio, which vanishes where float64 ends."""
    is_low = ratio < LOW
    return exp_of(ratio + STEP if is_low else ratio) * (np.exp(-STEP) if is_low else 1.0)


@inlined
def largest_but(values, rank):
    """Return the value that `rank` others precede from the largest down; the values are overwritten."""
    size = len(values)
    while True:
        one, other, third = values[0], values[size // 2], values[size - 1]
        pivot = max(min(one, other), min(max(one, other), third))
        above = 0
        for i in range(size):
            above += values[i] > pivot
        if rank < above:
            size = keep(values, size, pivot, True)
        else:
            below = keep(values, size, pivot, False)
            if rank < size - below:
                return pivot
            rank -= size - below
            size = below


@inlined
def keep(values, size, pivot, is_above):
    """Move the values above the pivot, or those below it, to the front; return their number.

    Which ones these are is random: a branch would cost more than a copy.
    """
    kept = 0
    for i in range(size):
        value = values[i]
        values[kept] = value
        kept += (value > pivot) if is_above else (value < pivot)
    return kept


@inlined
def set_places(row, cutoff, found, tail, places):
    """Set the draws of the tail, in ascending order of their ratios; `tail` is infinite beyond its length.

    Where a ratio stands is how many are below it: tails are as long as the root of the number of draws, so that
    counting costs about as much as reading all draws.
    """
    length, size = len(places), 0
    for d in range(len(row)):
        found[size] = d
        size += row[d] > cutoff
    d = 0
    while size < length:
        found[size] = d
        size += row[d] == cutoff
        d += 1
    for j in range(length):
        tail[j] = row[found[j]]
    places[:] = -1
    for j in range(length):
        rank = 0
        for k in range(len(tail)):
            rank += tail[k] < tail[j]
        # Equal ones stand side by side.
        while places[rank] >= 0:
            rank += 1
        places[rank] = found[j]


@inlined
def fitted(excesses, length, steps, rates, means, heights):
    """Return the shape and the scale of the generalised Pareto distribution of ascending excesses; NaN where none fits.

    References
    ----------
    Zhang and Stephens (2009), doi:10.1198/tech.2009.08017.
    """
    quartile, largest = excesses[int(length / 4 + 0.5) - 1], excesses[length - 1]
    # A first quartile at the threshold is that of no such distribution.
    if not quartile > excesses[0]:
        return np.nan, np.nan
    for g in range(len(steps)):
        rates[g] = steps[g] / (PRIOR_QUARTILES * quartile) + 1.0 / largest
    set_means(rates, excesses, length, means)
    for g in range(len(steps)):
        if abs(rates[g]) * quartile < SMALL or not -rates[g] * largest < LARGEST:
            means[g] = mean_log(rates[g], excesses, length)
    rate = mean_rate(rates, means, length, heights)
    if not np.isfinite(rate):
        return np.nan, np.nan
    mean = mean_log(rate, excesses, length)
    return (length * mean + PRIOR_COUNT * PRIOR_SHAPE) / (length + PRIOR_COUNT), -mean / rate


@inlined
def set_means(rates, excesses, length, means):
    """Set the mean of log(1 - rate excess) at every rate, by one logarithm for many excesses, which are 0 beyond
    `length`."""
    means[:] = 0.0
    for begin in range(0, length, FOLDED):
        for g in range(len(rates)):
            product = 1.0
            for j in range(begin, begin + FOLDED):
                product *= 1.0 - rates[g] * excesses[j]
            means[g] += log_of(product) / length


@inlined
def mean_log(rate, excesses, length):
    """Return the mean of log(1 - rate excess)."""
    total = 0.0
    for j in range(length):
        total += log_beyond_one(1.0 - rate * excesses[j], -rate * excesses[j])
    return total / length


@inlined
def mean_rate(rates, means, length, heights):
    """Return the posterior mean of the rate: the average over a grid, weighted by the profile likelihood."""
    highest, total, share, result = -np.inf, 0.0, 0.0, 0.0
    for g in range(len(rates)):
        heights[g] = length * (np.log(-rates[g] / means[g]) - means[g] - 1.0)
        highest = max(highest, heights[g])
    for g in range(len(rates)):
        heights[g] = exp_of(heights[g] - highest)
        total += heights[g]
    for g in range(len(rates)):
        weight = heights[g] / total
        if weight >= NEGLIGIBLE:
            share += weight
            result += weight * rates[g]
    return result / share


@inlined
def quantile(shape, scale, log_survival):
    """Return the quantile of a generalised Pareto distribution, scale (P(excess > quantile)^-shape - 1) / shape."""
    # e^2x - 1 = (e^x - 1) (e^x - 1 + 2), whose factors, times a small scale, end much later than e^2x does.
    half = -0.5 * log_survival
    x = min(shape * half, HIGHEST)
    series = 1.0 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x * (1 / 720)))))
    quotient = (exp_of(x) - 1.0) / x
    growth = series if -0.01 < x < 0.01 else quotient
    return scale * half * growth * (x * growth + 2.0)


@inlined
def set_influence(weights, relative, places, out):
    """Set what each draw adds to the error of the log of the weighted average of 1 / ratio; return that log.

    Beyond the tail, whose draws are `places`, weight / ratio is 1; in the tail its logarithms are `relative`.
    """
    highest, average, total = 0.0, 0.0, 0.0
    for j in range(len(places)):
        highest = max(highest, relative[j])
    for j in range(len(places)):
        relative[j] = exp_of(relative[j] - highest)
        average += relative[j]
    common = exp_of(-highest)
    average += (len(weights) - len(places)) * common
    for d in range(len(weights)):
        total += weights[d]
    for d in range(len(weights)):
        out[d] = common / average - weights[d] / total
    for j in range(len(places)):
        out[places[j]] += (relative[j] - common) / average
    return highest + np.log(average / total)
