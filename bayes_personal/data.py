"""A frame and a formula become an outcome and a design matrix that remembers how it was made."""

import ast
import builtins
import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import formulaic
import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.transforms import TRANSFORMS
from scipy import linalg

from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError, did_you_mean, first

# Beyond it, products of two natural units leave float64.
LARGEST = 1e75
# Of a spread relative to the largest value: below it, rounding leaves fewer than four digits of the differences.
RESOLUTION = 2.0**-40
# Of the part of a standardised predictor that the others do not explain.
COLLINEAR = 1e-6


def table(frame: Any) -> pd.DataFrame:
    """The frame as pandas, its columns and index as they were; pandas, polars and Arrow are accepted.

    Later changes of the frame do not reach the result. Columns of objects, of Arrow or of nullable text take
    pandas' own dtype.
    """
    if isinstance(frame, pd.DataFrame):
        result = frame
    else:
        try:
            native = nw.from_native(frame)
        except TypeError as error:
            raise InputTypeError(f"Need a pandas, polars or Arrow frame; got {type(frame).__name__}.") from error
        result = (native.collect() if isinstance(native, nw.LazyFrame) else native).to_pandas()
    if result.columns.nlevels > 1:
        raise InputError(f"The frame's columns have {result.columns.nlevels} levels: flatten them, for example with "
                         "frame.columns = ['_'.join(map(str, names)) for names in frame.columns].")
    repeated = list(result.columns[result.columns.duplicated()])
    if repeated:
        raise InputError(f"The frame has more than one column named {first(repeated)}: rename or drop all but one.")
    if len(result) == 0:
        raise InputError("The frame has 0 rows.")
    result = result.copy(deep=False)
    for name, dtype in result.dtypes.items():
        if isinstance(dtype, pd.ArrowDtype):
            result[name] = pa.array(result[name]).to_pandas().set_axis(result.index)
        elif isinstance(dtype, pd.StringDtype):
            # formulaic takes other dtypes of text for numbers.
            result[name] = result[name].astype("str")
    return result.infer_objects()


def column(frame: pd.DataFrame, name: str, role: str) -> pd.Series:
    """One column by name, or an error that says which columns there are."""
    if not isinstance(name, str):
        raise InputTypeError(f"{role}: a column's name must be text; got {name!r}.")
    if name not in frame.columns:
        raise InputError(f"{role}: the frame has no column {name!r}. {did_you_mean(name, frame.columns)}")
    return frame[name]


def numbers(series: pd.Series, role: str) -> np.ndarray:
    """A column of finite numbers as float64."""
    name = series.name
    if not is_number(series):
        bad = np.isnan(np.asarray(pd.to_numeric(series.astype(str), errors="coerce"))) & series.notna().to_numpy()
        row = int(np.argmax(bad | (series.notna().to_numpy() & ~bad.any())))
        raise InputTypeError(f"{role}: column {name!r} holds {series.dtype} values such as {series.iloc[row]!r} (row "
                             f"{first(series.index[[row]])}), not real numbers. Convert it first, for example with "
                             "pandas.to_numeric.")
    absent(series, role)
    if pd.api.types.is_integer_dtype(series) and ((series > 2**53) | (series < -(2**53))).any():
        beyond = (series > 2**53) | (series < -(2**53))
        raise InputError(f"{role}: column {name!r} holds integers beyond 2**53, which float64 cannot tell apart, "
                         f"in {beyond.sum()} rows ({first(series.index[beyond])}). Rescale it.")
    values = series.to_numpy(dtype=float)
    must_be_finite(values, series.index, f"{role}: column {name!r}")
    return values


def must_be_finite(values: np.ndarray, index: pd.Index, what: str) -> None:
    """Refuse infinities, and values whose squares leave float64."""
    infinite, large = np.isinf(values), np.abs(values) > LARGEST
    if infinite.any():
        raise InputError(f"{what} is infinite in {infinite.sum()} of {len(values)} rows ({first(index[infinite])}). "
                         "Remove or cap these values.")
    if large.any():
        raise InputError(f"{what} is beyond {LARGEST:g} in {large.sum()} of {len(values)} rows "
                         f"({first(index[large])}). Rescale it.")


def absent(series: pd.Series, role: str) -> None:
    """Refuse missing values: rows are never dropped silently."""
    missing = series.isna().to_numpy()
    if missing.any():
        raise InputError(f"{role}: column {series.name!r} is missing in {missing.sum()} of {len(series)} rows "
                         f"({first(series.index[missing])}). Impute them, or drop them with "
                         f"frame.dropna(subset=[{series.name!r}]).")


def is_number(series: pd.Series) -> bool:
    """Whether a column holds real numbers or booleans."""
    return (pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series)) and not (
        pd.api.types.is_complex_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype))


def is_text(series: pd.Series) -> bool:
    """Whether a column holds text and nothing else."""
    return isinstance(series.dtype, pd.StringDtype)


def must_not_read_as_numbers(series: pd.Series, role: str) -> None:
    """Refuse text that is a number in every row: it would silently count as a category."""
    if is_text(series) and not np.isnan(pd.to_numeric(series.str.replace(",", "."), errors="coerce")).any():
        raise InputTypeError(f"{role}: column {series.name!r} holds text such as {series.iloc[0]!r} (row "
                             f"{first(series.index[[0]])}) that reads as a number. Convert it with pandas.to_numeric, "
                             f"or, where it labels categories, with frame[{series.name!r}].astype('category').")


def without_unused(series: pd.Series, role: str) -> pd.Series:
    """A categorical column without its categories that no row has, which are noted."""
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return series
    result = series.cat.remove_unused_categories()
    unused = [each for each in series.cat.categories if each not in result.cat.categories]
    if unused:
        warnings.warn(f"{role}: {len(unused)} categories of {series.name!r} have no rows and are left out of the "
                      f"fit: {first(unused)}.", InputWarning, stacklevel=2)
    return result


def spelled(labels: Iterable[Hashable]) -> tuple[str, ...]:
    """Labels as text, all different: those that would read the same are spelled out."""
    labels = tuple(labels)
    count = Counter(map(str, labels))
    return tuple(repr(label) if count[str(label)] > 1 else str(label) for label in labels)


def spread_about(center: float, values: np.ndarray, what: str) -> float:
    """Root mean square distance from `center`, of values whose differences float64 can tell from rounding."""
    spread = float(np.sqrt(np.mean((values - center) ** 2)))
    if not spread > max(1 / LARGEST, RESOLUTION * float(np.abs(values).max())):
        raise InputError(f"{what} runs from {values.min()!s} to {values.max()!s}: float64 cannot resolve so narrow a "
                         "range. Subtract a constant from it, or rescale it.")
    return spread


@dataclass(frozen=True)
class Design:
    """The predictors x_i of the formula, and what is needed to make them again from new rows.

    Attributes
    ----------
    spec : formulaic's record of how each term was coded
    columns : of the frame that the predictors are made of
    numeric : those of them that are read as numbers
    coefficients : names of the predictors, (coefficient,)
    center : mean of each predictor; 0 for the intercept, and for all without one, (coefficient,)
    spread : standard deviation of each predictor (root mean square without an intercept); 1 for the intercept
    """

    formula: str
    spec: Any
    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    coefficients: tuple[str, ...]
    center: np.ndarray
    spread: np.ndarray

    @classmethod
    def learn(cls, formula: str, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on the training rows."""
        right, owner = sides(formula)[1], f"formula {formula!r}"
        if not list(right):
            raise SpecificationError(f"{owner} has no predictors, not even an intercept: write 'outcome ~ 1'.")
        columns = needed(right, owner, frame)
        numeric = tuple(name for name, read in columns.items() if isinstance(read, np.ndarray))
        matrix = evaluate(right, pd.DataFrame(columns, index=frame.index), owner)
        x, names = matrix.to_numpy(dtype=float), tuple(map(str, matrix.columns))
        constant = [expression for expression, levels in categories(matrix.model_spec).items() if len(levels) < 2]
        intercept = "Intercept" in names
        for k, name in enumerate(names):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
            if name != "Intercept" and np.ptp(x[:, k]) == 0 and (intercept or x[0, k] == 0):
                constant.append(name)
        if constant:
            why = "it cannot be told from the intercept" if intercept else "its coefficient cannot be learned"
            raise InputError(f"{owner}: {first(constant)} takes one value in all {len(x)} rows, so that {why}. "
                             "Remove it.")
        own = [k for k, name in enumerate(names) if name != "Intercept"]
        center, spread = np.zeros(len(names)), np.ones(len(names))
        center[own] = x[:, own].mean(axis=0) * intercept
        spread[own] = [spread_about(center[k], x[:, k], f"{owner}: {names[k]!r}") for k in own]
        result = cls(formula, matrix.model_spec, tuple(columns), numeric, names, center, spread)
        result._must_code_rows_one_by_one(frame, x)
        result._warn_of_identification(x)
        return result, x

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """The predictors of new rows, coded as the training rows were."""
        owner = f"formula {self.formula!r}"
        columns: dict[str, Any] = {}
        for name in self.columns:
            columns[name] = column(frame, name, owner)
            absent(columns[name], owner)
            if name in self.numeric:
                columns[name] = numbers(columns[name], owner)
            elif isinstance(columns[name].dtype, pd.CategoricalDtype):
                columns[name] = columns[name].cat.remove_unused_categories()
        for expression, levels in categories(self.spec).items():
            name = categorical_column(expression)
            if name in columns:
                unseen = ~frame[name].isin(levels).to_numpy()
                if unseen.any():
                    raise InputError(f"{owner}: column {name!r} has the level {first(frame[name][unseen].unique())} in "
                                     f"{unseen.sum()} rows ({first(frame.index[unseen])}), not seen in training. "
                                     f"Allowed: {first(levels, 20)}.")
        x = evaluate(self.spec, pd.DataFrame(columns, index=frame.index), owner).to_numpy(dtype=float)
        for k, name in enumerate(self.coefficients):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        return x

    def _must_code_rows_one_by_one(self, frame: pd.DataFrame, x: np.ndarray) -> None:
        """Refuse terms such as ranks and lags: new rows would not be coded as the training rows were."""
        some = np.arange(len(x))[::-2][:1000]
        moved = np.abs(self.at(frame.iloc[some]) - x[some]).max(axis=0) > 1e-6 * self.spread
        if moved.any():
            raise SpecificationError(f"formula {self.formula!r}: {first(np.array(self.coefficients)[moved])} of a row "
                                     "depends on which other rows there are, so that new rows could not be coded "
                                     "alike. Make it a column first, with frame.assign(...).")

    def _warn_of_identification(self, x: np.ndarray) -> None:
        """Warn where the rows alone could not tell the coefficients apart."""
        rows, size = x.shape
        if size > rows or rows == 1:
            warnings.warn(f"formula {self.formula!r}: {size} coefficients for {rows} rows, so that much of the "
                          "posterior is its prior.", InputWarning, stacklevel=4)
            return
        standardised = (x - self.center) / self.spread
        factors: Any = linalg.qr(standardised, mode="r", pivoting=True)
        triangle, order = factors
        left = np.abs(np.diag(triangle)) / np.sqrt(rows)
        rank = int((left > COLLINEAR).sum())
        for k in order[rank:]:
            share = linalg.lstsq(standardised[:, order[:rank]], standardised[:, k])[0]
            others = [self.coefficients[j] for j, part in zip(order[:rank], share, strict=True) if abs(part) > 1e-4]
            warnings.warn(f"formula {self.formula!r}: {self.coefficients[k]!r} is a linear combination of "
                          f"{first(others, 10)}: the data cannot tell their coefficients apart, only the prior can. "
                          "Remove one of them.", InputWarning, stacklevel=4)


def sides(formula: str) -> tuple[Any, Any]:
    """The outcome and the predictors of a formula, as formulaic reads them."""
    if not isinstance(formula, str):
        raise InputTypeError(f"A formula is text such as 'outcome ~ predictors'; got {formula!r}.")
    groups = " Groups are the prior's business: prior=PartialPooling(column)." if "|" in formula else ""
    try:
        spec: Any = formulaic.Formula.from_spec(formula)
    except (FormulaicError, SyntaxError) as error:
        said = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error))
        said = re.split(r"\.\s|\n", said)[0].rstrip(".")
        raise SpecificationError(f"The formula {formula!r} cannot be read: {said}. Write 'outcome ~ predictors' with "
                                 f"each predictor by name, and names with spaces or signs in `backticks`.{groups}"
                                 ) from error
    if not hasattr(spec, "lhs") or not isinstance(spec.lhs, tuple) and not list(spec.lhs):
        raise SpecificationError(f"The formula {formula!r} names no outcome: write 'outcome ~ predictors'.")
    if isinstance(spec.lhs, tuple) or len(list(spec.lhs)) > 1:
        raise SpecificationError(f"The formula {formula!r} names more than one outcome: write 'outcome ~ predictors', "
                                 "and I(a + b) where a sum is meant.")
    if isinstance(spec.rhs, tuple):
        raise SpecificationError(f"The formula {formula!r} has {len(spec.rhs)} parts: write 'outcome ~ predictors'."
                                 f"{groups}")
    if str(next(iter(spec.lhs))) in map(str, spec.rhs):
        raise SpecificationError(f"The formula {formula!r} has its outcome among the predictors. Remove it there.")
    return spec.lhs, spec.rhs


def names_in(factor: Any, owner: str) -> set[str]:
    """The columns that a factor of a formula is made of; a function that formulas do not know is an error."""
    if factor.eval_method.value == "lookup":
        return {factor.expr}
    quoted = set(re.findall(r"`([^`]+)`", factor.expr))
    try:
        tree = ast.parse(re.sub(r"`[^`]+`", "np", factor.expr), mode="eval")
    except SyntaxError as error:
        raise SpecificationError(f"{owner}: {factor.expr!r} is not a Python expression.") from error
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    unknown = sorted(called - set(TRANSFORMS) - set(dir(builtins)))
    if unknown:
        raise SpecificationError(f"{owner}: knows no function {unknown[0]!r}. {did_you_mean(unknown[0], TRANSFORMS)} "
                                 "Or make the column first, with frame.assign(...).")
    return quoted | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - called - set(TRANSFORMS)


def categorical_column(expression: str) -> str:
    """The column x of the factor x or C(x)."""
    inside = re.fullmatch(r"C\(\s*`?([^`,()]+?)`?\s*(,.*)?\)", expression)
    return inside[1] if inside else expression


def categories(spec: Any) -> dict[str, Sequence[Any]]:
    """The training levels of every categorical factor of an evaluated formula."""
    return {str(expression): list(state["categories"]) for expression, (_, state) in spec.encoder_state.items()
            if "categories" in state}


def needed(side: Any, owner: str, frame: pd.DataFrame) -> dict[str, Any]:
    """The columns that one side of a formula is made of: numbers as float64 arrays, others as they stand.

    Integers are read as float64 before the formula computes with them, for their products could overflow. Columns
    only used as ``C(column)`` keep their values, which name levels.
    """
    uses: dict[str, list[str]] = {}
    for factor in dict.fromkeys(factor for term in side for factor in term.factors):
        for name in sorted(names_in(factor, owner)):
            uses.setdefault(name, []).append(factor.expr)
    result: dict[str, Any] = {}
    for name, expressions in uses.items():
        values = column(frame, name, owner)
        absent(values, owner)
        if name == "Intercept":
            raise SpecificationError(f"{owner}: 'Intercept' is what the constant is called. Rename that column.")
        as_it_stands = name in expressions
        levels_only = all(use != name and categorical_column(use) == name for use in expressions)
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
        if as_it_stands:
            must_not_read_as_numbers(values, owner)
        values = without_unused(values, owner)
        if category:
            count = Counter(map(str, values.cat.categories))
            same = [level for level in values.cat.categories if count[str(level)] > 1]
            if same:
                raise InputError(f"{owner}: the levels {first(same)} of {name!r} differ but read the same. "
                                 "Rename one of them.")
        result[name] = values
    return result


def evaluate(side: Any, frame: pd.DataFrame, owner: str) -> Any:
    """What one side of a formula is in these rows, which keep their order."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            # formulaic aligns by index, and rows may share theirs.
            matrix = side.get_model_matrix(frame.reset_index(drop=True), na_action="drop")
        except DataMismatchWarning as warning:
            unseen = re.search(r"\{.*\}", str(warning))
            raise InputError(f"{owner}: a category takes the values {unseen[0] if unseen else warning}, which are none "
                             "of its levels in training.") from warning
        except (FormulaicError, ArithmeticError, LookupError, SyntaxError, TypeError, ValueError) as error:
            raise SpecificationError(f"{owner} cannot be evaluated: {str(error).strip()}") from error
    undefined = ~pd.RangeIndex(len(frame)).isin(matrix.index)
    if undefined.any():
        calls = dict.fromkeys(str(factor) for term in side for factor in term.factors
                              if factor.eval_method.value == "python") if not hasattr(side, "formula") else {}
        raise InputError(f"{owner}: {' or '.join(calls) or 'a term'} is not a number in {undefined.sum()} of "
                         f"{len(frame)} rows ({first(frame.index[undefined])}). Remove these rows or change the term.")
    return matrix


def outcome(formula: str, frame: pd.DataFrame) -> pd.Series:
    """The left-hand side: a column as it stands, or an expression of columns."""
    left, owner = sides(formula)[0], f"outcome of {formula!r}"
    (term,) = left
    name = str(term)
    if name in frame.columns:
        absent(frame[name], "outcome")
        return frame[name]
    matrix = evaluate(left, pd.DataFrame(needed(left, owner, frame), index=frame.index), owner)
    if matrix.shape[1] != 1 or categories(matrix.model_spec):
        raise SpecificationError(f"{owner}: {name} is categorical; an outcome is one column of values.")
    return pd.Series(matrix.iloc[:, 0].to_numpy(), index=frame.index, name=name)
