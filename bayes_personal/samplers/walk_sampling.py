"""Gibbs sampling of the scales of a walk, one by one, with the walk itself integrated out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import xarray as xr
from rich.progress import Progress

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.walk.walk_density import WalkDensity
from bayes_personal.kernels import walk_scales
from bayes_personal.samplers.corrected_walk import CorrectedWalk
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.scales_of_steps import Scales
from bayes_personal.samplers.start import hyperpriors_must_reach

# Kept draws between which the sampler can be interrupted, and first widths of slices.
TOGETHER, WIDTH = 20, 1.0
ENGINE = "Gibbs sampling of the scales of steps; the walk drawn exactly given these"


def walks(bound: BoundModel) -> bool:
    """Say whether a model is a walk alone under a Normal likelihood, which integrates out exactly."""
    return isinstance(marginal_density(bound), WalkDensity)


@final
@dataclass(frozen=True)
class WalkSampling:
    """A fixed number of sweeps over a `TotalVariation` walk, as `Gibbs` describes them.

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
        hyperpriors_must_reach(bound)
        rng, density = np.random.default_rng(seed), marginal_density(bound)
        if density is None:
            model = CorrectedWalk.of(bound, rng)
            points = zip(*(self._corrected(model, each) for each in rng.spawn(self.chains)), strict=True)
            return tree(bound, model.values(tuple(np.concatenate(part) for part in points)), self.chains,
                        inference_library="bayes_personal", engine=model.engine)
        assert isinstance(density, WalkDensity)
        points = self.walk(density, rng, progress)
        values = density.values(points)
        values |= density.draw_rest(values, len(points), rng)
        return tree(bound, values, self.chains, inference_library="bayes_personal", collapsed=1, engine=ENGINE)

    def _corrected(self, model: CorrectedWalk, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Draw one chain under the rows' own likelihoods."""
        state = model.start(rng)
        model.walk(state, model.rising(self.tune), True, self.tune, rng)
        return model.walk(state, np.ones(self.draws * self.thin), False, self.thin, rng)

    def walk(self, density: WalkDensity, rng: np.random.Generator, progress: bool,
             starts: np.ndarray | None = None) -> np.ndarray:
        """Draw points of the sampler's scale, (chain * draw, size), from points (chain, size) if these are given."""
        scales = Scales(density)
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("sweeps", total=self.chains * (self.tune + self.draws * self.thin))
            generators = rng.spawn(self.chains)
            points = [scales.start(each) for each in generators] if starts is None else starts
            return np.concatenate([self._chain(scales, point, generator, partial(bar.advance, task))
                                   for point, generator in zip(points, generators, strict=True)])

    def _chain(self, scales: Scales, start: np.ndarray, rng: np.random.Generator,
               advance: Callable[[int], Any]) -> np.ndarray:
        """Draw one chain from a point (size,), (draw, size)."""
        point, log_local = scales.parted(start)
        widths = np.full(len(point), WIDTH)

        def swept(kept: int, thin: int, learning: bool) -> np.ndarray:
            points, log_locals = np.empty((kept, len(point))), np.empty((kept, *log_local.shape))
            walk_scales.sweeps(scales.steps, point, log_local, widths, kept, thin, learning, rng, points, log_locals)
            advance(kept * thin)
            return scales.joined(points, log_locals)

        for done in range(0, self.tune, TOGETHER):
            swept(min(TOGETHER, self.tune - done), 1, True)
        return np.concatenate([swept(min(TOGETHER, self.draws - done), self.thin, False)
                               for done in range(0, self.draws, TOGETHER)])
