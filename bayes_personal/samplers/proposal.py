"""Proposals for importance sampling: skewed t's around the modes of a density, and its hyperpriors."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self, final

import numpy as np
from scipy import special

from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.samplers.mode import Mode

# Along every axis a component is a t; in a share of its draws one of the axes strays, by a wider t.
DEGREES, STRAY, FAR, FAR_DEGREES = 10.0, 0.1, 3.0, 3.0
# The share of draws from the hyperpriors, and the least that another component has.
DEFENSIVE, LEAST_SHARE = 0.1, 0.02
# Steps along an axis, in standard deviations of the normal approximation, at which the density's fall is measured, and
# bounds of the scales that follow from it.
STEPS = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
NARROW, WIDE = 0.3, 6.0
# Where the peak of a skewed axis may lie, in its standard deviations: that of half a normal lies 1.32 from the mean.
PEAKS = np.linspace(-1.4, 1.4, 29)
# Effective draws a dimension to which weights are tempered, and those below which a component stays as it is.
TEMPERED, ENOUGH = 10, 5
# Most clusters of draws, each of which becomes a component, and how many draws are clustered.
CLUSTERS, CLUSTERED = 4, 1000
# The share of the components before them.
KEPT = 0.3
# How much wider components become where the ratios of their draws have a tail.
WIDER = 1.15


def log_t(z: np.ndarray, degrees: float) -> np.ndarray:
    """Return the log density of Student's t."""
    constant = special.gammaln((degrees + 1) / 2) - special.gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi)
    return constant - (degrees + 1) / 2 * np.log1p(z**2 / degrees)


@final
@dataclass(frozen=True, eq=False)
class Skewed:
    """u = point + R z with independent z, each a t whose scale differs on the two sides (Geweke 1989).

    A log scale that the data do not tell from zero has an exponential tail to the left, and hardly any to the right.
    Where there are twenty of them, one of them is far out in a draw more often than a multivariate t is; so in a share
    of the draws one of the axes strays.

    Attributes
    ----------
    point : where the density is highest, (size,)
    root : R, (size, size)
    below, above : scales of z on either side, (size,)
    """

    point: np.ndarray
    root: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @classmethod
    def standard(cls, size: int) -> Self:
        """Return a component around 0, with unit scales."""
        return cls(np.zeros(size), np.eye(size), np.ones(size), np.ones(size))

    @classmethod
    def around(cls, mode: Mode, log_densities: Callable[[np.ndarray], np.ndarray]) -> Self:
        """Make each side as wide as the widest normal through the mode and one of a few points on that side."""
        size, steps = len(mode.point), np.concatenate([-STEPS, STEPS])
        points = mode.point + steps[:, None, None] * mode.root.T
        values = log_densities(np.vstack([mode.point, points.reshape(-1, size)]))
        fall = np.maximum(values[0] - values[1:].reshape(-1, size), 1e-9)
        scales = np.abs(steps)[:, None] / np.sqrt(2 * fall)
        below, above = np.clip(scales.reshape(2, -1, size).max(axis=1), NARROW, WIDE)
        return cls(mode.point, mode.root, below, above)

    @classmethod
    def fitted(cls, points: np.ndarray, weights: np.ndarray) -> Self:
        """Fit draws with weights of sum 1: along each whitened axis the split normal of largest likelihood.

        The draws are whitened by the symmetric root of their correlations, which turns the axes least: hyperparameters
        are skewed each in its own direction.
        """
        size, count = points.shape[1], 1 / (weights**2).sum()
        mean = weights @ points
        centred = points - mean
        covariance = (weights[:, None] * centred).T @ centred
        sd = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        # Few draws overstate correlations.
        correlation = (count * covariance / np.outer(sd, sd) + size * np.eye(size)) / (count + size)
        values, vectors = np.linalg.eigh(correlation)
        root = sd[:, None] * (vectors * np.sqrt(values)) @ vectors.T
        gaps = np.linalg.solve(root, centred.T) - PEAKS[:, None, None]
        below, above = (np.cbrt((side**2) @ weights) for side in (np.minimum(gaps, 0), np.maximum(gaps, 0)))
        best = np.argmin(below + above, axis=0)
        below, above = below[best, np.arange(size)], above[best, np.arange(size)]
        shrunk = np.sqrt((below + above) * (DEGREES - 2) / DEGREES)
        return cls(mean + root @ PEAKS[best], root, np.maximum(shrunk * below, NARROW),
                   np.maximum(shrunk * above, NARROW))

    @property
    def widened(self) -> "Skewed":
        """The same, a little wider."""
        return replace(self, below=WIDER * self.below, above=WIDER * self.above)

    def place(self, uniform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn uniform numbers (draw, size + 1) into draws (draw, size); the last column says which axis strays."""
        size, inner, stray = len(self.point), uniform[:, :-1], uniform[:, -1]
        cut = self.below / (self.below + self.above)
        low = inner < cut
        quantile = np.where(low, 0.5 * inner / cut, 1 - 0.5 * (1 - inner) / (1 - cut))
        z = special.stdtrit(DEGREES, quantile)
        (strays,) = np.nonzero(stray < STRAY)
        axes = (stray[strays] / STRAY * size).astype(int)
        z[strays, axes] = FAR * special.stdtrit(FAR_DEGREES, quantile[strays, axes])
        return self.point + (z * np.where(low, self.below, self.above)) @ self.root.T

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        z = np.linalg.solve(self.root, (points - self.point).T).T
        z = z / np.where(z < 0, self.below, self.above)
        log_near, log_far = log_t(z, DEGREES), log_t(z / FAR, FAR_DEGREES) - np.log(FAR)
        strayed = np.log(1 - STRAY + STRAY * np.exp(log_far - log_near).mean(axis=1))
        volume = np.linalg.slogdet(self.root)[1] + np.log((self.below + self.above) / 2).sum()
        return log_near.sum(axis=1) + strayed - volume


class Proposes(Protocol):
    """A distribution from which draws are proposed."""

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws, (count, size)."""
        ...

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        ...

    def adapted(self, points: np.ndarray, weights: np.ndarray) -> "Proposes":
        """Return the distribution fitted to draws with weights of sum 1."""
        ...

    @property
    def widened(self) -> "Proposes":
        """The same, a little wider."""
        ...


class Defence(Protocol):
    """A wide distribution, which has a share of a mixture so that no importance ratio is too large."""

    def place(self, uniform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return as many draws as there are rows of uniform numbers."""
        ...

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        ...


@final
@dataclass(frozen=True, eq=False)
class HyperpriorProposal:
    """The hyperpriors of a model, on the sampler's scale."""

    density: HyperparameterDensity

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return independent draws, (count, size)."""
        return self.density.points({
            parameter.name: DISTRIBUTIONS[parameter.distribution].draw(
                rng, (count, *parameter.shape), **parameter.arguments) for parameter in self.density.parameters})

    def place(self, uniform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return as many draws as there are rows of uniform numbers."""
        return self.draw(len(uniform), rng)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log p(phi), (draw,)."""
        # Rounding may put a draw at the end of an interval, where the density is 0 or infinite: no reason to warn.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_prior = self.density.log_prior(points, self.density.values(points))
        # A point may lie so far out that its value is rounded to the end of the support.
        return np.where(np.isnan(log_prior), -np.inf, log_prior)


@final
@dataclass(frozen=True, eq=False)
class Proposal:
    """q(u) = sum over components of share_m q_m(u) + share of the hyperpriors p(u), if it has any.

    Where p(y | phi) is bounded, so are the ratios of the posterior to a q with hyperpriors in it (Hesterberg 1995).

    Attributes
    ----------
    components : at least one
    weights : relative shares of the components, (component,)
    prior : the hyperpriors, or what else defends, with a share of DEFENSIVE; None to leave them out
    """

    components: tuple[Skewed, ...]
    weights: np.ndarray
    prior: Defence | None = None

    @property
    def shares(self) -> np.ndarray:
        """Shares of the components, and last of the hyperpriors if there are any; of sum 1."""
        shares = self.weights / self.weights.sum()
        return shares if self.prior is None else np.append(shares * (1 - DEFENSIVE), DEFENSIVE)

    @property
    def members(self) -> tuple[Skewed | Defence, ...]:
        """The components, and the hyperpriors if there are any."""
        return self.components if self.prior is None else (*self.components, self.prior)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return scrambled Sobol points through the components, (count, size); count is a power of two."""
        # Imported here because the import takes half a second, which only drawing is worth.
        from scipy.stats import qmc

        size = len(self.components[0].point)
        uniform = qmc.Sobol(size + 2, scramble=True, rng=rng).random(count)
        uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
        chosen = np.searchsorted(np.cumsum(self.shares)[:-1], uniform[:, -1])
        points = np.empty((count, size))
        for m, member in enumerate(self.members):
            points[chosen == m] = member.place(uniform[chosen == m, :-1], rng)
        return points

    def parts(self, points: np.ndarray) -> np.ndarray:
        """Return the log of each member's contribution to q, (member, draw)."""
        return np.array([np.log(share) + member.log_density(points)
                         for share, member in zip(self.shares, self.members, strict=True)])

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return log q, (draw,)."""
        return np.logaddexp.reduce(self.parts(points), axis=0)

    @property
    def widened(self) -> "Proposal":
        """The same with wider components: ratios that have a tail, though most draws count, have it where the density
        falls off more slowly than they do."""
        return replace(self, components=tuple(component.widened for component in self.components))

    def joined(self, component: Skewed, share: float) -> "Proposal":
        """Add a component, which has this share of the integral of the density."""
        return Proposal((*self.components, component), np.append(self.weights / self.weights.sum(), share), self.prior)

    def clustered(self, points: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> "Proposal":
        """Add components that are fitted to clusters of draws with weights of sum 1: one after the other they follow a
        curved ridge. Those before keep a share, for draws that no cluster reaches."""
        from scipy.cluster.vq import kmeans2, whiten

        enough = int(1 / (weights**2).sum() / (ENOUGH * points.shape[1]))
        some = points[systematic(weights, CLUSTERED, rng)]
        _, labels = kmeans2(whiten(some), max(1, min(CLUSTERS, enough)), minit="++", rng=rng)
        parts = [some[labels == label] for label in np.unique(labels)]
        components = tuple(Skewed.fitted(part, np.full(len(part), 1 / len(part))) for part in parts)
        shares = np.concatenate([KEPT * self.weights / self.weights.sum(),
                                 (1 - KEPT) * np.array([len(part) for part in parts]) / CLUSTERED])
        return Proposal((*self.components, *components), shares, self.prior)

    def adapted(self, points: np.ndarray, weights: np.ndarray) -> "Proposal":
        """Fit each component to the draws it accounts for, by weights of sum 1; draws that the hyperpriors alone
        account for become a component."""
        size, parts = points.shape[1], self.parts(points)
        # A draw so far out that no density is a number belongs to no member.
        parts = np.where(np.isnan(parts), -np.inf, parts)
        total = np.maximum(np.logaddexp.reduce(parts, axis=0), np.finfo(float).min)
        owned = np.exp(parts - total) * tempered(weights, TEMPERED * size)
        components, shares = [], []
        for member, member_weights in zip(self.members, owned, strict=True):
            share = member_weights.sum()
            enough = share**2 > ENOUGH * size * (member_weights**2).sum()
            if enough and (member is not self.prior or share > LEAST_SHARE):
                member = Skewed.fitted(points, member_weights / share)
            if isinstance(member, Skewed):
                components.append(member)
                shares.append(max(share, LEAST_SHARE))
        return Proposal(tuple(components), np.array(shares), self.prior)


def systematic(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return places drawn in proportion to weights of sum 1, by one random number, in ascending order, (count,)."""
    places = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def tempered(weights: np.ndarray, least_count: float) -> np.ndarray:
    """Raise weights to the power at which at least `least_count` draws count: a few say nothing of a covariance."""
    logs, power = np.log(np.maximum(weights, 1e-300)), 1.0
    while (weights**2).sum() * least_count > 1 and power > 1e-3:
        power *= 0.8
        weights = np.exp(power * (logs - logs.max()))
        weights /= weights.sum()
    return weights
