"""Exact leave-out: the posterior without some rows, sampled anew, and what it predicts for them.

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
from bayes_personal.data.rows import InMemory
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.importance import Weighted
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.nuts import NUTS

# Of the iteration that finds the bridge: it takes a handful.
ROUNDS = 100
# Draws given all rows that are looked at before anything is sampled anew, and what makes them enough: a Pareto k up to
# the first number, or logs that differ by less than the second, whose weights have no tail to speak of.
SOME, LIGHT, LEVEL = 100, 0.5, 1.0


@final
@dataclass(frozen=True)
class Refit:
    """log p(what is left out | the rest).

    Attributes
    ----------
    elpd : its estimate
    se : Monte Carlo error
    ess : effective sample size of the average over the posterior without the rows, small where they are in its tail; of
        two averages that are bridged, the smaller one
    complaints : why the draws that it rests on must not be trusted
    """

    elpd: float
    se: float
    ess: float
    complaints: tuple[str, ...] = ()

    @classmethod
    def averaged(cls, logs: np.ndarray, tree: xr.DataTree, bound: BoundModel | None = None) -> "Refit":
        """From log p(what is left out | draw) at all draws of a tree, chains one after the other."""
        average = Average.of(logs, tree["posterior"].sizes["chain"])
        return cls(average.log, average.error, average.ess, Diagnostics.of(tree, bound).complaints)

    @classmethod
    def bridged(cls, logs: np.ndarray, tree: xr.DataTree, others: np.ndarray, chains: int,
                bound: BoundModel | None = None) -> "Refit":
        """From the same, and from `others`, log p(what is left out | draw) at draws given all rows.

        Where what is left out is in the tail of what the rest predict, the average over draws given the rest hangs on
        few of them, and where it moves the posterior, the harmonic mean over draws given all rows does. The bridge
        between the two posteriors (Meng and Wong 1996) rests on the draws that they have in common.
        """
        count = tree["posterior"].sizes["chain"]
        ours, theirs = np.log(len(logs) / (len(logs) + len(others))), np.log(len(others) / (len(logs) + len(others)))
        elpd, before = Average.of(logs, count).log, np.inf
        for _ in range(ROUNDS):
            rest = Average.of(logs - np.logaddexp(theirs + logs, ours + elpd), count)
            everything = Average.of(-np.logaddexp(theirs + others, ours + elpd), chains)
            before, elpd = elpd, rest.log - everything.log
            if abs(elpd - before) < 1e-9:
                break
        return cls(elpd, float(np.hypot(rest.error, everything.error)), min(rest.ess, everything.ess),
                   Diagnostics.of(tree, bound).complaints)

    def settled(self, error: float) -> "Refit":
        """The same, with a complaint where the integrals of some draws have not settled and may be off by `error`."""
        words = f"integrals over the weights of its groups have not settled, to {error:.2g} at the worst draw"
        return replace(self, complaints=(*self.complaints, words)) if error else self


class Average(NamedTuple):
    """The log of an average over draws.

    Attributes
    ----------
    log : of the average
    error : Monte Carlo error of that
    ess : effective sample size: of the chains, and of the shares that draws have in the sum
    """

    log: float
    error: float
    ess: float

    @classmethod
    def of(cls, logs: np.ndarray, chains: int) -> "Average":
        """From the logs, chains one after the other."""
        highest = logs.max()
        each = np.exp(logs - highest).reshape(chains, -1)
        mean = float(each.mean())
        if np.ptp(each) <= 1e-12:
            return cls(float(highest + np.log(mean)), 0.0, float(each.size))
        ess: Any = array_stats.ess(each, method="mean")
        error: Any = array_stats.mcse(each, method="mean")
        efficiency = min(float(ess) / each.size, 1.0)
        return cls(float(highest + np.log(mean)), float(error) / mean,
                   efficiency * float(each.sum() ** 2 / (each**2).sum()))


@final
@dataclass(frozen=True, eq=False)
class MarginalRefits:
    """Refits of a model of which all but the hyperparameters integrates out.

    Attributes
    ----------
    density : the model with all rows
    rng : for what is sampled
    method : how; by default by importance, and by NUTS() where the importance ratios cannot be trusted
    values, chains : draws given all rows, which are of use if they are draws of the posterior itself; none where not
    """

    density: MarginalDensity
    rng: np.random.Generator
    method: NUTS | None
    values: Values
    chains: int

    @cached_property
    def some(self) -> tuple[np.ndarray, np.ndarray]:
        """A few of the draws given all rows, as points, and log p(y, phi) there."""
        points = self.density.points(self.values)
        points = points[np.linspace(0, len(points) - 1, min(SOME, len(points))).astype(int)]
        return points, self.density.each_value(points)

    @cached_property
    def everything(self) -> Weighted:
        """The hyperparameters' posterior given all rows, by importance."""
        return Laplace().weighted(self.density, self.rng)

    def without(self, taken: Any) -> Refit:
        """Leave out rows, of which `taken` is what the density must know."""
        rest = self.density.without(taken)
        if rest.size == 0:
            none = np.zeros(0)
            return Refit(self.density.value(none) - rest.value(none), 0.0, np.inf)
        if self.values and not self.density.leave_one_out_exact:
            found = self.reweighted(rest)
            if found is not None:
                return found
        if self.method is None:
            found = Laplace().weighted(rest, self.rng)
            if found.trusted:
                return self.weighted(rest, found)
        method = self.method or NUTS()
        points, statistics = method.walk(rest, int(self.rng.integers(2**31)), progress=False)
        tree = as_tree(rest, points, method.chains, statistics)
        if not self.values:
            return Refit.averaged(self.predicted(rest, points), tree, rest.bound)
        others = self.predicted(rest, self.density.points(self.values))
        return Refit.bridged(self.predicted(rest, points), tree, others, self.chains, rest.bound)

    def reweighted(self, rest: MarginalDensity) -> Refit | None:
        """From a few of the draws given all rows, all else integrated out; None where the weights of the draws have a
        tail."""
        points, everything = self.some
        logs = everything - rest.each_value(points)
        smoothed, k = -logs - logsumexp(-logs), 0.0
        if np.ptp(logs) > LEVEL:
            smoothed, k = array_stats.psislw(logs)
        if not k <= LIGHT:
            return None
        weights = np.exp(smoothed)
        relative = weights / weights.mean()
        elpd: Any = logsumexp(smoothed + logs)
        return Refit(float(elpd), float(relative.std() / np.sqrt(len(logs))),
                     float(1 / (weights**2).sum()))

    def predicted(self, rest: MarginalDensity, points: np.ndarray) -> np.ndarray:
        """log p(y_out | rest, phi), (draw,)."""
        return self.density.each_value(points) - rest.each_value(points)

    def weighted(self, rest: MarginalDensity, found: Weighted) -> Refit:
        """From an importance sample of the hyperparameters given the rest.

        Two estimates: the average of p(y_out | rest, phi) over the posterior given the rest, and the ratio of the
        evidences with and without, which holds where what is left out is in the tail of what the rest predict. That
        with the smaller error is taken.
        """
        # Proposals beyond where densities are finite have no weight, and predict nothing.
        of = found.weights > 0
        logs, weights = self.predicted(rest, found.points[of]), found.weights[of]
        highest = logs.max()
        parts = weights * np.exp(logs - highest)
        mean = parts.sum()
        ess = float(mean**2 / (parts**2).sum())
        se = float(np.sqrt(((parts - weights * mean) ** 2).sum()) / mean)
        if self.everything.trusted:
            ratio_se = float(np.hypot(found.log_evidence_se, self.everything.log_evidence_se))
            if ratio_se < se:
                return Refit(self.everything.log_evidence - found.log_evidence, ratio_se, ess)
        return Refit(float(highest + np.log(mean)), se, ess)


def as_tree(density: MarginalDensity, points: np.ndarray, chains: int, statistics: xr.Dataset) -> xr.DataTree:
    """Draws of the hyperparameters with the sampler's statistics, to be diagnosed."""
    draws = {name: (("chain", "draw", *density.bound.dims[name]), value.reshape(chains, -1, *value.shape[1:]))
             for name, value in density.values(points).items()}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(draws), "sample_stats": statistics})


@final
@dataclass(frozen=True, eq=False)
class ExplicitRefits:
    """Refits of any model that is in memory: the other rows are sampled with all weights.

    What terms learned of the training rows stays as it is: levels, scalings, bases. A draw predicts what is left out
    with the weights of its groups integrated out, where there are groups.

    Attributes
    ----------
    integral : of the model with all rows, over weights of what is left out
    rng : for what is sampled
    method : how
    values, chains : draws given all rows, which are of use if they are draws of the posterior itself; none where not
    """

    integral: GroupIntegral
    rng: np.random.Generator
    method: NUTS
    values: Values
    chains: int

    def without(self, rows: np.ndarray) -> Refit:
        """Leave out the rows at these places."""
        bound = self.integral.bound
        kept = np.setdiff1d(np.arange(len(bound.rows)), rows)
        rows_left = InMemory(bound.frame.iloc[kept], bound.x[kept], bound.y[kept], bound.constants[kept])
        rest = replace(bound, rows=rows_left)
        tree = self.method.sample(rest, int(self.rng.integers(2**31)), progress=False)
        ((logs, error),) = self.integral.left_out(flat(tree), [rows])
        if not self.values:
            return Refit.averaged(logs, tree, rest).settled(error)
        ((others, other),) = self.integral.left_out(self.values, [rows])
        return Refit.bridged(logs, tree, others, self.chains, rest).settled(max(error, other))
