"""Importance sampling from a mixture of Student t's around the modes of a density, adapted until it fits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from arviz_stats.base.array import array_stats
from scipy import special
from scipy.stats import qmc

from bayes_personal.inference.mode import Mode

# Heavier tails than any posterior of scales that data bear on, light enough to waste few draws.
DEGREES = 7.0
# Above that k the ratios have no variance; below that many effective draws nothing is estimated well.
LARGEST_K, LEAST_ESS = 0.5, 400.0


@final
@dataclass(frozen=True, eq=False)
class Mixture:
    """q(u) = sum over components of share_m t(u | point_m, root_m root_m', DEGREES)."""

    components: tuple[Mode, ...]
    shares: np.ndarray

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Scrambled Sobol points through the components, (count, size); a power of two."""
        size = len(self.components[0].point)
        uniform = qmc.Sobol(size + 2, scramble=True, rng=rng).random(count)
        uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
        normal = special.ndtri(uniform[:, :size])
        stretch = np.sqrt(DEGREES / special.chdtri(DEGREES, 1 - uniform[:, size]))
        which = np.searchsorted(np.cumsum(self.shares)[:-1], uniform[:, size + 1])
        points = np.array([one.point for one in self.components])[which]
        roots = np.array([one.root for one in self.components])[which]
        return points + np.einsum("nij,nj->ni", roots, normal * stretch[:, None])

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """log q, (count,)."""
        size = points.shape[1]
        constant = (special.gammaln((DEGREES + size) / 2) - special.gammaln(DEGREES / 2)
                    - size / 2 * np.log(DEGREES * np.pi))
        each = []
        for share, one in zip(self.shares, self.components, strict=True):
            away = np.linalg.solve(one.root, (points - one.point).T)
            each.append(np.log(share) + constant - np.linalg.slogdet(one.root)[1]
                        - (DEGREES + size) / 2 * np.log1p((away**2).sum(axis=0) / DEGREES))
        return np.logaddexp.reduce(each, axis=0)

    def adapted(self, points: np.ndarray, weights: np.ndarray) -> "Mixture":
        """Each component moved to the weighted mean and covariance of the draws that are its own."""
        size = points.shape[1]
        logs = np.array([np.log(share) + Mixture((one,), np.ones(1)).log_density(points)
                         for share, one in zip(self.shares, self.components, strict=True)])
        owned = np.exp(logs - np.logaddexp.reduce(logs, axis=0)) * weights
        components, shares = [], []
        for one, own in zip(self.components, owned, strict=True):
            share = own.sum()
            if share * len(points) < 10 * size:
                components.append(one)
            else:
                centre = own @ points / share
                away = points - centre
                spread = (own[:, None] * away).T @ away / share * (DEGREES - 2) / DEGREES
                values, vectors = np.linalg.eigh(spread)
                components.append(Mode(centre, vectors * np.sqrt(np.maximum(values, 1e-12))))
            shares.append(max(share, 0.02))
        return Mixture(tuple(components), np.array(shares) / np.sum(shares))


@final
@dataclass(frozen=True, eq=False)
class Weighted:
    """Draws of a density with smoothed importance weights.

    Attributes
    ----------
    points : (draw, size)
    weights : Pareto smoothed, sum 1, (draw,)
    pareto_k : shape of the tail of the weights; above 0.5 their variance does not exist
    ess : Kish's effective sample size of the weights
    log_evidence, log_evidence_se : log of the integral of the density, and its standard error
    """

    points: np.ndarray
    weights: np.ndarray
    pareto_k: float
    ess: float
    log_evidence: float
    log_evidence_se: float

    @classmethod
    def sample(cls, log_densities: Callable[[np.ndarray], np.ndarray], mixture: Mixture, count: int,
               rng: np.random.Generator) -> "Weighted":
        """One round; `log_densities` are those at many points (..., size)."""
        points = mixture.draw(count, rng)
        ratios = log_densities(points) - mixture.log_density(points)
        evidence = float(np.logaddexp.reduce(ratios) - np.log(count))
        raw = np.exp(ratios - evidence)
        # ArviZ takes log likelihoods, whose weights are their inverse.
        smoothed, k = array_stats.psislw(np.minimum(-ratios, 1e300))
        weights = np.exp(smoothed - np.logaddexp.reduce(smoothed))
        return cls(points, weights, float(k), float(1 / np.sum(weights**2)), evidence,
                   float(raw.std(ddof=1) / np.sqrt(count)))

    @property
    def trusted(self) -> bool:
        """Whether the importance ratios have a variance, and enough draws count."""
        return self.pareto_k <= LARGEST_K and self.ess >= LEAST_ESS

    def resample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Equally weighted draws by systematic resampling, in random order, (count, size)."""
        places = (rng.random() + np.arange(count)) / count
        chosen = np.minimum(np.searchsorted(np.cumsum(self.weights), places), len(self.weights) - 1)
        return self.points[rng.permutation(chosen)]
