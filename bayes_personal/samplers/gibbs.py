"""Gibbs: one block of unknowns after the other, from its conditional."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import xarray as xr
from rich.progress import Progress

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.choosing import Choosing, chooses
from bayes_personal.samplers.corrected_walk import CorrectedWalk, walks_under_pseudo_data
from bayes_personal.samplers.draws import settled, tree
from bayes_personal.samplers.networked import Networked, networked
from bayes_personal.samplers.start import hyperpriors_must_reach, outcome_must_have_density
from bayes_personal.samplers.walk_sampling import WalkSampling, walks
from bayes_personal.samplers.walking import Swept
from bayes_personal.system.arguments import whole_number
from bayes_personal.system.running import interruptible

# Sweeps a kept draw at first, and how often they are doubled at most where draws depend on each other too much.
THIN, DOUBLINGS = 2, 7
# Power of the likelihood at which chains start.
LEAST_POWER = 0.02


def moves(bound: BoundModel) -> bool:
    """Say whether there are compiled moves for a model."""
    return walks(bound) or walks_under_pseudo_data(bound) or chooses(bound) or networked(bound)


def swept(bound: BoundModel, rng: np.random.Generator) -> Swept:
    """Return a model as compiled moves take it."""
    if walks_under_pseudo_data(bound):
        return CorrectedWalk.of(bound, rng)
    return Choosing(bound) if chooses(bound) else Networked(bound)


@final
@dataclass(frozen=True)
class Gibbs:
    """Gibbs sampling: one block of unknowns after the other moves by its conditional, with compiled moves.

    For models whose only varying part is a `TotalVariation`, `Mixture`, `Repulsive` or a `Contextualized` without
    archetypes, with one linear predictor a row and a family of this package.

    A walk: given its scales it is a Gaussian chain, which integrates out place by place, at a cost in proportion to the
    number of distinct contexts. A sweep draws each local scale given all other scales and nothing else, by a slice;
    exchanges local scales of neighbouring steps under the horseshoe, which moves a jump to the next context; draws the
    other hyperparameters one by one; and moves each scale together with its local scales. Walk and mean are drawn
    exactly from what the scales leave open. For any other family Normal pseudo-data stand for the rows, made on average
    over a few short chains: under these standard normals draw walk and mean given the scales. A pass over the scales
    leaves these normals as they are, and is a proposal that is accepted or not by the rows' own likelihoods; the
    normals move on ellipses, and the family's own hyperparameters along slices given the walk. Acceptance falls, and
    chains take longer, where a row's likelihood is far from Normal over its posterior, as where all outcomes of many
    neighbouring contexts are the same.

    Rows that are of types: hyperparameters and the gate move along slices of their density with the types summed out.
    Then each row's type is drawn, and given these the coefficients, by a Normal proposal around the end of a step of
    Newton's method that is accepted or not; under a Normal family it is exact. Types that no row takes are drawn from
    their prior, so that they do no harm, and one that is drawn where rows are can take them over: chains pass from one
    way of telling rows apart to another. NUTS diverges where a type is about to become empty.

    A network: one hidden unit after the other moves through its prior on an ellipse, and hyperparameters along slices,
    with the second layer and the mean integrated out, exactly for a Normal family. For others Normal pseudo-data stand
    for the rows, and such moves, a few at a time, are proposals that are accepted or not by the rows' own likelihoods.

    A draw is kept every 2 sweeps. But for a walk under a Normal family these are doubled, up to 256 a draw, as long as
    R-hat is above 1.008 or an effective sample size below 150 a chain; a run that stops by its own diagnostics looks a
    little better in them than it is.

    Parameters
    ----------
    draws, chains
        Kept draws a chain, and chains.
    tune
        Sweeps a chain before these. In the first half the likelihood comes in step by step, so that chains do not stay
        where they start.

    Raises
    ------
    SpecificationError
        Fewer than 4 draws or 1 chain; while fitting, a model of another kind.

    References
    ----------
    Diebolt and Robert (1994), doi:10.1111/j.2517-6161.1994.tb01985.x. Gamerman (1997), doi:10.1023/A:1018509429360.
    Neal (2003), doi:10.1214/aos/1056562461. Van Dyk and Park (2008), doi:10.1198/016214508000000409. Murray, Adams and
    MacKay (2010), doi:10.48550/arXiv.1001.0175. Christen and Fox (2005), doi:10.1198/106186005X76983.
    """

    draws: int = 1000
    chains: int = 4
    tune: int = 1000

    def __post_init__(self) -> None:
        whole_number("Gibbs", 4, draws=self.draws)
        whole_number("Gibbs", 1, chains=self.chains, tune=self.tune)

    def sample(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        if walks(bound):
            return WalkSampling(self.draws, self.chains, self.tune).sample(bound, seed, progress)
        hyperpriors_must_reach(bound)
        if not moves(bound):
            raise SpecificationError(f"{self!r} draws models whose only varying part is a Mixture, Repulsive or a "
                                     "Contextualized without archetypes, or a TotalVariation, with rows in memory, one "
                                     "linear predictor a row, a family of this package and a Normal hyperprior of the "
                                     "mean. Use NUTS() for this one.")
        outcome_must_have_density(bound)
        rngs = [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(self.chains + 1)]
        model = swept(bound, rngs.pop())
        states = [model.start(rng) for rng in rngs]
        rising = np.geomspace(LEAST_POWER, 1.0, self.tune // 2)
        powers = np.concatenate([rising, np.ones(self.tune - len(rising))])
        with Progress(disable=not progress, transient=True) as bar, interruptible():
            task = bar.add_task("tuning", total=None)
            self._walked(model, states, rngs, powers, 1, adapt=True)
            kept: list[Any] = []
            for doubling in range(DOUBLINGS + 1):
                thin = THIN * 2**doubling
                count = self.draws if not kept else self.draws - self.draws // 2
                bar.update(task, description=f"{thin} sweeps a draw", completed=0, total=count)
                # Every second earlier draw has the distance from the next that new ones will have.
                kept = [[[part[1::2] for part in points] for points in chain] for chain in kept] or [
                    [] for _ in states]
                kept = [[_joined(chain)] if chain else [] for chain in kept]
                for start in range(0, count, block := max(1, count // 10)):
                    size = min(block, count - start)
                    new = self._walked(model, states, rngs, np.ones(size * thin), thin, adapt=False)
                    kept = [[*chain, points] for chain, points in zip(kept, new, strict=True)]
                    bar.advance(task, size)
                points = [_joined(chain) for chain in kept]
                values = model.values(tuple(np.concatenate(part) for part in zip(*points, strict=True)))
                result = tree(bound, values, self.chains, None, inference_library="bayes_personal",
                              engine=model.engine, sweeps=thin)
                if settled(result["posterior"].to_dataset(), bound.undiagnosed(False)):
                    break
        return result

    def _walked(self, model: Swept, states: Sequence[Any], rngs: Sequence[np.random.Generator], powers: np.ndarray,
                thin: int, *, adapt: bool) -> list[tuple[np.ndarray, ...]]:
        """Move all chains on, side by side."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda state, rng: model.walk(state, powers, adapt, thin, rng), states, rngs))


def _joined(blocks: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Join the points of a chain, part by part."""
    return [np.concatenate(part) for part in zip(*blocks, strict=True)]
