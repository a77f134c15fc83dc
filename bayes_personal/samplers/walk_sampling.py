"""Gibbs sampling of the scales of a walk, one by one, with the walk itself integrated out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, final

import numpy as np
import xarray as xr
from rich.progress import Progress

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.linearised.chains import chained
from bayes_personal.densities.linearised.corrected_chain import CorrectedChain
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.walk.walk_density import WalkDensity, walk_alone
from bayes_personal.errors import ConvergenceWarning, warn
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import walk_scales
from bayes_personal.kernels.tape import Tape
from bayes_personal.samplers.corrected import Sample
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.importance import Weighted
from bayes_personal.samplers.linearising import at_mode, averaged
from bayes_personal.samplers.nuts import NUTS, STUCK, worst_r_hat
from bayes_personal.samplers.start import hyperpriors_must_reach

# Kept draws between which the sampler can be interrupted, and first widths of slices.
TOGETHER, WIDTH = 20, 1.0
# Draws over which pseudo-data are averaged, and how often.
AVERAGED, AVERAGES = 200, 3
WEIGHTED = ("Gibbs sampling of the scales of steps under Normal pseudo-data; the walk drawn given these, and all "
            "weighted by the rows' own likelihoods")
ENGINE = "Gibbs sampling of the scales of steps; the walk drawn exactly given these"


def walks(bound: BoundModel) -> bool:
    """Say whether a model is a walk alone, which integrates out exactly or under pseudo-data."""
    return isinstance(marginal_density(bound), WalkDensity) or walks_under_pseudo_data(bound)


def walks_under_pseudo_data(bound: BoundModel) -> bool:
    """Say whether pseudo-data can stand for the rows of a walk: the family has a compiled likelihood, and no
    hyperparameters of its own."""
    return chained(bound) and walk_alone(bound) and not bound.family_parameters


def walk_of(density: LinearisedDensity) -> WalkDensity:
    """Return the model of the pseudo-data."""
    assert isinstance(density.chain, WalkDensity)
    return density.chain


@final
@dataclass(frozen=True)
class WalkSampling:
    """Gibbs sampling of the scales of a `TotalVariation` walk, as `Gibbs` describes it.

    Attributes
    ----------
    draws, chains : kept draws a chain, and chains
    tune : sweeps before the first kept draw of a chain, in which the widths of slices are learned
    thin : sweeps for each kept draw
    """

    draws: int = 1000
    chains: int = 4
    tune: int = 300
    thin: int = 2

    def sample(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        density = marginal_density(bound)
        if density is None and walks_under_pseudo_data(bound):
            return self._corrected(bound, seed, progress)
        assert isinstance(density, WalkDensity)
        hyperpriors_must_reach(bound)
        rng = np.random.default_rng(seed)
        points = self.walk(density, rng, progress)
        values = density.values(points)
        values |= density.draw_rest(values, len(points), rng)
        return tree(bound, values, self.chains, inference_library="bayes_personal", collapsed=1, engine=ENGINE)

    def _corrected(self, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw scales and walk under pseudo-data, weighted by the rows' own likelihoods."""
        hyperpriors_must_reach(bound)
        rng = np.random.default_rng(seed)
        try:
            sample = self._weighted(bound, rng, progress)
        except FloatingPointError as error:
            return self._refused(f"no pseudo-data stand for the rows: {error}", bound, seed, progress)
        stuck = worst_r_hat(sample.weighted.points[:, : sample.target.density.size], self.chains)
        if stuck > STUCK:
            return self._refused(f"chains under pseudo-data do not agree: R-hat is {stuck:.2f}", bound, seed, progress)
        if not sample.trusted:
            return self._refused(sample.problem, bound, seed, progress)
        values, _ = sample.values(sample.weighted.resample_chains(self.chains, rng), rng)
        result = tree(bound, values, self.chains, inference_library="bayes_personal", collapsed=1, engine=WEIGHTED)
        result["correction"] = xr.DataTree(xr.Dataset(attrs=sample.summary))
        return result

    def _weighted(self, bound: BoundModel, rng: np.random.Generator, progress: bool) -> Sample:
        """Draw scales under pseudo-data that are averaged over a few short chains, and weigh the draws."""
        size = sum(parameter.size for parameter in bound.parameters)
        point = np.zeros(size)
        density, _ = at_mode(bound, point, bound.once(RowLikelihoods).row_estimates(np.zeros(0)))
        short = replace(self, draws=AVERAGED, chains=1, tune=AVERAGED // 2, thin=1)
        starts = None
        for _ in range(AVERAGES):
            points = short.walk(walk_of(density), rng, False, starts)
            values = density.values(points)
            values |= walk_of(density).draw_rest(values, len(points), rng)
            density, starts = averaged(density, values, len(points), np.zeros(0)), points[-1:]
        points = self.walk(walk_of(density), rng, progress)
        target = CorrectedChain(density)
        u = rng.standard_normal((len(points), density.weights))
        log_weights = target.log_average(np.concatenate([points, u], axis=1))
        return Sample(target, Weighted.of(np.concatenate([points, u], axis=1), log_weights, np.zeros(len(u))), 0.0)

    def _refused(self, problem: str, bound: BoundModel, seed: int | None, progress: bool) -> xr.DataTree:
        """Hand over to NUTS where the importance ratios cannot be trusted."""
        warn(f"Gibbs: {problem}; NUTS takes over, over the steps too, which takes long.", ConvergenceWarning)
        return NUTS(collapse=False).sample(bound, seed, progress)

    def walk(self, density: WalkDensity, rng: np.random.Generator, progress: bool,
             starts: np.ndarray | None = None) -> np.ndarray:
        """Draw points of the sampler's scale, (chain * draw, size), from points (chain, size) if these are given."""
        scales = Scales(density)
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("sweeps", total=self.chains * (self.tune + self.draws * self.thin))
            generators = rng.spawn(self.chains)
            points = [scales.start(each) for each in generators] if starts is None else starts
            return np.concatenate([scales.chain(self, np.array(point), generator, partial(bar.advance, task))
                                   for point, generator in zip(points, generators, strict=True)])


@final
@dataclass(frozen=True, eq=False)
class Scales:
    """What the compiled sweeps need of a density."""

    density: WalkDensity

    @property
    def local(self) -> slice:
        """The entries of a point that are logarithms of local scales."""
        scale, local = self.density.parameters[:2]
        return slice(scale.size, scale.size + local.size)

    @cached_property
    def tape(self) -> Tape:
        """Log prior, error and scales in natural units, as functions of all entries of a point but the local scales."""
        density, (scale, _, *own) = self.density, self.density.parameters
        parameters: tuple[Parameter, ...] = scale, *own

        def results(point: Any) -> list[Any]:
            values, total, start = {}, 0.0, 0
            for parameter in parameters:
                part = point[None, start : start + parameter.size]
                values[parameter.name] = parameter.value(part)
                total = total + parameter.log_density(values[parameter.name], part)
                start += parameter.size
            natural = values[scale.name] / density.walk.unit
            return [entry for each in (total, density.sigma(values), natural)
                    for entry in np.ravel(np.asarray(each, object))]

        return Tape.of(results, sum(parameter.size for parameter in parameters))

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a point (size,) at which a chain starts: local scales from their hyperprior, and others widely."""
        point = rng.standard_normal(self.density.size)
        point[self.local] = np.log(self.density.parameters[1].draw(rng)).ravel()
        return point

    def chain(self, settings: WalkSampling, start: np.ndarray, rng: np.random.Generator,
              advance: Callable[[int], Any]) -> np.ndarray:
        """Draw one chain from a point (size,), (draw, size)."""
        density, (_, local, *_) = self.density, self.density.parameters
        log_local, point = start[self.local].reshape(local.shape).copy(), np.delete(start, self.local)
        widths = np.full(len(point), WIDTH)
        horseshoe = density.walk.prior.increments == "horseshoe"
        arguments = (self.tape.arrays, int(horseshoe), density.walk.divisor, density.start, density.sums.products,
                     density.shares, float(density.sums.count))

        def swept(kept: int, thin: int, learning: bool) -> np.ndarray:
            points, log_locals = np.empty((kept, len(point))), np.empty((kept, *log_local.shape))
            walk_scales.sweeps(point, log_local, widths, *arguments, kept, thin, learning, horseshoe, rng, points,
                               log_locals)
            advance(kept * thin)
            before = points[:, : self.local.start]
            return np.hstack([before, log_locals.reshape(kept, -1), points[:, before.shape[1] :]])

        for done in range(0, settings.tune, TOGETHER):
            swept(min(TOGETHER, settings.tune - done), 1, True)
        return np.concatenate([swept(min(TOGETHER, settings.draws - done), settings.thin, False)
                               for done in range(0, settings.draws, TOGETHER)])
