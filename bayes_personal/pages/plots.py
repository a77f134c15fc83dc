"""Figures: who differs, whether the model could have made the data, which assumption predicts best.

Every function returns a new `matplotlib.figure.Figure` and leaves pyplot's state unchanged. Text that comes from the
data is never read as mathematics.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayes_personal.data.columns import spelled
from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.questions.prediction import predict
from bayes_personal.questions.profile import Profile, profiles
from bayes_personal.system.arguments import Seed, seed_number, whole_number
from bayes_personal.system.running import verb

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, VERMILION, GREY, INK = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C", "#222222"
PANEL, ROW, HEIGHT = 4.2, 0.17, 3.1
# Rows whose outcomes are compared with replicates: more would not change the curves visibly.
MOST_ROWS = 20_000


class Plot(Figure):
    """A figure that notebooks show although pyplot does not manage it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


@verb
def plot_theta(posterior: Posterior, coefficient: str | None = None, *, by: str | Sequence[str] | None = None,
               limit: int = 40) -> Figure:
    """Plot every unit's own coefficients with 50 % and 90 % posterior intervals, to see who differs.

    Groups are rows sorted by posterior mean, over the interval of the population mean where the model has one.
    A numeric context is an axis: the median as a line in bands where the coefficient depends on nothing else, and
    otherwise a point a row. Two numeric contexts make a map of posterior means. Where nothing varies, one interval
    is shown for all rows. A coefficient that varies with further columns is averaged over the rows of every group, and
    over the rows of every value of a context that has several.

    Parameters
    ----------
    posterior
        A fitted model.
    coefficient
        Coefficient to show; by default a panel for each that varies and each context that it varies with, or for all
        coefficients where none varies.
    by
        Column, or two columns of numbers, to show the coefficients against; by default those that the prior reads.
    limit
        Number of groups to show: those with the highest and lowest means. The figure says how many are left out.

    Returns
    -------
    matplotlib.figure.Figure
        Axes are in the data's own units: the outcome (or, with a link, the linear predictor) for one unit of the
        predictor.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        An unknown coefficient, a limit below 2, or a `by` that is not one column or two columns of numbers.
    InputError
        A `by` that the training frame does not have.
    """
    must_be_fitted("plot_theta", posterior)
    # Two, for the lowest and the highest group.
    whole_number("plot_theta", 2, limit=limit)
    panels = profiles(posterior, coefficient, by)
    rows = [min(len(panel.summary), limit + 1) for panel in panels]
    heights = [{"labels": 1.0 + ROW * max(count, 3), "constant": 0.95}.get(panel.kind, HEIGHT)
               for panel, count in zip(panels, rows, strict=True)]
    figure, axes = canvas(heights, 1 if {panel.kind for panel in panels} == {"constant"} else 2)
    for ax, panel in zip(axes, panels, strict=True):
        ax.set_title(panel.coefficient, loc="left", fontsize=10, fontweight="bold", parse_math=False)
        if panel.kind in ("labels", "constant"):
            intervals(ax, panel, limit)
        elif panel.kind == "curve":
            curve(ax, panel)
        elif panel.kind == "points":
            points(ax, panel)
        else:
            spread_out(ax, panel)
    legend(figure, axes)
    return figure


def intervals(ax: Axes, profile: Profile, limit: int) -> None:
    """Draw a row a group, highest mean on top, the middle left out where there are too many."""
    order = np.argsort(profile.summary["mean"].to_numpy(), kind="stable")
    hidden = max(len(order) - limit, 0)
    low = order[: len(order) if not hidden else limit // 2]
    high = order[len(order) - (limit - limit // 2):] if hidden else order[:0]
    shown = profile.summary.iloc[np.concatenate([low, high])]
    # The row of the gap says how many groups are left out.
    heights = np.concatenate([np.arange(len(low)), len(low) + 1 + np.arange(len(high))])
    if profile.band is not None:
        low_end, mean, high_end = profile.band
        ax.axvspan(low_end, high_end, color=ORANGE, alpha=0.25, lw=0, zorder=0, label="population mean, 90 %")
        ax.axvline(mean, color=ORANGE, lw=1.2, zorder=1)
    ax.hlines(heights, shown["q5"], shown["q95"], color=BLUE, lw=1, zorder=2, label="90 % interval")
    ax.hlines(heights, shown["q25"], shown["q75"], color=BLUE, lw=3, zorder=3, label="50 % interval")
    ax.plot(shown["mean"], heights, "o", ms=4, mfc="white", mec=BLUE, mew=1.2, zorder=4, label="posterior mean")
    if hidden:
        ax.text(0.5, len(low), f"{hidden} of {len(order)} between these are not shown", fontsize=7.5, ha="center",
                va="center", transform=ax.get_yaxis_transform())
    ax.set_yticks(heights, [short(label) for label in shown["label"]], parse_math=False)
    ax.set_ylim(-0.8, heights[-1] + 0.8)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel(short(profile.unit, 48), fontsize=9, parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=7.5)
    if profile.kind == "labels":
        ax.set_ylabel(profile.columns[0] if profile.columns else "row", fontsize=9, parse_math=False)


def curve(ax: Axes, profile: Profile) -> None:
    """Draw the median and bands over one numeric context; ticks at the training rows' contexts."""
    x, summary = profile.places[0], profile.summary
    ax.fill_between(x, summary["q5"], summary["q95"], color=BLUE, alpha=0.18, lw=0, label="90 % band")
    ax.fill_between(x, summary["q25"], summary["q75"], color=BLUE, alpha=0.35, lw=0, label="50 % band")
    ax.plot(x, summary["q50"], color=BLUE, lw=1.8, label="posterior median")
    rug_and_labels(ax, profile)


def points(ax: Axes, profile: Profile) -> None:
    """Draw a point a row over one numeric context, where the coefficient depends on further columns."""
    x, summary = profile.places[0], profile.summary
    ax.vlines(x, summary["q5"], summary["q95"], color=BLUE, lw=0.7, alpha=0.4, label="90 % interval")
    ax.vlines(x, summary["q25"], summary["q75"], color=BLUE, lw=2, alpha=0.4, label="50 % interval")
    ax.plot(x, summary["q50"], "o", ms=2.5, mfc=BLUE, mec="none", label="posterior median")
    rug_and_labels(ax, profile)


def rug_and_labels(ax: Axes, profile: Profile) -> None:
    """Draw the ticks and labels that curves and points share."""
    ax.plot(profile.places[0], np.full(len(profile.places[0]), 0.015), "|", color=INK, ms=5, mew=0.6, alpha=0.6,
            transform=ax.get_xaxis_transform(), label="_rug")
    ax.margins(x=0.02)
    ax.set_xlabel(profile.columns[0] + thinned(profile), fontsize=9, parse_math=False)
    ax.set_ylabel(short(profile.unit, 48), fontsize=9, parse_math=False)


def spread_out(ax: Axes, profile: Profile) -> None:
    """Draw posterior means over two numeric contexts, with rings where the average over the map is not plausible."""
    x, y = profile.places
    mean = profile.summary["mean"].to_numpy()
    is_ringed = (profile.summary["q5"] > mean.mean()).to_numpy() | (profile.summary["q95"] < mean.mean()).to_numpy()
    reach = float(np.abs(mean - mean.mean()).max()) or 1.0
    cloud = ax.scatter(x, y, c=mean, cmap="PuOr_r", vmin=mean.mean() - reach, vmax=mean.mean() + reach, s=26,
                       lw=np.where(is_ringed, 1.1, 0.3), edgecolors=[INK if ringed else GREY for ringed in is_ringed])
    ax.plot([], [], "o", ms=5, mfc="white", mec=INK, mew=1.1, label="90 % interval excludes the average")
    bar = ax.figure.colorbar(cloud, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label(short(f"posterior mean: {profile.unit}", 44), fontsize=9, parse_math=False)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    ax.set_xlabel(profile.columns[0] + thinned(profile), fontsize=9, parse_math=False)
    ax.set_ylabel(profile.columns[1], fontsize=9, parse_math=False)


def thinned(profile: Profile) -> str:
    """Say how many places are shown, if not all."""
    count = len(profile.summary)
    return f" ({count:,} of {profile.total:,} places shown)" if profile.total > count else ""


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend above all panels, with every label once."""
    entries = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", frameon=False, fontsize=8,
                  ncols=min(len(entries), max(1, int(figure.get_figwidth() // 1.35))), handlelength=1.4,
                  columnspacing=1.2)


@verb
def plot_predictive(posterior: Posterior, *, draws: int = 50, seed: Seed = None) -> Figure:
    """Plot a posterior predictive check: could the model have made these outcomes?

    Each draw of the posterior makes one new outcome for every training row. A continuous outcome is compared by its
    density and its empirical distribution function, one thin line a replicate; counts and binary outcomes by how many
    rows have each value, with 50 % and 90 % intervals of the replicates. Of more than 20,000 rows 20,000 are shown,
    evenly spread, and the figure says so.

    Parameters
    ----------
    posterior
        A fitted model.
    draws
        Number of replicates.
    seed
        Seed of the replicates.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        Fewer than 1 replicate; censored outcomes, of which `plot_survival` shows more.
    """
    from arviz_stats.base.array import array_stats

    must_be_fitted("plot_predictive", posterior)
    whole_number("plot_predictive", 1, draws=draws)
    rows = posterior.bound.rows
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int))
    y, seen = observed(posterior)
    if not seen.all():
        raise SpecificationError(f"plot_predictive: {(~seen).sum()} of {len(y)} outcomes are censored, so that "
                                 "replicates have nothing to be compared with. Take plot_survival.")
    y = y[places]
    simulated = replicates(posterior, draws, seed_number("plot_predictive", seed), places)
    note = f" ({len(places):,} of {len(rows):,} rows shown)" if len(places) < len(rows) else ""
    name = posterior.model.outcome + note
    if posterior.bound.support == "count":
        figure, (ax,) = canvas([HEIGHT], 1)
        bars(ax, y, simulated)
        name_levels(ax, posterior)
        legend(figure, [ax])
        ax.set_xlabel(name, fontsize=9, parse_math=False)
        return figure
    figure, (density, distribution) = canvas([HEIGHT, HEIGHT], 2)
    # The axis is limited so that heavy tails of replicates do not squeeze the outcomes into a corner.
    low = max(min(y.min(), np.quantile(simulated, 0.005)) - 0.05 * np.ptp(y), y.min() - np.ptp(y))
    high = min(max(y.max(), np.quantile(simulated, 0.995)) + 0.05 * np.ptp(y), y.max() + np.ptp(y))
    for values, style in ((simulated, {"color": BLUE, "lw": 0.5, "alpha": 0.45}), (y[None], {"color": INK, "lw": 1.8})):
        words = "observed" if values is not simulated else f"replicated, {len(simulated)} draws"
        for sample in values:
            inside = sample[(sample >= low) & (sample <= high)]
            if len(np.unique(inside)) > 1:
                grid, height, _ = array_stats.kde(inside, custom_lims=(low, high), bound_correction=False)
                density.plot(grid, height * len(inside) / len(sample), **style, label=words)
            distribution.ecdf(sample, **style, label=words)
    for ax, words in ((density, "density"), (distribution, "share of rows at or below")):
        ax.set_xlim(low, high)
        ax.set_ylim(0)
        ax.set_xlabel(name, fontsize=9, parse_math=False)
        ax.set_ylabel(words, fontsize=9)
    legend(figure, [density, distribution])
    return figure


def observed(posterior: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes of training rows, those known within an interval at its middle, and which were seen to end."""
    parts = [posterior.model.family.ends(batch.y, batch.constants) for batch in posterior.bound.rows.batches()]
    y, seen = (np.concatenate(part) for part in zip(*parts, strict=True))
    return y, seen


def replicates(posterior: Posterior, draws: int, seed: int | None, places: np.ndarray) -> np.ndarray:
    """Draw new outcomes of the training rows at `places`, (draw, unit), from draws spread evenly over the chains."""
    samples = posterior.tree["posterior"].to_dataset()
    count = min(-(-draws // samples.sizes["chain"]), samples.sizes["draw"])
    chosen = np.linspace(0, samples.sizes["draw"] - 1, count).round().astype(int)
    thinned_posterior = replace(posterior, tree=xr.DataTree.from_dict({"posterior": samples.isel(draw=chosen)}))
    outcomes = predict(thinned_posterior, kind="outcome", seed=seed).draws.isel(unit=places)
    simulated = outcomes.transpose("draw", "chain", "unit").to_numpy()
    simulated = posterior.bound.family.numbered(simulated)
    return simulated.reshape(-1, simulated.shape[-1])[:draws]


def bars(ax: Axes, y: np.ndarray, simulated: np.ndarray) -> None:
    """Draw how many rows have each value: observed as bars, replicated as intervals; counts on a root scale."""
    top = int(max(y.max(), np.quantile(simulated.max(axis=1), 0.95), 1))
    width = max(1, -(-(top + 1) // 40))
    edges = np.arange(0, top + width + 1, width) - 0.5
    middle = (edges[:-1] + edges[1:]) / 2
    observed = np.histogram(y, edges)[0]
    counts = np.array([np.histogram(sample, edges)[0] for sample in simulated])
    low, lower, median, upper, high = np.quantile(counts, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    if top > 1:
        ax.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ax.bar(middle, observed, 0.85 * width, color="#D9D9D9", label="observed")
    ax.vlines(middle, low, high, color=BLUE, lw=1.2, label="replicated, 90 %")
    ax.vlines(middle, lower, upper, color=BLUE, lw=3.5, label="replicated, 50 %")
    ax.plot(middle, median, "o", ms=4, mfc="white", mec=BLUE, mew=1.2, label="replicated, median")
    ax.set_ylim(0, 1.08 * max(observed.max(), high.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("rows" + ("" if width == 1 else f" in bins of {width}") + (", root scale" if top > 1 else ""),
                  fontsize=9)


def name_levels(ax: Axes, posterior: Posterior) -> None:
    """Name the levels of an outcome that is no number along the axis."""
    levels = posterior.bound.family.labels
    if levels is not None:
        ax.set_xticks(range(len(levels)), [short(label, 16) for label in spelled(levels)], parse_math=False)


def canvas(heights: Sequence[float], across: int, width: float | None = None) -> tuple[Figure, list[Axes]]:
    """Make a figure with a panel of each height in inches, `across` side by side, without chartjunk."""
    across = min(across, len(heights))
    rows_down = -(-len(heights) // across)
    tall = [max(heights[row * across : (row + 1) * across]) for row in range(rows_down)]
    figure = Plot(figsize=(width or (5.4 if across == 1 else PANEL * across), sum(tall) + 0.35), layout="constrained")
    grid = figure.add_gridspec(rows_down, across, height_ratios=tall)
    axes = [figure.add_subplot(grid[place // across, place % across]) for place in range(len(heights))]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.tick_params(labelsize=8, color=GREY)
    return figure, axes


def short(label: Any, width: int = 24) -> str:
    """Shorten a label to fit beside an axis."""
    text = str(label)
    return text if len(text) <= width else text[: width - 1] + "…"
