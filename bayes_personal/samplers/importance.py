"""Importance sampling: draws of a proposal, weighted by their ratios to a density, and whether to trust the weights."""

from dataclasses import dataclass
from math import log10
from typing import Self, final

import numpy as np

from bayes_personal.samplers.proposal import Proposes, systematic

# Above this k the ratios have no variance, up to the second one smoothing serves where most draws count; with fewer
# effective draws than this no estimate is good.
LARGEST_K, SMOOTHED_K, LEAST_ESS = 0.5, 0.7, 400.0
# Of fewer draws no tail can be fitted.
FEWEST = 25


def largest_k(count: int, ess: float = 0.0) -> float:
    """Return the Pareto k up to which weights of so many draws of a posterior can be trusted.

    Above 0.5 the ratios have no variance. Smoothing serves up to 0.7 (Vehtari et al. 2024), where a mixture of t's is
    near the posterior, as it is where more than half of the draws count; but where it is far, as in a funnel, draws
    that miss most of it show k between 0.5 and 0.7 too.
    """
    return min(1 - 1 / log10(max(count, 2)), SMOOTHED_K if ess > count / 2 else LARGEST_K)


@final
@dataclass(frozen=True, eq=False)
class Weighted:
    """Draws of a density with smoothed importance weights.

    Attributes
    ----------
    points : (draw, size)
    log_densities : log density of each, (draw,)
    weights : Pareto smoothed, sum 1, (draw,)
    pareto_k : shape of the tail of the weights; above `largest_k` they cannot be trusted
    ess : Kish's effective sample size of the weights or of the raw ratios, whichever is smaller: smoothing would hide
        the ratio of the one draw that hits what the others miss
    log_evidence : log of the integral of the density
    log_evidence_se : standard error of log_evidence for independent draws; Sobol points do better in few dimensions.
        Infinite where the weights cannot be trusted.
    enough : effective draws that are asked for
    """

    points: np.ndarray
    log_densities: np.ndarray
    weights: np.ndarray
    pareto_k: float
    ess: float
    log_evidence: float
    log_evidence_se: float
    enough: float = LEAST_ESS

    @classmethod
    def of(cls, points: np.ndarray, log_densities: np.ndarray, log_proposals: np.ndarray,
           enough: float = LEAST_ESS) -> Self:
        """Weigh draws of a proposal by the log densities and the log proposal densities at them, (draw,)."""
        # Imported here because this module is imported wherever a Posterior is.
        from arviz_stats.base.array import array_stats

        # Where a hyperprior has drawn a point beyond the range of floating point, neither density is a number.
        ratios = np.where(np.isfinite(log_densities), log_densities - log_proposals, -np.inf)
        evidence = float(np.logaddexp.reduce(ratios) - np.log(len(points)))
        if ratios.min() == ratios.max() > -np.inf:
            # The proposal is the density, and ArviZ refuses ratios without a tail.
            smoothed, k = ratios, 0.0
        elif len(ratios) < FEWEST:
            smoothed, k = ratios, np.inf
        else:
            # ArviZ takes log likelihoods, whose weights are their inverse.
            smoothed, k = array_stats.psislw(np.minimum(-ratios, 1e300))
        weights = np.exp(smoothed - np.logaddexp.reduce(smoothed))
        raw = np.exp(ratios - evidence)
        ess = min(1 / np.sum(weights**2), len(points) ** 2 / np.sum(raw**2))
        error = raw.std(ddof=1) / np.sqrt(len(points)) if k <= largest_k(len(points), ess) else np.inf
        return cls(points, log_densities, weights, float(k), float(ess), evidence, float(error), enough)

    @property
    def trusted(self) -> bool:
        """Whether the importance ratios have a variance, and enough draws count."""
        return self.pareto_k <= self.largest_k and self.ess >= self.least_ess

    @property
    def largest_k(self) -> float:
        """The Pareto k up to which so many draws can be trusted."""
        return largest_k(len(self.points), self.ess)

    @property
    def least_ess(self) -> float:
        """Effective draws that are enough: of few draws half of them."""
        return min(self.enough, len(self.points) / 2)

    @property
    def problem(self) -> str:
        """Why the draws cannot be trusted."""
        return (f"Pareto k is {self.pareto_k:.2f} (at most {self.largest_k:.2f}) and the effective sample size "
                f"{self.ess:.0f} (at least {self.least_ess:.0f}): the posterior is not near a mixture of skewed t's")

    @property
    def heaviest(self) -> np.ndarray:
        """The draw of the largest weight, (size,)."""
        return self.points[np.argmax(self.weights)]

    def resample_chains(self, chains: int, rng: np.random.Generator) -> np.ndarray:
        """Return equally weighted draws, as many of each chain as it has, in its order, (count, size).

        Draws that count more than once follow each other, which the statistics of chains notice.
        """
        parts, length = np.split(self.weights, chains), len(self.weights) // chains
        chosen = [start * length + systematic(part / part.sum(), length, rng) for start, part in enumerate(parts)]
        return self.points[np.concatenate(chosen)]

    def resample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return equally weighted draws by systematic resampling, in random order, (count, size)."""
        return self.points[rng.permutation(systematic(self.weights, count, rng))]


@final
@dataclass(frozen=True, eq=False)
class Pool:
    """Rounds of draws, each weighted as a draw of the mixture of all proposals (Cornuet et al. 2012).

    Attributes
    ----------
    proposals : one proposal a round
    points, log_densities : draws of all rounds, (draw, size), and the log density at each, (draw,)
    log_sum : log of the sum of all proposals at each draw, (draw,)
    """

    proposals: tuple[Proposes, ...]
    points: np.ndarray
    log_densities: np.ndarray
    log_sum: np.ndarray

    @classmethod
    def empty(cls, size: int) -> Self:
        """Return a pool without any round."""
        return cls((), np.zeros((0, size)), np.zeros(0), np.zeros(0))

    def with_round(self, proposal: Proposes, points: np.ndarray, log_densities: np.ndarray) -> "Pool":
        """Return the pool with one more round, of as many draws as each earlier one."""
        sum_at_earlier = np.logaddexp(self.log_sum, proposal.log_density(self.points))
        proposals = (*self.proposals, proposal)
        sum_at_new = np.logaddexp.reduce([component.log_density(points) for component in proposals], axis=0)
        return Pool(proposals, np.concatenate([self.points, points]),
                    np.concatenate([self.log_densities, log_densities]), np.concatenate([sum_at_earlier, sum_at_new]))

    @property
    def weighted(self) -> Weighted:
        """All draws with their weights."""
        return Weighted.of(self.points, self.log_densities, self.log_sum - np.log(len(self.proposals)))
