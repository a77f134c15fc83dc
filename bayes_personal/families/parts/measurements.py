"""Outcomes that are measured on a continuous scale, checked."""

import numpy as np
import pandas as pd

from bayes_personal.data.columns import must_resolve, numbers
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, InputTypeError, first

# Of a standard error relative to the spread of the outcome. A row counts by the square of its reciprocal: beside one
# near the root of float64's precision, 1e-8, sums over rows lose what all others say.
SHARPEST = 1e-7
# Of what predictors leave of the outcome, relative to its standard deviation: below, sums over rows lose its digits.
EXACT = 1e-7


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


def must_add_up(errors: np.ndarray, index: pd.Index, unit: float, what: str) -> None:
    """Refuse standard errors so far below the spread of the outcome that sums over rows lose what other rows say."""
    least = SHARPEST * unit
    sharp = errors < least
    if sharp.any():
        raise InputError(f"{what}: {sharp.sum()} of {len(errors)} standard errors are below {least:.1e}, "
                         f"{SHARPEST:g} times the spread of the outcome: the smallest is {errors.min():.1e} (rows "
                         f"{first(index[sharp])}). float64 cannot add up what such rows and others say. Correct these "
                         f"errors, remove the rows, or raise the errors to {least:.1e}: theta then follows these rows "
                         "as closely as anybody can see.")


def must_have_errors(y: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse an outcome that is a linear combination of the predictors: the errors then have no size to learn.

    Fewer rows than coefficients say nothing of it.
    """
    if len(y) <= x.shape[1]:
        return
    moved, share, left = fitted(y, x)
    if left < EXACT * y.std():
        exact = [name for name, each, column in zip(names, share, moved.T, strict=True)
                 if np.abs(each) * column.std() > EXACT * y.std()]
        raise InputError(f"The outcome is an exact linear combination of {first(exact, 10)} in all {len(y)} rows, but "
                         f"for {left / y.std():.0e} of its standard deviation: nothing is left whose size could be "
                         "learned. Remove the predictor that the outcome was made from.")


def must_have_errors_within(y: np.ndarray, x: np.ndarray, groups: np.ndarray, what: str) -> None:
    """Refuse an outcome that in every group is a linear combination of the predictors, as one of whole groups is.

    Groups of no more rows than coefficients say nothing of it.
    """
    order = np.argsort(groups, kind="stable")
    rows = [each for each in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(each) > x.shape[1]]
    if rows and all(fitted(y[each], x[each])[2] < EXACT * y.std() for each in rows):
        raise InputError(f"Within every group of {what} the outcome is an exact linear combination of the predictors "
                         f"({sum(map(len, rows))} of {len(y)} rows): nothing is left whose size could be learned. If "
                         "it was measured once a group, keep one row of each.")


def fitted(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The predictors about their means where one of them is constant, scaled; least squares of them; and the root mean
    square of what these leave."""
    constant = (x == x[0]).all(axis=0) & (x[0] != 0)
    centre = x.mean(axis=0) * constant.any()
    scale = np.abs(x).max(axis=0)
    moved = (x - centre) / np.where(scale > 0, scale, 1.0)
    away = y - y.mean() * constant.any()
    share, *_ = np.linalg.lstsq(moved, away)
    return moved, share, float(np.sqrt(((away - moved @ share) ** 2).mean()))
