"""The terms of a formula in the rows of a frame: columns are read, factors computed, outcomes evaluated."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.materializers import PandasMaterializer

from bayes_personal.data.columns import (
    column,
    is_number,
    is_text,
    must_be_complete,
    must_not_read_as_dates,
    must_not_read_as_numbers,
    numbers,
    without_unused,
)
from bayes_personal.errors import BayesPersonalError, InputError, InputTypeError, SpecificationError, first
from bayes_personal.formulas.expression import Expression, Scope
from bayes_personal.formulas.formula import Formula


def categories(spec: Any) -> dict[str, Sequence[Any]]:
    """Return the training levels of every categorical factor of an evaluated formula."""
    return {str(expression): list(state["categories"]) for expression, (_, state) in spec.encoder_state.items()
            if "categories" in state}


def needed(uses: Mapping[str, Sequence[Expression]], owner: str, frame: pd.DataFrame, *,
           complete: bool = True) -> dict[str, Any]:
    """Return the columns that expressions read: numbers as float64 arrays, other columns unchanged.

    Integers are read as float64 before the formula computes with them, because their products could overflow. Columns
    only used as ``C(column)`` keep their values, which name levels. Levels are only checked in a `complete` frame,
    which has all of them.
    """
    result: dict[str, Any] = {}
    for name, expressions in uses.items():
        values = column(frame, name, owner)
        must_be_complete(values, owner)
        if name == "Intercept":
            raise SpecificationError(f"{owner}: 'Intercept' is what the constant is called. Rename that column.")
        as_it_stands = any(use.column == name for use in expressions)
        levels_only = all(use.levels_of == name for use in expressions)
        category = isinstance(values.dtype, pd.CategoricalDtype)
        if is_number(values) and not levels_only:
            result[name] = numbers(values, owner)
            continue
        odd = pd.api.types.is_object_dtype(values) or pd.api.types.is_complex_dtype(values)
        if odd or (as_it_stands and not category and not is_text(values)):
            if pd.api.types.is_datetime64_any_dtype(values):
                raise InputTypeError(f"{owner}: column {name!r} holds dates. Make it a number first, for example "
                                     f"frame.assign(days=(frame[{name!r}] - frame[{name!r}].min()).dt.days).")
            numbers(values, owner)
        result[name] = values
        if not complete:
            continue
        if as_it_stands:
            must_not_read_as_numbers(values, owner)
            must_not_read_as_dates(values, owner)
        values = without_unused(values, owner)
        if category:
            count = Counter(map(str, values.cat.categories))
            doubles = [level for level in values.cat.categories if count[str(level)] > 1]
            if doubles:
                raise InputError(f"{owner}: the levels {first(doubles)} of {name!r} differ but read the same. "
                                 "Rename one of them.")
        result[name] = values
    return result


class Materializer(PandasMaterializer):
    """formulaic's builder of design matrices, with factors that `Expression` computes and that never run as code."""

    # formulaic checks its subclasses and asks for a decorator of its own.
    INTERFACE_EXPLICIT_OVERRIDES = False

    def __init__(self, frame: pd.DataFrame, formula: Formula) -> None:
        super().__init__(frame)
        self.formula = formula

    def _lookup(self, name: str) -> tuple[Any, set[Any]]:
        return self.data[name], set()

    def _evaluate(self, expr: str, metadata: Any, spec: Any) -> tuple[Any, set[Any]]:
        scope = Scope(self.data, self.formula.functions, spec.transform_state, spec)
        return self.formula.expressions[expr].value(scope), set()


def evaluate(formula: Formula, side: Any, frame: pd.DataFrame) -> Any:
    """Return the predictors of rows, in their order; `side` is the right-hand side, or formulaic's record of it."""
    owner = formula.owner
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            # formulaic aligns rows by index, and index labels may be repeated.
            rows = Materializer(frame.reset_index(drop=True), formula)
            matrix: Any = rows.get_model_matrix(side, na_action="drop")
        except DataMismatchWarning as warning:
            unseen = re.search(r"\{.*\}", str(warning))
            raise InputError(f"{owner}: a category takes the values {unseen[0] if unseen else warning}, which are none "
                             "of its levels in training.") from warning
        except (FormulaicError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise SpecificationError(f"{owner} cannot be evaluated: {reason(error)}") from error
    if len(matrix) < len(frame):
        must_be_defined(~pd.RangeIndex(len(frame)).isin(matrix.index), " or ".join(formula.expressions) or "a term",
                        owner, frame.index)
    return matrix


def reason(error: Exception) -> str:
    """Return the reason of an error from formulaic, in this package's own words where its cause has them."""
    return str(error.__cause__ if isinstance(error.__cause__, BayesPersonalError) else error).strip()


def must_be_defined(undefined: np.ndarray, label: str, owner: str, index: pd.Index) -> None:
    """Refuse rows in which a term has no value."""
    if undefined.any():
        raise InputError(f"{owner}: {label} is not a number in {undefined.sum()} of {len(index)} rows "
                         f"({first(index[undefined])}). Remove these rows or change the term.")


def outcome(formula: Formula, frame: pd.DataFrame, state: dict[str, Any] | None = None) -> pd.Series:
    """Return the left-hand side: a column, or the value of an expression in each row.

    `state` is the state that transforms such as ``scale`` learned from the training rows; they fill it where it is
    empty.
    """
    left = formula.outcome
    if left.column or left.text in frame.columns:
        values = column(frame, left.text, f"outcome of {formula.owner}")
        must_be_complete(values, "outcome")
        return values
    return computed(formula, frame, {} if state is None else state)


def computed(formula: Formula, frame: pd.DataFrame, state: dict[str, Any], *, complete: bool = True) -> pd.Series:
    """Compute an outcome that is an expression; its transforms fill the state."""
    left, owner = formula.outcome, f"outcome of {formula.owner}"
    columns = pd.DataFrame(needed({name: [left] for name in left.columns}, owner, frame, complete=complete))
    scope = Scope(columns, formula.functions, state)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            value = left.value(scope)
            values = np.asarray(getattr(value, "__wrapped__", value))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SpecificationError(f"{owner} cannot be evaluated: {reason(error)}") from error
    if values.shape != (len(frame),) or values.dtype.kind not in "biuf":
        raise SpecificationError(f"{owner}: {left.text} is categorical or several columns; an outcome is one column of "
                                 "numbers.")
    result = pd.Series(values, index=frame.index, name=left.text)
    must_be_defined(result.isna().to_numpy(), left.text, owner, frame.index)
    return result
