"""Who differs, in numbers: coefficients of theta summarised along the columns that they vary with."""

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
# With so many rows at each place on average, a coefficient that varies with more is averaged over them.
REPEATED = 3
QUANTILES = {"q5": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


@final
@dataclass(frozen=True, eq=False)
class Profile:
    """One coefficient along the columns that it is shown against.

    Attributes
    ----------
    coefficient, unit : its name, and what it is measured in
    columns : none, one, or two of numbers
    kind : how it is drawn
    summary : a row a place: its label, and mean, sd and quantiles of the coefficient there
    places : what numeric columns hold at these places, an array a column
    total : how many places the training rows have
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
    """A profile of each coefficient that varies along what it varies with, or as asked for."""
    bound = posterior.bound
    chosen = bound.coefficients.select(as_names(coefficient), "plot_theta")
    reads = {k: [term.prior.columns for term in bound.pieces if k in term.positions] for k in chosen}
    if coefficient is None and any(reads.values()):
        chosen = [k for k in chosen if reads[k]]
    asked = as_names(by)
    for name in asked or ():
        must_have(pd.Index(bound.rows.columns), name, "plot_theta(by=...)")
    frame = columns_of(bound, dict.fromkeys([*(asked or ()), *(name for k in chosen for names in reads[k]
                                                              for name in names)]))
    for name in asked or ():
        must_be_complete(frame[name], "plot_theta(by=...)")
    if asked is not None and not (len(asked) == 1 or len(asked) == 2 and numeric(bound, frame, asked)):
        raise SpecificationError(f"plot_theta: by={by!r} must be one column, or two columns of numbers.")
    result = []
    for k in chosen:
        if asked is not None or not reads[k]:
            shown = [asked or ()]
        else:
            joint = [names for names in reads[k] if len(names) == 2 and numeric(bound, frame, names)]
            shown = [one for names in reads[k] for one in ([names] if names in joint else [(name,) for name in names])]
            shown = shown or [()]
        result += [profile(posterior, frame, k, columns, reads[k]) for columns in shown]
    return result


def columns_of(bound: BoundModel, names: Iterable[str]) -> pd.DataFrame:
    """Some columns of the training rows."""
    chosen = list(names)
    return pd.concat([batch.frame[chosen] for batch in bound.rows.batches()])


def profile(posterior: Posterior, frame: pd.DataFrame, k: int, columns: tuple[str, ...],
            reads: list[tuple[str, ...]]) -> Profile:
    """Coefficient k, which varies with the columns that it `reads`, at every place that `columns` of `frame` have."""
    bound = posterior.bound
    # Which alternative a row takes depends on its outcome too: each has a theta of its own.
    apart = bound.choice is not None and k in bound.choice.positions
    numbers = numeric(bound, frame, columns)
    alone = not apart and {name for names in reads for name in names} <= set(columns)
    if apart and not columns:
        kind, codes = "labels", np.arange(len(frame))
    elif not reads:
        kind, codes = "constant", np.zeros(len(frame), int)
    else:
        kind = "labels" if not numbers else "map" if len(columns) == 2 else "curve"
        # An index may be called like a column.
        codes = frame.reset_index(drop=True).groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
        if not alone and numbers and (apart or codes.max() + 1 > len(frame) / REPEATED):
            kind, codes = "points" if kind == "curve" else kind, np.arange(len(frame))
    groups = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    total, places = len(groups), ()
    if alone:
        groups = [rows[:1] for rows in groups]
    if kind in ("curve", "points", "map"):
        values = [frame[name].to_numpy()[[rows[0] for rows in groups]] for name in columns]
        order = np.argsort(values[0], kind="stable")
        order = order[np.unique(np.linspace(0, total - 1, min(total, MOST)).round().astype(int))]
        groups, places = [groups[place] for place in order], tuple(each[order] for each in values)
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
    unit = outcome if name == "Intercept" else f"{outcome} per unit of {name}"
    unit = unit if len(unit) <= 36 else f"{outcome} per unit"
    return Profile(name, unit, columns, kind, summary, places, total, band)


def averages(posterior: Posterior, k: int, groups: list[np.ndarray]) -> pd.DataFrame:
    """Coefficient k averaged over the rows of every group, draw by draw, and summarised; never all rows at a time."""
    theta, found = predict(posterior, kind="theta").computed, []
    draws = np.arange(np.prod(theta.sizes))
    size = max(SIZE // len(draws), 1)
    for start in range(0, len(groups), size):
        block = groups[start : start + size]
        rows, sizes = np.concatenate(block), np.array([len(each) for each in block])
        order, total = np.argsort(rows), np.zeros((len(draws), len(block)))
        wanted, codes = rows[order], np.repeat(np.arange(len(block)), sizes)[order]
        for places, own in theta.blocks(draws, wanted):
            which, code = np.unique(codes[np.searchsorted(wanted, places)], return_inverse=True)
            total[:, which] += own[..., k] @ (code[:, None] == np.arange(len(which)))
        found.append(statistics(total / sizes, QUANTILES))
    return pd.DataFrame(np.concatenate(found), columns=["mean", "sd", *QUANTILES])


def is_grouped(bound: BoundModel, name: str) -> bool:
    """Whether a prior reads the column as labels of groups."""
    return any(term.grouped and name in term.prior.columns for term in bound.pieces)


def numeric(bound: BoundModel, frame: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether all columns are axes: numbers or dates, not labels."""
    kinds = pd.api.types
    return all((kinds.is_numeric_dtype(each) and not kinds.is_bool_dtype(each) or kinds.is_datetime64_any_dtype(each))
               and not is_grouped(bound, str(each.name)) for each in (frame[name] for name in columns))
