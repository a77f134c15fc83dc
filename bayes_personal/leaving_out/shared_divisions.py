"""Whole rows left out of nodes that share one division of contexts."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from bayes_personal.binding.own_weights import stride
from bayes_personal.densities.marginal import given_weights
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import ConvergenceWarning, first, warn
from bayes_personal.leaving_out.estimates import good_k, judged
from bayes_personal.leaving_out.question import QUESTIONS, efficiency
from bayes_personal.leaving_out.result import ELPD
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.posterior import Posterior

# The columns of refits, of which there are none.
NO_REFITS = pd.DataFrame(columns=["pareto_k", "elpd_before", "elpd", "se", "ess", "complaints"])


def of_shared_divisions(posterior: NetworkPosterior, density: SharedDivisionDensity, selected: np.ndarray) -> ELPD:
    """Return the joint result of the nodes that share a division, for the selected rows."""
    nodes, index = list(posterior.divided.values()), posterior.index
    sizes, rows = nodes[0].tree["posterior"].sizes, len(index)
    step = stride(density.leave_one_out_work, sizes["chain"], sizes["draw"])
    values = [thinned(node, step) for node in nodes]
    count = len(next(iter(values[0].values())))
    share = float(np.mean([efficiency(node, np.arange(0, sizes["draw"], step)) for node in nodes]))
    good = good_k(count)
    elpd, k, influence = (each[..., selected] for each in judged(density.leave_one_out(values, count), share, good))
    left_in = np.sum([given_weights(node.bound, own, count, batch) for node, own in zip(nodes, values, strict=True)
                      for batch in node.bound.rows.batches(rows)], axis=0)[:, selected]
    high, labels = ~(k <= good), index[selected]
    if high.any():
        warn(f"loo: Pareto k is above {good:.2f} in {high.sum()} of {len(k)} rows ({first(labels[high])}): these rows "
             "move the posterior so much that their elpd may be too good. Rows whose nodes share divisions are not "
             "refitted.", ConvergenceWarning)
    again = logsumexp(left_in, axis=0) - np.log(count)
    pointwise = xr.DataArray(elpd, dims=["unit"], coords={"unit": nodes[0].bound.units[selected]})
    variance = count * float(influence.sum(axis=1).var()) / share
    return ELPD(elpd=float(elpd.sum()), se=float(np.sqrt(len(elpd) * elpd.var(ddof=1))), p=float((again - elpd).sum()),
                n_samples=count, n_data_points=len(elpd), scale="log", warning=bool(high.any()), good_k=float(good),
                elpd_i=pointwise, pareto_k=pointwise.copy(data=k), question=QUESTIONS["unit"], conditioning="unit",
                refits=NO_REFITS.copy(), mcse=float(np.sqrt(variance)),
                complaints=tuple(dict.fromkeys(words for node in nodes for words in node.complaints)))


def thinned(node: Posterior, step: int) -> dict[str, np.ndarray]:
    """Return every so many draws of every variable, (draw, ...)."""
    draws = node.tree["posterior"].to_dataset().isel(draw=slice(None, None, step))
    return {str(name): value.to_numpy().reshape(-1, *value.shape[2:]) for name, value in draws.data_vars.items()}
