"""Leave-one-out cross-validation with theta_i integrated out."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.data.rows import InMemory
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.linearised.left_out import leaves_out
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, first, warn
from bayes_personal.leaving_out.estimates import MOST_REFITS, Estimates
from bayes_personal.leaving_out.question import PSEUDO, QUESTIONS, Kind, LeaveOutPlan
from bayes_personal.leaving_out.result import ELPD, joined, pooled
from bayes_personal.leaving_out.shared_rows import of_shared_divisions, of_shared_functions
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.posterior.posterior import Posterior, must_not_share
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.system.arguments import Seed, seed_number
from bayes_personal.system.running import verb

# A refit is trusted with at most this Monte Carlo error, or at least this many effective draws.
LARGEST_ERROR, LEAST_ESS = 0.1, 100.0
# The last result of all rows of a posterior, kept as long as the posterior.
RECENT: "WeakKeyDictionary[Posterior, ELPD]" = WeakKeyDictionary()


@verb
def loo(posterior: Posterior | NetworkPosterior | PooledNetworkPosterior, *, kind: Kind = "unit", by: str | None = None,
        rows: Any = None, refit: bool | NUTS = True, seed: Seed = 0, progress: bool = True) -> ELPD:
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
      weights, where no context has groups; of several linear predictors with the sum of them that y_i tells most of),
      given everything else. Its cost grows with the sum of squared group sizes,
      or with the square of the number of rows. Rows with a high Pareto k are refitted if `refit` says how.

    ``kind="group"`` leaves out all rows of a group together, which is how well a new group is predicted:

    - where the weights integrate out: ``p(y_g | y_-g, phi)`` exactly, for the labels of any column;
    - otherwise, for groups that have weights of their own (``PartialPooling(by)`` and ``Conditional(by)``; groups that
      consist of such groups, or are parts of them), these are integrated out by quadrature given phi and all other
      weights: by product grids up to three of them, beyond that by importance sampling;
    - otherwise, and where rows are of types that are summed out, every group is refitted, if `refit` says how.

    Of a network whole rows are left out. Where its nodes are independent given the data, the log predictive density of
    a row is the sum of those of the nodes; where they share divisions, types of rows or a network of contexts, it is
    ``p(x_i | x_-i, phi)`` of all these nodes together, summed over divisions and types. Rows are then refitted with
    ``refit=bp.NUTS()`` alone, and not where nodes share divisions. Where orders of the nodes are pooled, the predictive
    density of a row is the mean of those of all orders, each of which is left out by itself.

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
        Where orders of the nodes are pooled it is the mean of theirs.
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
    if isinstance(posterior, PooledNetworkPosterior):
        return pooled({name: loo(order, kind=kind, by=by, rows=rows, refit=refit, seed=seed, progress=progress)
                       for name, order in posterior.by_order.items()})
    if isinstance(posterior, NetworkPosterior):
        return of_network(posterior, kind, lambda node: loo(node, kind=kind, by=by, rows=rows, refit=refit, seed=seed,
                                                            progress=progress), rows, refit, seed)
    must_not_share("loo", posterior)
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


def recent(posterior: Posterior | NetworkPosterior) -> ELPD:
    """Return the last result of `loo` for all rows of a posterior, which is computed if there is none yet."""
    if isinstance(posterior, NetworkPosterior):
        return of_network(posterior, "unit", recent)
    if posterior not in RECENT:
        loo(posterior, progress=False)
    return deepcopy(RECENT[posterior])


def of_network(posterior: NetworkPosterior, kind: Kind, of_node: Callable[[Posterior], ELPD], rows: Any = None,
               refit: bool | NUTS = True, seed: Seed = 0) -> ELPD:
    """Return the result for whole rows of a network, from the results of nodes by themselves."""
    results: dict[str, ELPD] = {}
    apart = {node: each for node, each in posterior.nodes.items() if not each.in_common}
    if len(apart) < len(posterior.nodes):
        together = next(each for each in posterior.nodes.values() if each.in_common)
        kinds = ("unit",) if posterior.whole is None else ("unit", "conditional")
        if kind not in kinds or isinstance(refit, NUTS) and (posterior.whole is None or kind != "unit"):
            never = " and without refits" if posterior.whole is None else ", of which the first may have refits"
            raise SpecificationError(f"loo: nodes share the {together.in_common} of {posterior.model.prior!r}, and "
                                     f"rows are left out of all nodes at once, by kind={' or '.join(map(repr, kinds))}"
                                     f"{never}. Leave kind= and refit= at their defaults.")
        selected = chosen(rows, kind, posterior.index)
        if posterior.shared is not None:
            results["shared divisions"] = of_shared_divisions(posterior, posterior.shared, selected)
        if posterior.whole is not None:
            results["shared functions"] = of_shared_functions(posterior, posterior.whole, kind, selected, refit,
                                                              seed_number("loo", seed))
    results |= {node: of_node(each) for node, each in apart.items()}
    return joined(results, f"{PSEUDO} {QUESTIONS[kind]}" if posterior.model.pseudo else QUESTIONS[kind])


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
    if expands(bound):
        return "Such rows are not refitted here: fit without a row, and compare it with what predict says of it."
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
