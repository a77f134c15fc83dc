"""Coefficients of theta, summarised along the columns that they vary with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import pandas as pd

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.columns import must_be_complete, must_have
from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.summary import statistics
from bayes_personal.priors.parts.base import as_names
from bayes_personal.questions.prediction import predict

# Numbers that are averaged at a time, and how many places a curve, points or a map show.
SIZE, MOST = 2**22, 500
# From this many rows at each place on average, a coefficient that varies with further columns is averaged over them.
REPEATED = 3
QUANTILES = {"q5": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


@final
@dataclass(frozen=True, eq=False)
class Profile:
    """One coefficient along the columns that it is shown against.

    Attributes
    ----------
    coefficient, unit : name of the coefficient, and the unit it is measured in
    columns : no column, one, or two columns of numbers
    kind : form of the plot
    summary : a row a place: its label, and mean, sd and quantiles of the coefficient there
    places : values of numeric columns at these places, an array a column
    total : number of places in the training rows
    band : 5 % quantile, mean and 95 % quantile of the mean of the population that groups are drawn from, if any
    """

    coefficient: str
    unit: str
    columns: tuple[str, ...]
    kind: Literal["constant", "labels", "curve", "points", "map"]
    summary: pd.DataFrame
    places: tuple[np.ndarray, ...]
    total: int
    band: np.ndarray | None


def profiles(posterior: Posterior, coefficient: str | None, by: str | Sequence[str] | None) -> list[Profile]:
    """Return a profile of each varying coefficient along the columns it varies with, or along the columns `by`."""
    bound = posterior.bound
    chosen = bound.coefficients.select(as_names(coefficient), "plot_theta")
    # A piece without context, such as that of `Sparse`, is alike in all rows, unless each row chooses.
    reads = {k: [piece.prior.columns for piece in bound.pieces
                 if k in piece.positions and (piece.prior.columns or piece is bound.choice)] for k in chosen}
    if coefficient is None and any(reads.values()):
        chosen = [k for k in chosen if reads[k]]
    requested = as_names(by)
    for name in requested or ():
        must_have(pd.Index(bound.rows.columns), name, "plot_theta(by=...)")
    frame = columns_of(bound, dict.fromkeys([*(requested or ()), *(name for k in chosen for names in reads[k]
                                                              for name in names)]))
    for name in requested or ():
        must_be_complete(frame[name], "plot_theta(by=...)")
    if requested is not None and not (len(requested) == 1 or len(requested) == 2 and numeric(bound, frame, requested)):
        raise SpecificationError(f"plot_theta: by={by!r} must be one column, or two columns of numbers.")
    result = []
    for k in chosen:
        if requested is not None or not reads[k]:
            column_sets = [requested or ()]
        else:
            joint = [names for names in reads[k] if len(names) == 2 and numeric(bound, frame, names)]
            column_sets = [columns for names in reads[k]
                           for columns in ([names] if names in joint else [(name,) for name in names])] or [()]
        result += [profile(posterior, frame, k, columns, reads[k]) for columns in column_sets]
    return result


def columns_of(bound: BoundModel, names: Iterable[str]) -> pd.DataFrame:
    """Return some columns of the training rows."""
    chosen = list(names)
    return pd.concat([batch.frame[chosen] for batch in bound.rows.batches()])


def profile(posterior: Posterior, frame: pd.DataFrame, k: int, columns: tuple[str, ...],
            reads: list[tuple[str, ...]]) -> Profile:
    """Profile coefficient k, which varies with the columns it `reads`, at every place that `columns` have."""
    bound = posterior.bound
    # The alternative that a row takes depends on its outcome too, so that each row has its own theta.
    by_row = bound.choice is not None and k in bound.choice.positions
    numbers = numeric(bound, frame, columns)
    determined = not by_row and {name for names in reads for name in names} <= set(columns)
    if by_row and not columns:
        kind, codes = "labels", np.arange(len(frame))
    elif not reads:
        kind, codes = "constant", np.zeros(len(frame), int)
    else:
        kind = "labels" if not numbers else "map" if len(columns) == 2 else "curve"
        # The index may have the name of a column.
        codes = frame.reset_index(drop=True).groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
        if not determined and numbers and (by_row or codes.max() + 1 > len(frame) / REPEATED):
            kind, codes = "points" if kind == "curve" else kind, np.arange(len(frame))
    groups = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    total, places = len(groups), ()
    if determined:
        groups = [rows[:1] for rows in groups]
    if kind in ("curve", "points", "map"):
        values = [frame[name].to_numpy()[[rows[0] for rows in groups]] for name in columns]
        order = np.argsort(values[0], kind="stable")
        order = order[np.unique(np.linspace(0, total - 1, min(total, MOST)).round().astype(int))]
        groups, places = [groups[place] for place in order], tuple(column_values[order] for column_values in values)
    summary = averages(posterior, k, groups)
    label = ["all rows"] * total if kind == "constant" else [
        ", ".join(str(frame[name].iloc[rows[0]]) for name in columns) or str(frame.index[rows[0]]) for rows in groups]
    summary.insert(0, "label", label)
    name, grouped = bound.coefficients.names[k], all(is_grouped(bound, each) for names in reads for each in names)
    band = None
    if kind == "labels" and grouped and k in bound.shared:
        mean = posterior.tree["posterior"]["mu"].isel(coefficient=k).to_numpy()
        band = np.array([np.quantile(mean, 0.05), mean.mean(), np.quantile(mean, 0.95)])
    outcome = posterior.model.outcome if bound.support == "real" else "linear predictor"
    unit = outcome if bound.coefficients.intercept[k] else f"{outcome} per unit of {bound.coefficients.within[k]}"
    unit = unit if len(unit) <= 36 else f"{outcome} per unit"
    if name in (scale.name for scale in bound.log_scales):
        unit = f"log of sigma, in units of {outcome}" if name == "log_sigma" else name.replace("_", " of ")
    return Profile(name, unit, columns, kind, summary, places, total, band)


def averages(posterior: Posterior, k: int, groups: list[np.ndarray]) -> pd.DataFrame:
    """Average coefficient k over the rows of every group, draw by draw, and summarise it, some groups at a time."""
    theta, tables = predict(posterior, kind="theta").computed, []
    draws = np.arange(np.prod(theta.sizes))
    size = max(SIZE // len(draws), 1)
    for start in range(0, len(groups), size):
        block = groups[start : start + size]
        rows, sizes = np.concatenate(block), np.array([len(group_rows) for group_rows in block])
        order, total = np.argsort(rows), np.zeros((len(draws), len(block)))
        wanted, codes = rows[order], np.repeat(np.arange(len(block)), sizes)[order]
        for places, entries in theta.blocks(draws, wanted):
            present, code = np.unique(codes[np.searchsorted(wanted, places)], return_inverse=True)
            total[:, present] += entries[..., k] @ (code[:, None] == np.arange(len(present)))
        tables.append(statistics(total / sizes, QUANTILES))
    return pd.DataFrame(np.concatenate(tables), columns=["mean", "sd", *QUANTILES])


def is_grouped(bound: BoundModel, name: str) -> bool:
    """Return whether a prior reads the column as labels of groups."""
    return any(term.grouped and name in term.prior.columns for term in bound.pieces)


def numeric(bound: BoundModel, frame: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Return whether all columns are axes: numbers or dates, not labels."""
    kinds = pd.api.types
    return all((kinds.is_numeric_dtype(column) and not kinds.is_bool_dtype(column)
                or kinds.is_datetime64_any_dtype(column)) and not is_grouped(bound, str(column.name))
               for column in (frame[name] for name in columns))
