"""Laplace: near-independent draws of the hyperparameters by importance sampling around their modes."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
import xarray as xr
from rich.progress import Progress

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.gaussian.arrangement import LARGEST
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.linearised.linearised_density import linearises
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.errors import ConvergenceWarning, SpecificationError, warn
from bayes_personal.samplers.coarse import coarse
from bayes_personal.samplers.corrected import AGAIN, Sample, corrected
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.expanding import divided
from bayes_personal.samplers.importance import Pool, Weighted
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.modes import Modes
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.redrawn import remainder
from bayes_personal.samplers.start import hyperpriors_must_reach
from bayes_personal.system.arguments import flag, whole_number

# Rounds of adaptation end where the effective sample size grows by less than this factor, or is this share of draws.
# Where it then is a poor share, the draws of a density with ridges are clustered once, and rounds go on.
GROWTH, GOOD, POOR = 1.1, 0.75, 0.35
# What draws the posterior, where all but the hyperparameters integrates out, and where pseudo-data stand for the rows.
EXACT = "importance sampling of the hyperparameters; all else drawn exactly given these"
WEIGHTED = ("importance sampling of the hyperparameters and weights under Normal pseudo-data, weighted by the rows' "
            "own likelihoods")
DIVIDED = ("importance sampling of the hyperparameters and divisions under expansions of the cells' likelihoods, "
           "weighted by the rows' own")


@final
@dataclass(frozen=True)
class Laplace:
    """Importance sampling around modes, of hyperparameters for a Normal family, and of weights too for others.

    Proposals are a mixture: around every mode that is found, a t that is skewed along each of its axes, and a tenth of
    the draws from the hyperpriors. They are adapted to up to ten rounds of draws, and then judged by fresh ones: those
    are what is kept, weighted by Pareto-smoothed importance ratios. The weights of the model are drawn from their exact
    conditional. Nothing compiles, and the draws are nearly independent. The log evidence is a by-product.

    A density with a hundred weights or more takes milliseconds. Where rows are fewer than these, a matrix of rows is
    factored in place of one of weights; where they are more, modes are sought and proposals adapted with those weights
    alone of which rows tell most, if that density is near enough, and all weights count in what is kept.

    Where the family is another one whose linear predictor is linear in weights, every row's likelihood is replaced by
    that of a Normal pseudo-observation, whose slope and curvature agree with it on average over the posterior. Under
    these pseudo-data the weights integrate out as above; draws of hyperparameters and weights are then weighted by the
    likelihoods of the rows themselves, so that the result is the posterior of the model as stated. Of several terms
    with groups, the weights of the one with most are integrated out of its rows' likelihoods by adaptive Gauss-Hermite
    quadrature, with as many nodes as its error asks for, and drawn at the end by short chains that start anew at every
    draw. What more nodes add may be a polynomial of all other unknowns that is fitted to some of the draws; the error
    that is told includes what it misses. It is the default of such models. ``tree["importance"]`` has what the weights,
    the quadrature and the chains say of themselves.

    Where a division of contexts, as of `Partition`, is summed out and its cells do not integrate out of the family, the
    log likelihood of every cell becomes a parabola. Draws of hyperparameters under these, each with a division and
    coefficients of its cells, are weighted by the likelihoods of the rows themselves; where these weights cannot be
    trusted there is no other sampler, and that is an error.

    Right for a Normal family with up to about twenty-five hyperparameters, scales near zero and several modes included;
    for other families with up to a thousand weights beside those of one set of groups, where rows are no fewer than
    these weights. Refused where the ratios say that the proposals do not cover the posterior: Pareto k above 0.5 or an
    effective sample size below 400, twice, the second time with four times as many draws; where quadrature leaves an
    error above 0.02 in the log likelihood; and where a chain of 200 steps would not forget its start. It then says so
    and hands over to NUTS.
    Fails where a mode is so narrow, or so far from what the hyperpriors expect, that neither the search for modes nor
    the draws come near it: no ratio tells of that.

    Parameters
    ----------
    draws
        Kept draws, as one chain, resampled in proportion to their weights.
    proposals
        Draws that are weighted, a power of two; half as many in each round of adaptation. By default 4096; where there
        are change points in 400 contexts or more 1024, and a quarter of them in each round; where pseudo-data stand for
        the rows, or parabolas for cells, 2048, after rounds of 512, and four times as many of both where a term has
        curved ridges.
    fallback
        Whether to hand over to NUTS where the importance sampling cannot be trusted; if not, that is an error.

    Raises
    ------
    SpecificationError
        Fewer than 4 draws; proposals that are no power of two from 1024 on; a model whose weights do not integrate out;
        with ``fallback=False``, or where cells of divisions do not integrate out, importance ratios that cannot be
        trusted.

    Warns
    -----
    ConvergenceWarning
        NUTS took over.

    References
    ----------
    Geweke (1989), doi:10.2307/1913710. Hesterberg (1995), doi:10.1080/00401706.1995.10484303. Raftery and Bao (2010),
    doi:10.1111/j.1541-0420.2010.01399.x. Cornuet, Marin, Mira and Robert (2012),
    doi:10.1111/j.1467-9469.2011.00756.x. Vehtari, Simpson, Gelman, Yao and Gabry (2024), JMLR 25(72):1,
    doi:10.48550/arXiv.1507.02646. Liu and Pierce (1994), doi:10.1093/biomet/81.3.624. Opper and Archambeau (2009),
    doi:10.1162/neco.2008.08-07-592. Rue, Martino and Chopin (2009), doi:10.1111/j.1467-9868.2008.00700.x.
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
        if expands(bound):
            return self._divided(bound, seed, progress)
        if density is None and linearises(bound):
            return self._corrected(bound, seed, progress)
        if density is None:
            raise SpecificationError(
                "Laplace integrates weights out, or corrects them: it needs weights in which the linear predictor is "
                f"linear, at most {LARGEST} beside those of one set of groups, a Normal hyperprior of the mean, and a "
                "family whose likelihood is compiled. Use NUTS() or ADVI().")
        if density.size == 0:
            return NUTS(draws=self.draws, chains=1).sample(bound, seed, progress)
        rng = np.random.default_rng(seed)
        weighted = self.weighted(density, rng)
        if not weighted.trusted:
            return self._refused(weighted.problem, bound, seed, progress)
        values = density.values(weighted.resample(self.draws, rng))
        exact_draws, attributes = remainder(density, values, self.draws, rng)
        return self._tree(bound, values | exact_draws, weighted, {"engine": EXACT, **attributes})

    def _corrected(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw hyperparameters and weights under pseudo-data, weighted by the rows' own likelihoods."""
        rng = np.random.default_rng(seed)
        try:
            sample = self._sampled(bound, rng, progress)
        except FloatingPointError as error:
            return self._refused(f"no pseudo-data stand for the rows: {error}", bound, seed, progress)
        if sample.trusted:
            values, ratio = sample.values(sample.weighted.resample(self.draws, rng), rng)
            sample = replace(sample, largest_ratio=ratio)
        if not sample.trusted:
            return self._refused(sample.problem, bound, seed, progress)
        result = self._tree(bound, values, sample.weighted, {"engine": WEIGHTED})
        result["importance"].attrs |= sample.summary
        return result

    def _divided(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw hyperparameters, divisions and cells, weighted by the rows' own likelihoods."""
        rng = np.random.default_rng(seed)
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("weigh draws", total=None)
            sample = divided(bound, self.proposals, rng, partial(bar.advance, task))
        if not sample.weighted.trusted:
            assert bound.division is not None
            raise SpecificationError(
                f"Laplace: {sample.weighted.problem}. Divisions under {bound.family!r} have no other sampler: state "
                f"hyperpriors that say more, as of the scale of {bound.division.prior.owner}, ask for longer segments "
                "or fewer halvings, or take a prior that fits every family, such as TotalVariation(order) or "
                "GaussianProcess(*context).")
        return self._tree(bound, sample.values(self.draws, rng), sample.weighted, {"engine": DIVIDED})

    def _sampled(self, bound: BoundModel, rng: np.random.Generator, progress: bool) -> Sample:
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("find pseudo-data", total=None)
            density, _ = linearised(bound, rng)
            effort = density.effort
            count = self.proposals or effort.proposals
            bar.update(task, description="weigh draws", total=effort.adapting + count)
            return corrected(density, count, AGAIN, rng, partial(bar.advance, task))

    def _tree(self, bound: BoundModel, values: dict[str, np.ndarray], weighted: Weighted,
              attributes: dict[str, Any]) -> xr.DataTree:
        result = tree(bound, values, 1, None, inference_library="bayes_personal", **attributes)
        result["importance"] = xr.DataTree(xr.Dataset(attrs={
            "pareto_k": weighted.pareto_k, "largest_k": weighted.largest_k, "ess": weighted.ess,
            "proposals": len(weighted.points),
            "log_evidence": weighted.log_evidence, "log_evidence_se": weighted.log_evidence_se}))
        return result

    def weighted(self, density: MarginalDensity, rng: np.random.Generator) -> Weighted:
        """Sample by importance: proposals are adapted to rounds of draws, and judged by draws they have not seen."""
        effort = density.effort
        proposals = self.proposals or effort.proposals
        near = coarse(density, rng)
        modes, pool, best = Modes.search(near, rng), Pool.empty(density.size), 0.0
        mixture, clustered = modes.mixture, False
        for _ in range(effort.rounds):
            points = mixture.draw(proposals // effort.fewer, rng)
            values = near.each_value(points)
            round_draws = Weighted.of(points, values, mixture.log_density(points))
            pool = pool.with_round(mixture, points, values)
            mixture = modes.grown(mixture.adapted(pool.points, pool.weighted.weights), round_draws)
            if round_draws.ess > GOOD * len(points):
                break
            if round_draws.ess < GROWTH * best:
                if clustered or not effort.ridged or round_draws.ess > POOR * len(points):
                    break
                clustered, best = True, 0.0
                mixture = mixture.clustered(pool.points, pool.weighted.weights, rng)
            best = max(best, round_draws.ess)
        for count in (proposals, AGAIN * proposals):
            points = mixture.draw(count, rng)
            weighted = Weighted.of(points, density.each_value(points), mixture.log_density(points))
            if weighted.trusted:
                break
            mixture = modes.grown(mixture.adapted(points, weighted.weights), weighted).widened
        return weighted

    def _refused(self, problem: str, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Hand over to NUTS, or refuse, where the importance ratios cannot be trusted."""
        if not self.fallback:
            raise SpecificationError(f"Laplace: {problem}. Use NUTS().")
        warn(f"Laplace: {problem}; NUTS takes over.", ConvergenceWarning)
        # Where pseudo-data stand for the rows, draws that NUTS makes under these would be refused too.
        return NUTS(collapse=marginal_density(bound) is not None).sample(bound, seed, progress)
