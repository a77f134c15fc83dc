"""The log densities that `loo` reweights, in the form in which ArviZ takes them."""

from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from rich.progress import Progress

from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.leaving_out.smoothing import separated
from bayes_personal.posterior.posterior import Posterior, must_be_fitted, must_not_share
from bayes_personal.system.running import verb


@verb
def log_likelihood(posterior: Posterior, *, kind: Literal["unit", "conditional"] = "unit",
                   progress: bool = True) -> xr.Dataset:
    """Compute the log densities that `loo` reweights, a draw and row each, for ArviZ's `loo` and `compare`:

    ``az.loo(xarray.DataTree.from_dict({"posterior": posterior.tree["posterior"].to_dataset(),
    "log_likelihood": bp.log_likelihood(posterior)}))``, for posteriors whose draws were not thinned.

    Under ``kind="unit"`` they are ``log p(y_i | y_-i, phi)``, the variable ``y_left_out``, not a likelihood: their sum
    is no log density of all outcomes. Keep them out of `posterior.tree`. ArviZ's LOO-PIT, its expectations under
    leave-one-out and its power scaling combine weights with predictions, or with a likelihood, and `predict` predicts
    a training row by a theta_i that has seen y_i: with these densities they are silently wrong, which is why the
    variable has a name that predictions do not have. Under ``kind="conditional"`` they are ``log p(y_i | theta_i)``,
    the variable ``y``; weights made of them have no variance where theta_i leans on y_i.

    Raises
    ------
    NotFittedError, SpecificationError
        As `loo` does.
    """
    must_be_fitted("log_likelihood", posterior)
    must_not_share("log_likelihood", posterior)
    plan = LeaveOutPlan.of(posterior, kind, None, False)
    result = np.empty((plan.count, len(posterior.bound.rows)))
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("log densities", total=result.shape[1])
        for part in plan.parts(partial(bar.advance, task)):
            result[:, part.places] = separated(part.densities)
    coords = {"chain": np.arange(plan.chains), "draw": plan.draws, "unit": plan.coordinate}
    array = xr.DataArray(result.reshape(plan.chains, len(plan.draws), -1), dims=list(coords), coords=coords)
    return xr.Dataset({"y_left_out" if kind == "unit" else "y": array}, attrs={"conditioning": kind})
