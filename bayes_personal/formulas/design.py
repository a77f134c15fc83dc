"""Turns a formula and a frame into an outcome and a design matrix that can be coded again for new rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg

from bayes_personal.data.columns import column, must_be_complete, must_be_finite, must_resolve, numbers, places
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, InputWarning, SpecificationError, first, warn
from bayes_personal.formulas.expression import Expression, Scope
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.terms import categories, evaluate, needed
from bayes_personal.system.memory import must_be_few

# Part of a standardised predictor, unexplained by the other predictors, below which it counts as collinear.
COLLINEAR = 1e-6
# Part of the training range of a predictor: new values further outside the range are far.
FAR = 0.25

PIVOTED_CHOLESKY: Any = linalg.get_lapack_funcs("pstrf", dtype=float)


@dataclass(frozen=True)
class Design:
    """The predictors x_i of the formula, and the information to compute them for new rows.

    Attributes
    ----------
    formula : the formula that was read
    spec : formulaic's record of how each term was coded
    columns : columns of the frame from which the predictors are computed
    numeric : those of these columns that are read as numbers
    coefficients : names of the predictors, (coefficient,)
    center : mean of each predictor; 0 for the intercept, and for all predictors without an intercept, (coefficient,)
    spread : standard deviation of each predictor (root mean square without an intercept); 1 for the intercept
    low, high : training range of each predictor, (coefficient,)
    coded : names of all columns that the formula produces, (coded,)
    kept : which of these are predictors: all but interactions of levels that no training row has together
    predictor : place of the linear predictor that each coefficient belongs to, (coefficient,)
    copies : how many linear predictors have a coefficient for each predictor; constants of further ones stand last
    outcome_state : state that transforms of the outcome learned from the training rows
    """

    formula: Formula
    spec: Any
    columns: tuple[str, ...]
    numeric: tuple[str, ...]
    coefficients: tuple[str, ...]
    center: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    coded: tuple[str, ...]
    kept: np.ndarray
    predictor: np.ndarray
    copies: int = 1
    outcome_state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def learn(cls, formula: Formula, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on the training rows."""
        design, x = cls.made(formula, frame)
        moments = Moments.of(x)
        result = design.scaled(moments)
        x = x if result.kept.all() else x[:, result.kept]
        rows = np.arange(len(x))[::-2][:1000]
        must_not_depend(formula, result.coefficients, result.at(frame.iloc[rows]), x[rows], result.spread)
        result.warn_of_identification(moments)
        return result, x

    @classmethod
    def made(cls, formula: Formula, frame: pd.DataFrame) -> tuple["Design", np.ndarray]:
        """Read the right-hand side on rows that have every level; `scaled` completes the design."""
        owner = formula.owner
        if not len(formula.predictors):
            raise SpecificationError(f"{owner} has no predictors, not even an intercept: write 'outcome ~ 1'.")
        columns = needed(formula.uses, owner, frame)
        numeric = tuple(name for name, read in columns.items() if isinstance(read, np.ndarray))
        for name, read in columns.items():
            if name not in numeric:
                must_be_few(read.nunique(), len(frame), f"{owner}: {name!r}",
                            f"Take it out of the formula and give the prior PartialPooling({name!r}), which pools its "
                            "levels and keeps them sparse.")
        matrix = evaluate(formula, formula.predictors, pd.DataFrame(columns, index=frame.index))
        x, names = matrix.to_numpy(dtype=float), tuple(map(str, matrix.columns))
        for k, name in enumerate(names):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        ones = np.ones(len(names))
        return cls(formula, matrix.model_spec, tuple(columns), numeric, names, 0 * ones, ones, -np.inf * ones,
                   np.inf * ones, names, ones.astype(bool), np.zeros(len(names), int)), x

    def scaled(self, moments: Moments) -> "Design":
        """Return the design with centre and spread of the training rows, in which every predictor must vary.

        Interactions of levels that no row has together are left out, with a warning.
        """
        owner = self.formula.owner
        empty = (moments.low == 0) & (moments.high == 0) & self._of_interactions
        if empty.any():
            names = [name for name, without in zip(self.coded, empty, strict=True) if without]
            warn(f"{owner}: {first(names)} {'is' if len(names) == 1 else 'are'} 0 in all {moments.count} "
                 f"rows, for none has these levels together: no coefficient is learned of "
                 f"{'it' if len(names) == 1 else 'them'}, and rows with these levels cannot be predicted.",
                 InputWarning)
            made = replace(self, kept=~empty, coefficients=tuple(np.array(self.coded)[~empty]))
            made = replace(made, center=self.center[~empty], spread=self.spread[~empty],
                           predictor=self.predictor[~empty])
            return made._scaled(moments.select(~empty))
        return self._scaled(moments)

    def _scaled(self, moments: Moments) -> "Design":
        owner, intercept = self.formula.owner, "Intercept" in self.coefficients
        slopes = np.array([name != "Intercept" for name in self.coefficients])
        unvarying = slopes & (moments.low == moments.high) & (intercept | (moments.low == 0))
        constant = [expression for expression, levels in categories(self.spec).items() if len(levels) < 2]
        constant += [self.coefficients[k] for k in np.flatnonzero(unvarying)]
        if constant:
            why = "it cannot be told from the intercept" if intercept else "its coefficient cannot be learned"
            raise InputError(f"{owner}: {first(constant)} takes one value in all {moments.count} rows, so that {why}. "
                             "Remove it.")
        center = np.where(slopes, moments.mean * intercept, 0.0)
        spread = np.where(slopes, moments.spread_about(center), 1.0)
        for k in np.flatnonzero(slopes):
            must_resolve(spread[k], moments.low[k], moments.high[k], f"{owner}: {self.coefficients[k]!r}")
        return replace(self, center=center, spread=spread, low=moments.low, high=moments.high)

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Names of the coefficients within their linear predictors."""
        coded = tuple(name for name, kept in zip(self.coded, self.kept, strict=True) if kept)
        return coded * self.copies + self.coefficients[len(coded) * self.copies :]

    def copied(self, names: Sequence[str]) -> "Design":
        """Return the design with a copy of every coefficient for each of several linear predictors."""
        count = len(names)
        center, spread, low, high = (np.tile(each, count) for each in (self.center, self.spread, self.low, self.high))
        return replace(self, coefficients=tuple(f"{each}: {name}" for each in names for name in self.coefficients),
                       center=center, spread=spread, low=low, high=high, copies=count,
                       predictor=np.repeat(np.arange(count), len(self.coefficients)))

    def with_constants(self, names: Sequence[str]) -> "Design":
        """Return the design with further linear predictors, each of which has one coefficient, a constant."""
        taken = [name for name in names if name in self.coefficients]
        if taken:
            raise SpecificationError(f"{self.formula.owner}: {taken[0]!r} is the name of the scale that varies, and "
                                     "cannot be that of a predictor. Rename that column.")
        ones, last = np.ones(len(names)), self.predictor.max(initial=0)
        return replace(self, coefficients=(*self.coefficients, *names), center=np.append(self.center, 0 * ones),
                       spread=np.append(self.spread, ones), low=np.append(self.low, ones),
                       high=np.append(self.high, ones),
                       predictor=np.append(self.predictor, last + 1 + np.arange(len(names))))

    def widened(self, x: np.ndarray) -> np.ndarray:
        """Return coded predictors of rows, a copy for each linear predictor, with the 1 that constants of further ones
        multiply."""
        x = np.tile(x, self.copies) if self.copies > 1 else x
        missing = len(self.coefficients) - x.shape[1]
        return np.column_stack([x, np.ones((len(x), missing))]) if missing else x

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the predictors of new rows, coded as the training rows were."""
        owner = self.formula.owner
        columns: dict[str, Any] = {}
        for name in self.columns:
            columns[name] = column(frame, name, owner)
            if name in self.numeric:
                columns[name] = numbers(columns[name], owner)
                continue
            must_be_complete(columns[name], owner)
        for expression, levels in categories(self.spec).items():
            name = self.formula.levels_of(expression)
            if name is not None and name in columns:
                codes = places(column(frame, name, owner), levels, owner)
                if name not in self.numeric:
                    # The column may now hold plain numbers, which formulaic would not read as levels.
                    kinds = pd.Index(levels, tupleize_cols=False)
                    columns[name] = pd.Series(pd.Categorical.from_codes(codes, kinds), frame.index)
        self._must_lie_within_knots(columns, frame.index)
        if self._products is None:
            x = evaluate(self.formula, self.spec, pd.DataFrame(columns, index=frame.index)).to_numpy(dtype=float)
            if not self.kept.all():
                self._must_have_no_new_interaction(x[:, ~self.kept], frame.index)
                x = x[:, self.kept]
        else:
            x = np.ones((len(frame), len(self._products)), order="F")
            for k, factors in enumerate(self._products):
                for name in factors:
                    x[:, k] *= columns[name]
        for k, name in enumerate(self.plain_names[: x.shape[1]]):
            must_be_finite(x[:, k], frame.index, f"{owner}: {name!r}")
        return self.widened(x)

    def _must_have_no_new_interaction(self, left_out: np.ndarray, index: pd.Index) -> None:
        """Refuse rows with levels that no training row had together."""
        unseen = left_out != 0
        if unseen.any():
            rows = unseen.any(axis=1)
            names = np.array(self.coded)[~self.kept][unseen.any(axis=0)]
            raise InputError(f"{self.formula.owner}: {first(names)} is not 0 in {rows.sum()} of {len(rows)} rows "
                             f"({first(index[rows])}), and was in all of training: no training row had these levels "
                             "together. Leave these rows out, or the interaction.")

    def _must_lie_within_knots(self, columns: Mapping[str, Any], index: pd.Index) -> None:
        """Refuse values beyond the knots of a B-spline, where it is not defined."""
        for call, state in self.spec.transform_state.items():
            if not call.startswith("bs(") or "extrapolation" in call or "lower_bound" not in state:
                continue
            argument = Expression.read(call, self.formula.functions).first_argument
            if argument is None or not set(argument.columns) <= set(columns):
                continue
            scope = Scope(pd.DataFrame({name: columns[name] for name in argument.columns}), self.formula.functions,
                          self.spec.transform_state, self.spec)
            values, low, high = np.asarray(argument.value(scope)), state["lower_bound"], state["upper_bound"]
            beyond = (values < low) | (values > high)
            if beyond.any():
                raise InputError(f"{self.formula.owner}: {argument.text} lies beyond the knots of {call}, {low:g} to "
                                 f"{high:g}, in {beyond.sum()} of {len(index)} rows ({first(index[beyond])}), the "
                                 f"first {values[beyond][0]:g}. Leave these rows out, or fit with {call[:-1]}, "
                                 "extrapolation='extend'), 'clip' or 'zero', which say how the curve goes on.")

    @cached_property
    def _terms(self) -> list[Any]:
        """The term of every coded column."""
        return [entry.term for entry in self.spec.structure for _ in entry.columns]

    @cached_property
    def _of_interactions(self) -> np.ndarray:
        """Which coded columns are products with indicators of levels."""
        levels = categories(self.spec)
        return np.array([len(term.factors) > 1 and any(factor.expr in levels for factor in term.factors)
                         for term in self._terms])

    def _advice(self, names: Sequence[str]) -> str:
        """Return advice for predictors that depend on one another."""
        terms = dict.fromkeys(term for name, term in zip(self.coded, self._terms, strict=True) if name in names)
        factors = [factor.expr for term in terms for factor in term.factors]
        curves = [text for text in factors if text.startswith(("cr(", "cs(", "cc(")) and "constraints" not in text]
        if curves:
            return f"Write {curves[0][:-1]}, constraints='center'), for the intercept is among its columns otherwise."
        if self._of_interactions[np.isin(self.coded, list(names))].any():
            return ("Where no row has some levels together, an interaction has more coefficients than the rows can "
                    "tell: what is predicted there rests on the prior. Merge levels, or leave the interaction out.")
        return "Remove one of them."

    def far(self, x: np.ndarray) -> np.ndarray:
        """Return which predictors of new rows are outside their training range by more than a quarter of its width.

        The result is (unit, coefficient).
        """
        reach = FAR * (self.high - self.low)
        return (x < self.low - reach) | (x > self.high + reach)

    @cached_property
    def _products(self) -> list[list[str]] | None:
        """The columns of which each predictor is the product; None where some predictor is not such a product."""
        factors = [[factor for factor in entry.term.factors if factor.eval_method.value != "literal"]
                   for entry in self.spec.structure]
        plain = all(factor.eval_method.value == "lookup" and factor.expr in self.numeric
                    for term_factors in factors for factor in term_factors)
        return [[factor.expr for factor in term_factors] for term_factors in factors] if plain else None

    def warn_of_identification(self, moments: Moments) -> None:
        """Warn where the rows alone could not tell the coefficients apart."""
        size, moments = len(self.coefficients), moments.select(self.kept)
        if size > moments.count or moments.count == 1:
            warn(f"{self.formula.owner}: {size} coefficients for {moments.count} rows, so that much of "
                 "the posterior is its prior.", InputWarning)
            return
        gram = moments.gram(self.center) / np.outer(self.spread, self.spread)
        for place, others in dependent(gram):
            name, related = self.coefficients[place], [self.coefficients[other] for other in others]
            warn(f"{self.formula.owner}: {name!r} is a linear combination of {first(related, 10)}: the "
                 "data cannot tell their coefficients apart, only the prior can. "
                 f"{self._advice([name, *related])}", InputWarning)


def dependent(gram: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Yield each column that is a linear combination of others, and these, given the Gram matrix of columns whose
    squares are 1 on average."""
    # Of equal columns the first is kept; without this, rounding would decide which of them is named.
    gram = gram.copy()
    np.fill_diagonal(gram, 1.0)
    triangle, order, rank, _ = PIVOTED_CHOLESKY(gram, tol=COLLINEAR**2)
    independent = order[:rank] - 1
    for place in range(rank, len(gram)):
        share = linalg.solve_triangular(triangle[:rank, :rank], triangle[:rank, place])
        yield int(order[place] - 1), sorted(int(other) for other in independent[np.abs(share) > 1e-4])


def must_not_depend(formula: Formula, names: Sequence[str], alone: np.ndarray, among: np.ndarray,
                    spread: np.ndarray) -> None:
    """Refuse terms such as ranks and lags, whose values in a row depend on the other rows.

    `alone` has the predictors of some rows coded by themselves, `among` those coded among other rows. With such terms,
    new rows, and the rows of another batch, would be coded differently.
    """
    differs = np.abs(alone - among).max(axis=0) > 1e-6 * spread
    if differs.any():
        raise SpecificationError(f"{formula.owner}: {first(np.array(names)[differs])} of a row depends on which "
                                 "other rows there are, so that new rows could not be coded alike. Make it a column "
                                 "first, with frame.assign(...).")
