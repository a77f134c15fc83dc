"""What the families of counts ask of their columns: whole numbers, exposures, a rate."""

import warnings

import numpy as np
import pandas as pd

from bayes_personal.data import column, numbers
from bayes_personal.errors import InputError, InputWarning, first


def counts(values: pd.Series, role: str) -> np.ndarray:
    """A column of whole numbers from 0 on, that float64 can tell apart."""
    result = numbers(values, role)
    for wrong, what, remedy in (
            (result < 0, "negative", "A count cannot be: is it a code for a missing value, or a difference?"),
            (result != np.floor(result), "fractional",
             "Give the counts themselves; what they were divided by is the exposure or the number of trials."),
            (result > 2**53, "beyond 2**53, where float64 skips numbers", "Count in larger units.")):
        if wrong.any():
            raise InputError(f"{role}: column {values.name!r} is {what} in {wrong.sum()} of {len(result)} rows "
                             f"({first(values.index[wrong])}), the first {result[wrong][0]:g}. {remedy}")
    return result


def events(values: pd.Series, role: str) -> np.ndarray:
    """An outcome of counts; a warning where nothing was ever counted."""
    result = counts(values, role)
    if not result.any():
        warnings.warn(f"{role}: column {values.name!r} is 0 in all {len(result)} rows. The likelihood has no maximum: "
                      "how small the rates are rests on the prior.", InputWarning, stacklevel=3)
    return result


def exposures(name: str | None, frame: pd.DataFrame, owner: str) -> np.ndarray:
    """The exposure of each row, (unit,); ones where no column is named."""
    if name is None:
        return np.ones(len(frame))
    role = f"{owner}(exposure=...)"
    values = column(frame, name, role)
    exposure = numbers(values, role)
    if (exposure <= 0).any():
        raise InputError(f"{role}: column {name!r} is not positive in {(exposure <= 0).sum()} of {len(exposure)} rows "
                         f"({first(values.index[exposure <= 0])}). Nothing can be counted there: drop these rows. "
                         "Give the exposure itself, not its logarithm.")
    return exposure


def log_rate(outcome: np.ndarray, exposure: np.ndarray) -> float:
    """Log of the mean rate; of half an event in all where nothing was counted."""
    return float(np.log(max(outcome.sum(), 0.5)) - np.log(exposure.sum()))
