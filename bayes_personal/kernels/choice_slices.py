"""Moves along slices of the density (Neal 2003, doi:10.1214/aos/1056562461), compiled.

The alternatives of rows are summed out. The arguments are those of `choices`. Moves differ in what they change, and in
what has to be computed anew.
"""

import numpy as np

from bayes_personal.kernels.choices import (
    LEAST,
    LENGTH,
    METRIC,
    SCALE,
    repulsion,
    rest_of,
    set_gate,
    set_likelihood,
    summed,
)
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.tape import outputs

# Most steps by which a slice is widened to each side.
WIDENED = 8
# Kinds of moves: of an entry of phi by itself, of one together with what it multiplies, of an entry of the gate.
ALONE, CARRYING, GATE = range(3)
# What the density is computed for: the slice's level, its ends, and a point on it.
LEVEL, LOWERING, RAISING, SHRINKING = range(4)
# Largest exponent of odds, and least sum of a row's likelihoods.
HIGHEST, TINY = 700.0, 1e-300


@inlined
def set_ratios(state):
    """Set the ratios of the rows' likelihoods."""
    count = len(state.eta)
    for i in range(len(state.taken)):
        top = state.likelihood[0, i]
        for k in range(1, count):
            top = max(top, state.likelihood[k, i])
        for k in range(count):
            state.ratio[k, i] = exp_of(max(state.likelihood[k, i] - top, LEAST))


@inlined
def set_odds(state):
    """Set the odds of alternatives."""
    for k in range(len(state.odds)):
        for i in range(len(state.taken)):
            state.odds[k, i] = exp_of(max(state.log_gate[k, i], LEAST))


@inlined
def gate_sum(state):
    """Return the log likelihood of all rows, up to a constant, at the probabilities `log_gate`."""
    result = 0.0
    for i in range(len(state.taken)):
        total = 0.0
        for k in range(len(state.odds)):
            total += state.odds[k, i] * state.ratio[k, i]
        result += log_of(max(total, TINY))
    return result


@inlined
def alone(rows, laws, tape, state, j, power):
    """Return the log density where entry j of phi moves alone."""
    state.numbers[:] = outputs(state.phi, *tape)
    kind, start = laws.kinds[j], 1 + laws.own + len(laws.sd)
    if kind == LENGTH:
        return state.numbers[0] + repulsion(laws, state, state.coefficients) - state.numbers[-1]
    if kind == METRIC:
        set_gate(rows, laws, state, state.numbers[start : start + laws.metrics])
        set_odds(state)
        return state.numbers[0] + gate_sum(state)
    set_likelihood(rows, laws, state, power)
    return state.numbers[0] + summed(state) + power * rest_of(rows, laws, state.numbers)


@inlined
def place_of(laws, j):
    """Return the place among the numbers of the scale or metric that entry j of phi stands for."""
    place = 1 + laws.own + (len(laws.sd) if laws.kinds[j] == METRIC else 0)
    for other in range(j):
        place += laws.kinds[other] == laws.kinds[j]
    return place


@inlined
def carrying(laws, tape, state, j, coefficients, gate, number):
    """Return the log density where entry j of phi moves and what it multiplies moves against it, so that no row's
    likelihood changes. The last arguments are coefficients, gate, and scale or metric where the move starts."""
    state.numbers[:] = outputs(state.phi, *tape)
    place, value = place_of(laws, j), state.numbers[0]
    factor = number / state.numbers[place]
    if laws.kinds[j] == SCALE:
        v = place - 1 - laws.own
        for k in range(len(coefficients)):
            state.coefficients[k, v] = factor * coefficients[k, v]
            value += np.log(factor) - 0.5 * (state.coefficients[k, v] / laws.sd[v]) ** 2
        return value + repulsion(laws, state, state.coefficients)
    m = place - 1 - laws.own - len(laws.sd)
    for k in range(len(gate)):
        for q in range(len(laws.owner)):
            if laws.owner[q] == m:
                state.gate[k, 1 + q] = factor * gate[k, 1 + q]
                value += np.log(factor) - 0.5 * (state.gate[k, 1 + q] / laws.slope_sd) ** 2
    return value


@inlined
def of_gate(rows, laws, state, k, q, step, others):
    """Return the log density where the odds of alternative k change with reading q by `step`; q = 0 is the level.
    `others` are the sums over the other alternatives of odds, and of odds times ratios, (2, row)."""
    value, result = state.gate[k, q] + step, 0.0
    if q > 0:
        slope = step
        if laws.owner[q - 1] >= 0:
            slope *= state.numbers[1 + laws.own + len(laws.sd) + laws.owner[q - 1]]
        for i in range(len(state.taken)):
            odds = state.odds[k, i] * exp_of(min(slope * rows.contexts[q - 1, i], HIGHEST))
            result += log_of(max((others[1, i] + odds * state.ratio[k, i]) / (others[0, i] + odds), TINY))
        return result - 0.5 * (value / laws.slope_sd) ** 2
    factor = np.exp(min(step, HIGHEST))
    for i in range(len(state.taken)):
        odds = state.odds[k, i] * factor
        result += log_of(max((others[1, i] + odds * state.ratio[k, i]) / (others[0, i] + odds), TINY))
    if laws.alpha > 0.0:
        return result + laws.alpha * value - np.exp(value)
    return result - 0.5 * (value / laws.level_sd) ** 2


@inlined
def moved(rows, laws, tape, state, kind, j, at, power, start):
    """Return the log density where the number that a move changes is `at`; NaN counts as no density."""
    coefficients, gate, number, others = start
    if kind == GATE:
        k, q = j // state.gate.shape[1], j % state.gate.shape[1]
        value = of_gate(rows, laws, state, k, q, at, others)
    else:
        state.phi[j] = at
        if kind == ALONE:
            value = alone(rows, laws, tape, state, j, power)
        else:
            value = carrying(laws, tape, state, j, coefficients, gate, number)
    return value if value == value else -np.inf


@inlined
def along_slice(rows, laws, tape, state, kind, j, power, adapt, rng):
    """Move one number along a slice: entry j of phi, or of the gate."""
    number = state.numbers[place_of(laws, j)] if kind == CARRYING else 0.0
    others = np.zeros((2, len(state.taken) if kind == GATE else 0))
    here, width = 0.0 if kind == GATE else state.phi[j], state.widths[kind, j]
    if kind == GATE:
        for k in range(len(state.odds)):
            if k != j // state.gate.shape[1]:
                for i in range(len(state.taken)):
                    others[0, i] += state.odds[k, i]
                    others[1, i] += state.odds[k, i] * state.ratio[k, i]
    start = state.coefficients.copy(), state.gate.copy(), number, others
    # The density is called in a single place, for its code is compiled into every place that calls it.
    level, at, phase, widened = np.inf, here, LEVEL, 0
    low = here - width * rng.random()
    high = low + width
    while True:
        value = moved(rows, laws, tape, state, kind, j, at, power, start)
        if phase == LEVEL:
            level = value - rng.standard_exponential()
            phase, at = LOWERING, low
        elif phase == LOWERING:
            if value > level and widened < WIDENED:
                low -= width
                at, widened = low, widened + 1
            else:
                phase, at, widened = RAISING, high, 0
        elif phase == RAISING:
            if value > level and widened < WIDENED:
                high += width
                at, widened = high, widened + 1
            else:
                phase, at = SHRINKING, low + (high - low) * rng.random()
        elif value > level or high - low < 1e-12:
            break
        else:
            if at < here:
                low = at
            else:
                high = at
            at = low + (high - low) * rng.random()
    if kind == GATE:
        k, q = j // state.gate.shape[1], j % state.gate.shape[1]
        state.gate[k, q] += at
        slope = at
        if q > 0 and laws.owner[q - 1] >= 0:
            slope *= state.numbers[1 + laws.own + len(laws.sd) + laws.owner[q - 1]]
        for i in range(len(state.taken)):
            state.odds[k, i] *= exp_of(max(min(slope * (rows.contexts[q - 1, i] if q > 0 else 1.0), HIGHEST), LEAST))
    if adapt:
        state.widths[kind, j] = 0.95 * width + 0.05 * max(3.0 * abs(at - here), 1e-3)
