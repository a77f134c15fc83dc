"""Outcomes that are positive numbers, such as durations, costs and concentrations, checked."""

import numpy as np
import pandas as pd

from bayes_personal.errors import InputError, first


def must_be_positive_numbers(y: np.ndarray, index: pd.Index, label: str) -> None:
    """Refuse numbers that are zero or negative."""
    for wrong, fault, remedy in (
            (y < 0, "negative", "Is it a code for a missing value, or a difference?"),
            (y == 0, "0", "Its logarithm does not exist. Where 0 stands for values too small to be seen, state the "
             "least that is, as lower=0 and upper= of a family with censoring.")):
        if wrong.any():
            raise InputError(f"{label} is {fault} in {wrong.sum()} of {len(y)} rows ({first(index[wrong])}), the "
                             f"first {y[wrong][0]:g}, and outcomes of this family are positive. {remedy}")
