"""Rows that have likelihoods of their own beside Normal pseudo-data, compiled: the second part of `walk_moves`."""

from typing import NamedTuple

import numpy as np

from bayes_personal.kernels.codes import Code
from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.likelihoods import STRIP, rest, total
from bayes_personal.kernels.tape import outputs
from bayes_personal.kernels.walk_scales import IN, OUT


class Rows(NamedTuple):
    """Rows, and the pseudo-data that stand for them.

    Attributes
    ----------
    code, y, n, outcomes, counts : as in `likelihoods`
    response, precision : of the pseudo-data, (row,)
    tape : from phi to its log prior and the family's own numbers
    """

    code: Code
    y: np.ndarray
    n: np.ndarray
    outcomes: np.ndarray
    counts: np.ndarray
    response: np.ndarray
    precision: np.ndarray
    tape: tuple[np.ndarray, ...]


@compiled
def correction(rows, own, eta, power):
    """Return the rows' log likelihood, as far as it depends on eta, less that of the pseudo-data."""
    value = total(rows.code, own, rows.y, rows.n, eta, np.empty(STRIP), np.empty(STRIP))
    for i in range(len(rows.y)):
        gap = eta[0, i] - rows.response[i]
        value += 0.5 * rows.precision[i] * gap * gap
    return power * value if np.isfinite(value) else -np.inf


@inlined
def move_on_ellipse(rows, state, eta, own, other, there, centre, power, rng):
    """Move u on an ellipse, and eta with it."""
    away, beside, new = eta - centre, there - centre, eta.copy()
    level = correction(rows, own, eta, power) - rng.standard_exponential()
    angle = 2.0 * np.pi * rng.random()
    low, high = angle - 2.0 * np.pi, angle
    while high - low > 1e-10:
        new[:] = centre + np.cos(angle) * away + np.sin(angle) * beside
        if correction(rows, own, new, power) > level:
            state.u[:] = np.cos(angle) * state.u + np.sin(angle) * other
            eta[:] = new
            return
        if angle < 0.0:
            low = angle
        else:
            high = angle
        angle = low + (high - low) * rng.random()


@inlined
def of_own(rows, phi, eta, power):
    """Return the log density of the family's own hyperparameters given eta."""
    numbers = outputs(phi, *rows.tape)
    own = numbers[1:]
    value = (total(rows.code, own, rows.y, rows.n, eta, np.empty(STRIP), np.empty(STRIP))
             + rest(rows.code, own, rows.outcomes, rows.counts)[0])
    value = numbers[0] + power * value
    return value if np.isfinite(value) else -np.inf


@inlined
def slice_own(rows, state, j, eta, power, adapt, rng):
    """Move one of the family's own hyperparameters by a slice."""
    phi, width = state.phi, state.own_widths[j]
    old = phi[j]
    height = of_own(rows, phi, eta, power) - rng.standard_exponential()
    low = old - width * rng.random()
    high = low + width
    for _ in range(OUT):
        phi[j] = low
        if not of_own(rows, phi, eta, power) > height:
            break
        low -= width
    for _ in range(OUT):
        phi[j] = high
        if not of_own(rows, phi, eta, power) > height:
            break
        high += width
    for _ in range(IN):
        phi[j] = low + (high - low) * rng.random()
        if of_own(rows, phi, eta, power) > height:
            break
        if phi[j] < old:
            low = phi[j]
        else:
            high = phi[j]
    else:
        phi[j] = old
    if adapt:
        state.own_widths[j] += 0.05 * (3 * abs(phi[j] - old) - width)


@compiled
def given_scales(rows, state, eta, other, there, centre, power, adapt, rng):
    """Move u, and eta with it, on the ellipse that `walk_moves.ellipse` draws, and then phi given eta."""
    own = outputs(state.phi, *rows.tape)[1:]
    move_on_ellipse(rows, state, eta, own, other, there, centre, power, rng)
    for j in range(len(state.phi)):
        slice_own(rows, state, j, eta, power, adapt, rng)
