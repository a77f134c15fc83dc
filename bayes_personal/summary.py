"""Draws of something that every unit has, summarised row by row."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

QUANTILES = {"q5": 0.05, "q50": 0.5, "q95": 0.95}


def summarise(draws: xr.DataArray, index: pd.Index, **columns: Any) -> pd.DataFrame:
    """Mean, sd and 5, 50, 95 % quantiles; a row a unit, or a unit and coefficient.

    Parameters
    ----------
    draws
        (chain, draw, unit) or (chain, draw, unit, coefficient).
    index
        Of the frame that the units came from; it is kept.
    **columns
        What else is known of every unit, (unit,).
    """
    values = draws.transpose("chain", "draw", "unit", ...).to_numpy()
    repeats = values.shape[3] if values.ndim == 4 else 1
    values = values.reshape(-1, values.shape[2] * repeats)
    table = {"mean": values.mean(axis=0), "sd": values.std(axis=0, ddof=1)}
    table |= dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values()), axis=0), strict=True))
    rows = np.repeat(np.arange(len(index)), repeats)
    result = pd.DataFrame(table, index=index[rows])
    for place, (name, value) in enumerate(columns.items()):
        result.insert(place, name, np.asarray(value)[rows])
    if "coefficient" in draws.dims:
        result.insert(0, "coefficient", np.tile(draws["coefficient"].to_numpy().astype(object), len(index)))
    return result
