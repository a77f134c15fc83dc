"""A model in which every row takes one of K alternatives, as compiled moves from one point of it to another take it.

Alternative k has the linear predictor ``offset_i + m' u_i + (scale a_k)' x_i`` in row i, and the log probability

    log w_k, w = g / sum(g), g_k ~ Gamma(alpha), or  log softmax_k(b_k + (G_k metric)' c_i)

The moves leave the posterior as it is. The family's numbers, metrics and gate move with the rows' alternatives summed
out (`choice_slices`), so that one alternative can take over from another with like coefficients in one step. Then the
alternatives of rows are drawn, and given these come coefficients and gate (`choice_moves`). Alternatives that no row
takes are drawn from their prior.

All is in natural units. Arrays of rows have the rows last.
"""

from typing import NamedTuple

import numpy as np

from bayes_personal.kernels.codes import Code
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import exp_of, log_of
from bayes_personal.kernels.likelihoods import is_normal, log_likelihoods, rest, slopes

# What an entry of phi governs.
OWN, SCALE, METRIC, LENGTH = range(4)
# Least logarithm of a ratio that counts.
LEAST = -700.0


class Rows(NamedTuple):
    """The rows.

    Attributes
    ----------
    code : the family, one of `codes`
    y, n : outcomes and known constants, (row,)
    offset : known part of the linear predictor, (row,)
    shared : predictors u of the coefficients that all alternatives have in common, (shared, row)
    own : predictors x of those that they have of their own, (varying, row)
    contexts : standardised contexts, (reading, row)
    outcomes, counts : the distinct outcomes and how many rows have each
    """

    code: Code
    y: np.ndarray
    n: np.ndarray
    offset: np.ndarray
    shared: np.ndarray
    own: np.ndarray
    contexts: np.ndarray
    outcomes: np.ndarray
    counts: np.ndarray


class Laws(NamedTuple):
    """The prior.

    Attributes
    ----------
    mean, mean_sd : of the shared coefficients m, (shared,)
    sd : of the alternatives' coefficients a, (varying,)
    alpha : of the Dirichlet distribution of their probabilities; 0 where contexts govern these
    level_sd, slope_sd : of b, and of each entry of G
    owner : the metric of each reading, (reading,); -1 where there is none
    strength : that of a repulsion; 0 where there is none
    kinds : what each entry of phi governs, (size,)
    own, metrics : how many numbers the family and how many metrics there are
    """

    mean: np.ndarray
    mean_sd: np.ndarray
    sd: np.ndarray
    alpha: float
    level_sd: float
    slope_sd: float
    owner: np.ndarray
    strength: float
    kinds: np.ndarray
    own: int
    metrics: int


class State(NamedTuple):
    """One point, and what follows from it; moves change the arrays.

    Attributes
    ----------
    phi : hyperparameters on the sampler's scale, (size,)
    shared : m, (shared,)
    coefficients : a, (alternative, varying)
    gate : b and G, (alternative, 1 + reading), or log g, (alternative, 1), of w = g / sum(g)
    numbers : outputs of the tape at phi: log prior, the family's numbers, scales, metrics, length, log normaliser
    eta, likelihood, log_gate : of every alternative in every row, (alternative, row)
    odds, ratio : odds of alternatives in rows, and ratios of the rows' likelihoods under them, up to a factor that all
        alternatives of a row have in common, (alternative, row)
    taken : the alternative that each row takes, (row,)
    widths : expected lengths of slices, (2, size)
    """

    phi: np.ndarray
    shared: np.ndarray
    coefficients: np.ndarray
    gate: np.ndarray
    numbers: np.ndarray
    eta: np.ndarray
    likelihood: np.ndarray
    log_gate: np.ndarray
    odds: np.ndarray
    ratio: np.ndarray
    taken: np.ndarray
    widths: np.ndarray


@inlined
def set_likelihood(rows, laws, state, power):
    """Set the log likelihoods of all rows under all alternatives, raised to a power."""
    own = state.numbers[1 : 1 + laws.own]
    for k in range(len(state.eta)):
        if is_normal(rows.code):
            half = 0.5 * power / (own[0] * own[0])
            for i in range(len(rows.y)):
                r = rows.y[i] - state.eta[k, i]
                state.likelihood[k, i] = -half * rows.n[i] * r * r
        else:
            state.likelihood[k] = power * log_likelihoods(rows.code, own, rows.y, rows.n, state.eta[k : k + 1])


@inlined
def set_eta(rows, laws, state, scale):
    """Set the linear predictors of all rows under all alternatives."""
    for k in range(len(state.eta)):
        for i in range(len(rows.y)):
            state.eta[k, i] = rows.offset[i]
        for s in range(len(state.shared)):
            for i in range(len(rows.y)):
                state.eta[k, i] += state.shared[s] * rows.shared[s, i]
        for v in range(len(scale)):
            slope = scale[v] * state.coefficients[k, v]
            for i in range(len(rows.y)):
                state.eta[k, i] += slope * rows.own[v, i]


@inlined
def set_gate(rows, laws, state, metric):
    """Set the log probabilities of all alternatives in all rows."""
    count, size = state.log_gate.shape
    for k in range(count):
        for i in range(size):
            state.log_gate[k, i] = state.gate[k, 0]
        for q in range(len(rows.contexts)):
            slope = state.gate[k, 1 + q] * (metric[laws.owner[q]] if laws.owner[q] >= 0 else 1.0)
            for i in range(size):
                state.log_gate[k, i] += slope * rows.contexts[q, i]
    for i in range(size):
        top, total = state.log_gate[0, i], 0.0
        for k in range(1, count):
            top = max(top, state.log_gate[k, i])
        for k in range(count):
            total += exp_of(max(state.log_gate[k, i] - top, LEAST))
        total = top + log_of(total)
        for k in range(count):
            state.log_gate[k, i] -= total


@inlined
def summed(state):
    """Return the log likelihood of all rows with their alternatives summed out."""
    count, result = len(state.eta), 0.0
    for i in range(len(state.taken)):
        top, total = state.log_gate[0, i] + state.likelihood[0, i], 0.0
        for k in range(1, count):
            top = max(top, state.log_gate[k, i] + state.likelihood[k, i])
        for k in range(count):
            total += exp_of(max(state.log_gate[k, i] + state.likelihood[k, i] - top, LEAST))
        result += top + log_of(total)
    return result


@inlined
def rest_of(rows, laws, numbers):
    """Return what the log likelihood has beside, as far as it depends on the family's numbers."""
    if is_normal(rows.code):
        return -len(rows.y) * np.log(numbers[1])
    return rest(rows.code, numbers[1 : 1 + laws.own], rows.outcomes, rows.counts)[0]


@inlined
def log_determinant(points, strength, length):
    """Return log det M of points that repel each other."""
    count, lower = len(points), np.empty((len(points), len(points)))
    total = 0.0
    for i in range(count):
        for j in range(i + 1):
            square = 0.0
            for v in range(points.shape[1]):
                square += (points[i, v] - points[j, v]) ** 2
            value = 1.0 if i == j else strength * np.exp(-square / (2.0 * points.shape[1] * length * length))
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(value) if i == j else value / lower[j, j]
        total += 2.0 * np.log(lower[i, i])
    return total


@inlined
def repulsion(laws, state, points):
    """Return log det M at the length of a state; 0 without repulsion."""
    return log_determinant(points, laws.strength, state.numbers[-2]) if laws.strength > 0.0 else 0.0


@inlined
def scores(rows, laws, numbers, eta, power):
    """Return log likelihood, score and a positive curvature of every row at its own linear predictor, (row,) each."""
    own = numbers[1 : 1 + laws.own]
    if is_normal(rows.code):
        weight = power * rows.n / (own[0] * own[0])
        residual = rows.y - eta[0]
        return -0.5 * weight * residual * residual, weight * residual, weight
    score, _, positive = slopes(rows.code, own, rows.y, rows.n, eta)
    return power * log_likelihoods(rows.code, own, rows.y, rows.n, eta), power * score[0], power * positive[0, 0]


@inlined
def gradients(rows, laws, state, point, scale, score, curvature):
    """Return the slopes of the log density by all coefficients (m, a_1, a_2, ...) and the negative curvature."""
    shared, varying, count = len(laws.mean), len(laws.sd), len(state.eta)
    size = shared + count * varying
    slope, matrix = np.zeros(size), np.zeros((size, size))
    for i in range(len(rows.y)):
        start = shared + state.taken[i] * varying
        for v in range(varying):
            x = scale[v] * rows.own[v, i]
            slope[start + v] += score[i] * x
            weighted = curvature[i] * x
            for other in range(v + 1):
                matrix[start + v, start + other] += weighted * scale[other] * rows.own[other, i]
            for s in range(shared):
                matrix[start + v, s] += weighted * rows.shared[s, i]
        for s in range(shared):
            slope[s] += score[i] * rows.shared[s, i]
            for other in range(s + 1):
                matrix[s, other] += curvature[i] * rows.shared[s, i] * rows.shared[other, i]
    for j in range(size):
        sd, mean = (laws.mean_sd[j], laws.mean[j]) if j < shared else (laws.sd[(j - shared) % varying], 0.0)
        slope[j] -= (point[j] - mean) / (sd * sd)
        matrix[j, j] += 1.0 / (sd * sd)
    return slope, matrix


@inlined
def own_eta(rows, state, point, scale):
    """Return the linear predictor of every row under its alternative, (1, row)."""
    shared, varying, eta = len(state.shared), len(scale), np.empty((1, len(rows.y)))
    for i in range(len(rows.y)):
        total, start = rows.offset[i], shared + state.taken[i] * varying
        for s in range(shared):
            total += point[s] * rows.shared[s, i]
        for v in range(varying):
            total += scale[v] * point[start + v] * rows.own[v, i]
        eta[0, i] = total
    return eta
