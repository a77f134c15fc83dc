"""Plots of comparisons and of their Pareto k."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayes_personal.errors import InputTypeError
from bayes_personal.pages.plots import BLUE, GREY, HEIGHT, INK, VERMILION, canvas
from bayes_personal.system.running import verb


@verb
def plot_comparison(table: pd.DataFrame) -> Figure:
    """Plot how much worse each assumption predicts than the best.

    Points are differences in elpd with 1 (thick) and 2 (thin) standard errors. The grey zone, less than 4, is too small
    to matter whatever its standard error.

    Parameters
    ----------
    table
        The table that `compare` returns.

    Raises
    ------
    InputTypeError
        An argument that is no such table.
    """
    needed = ["elpd", "difference_se", "weight", "verdict"]
    if not isinstance(table, pd.DataFrame) or not set(needed) <= set(table.columns):
        got = f"a frame with {', '.join(map(str, table.columns))}" if isinstance(table, pd.DataFrame) else repr(table)
        raise InputTypeError(f"A comparison must be the frame that bp.compare returns; got {got[:200]}.")
    table = table.sort_values("elpd", ascending=False)
    labels = ["\n".join(textwrap.wrap(str(name), 34)) for name in table.index]
    lines = np.array([label.count("\n") + 1 for label in labels])
    figure, (ax,) = canvas([1.1 + 0.17 * lines.sum() + 0.3 * len(labels)], 1, width=7.2)
    # A name of more lines takes more room.
    heights = -(np.cumsum(0.6 * lines + 1.0) - (0.6 * lines + 1.0) / 2)
    trusted = table["elpd"][~table["verdict"].str.startswith("DO NOT TRUST")]
    differences = (table["elpd"] - (trusted if len(trusted) else table["elpd"]).iloc[0]).to_numpy()
    error = np.nan_to_num(table["difference_se"].to_numpy(float))
    ax.axvspan(-4, 0, color="#EDEDED", lw=0, zorder=0)
    ax.axvline(0, color=GREY, lw=0.8, zorder=1)
    ax.hlines(heights, differences - 2 * error, differences + 2 * error, color=BLUE, lw=1, label="2 standard errors")
    ax.hlines(heights, differences - error, differences + error, color=BLUE, lw=3, label="1 standard error")
    ax.plot(differences, heights, "o", ms=5, mfc="white", mec=BLUE, mew=1.3, zorder=4, label="difference")
    style = {"fontsize": 8, "xycoords": ax.get_yaxis_transform(), "textcoords": "offset points",
              "annotation_clip": False}
    for place, weight, verdict in zip(heights, table["weight"], table["verdict"], strict=True):
        words = "\n".join(textwrap.wrap(textwrap.shorten(str(verdict), 90, placeholder=" …"), 30))
        ax.annotate("–" if np.isnan(weight) else f"{weight:.2f}", (1, place), xytext=(8, 0), va="center", **style)
        doubted = "Pareto k" in words or words.startswith("DO NOT TRUST")
        ax.annotate(words, (1, place), xytext=(38, 0), va="center", color=VERMILION if doubted else INK,
                    fontweight="bold" if words.startswith("no evidence") else "normal", **style)
    ax.annotate("weight", (1, 0.3), xytext=(8, 2), color=GREY, va="bottom", **style)
    ax.set_yticks(heights, labels, parse_math=False)
    ax.set_ylim(heights[-1] - 0.6 * lines[-1] - 0.4, 0.3)
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.set_xlabel("elpd below the best, with 1 and 2 standard errors (grey: less than 4)", fontsize=9)
    return figure


@verb
def plot_pareto_k(elpd: Any) -> Figure:
    """Plot Pareto k row by row, to see where leave-one-out cross-validation can be trusted.

    Above the threshold the importance weights of a row have too heavy a tail: its elpd may be too good. Such rows are
    also those that the model finds most surprising. The first ten are labelled with their position in the frame.

    Parameters
    ----------
    elpd
        The result that `loo` returns.

    Raises
    ------
    InputTypeError
        An argument without pointwise Pareto k.
    """
    if getattr(elpd, "pareto_k", None) is None:
        raise InputTypeError(f"plot_pareto_k needs the pointwise result of bp.loo; got {type(elpd).__name__}.")
    k, threshold = np.asarray(elpd.pareto_k).ravel(), float(elpd.good_k)
    high = ~(k <= threshold)
    heights = np.where(np.isfinite(k), k, np.nanmax(k[np.isfinite(k)], initial=1.0))
    figure, (ax,) = canvas([HEIGHT], 1)
    ax.axhline(threshold, color=VERMILION, lw=1, ls="--", label="threshold")
    ax.plot(np.flatnonzero(~high), heights[~high], "o", ms=3, mfc=BLUE, mec="none", alpha=0.7, label="good")
    ax.plot(np.flatnonzero(high), heights[high], "D", ms=4, mfc=VERMILION, mec="none", label="too high")
    for row in np.flatnonzero(high)[:10]:
        ax.annotate(str(row), (row, heights[row]), xytext=(4, 2), textcoords="offset points", fontsize=7.5)
    ax.set_title(f"{high.sum()} of {len(k)} rows above {threshold:.2f}", loc="left", fontsize=10, fontweight="bold")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("row", fontsize=9)
    ax.set_ylabel("Pareto k", fontsize=9)
    return figure
