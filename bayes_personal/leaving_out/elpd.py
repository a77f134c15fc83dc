"""Leave-one-out cross-validation with theta_i integrated out."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self, final
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO
from rich.progress import Progress

from bayes_personal.data.rows import InMemory
from bayes_personal.densities.linearised.left_out import leaves_out
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, first, warn
from bayes_personal.leaving_out.question import QUESTIONS, Kind, LeaveOutPlan
from bayes_personal.leaving_out.refit import LEVEL, Refit
from bayes_personal.leaving_out.smoothing import predictive
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.system.arguments import Seed, seed_number
from bayes_personal.system.running import verb

# A refit is trusted with at most this Monte Carlo error, or at least this many effective draws.
LARGEST_ERROR, LEAST_ESS = 0.1, 100.0
# Thinned draws leave at most this share of the standard error of a sum as its Monte Carlo error.
LARGEST_SHARE = 0.1
# Where more rows than this need a refit, the draws of the posterior are poor.
MOST_REFITS = 200
# Up to this many rows are refitted at once: to leave them out at more draws would take longer.
FEW = 2
# The last result of all rows of a posterior, kept as long as the posterior.
RECENT: "WeakKeyDictionary[Posterior, ELPD]" = WeakKeyDictionary()


@final
@dataclass(kw_only=True)
class ELPD(ELPDDataLOO):
    """ArviZ's result, with the question that it answers.

    Attributes
    ----------
    question : the question in words
    conditioning : "unit", "group" or "conditional"
    refits : a row for each unit or group that was refitted: its Pareto k and elpd before, elpd after with its Monte
        Carlo error and effective sample size, and the complaints of the refit's diagnostics
    mcse : Monte Carlo standard error of `elpd`
    complaints : why the result must not be trusted: complaints about the posterior, refits and integrals; empty when
        nothing speaks against it but the Pareto k of some rows
    """

    question: str
    conditioning: str
    refits: pd.DataFrame
    mcse: float
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        refitted = f"\n{len(self.refits)} refitted exactly." if len(self.refits) else ""
        doubt = "\nDO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else ""
        error = f"Monte Carlo error of elpd: {self.mcse:.2g}"
        return f"{self.question}\n{ELPDDataLOO.__str__(self)}{error}{refitted}{doubt}"

    def __repr__(self) -> str:
        return str(self)


@verb
def loo(posterior: Posterior, *, kind: Kind = "unit", by: str | None = None, rows: Any = None,
        refit: bool | NUTS = True, seed: Seed = 0, progress: bool = True) -> ELPD:
    """Estimate the expected log predictive density of rows left out, by Pareto-smoothed importance sampling.

    ``log p(y_i | theta_i)`` must not be reweighted where theta_i leans on y_i itself: its importance weights have no
    variance, and the estimate is optimistic. ``kind="unit"`` first integrates theta_i out given the other rows, so that
    only the parameters that many rows share are reweighted:

    - where the weights integrate out (a Normal family with Normal hyperprior of the mean): ``p(y_i | y_-i, phi)``
      exactly. Rows whose Pareto k is too high are refitted: their part of the sums over rows is taken away, and the
      hyperparameters are sampled anew;
    - where a row has no parameters of its own, and theta follows from mu, a network or types that all rows share:
      ``p(y_i | phi)``, types summed out;
    - for other families whose linear predictor is linear in weights (all of this package), where no group is integrated
      out, under Normal pseudo-data in place of the other rows' likelihoods: ``p(y_i | y_-i, phi)`` up to their error,
      which is small where leaving out the row moves eta_i by less than its standard deviation; other rows are
      refitted, and so are those whose Pareto k is too high, from the fit's own pseudo-data and proposals. Where groups
      are integrated out, ``p(y_i | y_-i, phi, w)`` by quadrature over the weights of the row's group, given all other
      weights w;
    - otherwise, by quadrature: along the direction in which the weights of the row's own group move with eta_i (of all
      weights, where no context has groups), given everything else. Its cost grows with the sum of squared group sizes,
      or with the square of the number of rows. Rows with a high Pareto k are refitted if `refit` says how.

    ``kind="group"`` leaves out all rows of a group together, which is how well a new group is predicted:

    - where the weights integrate out: ``p(y_g | y_-g, phi)`` exactly, for the labels of any column;
    - otherwise, for groups that have weights of their own (``PartialPooling(by)`` and ``Conditional(by)``; groups that
      consist of such groups, or are parts of them), these are integrated out by quadrature given phi and all other
      weights: by product grids up to three of them, beyond that by importance sampling;
    - otherwise, and where rows are of types that are summed out, every group is refitted, if `refit` says how.

    Draws are thinned evenly where all of them would take more than about a second, to as many as leave the Monte Carlo
    error of elpd below a tenth of its standard error, and 250 or more; rows whose Pareto k is too high with few draws
    are left out at 2000 where that is cheap.

    Parameters
    ----------
    posterior
        A fitted model.
    kind
        "unit"; "group"; or "conditional" for ``p(y_i | theta_i)``, which the result then says.
    by
        Column of the groups to leave out, with ``kind="group"``: any column of the training rows.
    rows
        True or False for each training row, in their order: only rows with True are left out and summed. Where new rows
        will be like some of the training rows, such as those of a target domain, only these tell how well new rows are
        predicted. Not with ``kind="group"``.
    refit
        Which rows or groups to refit without: with True, those whose Pareto k is too high, and every group that has no
        weights of its own to integrate out, where all weights integrate out or pseudo-data stand for the rows, for such
        refits are cheap; with a method, ``bp.NUTS()`` or ``bp.NUTS(draws=500)``, the same of any model, sampled by it;
        with False, none. At most 200 for their Pareto k: where it is high in more, the draws of the posterior are poor
        or the model is too narrow, and none is refitted.
    seed
        Seed of the refits; by default the same in every call, so that results compare.
    progress
        Whether to show a progress bar.

    Returns
    -------
    arviz ELPDData
        With pointwise values and Pareto k (0 where it was refitted, and where log densities differ so little between
        draws that weights have no tail), the `question` that it answers, `refits`, the Monte Carlo error `mcse` of
        elpd, and `complaints`, which repeat those of the posterior. ``p``, the effective
        number of parameters, is the sum of ``log p(y_i | y) - log p(y_i | y_-i)``, theta_i integrated out of both:
        about the number of coefficients and scales where rows are many and priors weak, less where theta is pooled.
        Under ``kind="group"`` y_i is all that a group observed.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        An unknown kind, fewer than 25 draws, `by` without ``kind="group"`` or the reverse, `rows` with it; groups
        without weights of their own, which `refit` does not let or cannot refit; an unknown
        `refit`; a population that `FineTuned` freezes.
    InputError
        No such column, a missing label in it, or a single one; `rows` that are not as many truth values as there are
        training rows, two of them True, or have another index.

    Warns
    -----
    ConvergenceWarning
        Rows whose Pareto k is too high; refits that rest on few effective draws, or whose draws are not to be trusted;
        integrals that have not settled.

    References
    ----------
    Vehtari, Gelman and Gabry (2017), doi:10.1007/s11222-016-9696-4. Bürkner, Gabry and Vehtari (2021),
    doi:10.1007/s00180-020-01045-4. Merkle, Furr and Rabe-Hesketh (2019), doi:10.1007/s11336-019-09679-0.
    """
    plan = LeaveOutPlan.of(posterior, kind, by, refit)
    selected = chosen(rows, kind, plan.labels)
    estimates = Estimates.of(plan, selected, refit, seed, progress)
    if plan.thinned and estimates.needed > plan.count:
        plan = LeaveOutPlan.of(posterior, kind, by, refit, estimates.needed)
        estimates = Estimates.of(plan, selected, refit, seed, progress)
    elpd, k, left_in = (each[selected] for each in (estimates.elpd, estimates.k, estimates.left_in))
    labels, table, good = plan.labels[selected], estimates.refits, estimates.good
    exhausted = refit is not False and not plan.refit_all and int((~(k <= good)).sum()) > MOST_REFITS
    doubts = tuple(doubtful(elpd, estimates.error[selected], labels, table, plan))
    warn_of_high_k(k, good, labels, exhausted, plan)
    for doubt in doubts:
        warn(f"loo: {doubt}.", ConvergenceWarning)
    coords = {plan.dimension: np.asarray(plan.coordinate)[selected]}
    elpd_i, pareto_k = (xr.DataArray(each, dims=[plan.dimension], coords=coords) for each in (elpd, k))
    exhausted_words = (f"Pareto k is too high in more than {MOST_REFITS} {plan.noun}",) if exhausted else ()
    result = ELPD(elpd=float(elpd.sum()), se=estimates.se, p=float((left_in - elpd).sum()),
                  n_samples=plan.count, n_data_points=len(elpd), scale="log", warning=bool((k > good).any()),
                  good_k=float(good), elpd_i=elpd_i, pareto_k=pareto_k, question=QUESTIONS[kind], conditioning=kind,
                  refits=table, mcse=estimates.mcse, complaints=(*posterior.complaints, *doubts, *exhausted_words))
    if kind == "unit" and rows is None and refit is not False:
        RECENT[posterior] = deepcopy(result)
    return result


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


def recent(posterior: Posterior) -> ELPD:
    """Return the last result of `loo` for all rows of a posterior, which is computed if there is none yet."""
    if posterior not in RECENT:
        loo(posterior, progress=False)
    return deepcopy(RECENT[posterior])


def chosen(rows: Any, kind: Kind, labels: pd.Index) -> np.ndarray:
    """Return whether each row is chosen."""
    if rows is None:
        return np.ones(len(labels), bool)
    if kind == "group":
        raise SpecificationError("loo: rows= chooses among rows left out one by one, and kind='group' leaves out "
                                 "groups; drop one of them.")
    selected = np.asarray(rows)
    if selected.dtype == object and pd.api.types.infer_dtype(selected, skipna=False) == "boolean":
        selected = selected.astype(bool)
    if selected.dtype != bool or selected.shape != (len(labels),):
        raise InputError(f"loo: rows has the shape {selected.shape} and the type {selected.dtype}; need True or False "
                         f"for each of the {len(labels)} training rows, as in frame['site'] == 'a'.")
    if isinstance(rows, pd.Series) and not rows.index.equals(labels):
        raise InputError("loo: the index of rows is not that of the training rows, so that they may be in another "
                         "order; align it, or give rows.to_numpy() if the order is the same.")
    if selected.sum() < 2:
        raise InputError(f"loo: rows chooses {selected.sum()} of {len(labels)} rows; need two or more.")
    return selected


def warn_of_high_k(k: np.ndarray, good: float, labels: pd.Index, exhausted: bool, plan: LeaveOutPlan) -> None:
    """Warn of results whose Pareto k is too high, with a remedy."""
    high, noun = ~(k <= good), plan.noun
    if high.any():
        warn(f"loo: Pareto k is above {good:.2f} in {high.sum()} of {len(k)} {noun} ({first(labels[high])}): "
             f"these {noun} move the posterior so much that their elpd may be too good. "
             f"{remedy(exhausted, plan)}", ConvergenceWarning)


def remedy(exhausted: bool, plan: LeaveOutPlan) -> str:
    """Return the remedy where Pareto k is too high."""
    bound = plan.posterior.bound
    if exhausted:
        return (f"More than {MOST_REFITS} are not refitted: the posterior has too few effective draws, or "
                f"the model is too narrow, with outcomes that vary more than {bound.family!r} says they do.")
    if plan.kind == "conditional":
        return "kind='unit' does not ask p(y_i | theta_i), of which these rows have seen too much."
    if leaves_out(bound) and not isinstance(bound.rows, InMemory):
        return "With all rows in memory, as a table, they are left out in earnest."
    if plan.density is None and not leaves_out(bound):
        return "refit=bp.NUTS() leaves them out in earnest, a fit for each."
    heavier = bound.family.heavier if bound.division is None and bound.elsewhere is None else ""
    return "refit=True leaves them out in earnest." + (
        f" A family with heavier tails, such as {heavier}, may suit them better." if heavier else "")


def doubtful(elpd: np.ndarray, error: np.ndarray, labels: pd.Index, refits: pd.DataFrame,
             plan: LeaveOutPlan) -> Iterator[str]:
    """Yield the reasons why results must not be trusted, apart from those of the posterior."""
    noun, wrong = plan.noun, ~np.isfinite(elpd)
    if wrong.any():
        yield f"{wrong.sum()} of {len(elpd)} {noun} ({first(labels[wrong])}) have an elpd that is not finite"
    if (unsettled := error > 0).any():
        yield (f"integrals over a group's own weights have not settled, in {unsettled.sum()} of {len(error)} cases "
               f"({first(labels[unsettled])}): the log density of some draws is uncertain by {error.max():.2g} at most")
    if (few_draws := ~((refits["se"] <= LARGEST_ERROR) | (refits["ess"] >= LEAST_ESS)).to_numpy(bool)).any():
        yield (f"{few_draws.sum()} of {len(refits)} refits ({first(refits.index[few_draws])}) rest on few effective "
               f"draws; their Monte Carlo error is up to {refits['se'].max():.2f}")
    if (untrusted := (refits["complaints"] != "").to_numpy()).any():
        yield (f"the draws of {untrusted.sum()} of {len(refits)} refits are not to be trusted, the first that without "
               f"{first(refits.index[untrusted][:1])}: {refits['complaints'][untrusted].iloc[0]}")
