"""Comparison of sharing assumptions on the same data."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from arviz_stats.loo import compare as compare_elpd
from rich.markup import escape
from rich.progress import Progress

from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import ConvergenceWarning, SpecificationError, warn
from bayes_personal.families import Family, Normal
from bayes_personal.formulas.nodes import several
from bayes_personal.leaving_out.elpd import loo
from bayes_personal.leaving_out.question import Kind
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.leaving_out.stacking import stacked
from bayes_personal.model.model import Model
from bayes_personal.model.network_model import Network
from bayes_personal.posterior.fitting import fit, sampler
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors import Prior
from bayes_personal.system.arguments import Seed, seed_number
from bayes_personal.system.running import verb

type Fitted = Posterior | NetworkPosterior | PooledNetworkPosterior
type Assumption = Prior | Model | Network | Fitted


@verb
def compare(assumptions: Sequence[Assumption] | Mapping[str, Assumption],
            formula: str | None = None, data: Any = None, *, family: Family | None = None, kind: Kind = "unit",
            by: str | None = None, rows: Any = None, method: Any = None, seed: Seed = None,
            progress: bool = True) -> pd.DataFrame:
    """Compare assumptions about similarity between rows by how well they predict.

    Parameters
    ----------
    assumptions
        Priors, which need `formula` and `data`; models or networks, which need `data`; posteriors of the same data; or
        some of each. A mapping names them; in a sequence the `repr` of a prior is its name.
    formula, data, family
        As in `Model` and `fit`, for the assumptions that are not fitted yet. A formula with several outcomes is that of
        a `Network`.
    kind, by, rows
        As in `loo`: with ``rows=frame["site"] == "a"`` assumptions are ranked, and weighed, by how well they predict
        that site; all are fitted to all rows. A handful of rows may rank, but stacking weights of so few are uncertain.
    method, seed, progress
        As in `fit`.

    Returns
    -------
    pandas.DataFrame
        A row an assumption, best first: ``elpd`` and ``se``; ``difference`` to the best and its ``difference_se``;
        ``p_loo``, the effective number of parameters; stacking ``weight``; ``high_k``, the number of rows whose Pareto
        k is too high; ``conditioning``; ``complaints``, why the posterior or its refits must not be trusted, empty
        where nothing speaks against them; ``verdict`` in words. Assumptions with complaints stand last, are not called
        best and have no weight (NaN): the results of the others do not rest on them.

    Raises
    ------
    SpecificationError
        Fewer than two assumptions, names that repeat, posteriors of different outcomes, a family of counts beside one
        of measurements, a pseudo-likelihood beside a density, or a formula, data or family that is missing or has
        nothing to apply to.
    InputError
        As `loo` does.

    Warns
    -----
    ConvergenceWarning
        Posteriors or refits that must not be trusted.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman (2018), doi:10.1214/17-BA1091. Sivula, Magnusson, Matamoros and Vehtari (2025),
    doi:10.1214/25-BA1569, on when a difference is no evidence.
    """
    method = sampler("compare", method)
    by_name = name_all(assumptions)
    applied = any(each is not None for each in (formula, data, family))
    if applied and all(map(is_fitted, by_name.values())):
        raise SpecificationError("compare: all assumptions are fitted already, so that formula, data and family have "
                                 "nothing to apply to.")
    named = {name: stated(name, assumption, formula, data, family) for name, assumption in by_name.items()}
    seed = seed_number("compare", seed)
    results: dict[str, ELPD] = {}
    first: Fitted | None = None
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("comparing", total=len(named))
        for name, assumption in named.items():
            bar.update(task, description=f"comparing: {escape(name)}")
            posterior: Fitted = fit(assumption, data, seed=seed, method=method, progress=False) if isinstance(
                assumption, Model | Network) else assumption
            first = first or posterior
            if not same_outcome(first, posterior):
                raise SpecificationError(f"compare: {name!r} was fitted to another outcome than the first, to its "
                                         "rows in another order, or with other rows censored; predictive densities of "
                                         "different data do not compare, and those of the same data do row by row. Fit "
                                         "the same frame, with the same event= or bounds.")
            must_have_one_measure(name, first, posterior)
            with warnings.catch_warnings():
                # The table has the complaints, and the verdict counts the rows with a high Pareto k.
                warnings.simplefilter("ignore", ConvergenceWarning)
                results[name] = loo(posterior, kind=kind, by=by, rows=rows, progress=False)
            bar.advance(task)
    doubted = [name for name, result in results.items() if result.complaints]
    if doubted:
        warn(f"compare: {len(doubted)} of {len(results)} assumptions must not be trusted, the first "
             f"{doubted[0]!r}: {'; '.join(results[doubted[0]].complaints)}. They are not called best and have "
             "no weight; see the column complaints.", ConvergenceWarning)
    return table(results)


def name_all(assumptions: Any) -> dict[str, Any]:
    """Give every assumption its own name."""
    if isinstance(assumptions, Prior | Model | Network) or is_fitted(assumptions):
        assumptions = [assumptions]
    if not isinstance(assumptions, Mapping):
        models = [each.model if is_fitted(each) else each for each in assumptions]
        priors = [each.prior if isinstance(each, Model | Network) else each for each in models]
        names = list(map(repr, priors))
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise SpecificationError(f"compare: {min(repeated)} stands there twice; give a mapping from names to "
                                     "assumptions.")
        assumptions = dict(zip(names, assumptions, strict=True))
    if len(assumptions) < 2:
        raise SpecificationError(f"compare: got {len(assumptions)} assumption{'s' * (len(assumptions) != 1)}; need two "
                                 "or more.")
    return dict(assumptions)


def is_fitted(assumption: Any) -> bool:
    """Return whether an assumption is a posterior."""
    return isinstance(assumption, Posterior | NetworkPosterior | PooledNetworkPosterior)


def stated(name: str, assumption: Any, formula: str | None, data: Any,
           family: Family | None) -> Model | Network | Fitted:
    """Return an assumption as a posterior or as a model to fit, checked before anything is fitted."""
    if is_fitted(assumption):
        return assumption
    if not isinstance(assumption, Prior | Model | Network):
        raise SpecificationError(f"compare: {assumption!r} is a {type(assumption).__name__}; need a prior, model or "
                                 "posterior.")
    if data is None:
        raise SpecificationError(f"compare: {name!r} is not fitted, so that data are needed.")
    if not isinstance(assumption, Prior):
        if formula is not None or family is not None:
            raise SpecificationError(f"compare: {name!r} is a model with its own formula and family; drop the others.")
        return assumption
    if formula is None:
        raise SpecificationError(f"compare: {name!r} is a prior, so that a formula is needed.")
    kind = Network if isinstance(formula, str) and several(formula) else Model
    return kind(formula, assumption, family or Normal())


def bounds(posterior: Fitted) -> dict[str, BoundModel]:
    """Return the model of each outcome with its data."""
    if isinstance(posterior, Posterior):
        return {"": posterior.bound}
    one = posterior.orders[0] if isinstance(posterior, PooledNetworkPosterior) else posterior
    return {node: each.bound for node, each in one.nodes.items()}


def same_outcome(first: Fitted, second: Fitted) -> bool:
    """Return whether two posteriors have the same outcomes, row by row, and saw as much of them."""
    own, other = bounds(first), bounds(second)
    return first is second or own.keys() == other.keys() and all(
        len(own[name].rows) == len(other[name].rows) and all(
            np.array_equal(batch.y, other_batch.y)
            and np.array_equal(own[name].family.seen(batch.constants), other[name].family.seen(other_batch.constants))
            for batch, other_batch in zip(own[name].rows.batches(), other[name].rows.batches(), strict=True))
        for name in own)


def must_have_one_measure(name: str, first: Fitted, second: Fitted) -> None:
    """Refuse log densities that do not compare."""
    own, other = bounds(first), bounds(second)
    for outcome in own:
        if (own[outcome].support == "count") != (other[outcome].support == "count"):
            raise SpecificationError(f"compare: {name!r} has the family {other[outcome].family!r}, the first "
                                     f"{own[outcome].family!r}: a density does not compare with a probability of "
                                     "counts. Compare families of counts with each other.")
    pseudo = [isinstance(posterior.model, Network) and posterior.model.pseudo for posterior in (first, second)]
    if pseudo[0] != pseudo[1]:
        raise SpecificationError(f"compare: {name!r} and the first differ in parents='others', whose pseudo-likelihood "
                                 "is no density of the rows and does not compare with one. Take parents='before' in "
                                 "both.")


def table(results: Mapping[str, ELPD]) -> pd.DataFrame:
    """Tabulate ArviZ's comparison in plain words, with complaints, weights of trusted assumptions, and a verdict."""
    ranked = sorted(results, key=lambda name: (bool(results[name].complaints), -np.nan_to_num(results[name].elpd)))
    trusted = [name for name in ranked if not results[name].complaints]
    comparison = compare_elpd(dict(results), method="pseudo-bma", round_to="none", reference=ranked[0]).loc[ranked]
    weight = dict.fromkeys(results, np.nan)
    if trusted:
        pointwise = np.stack([results[name].elpd_i.to_numpy() for name in trusted], axis=1)
        weight |= dict(zip(trusted, stacked(pointwise), strict=True))
    high = {name: int((~(result.pareto_k <= result.good_k)).sum()) for name, result in results.items()}
    return pd.DataFrame({
        "elpd": comparison["elpd"], "se": comparison["se"],
        "difference": comparison["elpd_diff"], "difference_se": comparison["dse"],
        "p_loo": comparison["p"], "weight": [weight[name] for name in ranked],
        "high_k": [high[name] for name in ranked],
        "conditioning": [results[name].conditioning for name in ranked],
        "complaints": ["; ".join(results[name].complaints) for name in ranked],
        "verdict": [verdict(row, name == ranked[0], high[name], results[name].complaints)
                    for name, row in comparison.to_dict("index").items()]})


def verdict(row: Mapping[str, Any], best: bool, high: int, complaints: Sequence[str] = ()) -> str:
    """State the verdict of one row."""
    if complaints:
        return "DO NOT TRUST: " + "; ".join(complaints)
    doubt = f"; {high} Pareto k too high: its elpd may be too good" if high else ""
    if best:
        return "best" + doubt
    if abs(row["elpd_diff"]) < 4 or abs(row["elpd_diff"]) < 2 * row["dse"]:
        return "no evidence of a difference" + doubt
    return "worse" + doubt
