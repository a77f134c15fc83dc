"""Moves of coefficients and gate given the alternatives that rows take, and a sweep of all moves, compiled.

The arguments are those of `choices`.
"""

import numpy as np

from bayes_personal.kernels.choice_slices import ALONE, CARRYING, GATE, along_slice, set_odds, set_ratios
from bayes_personal.kernels.choices import (
    LEAST,
    LENGTH,
    METRIC,
    OWN,
    SCALE,
    gradients,
    own_eta,
    repulsion,
    scores,
    set_eta,
    set_gate,
    set_likelihood,
)
from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.newton import factor, newton_density, newton_draw
from bayes_personal.kernels.tape import outputs

# Kinds of moves beside those along slices: what slices of the gate need, and all moves given the rows' alternatives.
RATIOS, GIVEN = 3, 4


@inlined
def prior_of(laws, point, first, last):
    """Return the log prior of some coefficients (m, a_1, a_2, ...), up to a constant."""
    shared, varying, value = len(laws.mean), len(laws.sd), 0.0
    for j in range(first, last):
        sd, mean = (laws.mean_sd[j], laws.mean[j]) if j < shared else (laws.sd[(j - shared) % varying], 0.0)
        value -= 0.5 * ((point[j] - mean) / sd) ** 2
    return value


@inlined
def move_coefficients(rows, laws, state, together, power, rng):
    """Move all coefficients by one step together, or those of one alternative after the other."""
    shared, varying, count = len(laws.mean), len(laws.sd), len(state.eta)
    scale = state.numbers[1 + laws.own : 1 + laws.own + varying]
    point = np.concatenate((state.shared, state.coefficients.copy().reshape(-1)))
    size, blocks = len(point), 1 if together else count
    goal, gain, possible = point.copy(), np.zeros(blocks), np.ones(blocks)
    # First from the point to its goal, then back: code is compiled into every place that calls it.
    for forth in (True, False):
        at, other = (point, goal) if forth else (goal, point)
        value, score, curvature = scores(rows, laws, state.numbers, own_eta(rows, state, at, scale), power)
        slope, matrix = gradients(rows, laws, state, at, scale, score, curvature)
        sign = -1.0 if forth else 1.0
        for i in range(len(value)):
            gain[0 if together else state.taken[i]] += sign * value[i]
        for k in range(blocks):
            start, end = (0, size) if together else (shared + k * varying, shared + (k + 1) * varying)
            lower = matrix[start:end, start:end].copy()
            if not factor(lower):
                possible[k] = 0.0
            elif forth:
                goal[start:end], density = newton_draw(at[start:end], slope[start:end], lower, rng)
                gain[k] -= density
            else:
                gain[k] += newton_density(other[start:end], at[start:end], slope[start:end], lower)
            gain[k] += sign * prior_of(laws, at, start, end)
    for k in range(blocks):
        points = state.coefficients.copy()
        if together:
            points[:] = goal[shared:].copy().reshape((count, varying))
        else:
            points[k] = goal[shared + k * varying : shared + (k + 1) * varying]
        ratio = gain[k] + repulsion(laws, state, points) - repulsion(laws, state, state.coefficients)
        if possible[k] > 0.0 and -rng.standard_exponential() < ratio:
            state.coefficients[:] = points
            if together:
                state.shared[:] = goal[:shared]


@inlined
def gate_slopes(rows, laws, state, readings, point):
    """Return the log density of the gate given the alternatives that rows take, its slopes and negative curvature."""
    count, width = state.gate.shape
    size = len(rows.y)
    slope, matrix, value = np.zeros(count * width), np.zeros((count * width, count * width)), 0.0
    share, logit = np.empty(count), np.empty(count)
    for i in range(size):
        top = -np.inf
        for k in range(count):
            logit[k] = point[k * width]
            for q in range(1, width):
                logit[k] += point[k * width + q] * readings[q - 1, i]
            top = max(top, logit[k])
        total = 0.0
        for k in range(count):
            share[k] = np.exp(logit[k] - top)
            total += share[k]
        value += logit[state.taken[i]] - top - np.log(total)
        for k in range(count):
            share[k] /= total
        for k in range(count):
            error = (1.0 if state.taken[i] == k else 0.0) - share[k]
            for q in range(width):
                reading = 1.0 if q == 0 else readings[q - 1, i]
                slope[k * width + q] += error * reading
                for other in range(k + 1):
                    weight = share[k] * ((1.0 if k == other else 0.0) - share[other]) * reading
                    for r in range(width if other < k else q + 1):
                        matrix[k * width + q, other * width + r] += weight * (1.0 if r == 0 else readings[r - 1, i])
    for j in range(count * width):
        sd = laws.level_sd if j % width == 0 else laws.slope_sd
        value -= 0.5 * (point[j] / sd) ** 2
        slope[j] -= point[j] / (sd * sd)
        matrix[j, j] += 1.0 / (sd * sd)
    return value, slope, matrix


@inlined
def move_gate(rows, laws, state, rng):
    """Move the probabilities of alternatives."""
    count, width = state.gate.shape
    if laws.alpha > 0.0:
        draws, total = np.empty(count), 0.0
        for k in range(count):
            taken = 0
            for i in range(len(state.taken)):
                taken += state.taken[i] == k
            # The logarithm of a Gamma variable of small shape, which as a number may be 0.
            draws[k] = np.log(rng.standard_gamma(laws.alpha + taken + 1.0)) - rng.standard_exponential() / (
                laws.alpha + taken)
        top = draws.max()
        for k in range(count):
            total += np.exp(draws[k] - top)
        # The sum of Gamma variables is independent of their shares.
        shift = np.log(rng.standard_gamma(laws.alpha * count)) - top - np.log(total)
        for k in range(count):
            state.gate[k, 0] = max(draws[k] + shift, LEAST)
        return
    metric = state.numbers[1 + laws.own + len(laws.sd) :]
    readings = rows.contexts.copy()
    for q in range(len(readings)):
        if laws.owner[q] >= 0:
            readings[q] *= metric[laws.owner[q]]
    point, gain = state.gate.copy().reshape(-1), 0.0
    goal = point.copy()
    for forth in (True, False):
        at = point if forth else goal
        value, slope, lower = gate_slopes(rows, laws, state, readings, at)
        if not factor(lower):
            return
        if forth:
            goal, density = newton_draw(at, slope, lower, rng)
            gain -= value + density
        else:
            gain += value + newton_density(point, at, slope, lower)
    if -rng.standard_exponential() < gain:
        state.gate[:] = goal.reshape((count, width))


@inlined
def take(state, rng):
    """Draw the alternative of every row."""
    count, logs = len(state.eta), np.empty(len(state.eta))
    for i in range(len(state.taken)):
        top, total = -np.inf, 0.0
        for k in range(count):
            logs[k] = state.log_gate[k, i] + state.likelihood[k, i]
            top = max(top, logs[k])
        for k in range(count):
            total += exp_of(max(logs[k] - top, LEAST))
            logs[k] = total
        goal, k = total * rng.random(), 0
        while k < count - 1 and logs[k] < goal:
            k += 1
        state.taken[i] = k


@inlined
def follow(rows, laws, tape, state, power):
    """Set all that follows from a point."""
    state.numbers[:] = outputs(state.phi, *tape)
    start = 1 + laws.own
    set_eta(rows, laws, state, state.numbers[start : start + len(laws.sd)])
    set_likelihood(rows, laws, state, power)
    set_gate(rows, laws, state, state.numbers[start + len(laws.sd) :])


@inlined
def sweep(rows, laws, tape, state, order, power, adapt, rng):
    """Make all moves once."""
    follow(rows, laws, tape, state, power)
    for step in range(len(order)):
        kind, j = order[step, 0], order[step, 1]
        if kind == RATIOS:
            set_ratios(state)
            set_odds(state)
        elif kind == GIVEN:
            set_gate(rows, laws, state, state.numbers[1 + laws.own + len(laws.sd) :])
            take(state, rng)
            for together in (True, False):
                if len(laws.mean) > 0 or not together:
                    move_coefficients(rows, laws, state, together, power, rng)
            move_gate(rows, laws, state, rng)
        else:
            along_slice(rows, laws, tape, state, kind, j, power, adapt, rng)


@inlined
def order_of(laws, state):
    """Return the moves of a sweep in their order, each with the number that it changes, (move, 2)."""
    order = [(0, 0) for _ in range(0)]
    for j in range(len(state.phi)):
        if laws.kinds[j] == OWN or laws.kinds[j] == LENGTH:
            order.append((ALONE, j))
    order.append((RATIOS, 0))
    for j in range(len(state.phi)):
        if laws.kinds[j] == METRIC:
            order.append((ALONE, j))
    for j in range(state.gate.size):
        order.append((GATE, j))
    order.append((GIVEN, 0))
    for j in range(len(state.phi)):
        if laws.kinds[j] == SCALE or laws.kinds[j] == METRIC:
            order.append((CARRYING, j))
    return np.array(order)


@compiled
def sweeps(rows, laws, tape, state, powers, adapt, thin, rng, phi, shared, coefficients, gate):
    """Make sweeps with the likelihood raised to `powers`, one after the other; keep every `thin`-th point."""
    order = order_of(laws, state)
    for step in range(len(powers)):
        sweep(rows, laws, tape, state, order, powers[step], adapt, rng)
        if (step + 1) % thin == 0 and step // thin < len(phi):
            place = step // thin
            phi[place], shared[place] = state.phi, state.shared
            coefficients[place], gate[place] = state.coefficients, state.gate
