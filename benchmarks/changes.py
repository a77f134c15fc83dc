"""Change points: how near is theta to the truth, and how long does it take, beside ruptures and Rbeast?

One series of levels, Normal(0, 1.5) each, that change at random places, with errors of 1. `rmse` is that of the level
of every row against the truth: the posterior mean for the package and Rbeast, the mean of a segment for ruptures, which
is told the errors' standard deviation. `coverage` is the share of levels in their central 90 % interval, `changes` how
many there are on average over the posterior; ruptures gives one answer. Seconds are of the fit alone, kernels compiled.
"""

from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks.agreement import rmse
from benchmarks.isolated import answer, installs
from benchmarks.measure import Stopwatch, fresh, medians
from benchmarks.tables import options, publish

SIZES = {200: 3, 1000: 4, 5000: 20}
ERROR = 1.0


def series(rows: int, changes: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Times and outcomes, and the level of every row."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.choice(np.arange(5, rows - 5), changes, replace=False))
    level = rng.normal(0, 1.5, changes + 1)[np.searchsorted(at, np.arange(rows), side="right")]
    return pd.DataFrame({"t": np.arange(rows), "y": level + ERROR * rng.normal(size=rows)}), level


def package(rows: int, changes: int, seed: int) -> dict[str, Any]:
    """`Partition`, by its default method."""
    model = bp.Model("y ~ 1", bp.Partition("t"))
    (few, _), (frame, level) = series(100, 2, seed), series(rows, changes, seed)
    bp.fit(model, few, seed=1, progress=False)
    with Stopwatch() as watch:
        posterior = bp.fit(model, frame, seed=1, progress=False)
    found = bp.changes(posterior)
    theta = posterior.theta.sel(coefficient="Intercept").to_numpy()
    low, high = np.quantile(theta, [0.05, 0.95], axis=(0, 1))
    return {"rmse": rmse(theta.mean(axis=(0, 1)), level), "coverage": float(((low <= level) & (level <= high)).mean()),
            "changes": float(found["probability"].sum()), "wall, s": watch.wall, "CPU, s": watch.cpu,
            "complaints": len(posterior.complaints)}


def peer(name: str, rows: int, changes: int, seed: int) -> dict[str, Any]:
    """ruptures or Rbeast."""
    frame, level = series(rows, changes, seed)
    found = answer(name, "segmenters.py", {"y": frame["y"].to_numpy(), "error": np.array(ERROR)}, [name])
    wall, cpu = found["seconds"].tolist()
    return {"rmse": rmse(found["level"], level), "coverage": None, "changes": float(found["changes"]),
            "wall, s": wall, "CPU, s": cpu, "complaints": None}


def table(sizes: list[int], repetitions: int) -> list[dict[str, Any]]:
    """Every size and method; medians over series."""
    peers = {name: installs(name, name) for name in ("ruptures", "Rbeast")}
    result: list[dict[str, Any]] = []
    for rows in sizes:
        asked, seeds = {"rows": rows, "true changes": SIZES[rows], "repetitions": repetitions}, range(repetitions)
        found = medians([fresh(package, rows, SIZES[rows], seed) for seed in seeds])
        result.append({**asked, "method": "Partition", **found})
        for name, there in peers.items():
            found = medians([peer(name, rows, SIZES[rows], seed) for seed in seeds]) if there else {}
            result.append({**asked, "method": name + ("" if there else ": not installed here"), **found})
    return result


if __name__ == "__main__":
    given = options(__doc__)
    publish("changes", __doc__, {"Levels": table([200] if given.small else list(SIZES), given.repetitions)},
            given.small)
