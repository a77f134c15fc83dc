"""Draws under pseudo-data, corrected by importance weights: posteriors of families that are not Normal."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from bayes_personal.densities.linearised.corrected import Corrected
from bayes_personal.densities.linearised.corrected_chain import CorrectedChain
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.remainder import Remainder, draws_for
from bayes_personal.densities.linearised.surrogate import SurrogateDensity
from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.samplers.group_weights import may_be_drawn, with_groups
from bayes_personal.samplers.importance import LEAST_ESS, Pool, Weighted
from bayes_personal.samplers.joint_proposals import Apart, WeightProposal, proposals
from bayes_personal.samplers.linearising import averaged, own_at
from bayes_personal.samplers.mode import Mode
from bayes_personal.samplers.proposal import Proposal, Proposes

Advance = Callable[[int], Any]

# Times as many draws are weighted where the first ones cannot be trusted.
AGAIN = 4
# Rounds of adaptation end where this share of the draws counts.
GOOD = 0.6
# The round after which draws of a density with ridges are clustered.
CLUSTERED = 1
# Pseudo-data are made anew where a smaller share counts, and not fewer draws.
POOR, LEAST = 0.4, 50.0
# Proposals of weights that are tried beside a walk over the hyperparameters.
TURNS = 2
# Draws of the posterior over which pseudo-data are averaged anew.
AVERAGED = 200
# Nodes along each weight of a group: the first rule and finer ones; its error may have this standard deviation, over so
# many draws of the posterior. A polynomial that stands for a finer rule may miss it by half of that.
FIRST_ORDER, ORDERS, SETTLED, CHECKED = 4, (6, 8, 11, 15, 21, 31), 0.02, 32
HALF_SETTLED = SETTLED / 2


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """Weighted draws of hyperparameters and weights.

    Attributes
    ----------
    target : the density that they are draws of
    weighted : the draws, on the scale of `target`
    rule_error : standard deviation over the posterior of the error of the groups' log integrals; 0 without groups
    largest_ratio : largest ratio of the density of a group's weights to that of the candidates for its draws
    """

    target: Corrected | CorrectedChain
    weighted: Weighted
    rule_error: float
    largest_ratio: float = 1.0

    @property
    def trusted(self) -> bool:
        """Whether the importance ratios have a variance, enough draws count, and groups are integrated and drawn
        exactly."""
        return self.weighted.trusted and self.rule_error <= SETTLED and may_be_drawn(self.largest_ratio)

    @property
    def problem(self) -> str:
        """Why the draws cannot be trusted."""
        if not self.weighted.trusted:
            return self.weighted.problem
        if isinstance(self.target, Corrected) and self.rule_error > SETTLED:
            return (f"the integrals over the weights of groups have an error of {self.rule_error:.3f} (at most "
                    f"{SETTLED}), with {self.target.order} nodes along each weight")
        return (f"the weights of a group are drawn from candidates whose density is {self.largest_ratio:.0f} times too "
                "small somewhere")

    @property
    def summary(self) -> dict[str, float]:
        """How well the draws were corrected."""
        return {"pareto_k": self.weighted.pareto_k, "largest_k": self.weighted.largest_k, "ess": self.weighted.ess,
                "rule_error": self.rule_error,
                "largest_ratio": self.largest_ratio}

    def values(self, points: np.ndarray, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
        """Return all values at draws, with the weights of eliminated groups, and the largest ratio of their chains."""
        return drawn(self.target, points, rng)


def target_of(density: LinearisedDensity) -> Corrected | CorrectedChain:
    """Return the density of the model itself, of hyperparameters and weights as pseudo-data make them."""
    return Corrected(density, FIRST_ORDER) if density.chain is None else CorrectedChain(density)


def drawn(target: Corrected | CorrectedChain, points: np.ndarray,
          rng: np.random.Generator) -> tuple[dict[str, np.ndarray], float]:
    """Return all values at draws, with the weights of eliminated groups, and the largest ratio of their chains."""
    if isinstance(target, CorrectedChain):
        return target.drawn(points, rng), 1.0
    return with_groups(target, target.placed(points), rng)


def corrected(density: LinearisedDensity, count: int, again: int, rng: np.random.Generator,
              advance: Advance = lambda count: None) -> Sample:
    """Sample a model by importance: proposals are adapted to rounds of draws, and judged by draws they have not seen.

    Parameters
    ----------
    density
        Density of the hyperparameters under pseudo-data.
    count
        Number of draws that are weighted in the end, a power of two.
    again
        Factor by which there are more where the first ones cannot be trusted.
    rng
        Generator of all draws.
    advance
        Called with the number of further draws that are weighted.
    """
    target = target_of(density)
    if density.size + target.weights == 0:
        # Nothing is unknown but the weights of groups, which are integrated and drawn exactly.
        return settled(target, np.empty((count, 0)), np.zeros(count), rng)
    return judged(*adapted(target, proposals(density, rng), rng, advance), count, again, rng, advance)


def judged(target: Corrected | CorrectedChain, proposal: Proposes, count: int, again: int, rng: np.random.Generator,
           advance: Advance = lambda count: None, enough: float = LEAST_ESS) -> Sample:
    """Weigh draws of a proposal, and `again` times as many of a better one where they cannot be trusted; once more
    where enough of these count and only their tail is too heavy, or along a ridge, from clusters of them.

    `enough` effective draws are asked for.
    """
    ridged = target.density.effort.ridged
    for turn, number in enumerate((count, again * count, again * count)):
        points = proposal.draw(number, rng)
        sample = settled(target, points, proposal.log_density(points), rng, enough)
        advance(number)
        if sample.trusted or turn == 1 and not ridged and sample.weighted.ess < enough:
            break
        target, weights = sample.target, sample.weighted.weights
        if ridged and number > count and isinstance(proposal, Proposal):
            proposal = proposal.clustered(points, weights, rng).widened
        else:
            proposal = proposal.adapted(points, weights).widened
    return sample


def walked(density: LinearisedDensity, mode: np.ndarray, walk: Callable[[HyperparameterDensity], np.ndarray],
           rng: np.random.Generator) -> Sample:
    """Correct draws of the hyperparameters that a sampler makes under pseudo-data.

    Parameters
    ----------
    density
        Density of the hyperparameters under pseudo-data.
    mode
        Its mode, (size,).
    walk
        Function that draws points of a density, (draw, size).
    rng
        Generator of all other draws.
    """
    walkable: HyperparameterDensity = density
    if not density.cheap and not density.many_scales:
        walkable = SurrogateDensity.fitted(density, mode, Mode.at(density.log_density, mode).root, rng)
    hyper = walk(walkable)
    log_hyper = walkable.each_value(hyper)
    target = target_of(density)
    of_weights = WeightProposal.standard(target.weights)
    for _ in range(TURNS):
        u = of_weights.draw(len(hyper), rng)
        sample = settled(target, np.concatenate([hyper, u], axis=1), log_hyper + of_weights.log_density(u), rng)
        if sample.trusted:
            break
        target, of_weights = sample.target, of_weights.adapted(u, sample.weighted.weights)
    return sample


def settled(target: Corrected | CorrectedChain, points: np.ndarray, log_proposals: np.ndarray, rng: np.random.Generator,
            enough: float = LEAST_ESS) -> Sample:
    """Weigh draws, with a rule for the groups' integrals whose error is small over the posterior.

    What a finer rule adds is a polynomial that is fitted to some of the draws where that is near enough; elsewhere
    the finer rule is taken at all draws.
    """
    weighted = Weighted.of(points, target.each_value(points), log_proposals, enough)
    if isinstance(target, CorrectedChain) or target.density.groups is None:
        return Sample(target, weighted, 0.0)
    coarse, fits = replace(target, remainder=None), 2 * draws_for(points.shape[1]) <= len(points)
    while True:
        error = rule_error(target, weighted, rng)
        if error <= SETTLED or target.finest == ORDERS[-1]:
            return Sample(target, weighted, error)
        finer = next(order for order in ORDERS if order > target.finest)
        remainder = fitted_remainder(coarse, weighted, finer, rng) if fits else None
        if remainder is None:
            fits, coarse = False, replace(coarse, order=finer)
            target, log_densities = coarse, coarse.each_value(points)
        else:
            known = 0.0 if target.remainder is None else target.remainder.at(points)
            log_densities = weighted.log_densities - known + remainder.at(points)
            target = replace(coarse, remainder=remainder)
        weighted = Weighted.of(points, log_densities, log_proposals, enough)


def fitted_remainder(target: Corrected, weighted: Weighted, finer: int, rng: np.random.Generator) -> Remainder | None:
    """Return what a finer rule adds to a density, as a polynomial; None where it is not near enough to one."""
    count = draws_for(weighted.points.shape[1])
    points = np.unique(weighted.resample(count + CHECKED, rng), axis=0)
    points = points[rng.permutation(len(points))]
    added = finer_less_coarse(target, points, finer)
    if len(points) <= count // 2 + CHECKED or not np.isfinite(added).all():
        return None
    remainder = Remainder.fitted(finer, points[CHECKED:], added[CHECKED:])
    left = added[:CHECKED] - remainder.at(points[:CHECKED])
    return remainder if left.std() <= HALF_SETTLED else None


def adapted(target: Corrected | CorrectedChain, proposal: Proposes, rng: np.random.Generator,
            advance: Advance) -> tuple[Corrected | CorrectedChain, Proposes]:
    """Adapt proposals to a few rounds of draws, and once the pseudo-data too where few draws count."""
    size, renewed, effort = target.density.size, False, target.density.effort
    pool = Pool.empty(size + target.weights)
    for turn in range(effort.rounds):
        latest = weighed(target, proposal, effort.round, rng)
        advance(effort.round)
        pool = pool.with_round(proposal, latest.points, latest.log_densities)
        proposal = proposal.adapted(pool.points, pool.weighted.weights)
        if latest.ess > GOOD * effort.round:
            break
        if turn == CLUSTERED and effort.ridged and isinstance(proposal, Proposal):
            proposal = proposal.clustered(pool.points, pool.weighted.weights, rng)
        if not renewed and isinstance(proposal, Apart) and LEAST < latest.ess < POOR * effort.round:
            target, renewed = replace(target, density=renewed_density(target, latest, rng)), True
            proposal = Apart(proposal.hyper, WeightProposal.standard(target.weights), size)
            pool = Pool.empty(size + target.weights)
    return target, proposal


def weighed(target: Corrected | CorrectedChain, proposal: Proposes, count: int, rng: np.random.Generator) -> Weighted:
    """Draw from a proposal, and weigh the draws."""
    points = proposal.draw(count, rng)
    return Weighted.of(points, target.each_value(points), proposal.log_density(points))


def rule_error(target: Corrected, weighted: Weighted, rng: np.random.Generator) -> float:
    """Return the standard deviation, over draws of the posterior, of what a finer rule adds to the log likelihood."""
    points = weighted.resample(CHECKED, rng)
    known = 0.0 if target.remainder is None else target.remainder.at(points)
    return float((finer_less_coarse(target, points, 2 * target.finest - 1) - known).std())


def finer_less_coarse(target: Corrected, points: np.ndarray, order: int) -> np.ndarray:
    """Return what a rule of this order adds to the log likelihood under that of the density, (draw,)."""
    placed = target.placed(points)
    coarse, fine = (target.group_integrals(placed, each) for each in (target.order, order))
    return fine - coarse


def renewed_density(target: Corrected | CorrectedChain, weighted: Weighted,
                    rng: np.random.Generator) -> LinearisedDensity:
    """Return the density under pseudo-data that are averaged over weighted draws of the posterior itself."""
    points = weighted.resample(AVERAGED, rng)
    values, _ = drawn(target, points, rng)
    centre = np.median(points[:, : target.density.size], axis=0)
    return averaged(target.density, values, AVERAGED, own_at(target.bound, centre))
