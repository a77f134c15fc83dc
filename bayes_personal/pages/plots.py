"""Figures: who differs, whether the model could have made the data, which assumption predicts best.

Every function returns a `matplotlib.figure.Figure` of its own and leaves pyplot's state alone. Text that comes from the
data is never read as mathematics.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayes_personal.errors import InputTypeError, NotFittedError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.questions.prediction import predict
from bayes_personal.questions.profile import Profile, profiles
from bayes_personal.system.arguments import Seed, seed_number, whole_number
from bayes_personal.system.running import verb

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, VERMILION, GREY, INK = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C", "#222222"
PANEL, ROW, HEIGHT = 4.2, 0.17, 3.1
# Rows whose outcomes are compared with replicates: more would not change a density or distribution that eyes can see.
MOST_ROWS = 20_000


class Plot(Figure):
    """A figure that notebooks draw although pyplot does not know of it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


@verb
def plot_theta(posterior: Posterior, coefficient: str | None = None, *, by: str | Sequence[str] | None = None,
               limit: int = 40) -> Figure:
    """Who differs: every unit's own coefficients with 50 % and 90 % posterior intervals.

    Groups are rows sorted by posterior mean, in front of the interval of the population mean where the model has one.
    A numeric context is an axis: the median as a line in bands where the coefficient depends on nothing else, and
    otherwise a point a row. Two numeric contexts make a map of posterior means. Where nothing varies, one interval
    stands for all rows. A coefficient that varies with more than what it is shown against is averaged over the rows of
    every group, and over the rows of every value of a context that has several.

    Parameters
    ----------
    posterior
        A fitted model.
    coefficient
        Which one; by default a panel for each that varies and each context that it varies with, or for all
        coefficients where none varies.
    by
        Column, or two columns of numbers, to show the coefficients against; by default those that the prior reads.
    limit
        How many groups are shown: those with the highest and lowest means. The figure says how many are not.

    Returns
    -------
    matplotlib.figure.Figure
        Axes are in the data's own units: the outcome (or, with a link, the linear predictor) for one unit of the
        predictor.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        An unknown coefficient, a limit below 2, or a `by` that is not one column or two columns of numbers.
    InputError
        A `by` that the training frame does not have.
    """
    fitted(posterior, "plot_theta")
    # The lowest and the highest group.
    whole_number("plot_theta", 2, limit=limit)
    shown = profiles(posterior, coefficient, by)
    rows = [min(len(one.summary), limit + 1) for one in shown]
    heights = [{"labels": 1.0 + ROW * max(count, 3), "constant": 0.95}.get(one.kind, HEIGHT)
               for one, count in zip(shown, rows, strict=True)]
    figure, axes = canvas(heights, 1 if {one.kind for one in shown} == {"constant"} else 2)
    for ax, one in zip(axes, shown, strict=True):
        ax.set_title(one.coefficient, loc="left", fontsize=10, fontweight="bold", parse_math=False)
        if one.kind in ("labels", "constant"):
            intervals(ax, one, limit)
        elif one.kind == "curve":
            curve(ax, one)
        elif one.kind == "points":
            points(ax, one)
        else:
            spread_out(ax, one)
    legend(figure, axes)
    return figure


def intervals(ax: Axes, one: Profile, limit: int) -> None:
    """A row a group, highest mean on top, the middle left out where there are too many."""
    order = np.argsort(one.summary["mean"].to_numpy(), kind="stable")
    hidden = max(len(order) - limit, 0)
    low = order[: len(order) if not hidden else limit // 2]
    high = order[len(order) - (limit - limit // 2):] if hidden else order[:0]
    kept = one.summary.iloc[np.concatenate([low, high])]
    # The row of the gap holds the words that say what it leaves out.
    at = np.concatenate([np.arange(len(low)), len(low) + 1 + np.arange(len(high))])
    if one.band is not None:
        ax.axvspan(one.band[0], one.band[2], color=ORANGE, alpha=0.25, lw=0, zorder=0, label="population mean, 90 %")
        ax.axvline(one.band[1], color=ORANGE, lw=1.2, zorder=1)
    ax.hlines(at, kept["q5"], kept["q95"], color=BLUE, lw=1, zorder=2, label="90 % interval")
    ax.hlines(at, kept["q25"], kept["q75"], color=BLUE, lw=3, zorder=3, label="50 % interval")
    ax.plot(kept["mean"], at, "o", ms=4, mfc="white", mec=BLUE, mew=1.2, zorder=4, label="posterior mean")
    if hidden:
        ax.text(0.5, len(low), f"{hidden} of {len(order)} between these are not shown", fontsize=7.5, ha="center",
                va="center", transform=ax.get_yaxis_transform())
    ax.set_yticks(at, [short(label) for label in kept["label"]], parse_math=False)
    ax.set_ylim(-0.8, at[-1] + 0.8)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel(short(one.unit, 48), fontsize=9, parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=7.5)
    if one.kind == "labels":
        ax.set_ylabel(one.columns[0] if one.columns else "row", fontsize=9, parse_math=False)


def curve(ax: Axes, one: Profile) -> None:
    """Median and bands over one numeric context; ticks at the training rows' contexts."""
    at, summary = one.places[0], one.summary
    ax.fill_between(at, summary["q5"], summary["q95"], color=BLUE, alpha=0.18, lw=0, label="90 % band")
    ax.fill_between(at, summary["q25"], summary["q75"], color=BLUE, alpha=0.35, lw=0, label="50 % band")
    ax.plot(at, summary["q50"], color=BLUE, lw=1.8, label="posterior median")
    rug_and_labels(ax, one)


def points(ax: Axes, one: Profile) -> None:
    """A point a row over one numeric context, where the coefficient depends on more than it."""
    at, summary = one.places[0], one.summary
    ax.vlines(at, summary["q5"], summary["q95"], color=BLUE, lw=0.7, alpha=0.4, label="90 % interval")
    ax.vlines(at, summary["q25"], summary["q75"], color=BLUE, lw=2, alpha=0.4, label="50 % interval")
    ax.plot(at, summary["q50"], "o", ms=2.5, mfc=BLUE, mec="none", label="posterior median")
    rug_and_labels(ax, one)


def rug_and_labels(ax: Axes, one: Profile) -> None:
    """What curves and points have in common."""
    ax.plot(one.places[0], np.full(len(one.places[0]), 0.015), "|", color=INK, ms=5, mew=0.6, alpha=0.6,
            transform=ax.get_xaxis_transform(), label="_rug")
    ax.margins(x=0.02)
    ax.set_xlabel(one.columns[0] + thinned(one), fontsize=9, parse_math=False)
    ax.set_ylabel(short(one.unit, 48), fontsize=9, parse_math=False)


def spread_out(ax: Axes, one: Profile) -> None:
    """Posterior means over two numeric contexts; ringed where the average over the map is not plausible."""
    x, y = one.places
    mean = one.summary["mean"].to_numpy()
    away = (one.summary["q5"] > mean.mean()).to_numpy() | (one.summary["q95"] < mean.mean()).to_numpy()
    reach = float(np.abs(mean - mean.mean()).max()) or 1.0
    cloud = ax.scatter(x, y, c=mean, cmap="PuOr_r", vmin=mean.mean() - reach, vmax=mean.mean() + reach, s=26,
                       lw=np.where(away, 1.1, 0.3), edgecolors=[INK if each else GREY for each in away])
    ax.plot([], [], "o", ms=5, mfc="white", mec=INK, mew=1.1, label="90 % interval excludes the average")
    bar = ax.figure.colorbar(cloud, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label(short(f"posterior mean: {one.unit}", 44), fontsize=9, parse_math=False)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    ax.set_xlabel(one.columns[0] + thinned(one), fontsize=9, parse_math=False)
    ax.set_ylabel(one.columns[1], fontsize=9, parse_math=False)


def thinned(one: Profile) -> str:
    """What is said where not every place is shown."""
    return f" ({len(one.summary):,} of {one.total:,} places shown)" if one.total > len(one.summary) else ""


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend above all panels: every label once."""
    entries = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", frameon=False, fontsize=8,
                  ncols=min(len(entries), max(1, int(figure.get_figwidth() // 1.35))), handlelength=1.4,
                  columnspacing=1.2)


@verb
def plot_predictive(posterior: Posterior, *, draws: int = 50, seed: Seed = None) -> Figure:
    """Posterior predictive check: could the model have made these outcomes?

    Each draw of the posterior makes one new outcome for every training row. A continuous outcome is compared by its
    density and its empirical distribution function, one thin line a replicate; counts and binary outcomes by how many
    rows have each value, with 50 % and 90 % intervals of the replicates. Of more than 20,000 rows as many are shown,
    evenly spread, and the figure says so.

    Parameters
    ----------
    posterior
        A fitted model.
    draws
        Number of replicates.
    seed
        Of the replicates.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        Fewer than 1 replicate.
    """
    from arviz_stats.base.array import array_stats

    fitted(posterior, "plot_predictive")
    whole_number("plot_predictive", 1, draws=draws)
    rows = posterior.bound.rows
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int))
    y = np.concatenate([batch.y for batch in rows.batches()])[places]
    made = replicates(posterior, draws, seed_number("plot_predictive", seed), places)
    some = f" ({len(places):,} of {len(rows):,} rows shown)" if len(places) < len(rows) else ""
    name = posterior.model.outcome + some
    if posterior.bound.support == "count":
        figure, (ax,) = canvas([HEIGHT], 1)
        bars(ax, y, made)
        legend(figure, [ax])
        ax.set_xlabel(name, fontsize=9, parse_math=False)
        return figure
    figure, (density, distribution) = canvas([HEIGHT, HEIGHT], 2)
    # Heavy tails of replicates must not squeeze the outcomes into a corner.
    low = max(min(y.min(), np.quantile(made, 0.005)) - 0.05 * np.ptp(y), y.min() - np.ptp(y))
    high = min(max(y.max(), np.quantile(made, 0.995)) + 0.05 * np.ptp(y), y.max() + np.ptp(y))
    for values, style in ((made, {"color": BLUE, "lw": 0.5, "alpha": 0.45}), (y[None], {"color": INK, "lw": 1.8})):
        words = "observed" if values is not made else f"replicated, {len(made)} draws"
        for each in values:
            inside = each[(each >= low) & (each <= high)]
            if len(np.unique(inside)) > 1:
                grid, height, _ = array_stats.kde(inside, custom_lims=(low, high), bound_correction=False)
                density.plot(grid, height * len(inside) / len(each), **style, label=words)
            distribution.ecdf(each, **style, label=words)
    for ax, words in ((density, "density"), (distribution, "share of rows at or below")):
        ax.set_xlim(low, high)
        ax.set_ylim(0)
        ax.set_xlabel(name, fontsize=9, parse_math=False)
        ax.set_ylabel(words, fontsize=9)
    legend(figure, [density, distribution])
    return figure


def replicates(posterior: Posterior, draws: int, seed: int | None, places: np.ndarray) -> np.ndarray:
    """New outcomes of the training rows at `places`, (draw, unit), from draws spread evenly over the chains."""
    kept = posterior.tree["posterior"].to_dataset()
    each = min(-(-draws // kept.sizes["chain"]), kept.sizes["draw"])
    chosen = np.linspace(0, kept.sizes["draw"] - 1, each).round().astype(int)
    few = replace(posterior, tree=xr.DataTree.from_dict({"posterior": kept.isel(draw=chosen)}))
    made = predict(few, kind="outcome", seed=seed).draws.isel(unit=places).transpose("draw", "chain", "unit").to_numpy()
    return made.reshape(-1, made.shape[-1])[:draws]


def bars(ax: Axes, y: np.ndarray, made: np.ndarray) -> None:
    """How many rows have each value: observed as bars, replicated as intervals; roots, as in a rootogram, of counts."""
    top = int(max(y.max(), np.quantile(made.max(axis=1), 0.95), 1))
    width = max(1, -(-(top + 1) // 40))
    edges = np.arange(0, top + width + 1, width) - 0.5
    middle = (edges[:-1] + edges[1:]) / 2
    observed = np.histogram(y, edges)[0]
    found = np.array([np.histogram(each, edges)[0] for each in made])
    low, first, half, third, high = np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    if top > 1:
        ax.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ax.bar(middle, observed, 0.85 * width, color="#D9D9D9", label="observed")
    ax.vlines(middle, low, high, color=BLUE, lw=1.2, label="replicated, 90 %")
    ax.vlines(middle, first, third, color=BLUE, lw=3.5, label="replicated, 50 %")
    ax.plot(middle, half, "o", ms=4, mfc="white", mec=BLUE, mew=1.2, label="replicated, median")
    ax.set_ylim(0, 1.08 * max(observed.max(), high.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("rows" + ("" if width == 1 else f" in bins of {width}") + (", root scale" if top > 1 else ""),
                  fontsize=9)


@verb
def plot_comparison(table: pd.DataFrame) -> Figure:
    """How far each assumption predicts worse than the best.

    Points are differences in elpd with 1 (thick) and 2 (thin) standard errors. The grey zone, less than 4, is too small
    to matter whatever its standard error.

    Parameters
    ----------
    table
        What `compare` returns.

    Raises
    ------
    InputTypeError
        Something else.
    """
    needed = ["elpd", "difference_se", "weight", "verdict"]
    if not isinstance(table, pd.DataFrame) or not set(needed) <= set(table.columns):
        got = f"a frame with {', '.join(map(str, table.columns))}" if isinstance(table, pd.DataFrame) else repr(table)
        raise InputTypeError(f"plot_comparison needs the frame that bp.compare returns; got {got[:200]}.")
    table = table.sort_values("elpd", ascending=False)
    labels = ["\n".join(textwrap.wrap(str(name), 34)) for name in table.index]
    lines = np.array([label.count("\n") + 1 for label in labels])
    figure, (ax,) = canvas([1.1 + 0.17 * lines.sum() + 0.3 * len(labels)], 1, width=7.2)
    # A name that takes more lines takes more room.
    at = -(np.cumsum(0.6 * lines + 1.0) - (0.6 * lines + 1.0) / 2)
    trusted = table["elpd"][~table["verdict"].str.startswith("DO NOT TRUST")]
    less = (table["elpd"] - (trusted if len(trusted) else table["elpd"]).iloc[0]).to_numpy()
    error = np.nan_to_num(table["difference_se"].to_numpy(float))
    ax.axvspan(-4, 0, color="#EDEDED", lw=0, zorder=0)
    ax.axvline(0, color=GREY, lw=0.8, zorder=1)
    ax.hlines(at, less - 2 * error, less + 2 * error, color=BLUE, lw=1, label="2 standard errors")
    ax.hlines(at, less - error, less + error, color=BLUE, lw=3, label="1 standard error")
    ax.plot(less, at, "o", ms=5, mfc="white", mec=BLUE, mew=1.3, zorder=4, label="difference")
    beside = {"fontsize": 8, "xycoords": ax.get_yaxis_transform(), "textcoords": "offset points",
              "annotation_clip": False}
    for place, weight, verdict in zip(at, table["weight"], table["verdict"], strict=True):
        words = "\n".join(textwrap.wrap(textwrap.shorten(str(verdict), 90, placeholder=" …"), 30))
        ax.annotate("–" if np.isnan(weight) else f"{weight:.2f}", (1, place), xytext=(8, 0), va="center", **beside)
        doubted = "Pareto k" in words or words.startswith("DO NOT TRUST")
        ax.annotate(words, (1, place), xytext=(38, 0), va="center", color=VERMILION if doubted else INK,
                    fontweight="bold" if words.startswith("no evidence") else "normal", **beside)
    ax.annotate("weight", (1, 0.3), xytext=(8, 2), color=GREY, va="bottom", **beside)
    ax.set_yticks(at, labels, parse_math=False)
    ax.set_ylim(at[-1] - 0.6 * lines[-1] - 0.4, 0.3)
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.set_xlabel("elpd below the best, with 1 and 2 standard errors (grey: less than 4)", fontsize=9)
    return figure


@verb
def plot_pareto_k(elpd: Any) -> Figure:
    """Where leave-one-out cross-validation can be trusted: Pareto k row by row.

    Above the threshold the importance weights of a row have too heavy a tail: its elpd may be too good. Such rows are
    also the ones that the model finds most surprising. The first ten are labelled with their place in the frame.

    Parameters
    ----------
    elpd
        What `loo` returns.

    Raises
    ------
    InputTypeError
        Something without pointwise Pareto k.
    """
    if getattr(elpd, "pareto_k", None) is None:
        raise InputTypeError(f"plot_pareto_k needs the pointwise result of bp.loo; got {type(elpd).__name__}.")
    k, threshold = np.asarray(elpd.pareto_k).ravel(), float(elpd.good_k)
    high = ~(k <= threshold)
    shown = np.where(np.isfinite(k), k, np.nanmax(k[np.isfinite(k)], initial=1.0))
    figure, (ax,) = canvas([HEIGHT], 1)
    ax.axhline(threshold, color=VERMILION, lw=1, ls="--", label="threshold")
    ax.plot(np.flatnonzero(~high), shown[~high], "o", ms=3, mfc=BLUE, mec="none", alpha=0.7, label="good")
    ax.plot(np.flatnonzero(high), shown[high], "D", ms=4, mfc=VERMILION, mec="none", label="too high")
    for row in np.flatnonzero(high)[:10]:
        ax.annotate(str(row), (row, shown[row]), xytext=(4, 2), textcoords="offset points", fontsize=7.5)
    ax.set_title(f"{high.sum()} of {len(k)} rows above {threshold:.2f}", loc="left", fontsize=10, fontweight="bold")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("row", fontsize=9)
    ax.set_ylabel("Pareto k", fontsize=9)
    return figure


def canvas(heights: Sequence[float], across: int, width: float | None = None) -> tuple[Figure, list[Axes]]:
    """A figure with a panel of each height in inches, `across` side by side, without chartjunk."""
    across = min(across, len(heights))
    down = -(-len(heights) // across)
    tall = [max(heights[row * across : (row + 1) * across]) for row in range(down)]
    figure = Plot(figsize=(width or (5.4 if across == 1 else PANEL * across), sum(tall) + 0.35), layout="constrained")
    grid = figure.add_gridspec(down, across, height_ratios=tall)
    axes = [figure.add_subplot(grid[place // across, place % across]) for place in range(len(heights))]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.tick_params(labelsize=8, color=GREY)
    return figure, axes


def short(label: Any, width: int = 24) -> str:
    """A label that fits beside an axis."""
    text = str(label)
    return text if len(text) <= width else text[: width - 1] + "…"


def fitted(posterior: Any, verb: str) -> None:
    """Refuse what is not a posterior."""
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"{verb} needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
