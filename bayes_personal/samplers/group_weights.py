"""Weights of groups that were integrated out, drawn given all else."""

import numpy as np

from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.linearised.corrected import Corrected, Placed
from bayes_personal.densities.linearised.eliminated import EliminatedGroups

# Draws and candidates from which the largest ratio is taken, with the integrals of a rule of this order.
PROBED, CANDIDATES, ORDER = 48, 24, 9
# What may be left of a chain's start; the least ratio; the fewest and the most steps.
LEFT, LEAST_RATIO, FEWEST, LONGEST = 0.005, 1.05, 3, 200


def with_groups(target: Corrected, placed: Placed,
                rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    """Draw the weights of eliminated groups given all else; return all values, and the largest ratio of a chain."""
    groups = target.density.groups
    if groups is None:
        return placed.values, 1.0
    count = len(placed.z)
    own = groups.rows.own(placed.values, count)
    natural = target.density.gaussian.arrangement.natural_weights(placed.values, count)
    weights, ratio = drawn_weights(groups, own, placed.scaling, natural, rng)
    return placed.values | {f"{groups.term.name}_z": weights}, ratio


def drawn_weights(groups: EliminatedGroups, own: np.ndarray, scaling: Scaling, natural: np.ndarray,
                  rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw the whitened weights of groups, (draw, group, varying), and return the largest ratio of a chain, at draws of
    the family's own numbers (draw, number), of the groups' scales, and of other weights (draw, weight).

    Chains are as long as the largest ratio of some candidates asks for, so that what is left of the start is less than
    `LEFT`.
    """
    shape, some = (groups.tiles.tiles, groups.tiles.lanes), min(PROBED, len(natural))
    largest = np.full(shape, -np.inf)
    lengths = np.full(shape[0], CANDIDATES)
    for draw, eta in groups.each_eta(natural[:some]):
        scales = groups.scales(scaling, draw)
        log_integral = groups.log_integrals(own[draw], scales, eta, ORDER)
        groups.draw(own[draw], scales, eta, lengths, log_integral, largest, rng)
    ratio = np.exp(groups.tiles.to_groups(largest))
    lengths = groups.tiles.of_groups(np.minimum(steps_for(ratio), LONGEST)).max(axis=1).astype(np.int64)
    weights, nothing = np.empty((len(natural), groups.tiles.count, len(groups.x))), np.zeros(shape)
    for draw, eta in groups.each_eta(natural):
        scales = groups.scales(scaling, draw)
        weights[draw] = groups.draw(own[draw], scales, eta, lengths, nothing, nothing.copy(), rng)
    return weights, float(ratio.max())


def steps_for(ratio: np.ndarray) -> np.ndarray:
    """Return how many steps a chain takes whose candidates have this largest ratio."""
    return np.maximum(np.ceil(np.log(LEFT) / np.log1p(-1 / np.maximum(ratio, LEAST_RATIO))), FEWEST)


def may_be_drawn(ratio: float) -> bool:
    """Return whether a chain that is short enough forgets its start."""
    return bool(steps_for(np.array(ratio)) <= LONGEST)
