"""Exact leave-out: the posterior without some rows, sampled anew, and its prediction of these rows.

References: Meng and Wong (1996), Statistica Sinica 6:831. Gronau et al. (2017), doi:10.1016/j.jmp.2017.09.005.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import xarray as xr
from arviz_stats.base.array import array_stats
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import Values
from bayes_personal.densities.linearised.left_out import LeftOutRows
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.densities.walk.walk_density import WalkDensity
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.samplers.corrected import AGAIN, Sample, corrected, judged, target_of
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.importance import Pool, Weighted, largest_k
from bayes_personal.samplers.joint_proposals import fitted
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.modes import Modes
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.proposal import HyperpriorProposal, Proposal, Proposes, Skewed
from bayes_personal.samplers.walk_sampling import WalkSampling

# Rounds of the iteration that finds the bridge, which takes a handful.
ROUNDS = 100
# Draws given all rows that are tried before anything is sampled anew. They are enough with a Pareto k that is good, or
# with logs that differ by less than LEVEL, whose weights have no tail to speak of.
SOME, LEVEL = 100, 1.0
# Draws that are weighted at a time where a refit starts from the fit, a power of two, and how often.
REFITTED, TURNS = 1024, 6
# Effective draws that are enough for the ratio of two evidences: its error is then a tenth.
ENOUGH = 100.0
# How the scales of a walk are sampled anew, from draws given all rows.
WALKED = WalkSampling(draws=500, tune=50, thin=1)
# How a walk whose family is not Normal is fitted anew.
SHORT_WALK = WalkSampling(draws=500, tune=200)


@final
@dataclass(frozen=True)
class Refit:
    """log p(rows left out | the other rows).

    Attributes
    ----------
    elpd : the estimate
    se : Monte Carlo error
    ess : effective sample size of the average over the posterior without the rows, small where they are in its tail;
        the smaller one of two bridged averages
    complaints : why the draws behind the estimate must not be trusted
    """

    elpd: float
    se: float
    ess: float
    complaints: tuple[str, ...] = ()

    @classmethod
    def averaged(cls, logs: np.ndarray, tree: xr.DataTree, bound: BoundModel | None = None) -> "Refit":
        """Average log p(rows left out | draw) over all draws of a tree, one chain after the other."""
        average = Average.of(logs, tree["posterior"].sizes["chain"])
        return cls(average.log, average.error, average.ess, Diagnostics.of(tree, bound).complaints)

    @classmethod
    def bridged(cls, logs: np.ndarray, tree: xr.DataTree, logs_all: np.ndarray, chains: int,
                bound: BoundModel | None = None) -> "Refit":
        """Combine `logs` with `logs_all`, log p(rows left out | draw) at draws given all rows.

        Where the rows left out are in the tail of the prediction from the other rows, the average over draws given
        these depends on few of them; where the rows move the posterior, so does the harmonic mean over draws given all
        rows. The bridge between the two posteriors (Meng and Wong 1996) rests on the region that both cover.
        """
        count = tree["posterior"].sizes["chain"]
        share_without, share_all = np.log(np.array([len(logs), len(logs_all)]) / (len(logs) + len(logs_all)))
        elpd, last_elpd = Average.of(logs, count).log, np.inf
        for _ in range(ROUNDS):
            average_without = Average.of(logs - np.logaddexp(share_all + logs, share_without + elpd), count)
            average_all = Average.of(-np.logaddexp(share_all + logs_all, share_without + elpd), chains)
            last_elpd, elpd = elpd, average_without.log - average_all.log
            if abs(elpd - last_elpd) < 1e-9:
                break
        error, ess = np.hypot(average_without.error, average_all.error), min(average_without.ess, average_all.ess)
        return cls(elpd, float(error), ess, Diagnostics.of(tree, bound).complaints)

    def settled(self, error: float) -> "Refit":
        """Add a complaint where the integrals of some draws have not settled and may be off by `error`."""
        words = f"integrals over the weights of its groups have not settled, to {error:.2g} at the worst draw"
        return replace(self, complaints=(*self.complaints, words)) if error else self


class Average(NamedTuple):
    """The log of an average over draws.

    Attributes
    ----------
    log : log of the average
    error : Monte Carlo error of `log`
    ess : effective sample size, from the autocorrelation of the chains and the shares of draws in the sum
    """

    log: float
    error: float
    ess: float

    @classmethod
    def of(cls, logs: np.ndarray, chains: int) -> "Average":
        """Average draws given their logs, one chain after the other."""
        highest = logs.max()
        relative = np.exp(logs - highest).reshape(chains, -1)
        mean = float(relative.mean())
        if np.ptp(relative) <= 1e-12:
            return cls(float(highest + np.log(mean)), 0.0, float(relative.size))
        ess: Any = array_stats.ess(relative, method="mean")
        error: Any = array_stats.mcse(relative, method="mean")
        efficiency = min(float(ess) / relative.size, 1.0)
        return cls(float(highest + np.log(mean)), float(error) / mean,
                   efficiency * float(relative.sum() ** 2 / (relative**2).sum()))


@final
@dataclass(frozen=True, eq=False)
class MarginalRefits:
    """Refits of a model of which all but the hyperparameters integrates out.

    Attributes
    ----------
    density : the model with all rows
    rng : generator for sampling
    method : sampler; None for importance sampling, and NUTS() where the importance ratios cannot be trusted
    values, chains : draws given all rows, if they are draws of the posterior itself; empty where not
    evidence : log of the evidence given all rows, with its standard error, where the fit knows it
    """

    density: MarginalDensity
    rng: np.random.Generator
    method: NUTS | None
    values: Values
    chains: int
    evidence: tuple[float, float] | None = None

    @cached_property
    def subset(self) -> tuple[np.ndarray, np.ndarray]:
        """A few of the draws given all rows, as points, and log p(y, phi) at each."""
        points = self.density.points(self.values)
        points = points[np.linspace(0, len(points) - 1, min(SOME, len(points))).astype(int)]
        return points, self.density.each_value(points)

    @cached_property
    def given_all(self) -> tuple[float, float]:
        """The log of the evidence given all rows, and its standard error, infinite where it cannot be trusted."""
        if self.evidence is not None:
            return self.evidence
        sample = self._sampled(self.density)
        return sample.log_evidence, sample.log_evidence_se if sample.trusted else np.inf

    @cached_property
    def _proposal(self) -> Proposal:
        """Proposals that are fitted to the draws given all rows."""
        points = self.density.points(self.values)
        component = Skewed.fitted(points, np.full(len(points), 1 / len(points)))
        return Proposal((component,), np.ones(1), HyperpriorProposal(self.density))

    def _sampled(self, density: MarginalDensity) -> Weighted:
        """Sample by importance, at first from where the fit is, then from the density's own modes."""
        if self.values:
            weighted = self._near_fit(density)
            if weighted.trusted:
                return weighted
        return Laplace().weighted(density, self.rng)

    def _near_fit(self, density: MarginalDensity) -> Weighted:
        """Draw from proposals that are fitted to the draws given all rows, weighted as draws given the other rows, and
        then adapted to rounds of draws; the last round is judged by itself."""
        points, log_all = self.subset
        ratios = density.each_value(points) - log_all
        proposal = self._proposal.adapted(points, np.exp(ratios - logsumexp(ratios)))
        modes, pool = Modes(density, list(proposal.components)), Pool.empty(density.size)
        for _ in range(TURNS):
            points = proposal.draw(REFITTED, self.rng)
            weighted = Weighted.of(points, density.each_value(points), proposal.log_density(points), ENOUGH)
            if weighted.trusted:
                break
            pool = pool.with_round(proposal, points, weighted.log_densities)
            proposal = modes.grown(proposal.adapted(pool.points, pool.weighted.weights), weighted)
        return weighted

    def without(self, removed: Any) -> Refit:
        """Leave out the rows that `removed` describes to the density."""
        reduced = self.density.without(removed)
        if reduced.size == 0:
            none = np.zeros(0)
            return Refit(self.density.value(none) - reduced.value(none), 0.0, np.inf)
        if self.values and not self.density.leave_one_out_exact:
            refit = self.reweighted(reduced)
            if refit is not None:
                return refit
        if self.method is None and isinstance(reduced, WalkDensity):
            return self._bridged(reduced, *self._swept(reduced))
        if self.method is None:
            sample = self._sampled(reduced)
            if sample.trusted:
                return self.weighted(reduced, sample)
        method = self.method or NUTS()
        points, statistics = method.walk(reduced, int(self.rng.integers(2**31)), progress=False)
        return self._bridged(reduced, points, as_tree(reduced, points, method.chains, statistics))

    def _swept(self, reduced: WalkDensity) -> tuple[np.ndarray, xr.DataTree]:
        """Draw the scales of a walk by Gibbs sampling, from draws given all rows where there are any."""
        starts = None
        if self.values:
            points = self.density.points(self.values)
            starts = points[self.rng.choice(len(points), WALKED.chains)]
        points = WALKED.walk(reduced, self.rng, False, starts)
        return points, as_tree(reduced, points, WALKED.chains, None)

    def _bridged(self, reduced: MarginalDensity, points: np.ndarray, tree: xr.DataTree) -> Refit:
        """Estimate from a sampler's draws given the other rows, bridged to those given all rows if there are any."""
        if not self.values:
            return Refit.averaged(self.predicted(reduced, points), tree, reduced.bound)
        logs_all = self.predicted(reduced, self.density.points(self.values))
        return Refit.bridged(self.predicted(reduced, points), tree, logs_all, self.chains, reduced.bound)

    def reweighted(self, reduced: MarginalDensity) -> Refit | None:
        """Reweight a few of the draws given all rows, all else integrated out; None where their weights have a tail."""
        points, log_all = self.subset
        logs = log_all - reduced.each_value(points)
        smoothed, k = -logs - logsumexp(-logs), 0.0
        if np.ptp(logs) > LEVEL:
            smoothed, k = array_stats.psislw(logs)
        if not k <= largest_k(len(logs)):
            return None
        weights = np.exp(smoothed)
        relative = weights / weights.mean()
        elpd: Any = logsumexp(smoothed + logs)
        return Refit(float(elpd), float(relative.std() / np.sqrt(len(logs))),
                     float(1 / (weights**2).sum()))

    def predicted(self, reduced: MarginalDensity, points: np.ndarray) -> np.ndarray:
        """Return log p(y_out | rest, phi), (draw,)."""
        return self.density.each_value(points) - reduced.each_value(points)

    def weighted(self, reduced: MarginalDensity, sample: Weighted) -> Refit:
        """Estimate from an importance sample of the hyperparameters given the rest of the rows.

        There are two estimates: the average of p(y_out | rest, phi) over the posterior given the rest, and the ratio of
        the evidences with and without the rows, which holds where these are in the tail of the prediction. The one with
        the smaller error is used.
        """
        # Proposals where the density is not finite have no weight.
        positive = sample.weights > 0
        logs = self.density.each_value(sample.points[positive]) - sample.log_densities[positive]
        weights = sample.weights[positive]
        highest = logs.max()
        parts = weights * np.exp(logs - highest)
        mean = parts.sum()
        ess = float(mean**2 / (parts**2).sum())
        se = float(np.sqrt(((parts - weights * mean) ** 2).sum()) / mean)
        log_evidence, evidence_se = self.given_all
        ratio_se = float(np.hypot(sample.log_evidence_se, evidence_se))
        if ratio_se < se:
            return Refit(log_evidence - sample.log_evidence, ratio_se, ess)
        return Refit(float(highest + np.log(mean)), se, ess)


def as_tree(density: MarginalDensity, points: np.ndarray, chains: int, statistics: xr.Dataset | None) -> xr.DataTree:
    """Arrange draws of the hyperparameters and the sampler's statistics in a tree, to be diagnosed."""
    draws = {name: (("chain", "draw", *density.bound.dims[name]), value.reshape(chains, -1, *value.shape[1:]))
             for name, value in density.values(points).items()}
    of_sampler = {} if statistics is None else {"sample_stats": statistics}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(draws), **of_sampler})


@final
@dataclass(frozen=True, eq=False)
class ApproximatedRefits:
    """Refits of a model in memory whose likelihood pseudo-data stand for, by importance sampling.

    They start from the fit: its pseudo-data, and proposals that are fitted to its draws.

    Attributes
    ----------
    rows : draws given all rows, with their pseudo-data
    rng : generator for sampling
    evidence : log of the evidence given all rows, with its standard error, where the fit knows it
    """

    rows: LeftOutRows
    rng: np.random.Generator
    evidence: tuple[float, float] | None

    @cached_property
    def given_all(self) -> tuple[float, float]:
        """The log of the evidence given all rows, and its standard error."""
        if self.evidence is not None:
            return self.evidence
        sample = self._sampled(self.rows.density).weighted
        return sample.log_evidence, sample.log_evidence_se

    @cached_property
    def _proposal(self) -> Proposes:
        density = self.rows.density
        return fitted(density, density.points(self.rows.values))

    def _sampled(self, density: LinearisedDensity) -> Sample:
        if density.size + density.weights:
            sample = judged(target_of(density), self._proposal, REFITTED, AGAIN, self.rng,
                            enough=ENOUGH)
            if sample.trusted:
                return sample
        again = linearised(density.bound, self.rng)[0]
        return corrected(again, again.effort.proposals, AGAIN, self.rng)

    def without(self, rows: np.ndarray) -> Refit:
        """Leave out the rows at these positions.

        The estimate is the ratio of the evidences with and without them, which holds in the tail of a prediction too.
        """
        density = self.rows.density
        remaining = np.setdiff1d(np.arange(len(density.bound.rows)), rows)
        reduced = replace(density, bound=density.bound.with_rows(remaining), pseudo=density.pseudo.take(remaining))
        sample, (log_all, error_all) = self._sampled(reduced), self.given_all
        weighted = sample.weighted
        return Refit(log_all - weighted.log_evidence, float(np.hypot(error_all, weighted.log_evidence_se)),
                     weighted.ess, () if sample.trusted else (sample.problem,))


@final
@dataclass(frozen=True, eq=False)
class ExplicitRefits:
    """Refits of any model that is in memory: the other rows are sampled with all weights.

    The levels, scalings and bases that terms learned from the training rows are kept. A draw predicts the rows left
    out with the weights of their groups integrated out, where there are groups.

    Attributes
    ----------
    integral : integral over the weights of the groups left out, in the model with all rows
    rng : generator for sampling
    method : sampler
    values, chains : draws given all rows, if they are draws of the posterior itself; empty where not
    """

    integral: GroupIntegral
    rng: np.random.Generator
    method: NUTS | WalkSampling
    values: Values
    chains: int

    def without(self, rows: np.ndarray) -> Refit:
        """Leave out the rows at these positions."""
        bound = self.integral.bound
        remaining = np.setdiff1d(np.arange(len(bound.rows)), rows)
        reduced = bound.with_rows(remaining)
        tree = self.method.sample(reduced, int(self.rng.integers(2**31)), progress=False)
        ((logs, error),) = self.integral.left_out(flat(tree), [rows])
        if not self.values:
            return Refit.averaged(logs, tree, reduced).settled(error)
        ((logs_all, error_all),) = self.integral.left_out(self.values, [rows])
        return Refit.bridged(logs, tree, logs_all, self.chains, reduced).settled(max(error, error_all))
