"""A formula and a frame become an outcome and a design matrix that remembers how it was made."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.materializers import PandasMaterializer
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
from bayes_personal.errors import (
    BayesPersonalError,
    InputError,
    InputTypeError,
    InputWarning,
    SpecificationError,
    first,
)
from bayes_personal.expression import Expression, Scope
from bayes_personal.formula import Formula
from bayes_personal.moments import Moments

# Of the part of a standardised predictor that the others do not explain.
COLLINEAR = 1e-6

PIVOTED_CHOLESKY: Any = linalg.get_lapack_funcs("pstrf", dtype=float)


@dataclass(frozen=True)
class Design:
    """The predictors x_i of the formula, and what is needed to make them again from new rows.

    Attributes
    ----------
    formula : what was read
    spec : formulaic's record of how each term was coded
    columns : of the frame that the predictors are made of
    numeric : those of them that are read as numbers
    coefficients : names of the predictors, (coefficient,)
    center : mean of each predictor; 0 for the intercept, and for all without one, (coefficient,)
    spread : standard deviation of each predictor (root mean square without an intercept); 1 for the intercept
    """

    formula: Formula
    spec: Any
    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    coefficients: tuple[str, ...]
    center: np.ndarray
    spread: np.ndarray

    @classmethod
    def learn(cls, formula: Formula, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on the training rows."""
        coded, x = cls.coded(formula, frame)
        moments = Moments.of(x)
        result = coded.scaled(moments)
        some = np.arange(len(x))[::-2][:1000]
        must_not_depend(formula, result.coefficients, result.at(frame.iloc[some]), x[some], result.spread)
        result.warn_of_identification(moments)
        return result, x

    @classmethod
    def coded(cls, formula: Formula, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on rows that have every level; `scaled` goes on."""
        owner = formula.owner
        if not len(formula.predictors):
            raise SpecificationError(f"{owner} has no predictors, not even an intercept: write 'outcome ~ 1'.")
        columns = needed(formula.uses, owner, frame)
        numeric = tuple(name for name, read in columns.items() if isinstance(read, np.ndarray))
        matrix = evaluate(formula, formula.predictors, pd.DataFrame(columns, index=frame.index))
        x, names = matrix.to_numpy(dtype=float), tuple(map(str, matrix.columns))
        for k, name in enumerate(names):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        return cls(formula, matrix.model_spec, tuple(columns), numeric, names, np.zeros(len(names)),
                   np.ones(len(names))), x

    def scaled(self, moments: Moments) -> "Design":
        """With centre and spread of the training rows, in which every predictor must vary."""
        owner, intercept = self.formula.owner, "Intercept" in self.coefficients
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
        owner = self.formula.owner
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
            name = self.formula.levels_of(expression)
            if name is not None and name in columns:
                unseen = ~frame[name].isin(levels).to_numpy()
                if unseen.any():
                    raise InputError(f"{owner}: column {name!r} has the level {first(frame[name][unseen].unique())} in "
                                     f"{unseen.sum()} rows ({first(frame.index[unseen])}), not seen in training. "
                                     f"Allowed: {first(levels, 20)}.")
        if self._products is None:
            x = evaluate(self.formula, self.spec, pd.DataFrame(columns, index=frame.index)).to_numpy(dtype=float)
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
            warnings.warn(f"{self.formula.owner}: {size} coefficients for {moments.count} rows, so that much of "
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
            warnings.warn(f"{self.formula.owner}: {self.coefficients[order[place] - 1]!r} is a linear combination "
                          f"of {first(others, 10)}: the data cannot tell their coefficients apart, only the prior can. "
                          "Remove one of them.", InputWarning, stacklevel=4)


def must_not_depend(formula: Formula, names: Sequence[str], alone: np.ndarray, among: np.ndarray,
                    spread: np.ndarray) -> None:
    """Refuse terms such as ranks and lags, which differ between rows alone and among others.

    New rows, and those of another batch, would not be coded alike.
    """
    moved = np.abs(alone - among).max(axis=0) > 1e-6 * spread
    if moved.any():
        raise SpecificationError(f"{formula.owner}: {first(np.array(names)[moved])} of a row depends on which "
                                 "other rows there are, so that new rows could not be coded alike. Make it a column "
                                 "first, with frame.assign(...).")


def categories(spec: Any) -> dict[str, Sequence[Any]]:
    """The training levels of every categorical factor of an evaluated formula."""
    return {str(expression): list(state["categories"]) for expression, (_, state) in spec.encoder_state.items()
            if "categories" in state}


def needed(uses: Mapping[str, Sequence[Expression]], owner: str, frame: pd.DataFrame, *,
           whole: bool = True) -> dict[str, Any]:
    """The columns that expressions are made of: numbers as float64 arrays, others as they stand.

    Integers are read as float64 before the formula computes with them, for their products could overflow. Columns
    only used as ``C(column)`` keep their values, which name levels. What is said of levels needs a frame with all of
    them, a `whole` one.
    """
    result: dict[str, Any] = {}
    for name, expressions in uses.items():
        values = column(frame, name, owner)
        absent(values, owner)
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


class Materializer(PandasMaterializer):
    """formulaic's design matrix of terms whose factors are computed by `Expression`, and never run as code."""

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
    """The predictors of these rows, which keep their order; `side` is the formula's, or formulaic's record of it."""
    owner = formula.owner
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            # formulaic aligns by index, and rows may share theirs.
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
    """What went wrong inside of formulaic, in our words where they are."""
    return str(error.__cause__ if isinstance(error.__cause__, BayesPersonalError) else error).strip()


def must_be_defined(undefined: np.ndarray, what: str, owner: str, index: pd.Index) -> None:
    """Refuse rows in which a term has no value."""
    if undefined.any():
        raise InputError(f"{owner}: {what} is not a number in {undefined.sum()} of {len(index)} rows "
                         f"({first(index[undefined])}). Remove these rows or change the term.")


def outcome(formula: Formula, frame: pd.DataFrame) -> pd.Series:
    """The left-hand side: a column as it stands, or what an expression of columns is in each row."""
    left = formula.outcome
    if left.column or left.text in frame.columns:
        values = column(frame, left.text, f"outcome of {formula.owner}")
        absent(values, "outcome")
        return values
    return computed(formula, frame)[0]


def computed(formula: Formula, frame: pd.DataFrame, *, whole: bool = True) -> tuple[pd.Series, dict[str, Any]]:
    """An outcome that is an expression, and what its transforms remember of these rows."""
    left, owner = formula.outcome, f"outcome of {formula.owner}"
    columns = pd.DataFrame(needed({name: [left] for name in left.columns}, owner, frame, whole=whole))
    scope = Scope(columns, formula.functions)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = left.value(scope)
            values = np.asarray(getattr(found, "__wrapped__", found))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SpecificationError(f"{owner} cannot be evaluated: {reason(error)}") from error
    if values.shape != (len(frame),) or values.dtype.kind not in "biuf":
        raise SpecificationError(f"{owner}: {left.text} is categorical or several columns; an outcome is one column of "
                                 "numbers.")
    result = pd.Series(values, index=frame.index, name=left.text)
    must_be_defined(result.isna().to_numpy(), left.text, owner, frame.index)
    return result, scope.state
