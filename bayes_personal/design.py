"""A formula and a frame become an outcome and a design matrix that remembers how it was made."""

import ast
import builtins
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import formulaic
import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.transforms import TRANSFORMS
from scipy import linalg

from bayes_personal.data import (
    absent,
    column,
    is_number,
    is_text,
    must_be_finite,
    must_not_read_as_numbers,
    must_resolve,
    numbers,
    without_unused,
)
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError, did_you_mean, first
from bayes_personal.moments import Moments

# Of the part of a standardised predictor that the others do not explain.
COLLINEAR = 1e-6

PIVOTED_CHOLESKY: Any = linalg.get_lapack_funcs("pstrf", dtype=float)


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
        coded, x = cls.coded(formula, frame)
        moments = Moments.of(x)
        result = coded.scaled(moments)
        some = np.arange(len(x))[::-2][:1000]
        must_not_depend(formula, result.coefficients, result.at(frame.iloc[some]), x[some], result.spread)
        result.warn_of_identification(moments)
        return result, x

    @classmethod
    def coded(cls, formula: str, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on rows that have every level; `scaled` goes on."""
        right, owner = sides(formula)[1], f"formula {formula!r}"
        if not list(right):
            raise SpecificationError(f"{owner} has no predictors, not even an intercept: write 'outcome ~ 1'.")
        columns = needed(right, owner, frame)
        numeric = tuple(name for name, read in columns.items() if isinstance(read, np.ndarray))
        matrix = evaluate(right, pd.DataFrame(columns, index=frame.index), owner)
        x, names = matrix.to_numpy(dtype=float), tuple(map(str, matrix.columns))
        for k, name in enumerate(names):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        return cls(formula, matrix.model_spec, tuple(columns), numeric, names, np.zeros(len(names)),
                   np.ones(len(names))), x

    def scaled(self, moments: Moments) -> "Design":
        """With centre and spread of the training rows, in which every predictor must vary."""
        owner, intercept = f"formula {self.formula!r}", "Intercept" in self.coefficients
        own = np.array([name != "Intercept" for name in self.coefficients])
        alike = own & (moments.low == moments.high) & (intercept | (moments.low == 0))
        constant = [expression for expression, levels in categories(self.spec).items() if len(levels) < 2]
        constant += [self.coefficients[k] for k in np.flatnonzero(alike)]
        if constant:
            why = "it cannot be told from the intercept" if intercept else "its coefficient cannot be learned"
            raise InputError(f"{owner}: {first(constant)} takes one value in all {moments.count} rows, so that {why}. "
                             "Remove it.")
        center = np.where(own, moments.mean * intercept, 0.0)
        spread = np.where(own, moments.spread_about(center), 1.0)
        for k in np.flatnonzero(own):
            must_resolve(spread[k], moments.low[k], moments.high[k], f"{owner}: {self.coefficients[k]!r}")
        return replace(self, center=center, spread=spread)

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """The predictors of new rows, coded as the training rows were."""
        owner = f"formula {self.formula!r}"
        columns: dict[str, Any] = {}
        for name in self.columns:
            columns[name] = column(frame, name, owner)
            if name in self.numeric:
                columns[name] = numbers(columns[name], owner)
                continue
            absent(columns[name], owner)
            if isinstance(columns[name].dtype, pd.CategoricalDtype):
                columns[name] = columns[name].cat.remove_unused_categories()
        for expression, levels in categories(self.spec).items():
            name = categorical_column(expression)
            if name in columns:
                unseen = ~frame[name].isin(levels).to_numpy()
                if unseen.any():
                    raise InputError(f"{owner}: column {name!r} has the level {first(frame[name][unseen].unique())} in "
                                     f"{unseen.sum()} rows ({first(frame.index[unseen])}), not seen in training. "
                                     f"Allowed: {first(levels, 20)}.")
        if self._products is None:
            x = evaluate(self.spec, pd.DataFrame(columns, index=frame.index), owner).to_numpy(dtype=float)
        else:
            x = np.ones((len(frame), len(self.coefficients)), order="F")
            for k, factors in enumerate(self._products):
                for name in factors:
                    x[:, k] *= columns[name]
        for k, name in enumerate(self.coefficients):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        return x

    @cached_property
    def _products(self) -> list[list[str]] | None:
        """The columns of which each predictor is the product; None where the formula asks for more than products."""
        factors = [[factor for factor in entry.term.factors if factor.eval_method.value != "literal"]
                   for entry in self.spec.structure]
        plain = all(factor.eval_method.value == "lookup" and factor.expr in self.numeric
                    for each in factors for factor in each)
        scaled = any(scoped.scale != 1 for entry in self.spec.structure for scoped in entry.scoped_terms)
        return None if scaled or not plain else [[factor.expr for factor in each] for each in factors]

    def warn_of_identification(self, moments: Moments) -> None:
        """Warn where the rows alone could not tell the coefficients apart."""
        size = len(self.coefficients)
        if size > moments.count or moments.count == 1:
            warnings.warn(f"formula {self.formula!r}: {size} coefficients for {moments.count} rows, so that much of "
                          "the posterior is its prior.", InputWarning, stacklevel=4)
            return
        gram = moments.gram(self.center) / np.outer(self.spread, self.spread)
        # Of equals the first is kept: rounding has no say in which of them is named.
        np.fill_diagonal(gram, 1.0)
        triangle, order, rank, _ = PIVOTED_CHOLESKY(gram, tol=COLLINEAR**2)
        kept = order[:rank] - 1
        for place in range(rank, size):
            share = linalg.solve_triangular(triangle[:rank, :rank], triangle[:rank, place])
            others = [self.coefficients[j] for j in sorted(kept[np.abs(share) > 1e-4])]
            warnings.warn(f"formula {self.formula!r}: {self.coefficients[order[place] - 1]!r} is a linear combination "
                          f"of {first(others, 10)}: the data cannot tell their coefficients apart, only the prior can. "
                          "Remove one of them.", InputWarning, stacklevel=4)


def must_not_depend(formula: str, names: Sequence[str], alone: np.ndarray, among: np.ndarray,
                    spread: np.ndarray) -> None:
    """Refuse terms such as ranks and lags, which differ between rows alone and among others.

    New rows, and those of another batch, would not be coded alike.
    """
    moved = np.abs(alone - among).max(axis=0) > 1e-6 * spread
    if moved.any():
        raise SpecificationError(f"formula {formula!r}: {first(np.array(names)[moved])} of a row depends on which "
                                 "other rows there are, so that new rows could not be coded alike. Make it a column "
                                 "first, with frame.assign(...).")


def sides(formula: str) -> tuple[Any, Any]:
    """The outcome and the predictors of a formula, as formulaic reads them."""
    if not isinstance(formula, str):
        raise InputTypeError(f"A formula is text such as 'outcome ~ predictors'; got {formula!r}.")
    return _sides(formula)


@lru_cache
def _sides(formula: str) -> tuple[Any, Any]:
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


def is_computed(side: Any) -> bool:
    """Whether one side of a formula evaluates anything beside columns as they stand."""
    return any(factor.eval_method.value == "python" for term in side for factor in term.factors)


def outcome_columns(formula: str, columns: Any) -> tuple[str, ...]:
    """The columns, among those of a frame, that the left-hand side is made of."""
    (term,) = sides(formula)[0]
    if str(term) in columns:
        return (str(term),)
    return tuple(sorted(set().union(*(names_in(factor, f"outcome of {formula!r}") for factor in term.factors))))


def categorical_column(expression: str) -> str:
    """The column x of the factor x or C(x)."""
    inside = re.fullmatch(r"C\(\s*`?([^`,()]+?)`?\s*(,.*)?\)", expression)
    return inside[1] if inside else expression


def categories(spec: Any) -> dict[str, Sequence[Any]]:
    """The training levels of every categorical factor of an evaluated formula."""
    return {str(expression): list(state["categories"]) for expression, (_, state) in spec.encoder_state.items()
            if "categories" in state}


def needed(side: Any, owner: str, frame: pd.DataFrame, *, whole: bool = True) -> dict[str, Any]:
    """The columns that one side of a formula is made of: numbers as float64 arrays, others as they stand.

    Integers are read as float64 before the formula computes with them, for their products could overflow. Columns
    only used as ``C(column)`` keep their values, which name levels. What is said of levels needs a frame with all of
    them, a `whole` one.
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
        result[name] = values
        if not whole:
            continue
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
    if len(matrix) < len(frame):
        undefined = ~pd.RangeIndex(len(frame)).isin(matrix.index)
        calls = dict.fromkeys(str(factor) for term in getattr(side, "formula", side) for factor in term.factors
                              if factor.eval_method.value == "python")
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
