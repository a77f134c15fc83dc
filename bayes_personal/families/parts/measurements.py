"""Outcomes that are measured on a continuous scale, checked."""

import numpy as np
import pandas as pd

from bayes_personal.data.columns import must_resolve, numbers
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, InputTypeError, first

# Least standard error relative to the spread of the outcome. A row counts by the square of the reciprocal: with a row
# near the root of float64's precision, 1e-8, sums over rows lose the information of all other rows.
SHARPEST = 1e-7
# Least residual of the outcome relative to its standard deviation: below it, sums over rows lose its digits.
EXACT = 1e-7


def measured(values: pd.Series, role: str) -> np.ndarray:
    """Return an outcome of finite numbers, as float64."""
    if pd.api.types.is_bool_dtype(values):
        raise InputTypeError(f"{role}: column {values.name!r} is true or false. Use family=Bernoulli(), or convert it "
                             "with astype(float).")
    return numbers(values, role)


def must_vary(moments: Moments, label: str) -> None:
    """Refuse an outcome that is constant over several rows."""
    low, high = moments.low[0], moments.high[0]
    if moments.count > 1 and low == high:
        raise InputError(f"{label} is {low:g} in all {moments.count} rows: zero variance.")
    if moments.count > 1:
        must_resolve(moments.spread_about(moments.mean)[0], low, high, label)


def must_add_up(errors: np.ndarray, index: pd.Index, unit: float, label: str) -> None:
    """Refuse standard errors so small, relative to the spread of the outcome, that sums lose the other rows."""
    least = SHARPEST * unit
    sharp = errors < least
    if sharp.any():
        raise InputError(f"{label}: {sharp.sum()} of {len(errors)} standard errors are below {least:.1e}, "
                         f"{SHARPEST:g} times the spread of the outcome: the smallest is {errors.min():.1e} (rows "
                         f"{first(index[sharp])}). float64 cannot add up what such rows and others say. Correct these "
                         f"errors, remove the rows, or raise the errors to {least:.1e}: theta then follows these rows "
                         "as closely as anybody can see.")


def must_have_errors(y: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse an outcome that is a linear combination of the predictors: the errors then have no size to learn.

    With no more rows than coefficients this is no evidence, and not checked.
    """
    if len(y) <= x.shape[1]:
        return
    scaled, share, residual = fitted(y, x)
    if residual < EXACT * y.std():
        exact = [name for name, weight, column in zip(names, share, scaled.T, strict=True)
                 if np.abs(weight) * column.std() > EXACT * y.std()]
        raise InputError(f"The outcome is an exact linear combination of {first(exact, 10)} in all {len(y)} rows, but "
                         f"for {residual / y.std():.0e} of its standard deviation: nothing is left whose size could be "
                         "learned. Remove the predictor that the outcome was made from.")


def must_have_errors_within(y: np.ndarray, x: np.ndarray, groups: np.ndarray, label: str) -> None:
    """Refuse an outcome that is a linear combination of the predictors in every group, such as an outcome of groups.

    Groups with no more rows than coefficients are not checked.
    """
    order = np.argsort(groups, kind="stable")
    rows = [group for group in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(group) > x.shape[1]]
    if rows and all(fitted(y[group], x[group])[2] < EXACT * y.std() for group in rows):
        raise InputError(f"Within every group of {label} the outcome is an exact linear combination of the predictors "
                         f"({sum(map(len, rows))} of {len(y)} rows): nothing is left whose size could be learned. If "
                         "it was measured once a group, keep one row of each.")


def must_vary_within(y: np.ndarray, x: np.ndarray, groups: np.ndarray, label: str) -> None:
    """Refuse groups whose outcome is a linear combination of the predictors, where each has a scale of its own.

    Groups with no more rows than coefficients are not checked: there the scale rests on its prior.
    """
    order = np.argsort(groups, kind="stable")
    parts = [group for group in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(group) > x.shape[1]]
    exact = [group for group in parts if fitted(y[group], x[group])[2] < EXACT * y.std()]
    if exact:
        raise InputError(f"In {len(exact)} of the groups of {label} the outcome is an exact linear combination of the "
                         f"predictors (the rows at {first(np.sort(np.concatenate(exact)))}): their sigma would be 0. "
                         "Merge these groups with others, leave them out, or take one sigma for all rows.")


def fitted(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return scaled predictors, their least-squares coefficients, and the root mean square of the residuals.

    Predictors and outcome are centred where one of the predictors is constant.
    """
    constant = (x == x[0]).all(axis=0) & (x[0] != 0)
    centre = x.mean(axis=0) * constant.any()
    scale = np.abs(x).max(axis=0)
    scaled = (x - centre) / np.where(scale > 0, scale, 1.0)
    response = y - y.mean() * constant.any()
    share, *_ = np.linalg.lstsq(scaled, response)
    return scaled, share, float(np.sqrt(((response - scaled @ share) ** 2).mean()))
