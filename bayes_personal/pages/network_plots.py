"""Figures of networks: circles of nodes at chosen contexts, and edges along a context.

Every function returns a new `matplotlib.figure.Figure`, as those of `plots` do.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from bayes_personal.data.columns import column, is_number, table
from bayes_personal.errors import InputError, NotFittedError, SpecificationError, did_you_mean
from bayes_personal.pages.plots import BLUE, GREY, INK, VERMILION, Plot, canvas, short
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.questions.network_readings import Reading, edges
from bayes_personal.questions.network_types import edges_of_types
from bayes_personal.system.arguments import fraction, one_of, whole_number
from bayes_personal.system.running import verb

# Panels of a figure, contexts along an axis, and groups beside each other.
PANELS, PLACES, GROUPS = 12, 60, 30
# Characters of a node's name, and edges of a heat map.
NAME, STRONGEST = 16, 40
# Probability of an edge's sign above which its line is drawn through.
SURE = 0.95
UNDIRECTED = ("partial", "correlation")
WORDS = {"partial": "partial correlation", "correlation": "correlation", "directed": "coefficient",
         "interaction": "pseudo-likelihood Ising interaction"}


type AnyNetwork = NetworkPosterior | PooledNetworkPosterior


@verb
def plot_network(posterior: AnyNetwork, *, at: Any = None, kind: Reading | None = None,
                 above: float = 0.1) -> Figure:
    """Draw the network at chosen contexts: its nodes on a circle, and a line for each edge that is probably there.

    An edge is drawn where the probability that its size is above `above` is more than one half: as wide as it is
    strong, blue where it is positive and vermilion where it is negative, dotted where its sign has a probability below
    95 %. Directed edges are arrows from the parent, as wide as they are large beside the largest.

    Parameters
    ----------
    posterior
        The posterior of a `Network`.
    at
        Rows with the contexts of the prior, a panel each, at most twelve; their index is the title where no context is.
        By default those with low, middle and high values of the first context, or one of each of its groups; where rows
        are of types, such as those of a `Mixture`, the training row that is most surely of each type.
    kind
        "partial", "correlation", "directed" or "interaction"; by default "partial" where all nodes are Normal,
        "interaction" where they are those of an Ising model, and "directed" elsewhere.
    above
        Size that an edge is asked to have.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a row of `at`.

    Raises
    ------
    NotFittedError, SpecificationError, InputError, InputTypeError
        As in `edges`, and more than twelve rows.
    """
    must_be_network("plot_network", posterior)
    kind = kind or posterior.model.reading
    one_of("plot_network", tuple(WORDS), kind=kind)
    fraction("plot_network", above=above)
    found, headings = panels(posterior, at, kind, above)
    across, wide = min(len(headings), 3), 3.0 if max(map(len, posterior.model.nodes)) > 5 else 2.6
    figure, axes = canvas([2.6] * len(headings), across, max(wide * across, 5.2))
    nodes = list(posterior.model.nodes)
    largest = 1.0 if kind in UNDIRECTED else max(float(found["mean"].abs().max()), above)
    for place, (ax, title) in enumerate(zip(axes, headings, strict=True)):
        circle(ax, nodes, found.loc[[place]], kind == "directed", largest)
        ax.set_title(title, loc="left", fontsize=9, parse_math=False)
    figure.supxlabel(f"{WORDS[kind]}; drawn where P(size > {above:g}) > 0.5; blue +, vermilion -; dotted: sign unsure",
                     fontsize=7.5, color=INK)
    return figure


def panels(posterior: AnyNetwork, at: Any, kind: Reading, above: float = 0.1) -> tuple[pd.DataFrame, list[str]]:
    """Return the edges of the networks that `plot_network` draws, numbered by panel, and the panels' titles."""
    of_types = edges_of_types(posterior, kind, above) if at is None else None
    if of_types is not None:
        return of_types
    frame = chosen(posterior) if at is None else table(at)
    if not 1 <= len(frame) <= PANELS:
        raise InputError(f"plot_network: at has {len(frame)} rows, and every row is a panel; give 1 to {PANELS}, or "
                         "take plot_edges, which shows all.")
    return (edges(posterior, at=frame.set_axis(range(len(frame))), kind=kind, above=above),
            titles(posterior, frame))


def circle(ax: Axes, nodes: Sequence[str], found: pd.DataFrame, directed: bool, largest: float) -> None:
    """Draw one network."""
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    places = dict(zip(nodes, np.column_stack([np.cos(angles), np.sin(angles)]), strict=True))
    # Long names stand beside the nodes.
    outside = len(nodes) > 12 or max(map(len, nodes)) > 5
    size = 9 if outside else 20
    for edge in found[found["p_above"] > 0.5].to_dict("records"):
        sure = max(edge["p_positive"], 1 - edge["p_positive"]) > SURE
        ends = places[edge["other"]], places[edge["node"]]
        width = 0.6 + 5 * min(abs(edge["mean"]) / largest, 1.0)
        ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>" if directed else "-", mutation_scale=8 + width,
                                     shrinkA=size / 2, shrinkB=size / 2, lw=width, zorder=1,
                                     color=BLUE if edge["mean"] > 0 else VERMILION, ls="-" if sure else (0, (1, 1.5))))
    away, labels = 1.16 if outside else 1.0, distinct(nodes)
    for name, (x, y) in places.items():
        ax.plot([x], [y], "o", ms=size, mfc="white", mec=INK, mew=0.9, zorder=2)
        side = "center" if not outside or abs(x) < 0.2 else "left" if x > 0 else "right"
        ax.text(away * x, away * y, labels[name], ha=side, va="center", fontsize=7, zorder=3, parse_math=False)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(-2.1 if outside else -1.3, 2.1 if outside else 1.3)
    ax.set_ylim(-1.35, 1.35)


@verb
def plot_edges(posterior: AnyNetwork, *, by: str | None = None, kind: Literal["curves", "heat"] = "curves",
               of: Reading | None = None, limit: int = 6) -> Figure:
    """Draw the edges along a context: bands of those that change most, or a heat map of all.

    Curves are posterior medians in 90 % bands, or 90 % intervals of every group. Other contexts of the prior
    are those of the middle row along `by`.

    Parameters
    ----------
    posterior
        The posterior of a `Network`.
    by
        Column that the prior reads; by default its first.
    kind
        "curves" or "heat".
    of
        "partial", "correlation", "directed" or "interaction", as `network` reads them; by default as in `plot_network`.
    limit
        Number of edges with a band, those whose medians change most first; a heat map has the 40 strongest.

    Returns
    -------
    matplotlib.figure.Figure
        A panel an edge, or one heat map of posterior means.

    Raises
    ------
    NotFittedError
        An argument that is not a network's posterior.
    SpecificationError
        A prior without contexts, a `by` that it does not read, an unknown kind or reading, a limit below 1.
    """
    must_be_network("plot_edges", posterior)
    one_of("plot_edges", ("curves", "heat"), kind=kind)
    of = of or posterior.model.reading
    one_of("plot_edges", tuple(WORDS), of=of)
    whole_number("plot_edges", 1, limit=limit)
    frame, values = along(posterior, by)
    name = by or posterior.model.prior.columns[0]
    found = edges(posterior, at=frame.set_axis(range(len(frame))), kind=of)
    arrow = " → " if of == "directed" else " – "
    labels = distinct(posterior.model.nodes)
    found["edge"] = found["other"].map(labels) + arrow + found["node"].map(labels)
    numeric = values.dtype.kind in "fiuM"
    return heat(found, name, values, numeric, of) if kind == "heat" else curves(found, name, values, numeric, of, limit)


def curves(found: pd.DataFrame, name: str, values: np.ndarray, numeric: bool, of: Reading, limit: int) -> Figure:
    """Draw the edges that change most."""
    change = found.groupby("edge", sort=False)["q50"].agg(np.ptp).sort_values(ascending=False, kind="stable")
    shown = min(limit, len(change))
    figure, axes = canvas([2.2] * shown, min(shown, 3), 2.9 * min(shown, 3) + 0.3)
    places = values if numeric else np.arange(len(values))
    low, high = found["q5"].min(), found["q95"].max()
    for ax, edge in zip(axes, change.index, strict=False):
        rows = found[found["edge"] == edge]
        ax.axhline(0, color=GREY, lw=0.7, zorder=0)
        if numeric:
            ax.fill_between(places, rows["q5"], rows["q95"], color=BLUE, alpha=0.2, lw=0)
            ax.plot(places, rows["q50"], color=BLUE, lw=1.5)
            ax.set_xlabel(name, fontsize=8.5, parse_math=False)
        else:
            ax.vlines(places, rows["q5"], rows["q95"], color=BLUE, lw=1.2)
            ax.plot(places, rows["q50"], "o", ms=4, mfc="white", mec=BLUE, mew=1.2)
            ax.set_xticks(places, [short(value, 10) for value in values], rotation=90 if len(values) > 4 else 0,
                          fontsize=7.5, parse_math=False)
            ax.set_xlim(-0.6, len(values) - 0.4)
        if of in UNDIRECTED:
            margin = 0.05 * (high - low)
            ax.set_ylim(low - margin, high + margin)
        ax.set_title(edge, loc="left", fontsize=9, fontweight="bold", parse_math=False)
        ax.tick_params(labelsize=7.5)
    left_out = f"; {len(change) - limit} edges that change less are not shown" if len(change) > limit else ""
    figure.supylabel(WORDS[of], fontsize=8.5)
    figure.suptitle(f"posterior median and 90 % intervals{left_out}", fontsize=8, x=0.01, ha="left")
    return figure


def heat(found: pd.DataFrame, name: str, values: np.ndarray, numeric: bool, of: Reading) -> Figure:
    """Draw the posterior means of all edges."""
    found = found.assign(place=found.index)
    means = found.pivot_table(index="edge", columns="place", values="mean", sort=False)
    strongest = means.abs().max(axis=1).nlargest(STRONGEST).index
    left_out = f", the {len(strongest)} strongest of {len(means)} edges" if len(means) > len(strongest) else ""
    means = means[means.index.isin(strongest)]
    figure = Plot(figsize=(6.4, 1.4 + 0.2 * len(means)), layout="constrained")
    ax = figure.subplots()
    reach = float(np.abs(means.to_numpy()).max()) or 1.0
    places = values if numeric else np.arange(len(values))
    mesh = ax.pcolormesh(places, np.arange(len(means)), means.to_numpy(), cmap="RdBu", vmin=-reach, vmax=reach,
                         shading="nearest")
    ax.set_yticks(range(len(means)), list(means.index), fontsize=7, parse_math=False)
    ax.invert_yaxis()
    if not numeric:
        ax.set_xticks(places, [short(value, 12) for value in values], rotation=90 if len(values) > 4 else 0,
                      fontsize=7.5, parse_math=False)
    ax.set_xlabel(name, fontsize=9, parse_math=False)
    ax.tick_params(axis="x", labelsize=8)
    bar = figure.colorbar(mesh, ax=ax, shrink=0.9, pad=0.02)
    ax.set_title(f"posterior mean of the {WORDS[of]}{left_out}", loc="left", fontsize=8.5)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)
    return figure


def along(posterior: AnyNetwork, by: str | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows with values of a context in their order, all else as in the middle row, and these values."""
    columns, frame = posterior.model.prior.columns, posterior.frame
    if not columns:
        raise SpecificationError(f"plot_edges: {posterior.model.prior!r} reads no context along which edges could be "
                                 "drawn. Take plot_network.")
    if by is not None and by not in columns:
        raise SpecificationError(f"plot_edges: by={by!r} is no column that the prior reads. "
                                 f"{did_you_mean(str(by), columns)}")
    values = column(frame, by or columns[0], "plot_edges").reset_index(drop=True)
    ordered = values.drop_duplicates().sort_values() if is_ordered(values) else values.drop_duplicates()
    ordered = ordered.iloc[:GROUPS] if not is_ordered(values) else ordered
    if is_number(ordered) and len(ordered) > PLACES:
        # As steps are drawn as well as curves, places are training contexts.
        ordered = ordered.iloc[np.unique(np.linspace(0, len(ordered) - 1, PLACES).round().astype(int))]
    middle = frame.iloc[[ordered.index[len(ordered) // 2]] * len(ordered)].set_axis(range(len(ordered)))
    return middle.assign(**{by or columns[0]: ordered.to_numpy()}), ordered.to_numpy()


def is_ordered(values: pd.Series) -> bool:
    """Return whether a context has an order: numbers, dates and ordered categories."""
    ordered = isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.ordered
    return bool(is_number(values) or pd.api.types.is_datetime64_any_dtype(values) or ordered)


def chosen(posterior: AnyNetwork) -> pd.DataFrame:
    """Return a few training rows whose contexts differ."""
    columns, frame = posterior.model.prior.columns, posterior.frame
    if not columns:
        return frame.iloc[:1]
    values = column(frame, columns[0], "plot_network").reset_index(drop=True)
    if not is_number(values) and not pd.api.types.is_datetime64_any_dtype(values):
        return frame.iloc[values.drop_duplicates().index[:PANELS]]
    ordered = values.sort_values(kind="stable").index
    return frame.iloc[ordered[[round(share * (len(ordered) - 1)) for share in (0.1, 0.5, 0.9)]]]


def titles(posterior: AnyNetwork, frame: pd.DataFrame) -> list[str]:
    """Name every row by its contexts."""
    columns = [name for name in posterior.model.prior.columns if name in frame.columns]
    if not columns:
        return [""] if len(frame) == 1 else [short(label) for label in frame.index]
    return [", ".join(f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"
                      for name, value in zip(columns, row, strict=True))
            for row in frame[columns].itertuples(index=False, name=None)]


def distinct(names: Sequence[str]) -> dict[str, str]:
    """Return a label for every name: long names without their middle, in full where that would make two of them equal.
    """
    labels = {name: name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-(NAME // 2 - 1) :]}" for name in names}
    return labels if len(set(labels.values())) == len(labels) else dict(zip(names, names, strict=True))


def must_be_network(owner: str, posterior: Any) -> None:
    """Refuse what is not a network's posterior."""
    if not isinstance(posterior, NetworkPosterior | PooledNetworkPosterior):
        raise NotFittedError(f"{owner} needs the posterior of a network, which bp.fit(bp.Network(...), data) returns; "
                             f"got {type(posterior).__name__}.")
