"""The second stage of a cut under pseudo-data, corrected by the rows' own likelihoods at every draw of the population.

Under pseudo-data log p(y, phi | mu) is known for all pairs of a proposal phi and a draw of mu. With the rows' own
likelihoods it is computed once a proposal, at the mean of mu, and pseudo-data say how it changes from there:

    log p~(y, phi | mu) = log p(y, phi | mean) + log p_t(y | mu, phi) - log p_t(y | mean, phi).

What this lacks elsewhere is small. A polynomial in both is fitted to it at some pairs, and added: pseudo-data know
nothing of the family's own hyperparameters, on which it depends how much rows say of mu.

Proposals chosen by importance under p~ are the candidates of a short chain of independence Metropolis steps at each
draw of mu, which the rows' own likelihoods there accept. A chain whose largest ratio of both densities is M forgets its
start by a factor 1 - 1/M a step (Tierney 1994, doi:10.1214/aos/1176325750), and is as long as that asks for.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.given_population import GivenPopulation
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.samplers.change import Change, Pairs, Standard, of_populations
from bayes_personal.samplers.corrected import CHECKED, FIRST_ORDER, ORDERS, SETTLED
from bayes_personal.samplers.group_weights import LONGEST, drawn_weights, may_be_drawn, steps_for
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.normal_second_stage import NormalSecondStage
from bayes_personal.samplers.second_stage import Drawn, FirstStage, Ratios, SecondStage, Table

# Draws of the population, and candidates at each, from which the largest ratio of a chain is taken.
PROBED, CANDIDATES = 48, 24


@final
@dataclass(frozen=True, eq=False)
class CorrectedSecondStage(SecondStage):
    """All else at each of several values of the population, of a family that is not Normal.

    Attributes
    ----------
    given : log p(y, phi | mu) under the rows' own likelihoods
    under_pseudo_data : the second stage of the pseudo-data
    change : what is added to p~; None before any is known
    """

    given: GivenPopulation
    under_pseudo_data: NormalSecondStage
    change: Change | None = None

    @classmethod
    def of(cls, bound: BoundModel, population: np.ndarray, rng: np.random.Generator) -> Self:
        """Find pseudo-data at the mean of the population."""
        density, _ = linearised(replace(bound, population=population.mean(axis=0)), rng)
        joint = density.pseudo.gaussian(replace(bound, mean_prior=NATURAL_MEAN))
        return cls(GivenPopulation(density), NormalSecondStage(joint, population))

    @property
    def centre(self) -> LinearisedDensity:
        return self.given.density

    @property
    def population(self) -> np.ndarray:
        """The mean at the predictors' means, (draw, coefficient)."""
        return self.under_pseudo_data.population

    @property
    def whitened(self) -> np.ndarray:
        return self.under_pseudo_data.whitened

    @cached_property
    def mean(self) -> np.ndarray:
        """The mean of the population, (1, coefficient)."""
        return self.population.mean(axis=0, keepdims=True)

    def heights(self, points: np.ndarray) -> np.ndarray:
        """Return log p(y, phi | mean of mu), (draw,)."""
        result = np.full(len(points), -np.inf)
        usable = np.flatnonzero(np.isfinite(self.under_pseudo_data.heights(self.centre.of_pieces(points))))
        result[usable] = self.given.each_value(points[usable], np.repeat(self.mean, len(usable), axis=0), FIRST_ORDER)
        return result

    def at(self, points: np.ndarray, heights: np.ndarray) -> FirstStage:
        shape = self.under_pseudo_data.at(self.centre.of_pieces(points), heights)._replace(height=heights)
        return shape._replace(height=2 * heights - shape.log_densities(self.under_pseudo_data.whiten(self.mean))[0])

    @cached_property
    def standard(self) -> Standard:
        """Coordinates of the population around its mean."""
        scale = self.whitened.std(axis=0)
        return Standard(self.under_pseudo_data.whiten(self.mean)[0], np.where(scale > 0, scale, 1.0))

    @cached_property
    def products(self) -> np.ndarray:
        return of_populations(self.whitened, self.standard)

    def changed(self, points: np.ndarray) -> np.ndarray | None:
        return None if self.change is None else self.change.by_products(points)

    def learned(self, table: Table, ratios: Ratios, every: int) -> Self:
        draws, places = every * np.arange(len(ratios.chosen)), ratios.chosen[:, 0]
        exact = self.given.each_value(table.points[places], self.population[draws], FIRST_ORDER)
        new = Pairs(table.points[places], self.whitened[draws],
                    exact - table.first_stage.each(self.whitened[draws], places))
        pairs = new if self.change is None else self.change.pairs.and_also(new)
        return replace(self, change=Change.fitted(pairs, self.standard))

    def log_ratios(self, table: Table, draws: np.ndarray, places: np.ndarray, order: int) -> np.ndarray:
        """Return log p - log p~ of proposals at draws of the population, by so many nodes, (pair,)."""
        exact = self.given.each_value(table.points[places], self.population[draws], order)
        return exact - table.each(self.whitened[draws], self.products[draws], places)

    def order(self, table: Table, ratios: Ratios) -> tuple[int, float]:
        """Return the nodes along each weight of a group that settle the integrals, and the error that they leave."""
        draws = np.linspace(0, len(self.population) - 1, CHECKED).astype(int)
        pairs = table.points[ratios.chosen[draws, 0]], self.population[draws]
        for order in (FIRST_ORDER, *ORDERS):
            error = self.given.each_value(*pairs, 2 * order - 1) - self.given.each_value(*pairs, order)
            if error.std() <= SETTLED:
                break
        return order, float(error.std())

    def largest_ratio(self, table: Table, ratios: Ratios, order: int) -> float:
        """Return the largest p / p~ over some candidates, relative to its mean at their draw of the population."""
        among = ratios.poorest
        draws = among[np.linspace(0, len(among) - 1, PROBED).astype(int)]
        candidates = ratios.chosen[draws, :CANDIDATES]
        logs = self.log_ratios(table, np.repeat(draws, candidates.shape[1]), candidates.ravel(), order)
        logs = logs.reshape(candidates.shape)
        logs = np.exp(logs - logs.max(axis=1, keepdims=True))
        return float((logs.max(axis=1) / logs.mean(axis=1)).max())

    def chains(self, table: Table, chosen: np.ndarray, order: int, rng: np.random.Generator) -> np.ndarray:
        """Return the places of proposals where chains end that take the chosen ones in turn, (draw,)."""
        draws, current = np.arange(len(chosen)), chosen[:, 0].copy()
        logs = self.log_ratios(table, draws, current, order)
        for candidates in chosen.T[1:]:
            other = np.flatnonzero(candidates != current)
            new = self.log_ratios(table, draws[other], candidates[other], order)
            accepted = np.log(rng.random(len(other))) < new - logs[other]
            current[other[accepted]], logs[other[accepted]] = candidates[other[accepted]], new[accepted]
        return current

    def drawn(self, rng: np.random.Generator) -> Drawn:
        stage, table, ratios = self.hyperparameters(rng, LONGEST)
        order, error = stage.order(table, ratios)
        ratio = stage.largest_ratio(table, ratios, order)
        steps = int(min(steps_for(np.array(ratio)), LONGEST))
        points = table.points[stage.chains(table, ratios.chosen[:, :steps], order, rng)]
        values, groups = self.centre.values(points), self.given.groups
        own, scaling = self.given.rows.own(values, len(points)), self.given.scaling(values, len(points))
        weights, ratio_of_weights = drawn_weights(groups, own, scaling, self.population, rng)
        values[f"{self.given.term.name}_z"] = weights
        largest = max(ratio, ratio_of_weights)
        summary = {"pareto_k": ratios.pareto_k, "ess": ratios.least_ess, "largest_k": ratios.largest_k,
                   "rule_error": error, "largest_ratio": largest, "steps": float(steps)}
        problems = ("" if ratios.trusted else ratios.problem,
                    "" if error <= SETTLED else f"integrals over the weights of groups have an error of {error:.3f} "
                                                f"(at most {SETTLED}) in the log likelihood",
                    "" if may_be_drawn(largest) else f"chains of {LONGEST} steps do not forget their start, for the "
                                                     f"density of their candidates is {largest:.0f} times too small")
        return Drawn(values, summary, "; ".join(filter(None, problems)))
