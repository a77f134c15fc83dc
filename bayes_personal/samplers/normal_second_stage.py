"""The second stage of a cut where a Normal likelihood lets all weights integrate out: they are drawn exactly."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.samplers.second_stage import Drawn, FirstStage, SecondStage


@final
@dataclass(frozen=True, eq=False)
class NormalSecondStage(SecondStage):
    """All else at each of several values of the population.

    Attributes
    ----------
    joint : the model in which mu varies; p(y | mu, phi) is the same whatever its hyperprior
    population : the mean at the predictors' means, (draw, coefficient)
    """

    joint: GaussianDensity
    population: np.ndarray

    @classmethod
    def of(cls, bound: BoundModel, population: np.ndarray) -> Self:
        """Return the second stage of a model of a Normal family."""
        return cls(GaussianDensity(replace(bound, mean_prior=NATURAL_MEAN)), population)

    @cached_property
    def centre(self) -> GaussianDensity:  # pyright: ignore[reportIncompatibleVariableOverride]
        return GaussianDensity(replace(self.joint.bound, population=self.population.mean(axis=0)))

    def whiten(self, population: np.ndarray) -> np.ndarray:
        """Return values of the population, whitened by its prior in `joint`."""
        mean: Any = self.joint.bound.mean
        return (population - mean.arguments["mu"]) / mean.arguments["sigma"]

    @cached_property
    def whitened(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.whiten(self.population)

    def conditional(self, lower: np.ndarray) -> np.ndarray:
        """Return M with M M' the precision L L' of all weights but the eliminated ones, in reverse order, mu last.

        Noise n moves the weights by M'^-1 n; the last entries of n determine mu, and are independent of the others.
        """
        lower = np.tril(lower)[::-1]
        return np.linalg.cholesky(lower @ lower.T)

    def heights(self, points: np.ndarray) -> np.ndarray:
        return self.joint.each_value(points)

    def at(self, points: np.ndarray, heights: np.ndarray) -> FirstStage:
        joint, (count, size) = self.joint, (len(points), self.population.shape[1])
        scaling, s = joint.draws(joint.values(points), count)
        result = FirstStage(heights.copy(), np.empty((count, size)), np.empty((count, size, size)))
        for place in range(count):
            factor = joint.factor(scaling, s, place)
            result.mean[place] = factor.mean[:size]
            root = self.conditional(factor.lower)[-size:, -size:][::-1, ::-1]
            result.root[place] = root
            result.height[place] += np.log(np.diag(root)).sum()
        return result

    def weights(self, points: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the whitened weights exactly, once for each draw of the population and the hyperparameters."""
        joint, (count, size) = self.joint, self.population.shape
        arrangement = joint.arrangement
        scaling, s = joint.draws(joint.values(points), count)
        noise = rng.standard_normal((count, arrangement.size))
        group_noise = rng.standard_normal((count, arrangement.varying, 1, arrangement.groups))
        z = np.empty((count, arrangement.size))
        for draw in range(count):
            factor = joint.factor(scaling, s, draw)
            root, weight_noise = self.conditional(factor.lower), noise[draw, ::-1].copy()
            weight_noise[-size:] = root[-size:, -size:].T @ (self.whitened[draw] - factor.mean[:size])[::-1]
            z[draw] = np.tril(factor.lower).T @ np.linalg.solve(root.T, weight_noise)[::-1]
        return joint.drawn(scaling, s, z, group_noise)

    def drawn(self, rng: np.random.Generator) -> Drawn:
        _, table, ratios = self.hyperparameters(rng)
        points = table.points[ratios.chosen[:, 0]]
        summary = {"pareto_k": ratios.pareto_k, "ess": ratios.least_ess, "largest_k": ratios.largest_k}
        return Drawn(self.joint.values(points) | self.weights(points, rng), summary,
                     "" if ratios.trusted else ratios.problem)
