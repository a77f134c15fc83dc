"""Whole numbers from 0 on, which families of counts require of a column."""

import numpy as np
import pandas as pd

from bayes_personal.data.columns import numbers
from bayes_personal.errors import InputError, first


def counts(values: pd.Series, role: str) -> np.ndarray:
    """Return a column of whole numbers from 0 on, which float64 must be able to distinguish."""
    result = numbers(values, role)
    for wrong, fault, remedy in (
            (result < 0, "negative", "A count cannot be: is it a code for a missing value, or a difference?"),
            (result != np.floor(result), "fractional",
             "Give the counts themselves; what they were divided by goes by the name of its column to the family, as "
             "Poisson(exposure=...) or Binomial(trials=...)."),
            (result > 2**53, "beyond 2**53, where float64 skips numbers", "Count in larger units.")):
        if wrong.any():
            raise InputError(f"{role}: column {values.name!r} is {fault} in {wrong.sum()} of {len(result)} rows "
                             f"({first(values.index[wrong])}), the first {result[wrong][0]:g}. {remedy}")
    return result
