"""Draws of divisions under rows' own likelihoods: cells are expanded where the posterior is, and draws corrected."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.cell_likelihoods import CellLikelihoods
from bayes_personal.densities.expanded_divisions import (
    CorrectedDraws,
    ExpandedDivisions,
    HyperpriorsOfDivisions,
)
from bayes_personal.samplers.importance import Pool, Weighted
from bayes_personal.samplers.mode import climbed
from bayes_personal.samplers.modes import Modes
from bayes_personal.samplers.proposal import systematic

# Rounds of expansions and climbs, which end when no hyperparameter moves by more than this on the sampler's scale.
ROUNDS, SETTLED = 5, 0.1
# Divisions over which the moments of linear predictors are taken.
DRAWS = 64
# Rounds of adaptation end where this share of the draws counts, or where it grows by less than this factor.
GOOD, GROWTH = 0.6, 1.1
# Times as many draws where the first ones cannot be trusted.
AGAIN = 4

Advance = Callable[[int], Any]


@final
@dataclass(frozen=True, eq=False)
class DividedSample:
    """Weighted draws of hyperparameters, divisions and the coefficients of cells."""

    density: ExpandedDivisions
    draws: CorrectedDraws
    weighted: Weighted

    def values(self, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return equally weighted draws of all variables by systematic resampling, in random order."""
        chosen = rng.permutation(systematic(self.weighted.weights, count, rng))
        values = self.density.values(self.draws.points[chosen])
        drawn, theta = ([each[k] for k in chosen] for each in (self.draws.drawn, self.draws.theta))
        return values | self.density.latent(drawn, theta, values[self.density.parameters[0].name])


def expanded(bound: BoundModel, rng: np.random.Generator) -> ExpandedDivisions:
    """Return the density with its cells expanded where it is high.

    Cells are expanded at several starts, from each of which the hyperparameters climb. From the highest place that is
    reached, they are expanded and climb again until that changes little.
    """
    size = sum(parameter.size for parameter in bound.hyperparameters)
    climbs = [climb(bound, start, rng) for start in (np.zeros(size), *bound.once(HyperpriorsOfDivisions).starts)]
    point = max(climbs, key=lambda each: each.height).point
    for _ in range(ROUNDS):
        last, point = point, climb(bound, point, rng).point
        if np.abs(point - last).max() < SETTLED:
            break
    return with_moments(at_point(bound, point).calibrated(rng), point, rng)


class Climb(NamedTuple):
    """Where a climb ended, and how high that is."""

    point: np.ndarray
    height: float


def climb(bound: BoundModel, start: np.ndarray, rng: np.random.Generator) -> Climb:
    """Expand cells at a point, and climb from there."""
    density = with_moments(at_point(bound, start), start, rng)
    point = climbed(density.log_density, start)
    return Climb(point, density.value(point))


def at_point(bound: BoundModel, point: np.ndarray) -> ExpandedDivisions:
    """Expand all cells at a point of the hyperparameters."""
    _, hyper = bound.once(HyperpriorsOfDivisions).hyper(point)
    return ExpandedDivisions(bound, hyper, bound.once(CellLikelihoods).expanded(hyper))


def with_moments(density: ExpandedDivisions, point: np.ndarray, rng: np.random.Generator) -> ExpandedDivisions:
    """Add the moments of linear predictors, where the family has hyperparameters of its own."""
    if not density.bound.family_parameters:
        return density
    return density.with_moments(density.eta_of(*density.draw(density.hyper(point)[1], DRAWS, rng)))


def divided(bound: BoundModel, proposals: int | None, rng: np.random.Generator,
            advance: Advance = lambda count: None) -> DividedSample:
    """Sample by importance: proposals are adapted to rounds of draws, and judged by draws they have not seen.

    Parameters
    ----------
    bound
        A model whose cells do not integrate out.
    proposals
        Number of draws that are weighted in the end; None for the default.
    rng
        Generator of all draws.
    advance
        Called with the number of further draws that are weighted.
    """
    density = expanded(bound, rng)
    effort = density.effort
    count, each = proposals or effort.proposals, (proposals or effort.proposals) // effort.fewer
    modes, pool, best = Modes.search(density, rng), Pool.empty(density.size), 0.0
    mixture = modes.mixture
    for _ in range(effort.rounds):
        points = mixture.draw(each, rng)
        drawn = density.each_corrected(points, rng)
        advance(each)
        log_proposals = mixture.log_density(points)
        round_draws = Weighted.of(points, drawn.log_densities, log_proposals)
        pool = pool.with_round(mixture, points, drawn.log_densities)
        mixture = mixture.adapted(pool.points, pool.weighted.weights)
        if round_draws.ess > GOOD * each or round_draws.ess < GROWTH * best:
            break
        best = max(best, round_draws.ess)
    for number in (count, AGAIN * count):
        points = mixture.draw(number, rng)
        drawn = density.each_corrected(points, rng)
        advance(number)
        weighted = Weighted.of(points, drawn.log_densities, mixture.log_density(points))
        if weighted.trusted:
            break
        mixture = mixture.adapted(points, weighted.weights).widened
    return DividedSample(density, drawn, weighted)
