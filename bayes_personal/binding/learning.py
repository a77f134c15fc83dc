"""What a model learns from rows in files before it is fitted: their coding, means and spreads.

Each batch is coded by itself, so the formula's terms must not depend on the other rows.
"""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import must_be_complete, must_have
from bayes_personal.data.files import Files
from bayes_personal.data.moments import Moments
from bayes_personal.data.stored import coded_together
from bayes_personal.errors import SpecificationError, first
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.measurements import must_vary
from bayes_personal.formulas.design import Design, must_not_depend
from bayes_personal.formulas.formula import Formula
from bayes_personal.formulas.terms import categories, computed, evaluate, needed, outcome
from bayes_personal.system.running import one_blas_thread

ROLE = "outcome of a Normal family"
# Number of rows from which the kinds of columns are determined.
HEAD = 100
# Number of the smallest known constants that are remembered.
LEAST = 100


@final
@dataclass(frozen=True)
class Coding:
    """How rows become predictors, outcome and known constants."""

    design: Design
    family: Family

    def __call__(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y = self.family.outcome(outcome(self.design.formula, frame), frame)
        return self.design.at(frame), y, self.family.constants(frame)


@final
@dataclass(frozen=True, eq=False)
class Learned:
    """The quantities that are remembered of the rows.

    Attributes
    ----------
    coding : coding of the rows by the model's formula and family
    columns : columns that the coding reads
    location, unit : expected linear predictor and its natural unit
    """

    coding: Coding
    columns: tuple[str, ...]
    location: float
    unit: float


@one_blas_thread()
def learn(formula: Formula, family: Family, files: Files) -> Learned:
    """Learn the coding in one pass over the columns of the formula and of the family."""
    names = _names(formula, family, files)
    head = next(replace(files, progress=False).pieces(names, HEAD))
    with files.locating(head):
        design = Design.made(formula, _with_all_levels(formula, files, head))[0]
    _must_have_no_state(formula, design, head)
    family = _learned(formula, family, files)
    coding = Coding(design, family)
    name = formula.outcome.text
    from_expressions = formula.computed or name not in files.columns
    predictors, outcomes, kept, least = None, None, [], pd.Series(dtype=float)
    observed: list[tuple[np.ndarray, np.ndarray]] = []
    for frame in files.pieces(names, coded_together(len(design.coefficients))):
        with files.locating(frame):
            x, y, constants = coding(frame)
        if not family.gaussian:
            observed.append((y, constants))
        least = pd.concat([least, pd.Series(constants, frame.index)]).nsmallest(LEAST)
        if predictors is None or outcomes is None:
            predictors, outcomes = Moments.of(x), Moments.of(y)
            chosen = np.arange(len(frame))[::-2][:1000]
        else:
            predictors += Moments.of(x, predictors.origin)
            outcomes += Moments.of(y, outcomes.origin)
            chosen = [0, -1]
        if from_expressions:
            kept.append((frame.iloc[chosen], x[chosen], y[chosen]))
    assert predictors is not None and outcomes is not None
    coding = replace(coding, design=design.scaled(predictors))
    if family.gaussian:
        must_vary(outcomes, f"{ROLE}: column {name!r}")
        location, unit = float(outcomes.mean[0]), float(outcomes.spread_about(outcomes.mean)[0]) or 1.0
    else:
        y, constants = (np.concatenate(part) for part in zip(*observed, strict=True))
        family.examine_outcome(y, constants, name)
        location, unit = family.location_scale(y, constants)
    family.must_add_up(least.to_numpy(), least.index, unit)
    if kept:
        frames, x, y = zip(*kept, strict=True)
        predictors_again, outcome_again, _ = coding(pd.concat(frames))
        must_not_depend(formula, coding.design.coefficients, predictors_again, np.concatenate(x)[:, coding.design.kept],
                        coding.design.spread)
        must_not_depend(formula, (name,), outcome_again[:, None], np.concatenate(y)[:, None], np.array([unit]))
    coding.design.warn_of_identification(predictors)
    return Learned(coding, names, location, unit)


def _learned(formula: Formula, family: Family, files: Files) -> Family:
    """Return the family with what it remembers of all outcomes, for which their columns are read whole."""
    if not family.remembers:
        return family
    frame = pd.DataFrame({name: files[name] for name in formula.outcome_columns(files.columns)})
    return family.learned(outcome(formula, frame))


def _names(formula: Formula, family: Family, files: Files) -> tuple[str, ...]:
    """Return the columns of the formula and the family, and refuse any that does not exist."""
    owner = formula.owner
    names = dict.fromkeys(formula.outcome_columns(files.columns), f"outcome of {owner}")
    names |= dict.fromkeys(formula.columns, owner)
    names |= dict.fromkeys(family.columns, repr(family))
    for name, role in names.items():
        must_have(files.columns, name, role)
    return tuple(names)


def _with_all_levels(formula: Formula, files: Files, head: pd.DataFrame) -> pd.DataFrame:
    """Return the first rows, followed by further rows that show every level of the categorical terms."""
    owner = formula.owner
    columns = pd.DataFrame(needed(formula.uses, owner, head, complete=False), index=head.index)
    levels = categories(evaluate(formula, formula.predictors, columns).model_spec)
    result = [head]
    for factor in formula.factors:
        if factor.expr not in levels:
            continue
        full_columns = {name: files[name] for name in formula.columns_of(factor.expr)}
        for name, values in full_columns.items():
            must_be_complete(values, owner)
            if isinstance(values.dtype, pd.CategoricalDtype):
                # Files and row groups have categories of their own.
                result = [rows.assign(**{name: pd.Categorical(rows[name], dtype=values.dtype)}) for rows in result]
        distinct = pd.DataFrame(full_columns).drop_duplicates()
        examples = result[0].iloc[np.zeros(len(distinct), int)].set_axis(distinct.index)
        result.append(examples.assign(**{name: distinct[name] for name in full_columns}))
    return pd.concat(result)


def _must_have_no_state(formula: Formula, design: Design, head: pd.DataFrame) -> None:
    """Refuse terms that are learned from all rows at once."""
    state: dict[str, Any] = dict(design.spec.transform_state)
    if formula.outcome.column is None and formula.outcome.text not in head.columns:
        computed(formula, head, state, complete=False)
    if state:
        raise SpecificationError(f"{formula.owner}: {first(state)} must see all rows at once, and rows in files "
                                 "are read a batch at a time. Make it a column of the files first, or read the table, "
                                 "for example with pandas.read_parquet.")
