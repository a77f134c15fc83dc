"""Calibration: are intervals of theta right, and are ranks of the truth uniform, where the model made the data?

Data sets are simulated from each prior and fitted with the model that made them, whose hyperpriors are the same for
all (`tests/calibration.py` has the models). `coverage` is the share of theta, over rows that differ and coefficients,
inside its central 90 % interval, with its standard error over data sets. Of every hyperparameter, of theta in the
first and the last row and of the log-likelihood the rank of the truth among 60 draws is uniform over data sets if the
posterior is right: `least p` is the most uneven one's probability, times the number of ranks looked at, and the figure
shows all of them as differences from the uniform distribution, in a band that holds a uniform one with probability
0.95 (as one of many lines, some leave it). `complaints` are data sets whose draws have a divergence, R-hat above 1.06
or fewer than 60 effective ones; they are counted in.
"""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import arviz_stats.ecdf_utils as ecdf
import numpy as np
from matplotlib.figure import Figure

from bayes_personal.plots import BLUE, GREY, INK
from benchmarks.measure import ONE_THREAD, from_tests
from benchmarks.tables import RESULTS, options, publish

COLUMNS = 3


def one_set(name: str, seed: int) -> dict[str, Any]:
    """One data set of a prior."""
    warnings.simplefilter("ignore")
    calibration = from_tests("calibration")
    found = calibration.calibrated(calibration.SETTINGS[name], seed)
    return {"held": found.held, "healthy": found.healthy, "ranks": found.ranks}


def row(name: str, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All data sets of a prior."""
    held = np.array([one["held"] for one in found])
    p = from_tests("calibration").unevenness([one["ranks"] for one in found])
    worst = min(p, key=p.__getitem__)
    return {"prior": name, "sets": len(found), "coverage": held.mean(),
            "its standard error": held.std(ddof=1) / np.sqrt(len(held)), "ranks": len(p),
            "least p": min(p[worst] * len(p), 1.0), "at": worst, "complaints": sum(not one["healthy"] for one in found)}


def picture(found: dict[str, Sequence[dict[str, Any]]]) -> Figure:
    """A panel a prior: how far the distribution of each rank is from the uniform one."""
    lines = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 1.9 * lines), layout="constrained")
    axes = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for each in axes[len(found):]:
        each.remove()
    for panel, (name, sets) in zip(axes, found.items(), strict=False):
        for rank in sets[0]["ranks"]:
            at, share, low, high = ecdf.ecdf_pit(np.array([one["ranks"][rank] for one in sets]), 0.95, 1000)
            special = rank.startswith(("theta", "log-likelihood"))
            panel.plot(at, share - at, color=BLUE if special else GREY, lw=1, zorder=3 if special else 2)
        panel.fill_between(at, low - at, high - at, color=GREY, alpha=0.25, lw=0)
        panel.axhline(0, color=INK, lw=0.6)
        panel.set_title(f"{name}, {len(sets)} sets", fontsize=9)
    figure.supxlabel("rank of the truth", fontsize=9)
    figure.supylabel("share of sets below it, minus the uniform one", fontsize=9)
    return figure


if __name__ == "__main__":
    given = options(__doc__)
    os.environ.update(ONE_THREAD)
    settings = from_tests("calibration").SETTINGS
    found: dict[str, Sequence[dict[str, Any]]] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for name in list(settings)[:2] if given.small else settings:
            seeds = range(4 if given.small else settings[name].sets)
            found[name] = list(pool.map(partial(one_set, name), seeds))
            # A prior takes minutes: what is known is kept.
            publish("calibration", __doc__, {"Calibration": [row(each, sets) for each, sets in found.items()]},
                    given.small)
            if not given.small:
                picture(found).savefig(RESULTS / "calibration.png", dpi=120)
