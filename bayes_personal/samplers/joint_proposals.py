"""Proposals of hyperparameters together with weights, standardised given these and pseudo-data."""

from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
from scipy import special

from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.samplers.modes import Modes
from bayes_personal.samplers.proposal import HyperpriorProposal, Proposal, Proposes, Skewed

# Up to this many weights one mixture proposes them together with the hyperparameters.
FEW = 10
# Share and degrees of freedom of the t's among the proposals of weights.
SHARE, DEGREES = 0.15, 5.0
# Effective draws below which the proposals of weights stay as they are: a number for each weight, and beside these.
A_WEIGHT, BESIDE = 4, 50


@final
@dataclass(frozen=True, eq=False)
class WeightProposal:
    """u = mean + sd e, where e is standard normal, and in a share of the draws a t, in case u has heavy tails."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def standard(cls, size: int) -> Self:
        """Return proposals that are right where the pseudo-data are."""
        return cls(np.zeros(size), np.ones(size))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return independent draws, (count, size)."""
        e = rng.standard_normal((count, len(self.mean)))
        wide = rng.random(count) < SHARE
        e[wide] *= np.sqrt(DEGREES / rng.chisquare(DEGREES, wide.sum()))[:, None]
        return self.mean + self.sd * e

    def log_density(self, u: np.ndarray) -> np.ndarray:
        """Return log q(u), (draw,)."""
        size, square = len(self.mean), (((u - self.mean) / self.sd) ** 2).sum(axis=1)
        log_t = (special.gammaln((DEGREES + size) / 2) - special.gammaln(DEGREES / 2)
                 - 0.5 * size * np.log(DEGREES * np.pi) - 0.5 * (DEGREES + size) * np.log1p(square / DEGREES))
        log_normal = -0.5 * square - 0.5 * size * np.log(2 * np.pi)
        return np.logaddexp(np.log(1 - SHARE) + log_normal, np.log(SHARE) + log_t) - np.log(self.sd).sum()

    def adapted(self, u: np.ndarray, weights: np.ndarray) -> "WeightProposal":
        """Return the distribution with mean and sd of weighted draws, if enough of them count."""
        size, count = len(self.mean), 1 / (weights**2).sum()
        if count < A_WEIGHT * size + BESIDE:
            return self
        mean = weights @ u
        variance, kept = weights @ (u - mean) ** 2, count / (count + size)
        return WeightProposal(kept * mean, np.sqrt(kept * variance + 1 - kept))


@final
@dataclass(frozen=True, eq=False)
class Apart:
    """Hyperparameters and weights proposed independently of each other, for many weights."""

    hyper: Proposal | None
    of_weights: WeightProposal
    size: int

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, (count, size + weight)."""
        hyper = np.zeros((count, 0)) if self.hyper is None else self.hyper.draw(count, rng)
        return np.concatenate([hyper, self.of_weights.draw(count, rng)], axis=1)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        of_hyper = 0.0 if self.hyper is None else self.hyper.log_density(points[:, : self.size])
        return of_hyper + self.of_weights.log_density(points[:, self.size :])

    def adapted(self, points: np.ndarray, weights: np.ndarray) -> "Apart":
        """Return both fitted to weighted draws."""
        hyper = None if self.hyper is None else self.hyper.adapted(points[:, : self.size], weights)
        return Apart(hyper, self.of_weights.adapted(points[:, self.size :], weights), self.size)

    @property
    def widened(self) -> "Apart":
        """The same with wider proposals of hyperparameters; those of weights have tails already."""
        return self if self.hyper is None else replace(self, hyper=self.hyper.widened)


@final
@dataclass(frozen=True, eq=False)
class JointPrior:
    """The hyperpriors, and beside them the weights as pseudo-data have them: the defence of a mixture over both."""

    hyper: HyperpriorProposal
    of_weights: WeightProposal

    def place(self, uniform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return as many draws as there are rows of uniform numbers."""
        count, size = len(uniform), self.hyper.density.size
        hyper = self.hyper.draw(count, rng) if size else np.zeros((count, 0))
        return np.concatenate([hyper, self.of_weights.draw(count, rng)], axis=1)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        size = self.hyper.density.size
        return self.hyper.log_density(points[:, :size]) + self.of_weights.log_density(points[:, size:])


def together(mixture: Proposal, density: LinearisedDensity, weights: int) -> Proposal:
    """Return a mixture over hyperparameters as one over hyperparameters and weights."""
    size = density.size
    components = []
    for component in mixture.components:
        root = np.eye(size + weights)
        root[:size, :size] = component.root
        standard = Skewed.standard(weights)
        sides = np.append(component.below, standard.below), np.append(component.above, standard.above)
        components.append(Skewed(np.append(component.point, standard.point), root, *sides))
    prior = JointPrior(HyperpriorProposal(density), WeightProposal.standard(weights))
    return Proposal(tuple(components), mixture.weights, prior)


def proposals(density: LinearisedDensity, rng: np.random.Generator) -> Proposes:
    """Return the first proposals: those of the posterior under the pseudo-data, made wider."""
    mixture = Modes.search(density, rng).mixture if density.size else Proposal((Skewed.standard(0),), np.ones(1))
    return with_weights(mixture, density)


def fitted(density: LinearisedDensity, points: np.ndarray) -> Proposes:
    """Return proposals that are fitted to draws of the hyperparameters, (draw, size)."""
    if not density.size:
        return with_weights(Proposal((Skewed.standard(0),), np.ones(1)), density)
    component = Skewed.fitted(points, np.full(len(points), 1 / len(points)))
    return with_weights(Proposal((component,), np.ones(1), HyperpriorProposal(density)), density)


def with_weights(mixture: Proposal, density: LinearisedDensity) -> Proposes:
    """Return proposals of hyperparameters by a mixture, and of weights as the pseudo-data have them."""
    weights = density.weights
    if weights <= FEW:
        return together(mixture, density, weights)
    return Apart(mixture if density.size else None, WeightProposal.standard(weights), density.size)
