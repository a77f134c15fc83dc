"""Outcomes that are measured on a continuous scale, checked."""

import numpy as np
import pandas as pd

from bayes_personal.data import numbers, spread_about
from bayes_personal.errors import InputError, InputTypeError


def measurements(values: pd.Series, role: str) -> np.ndarray:
    """An outcome of finite numbers that differ, as float64."""
    if pd.api.types.is_bool_dtype(values):
        raise InputTypeError(f"{role}: column {values.name!r} is true or false. Use family=Bernoulli(), or convert it "
                             "with astype(float).")
    y = numbers(values, role)
    if len(y) > 1:
        if np.ptp(y) == 0:
            raise InputError(f"{role}: column {values.name!r} is {y[0]:g} in all {len(y)} rows: zero variance.")
        spread_about(float(y.mean()), y, f"{role}: column {values.name!r}")
    return y
