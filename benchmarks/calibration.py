"""Calibration: are intervals of theta right, and are ranks of the truth uniform, where the model made the data?

Data sets are simulated from each prior and fitted with the model that made them, whose hyperpriors are the same for
all (`tests/calibration.py` has the models). `coverage` is the share of theta, over rows that differ and coefficients,
inside its central 90 % interval, with its standard error over data sets. Of every hyperparameter, of theta in the
first and the last row and of the log-likelihood the rank of the truth among 60 draws is uniform over data sets if the
posterior is right: `least p` is the most uneven one's probability, times the number of ranks looked at, and the figure
shows all of them as differences from the uniform distribution, in a band that holds a uniform one with probability
0.95 (as one of many lines, some leave it). `complaints` are data sets whose draws have a divergence, R-hat above 1.06
or fewer than 60 effective ones even of longer chains with smaller steps, which are tried where there are any; they are
counted in. Priors can be run one by one: names after the command are those to run.
"""

import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import arviz_stats.ecdf_utils as ecdf
import pandas as pd
from matplotlib.figure import Figure

from bayes_personal.pages.plots import BLUE, GREY, INK
from benchmarks.measure import ONE_THREAD, from_tests
from benchmarks.tables import RESULTS, options, publish

COLUMNS = 3
# Of every data set: priors take minutes each, and tables and the figure show all that were run.
SETS = RESULTS / "calibration.parquet"


def one_set(name: str, seed: int) -> list[dict[str, Any]]:
    """One data set of a prior: its share of theta held, whether it is healthy, and its ranks."""
    warnings.simplefilter("ignore")
    calibration = from_tests("calibration")
    found = calibration.calibrated(calibration.SETTINGS[name], seed)
    values = {"held": found.held, "healthy": float(calibration.healthy(found.posterior)), **found.ranks}
    return [{"prior": name, "seed": seed, "what": what, "value": value} for what, value in values.items()]


def table(sets: pd.DataFrame) -> list[dict[str, Any]]:
    """All data sets of every prior, a row a prior."""
    return [row(str(name), wide(sets, name)) for name in sets["prior"].unique()]


def wide(sets: pd.DataFrame, name: str) -> pd.DataFrame:
    """A row a data set of a prior, a column each of its values, in the order in which they came."""
    own = sets[sets["prior"] == name]
    return own.pivot(index="seed", columns="what", values="value")[own["what"].unique()]


def row(name: str, found: pd.DataFrame) -> dict[str, Any]:
    """All data sets of a prior."""
    held, ranks = found["held"], found.drop(columns=["held", "healthy"])
    p = from_tests("calibration").unevenness(ranks.to_dict("records"))
    worst = min(p, key=p.__getitem__)
    return {"prior": name, "sets": len(found), "coverage": held.mean(), "its standard error": held.sem(),
            "ranks": len(p), "least p": min(p[worst] * len(p), 1.0), "at": worst,
            "complaints": int((found["healthy"] == 0).sum())}


def picture(sets: pd.DataFrame, level: float = 0.95, marked: tuple[str, ...] = ("theta", "log-likelihood")) -> Figure:
    """A panel a prior: how far the distribution of each rank is from the uniform one, in a band of this probability.

    Parameters
    ----------
    marked
        What names of ranks start with that stand out.
    """
    names = sets["prior"].unique()
    lines = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 1.9 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for each in axes[len(names):]:
        each.remove()
    for panel, name in zip(axes, names, strict=False):
        found = wide(sets, name)
        for rank in found.columns.drop(["held", "healthy"]):
            at, share, low, high = ecdf.ecdf_pit(found[rank].to_numpy(), level, 1000)
            special = rank.startswith(marked)
            panel.plot(at, share - at, color=BLUE if special else GREY, lw=1, zorder=3 if special else 2)
        panel.fill_between(at, low - at, high - at, color=GREY, alpha=0.25, lw=0)
        panel.axhline(0, color=INK, lw=0.6)
        panel.set_title(f"{name}, {len(found)} sets", fontsize=9)
    figure.supxlabel("rank of the truth", fontsize=9)
    figure.supylabel("share below it,\nless the uniform one", fontsize=9)
    return figure


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    settings = from_tests("calibration").SETTINGS
    given = options(__doc__, list(settings), repetitions=None)
    sets = pd.DataFrame({"prior": []}) if given.small or not SETS.exists() else pd.read_parquet(SETS)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for name in given.parts or list(settings)[:2 if given.small else None]:
            seeds = range(4 if given.small else settings[name].sets)
            new = [value for found in pool.map(partial(one_set, name), seeds) for value in found]
            sets = pd.concat([sets[sets["prior"] != name], pd.DataFrame(new)], ignore_index=True)
            sets = sets.sort_values("prior", key=lambda names: names.map(list(settings).index), kind="stable")
            publish("calibration", __doc__, {"Calibration": table(sets)}, given.small)
            if not given.small:
                sets.to_parquet(SETS, index=False)
                picture(sets).savefig(RESULTS / "calibration.png", dpi=120)
