"""The integral over the own weights of a group, given all else: quadrature or importance sampling around its mode.

Given the hyperparameters phi and all other weights, the whitened weights z of one group are Normal(0, I) and only the
rows of that group depend on them, by eta_i = eta_i(0) + C_i z, with a row of C_i for each linear predictor:

    I(rows) = integral over z of Normal(z | 0, I) prod over rows of p(y_i | eta_i(0) + C_i z),

whatever the family. Up to three weights are integrated by Gauss-Hermite quadrature on the product grid around the
integrand's mode, scaled by the curvature there (Naylor and Smith 1982, doi:10.2307/2347995; Pinheiro and Bates 1995,
doi:10.1080/10618600.1995.10474663), with as many nodes as some draws need for the result to settle. More weights are
integrated by importance sampling with Sobol points through t's around the mode. Rows with fewer linear predictors than
there are weights move in as few directions: these are integrated, and the other directions integrate to 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp

from bayes_personal.binding.own_weights import differences
from bayes_personal.families.parts.base import Family
from bayes_personal.samplers.proposal import Proposal, Skewed

# Nodes a dimension of the product grids, or points in all, of ever finer rules until two of them differ by less than
# SETTLED. Errors of product grids fall so fast that the finer rule is then better by orders of magnitude.
GRIDS = {1: (9, 15, 25, 41, 67, 111, 183), 2: (9, 15, 25, 41, 67), 3: (7, 11, 17, 25)}
POINTS = (1024, 4096, 16384)
SETTLED, SETTLED_POINTS = 1e-5, 3e-3
# From these rules on, nodes are placed by the mean and covariance, which follow heavy tails better than the mode does;
# in one dimension nodes are cheap, and those around a mode find a second one.
BY_MOMENTS = {1: len(GRIDS[1]), 2: 2, 3: 2}
# Draws by which convergence is judged: evenly spaced ones, and those in which the weights move eta most.
EVEN, FARTHEST = 12, 4
# Newton steps, halvings of a step, and the squared distance from the mode, in standard deviations, that counts as 0.
STEPS, HALVINGS, NEAR = 100, 40, 1e-4
# Points of every draw of which one is resampled.
RESAMPLED = 1024
# Densities computed at once: this many stay in the processor's cache.
CACHED = 2**18


# Nodes (node, size) and the logs of their weights.
Rule = tuple[np.ndarray, np.ndarray]


@final
@dataclass(frozen=True, eq=False)
class Integrand:
    """Normal(z | 0, I) prod over rows of p(y_i | eta_i + C_i z), draw by draw.

    Attributes
    ----------
    family, y, constants : family, outcomes and known constants of the rows
    family_values : the family's own hyperparameters, (draw,)
    eta : linear predictors at z = 0, (draw, row, predictor)
    loading : C, (draw, row, predictor, weight)
    step : differences of eta that are small against the scale on which the densities change, (predictor,)
    """

    family: Family
    y: np.ndarray
    constants: np.ndarray
    family_values: Mapping[str, np.ndarray]
    eta: np.ndarray
    loading: np.ndarray
    step: np.ndarray

    def __len__(self) -> int:
        return len(self.eta)

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.loading.shape[-1]

    def take(self, draws: np.ndarray | slice) -> "Integrand":
        """Return the integrand of some draws."""
        family_values = {name: value[draws] for name, value in self.family_values.items()}
        return replace(self, family_values=family_values, eta=self.eta[draws], loading=self.loading[draws])

    def of_rows(self, rows: np.ndarray) -> "Integrand":
        """Return the integrand of some rows."""
        return replace(self, y=self.y[rows], constants=self.constants[rows], eta=self.eta[:, rows],
                       loading=self.loading[:, rows])

    def reduced(self, z: np.ndarray) -> tuple["Integrand", np.ndarray]:
        """Return the same integral over as many directions as rows have linear predictors, and z in them."""
        draws, rows, predictors, size = self.loading.shape
        if rows * predictors >= size:
            return self, z
        q, r = np.linalg.qr(self.loading.reshape(draws, -1, size).mT)
        loading = r.mT.reshape(draws, rows, predictors, -1)
        return replace(self, loading=loading), (q.mT @ z[..., None])[..., 0]

    def density(self, eta: np.ndarray) -> np.ndarray:
        """Return log p(y_i | eta_i) at eta (draw, row, ..., predictor), (draw, row, ...)."""
        by_draw = (slice(None), *[None] * (eta.ndim - 2))
        family_values = {name: value[by_draw] for name, value in self.family_values.items()}
        by_row = (slice(None), *[None] * (eta.ndim - 3))
        return self.family.likelihood(eta, family_values, self.constants[by_row], np).log_density(self.y[by_row])

    def eta_at(self, z: np.ndarray) -> np.ndarray:
        """Return eta at z (draw, weight), (draw, row, predictor)."""
        return self.eta + (self.loading @ z[:, None, :, None])[..., 0]

    def height(self, z: np.ndarray) -> np.ndarray:
        """Return the log of the integrand at z, up to the constant of the Normal, (draw,)."""
        return self.density(self.eta_at(z)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient, and a positive definite substitute for minus the second derivative, at z."""
        slope, second = differences(self.density, self.eta_at(z), self.step)
        curvature = positive(-second)
        loading = self.loading.reshape(len(z), -1, self.size)
        gradient = (slope.reshape(len(z), 1, -1) @ loading)[:, 0] - z
        turned = (curvature @ self.loading).reshape(loading.shape)
        return gradient, np.eye(self.size) + loading.mT @ turned

    def climbed(self, start: np.ndarray) -> np.ndarray:
        """Return a mode of every draw, by Newton's method with halved steps."""
        z = np.where(np.isfinite(self.height(start))[:, None], start, 0.0)
        active = np.arange(len(z))
        for _ in range(STEPS):
            integrand = self.take(active)
            gradient, hessian = integrand.slopes(z[active])
            move = np.linalg.solve(hessian, gradient[..., None])[..., 0]
            height, shrink = integrand.height(z[active]), np.ones(len(active))
            for _ in range(HALVINGS):
                worse = ~(integrand.height(z[active] + shrink[:, None] * move) >= height)
                if not worse.any():
                    break
                shrink[worse] /= 2
            shrink[worse] = 0
            z[active] += shrink[:, None] * move
            active = active[((gradient * move).sum(axis=1) > NEAR) & (shrink > 0)]
            if not len(active):
                break
        return z

    def mode(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Climb from `start` and from 0; return the mode with more mass and a root of its covariance."""
        candidates = []
        for z in (start, np.zeros_like(start)):
            z = self.climbed(z)
            # With H = L L', the root R = L^-T has R R' = H^-1.
            root = np.linalg.inv(np.linalg.cholesky(self.slopes(z)[1])).mT
            candidates.append((self.height(z) + log_volume(root), z, root))
        (mass, mode, root), (other_mass, other_mode, other_root) = candidates
        better = other_mass > mass
        return np.where(better[:, None], other_mode, mode), np.where(better[:, None, None], other_root, root)

    def nodes(self, mode: np.ndarray, root: np.ndarray, rule: Rule) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield blocks of draws, the nodes of a rule around the mode, (draw, weight, node), and the logs of the terms
        of the integral."""
        nodes, weights = rule
        draws = max(1, CACHED // (len(self.y) * len(self.step) * len(nodes)))
        for start in range(0, len(self), draws):
            part = slice(start, start + draws)
            integrand = self.take(part)
            z = mode[part, :, None] + root[part] @ nodes.T
            densities = integrand.density(integrand.eta[:, :, None] + (integrand.loading @ z[:, None]).mT)
            heights = densities.sum(axis=1) - 0.5 * (z**2).sum(axis=1)
            # A rate beyond the range of floating point has density 0.
            heights = np.where(heights > -np.inf, heights, -np.inf)
            yield part, z, heights + weights + log_volume(root[part])[:, None]

    def by_rule(self, mode: np.ndarray, root: np.ndarray, count: int) -> np.ndarray:
        """Return the log of the integral by a rule around the mode, (draw,)."""
        parts = self.nodes(mode, root, rule(self.size, count))
        return np.concatenate([np.asarray(logsumexp(logs, axis=1)) for _, _, logs in parts])

    def moments(self, mode: np.ndarray, root: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and a root of the covariance of z under the integrand, by a rule around the mode."""
        means, roots = np.empty_like(mode), np.empty_like(root)
        for part, z, logs in self.nodes(mode, root, rule(self.size, count)):
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))[:, None]
            means[part] = (shares * z).sum(axis=2)
            centred = z - means[part, :, None]
            # A single node may have all the mass.
            floor = 1e-6 * root[part] @ root[part].mT
            roots[part] = np.linalg.cholesky((shares * centred) @ centred.mT + floor)
        return means, roots

    def log_integral(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the log of the integral, (draw,), and its error in the draws by which convergence is judged.

        `start` is where the search for the mode begins, (draw, weight).
        """
        if self.size > self.eta[0].size:
            reduced, start = self.reduced(start)
            return reduced.log_integral(start)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.settled(*self.mode(start))

    def drawn(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw z of every draw, (draw, weight), by resampling points around its mode in proportion to the integrand,
        and return the log of the integral that they estimate, (draw,)."""
        result, logs_of = np.empty((len(self), self.size)), np.empty(len(self))
        with np.errstate(over="ignore", invalid="ignore"):
            mode, root = self.mode(np.zeros((len(self), self.size)))
            for part, z, logs in self.nodes(mode, root, through_t(self.size, RESAMPLED, rng)):
                chosen = (logs + rng.gumbel(size=logs.shape)).argmax(axis=1)
                result[part], logs_of[part] = z[np.arange(len(z)), :, chosen], logsumexp(logs, axis=1)
        return result, logs_of

    def settled(self, mode: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the same by the first rule that settles; the first rules are around the mode."""
        farthest = np.argsort(-(self.loading**2).sum(axis=(1, 2, 3)), kind="stable")[:FARTHEST]
        sample = np.union1d(np.linspace(0, len(self) - 1, EVEN).astype(int), farthest)
        subset, enough = self.take(sample), SETTLED if self.size in GRIDS else SETTLED_POINTS
        rules = GRIDS.get(self.size, POINTS)
        previous, error = subset.by_rule(mode[sample], root[sample], rules[0]), np.inf
        for place, count in enumerate(rules[1:], 1):
            if place >= BY_MOMENTS.get(self.size, 1):
                mode, root = self.moments(mode, root, rules[place - 1])
            logs = subset.by_rule(mode[sample], root[sample], count)
            error = float(np.abs(logs - previous).max())
            if error < enough:
                break
            previous = logs
        return self.by_rule(mode, root, count), error


def positive(curvature: np.ndarray) -> np.ndarray:
    """Return the part of symmetric matrices whose eigenvalues are positive.

    Where a density is not log-concave its curvature may be negative, and Newton's step would lead nowhere.
    """
    if curvature.shape[-1] == 1:
        return np.maximum(curvature, 0.0)
    values, vectors = np.linalg.eigh(np.where(np.isfinite(curvature), curvature, 0.0))
    return (vectors * np.maximum(values, 0.0)[..., None, :]) @ vectors.mT


def log_volume(root: np.ndarray) -> np.ndarray:
    """Return the log determinant of triangular matrices, (draw,)."""
    return np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(axis=1)


@cache
def rule(size: int, count: int) -> Rule:
    """Return nodes (node, size) and w such that log int exp(h(t)) / sqrt(2 pi)^size dt = log sum exp(h + w).

    A product grid has `count` nodes a dimension; where there is none, the nodes are `count` Sobol points through a t.
    """
    if size in GRIDS:
        at, mass = hermegauss(count)
        log_mass = np.log(mass) - 0.5 * np.log(2 * np.pi)
        nodes = np.stack(np.meshgrid(*[at] * size, indexing="ij"), axis=-1).reshape(-1, size)
        weights = np.sum(np.meshgrid(*[log_mass] * size, indexing="ij"), axis=0).ravel()
        return nodes, weights + 0.5 * (nodes**2).sum(axis=1)
    # Every draw has the same points, so that densities differ between draws because of the draws alone.
    return through_t(size, count, np.random.default_rng(count))


def through_t(size: int, count: int, rng: np.random.Generator) -> Rule:
    """Return Sobol points through a t, and their weights as those of a rule."""
    proposal = Proposal((Skewed.standard(size),), np.ones(1))
    nodes = proposal.draw(count, rng)
    return nodes, -proposal.log_density(nodes) - np.log(count) - size / 2 * np.log(2 * np.pi)
