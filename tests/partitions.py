"""All partitions of a few contexts, one by one: the definition that exact sums over partitions are tested against."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy import stats
from scipy.special import digamma, logsumexp, polygamma

from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.partitions import Partitions
from bayes_personal.priors.divisions.segment_counts import CountData
from bayes_personal.priors.divisions.segment_normal import NormalData
from bayes_personal.priors.divisions.segment_normal_gamma import NormalGammaSegments
from bayes_personal.priors.divisions.segments import SegmentSums

# Log density, mean and covariance of some rows that share their coefficients.
Segment = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


@dataclass
class Enumerated:
    """Every partition of T contexts, with its prior and the density of the rows.

    Attributes
    ----------
    places : context of each row
    hazards : P(a segment starts at a context) where one may, (T,)
    segment : what rows that share their coefficients are worth
    shortest : contexts before the next change
    """

    places: np.ndarray
    hazards: np.ndarray
    segment: Segment
    shortest: int

    @cached_property
    def partitions(self) -> list[tuple[float, list[tuple[int, int]]]]:
        """Log prior and segments (first, last) of each."""
        result, contexts = [], len(self.hazards)
        for changes in product([False, True], repeat=contexts - 1):
            prior, start, segments = 0.0, 0, []
            for t, change in enumerate(changes, start=1):
                if t - start < self.shortest:
                    prior += -np.inf if change else 0.0
                else:
                    prior += np.log(self.hazards[t] if change else 1 - self.hazards[t])
                if change:
                    segments.append((start, t - 1))
                    start = t
            if prior > -np.inf:
                result.append((prior, [*segments, (start, contexts - 1)]))
        return result

    def of(self, start: int, end: int, without: int = -1) -> tuple[float, np.ndarray, np.ndarray]:
        """A segment's rows, less one."""
        inside = (self.places >= start) & (self.places <= end)
        inside[without] &= without < 0
        return self.segment(inside)

    def log_densities(self, without: int = -1) -> np.ndarray:
        """log p(partition, y) of each partition."""
        known = {(s, e): whole[0] if without < 0 or not s <= self.places[without] <= e
                 else self.of(s, e, without)[0] for (s, e), whole in self.whole.items()}
        return np.array([prior + sum(known[each] for each in segments) for prior, segments in self.partitions])

    @cached_property
    def whole(self) -> dict[tuple[int, int], tuple[float, np.ndarray, np.ndarray]]:
        """Each segment with all of its rows."""
        contexts = len(self.hazards)
        return {(s, e): self.of(s, e) for s in range(contexts) for e in range(s, contexts)}

    @cached_property
    def joint(self) -> np.ndarray:
        return self.log_densities()

    @cached_property
    def probability(self) -> np.ndarray:
        return np.exp(self.joint - logsumexp(self.joint))

    @property
    def log_evidence(self) -> float:
        return float(logsumexp(self.joint))

    @property
    def change_probability(self) -> np.ndarray:
        result = np.zeros(len(self.hazards))
        for weight, (_, segments) in zip(self.probability, self.partitions, strict=True):
            for start, _ in segments[1:]:
                result[start] += weight
        return result

    @property
    def number_of_changes(self) -> np.ndarray:
        return np.bincount([len(segments) - 1 for _, segments in self.partitions], self.probability)

    @property
    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        mean = np.zeros((len(self.hazards), len(self.whole[0, 0][1])))
        second = np.zeros((*mean.shape, mean.shape[1]))
        for weight, (_, segments) in zip(self.probability, self.partitions, strict=True):
            for s, e in segments:
                _, here, covariance = self.whole[s, e]
                mean[s : e + 1] += weight * here
                second[s : e + 1] += weight * (covariance + np.outer(here, here))
        return mean, second - mean[:, :, None] * mean[:, None, :]

    @cached_property
    def left_out(self) -> np.ndarray:
        return np.array([self.log_evidence - logsumexp(self.log_densities(i)) for i in range(len(self.places))])

def normal_segment(x: np.ndarray, y: np.ndarray, known: np.ndarray, sigma: float, tau: np.ndarray,
                   mean: np.ndarray) -> Segment:
    """Of dense matrices: y is Normal with covariance sigma^2 K^2 + X D^2 X'."""
    def segment(inside: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        prior = np.diag(tau**2)
        if not inside.any():
            return 0.0, mean, prior
        a, noise = x[inside], np.diag((sigma * known[inside]) ** 2)
        both = noise + a @ prior @ a.T
        gain = prior @ a.T @ np.linalg.inv(both)
        return (float(stats.multivariate_normal(a @ mean, both).logpdf(y[inside])),
                mean + gain @ (y[inside] - a @ mean), prior - gain @ a @ prior)
    return segment


def scaled_segment(x: np.ndarray, y: np.ndarray, known: np.ndarray, sigma: float, tau: np.ndarray, mean: np.ndarray,
                   shape: float) -> Segment:
    """Of a multivariate t: as a normal segment whose covariances are divided by w ~ Gamma(shape, shape)."""
    normal = normal_segment(x, y, known, sigma, tau, mean)

    def segment(inside: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        _, here, covariance = normal(inside)
        a, half, square, density = x[inside], 0.5 * inside.sum(), 0.0, 0.0
        if inside.any():
            both = np.diag((sigma * known[inside]) ** 2) + a @ np.diag(tau**2) @ a.T
            residual = y[inside] - a @ mean
            square = float(residual @ np.linalg.solve(both, residual))
            density = float(stats.multivariate_t(a @ mean, both, df=2 * shape).logpdf(y[inside]))
        found = stats.gamma(shape + half, scale=1 / (shape + square / 2))
        joint = np.zeros((len(mean) + 1, len(mean) + 1))
        joint[:-1, :-1] = covariance * (shape + square / 2) / (shape + half - 1)
        joint[-1, -1] = 0.25 * polygamma(1, shape + half)
        log_sigma = np.log(sigma) - 0.5 * (digamma(shape + half) + np.log(found.kwds["scale"]))
        return density, np.append(here, log_sigma), joint
    return segment


def counted_segment(prior: stats.rv_continuous, posterior: Callable, density: Callable) -> Segment:
    """Of Bayes' rule at one value: evidence = likelihood prior / posterior."""
    def segment(inside: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        found = posterior(inside)
        middle = found.mean()
        evidence = density(middle, inside).sum() + prior.logpdf(middle) - found.logpdf(middle)
        return float(evidence), np.array([middle]), np.array([[found.var()]])
    return segment


def each_step(log_odds: float, contexts: int, shortest: int = 1) -> Changes:
    """The same hazard at each step, by its log odds."""
    return Changes.by_rate(np.logaddexp(0, log_odds), np.ones(contexts - 1), shortest)


def by_context(starts: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Coefficients of each context (draw, T, p), of draws of starts (draw, T) and of each segment's, (segment, p)."""
    # All draws' contexts stand in one line, which each draw's first start cuts.
    lengths = np.diff(np.append(np.flatnonzero(starts), starts.size))
    return np.repeat(coefficients, lengths, axis=0).reshape(*starts.shape, -1)


FAMILIES = ["normal 1", "normal 2", "normal 3", "scaled 1", "scaled 2", "poisson", "bernoulli", "binomial"]
# The shape of the distribution of a segment's own precision.
SHAPE = 6.0


@dataclass
class Problem:
    """Data of one family along contexts, with hyperparameters; what `Partitions` and the enumeration say of them."""

    segments: SegmentSums
    changes: Changes
    segment: Segment
    places: np.ndarray

    @cached_property
    def partition(self) -> Partitions:
        return Partitions(self.segments, self.changes)

    @cached_property
    def enumerated(self) -> Enumerated:
        return Enumerated(self.places, 1 - np.exp(self.changes.log_stay), self.segment, self.changes.shortest)


def problem(family: str, changes: Changes, contexts: int, rows: int, seed: int = 0) -> Problem:
    """Rows at contexts in no order, some at the same and some contexts without any; levels that jump twice."""
    rng = np.random.default_rng(seed)
    places = rng.integers(0, contexts, rows)
    level = np.array([0.0, 2.0, -1.0])[places * 3 // contexts]
    name, _, size = family.partition(" ")
    if name in ("normal", "scaled"):
        p = int(size)
        x, known = rng.normal(0, 1, (rows, p)), rng.uniform(0.5, 2, rows)
        x[:, 0] = 1.0
        y = 50 + level + 0.5 * x.sum(axis=1) + known * rng.normal(0, 0.8, rows)
        y[rows // 2] += 6
        sigma = 0.9
        tau, mean = np.array([1.5, 0.7, 0.4, 1, 2, 0.3])[:p], np.array([50.2, 0.3, -0.2, 0, 1, 0.5])[:p]
        sums = NormalData.of(x, y, known, places, contexts).at(sigma, tau, mean)
        if name == "scaled":
            return Problem(NormalGammaSegments(sums, SHAPE), changes,
                           scaled_segment(x, y, known, sigma, tau, mean, SHAPE), places)
        return Problem(sums, changes, normal_segment(x, y, known, sigma, tau, mean), places)
    if name == "poisson":
        exposure, a, b = rng.uniform(0.2, 3, rows), 1.3, 0.6
        y = rng.poisson(exposure * np.exp(level))
        segment = counted_segment(
            stats.gamma(a, scale=1 / b),
            lambda inside: stats.gamma(a + y[inside].sum(), scale=1 / (b + exposure[inside].sum())),
            lambda rate, inside: stats.poisson(rate * exposure[inside]).logpmf(y[inside]))
        data = CountData.of_counts(y, exposure, places, contexts)
        return Problem(data.at(np.log(a), np.log(b)), changes, segment, places)
    trials = rng.integers(1, 9, rows) if name == "binomial" else np.ones(rows, np.int64)
    y, a, b = rng.binomial(trials, 1 / (1 + np.exp(-level))), 0.8, 1.7
    segment = counted_segment(
        stats.beta(a, b),
        lambda inside: stats.beta(a + y[inside].sum(), b + (trials - y)[inside].sum()),
        lambda chance, inside: stats.binom(trials[inside], chance).logpmf(y[inside]))
    data = CountData.of_successes(y, trials, places, contexts)
    return Problem(data.at(np.log(a), np.log(b)), changes, segment, places)
