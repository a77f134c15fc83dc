"""Outcomes that are measured on a continuous scale, checked."""

import numpy as np
import pandas as pd

from bayes_personal.data import must_resolve, numbers
from bayes_personal.errors import InputError, InputTypeError
from bayes_personal.moments import Moments


def measured(values: pd.Series, role: str) -> np.ndarray:
    """An outcome of finite numbers, as float64."""
    if pd.api.types.is_bool_dtype(values):
        raise InputTypeError(f"{role}: column {values.name!r} is true or false. Use family=Bernoulli(), or convert it "
                             "with astype(float).")
    return numbers(values, role)


def must_vary(moments: Moments, what: str) -> None:
    """Refuse an outcome that is the same in all of several rows."""
    low, high = moments.low[0], moments.high[0]
    if moments.count > 1 and low == high:
        raise InputError(f"{what} is {low:g} in all {moments.count} rows: zero variance.")
    if moments.count > 1:
        must_resolve(moments.spread_about(moments.mean)[0], low, high, what)


def measurements(values: pd.Series, role: str) -> np.ndarray:
    """An outcome of finite numbers that differ, as float64."""
    y = measured(values, role)
    must_vary(Moments.of(y), f"{role}: column {values.name!r}")
    return y
