"""Whole rows left out of nodes that have something in common: a division of contexts, types of rows, or a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from bayes_personal.binding.own_weights import NUMBERS, stride
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.densities.marginal import given_weights
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import ConvergenceWarning, SpecificationError, first, warn
from bayes_personal.leaving_out.estimates import MOST_REFITS, good_k, judged
from bayes_personal.leaving_out.question import QUESTIONS, Kind, efficiency
from bayes_personal.leaving_out.refit import Refit
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.whole_rows import WholeRows
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.shared_functions import sampled_with_functions

# The columns of a table of refits.
REFITS = ["pareto_k", "elpd_before", "elpd", "se", "ess", "complaints"]


def of_shared_divisions(posterior: NetworkPosterior, density: SharedDivisionDensity, selected: np.ndarray) -> ELPD:
    """Return the joint result of the nodes that share a division, for the selected rows."""
    nodes, sizes = list(posterior.divided.values()), next(iter(posterior.divided.values())).tree["posterior"].sizes
    step = stride(density.leave_one_out_work, sizes["chain"], sizes["draw"])
    values = [thinned(node, step) for node in nodes]
    count = len(next(iter(values[0].values())))
    left_in = np.sum([given_weights(node.bound, own, count, batch) for node, own in zip(nodes, values, strict=True)
                      for batch in node.bound.rows.batches(len(posterior.index))], axis=0)
    return of_densities(nodes, np.arange(0, sizes["draw"], step), density.leave_one_out(values, count), left_in,
                        selected, "unit")


def of_shared_functions(posterior: NetworkPosterior, whole: WholeRows, kind: Kind, selected: np.ndarray,
                        refit: bool | NUTS, seed: int | None) -> ELPD:
    """Return the joint result of the nodes that share functions of context, for the selected rows.

    Where nodes have no weights beside these functions, all rows have all parameters in common, so that draws are
    reweighted by ``p(x_i | phi)``, in which all nodes of the row take the same branch, summed out.
    """
    if kind == "unit" and whole.functions.has_weights:
        raise SpecificationError(f"loo: under {posterior.model.prior!r} nodes share each row's type, or a network of "
                                 "contexts, and have weights of their own too, which are not integrated out of whole "
                                 "rows. Take the summand that is shared by itself, or kind='conditional', which is "
                                 "optimistic.")
    nodes = {name: posterior.nodes[name] for name in whole.functions.bounds}
    sizes, rows = next(iter(nodes.values())).tree["posterior"].sizes, len(posterior.index)
    draws = np.arange(whole.count)
    size = max(1, NUMBERS // (len(draws) * whole.functions.branches))
    densities = np.concatenate([whole.log_density(draws, np.arange(start, min(start + size, rows)))
                                for start in range(0, rows, size)], axis=1)
    refits = None
    if isinstance(refit, NUTS) and kind == "unit":
        parents = {name: posterior.model.parents_of(name) for name in nodes}
        refits = Refits(nodes, parents, whole, refit, np.random.default_rng(seed))
    return of_densities(list(nodes.values()), np.arange(sizes["draw"]), densities, densities, selected, kind, refits)


@final
@dataclass(frozen=True, eq=False)
class Refits:
    """Refits of nodes that share functions of context, all of them together, without a row.

    Attributes
    ----------
    nodes : the posteriors of the nodes, given all rows
    parents : the parents of every node
    whole : the training rows and draws of all these nodes
    method : sampler
    rng : generator for sampling
    """

    nodes: Mapping[str, Posterior]
    parents: Mapping[str, Sequence[str]]
    whole: WholeRows
    method: NUTS
    rng: np.random.Generator

    def without(self, row: int) -> Refit:
        """Leave out the row at a place, and predict all of its nodes."""
        left_out, remaining = np.array([row]), np.delete(np.arange(self.whole.rows), row)
        bounds = {name: node.bound for name, node in self.nodes.items()}
        reduced = SharedFunctions({name: bound.with_rows(remaining) for name, bound in bounds.items()})
        trees = sampled_with_functions(reduced, self.parents, self.method, int(self.rng.integers(2**31)), False)
        given_others = WholeRows.of(SharedFunctions(bounds), trees)
        logs, logs_all = (each.log_density(np.arange(each.count), left_out)[:, 0]
                          for each in (given_others, self.whole))
        chains = next(iter(self.nodes.values())).tree["posterior"].sizes["chain"]
        parts = [Refit.bridged(logs, trees[name], logs_all, chains, bound) for name, bound in reduced.bounds.items()]
        return replace(parts[0], complaints=tuple(dict.fromkeys(words for part in parts for words in part.complaints)))


def of_densities(nodes: Sequence[Posterior], draws: np.ndarray, densities: np.ndarray, left_in: np.ndarray,
                 selected: np.ndarray, kind: Kind, refits: Refits | None = None) -> ELPD:
    """Return the result of log densities of whole rows given the other rows, and given all rows, (draw, unit).

    `draws` are their positions in each chain; `refits` leave out rows whose Pareto k is too high.
    """
    bound, count = nodes[0].bound, len(densities)
    share, good = float(np.mean([efficiency(node, draws) for node in nodes])), good_k(count)
    elpd, k, influence = (each[..., selected] for each in judged(densities, share, good))
    labels, places = bound.rows.index[selected], np.flatnonzero(selected)
    poor, records = np.flatnonzero(~(k <= good)), []
    if refits is not None and len(poor) <= MOST_REFITS:
        for place in poor:
            after = refits.without(int(places[place]))
            records.append((k[place], elpd[place], after.elpd, after.se, after.ess, "; ".join(after.complaints)))
            elpd[place], k[place], influence[:, place] = after.elpd, 0.0, 0.0
    table = pd.DataFrame(records, columns=REFITS, index=labels[poor[: len(records)]])
    high = ~(k <= good)
    if high.any():
        remedy = ("refit=bp.NUTS() leaves them out in earnest, a fit for each." if nodes[0].whole is not None else
                  "Rows whose nodes share divisions are not refitted.")
        warn(f"loo: Pareto k is above {good:.2f} in {high.sum()} of {len(k)} rows ({first(labels[high])}): these rows "
             f"move the posterior so much that their elpd may be too good. {remedy}", ConvergenceWarning)
    again = logsumexp(left_in[:, selected], axis=0) - np.log(count)
    pointwise = xr.DataArray(elpd, dims=["unit"], coords={"unit": bound.units[selected]})
    variance = count * float(influence.sum(axis=1).var()) / share + float((table["se"] ** 2).sum())
    return ELPD(elpd=float(elpd.sum()), se=float(np.sqrt(len(elpd) * elpd.var(ddof=1))), p=float((again - elpd).sum()),
                n_samples=count, n_data_points=len(elpd), scale="log", warning=bool(high.any()), good_k=float(good),
                elpd_i=pointwise, pareto_k=pointwise.copy(data=k), question=QUESTIONS[kind],
                conditioning=kind, refits=table, mcse=float(np.sqrt(variance)),
                complaints=tuple(dict.fromkeys([*(words for node in nodes for words in node.complaints),
                                                *filter(None, table["complaints"])])))


def thinned(node: Posterior, step: int) -> dict[str, np.ndarray]:
    """Return every so many draws of every variable, (draw, ...)."""
    draws = node.tree["posterior"].to_dataset().isel(draw=slice(None, None, step))
    return {str(name): value.to_numpy().reshape(-1, *value.shape[2:]) for name, value in draws.data_vars.items()}
