"""Sweeps of the moves of a network with one hidden layer, compiled; the arguments are those of `hidden_units`."""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.hidden_units import (
    ALONE,
    CARRYING,
    GIVEN,
    OWN,
    STEEPNESS,
    UNIT,
    along_slice,
    draw_theta,
    eta_of,
    evidence,
    excess,
    move_theta,
    move_unit,
    set_all,
)
from bayes_personal.kernels.likelihoods import is_normal, slopes
from bayes_personal.kernels.tape import outputs

# Moves under pseudo-data after which these are judged, by the rows' own likelihoods.
TOGETHER = 6


@inlined
def moves_of(data, point):
    """Return the moves of a sweep with theta integrated out, each with the number that it changes, (move, 2)."""
    moves = [(0, 0) for _ in range(0)]
    for j in range(len(data.kinds)):
        if data.kinds[j] != OWN or is_normal(data.code):
            moves.append((ALONE, j))
        if data.kinds[j] == STEEPNESS:
            # Alone it changes little at once, and so do the weights that it multiplies.
            moves.append((ALONE, j))
            moves.append((CARRYING, j))
            moves.append((CARRYING, j))
    for j in range(len(point.layer)):
        moves.append((UNIT, j))
    result = np.empty((len(moves), 2), np.int64)
    for k in range(len(moves)):
        result[k, 0], result[k, 1] = moves[k]
    return result


@inlined
def shuffle(moves, rng):
    """Bring moves to a random order. All orders are as likely as their reverses, so that the whole is reversible."""
    for k in range(len(moves) - 1, 0, -1):
        other = int(rng.random() * (k + 1))
        for q in range(2):
            moves[k, q], moves[other, q] = moves[other, q], moves[k, q]


@inlined
def renew(data, point):
    """Make pseudo-data from the sums over the points since the last time."""
    if is_normal(data.code) or point.sums[3, 0] == 0.0:
        return
    for i in range(len(data.y)):
        eta, score, curvature = point.sums[0, i], point.sums[1, i], point.sums[2, i]
        point.precision[i] = max(curvature / point.sums[3, i], 1e-8)
        point.outcome[i] = (eta + score / point.precision[i]) / point.sums[3, i] - data.offset[i]
    point.sums[:] = 0.0


@inlined
def note(data, point):
    """Add a point to the sums."""
    eta = eta_of(data, point, point.theta)
    score, _, positive = slopes(data.code, point.numbers[1 : 1 + data.own], data.y, data.n, eta)
    for i in range(len(data.y)):
        point.sums[0, i] += eta[0, i]
        point.sums[1, i] += score[0, i]
        point.sums[2, i] += positive[0, 0, i]
        point.sums[3, i] += 1.0


@inlined
def sweep(data, tape, point, moves, power, adapt, rng):
    """Make all moves once; return the share of proposals that were accepted."""
    point.numbers[:] = outputs(point.phi, *tape)
    set_all(data, point)
    point.evidence[0] = evidence(data, point, power)
    shuffle(moves, rng)
    exact, accepted, judged = is_normal(data.code), 0, 0
    block = len(moves) if exact else TOGETHER
    for start in range(0, len(moves), block):
        phi, theta, layer = point.phi.copy(), point.theta.copy(), point.layer.copy()
        before = 0.0 if exact else excess(data, point, power)
        for k in range(start, min(start + block, len(moves))):
            kind, j = moves[k, 0], moves[k, 1]
            if kind == UNIT:
                move_unit(data, point, j, power, rng)
            else:
                along_slice(data, tape, point, kind, j, power, adapt, rng)
        draw_theta(data, point, power, rng)
        judged += 1
        if exact or -rng.standard_exponential() < excess(data, point, power) - before:
            accepted += 1
            continue
        point.phi[:], point.theta[:], point.layer[:] = phi, theta, layer
        point.numbers[:] = outputs(point.phi, *tape)
        set_all(data, point)
        point.evidence[0] = evidence(data, point, power)
    if not exact:
        move_theta(data, point, power, rng)
        for j in range(len(data.kinds)):
            if data.kinds[j] == OWN:
                along_slice(data, tape, point, GIVEN, j, power, adapt, rng)
    return accepted / judged


@compiled
def network_sweeps(data, tape, point, powers, adapt, thin, rng, phi, theta, layer):
    """Make sweeps with the likelihood raised to `powers`, one after the other; keep every `thin`-th point. Return the
    average share of proposals that were accepted. Where moves adapt, so do pseudo-data, at growing distances."""
    moves, accepted, since, until = moves_of(data, point), 0.0, 0, 4
    for step in range(len(powers)):
        accepted += sweep(data, tape, point, moves, powers[step], adapt, rng)
        if adapt and not is_normal(data.code):
            note(data, point)
            since += 1
            if since >= until:
                renew(data, point)
                since, until = 0, min(2 * until, 128)
        if (step + 1) % thin == 0 and step // thin < len(phi):
            place = step // thin
            phi[place], theta[place], layer[place] = point.phi, point.theta, point.layer
    return accepted / len(powers)
