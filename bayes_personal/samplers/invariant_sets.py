"""Sets of predictors whose coefficients are equal in all environments: every set, weighed by its evidence.

For a set S of predictors and a set of environments E the evidence is

    p(y_E | x_S) = int p(theta) prod_{e in E} p(phi_e) prod_{i in e} p(y_i | x_iS' theta, phi_e) dtheta dphi,

where phi_e are the family's own parameters in environment e. `normal_sets` has it for a Normal family, `sampled_sets`
for any other.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.pieces import Elsewhere
from bayes_personal.samplers.proposal import Proposal

# Draws, round by round until so many of them are effective.
ROUNDS, ENOUGH = (512, 2048, 2048, 8192), 500.0
# A set whose approximate evidence is this many nats below the best keeps the approximation.
NEGLIGIBLE = 25.0


class Evidence(NamedTuple):
    """p(y of some environments | one set of predictors).

    Attributes
    ----------
    value : logarithm of the evidence
    points : what was integrated out by numbers, on the sampler's scale, (draw, size); no draw where it is approximate
    log_weights : normalised log weights of the draws, (draw,)
    """

    value: float
    points: np.ndarray
    log_weights: np.ndarray


@dataclass(frozen=True, eq=False)
class InvariantSets(ABC):
    """The sets of predictors of one model, and the evidence of the rows for each.

    Attributes
    ----------
    term : the environments
    own : the family's own parameters, of which every environment has its own
    mean, sd : prior of the coefficients, in data units at the predictors' means, (coefficient,)
    progress : whether a bar shows how many sets are done
    """

    term: Elsewhere
    own: tuple[Parameter, ...]
    mean: np.ndarray
    sd: np.ndarray
    progress: bool

    @cached_property
    def sets(self) -> np.ndarray:
        """Whether each coefficient is in each set, smaller sets first, (set, coefficient)."""
        candidates = self.term.candidates
        chosen = np.array(sorted(product((False, True), repeat=len(candidates)), key=lambda flags: (sum(flags), *(
            not flag for flag in flags))), bool)
        result = np.ones((len(chosen), len(self.mean)), bool)
        result[:, candidates] = chosen
        return result

    @cached_property
    def log_prior(self) -> np.ndarray:
        """log p(S), (set,)."""
        size, chance = self.sets[:, self.term.candidates].sum(axis=1), self.term.prior.inclusion
        return size * np.log(chance) + (len(self.term.candidates) - size) * np.log1p(-chance)

    def places(self, label: str) -> Iterable[int]:
        """Iterate over the positions of all sets, with a progress bar."""
        return track(range(len(self.sets)), label, disable=not self.progress, transient=True)

    @abstractmethod
    def evidence(self, place: int, environments: Sequence[int], rng: np.random.Generator) -> Evidence:
        """Return the evidence of some environments for one set."""

    @abstractmethod
    def approximate(self, place: int, environments: Sequence[int]) -> float:
        """Return the approximate log evidence for a set, which may be out of the question."""

    @abstractmethod
    def unknowns(self, place: int, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return theta / sd of the set's members, less the prior mean, (draw, member), and the family's own parameters
        of all environments on the sampler's scale, (draw, environment, number), at draws of what an evidence has."""

    @property
    @abstractmethod
    def separate_evidences(self) -> np.ndarray:
        """log p(y_e | x_S) with a theta_S for environment e alone, (set, environment)."""

    @property
    def closed(self) -> bool:
        """Whether evidences are closed, so that none need be approximated."""
        return False

    def members(self, place: int) -> np.ndarray:
        """Return the positions of the coefficients in a set."""
        return np.flatnonzero(self.sets[place])

    def joint_evidences(self, environments: Sequence[int], rng: np.random.Generator) -> list[Evidence]:
        """Return the evidence of some environments with one theta for each set, approximate for hopeless sets."""
        if self.closed or len(environments) == 1 or len(self.sets) == 1:
            return [self.evidence(place, environments, rng) for place in range(len(self.sets))]
        approximations = np.array([self.approximate(place, environments) for place in range(len(self.sets))])
        favour = self.log_prior + approximations - self.separate_evidences[:, list(environments)].sum(axis=1)
        no_draws = np.empty((0, len(environments))), np.empty(0)
        return [self.evidence(place, environments, rng) if favour[place] > favour.max() - NEGLIGIBLE
                else Evidence(approximations[place], *no_draws) for place in self.places("Environments together")]

    def log_posterior(self, evidences: Sequence[Evidence]) -> np.ndarray:
        """Return log p(S | data), (set,)."""
        joint = np.array([evidence.value for evidence in evidences])
        logs = self.log_prior + joint - self.separate_evidences.sum(axis=1)
        return logs - logsumexp(logs)

    def left_out(self, rng: np.random.Generator) -> np.ndarray:
        """Return log p(y_e | x, all other environments), as if nobody had seen environment e, (environment,).

        Sum over sets the probability without e times the prediction of e: the evidence without e cancels.
        """
        evidences_with = np.array([evidence.value for evidence in self.joint_evidences(range(self.term.size), rng)])
        result = np.empty(self.term.size)
        for e in range(self.term.size):
            other_environments = [other for other in range(self.term.size) if other != e]
            log_weights = self.log_prior - self.separate_evidences[:, other_environments].sum(axis=1)
            evidences_without = np.array([evidence.value for evidence in self.joint_evidences(other_environments, rng)])
            joint: Any = logsumexp(log_weights + evidences_with)
            result[e] = joint - logsumexp(log_weights + evidences_without)
        return result

    def draw(self, evidences: Sequence[Evidence], count: int,
             rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw theta of an unseen environment at the predictors' means, (draw, coefficient), and what the family's own
        parameters are there, on the sampler's scale, (draw, number)."""
        shares = np.exp(self.log_posterior(evidences))
        chosen = rng.choice(len(shares), count, p=shares / shares.sum())
        theta, own = np.zeros((count, len(self.mean))), np.empty((count, sum(each.size for each in self.own)))
        for place in np.unique(chosen):
            draws, evidence = np.flatnonzero(chosen == place), evidences[place]
            if not len(evidence.points):
                evidence = self.evidence(place, range(self.term.size), rng)
            at = rng.choice(len(evidence.points), len(draws), p=np.exp(evidence.log_weights))
            whitened, of_environments = self.unknowns(place, evidence.points[at], rng)
            members = self.members(place)
            theta[np.ix_(draws, members)] = self.mean[members] + self.sd[members] * whitened
            own[draws] = next_normal(of_environments, rng)
        return theta, own


def next_normal(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the next of the normal numbers (draw, environment, number), of which there may be a single one."""
    count = points.shape[1]
    spread = points.std(axis=1, ddof=1) * np.sqrt(1 + 1 / count) if count > 1 else np.zeros_like(points[:, 0])
    return points.mean(axis=1) + spread * rng.standard_normal(spread.shape)


def prior_of(bound: BoundModel, term: Elsewhere) -> tuple[np.ndarray, np.ndarray]:
    """Return the prior mean and standard deviation of the coefficients of a set."""
    expected = term.prior.mean.arguments(term.coefficients.location, term.coefficients.unit)
    mean, sd = (np.broadcast_to(expected[name], len(bound.everywhere)) for name in ("mu", "sigma"))
    return mean, sd


def averaged(log_density: Any, proposal: Proposal, rng: np.random.Generator) -> Evidence:
    """Return the integral of a density by importance sampling, round after round until enough draws count."""
    logs = points = np.empty(0)
    for count in ROUNDS:
        points = proposal.draw(count, rng)
        logs = log_density(points) - proposal.log_density(points) - np.log(count)
        weights = np.exp(logs - logsumexp(logs))
        if 1 / (weights**2).sum() > ENOUGH:
            break
        proposal = proposal.adapted(points, weights)
    value: Any = logsumexp(logs)
    return Evidence(float(value), points, logs - value)
