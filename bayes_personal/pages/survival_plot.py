"""Survival curves: how likely outcomes beyond any time are, and what the training rows say of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_personal.data.columns import column, table
from bayes_personal.errors import InputTypeError, SpecificationError
from bayes_personal.pages.plots import BLUE, GREY, HEIGHT, INK, canvas, legend, observed, short
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.questions.predicted import Outcome
from bayes_personal.questions.prediction import predict
from bayes_personal.system.arguments import Seed, column_name, whole_number
from bayes_personal.system.running import verb

# Times at which curves are computed, and most draws and rows that are averaged over.
TIMES, DRAWS, MOST_ROWS = 120, 400, 500


@verb
def plot_survival(posterior: Posterior, at: Any = None, *, by: str | None = None, limit: int = 6,
                  seed: Seed = None) -> Figure:
    """Plot how likely it is that an outcome lies beyond each time, with 90 % bands, over Kaplan and Meier's steps.

    A curve is ``P(y > t | theta_i)``, averaged over rows with the same label; its band says how well it is known. The
    steps are what the training rows with that label, or without `by` all of them, say without a model: each step is an
    end, and a tick a row that was censored. Where steps of the rows of a curve often leave its band, the family does
    not fit. In the steps rows known within an interval count at its middle, and rows below a bound at it.

    Parameters
    ----------
    posterior
        A fitted model with a family of continuous outcomes, such as `Weibull`.
    at
        Rows to show, new ones or of known groups; by default the training rows. The outcome is not needed.
    by
        Column of labels, a panel each; by default a panel for every row of `at`, and one for all training rows.
    limit
        Most panels to show: the first ones. The figure says how many are left out.
    seed
        Seed of the effects of groups that nobody has seen.

    Returns
    -------
    matplotlib.figure.Figure
        Times are in units of the outcome.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A family of counts or of yes and no; a limit below 1.
    InputError, InputTypeError
        As in `predict`; a column of labels that some frame does not have, or labels of training rows in files.

    References
    ----------
    Kaplan and Meier (1958), doi:10.1080/01621459.1958.10501452.
    """
    must_be_fitted("plot_survival", posterior)
    whole_number("plot_survival", 1, limit=limit)
    column_name("plot_survival", by=by)
    if posterior.bound.support == "count":
        raise SpecificationError(f"plot_survival: {posterior.model.family!r} has outcomes that are counted. Need a "
                                 "family of continuous outcomes, such as Weibull; see plot_predictive.")
    rows, (end, seen) = None if at is None else table(at), observed(posterior)
    known = np.full(len(end), "all rows", object) if by is None else labels_of(trained(posterior), by)
    labels = known if rows is None else labels_of(rows, by)
    panels = list(dict.fromkeys(labels))
    places = [np.flatnonzero(labels == label) for label in panels[:limit]]
    used = [rows_here[:: -(-len(rows_here) // MOST_ROWS)] for rows_here in places]
    low = 0.0 if posterior.bound.support == "positive" else float(end.min() - 0.05 * np.ptp(end))
    times = np.linspace(low, float(end.max() + 0.1 * (end.max() - low)), TIMES + 1)[1:]
    curves = survival(posterior, None if rows is None else rows.iloc[np.concatenate(used)], np.concatenate(used), times,
                      [len(one) for one in used], seed)
    figure, axes = canvas([HEIGHT] * len(used), min(len(used), 2))
    for ax, label, curve in zip(axes, panels, curves, strict=False):
        here = known == label if by is not None else np.ones(len(end), bool)
        draw(ax, times, curve, end[here], seen[here])
        if len(panels) > 1 or by is not None:
            ax.set_title(short(label), loc="left", fontsize=10, fontweight="bold", parse_math=False)
        hidden = f"; {len(panels) - limit} more panels are not shown" if len(panels) > limit else ""
        ax.set_xlabel(short(posterior.model.outcome, 48) + hidden, fontsize=9, parse_math=False)
        ax.set_ylabel("share beyond", fontsize=9)
    legend(figure, axes)
    return figure


def trained(posterior: Posterior) -> pd.DataFrame:
    """Return the training rows."""
    frame = getattr(posterior.bound.rows, "frame", None)
    if frame is None:
        raise InputTypeError("plot_survival(by=...) reads labels of the training rows, and these are in files. Leave "
                             "by= out, or fit a frame of them, such as pandas.read_parquet gives.")
    return frame


def labels_of(frame: pd.DataFrame, by: str | None) -> np.ndarray:
    """Return the label of every row: that in a column or, without one, its own."""
    if by is not None:
        return column(frame, by, "plot_survival(by=...)").astype(str).to_numpy(object)
    return np.array([f"row {label}" for label in frame.index], object)


def survival(posterior: Posterior, rows: pd.DataFrame | None, places: np.ndarray, times: np.ndarray,
             sizes: Sequence[int], seed: Seed) -> list[np.ndarray]:
    """Return P(y > t) averaged over as many of the rows as `sizes` say, one after the other, (draw, time) each."""
    computed = predict(posterior, rows, kind="outcome", seed=seed).computed
    assert isinstance(computed, Outcome)
    total = int(np.prod(computed.sizes))
    draws = np.unique(np.linspace(0, total - 1, min(total, DRAWS)).round().astype(int))
    wanted, order = np.unique(places if rows is None else np.arange(len(places)), return_inverse=True)
    beyond = np.empty((len(wanted), len(draws), len(times)))
    for found, part in computed.rows.parts(wanted):
        likelihood = computed.likelihood(computed.at(draws), draws, found, part)
        at = np.searchsorted(wanted, found)
        for k, time in enumerate(times):
            with np.errstate(divide="ignore"):
                beyond[at, :, k] = np.exp(likelihood.log_survival(time)).T
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return [beyond[part].mean(axis=0) for part in parts]


def kaplan_meier(end: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of ends that were seen, and the estimated share beyond each."""
    times = np.unique(end[seen])
    at_risk = (end >= times[:, None]).sum(axis=1)
    ended = ((end == times[:, None]) & seen).sum(axis=1)
    return times, np.cumprod(1.0 - ended / at_risk)


def draw(ax: Axes, times: np.ndarray, curve: np.ndarray, end: np.ndarray, seen: np.ndarray) -> None:
    """Draw a curve with its band, over the steps of the rows."""
    low, middle, high = np.quantile(curve, [0.05, 0.5, 0.95], axis=0)
    ax.fill_between(times, low, high, color=BLUE, alpha=0.2, lw=0, label="90 % band")
    ax.plot(times, middle, color=BLUE, lw=1.8, label="posterior median")
    if len(end):
        steps, share = kaplan_meier(end, seen)
        ax.step(np.concatenate([[min(times[0], end.min())], steps, [end.max()]]),
                np.concatenate([[1.0], share, share[-1:] if len(share) else [1.0]]), where="post", color=INK, lw=1.1,
                label="Kaplan and Meier")
        censored = np.sort(end[~seen])
        beyond = np.concatenate([[1.0], share])[np.searchsorted(steps, censored, side="right")]
        ax.plot(censored, beyond, "|", color=GREY, ms=6, mew=1.0, label="censored")
    ax.set_ylim(0, 1.03)
    ax.set_xlim(min(times[0], 0.0) if times[0] > 0 else times[0], times[-1])
