"""Draws as a tree with ArviZ's groups, whichever sampler made them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory

# What ends a search for a longer run: R-hat, and effective draws a chain, with room for a judgement by other draws.
R_HAT, ESS_A_CHAIN = 1.008, 150


def tree(bound: BoundModel, values: Mapping[str, np.ndarray], chains: int, statistics: xr.Dataset | None = None,
         **attributes: Any) -> xr.DataTree:
    """Arrange draws (chain * draw, ...) of the model's variables in a tree, and add the variables derived from them.

    Outcomes that are in files are not copied.

    Parameters
    ----------
    values
        Hyperparameters, mean and whitened weights by name, flat over chains.
    statistics
        Statistics of the sampler, by chain and draw.
    **attributes
        Attributes that say how the draws were made.
    """
    complete = {**values, **bound.derived(values, np)}
    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(len(next(iter(values.values()))) // chains)}
    variables = {}
    for name, value in complete.items():
        dims = bound.dims[name]
        coords |= {dim: list(labels) for dim, labels in dims.items() if labels}
        variables[name] = (("chain", "draw", *dims), np.asarray(value, float).reshape(chains, -1, *value.shape[1:]))
    groups = {"posterior": xr.Dataset(variables, coords=coords, attrs=attributes)}
    if statistics is not None:
        groups["sample_stats"] = statistics
    if isinstance(bound.rows, InMemory):
        groups["observed_data"] = xr.Dataset({"y": ("unit", bound.y)}, coords={"unit": bound.units})
    return xr.DataTree.from_dict(groups)


def flat(posterior: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the draws of every variable, one chain after the other, (chain * draw, ...)."""
    return {str(name): variable.to_numpy().reshape(-1, *variable.shape[2:])
            for name, variable in posterior["posterior"].data_vars.items()}


def settled(posterior: xr.Dataset, left_out: frozenset[str]) -> bool:
    """Say whether the chains agree on every diagnosed variable, and their draws are worth enough."""
    from arviz_stats.base.array import array_stats

    for variable in posterior.drop_vars(left_out, errors="ignore").data_vars.values():
        values = variable.transpose("chain", "draw", ...).to_numpy()
        for column in np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0):
            if (column == column.flat[0]).all():
                continue
            r_hat: Any = array_stats.rhat(column) if len(column) > 1 else 1.0
            bulk: Any = array_stats.ess(column, method="bulk")
            tail: Any = array_stats.ess(column, method="tail", prob=(0.05, 0.95))
            if not (r_hat <= R_HAT and min(bulk, tail) >= ESS_A_CHAIN * len(column)):
                return False
    return True
