"""A frame and a formula become an outcome and a design matrix that remembers how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import formulaic
import narwhals as nw
import numpy as np
import pandas as pd

from bayes_personal.errors import InputError, InputTypeError, SpecificationError, did_you_mean, first


def table(frame: Any) -> pd.DataFrame:
    """The frame as pandas, its columns and index as they were; pandas, polars and Arrow are accepted."""
    if isinstance(frame, pd.DataFrame):
        result = frame
    else:
        try:
            native = nw.from_native(frame)
        except TypeError as error:
            raise InputTypeError(f"Need a pandas, polars or Arrow frame; got {type(frame).__name__}.") from error
        result = (native.collect() if isinstance(native, nw.LazyFrame) else native).to_pandas()
    repeated = list(result.columns[result.columns.duplicated()])
    if repeated:
        raise InputError(f"The frame has more than one column named {first(repeated)}: rename or drop all but one.")
    if len(result) == 0:
        raise InputError("The frame has 0 rows.")
    return result


def column(frame: pd.DataFrame, name: str, role: str) -> pd.Series:
    """One column by name, or an error that says which columns there are."""
    if name not in frame.columns:
        raise InputError(f"{role}: the frame has no column {name!r}. {did_you_mean(name, frame.columns)}")
    return frame[name]


def numbers(series: pd.Series, role: str) -> np.ndarray:
    """A column of finite numbers as float64."""
    name = series.name
    if isinstance(series.dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series)
    ) or pd.api.types.is_complex_dtype(series):
        raise InputTypeError(f"{role}: column {name!r} holds {series.dtype} values such as {series.iloc[0]!r}, "
                             f"not real numbers. Convert it first, for example with pandas.to_numeric.")
    absent(series, role)
    if pd.api.types.is_integer_dtype(series) and (series.abs() > 2**53).any():
        raise InputError(f"{role}: column {name!r} holds integers beyond 2**53, which float64 cannot tell apart, "
                         f"in rows {first(series.index[series.abs() > 2**53])}. Rescale it.")
    values = series.to_numpy(dtype=float)
    infinite = ~np.isfinite(values)
    if infinite.any():
        raise InputError(f"{role}: column {name!r} is infinite in {infinite.sum()} of {len(values)} rows "
                         f"({first(series.index[infinite])}). Remove or cap these values.")
    return values


def absent(series: pd.Series, role: str) -> None:
    """Refuse missing values: rows are never dropped silently."""
    missing = series.isna().to_numpy()
    if missing.any():
        raise InputError(f"{role}: column {series.name!r} is missing in {missing.sum()} of {len(series)} rows "
                         f"({first(series.index[missing])}). Impute them, or drop them with "
                         f"frame.dropna(subset=[{series.name!r}]).")


@dataclass(frozen=True)
class Design:
    """The predictors x_i of the formula, and what is needed to make them again from new rows.

    Attributes
    ----------
    coefficients : names of the columns, (coefficient,)
    center : mean of each predictor; 0 for the intercept, and for all without one, (coefficient,)
    spread : standard deviation of each predictor (root mean square without an intercept); 1 for the intercept
    """

    formula: str
    spec: Any
    coefficients: tuple[str, ...]
    center: np.ndarray
    spread: np.ndarray

    @classmethod
    def learn(cls, formula: str, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on the training rows."""
        spec = formulaic.Formula(formula)
        if not hasattr(spec, "rhs"):
            raise SpecificationError(f"The formula {formula!r} names no outcome: write 'outcome ~ predictors'.")
        predictors = sorted(map(str, spec.rhs.required_variables))
        for name in predictors:
            absent(column(frame, name, f"formula {formula!r}"), f"formula {formula!r}")
            if pd.api.types.is_numeric_dtype(frame[name]):
                numbers(frame[name], f"formula {formula!r}")
        matrix = spec.rhs.get_model_matrix(frame, na_action="raise")
        x = matrix.to_numpy(dtype=float)
        names = tuple(map(str, matrix.columns))
        intercept = "Intercept" in names
        constant = [k for k, name in enumerate(names) if name != "Intercept" and np.ptp(x[:, k]) == 0]
        if intercept and constant and len(x) > 1:
            raise InputError(f"formula {formula!r}: {first(names[k] for k in constant)} takes one value in all "
                             f"{len(x)} rows, so that it cannot be told from the intercept. Remove it.")
        center = x.mean(axis=0) * intercept
        spread = np.sqrt(np.mean((x - center) ** 2, axis=0))
        for k, name in enumerate(names):
            if name == "Intercept":
                center[k], spread[k] = 0.0, 1.0
        spread[spread == 0] = 1.0
        return cls(formula, matrix.model_spec, names, center, spread), x

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """The predictors of new rows, coded as the training rows were."""
        for name in sorted(map(str, self.spec.required_variables)):
            values = column(frame, name, f"formula {self.formula!r}")
            absent(values, f"formula {self.formula!r}")
            levels = self.levels(name)
            if levels:
                unseen = ~values.isin(levels).to_numpy()
                if unseen.any():
                    raise InputError(f"Column {name!r} has the level {first(values[unseen].unique())} in "
                                     f"{unseen.sum()} rows, not seen in training. Allowed: {first(levels, 20)}.")
        return self.spec.get_model_matrix(frame, na_action="raise").to_numpy(dtype=float)

    def levels(self, name: str) -> Sequence[Any]:
        """The training levels of a categorical predictor; none for a numeric one."""
        state = self.spec.encoder_state.get(name)
        return [] if state is None else list(state[1].get("categories", []))


def outcome(formula: str, frame: pd.DataFrame) -> pd.Series:
    """The left-hand side: a column as it stands, or an expression of columns."""
    spec = formulaic.Formula(formula)
    if not hasattr(spec, "lhs"):
        raise SpecificationError(f"The formula {formula!r} names no outcome: write 'outcome ~ predictors'.")
    (term,) = spec.lhs
    name = str(term)
    for needed in sorted(map(str, spec.lhs.required_variables)):
        absent(column(frame, needed, "outcome"), "outcome")
    if name in frame.columns:
        return frame[name]
    values = spec.lhs.get_model_matrix(frame, na_action="raise")
    return pd.Series(values.to_numpy(dtype=float)[:, 0], index=frame.index, name=name)
