"""A population that is estimated first and frozen, and then all else given the population, in two stages.

Stage one samples ``p(mu | y_1)``: the population alone, on the rows that it is estimated from. Stage two is the whole
model given mu, on all rows. "plug-in" samples it at the mean of stage one's draws. A "cut" needs one draw of
``p(phi, weights | mu_s, y)`` at each of them, mu_s, without the constant ``p(y | mu_s)`` that would be feedback:
hyperparameters phi by importance, all draws of mu from one set of proposals, and then the weights exactly. For a Normal
family

    p(y | mu, phi) = p(y | phi) p(mu | y, phi) / p(mu | phi),

whose factors the collapsed density of the joint model has, and which is Gaussian in mu: a proposal costs one evaluation
however many draws of mu there are.

References: Plummer (2015), doi:10.1007/s11222-014-9503-z. Besag (1989), doi:10.1093/biomet/76.1.183.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import LARGEST, collapses
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import ConvergenceWarning, SpecificationError, warn
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.samplers.draws import flat, tree
from bayes_personal.samplers.importance import LEAST_ESS, largest_k
from bayes_personal.samplers.laplace import Laplace, Modes
from bayes_personal.samplers.nuts import NUTS

# Proposals that are judged and used, and how many times as many where the first cannot be trusted.
PROPOSALS, AGAIN = 4096, 4
# Rounds of adaptation, proposals in each, and the draws of mu that they are fitted to.
ROUNDS, FEW, SOME = 4, 1024, 256
# Share of the draws of mu that need not be trusted: they move no quantile by more than its Monte Carlo error, which is
# that of some hundreds of draws.
SPARED = 0.01
# Draws of mu whose ratios are made together, and how many of those with the fewest effective draws are looked at.
TOGETHER, JUDGED = 64, 20


class Ratios(NamedTuple):
    """Importance ratios of one set of proposals, for draws of the population.

    Attributes
    ----------
    shares : weight of each proposal on average over the population, sum 1, (proposal,)
    chosen : one proposal for each draw of the population, (draw,)
    pareto_k, ess : the worst over all but a hundredth of the draws
    """

    shares: np.ndarray
    chosen: np.ndarray
    pareto_k: float
    ess: float

    @property
    def trusted(self) -> bool:
        """Whether the ratios have a variance, and enough proposals count, at all draws but a hundredth."""
        return self.pareto_k <= self.largest_k and self.ess >= LEAST_ESS

    @property
    def largest_k(self) -> float:
        """The Pareto k up to which so many proposals can be trusted."""
        return largest_k(len(self.shares))


class FirstStage(NamedTuple):
    """p(mu | y, phi) at several phi, the weights integrated out, mu whitened by its prior.

    Attributes
    ----------
    height : log p(y, phi) plus half the log determinant of the precision K K', (phi,)
    mean : (phi, coefficient)
    root : K, (phi, coefficient, coefficient)
    """

    height: np.ndarray
    mean: np.ndarray
    root: np.ndarray

    def log_densities(self, whitened: np.ndarray) -> np.ndarray:
        """Return log p(y, phi | mu) at whitened mu (draw, coefficient), up to a function of mu alone, (draw, phi)."""
        residual = whitened @ self.root - (self.mean[:, None] @ self.root)
        return (self.height[:, None] - 0.5 * (residual**2).sum(axis=2)).T


@final
@dataclass(frozen=True, eq=False)
class SecondStage:
    """All else at each of several values of the population.

    Attributes
    ----------
    bound : the model, of a Normal family
    population : the mean at the predictors' means, (draw, coefficient)
    """

    bound: BoundModel
    population: np.ndarray

    @cached_property
    def joint(self) -> GaussianDensity:
        """The model in which mu varies; p(y | mu, phi) is the same whatever its hyperprior."""
        return GaussianDensity(replace(self.bound, mean_prior=NATURAL_MEAN))

    @cached_property
    def whitened(self) -> np.ndarray:
        """The population, whitened by its prior in `joint`."""
        mean: Any = self.joint.bound.mean
        return (self.population - mean.arguments["mu"]) / mean.arguments["sigma"]

    def conditional(self, lower: np.ndarray) -> np.ndarray:
        """Return M with M M' the precision L L' of all weights but the eliminated ones, in reverse order, mu last.

        Noise n moves the weights by M'^-1 n; the last entries of n determine mu, and are independent of the others.
        """
        lower = np.tril(lower)[::-1]
        return np.linalg.cholesky(lower @ lower.T)

    def at(self, points: np.ndarray) -> FirstStage:
        """Return the conditional of the population given hyperparameters."""
        joint, (count, size) = self.joint, (len(points), self.population.shape[1])
        scaling, s = joint.draws(joint.values(points), count)
        result = FirstStage(joint.each_value(points), np.empty((count, size)), np.empty((count, size, size)))
        for place in range(count):
            factor = joint.factor(scaling, s, place)
            result.mean[place] = factor.mean[:size]
            root = self.conditional(factor.lower)[-size:, -size:][::-1, ::-1]
            result.root[place] = root
            result.height[place] += np.log(np.diag(root)).sum()
        return result

    def ratios(self, points: np.ndarray, log_proposals: np.ndarray, rng: np.random.Generator) -> Ratios:
        """Weigh proposals of the hyperparameters for every draw of the population, and choose one for each."""
        # Imported here because this module is imported wherever a Posterior is.
        from arviz_stats.base.array import array_stats

        finite = np.flatnonzero(np.isfinite(self.joint.each_value(points)))
        first_stage, logs, ess = self.at(points[finite]), -log_proposals[finite], np.empty(len(self.whitened))
        shares, chosen = np.zeros(len(points)), np.empty(len(ess), int)
        for rows in self.blocks():
            weights = first_stage.log_densities(self.whitened[rows]) + logs
            weights = np.exp(weights - weights.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            shares[finite] += weights.sum(axis=0) / len(ess)
            ess[rows] = 1 / (weights**2).sum(axis=1)
            # A sum of many weights may round to less than 1.
            places = (np.cumsum(weights, axis=1) < rng.random((len(weights), 1))).sum(axis=1)
            chosen[rows] = finite[np.minimum(places, len(finite) - 1)]
        poorest = np.argsort(ess)[int(SPARED * len(ess)) :][:JUDGED]
        # ArviZ takes log likelihoods, whose weights are their inverse.
        _, k = array_stats.psislw(-(first_stage.log_densities(self.whitened[poorest]) + logs), axis=-1)
        return Ratios(shares, chosen, float(np.where(np.isnan(k), np.inf, k).max()), float(ess[poorest[0]]))

    def blocks(self) -> Iterator[slice]:
        """Iterate over blocks of draws of the population."""
        for start in range(0, len(self.population), TOGETHER):
            yield slice(start, start + TOGETHER)

    def hyperparameters(self, rng: np.random.Generator) -> tuple[np.ndarray, Ratios]:
        """Draw the hyperparameters once for each draw of the population, as points (draw, size).

        Proposals start around the modes at the mean of the population, and are fitted to their average weights.
        """
        centre = GaussianDensity(replace(self.bound, population=self.population.mean(axis=0)))
        thinned = replace(self, population=self.population[:: -(-len(self.population) // SOME)])
        mixture = Modes.search(centre, rng).mixture
        for _ in range(ROUNDS):
            points = mixture.draw(FEW, rng)
            mixture = mixture.adapted(points, thinned.ratios(points, mixture.log_density(points), rng).shares)
        for count in (PROPOSALS, AGAIN * PROPOSALS):
            points = mixture.draw(count, rng)
            ratios = self.ratios(points, mixture.log_density(points), rng)
            if ratios.trusted:
                break
            mixture = mixture.adapted(points, ratios.shares)
        return points[ratios.chosen], ratios

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


@final
@dataclass(frozen=True, eq=False)
class Stages:
    """How a model with a frozen population is sampled.

    Attributes
    ----------
    bound : the model
    method : the sampler of each stage; of a cut, of the first stage
    """

    bound: BoundModel
    method: NUTS | Laplace

    @classmethod
    def of(cls, bound: BoundModel, method: Any) -> "Stages":
        """Check the method before anything is sampled."""
        prior: Any = bound.second_stage and bound.second_stage.prior
        if not isinstance(method, NUTS | Laplace):
            raise SpecificationError(f"{prior!r}: the two stages are sampled by NUTS() or Laplace(); got {method!r}, "
                                     "whose errors the second would inherit. With freeze=None any method will do.")
        joint = replace(bound, mean_prior=NATURAL_MEAN)
        if prior.freeze == "cut" and not collapses(joint):
            raise SpecificationError(f"{prior!r}: a cut draws all weights exactly, at most {LARGEST} of them beside "
                                     "those of one set of groups. Take freeze='plug-in' or fewer targets.")
        return cls(bound, method)

    @cached_property
    def first_stage(self) -> BoundModel:
        """The model of stage one: the population, on the rows that it is estimated from."""
        bound, term = self.bound, self.bound.second_stage
        assert term is not None
        return replace(bound.with_rows(np.flatnonzero(term.first_stage(bound.frame))), terms=())

    def sample(self, seed: int | None, progress: bool) -> xr.DataTree:
        """Sample both stages: the draws of the second, and in a group "population" those of the first."""
        first_seed, second_seed = np.random.SeedSequence(seed).spawn(2)
        mean, term = self.bound.mean, self.bound.second_stage
        assert mean is not None and term is not None
        first = self.method.sample(self.first_stage, int(first_seed.generate_state(1)[0]), progress)
        population = flat(first)[mean.name]
        if term.freezes_population == "plug-in":
            result = self.plug_in(population.mean(axis=0), int(second_seed.generate_state(1)[0]), progress)
        else:
            result = self.cut(population, first["posterior"].sizes["chain"], np.random.default_rng(second_seed))
        result["population"] = first
        return result

    def plug_in(self, population: np.ndarray, seed: int, progress: bool) -> xr.DataTree:
        """Sample stage two at one value of the population."""
        bound = self.bound
        assert bound.mean is not None
        second = self.method.sample(replace(bound, population=population), seed, progress)
        draws, sizes = flat(second), second["posterior"].sizes
        names = [*(parameter.name for parameter in bound.parameters), *(f"{term.name}_z" for term in bound.terms)]
        values = {name: draws[name] for name in names}
        values[bound.mean.name] = np.tile(population, (sizes["chain"] * sizes["draw"], 1))
        attributes = {str(name): value for name, value in second["posterior"].attrs.items()}
        complete = tree(bound, values, sizes["chain"], **attributes)
        second["posterior"] = complete["posterior"]
        return second

    def cut(self, population: np.ndarray, chains: int, rng: np.random.Generator) -> xr.DataTree:
        """Sample stage two at every draw of the population."""
        bound, second_stage = self.bound, SecondStage(self.bound, population)
        assert bound.mean is not None
        points, ratios = second_stage.hyperparameters(rng)
        values = {bound.mean.name: population, **second_stage.joint.values(points), **second_stage.weights(points, rng)}
        if not ratios.trusted:
            assert bound.second_stage is not None
            warn(f"{bound.second_stage.prior.owner}: in stage two of the cut Pareto k is {ratios.pareto_k:.2f} (at "
                 f"most {ratios.largest_k:.2f}) and the effective sample size {ratios.ess:.0f} (at least "
                 f"{LEAST_ESS:.0f}) at some draws of the population. Take freeze='plug-in', or hyperpriors that say "
                 "more.", ConvergenceWarning)
        result = tree(bound, values, chains, inference_library="bayes_personal", collapsed=1,
                      engine="importance sampling of stage two at every draw of the population")
        result["importance"] = xr.DataTree(xr.Dataset(attrs={"pareto_k": ratios.pareto_k, "ess": ratios.ess,
                                                             "largest_k": ratios.largest_k}))
        return result
