"""Tables that summarise draws row by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

QUANTILES = {"q5": 0.05, "q50": 0.5, "q95": 0.95}


def statistics(draws: np.ndarray, quantiles: Mapping[str, float] = QUANTILES) -> np.ndarray:
    """Return the mean, sd and quantiles of draws (draw, ...), as (..., statistic)."""
    flat = draws.reshape(len(draws), -1)
    # Quantiles cost less along contiguous memory.
    ordered = flat.T.copy()
    ordered.sort(axis=1)
    columns = [flat.mean(axis=0), flat.std(axis=0, ddof=1),
             *np.quantile(ordered, list(quantiles.values()), axis=1, overwrite_input=True)]
    return np.stack(columns, axis=-1).reshape(*draws.shape[1:], len(columns))


def tabulate(numbers: np.ndarray, index: pd.Index, labels: tuple[str, ...] = (), of: str = "coefficient",
             **columns: Any) -> pd.DataFrame:
    """Arrange `statistics` in a table with a row a unit, or a unit and label, such as a coefficient.

    Parameters
    ----------
    numbers
        (unit, statistic) or (unit, label, statistic).
    index
        Index of the frame that the units come from; the table keeps it.
    labels, of
        Names of the coefficients or nodes, if there are any, and of their column.
    **columns
        Further columns, with a value a unit, (unit,).
    """
    repeats = max(len(labels), 1)
    rows = np.repeat(np.arange(len(index)), repeats)
    result = pd.DataFrame(numbers.reshape(len(rows), -1), columns=["mean", "sd", *QUANTILES], index=index[rows])
    for place, (name, value) in enumerate(columns.items()):
        result.insert(place, name, np.asarray(value)[rows])
    if labels:
        result.insert(0, of, np.tile(np.array(labels, dtype=object), len(index)))
    return result


def summarise(draws: xr.DataArray, index: pd.Index) -> pd.DataFrame:
    """Tabulate the mean, sd and 5, 50, 95 % quantiles of draws (chain, draw, unit), a row a unit."""
    values = draws.transpose("chain", "draw", "unit").to_numpy()
    return tabulate(statistics(values.reshape(-1, values.shape[-1])), index)
