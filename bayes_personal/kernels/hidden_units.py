"""Moves of a network with one hidden layer, compiled: from one point of its posterior to another.

Row i has the linear predictor ``offset_i + theta' (d * F_i)``, where F holds the predictors of the shared coefficients
and, for each hidden unit and coefficient, ``x_ik tanh(steepness w' c_i + bend b) / sqrt(units)``; d are the scales.
Given the hidden units theta is Normal where rows are, and integrates out: ``precision_i`` and ``outcome_i`` are those
of a Normal family, up to 1 / sigma^2, or Normal pseudo-data for any other.

A hidden unit moves by elliptical slice sampling (Murray, Adams and MacKay 2010, arXiv:1001.0175), hyperparameters along
slices (Neal 2003), both with theta integrated out: a unit that the data do not need moves through its whole prior.
Under pseudo-data such moves, in random order, are a proposal, which is accepted by the rows' own likelihoods (Christen
and Fox 2005, doi:10.1198/106186005X76983).
"""

from typing import NamedTuple

import numpy as np

from bayes_personal.kernels.codes import Code
from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.lapack import cholesky
from bayes_personal.kernels.likelihoods import is_normal, log_likelihoods, rest, slopes
from bayes_personal.kernels.newton import newton_density, newton_draw, solve_lower
from bayes_personal.kernels.tape import outputs

# What an entry of phi governs.
OWN, SCALE, STEEPNESS = range(3)
# Kinds of moves: of an entry of phi alone; of the steepness against the weights that it multiplies; of a number of the
# family given theta; of a hidden unit.
ALONE, CARRYING, GIVEN, UNIT = range(4)
# What the density along a slice is computed for.
LEVEL, LOWERING, RAISING, SHRINKING = range(4)
WIDENED = 8


class Data(NamedTuple):
    """Rows and prior.

    Attributes
    ----------
    code, y, n, offset, outcomes, counts : as in `choices`
    x : predictors of the coefficients that vary, (varying, row)
    contexts : standardised contexts, (reading, row)
    mean, information : prior mean and precision of theta, (feature,)
    shared : number of shared coefficients
    own : how many numbers the family has
    kinds : what each entry of phi governs, (size,)
    bend, root : the factor of b, and the root of the number of contexts, by which the steepness is divided
    """

    code: Code
    y: np.ndarray
    n: np.ndarray
    offset: np.ndarray
    outcomes: np.ndarray
    counts: np.ndarray
    x: np.ndarray
    contexts: np.ndarray
    mean: np.ndarray
    information: np.ndarray
    shared: int
    own: int
    kinds: np.ndarray
    bend: float
    root: float


class Point(NamedTuple):
    """One point, and what follows from it; moves change the arrays.

    Attributes
    ----------
    phi : hyperparameters on the sampler's scale, (size,)
    theta : shared coefficients and second layer, (feature,)
    layer : weights and offset of every hidden unit, (unit, reading + 1)
    numbers : outputs of the tape at phi: log prior, the family's numbers, scales, steepness
    features : F, (feature, row)
    gram, moment : sums over rows of precision F F' and precision F outcome
    precision, outcome : of the rows, (row,)
    sums : sums over rows of eta, score and curvature, and their number, from which pseudo-data are made, (4, row)
    widths : expected lengths of slices, (3, size)
    evidence : log density with theta integrated out, (1,)
    """

    phi: np.ndarray
    theta: np.ndarray
    layer: np.ndarray
    numbers: np.ndarray
    features: np.ndarray
    gram: np.ndarray
    moment: np.ndarray
    precision: np.ndarray
    outcome: np.ndarray
    sums: np.ndarray
    widths: np.ndarray
    evidence: np.ndarray


@inlined
def set_features(data, point, j):
    """Set the features of hidden unit j."""
    varying, rows = data.x.shape
    steep = point.numbers[1 + data.own + varying] / data.root
    root = np.sqrt(len(point.layer))
    for i in range(rows):
        total = 0.0
        for q in range(len(data.contexts)):
            total += point.layer[j, q] * data.contexts[q, i]
        total = steep * total + data.bend * point.layer[j, -1]
        # tanh, by an exponential that compiles to the processor's vectors.
        hidden = (1.0 - 2.0 / (1.0 + exp_of(max(min(2.0 * total, 700.0), -700.0)))) / root
        for v in range(varying):
            point.features[data.shared + j * varying + v, i] = hidden * data.x[v, i]


@inlined
def set_products(data, point, j):
    """Set what the sums over rows have of hidden unit j."""
    varying = len(data.x)
    for v in range(varying):
        a = data.shared + j * varying + v
        weighted = point.precision * point.features[a]
        point.moment[a] = (weighted * point.outcome).sum()
        products = np.dot(point.features, weighted)
        point.gram[a], point.gram[:, a] = products, products


@inlined
def set_all(data, point):
    """Set all features and sums."""
    for j in range(len(point.layer)):
        set_features(data, point, j)
    weighted = point.features * point.precision
    point.gram[:] = np.dot(weighted, point.features.T)
    point.moment[:] = np.dot(weighted, point.outcome)


@inlined
def factored(data, point, power):
    """Return scales d, the factor of theta's precision, its moment, and whether the precision is positive."""
    varying, size = len(data.x), len(point.theta)
    d, tau = np.ones(size), power
    if is_normal(data.code):
        tau = power / point.numbers[1] ** 2
    for a in range(data.shared, size):
        d[a] = point.numbers[1 + data.own + (a - data.shared) % varying]
    lower, moment = np.empty((size, size)), np.empty(size)
    for a in range(size):
        for b in range(size):
            lower[a, b] = tau * d[a] * d[b] * point.gram[a, b]
        lower[a, a] += data.information[a]
        moment[a] = tau * d[a] * point.moment[a] + data.information[a] * data.mean[a]
    return d, lower, moment, cholesky(lower)


@inlined
def evidence(data, point, power):
    """Return the log density with theta integrated out, up to what depends on none of the moves."""
    _, lower, moment, positive = factored(data, point, power)
    if not positive:
        return -np.inf
    solve_lower(lower, moment)
    value = point.numbers[0]
    for a in range(len(moment)):
        value += 0.5 * moment[a] * moment[a] - np.log(lower[a, a])
    if is_normal(data.code):
        square = (point.precision * point.outcome * point.outcome).sum()
        value -= power * (0.5 * square / point.numbers[1] ** 2 + len(data.y) * np.log(point.numbers[1]))
    return value


@inlined
def move_unit(data, point, j, power, rng):
    """Move a hidden unit through its prior, on an ellipse."""
    here, size = point.layer[j].copy(), point.layer.shape[1]
    other = np.empty(size)
    for q in range(size):
        other[q] = rng.standard_normal()
    level = point.evidence[0] - rng.standard_exponential()
    angle = 2.0 * np.pi * rng.random()
    low, high = angle - 2.0 * np.pi, angle
    while True:
        point.layer[j] = np.cos(angle) * here + np.sin(angle) * other
        set_features(data, point, j)
        set_products(data, point, j)
        value = evidence(data, point, power)
        if value > level or high - low < 1e-10:
            point.evidence[0] = value
            return
        if angle < 0.0:
            low = angle
        else:
            high = angle
        angle = low + (high - low) * rng.random()


@inlined
def draw_theta(data, point, power, rng):
    """Draw theta given all else."""
    _, lower, moment, _ = factored(data, point, power)
    point.theta[:], _ = newton_draw(np.zeros(len(moment)), moment, lower, rng)


@inlined
def eta_of(data, point, theta):
    """Return the linear predictors of all rows, (1, row)."""
    varying, scaled, eta = len(data.x), theta.copy(), np.empty((1, len(data.y)))
    for a in range(data.shared, len(theta)):
        scaled[a] *= point.numbers[1 + data.own + (a - data.shared) % varying]
    eta[0] = data.offset + np.dot(scaled, point.features)
    return eta


@inlined
def likelihood(data, point, eta, power):
    """Return the rows' own log likelihood."""
    return power * log_likelihoods(data.code, point.numbers[1 : 1 + data.own], data.y, data.n, eta).sum()


@inlined
def excess(data, point, power):
    """Return the rows' own log likelihood less that of the pseudo-data."""
    eta = eta_of(data, point, point.theta)
    residual = point.outcome - (eta[0] - data.offset)
    return likelihood(data, point, eta, power) + 0.5 * power * (point.precision * residual * residual).sum()


@inlined
def move_theta(data, point, power, rng):
    """Move theta by a step of Newton's method under the rows' own likelihoods."""
    own, varying, size = point.numbers[1 : 1 + data.own], len(data.x), len(point.theta)
    d, here, goal, gain = np.ones(size), point.theta.copy(), point.theta.copy(), 0.0
    for a in range(data.shared, size):
        d[a] = point.numbers[1 + data.own + (a - data.shared) % varying]
    for forth in (True, False):
        at = here if forth else goal
        eta = eta_of(data, point, at)
        score, _, positive = slopes(data.code, own, data.y, data.n, eta)
        lower = np.dot(point.features * (power * positive[0, 0]), point.features.T)
        slope = power * d * np.dot(point.features, score[0]) - data.information * (at - data.mean)
        for a in range(size):
            for b in range(size):
                lower[a, b] *= d[a] * d[b]
            lower[a, a] += data.information[a]
        if not cholesky(lower):
            return
        value = likelihood(data, point, eta, power) - 0.5 * (data.information * (at - data.mean) ** 2).sum()
        if forth:
            goal, log_density = newton_draw(at, slope, lower, rng)
            gain -= value + log_density
        else:
            gain += value + newton_density(here, goal, slope, lower)
    if -rng.standard_exponential() < gain:
        point.theta[:] = goal


@inlined
def density(data, tape, point, kind, j, start, power):
    """Return the log density where entry j of phi has moved; NaN counts as none. `start` are its value before the
    move, and the hidden units and linear predictors there."""
    here, layer, eta = start
    point.numbers[:] = outputs(point.phi, *tape)
    if kind == GIVEN:
        own = point.numbers[1 : 1 + data.own]
        value = point.numbers[0] + likelihood(data, point, eta, power) + power * rest(
            data.code, own, data.outcomes, data.counts)[0]
    elif kind == CARRYING:
        # The steepness is a multiple of the exponential function of its entry.
        value, shift = point.numbers[0], here - point.phi[j]
        point.layer[:, :-1] = np.exp(shift) * layer[:, :-1]
        value += shift * layer[:, :-1].size - 0.5 * (point.layer[:, :-1] ** 2).sum()
    else:
        if data.kinds[j] == STEEPNESS:
            set_all(data, point)
        value = evidence(data, point, power)
    return value if value == value else -np.inf


@inlined
def along_slice(data, tape, point, kind, j, power, adapt, rng):
    """Move entry j of phi along a slice: with theta integrated out, or one of the family given theta."""
    here, width = point.phi[j], point.widths[kind, j]
    start = here, point.layer.copy(), eta_of(data, point, point.theta)
    level, at, phase, widened = np.inf, here, LEVEL, 0
    low = here - width * rng.random()
    high = low + width
    while True:
        point.phi[j] = at
        value = density(data, tape, point, kind, j, start, power)
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
    point.evidence[0] = value if kind == ALONE else evidence(data, point, power)
    if adapt:
        point.widths[kind, j] = 0.95 * width + 0.05 * max(3.0 * abs(at - here), 1e-3)
