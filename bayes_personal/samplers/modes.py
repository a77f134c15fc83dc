"""The modes of a density of hyperparameters, as a mixture from which draws are proposed."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.samplers.importance import Weighted
from bayes_personal.samplers.mode import Mode, climbed
from bayes_personal.samplers.proposal import HyperpriorProposal, Proposal, Skewed

# Fresh points before a climb in search of modes, and over how many standard deviations of the hyperpriors.
FRESH, SPREAD = 256, 1.5
# Modes nearer to each other than this, in standard deviations, are one; those with less mass than this do not count;
# a point whose slope is steeper than this, in standard deviations, is no mode.
APART, NEGLIGIBLE, LEVEL = 1.0, 1e-4, 0.3


@final
@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of a density that have been found, as skewed t's."""

    density: HyperparameterDensity
    components: list[Skewed]

    @classmethod
    def search(cls, density: HyperparameterDensity, rng: np.random.Generator) -> Self:
        """Climb from the middle of the natural units, and then from where the density is largest relative to the modes
        found so far (Raftery and Bao 2010), among points spread over the hyperpriors.

        Some coordinates of these points are those of a mode found before. Climbs from random points miss a narrow
        mode: nearly all lead to the broad one.
        """
        prior_points = HyperpriorProposal(density).draw(FRESH, rng)
        centre, spread = prior_points.mean(axis=0), SPREAD * prior_points.std(axis=0)
        first = Mode.find(density.log_density, density.size)
        if not np.isfinite(density.value(first.point)):
            raise FloatingPointError("the density of the hyperparameters is not finite where it is highest")
        modes = cls(density, [Skewed.around(first, density.each_value)])
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
