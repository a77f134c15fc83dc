"""Hyperparameters at every draw of a population that is frozen, by importance from one set of proposals.

A cut needs one draw of ``p(phi | mu_s, y)`` at each draw mu_s of the population, without the constant ``p(y | mu_s)``
that would be feedback. Where the weights integrate out of a Gaussian likelihood,

    p(y | mu, phi) = p(y | phi) p(mu | y, phi) / p(mu | phi),

whose factors the collapsed density of the joint model has, and which is Gaussian in mu: a proposal costs one evaluation
however many draws of mu there are.

References: Plummer (2015), doi:10.1007/s11222-014-9503-z. Besag (1989), doi:10.1093/biomet/76.1.183.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.samplers.importance import LEAST_ESS, largest_k
from bayes_personal.samplers.modes import Modes

# Proposals that are judged and used, and how many times as many where the first cannot be trusted.
PROPOSALS, AGAIN = 4096, 4
# Rounds of adaptation, proposals in each, and the draws of mu that they are fitted to.
ROUNDS, FEW, SOME = 4, 1024, 256
# Share of the draws of mu that need not be trusted: they move no quantile by more than its Monte Carlo error, which is
# that of some hundreds of draws.
SPARED = 0.01
# Draws of mu whose ratios are made together, and how many of those with the fewest effective draws are looked at.
TOGETHER, JUDGED = 64, 20
# Ratios of which none is larger than this many times their mean have no tail that could harm: the largest of thousands
# from one with a shape of 0.5 is larger. A few near the bound that the share of hyperpriors sets would look like one.
FLAT = 20.0


class FirstStage(NamedTuple):
    """log p(y, phi | mu) as a function of mu, whitened by its prior, at several phi.

    Attributes
    ----------
    height : the value where it is highest, (phi,)
    mean : where that is, (phi, coefficient)
    root : K, where K K' is the precision, (phi, coefficient, coefficient)
    """

    height: np.ndarray
    mean: np.ndarray
    root: np.ndarray

    def log_densities(self, whitened: np.ndarray) -> np.ndarray:
        """Return log p(y, phi | mu) at whitened mu (draw, coefficient), up to a function of mu alone, (draw, phi)."""
        residual = whitened @ self.root - (self.mean[:, None] @ self.root)
        return (self.height[:, None] - 0.5 * (residual**2).sum(axis=2)).T

    def each(self, whitened: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return what `log_densities` does at pairs of a whitened mu and the place of a phi, (pair,)."""
        residual = ((whitened - self.mean[places])[:, None] @ self.root[places])[:, 0]
        return self.height[places] - 0.5 * (residual**2).sum(axis=1)


class Table(NamedTuple):
    """Proposals of the hyperparameters.

    Attributes
    ----------
    points : those with a density, (proposal, size)
    log_proposals : their log proposal densities, (proposal,)
    first_stage : their log densities given mu
    change : what is added to these for each product of coordinates of mu, (proposal, product); None for nothing
    """

    points: np.ndarray
    log_proposals: np.ndarray
    first_stage: FirstStage
    change: np.ndarray | None = None

    def log_weights(self, whitened: np.ndarray, products: np.ndarray) -> np.ndarray:
        """Return the log importance ratios at whitened mu and products of its coordinates, (draw, proposal)."""
        added = 0.0 if self.change is None else products @ self.change.T
        return self.first_stage.log_densities(whitened) + added - self.log_proposals

    def each(self, whitened: np.ndarray, products: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the log density at pairs of a whitened mu and the place of a proposal, (pair,)."""
        added = 0.0 if self.change is None else (products * self.change[places]).sum(axis=1)
        return self.first_stage.each(whitened, places) + added


class Ratios(NamedTuple):
    """Importance ratios of one set of proposals, for draws of the population.

    Attributes
    ----------
    shares : weight of each proposal on average over the population, sum 1, (proposal,)
    chosen : independent choices of a proposal for each draw of the population, (draw, choice)
    ess : effective number of proposals at each draw of the population, (draw,)
    pareto_k : the worst over all but a hundredth of the draws
    """

    shares: np.ndarray
    chosen: np.ndarray
    ess: np.ndarray
    pareto_k: float

    @property
    def poorest(self) -> np.ndarray:
        """The draws of the population in ascending order of `ess`, but for those that need not be trusted."""
        return np.argsort(self.ess)[int(SPARED * len(self.ess)) :]

    @property
    def least_ess(self) -> float:
        """The least effective number of proposals over all but a hundredth of the draws."""
        return float(self.ess[self.poorest[0]])

    @property
    def trusted(self) -> bool:
        """Whether the ratios have a variance, and enough proposals count, at all draws but a hundredth."""
        return self.pareto_k <= self.largest_k and self.least_ess >= LEAST_ESS

    @property
    def largest_k(self) -> float:
        """The Pareto k up to which so many proposals can be trusted."""
        return largest_k(len(self.shares))

    @property
    def problem(self) -> str:
        """Why the ratios cannot be trusted."""
        return (f"Pareto k is {self.pareto_k:.2f} (at most {self.largest_k:.2f}) and the effective sample size "
                f"{self.least_ess:.0f} (at least {LEAST_ESS:.0f}) at some draws of the population")


class Drawn(NamedTuple):
    """Draws of the second stage, one for each draw of the population.

    Attributes
    ----------
    values : all variables of the model by name
    summary : how well they were drawn, as attributes of a tree
    problem : why they cannot be trusted; empty where they can
    """

    values: dict[str, np.ndarray]
    summary: dict[str, float]
    problem: str


class SecondStage(ABC):
    """All else at each of several values of the population."""

    @property
    @abstractmethod
    def centre(self) -> HyperparameterDensity:
        """The density of the hyperparameters at the mean of the population."""

    @property
    @abstractmethod
    def whitened(self) -> np.ndarray:
        """The draws of the population, whitened, (draw, coefficient)."""

    @cached_property
    def products(self) -> np.ndarray:
        """The products of coordinates of the population that a change consists of, (draw, product)."""
        return np.zeros((len(self.whitened), 0))

    def changed(self, points: np.ndarray) -> np.ndarray | None:
        """Return what is added to `at` for each of `products`, (draw, product)."""
        return None

    def learned(self, table: Table, ratios: Ratios, every: int) -> Self:
        """Return the same with what proposals that were chosen tell of a change."""
        return self

    @abstractmethod
    def heights(self, points: np.ndarray) -> np.ndarray:
        """Return a log density at points that is finite where `at` can be computed, (draw,)."""

    @abstractmethod
    def at(self, points: np.ndarray, heights: np.ndarray) -> FirstStage:
        """Return log p(y, phi | mu) as a function of mu at points, from their `heights`."""

    @abstractmethod
    def drawn(self, rng: np.random.Generator) -> Drawn:
        """Draw all else, once for each draw of the population."""

    def table(self, points: np.ndarray, log_proposals: np.ndarray) -> Table:
        """Return proposals as they are weighed; those without a density are left out."""
        heights = self.heights(points)
        finite = np.flatnonzero(np.isfinite(heights))
        return Table(points[finite], log_proposals[finite], self.at(points[finite], heights[finite]),
                     self.changed(points[finite]))

    def ratios(self, table: Table, rng: np.random.Generator, every: int = 1, choices: int = 1) -> Ratios:
        """Weigh proposals of the hyperparameters for every draw of the population, or for every few of them, and make
        some choices among them for each."""
        # Imported here because this module is imported wherever a Posterior is.
        from arviz_stats.base.array import array_stats

        population, products = self.whitened[::every], self.products[::every]
        ess, shares = np.empty(len(population)), np.zeros(len(table.points))
        chosen = np.empty((len(population), choices), int)
        for start in range(0, len(population), TOGETHER):
            rows = slice(start, start + TOGETHER)
            weights = table.log_weights(population[rows], products[rows])
            weights = np.exp(weights - weights.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            shares += weights.sum(axis=0) / len(ess)
            ess[rows] = 1 / (weights**2).sum(axis=1)
            for place, sums in enumerate(np.cumsum(weights, axis=1), start):
                chosen[place] = np.searchsorted(sums, rng.random(choices))
        # A sum of many weights may round to less than 1.
        result = Ratios(shares, np.minimum(chosen, len(table.points) - 1), ess, np.inf)
        judged = result.poorest[:JUDGED]
        logs = table.log_weights(population[judged], products[judged])
        # ArviZ takes log likelihoods, whose weights are their inverse.
        _, k = array_stats.psislw(-logs, axis=-1)
        largest = np.exp(logs.max(axis=1) - np.logaddexp.reduce(logs, axis=1)) * logs.shape[1]
        shapes = np.where(largest < FLAT, np.fmin(k, 0.0), k)
        return result._replace(pareto_k=float(np.where(np.isnan(shapes), np.inf, shapes).max()))

    def hyperparameters(self, rng: np.random.Generator, choices: int = 1) -> tuple[Self, Table, Ratios]:
        """Propose hyperparameters for all draws of the population, and choose among them for each.

        Proposals start around the modes at the mean of the population, and are fitted to their average weights. What
        is returned first is the stage that they are weighted by.
        """
        stage, every = self, -(-len(self.whitened) // SOME)
        mixture = Modes.search(self.centre, rng).mixture
        for _ in range(ROUNDS):
            points = mixture.draw(FEW, rng)
            table = stage.table(points, mixture.log_density(points))
            ratios = stage.ratios(table, rng, every)
            stage, mixture = stage.learned(table, ratios, every), mixture.adapted(table.points, ratios.shares)
        for count in (PROPOSALS, AGAIN * PROPOSALS):
            points = mixture.draw(count, rng)
            table = stage.table(points, mixture.log_density(points))
            ratios = stage.ratios(table, rng, choices=choices)
            if ratios.trusted:
                break
            mixture = mixture.adapted(table.points, ratios.shares)
        return stage, table, ratios
