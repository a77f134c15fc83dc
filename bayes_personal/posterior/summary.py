"""Draws of something that every unit has, summarised row by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

QUANTILES = {"q5": 0.05, "q50": 0.5, "q95": 0.95}


def statistics(draws: np.ndarray, quantiles: Mapping[str, float] = QUANTILES) -> np.ndarray:
    """Mean, sd and quantiles of draws (draw, ...), as (..., statistic)."""
    flat = draws.reshape(len(draws), -1)
    # Sorted along memory, quantiles cost a fraction of what they do across it.
    ordered = flat.T.copy()
    ordered.sort(axis=1)
    found = [flat.mean(axis=0), flat.std(axis=0, ddof=1),
             *np.quantile(ordered, list(quantiles.values()), axis=1, overwrite_input=True)]
    return np.stack(found, axis=-1).reshape(*draws.shape[1:], len(found))


def tabulate(numbers: np.ndarray, index: pd.Index, coefficients: tuple[str, ...] = (),
             **columns: Any) -> pd.DataFrame:
    """A table of `statistics`; a row a unit, or a unit and coefficient.

    Parameters
    ----------
    numbers
        (unit, statistic) or (unit, coefficient, statistic).
    index
        Of the frame that the units came from; it is kept.
    coefficients
        Their names, where there are any.
    **columns
        What else is known of every unit, (unit,).
    """
    repeats = max(len(coefficients), 1)
    rows = np.repeat(np.arange(len(index)), repeats)
    result = pd.DataFrame(numbers.reshape(len(rows), -1), columns=["mean", "sd", *QUANTILES], index=index[rows])
    for place, (name, value) in enumerate(columns.items()):
        result.insert(place, name, np.asarray(value)[rows])
    if coefficients:
        result.insert(0, "coefficient", np.tile(np.array(coefficients, dtype=object), len(index)))
    return result


def summarise(draws: xr.DataArray, index: pd.Index) -> pd.DataFrame:
    """Mean, sd and 5, 50, 95 % quantiles of draws (chain, draw, unit), a row a unit."""
    values = draws.transpose("chain", "draw", "unit").to_numpy()
    return tabulate(statistics(values.reshape(-1, values.shape[-1])), index)
