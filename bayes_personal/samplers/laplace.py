"""Laplace: near-independent draws of the hyperparameters by importance sampling around their modes."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.sufficient import LARGEST
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.errors import ConvergenceWarning, SpecificationError, warn
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.importance import LARGEST_K, LEAST_ESS, Pool, Weighted
from bayes_personal.samplers.mode import Mode, climbed
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.proposal import HyperpriorProposal, Proposal, Skewed
from bayes_personal.samplers.redrawn import remainder
from bayes_personal.samplers.start import hyperpriors_must_reach
from bayes_personal.system.arguments import flag, whole_number

# Fresh points before a climb in search of modes, and over how many standard deviations of the hyperpriors.
FRESH, SPREAD = 256, 1.5
# Modes nearer to each other than this, in standard deviations, are one; those with less mass than this do not count;
# a point whose slope is steeper than this, in standard deviations, is no mode.
APART, NEGLIGIBLE, LEVEL = 1.0, 1e-4, 0.3
# Rounds of adaptation end where the effective sample size grows by less than this factor, or is this share of draws.
ROUNDS, GROWTH, GOOD = 10, 1.1, 0.75
# Times as many draws where the first ones cannot be trusted.
AGAIN = 4


@final
@dataclass(frozen=True)
class Laplace:
    """Importance sampling of the hyperparameters, the weights integrated out exactly.

    Proposals are a mixture: around every mode that is found, a t that is skewed along each of its axes, and a tenth of
    the draws from the hyperpriors. They are adapted to up to ten rounds of draws, and then judged by fresh ones: those
    are what is kept, weighted by Pareto-smoothed importance ratios. The weights of the model are drawn from their exact
    conditional. Nothing compiles, and the draws are nearly independent. The log evidence is a by-product.

    Right for a Normal family with up to about twenty-five hyperparameters, scales near zero and several modes included.
    Refused where the ratios say that the proposals do not cover the posterior: Pareto k above 0.5 or an effective
    sample size below 400, twice, the second time with four times as many draws. It then says so and hands over to NUTS.
    Fails where a mode is so narrow, or so far from what the hyperpriors expect, that neither the search for modes nor
    the draws come near it: no ratio tells of that.

    Parameters
    ----------
    draws
        Kept draws, as one chain, resampled in proportion to their weights.
    proposals
        Draws that are weighted, a power of two; half as many in each round of adaptation. By default 4096; where
        there are change points in 400 contexts or more 1024, and a quarter of them in each round.
    fallback
        Whether to hand over to NUTS where the importance sampling cannot be trusted; if not, that is an error.

    Raises
    ------
    SpecificationError
        Fewer than 4 draws; proposals that are no power of two from 1024 on; a model whose weights do not integrate out;
        with ``fallback=False``, importance ratios that cannot be trusted.

    Warns
    -----
    ConvergenceWarning
        NUTS took over.

    References
    ----------
    Geweke (1989), doi:10.2307/1913710. Hesterberg (1995), doi:10.1080/00401706.1995.10484303. Raftery and Bao (2010),
    doi:10.1111/j.1541-0420.2010.01399.x. Cornuet, Marin, Mira and Robert (2012),
    doi:10.1111/j.1467-9469.2011.00756.x. Vehtari, Simpson, Gelman, Yao and Gabry (2024), JMLR 25(72):1,
    doi:10.48550/arXiv.1507.02646. Rue, Martino and Chopin (2009), doi:10.1111/j.1467-9868.2008.00700.x.
    """

    draws: int = 2000
    proposals: int | None = None
    fallback: bool = True

    def __post_init__(self) -> None:
        whole_number("Laplace", 4, draws=self.draws)
        whole_number("Laplace", 1024, **({} if self.proposals is None else {"proposals": self.proposals}))
        if self.proposals is not None and self.proposals & (self.proposals - 1):
            raise SpecificationError(f"Laplace: proposals={self.proposals} must be a power of two, such as 4096.")
        flag("Laplace", fallback=self.fallback)

    def sample(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        hyperpriors_must_reach(bound)
        density = marginal_density(bound)
        if density is None:
            raise SpecificationError(
                "Laplace integrates the weights out: it needs a Normal family, a Normal hyperprior of the mean and at "
                f"most {LARGEST} weights beside those of one set of groups. Use NUTS() or ADVI().")
        if density.size == 0:
            return NUTS(draws=self.draws, chains=1).sample(bound, seed, progress)
        rng = np.random.default_rng(seed)
        weighted = self.weighted(density, rng)
        if not weighted.trusted:
            return self.refused(weighted, bound, seed, progress)
        values = density.values(weighted.resample(self.draws, rng))
        exact_draws, attributes = remainder(density, values, self.draws, rng)
        result = tree(bound, values | exact_draws, 1, None, inference_library="bayes_personal", **attributes)
        result["importance"] = xr.DataTree(xr.Dataset(attrs={
            "pareto_k": weighted.pareto_k, "ess": weighted.ess, "proposals": len(weighted.points),
            "log_evidence": weighted.log_evidence, "log_evidence_se": weighted.log_evidence_se}))
        return result

    def weighted(self, density: MarginalDensity, rng: np.random.Generator) -> Weighted:
        """Sample by importance: proposals are adapted to rounds of draws, and judged by draws they have not seen."""
        effort = density.effort
        proposals = self.proposals or effort.proposals
        modes, pool, best = Modes.search(density, rng), Pool.empty(density.size), 0.0
        mixture = modes.mixture
        for _ in range(ROUNDS):
            points = mixture.draw(proposals // effort.fewer, rng)
            values = density.each_value(points)
            round_draws = Weighted.of(points, values, mixture.log_density(points))
            pool = pool.with_round(mixture, points, values)
            mixture = modes.grown(mixture.adapted(pool.points, pool.weighted.weights), round_draws)
            if round_draws.ess < GROWTH * best or round_draws.ess > GOOD * len(points):
                break
            best = max(best, round_draws.ess)
        for count in (proposals, AGAIN * proposals):
            points = mixture.draw(count, rng)
            weighted = Weighted.of(points, density.each_value(points), mixture.log_density(points))
            if weighted.trusted:
                break
            mixture = modes.grown(mixture.adapted(points, weighted.weights), weighted)
        return weighted

    def refused(self, weighted: Weighted, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Hand over to NUTS, or refuse, where the importance ratios cannot be trusted."""
        problem = (f"Laplace: Pareto k is {weighted.pareto_k:.2f} (at most {LARGEST_K}) and the effective sample size "
                   f"{weighted.ess:.0f} (at least {LEAST_ESS:.0f}): the posterior is not near a mixture of skewed t's")
        if not self.fallback:
            raise SpecificationError(f"{problem}. Use NUTS().")
        warn(f"{problem}; NUTS takes over.", ConvergenceWarning)
        return NUTS().sample(bound, seed, progress)


@final
@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of a density that have been found, as skewed t's."""

    density: MarginalDensity
    components: list[Skewed]

    @classmethod
    def search(cls, density: MarginalDensity, rng: np.random.Generator) -> Self:
        """Climb from the middle of the natural units, and then from where the density is largest relative to the modes
        found so far (Raftery and Bao 2010), among points spread over the hyperpriors.

        Some coordinates of these points are those of a mode found before. Climbs from random points miss a narrow
        mode: nearly all lead to the broad one.
        """
        prior_points = HyperpriorProposal(density).draw(FRESH, rng)
        centre, spread = prior_points.mean(axis=0), SPREAD * prior_points.std(axis=0)
        modes = cls(density, [Skewed.around(Mode.find(density.log_density, density.size), density.each_value)])
        points, values = np.zeros((0, density.size)), np.zeros(0)
        for start in density.starts:
            modes.climb(start)
        for _ in range(density.effort.climbs):
            candidates = rng.normal(centre, spread, (FRESH, density.size))
            centres = np.array([mode.point for mode in modes.components])
            centres = centres[rng.integers(len(centres), size=FRESH)]
            candidates = np.where(rng.random(candidates.shape) < rng.random((FRESH, 1)), centres, candidates)
            points = np.concatenate([points, candidates])
            values = np.concatenate([values, density.each_value(candidates)])
            parts = [modes.mass(mode) + mode.log_density(points) for mode in modes.components]
            farthest = np.argmax(values - np.logaddexp.reduce(parts, axis=0))
            modes.climb(points[farthest])
            values[farthest] = -np.inf
        return modes

    def climb(self, start: np.ndarray) -> Skewed | None:
        """Climb to a mode, keep and return it; None if it was found before, or the climb ends elsewhere."""
        top = climbed(self.density.log_density, start)
        if any(np.linalg.norm(np.linalg.solve(mode.root, top - mode.point)) < APART for mode in self.components):
            return None
        mode, (height, slope) = Mode.at(self.density.log_density, top), self.density.log_density(top)
        # Elsewhere than at a mode the curvature says nothing of the mass.
        if height == -np.inf or np.linalg.norm(slope @ mode.root) > LEVEL:
            return None
        self.components.append(Skewed.around(mode, self.density.each_value))
        return self.components[-1]

    def mass(self, mode: Skewed) -> float:
        """Return the log integral of a density that falls off from the mode as its t does."""
        return self.density.value(mode.point) - float(mode.log_density(mode.point[None])[0])

    @property
    def mixture(self) -> Proposal:
        """The modes in proportion to their mass, except those of negligible mass."""
        masses = np.array([self.mass(mode) for mode in self.components])
        shares = np.exp(masses - masses.max())
        relevant = shares > NEGLIGIBLE * shares.sum()
        components = tuple(mode for mode, keep in zip(self.components, relevant, strict=True) if keep)
        return Proposal(components, shares[relevant], HyperpriorProposal(self.density))

    def grown(self, mixture: Proposal, weighted: Weighted) -> Proposal:
        """Add the mode above the draw of largest weight, if it is new and has mass."""
        mode = self.climb(weighted.heaviest)
        share = 0.0 if mode is None else np.exp(min(self.mass(mode) - weighted.log_evidence, 0.0))
        return mixture if mode is None or share < NEGLIGIBLE else mixture.joined(mode, share)
