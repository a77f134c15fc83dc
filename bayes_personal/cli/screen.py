"""What a terminal shows: lines, tables, and who differs."""

from collections.abc import Mapping
from textwrap import fill

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

import bayes_personal as bp
from bayes_personal.leaving_out.question import QUESTIONS
from bayes_personal.leaving_out.question import Kind as Question
from bayes_personal.posterior.summary import summarise
from bayes_personal.questions.network_types import edges_of_types


def terminal() -> bool:
    """Return whether a terminal shows the output."""
    return Console().is_terminal


def say(words: str, style: str = "", stderr: bool = False) -> None:
    """Print a line unchanged, without breaks."""
    Console(stderr=stderr).print(Text(words, style), soft_wrap=True)


def show(frame: pd.DataFrame, title: str, label: str, limit: int = 10,
         formats: Mapping[str, str] | None = None) -> None:
    """Print the head of a table, numbers with 4 digits or by the format of their column."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, caption_justify="left",
                  caption=f"{limit} of {len(frame)} rows" if len(frame) > limit else None)
    table.add_column(label, no_wrap=True)
    for name in frame:
        number = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="right" if number else "left", no_wrap=number, overflow="fold")
    form = formats or {}
    for row, cells in frame.head(limit).iterrows():
        spelled = (f"{cell:{form.get(str(name), '.4g')}}" if isinstance(cell, float) else str(cell)
                   for name, cell in cells.items())
        table.add_row(fill(str(row), 30), *spelled)
    # Names of columns are no markup.
    Console(markup=False, emoji=False, highlight=False).print(table)


def show_comparison(table: pd.DataFrame, kind: Question) -> None:
    """Print the columns that a terminal has room for; the file has all columns."""
    chosen = table[["elpd", "difference", "difference_se", "weight", "verdict"]].rename(columns={"difference_se": "±"})
    show(chosen, QUESTIONS[kind], "assumption", len(table),
         {"elpd": ".1f", "difference": ".1f", "±": ".1f", "weight": ".2f"})


def say_diagnostics(posterior: bp.Posterior | bp.NetworkPosterior) -> None:
    """Print whether the draws can be trusted."""
    if isinstance(posterior, bp.NetworkPosterior):
        for node, diagnostics in posterior.diagnostics.items():
            say(f"{node}: {'; '.join(diagnostics.words)}")
    else:
        say(str(posterior.diagnostics))
    if posterior.complaints:
        say("DO NOT TRUST: " + "; ".join(posterior.complaints), "bold red")
    else:
        say("Diagnostics: no complaint.", "green")
    if posterior.misfit:
        say("MISFIT: " + posterior.misfit, "yellow")


def show_who_differs(posterior: bp.Posterior, by: str, coefficient: str, ends: int = 3) -> None:
    """Print the groups with the least and greatest coefficient, each against the average group."""
    groups = posterior.bound.frame.drop_duplicates(by)
    theta = bp.predict(posterior, groups, kind="theta").draws.sel(coefficient=coefficient)
    table = summarise(theta, pd.Index(groups[by]))
    against = summarise(theta - theta.mean("unit"), table.index)
    table["against average"] = np.select([against["q5"] > 0, against["q95"] < 0], ["above", "below"], "")
    differing = (table["against average"] != "").sum()
    bounds = table[["q5", "mean", "q95"]].to_numpy()
    table["interval"] = [interval(*row) for row in (bounds - bounds.min()) / np.ptp(bounds)]
    table = table.sort_values("mean")[["mean", "q5", "q95", "interval", "against average"]]
    show(pd.concat([table.head(ends), table.tail(ends)]),
         f"Who differs: {coefficient}. {differing} of {len(table)} lie above or below the average {by}, with a "
         "probability of 95 % each.", by, formats=dict.fromkeys(("mean", "q5", "q95"), ".1f"))


def interval(low: float, mean: float, high: float, width: int = 22) -> str:
    """Draw an interval and its mean on a line from 0 to 1."""
    line = ["·"] * (width + 1)
    start, stop = round(low * width), round(high * width)
    line[start:stop + 1] = "─" * (stop + 1 - start)
    line[round(mean * width)] = "●"
    return "".join(line)


def training_rows(posterior: bp.Posterior | bp.NetworkPosterior | bp.PooledNetworkPosterior) -> pd.DataFrame:
    """Return the rows that a posterior was fitted to."""
    return posterior.bound.frame if isinstance(posterior, bp.Posterior) else posterior.frame


def show_edges(posterior: bp.NetworkPosterior, contexts: pd.DataFrame, columns: list[str]) -> None:
    """Print the edges of every type, or at some contexts, a few of them evenly spread."""
    chosen = contexts.iloc[np.unique(np.linspace(0, len(contexts) - 1, 3).round().astype(int))]
    kind = posterior.model.reading
    of_types = edges_of_types(posterior, kind, 0.1)
    if of_types is not None:
        table, types = of_types
        show(table.set_axis(np.array(types)[table.index]), f"edges ({kind}) of every type", "type", limit=30)
        return
    table = bp.edges(posterior, at=chosen, kind=kind)
    places = [", ".join(map(str, values)) for values in chosen[columns].itertuples(index=False, name=None)]
    table = table.set_axis(np.repeat(places, len(table) // len(chosen)))
    show(table, f"edges ({kind}) at {len(chosen)} of {len(contexts)} contexts", ", ".join(columns) or "row", limit=30)


def show_theta(posterior: bp.Posterior, contexts: pd.DataFrame, columns: list[str]) -> None:
    """Print theta at some contexts."""
    theta = bp.predict(posterior, contexts, kind="theta").frame()
    theta = theta[[name for name in theta if not str(name).endswith("_status")]]
    if columns:
        places = [", ".join(map(str, values)) for values in contexts[columns].itertuples(index=False, name=None)]
        theta = theta.set_axis(np.repeat(places, len(theta) // len(contexts)))
    label = ", ".join(columns) or "row"
    show(theta, f"theta of every {label}", label)
