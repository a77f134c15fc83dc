"""The functions of formulas: formulaic's transforms, NumPy's functions of single rows, and accessors of columns."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from formulaic.transforms import TRANSFORMS, ContrastsRegistry

from bayes_personal.errors import InputTypeError, SpecificationError, shown

# By name, NumPy's functions that handle each row by itself, and their numbers of inputs. A further argument would be
# the array to which the result is written.
NUMPY: Mapping[str, tuple[Callable[..., Any], int]] = {
    name: (function, function.nin) for name in dir(np)
    if isinstance(function := getattr(np, name), np.ufunc) and function.signature is None and function.nout == 1
} | {"where": (np.where, 3), "clip": (np.clip, 3), "round": (np.round, 2)}

CONSTANTS: Mapping[str, float] = {"pi": np.pi, "e": np.e}

# formulaic's own exp10 is a power with the base and the exponent exchanged, and its Q looks up a column at run time.
TRANSFORMED: Mapping[str, Callable[..., Any]] = {
    name: function for name, function in TRANSFORMS.items() if name not in NUMPY and name not in (
        "np", "contr", "Q", "exp10", "lag")
} | {"exp10": partial(np.power, 10.0)}

CONTRASTS: Mapping[str, Callable[..., Any]] = {
    name: getattr(ContrastsRegistry, name) for name in ("treatment", "SAS", "sum", "helmert", "diff", "poly", "custom")}

# Contrasts under patsy's names.
CODINGS = ("Treatment", "Sum", "Helmert", "Diff", "Poly")

# Parts of a date and forms of a text, written `column.dt.year` and `column.str.lower()`.
DATES = ("year", "quarter", "month", "day", "dayofweek", "dayofyear", "hour", "minute", "second")
TEXTS = ("len", "lower", "strip", "upper")

# Largest number of columns that one transform may produce.
SIZE = 10_000

KNOWN = tuple(sorted({*TRANSFORMED, *NUMPY, "Q"}))

_SMOOTH = ("Write bs({0}, df=5) or cr({0}, df=5, constraints='center') for a curve, or a prior such as "
           "GaussianProcess(column) for coefficients that vary with one.")
_KNOWN_ERRORS = ("Known standard errors belong to the family, as a column by name: Normal(sd='s'); a weight w is the "
                 "standard error 1 / sqrt(w), up to a constant.")
_TRIALS = ("The outcome is the column of successes, and the number of trials belongs to the family, as a column by "
           "name: Binomial(trials='n'), with n = successes + failures.")

# Functions of other software, with the way to write the same model in this package.
REMEDIES: Mapping[str, str] = {
    "offset": "What counts are counted over belongs to the family, as a column by name: Poisson(exposure='area') has "
              "the offset log(area). Subtract any other offset from the outcome.",
    **dict.fromkeys(("trials", "cbind", "p", "prop", "proportion"), _TRIALS),
    **dict.fromkeys(("weights", "weight", "se"), _KNOWN_ERRORS),
    **dict.fromkeys(("s", "te", "ti", "t2", "lo", "loess", "ns", "rcs", "gp"), _SMOOTH),
    **dict.fromkeys(("factor", "ordered", "as_factor", "cat"), "Write C({0}) for the levels of a column."),
    "ln": "Write log({0}).",
    "lag": "A row's lag is another row's value: make it a column first, with frame.assign(...), and drop the rows that "
           "have none.",
    "ifelse": "Write np.where(condition, this, that).",
    "cens": "Censored outcomes have no family here.",
    "trunc": "Truncated outcomes have no family here.",
}


def remedy(name: str, argument: str = "x") -> str | None:
    """Return advice on what to write instead of a function of other software; None where there is none."""
    return REMEDIES[name].format(argument) if name in REMEDIES else None


def must_be_functions(functions: Any) -> None:
    """Refuse a user's functions that are not callable, or whose names formulas could not distinguish from others."""
    if not isinstance(functions, Mapping):
        raise InputTypeError("functions=... must map names to functions, such as functions={'cube': cube}; "
                             f"got {shown(functions)}.")
    for name, function in functions.items():
        if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
            raise InputTypeError(f"functions={{{name!r}: ...}}: a function's name must be letters, digits and "
                                 "underscores, such as 'cube'.")
        if name in KNOWN or name in ("np", "contr"):
            raise SpecificationError(f"functions={{{name!r}: ...}}: formulas know {name!r} already. Use another name.")
        if not callable(function):
            raise InputTypeError(f"functions={{{name!r}: ...}} must be a function; got {shown(function)}.")


def called_with(name: str, function: Callable[..., Any], given: list[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a call, after checking that a formula may give all of its arguments."""
    if name.removeprefix("np.") in NUMPY:
        limit = NUMPY[name.removeprefix("np.")][1]
        if named or len(given) > limit:
            raise SpecificationError(f"{name} takes {limit} argument{'s' * (limit > 1)} in a formula, none by name.")
    hidden = [argument for argument in named if argument.startswith("_")]
    if hidden:
        raise SpecificationError(f"{name} takes no {hidden[0]!r}.")
    sized = name == "hashed" or getattr(function, "__is_stateful_transform__", False)
    large = [argument for argument in (*given, *named.values()) if isinstance(argument, int) and argument > SIZE]
    if sized and large:
        raise SpecificationError(f"{name} makes at most {SIZE:,} columns; got {large[0]:,}.")
    return dict(named)


def must_be_values(name: str, result: Any, rows: int) -> None:
    """Refuse a result of a user's function that is not one value a row, or several columns of such values."""
    if not isinstance(result, np.ndarray | pd.Series | pd.DataFrame) or result.shape[:1] != (rows,):
        got = f"one of shape {result.shape}" if hasattr(result, "shape") else f"the {type(result).__name__} {result!r}"
        raise SpecificationError(f"{name} must return an array or a Series with a value for each of {rows} rows; got "
                                 f"{got[:200]}.")


def part_of_date(values: Any, part: str) -> Any:
    """Return a part of the dates of a column, as a number."""
    if not isinstance(values, pd.Series) or not pd.api.types.is_datetime64_any_dtype(values):
        raise SpecificationError(f".dt.{part} is a part of dates, and the column holds none. Convert it with "
                                 "pandas.to_datetime.")
    return whole_if_complete(getattr(values.dt, part))


def form_of_text(values: Any, form: str) -> Any:
    """Return a form of the texts of a column: their length, or a changed text."""
    if not isinstance(values, pd.Series):
        raise SpecificationError(f".str.{form}() is a form of text, and the column holds none.")
    result = getattr(values.str, form)()
    return whole_if_complete(result) if form == "len" else result


def whole_if_complete(values: pd.Series) -> pd.Series:
    """Convert whole numbers to integers, so that levels are named 2 and not 2.0, unless some are missing."""
    return values.astype(float if values.isna().any() else "int64")
