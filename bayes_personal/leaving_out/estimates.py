"""What draws and refits say of rows or groups that are left out one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self, final

import numpy as np
import pandas as pd
from rich.progress import Progress

from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.leaving_out.refit import LEVEL, Refit
from bayes_personal.leaving_out.smoothing import predictive
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.system.arguments import Seed, seed_number

# Thinned draws leave at most this share of the standard error of a sum as its Monte Carlo error.
LARGEST_SHARE = 0.1
# Where more rows than this need a refit, the draws of the posterior are poor.
MOST_REFITS = 200
# Up to this many rows are refitted at once: to leave them out at more draws would take longer.
FEW = 2


class Poor(NamedTuple):
    """A row or group that draws of the posterior may not be enough to leave out.

    Attributes
    ----------
    inexact : whether its densities are known to be off, at whichever draws
    influence : what each draw adds to the error of its log predictive density, (draw,)
    removal : function that returns what a refit without it must know
    """

    inexact: bool
    influence: np.ndarray
    removal: Callable[[], Any]


@final
@dataclass(frozen=True, eq=False)
class Estimates:
    """What draws and refits say of the units or groups that are left out one by one.

    Attributes
    ----------
    elpd, k, left_in, error : log predictive density, Pareto k, log density left in and possible error of the
        integrals, (place,)
    selected : mask of the places that are summed, (place,)
    refits : as in `ELPD`
    good : the largest Pareto k that is not too high
    influence : what each draw adds to the error of the sum, (draw,)
    efficiency : effective sample size of a draw
    """

    elpd: np.ndarray
    k: np.ndarray
    left_in: np.ndarray
    error: np.ndarray
    selected: np.ndarray
    refits: pd.DataFrame
    good: float
    influence: np.ndarray
    efficiency: float

    @classmethod
    def of(cls, plan: LeaveOutPlan, selected: np.ndarray, refit: bool | NUTS, seed: Seed, progress: bool) -> Self:
        """Smooth importance weights, a part of the rows at a time, and refit where that fails."""
        refits = plan.refits(refit, np.random.default_rng(seed_number("loo", seed)))
        labels, influence, poor = plan.labels, np.zeros(plan.count), dict[int, Poor]()
        elpd, k, left_in, error = (np.empty(len(labels)) for _ in range(4))
        refitted: dict[int, tuple[float, float, Refit]] = {}
        enough, efficiency = good_k(plan.count), plan.efficiency
        good = enough
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("leave one out", total=len(labels))
            refit_task = bar.add_task("refit", total=len(labels) if plan.refit_all else None, visible=plan.refit_all)
            for part in plan.parts(partial(bar.advance, task)):
                places = part.places
                elpd[places], k[places], added = judged(part.densities, efficiency, enough)
                left_in[places], error[places] = part.left_in, part.error
                if part.inexact is not None:
                    k[places[part.inexact]] = np.inf
                is_poor = plan.refit_all | ~(k[places] <= enough)
                influence += added.sum(axis=1, where=selected[places] & ~is_poor)
                for entry in np.flatnonzero(selected[places] & is_poor).tolist():
                    inexact = part.inexact is not None and bool(part.inexact[entry])
                    poor[int(places[entry])] = Poor(inexact, added[:, entry].copy(), partial(part.removal, entry))
            again = np.array(sorted(place for place, row in poor.items() if not row.inexact), np.int64)
            at_more_draws = plan.at_more_draws if len(again) > (0 if refits is None else FEW) else None
            if at_more_draws is not None:
                good = good_k(len(plan.more))
                elpd[again], k[again], _ = judged(at_more_draws(again), efficiency, good)
                poor |= {place: poor[place]._replace(influence=np.zeros(plan.count)) for place in again.tolist()}
            failed = [place for place in poor if not k[place] <= good]
            some_are_refitted = refits is not None and len(failed) <= MOST_REFITS
            for place, row in poor.items():
                wanted = plan.refit_all or (some_are_refitted and not k[place] <= good)
                if refits is None or not wanted:
                    influence += row.influence
                    continue
                bar.update(refit_task, visible=True)
                refit_result = refits.without(row.removal())
                refitted[place] = float(k[place]), float(elpd[place]), refit_result
                elpd[place], k[place], error[place] = refit_result.elpd, 0.0, 0.0
                bar.advance(refit_task)
        table = pd.DataFrame([(k_before, elpd_before, after.elpd, after.se, after.ess, "; ".join(after.complaints))
                              for k_before, elpd_before, after in refitted.values()],
                             columns=["pareto_k", "elpd_before", "elpd", "se", "ess", "complaints"],
                             index=labels[list(refitted)] if refitted else labels[:0])
        return cls(elpd, k, left_in, error, selected, table, good, influence, efficiency)

    @property
    def se(self) -> float:
        """Standard error of the sum, as an estimate for other data."""
        summed = self.elpd[self.selected]
        return float(np.sqrt(len(summed) * summed.var(ddof=1))) if len(summed) > 1 else np.nan

    @property
    def of_draws(self) -> float:
        """Monte Carlo variance of the sum that comes from draws."""
        return len(self.influence) * float(self.influence.var()) / self.efficiency

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of the sum."""
        return float(np.sqrt(self.of_draws + (self.refits["se"] ** 2).sum()))

    @property
    def needed(self) -> float:
        """Number of draws with which the Monte Carlo error is a tenth of the standard error."""
        return len(self.influence) * self.of_draws / (LARGEST_SHARE * self.se) ** 2 if self.se > 0 else np.inf


def judged(densities: np.ndarray, efficiency: float, enough: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `predictive` does, with a Pareto k of 0 where it is high though log densities (draw, unit) differ by
    less than `LEVEL`: the weights have no tail to speak of, whatever its shape."""
    elpd, k, influence = predictive(densities, efficiency)
    k[(np.ptp(densities, axis=0) < LEVEL) & ~(k <= enough)] = 0.0
    return elpd, k, influence


def good_k(count: int) -> float:
    """Return the Pareto k up to which weights of so many draws are good, as ArviZ has it."""
    return min(1 - 1 / np.log10(count), 0.7)
