"""Weights of groups that were integrated out, drawn given all else."""

import numpy as np

from bayes_personal.densities.linearised.corrected import Corrected, Placed
from bayes_personal.kernels.group_integrals import LANES

# Draws and candidates from which the largest ratio is taken, with the integrals of a rule of this order.
PROBED, CANDIDATES, ORDER = 48, 24, 9
# What may be left of a chain's start; the least ratio; the fewest and the most steps.
LEFT, LEAST_RATIO, FEWEST, LONGEST = 0.005, 1.05, 3, 200


def with_groups(target: Corrected, placed: Placed,
                rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    """Draw the weights of eliminated groups given all else; return all values, and the largest ratio of a chain.

    Chains are as long as the largest ratio of some candidates asks for, so that what is left of the start is less than
    `LEFT`.
    """
    groups = target.density.groups
    if groups is None:
        return placed.values, 1.0
    own, some = groups.rows.own(placed.values, len(placed.z)), min(PROBED, len(placed.z))
    shape = groups.tiles.tiles, LANES
    largest = np.full(shape, -np.inf)
    lengths = np.full(shape[0], CANDIDATES)
    for draw, eta in target.eta_of_groups(placed.take(slice(some))):
        scales = groups.scales(placed.scaling, draw)
        log_integral = groups.log_integrals(own[draw], scales, eta, ORDER)
        groups.draw(own[draw], scales, eta, lengths, log_integral, largest, rng)
    ratio = np.exp(groups.tiles.to_groups(largest))
    lengths = groups.tiles.of_groups(np.minimum(steps_for(ratio), LONGEST)).max(axis=1).astype(np.int64)
    weights = np.empty((len(placed.z), groups.tiles.count, len(groups.x)))
    nothing = np.zeros(shape)
    for draw, eta in target.eta_of_groups(placed):
        scales = groups.scales(placed.scaling, draw)
        weights[draw] = groups.draw(own[draw], scales, eta, lengths, nothing, nothing.copy(), rng)
    return placed.values | {f"{groups.term.name}_z": weights}, float(ratio.max())


def steps_for(ratio: np.ndarray) -> np.ndarray:
    """Return how many steps a chain takes whose candidates have this largest ratio."""
    return np.maximum(np.ceil(np.log(LEFT) / np.log1p(-1 / np.maximum(ratio, LEAST_RATIO))), FEWEST)


def may_be_drawn(ratio: float) -> bool:
    """Return whether a chain that is short enough forgets its start."""
    return bool(steps_for(np.array(ratio)) <= LONGEST)
