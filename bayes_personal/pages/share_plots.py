"""Figures of outcomes that are levels: how their probabilities change along a context, or from group to group."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayes_personal.data.columns import column, is_number, must_be_complete, spelled
from bayes_personal.errors import SpecificationError
from bayes_personal.pages.plots import HEIGHT, INK, ROW, canvas, short
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.questions.prediction import predict
from bayes_personal.system.arguments import whole_number
from bayes_personal.system.running import verb

# Draws and rows that averages are taken over: more would not move a boundary visibly.
DRAWS, ROWS = 400, 2000
# Places along a number at which shares are shown, each the average over rows near it.
PLACES = 12
# From light to middling, and hues, so that dark lines and white points are seen on all of them.
COLOURS, HUES = colormaps["YlGnBu"], colormaps["Set3"]


@verb
def plot_shares(posterior: Posterior, *, by: str | None = None, limit: int = 40) -> Figure:
    """Plot the probabilities of all levels, stacked: a bar a group, or areas along a numeric column.

    Each share is the posterior mean of a level's probability, averaged over the rows of a group, or over rows whose
    values of a numeric column are near each other. Levels are stacked in their order, so that each boundary is the
    probability of a level up to there; dark lines are its 90 % posterior intervals. White points are shares of the
    observed outcomes, by which the model can be checked. Groups are sorted by how likely the first level is.
    Levels with an order have colours from light to dark, and those without one a hue each.

    Parameters
    ----------
    posterior
        A fitted model of a family whose outcomes are levels, such as `Cumulative`.
    by
        Column to show the shares against; by default the first that the prior reads, and without one the first
        predictor.
    limit
        Number of groups to show: those with the most rows. The figure says how many are left out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A family whose outcomes are no levels, no column to show shares against, or a limit below 1.
    InputError
        A `by` that the training frame does not have, or that is missing in some rows.
    """
    must_be_fitted("plot_shares", posterior)
    whole_number("plot_shares", 1, limit=limit)
    bound, model = posterior.bound, posterior.model
    if bound.family.labels is None:
        raise SpecificationError(f"plot_shares shows the probabilities of levels, and the outcomes of {model.family!r} "
                                 "are numbers. Take plot_predictive, or predict(posterior).frame().")
    names = [by] if by is not None else [*model.prior.columns, *model.read.columns]
    if not names:
        raise SpecificationError(f"plot_shares: {model.formula!r} has no predictor and {model.prior!r} no column. Name "
                                 "one with by=.")
    values = column(bound.frame, names[0], "plot_shares(by=...)")
    must_be_complete(values, "plot_shares(by=...)")
    labels = spelled(bound.family.labels)
    colours = (COLOURS(np.linspace(0.06, 0.66, len(labels))) if bound.family.ordered else
               HUES(np.arange(len(labels)) % HUES.N))
    if is_number(values) and values.nunique() > PLACES:
        figure, (ax,) = canvas([HEIGHT], 1)
        areas(ax, posterior, values.to_numpy(float), colours)
        ax.set_xlabel(names[0], fontsize=9, parse_math=False)
        ax.set_ylabel(f"probability of {short(model.outcome, 32)}", fontsize=9, parse_math=False)
    else:
        shown = min(values.nunique(), limit)
        figure, (ax,) = canvas([0.9 + 1.6 * ROW * max(shown, 2)], 1)
        bars(ax, posterior, values, colours, limit)
        ax.set_xlabel(f"probability of {short(model.outcome, 32)}", fontsize=9, parse_math=False)
        ax.set_ylabel(names[0], fontsize=9, parse_math=False)
    handles = [ax.fill_between([], [], color=colour, label=short(label)) for colour, label in
               zip(colours, labels, strict=True)]
    points = ax.plot([], [], "o", ms=4, mfc="white", mec=INK, mew=0.8, label="observed")
    lines = ax.plot([], [], color=INK, lw=1, label="90 % interval")
    figure.legend(handles=[*handles, *points, *lines], loc="outside upper center", frameon=False, fontsize=8,
                  ncols=min(len(handles) + 2, 4), handlelength=1.2, columnspacing=1.2)
    return figure


def bars(ax: Axes, posterior: Posterior, values: pd.Series, colours: np.ndarray, limit: int) -> None:
    """Draw a stacked bar a group."""
    counts = values.value_counts()
    groups = [label for label in counts.index if counts[label] > 0]
    chosen = groups[:limit]
    boundaries = boundaries_of(posterior, [np.flatnonzero((values == label).to_numpy()) for label in chosen])
    order = np.argsort(boundaries.mean[:, 0], kind="stable")
    for place, group in enumerate(order):
        ends = np.concatenate([[0.0], boundaries.mean[group], [1.0]])
        ax.barh(place, np.diff(ends), left=ends[:-1], height=0.78, color=colours, lw=0)
        ax.hlines(np.full(len(ends) - 2, place), boundaries.low[group], boundaries.high[group], color=INK, lw=1)
        ax.plot(boundaries.observed[group], np.full(len(ends) - 2, place), "o", ms=4, mfc="white", mec=INK, mew=0.8)
    labels = spelled(chosen)
    ax.set_yticks(range(len(chosen)), [short(labels[group]) for group in order], parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=7.5)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    if len(groups) > limit:
        ax.set_title(f"{len(groups) - limit} of {len(groups)} groups are not shown", loc="left", fontsize=8)


def areas(ax: Axes, posterior: Posterior, values: np.ndarray, colours: np.ndarray) -> None:
    """Draw stacked areas along a number, at places with as many rows each."""
    order = np.argsort(values, kind="stable")
    ranks = np.searchsorted(values[order], values[order])
    parts = [order[ranks * PLACES // len(order) == k] for k in range(PLACES)]
    parts = [part for part in parts if len(part)]
    places = np.array([values[part].mean() for part in parts])
    boundaries = boundaries_of(posterior, parts)
    ends = np.column_stack([np.zeros(len(parts)), boundaries.mean, np.ones(len(parts))])
    for k, colour in enumerate(colours):
        ax.fill_between(places, ends[:, k], ends[:, k + 1], color=colour, lw=0)
    for k in range(len(colours) - 1):
        ax.vlines(places, boundaries.low[:, k], boundaries.high[:, k], color=INK, lw=1)
        ax.plot(places, boundaries.observed[:, k], "o", ms=3.5, mfc="white", mec=INK, mew=0.7)
    ax.set_ylim(0, 1)
    ax.margins(x=0.0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))


class Boundaries:
    """Probabilities of a level up to each but the last, (part, boundary): of draws, and of observed outcomes.

    Attributes
    ----------
    mean, low, high : mean and 90 % interval over the posterior
    observed : shares of rows
    """

    def __init__(self, draws: np.ndarray, observed: np.ndarray) -> None:
        self.mean = draws.mean(axis=1)
        self.low, self.high = np.quantile(draws, [0.05, 0.95], axis=1)
        self.observed = observed


def boundaries_of(posterior: Posterior, parts: list[np.ndarray]) -> Boundaries:
    """Return boundaries averaged over the rows of each part; of many rows over some, evenly spread."""
    samples = posterior.tree["posterior"].to_dataset()
    steps = slice(None, None, -(-samples.sizes["chain"] * samples.sizes["draw"] // DRAWS))
    thinned: Any = replace(posterior, tree=xr.DataTree.from_dict({"posterior": samples.isel(draw=steps)}))
    shares = predict(thinned, kind="mean").draws
    y = np.concatenate([batch.y for batch in posterior.bound.rows.batches()])
    most = max(1, ROWS // len(parts))
    averages, observed = [], []
    for part in parts:
        rows = np.sort(part)[np.unique(np.linspace(0, len(part) - 1, min(len(part), most)).round().astype(int))]
        average = shares.isel(unit=rows).mean("unit").to_numpy().reshape(-1, shares.sizes["level"])
        averages.append(average.cumsum(axis=-1)[:, :-1])
        observed.append([(y[part] <= k).mean() for k in range(shares.sizes["level"] - 1)])
    return Boundaries(np.array(averages), np.array(observed))
