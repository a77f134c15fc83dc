"""Methods at the sizes they are made for: how long does a fit take, and how near is theta?

Steps in two contexts (`TreePartition`), a rough surface over scattered places (`DistanceRegularized`, each joined to
six neighbours), an interaction of two contexts beside three that do nothing (`Contextualized` by ADVI, 256 rows a
step). `rmse` is that of theta at training rows against the truth, `coverage` the share of theta in its central 90 %
interval; `all alike` is the rmse of `Population`. Seconds are of the fit alone, by each method's default unless named,
kernels of the package compiled; what PyTensor compiles for this model is counted in.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning
from benchmarks.agreement import rmse
from benchmarks.measure import Stopwatch, fresh, medians
from benchmarks.tables import options, publish

Made = tuple[pd.DataFrame, np.ndarray]


def steps(rows: int, seed: int) -> Made:
    """Three boxes of two contexts."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, (rows, 2))
    box = np.where(c[:, 0] < 0.2, 0, np.where(c[:, 1] < -0.3, 1, 2))
    return outcome(c, np.array([[0.0, 1.0], [1.0, -1.0], [-1.0, 0.0]])[box], rng)


def surface(rows: int, seed: int) -> Made:
    """Waves over the plane."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-3, 3, (rows, 2))
    return outcome(c, np.column_stack([np.sin(c[:, 0]) + np.cos(c[:, 1]), np.sin(c[:, 0] + c[:, 1])]), rng)


def interaction(rows: int, seed: int) -> Made:
    """A wave along one context whose height depends on another; three contexts are noise."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, (rows, 5))
    wave = np.sin(np.pi * c[:, 0]) * np.where(c[:, 1] > 0, 1.0, -0.3)
    return outcome(c, np.column_stack([0.5 * c[:, 1], wave]), rng)


def outcome(c: np.ndarray, theta: np.ndarray, rng: np.random.Generator) -> Made:
    """Rows with one predictor and errors of 0.4."""
    x = rng.normal(size=len(c))
    y = theta[:, 0] + theta[:, 1] * x + 0.4 * rng.normal(size=len(c))
    return pd.DataFrame({f"c{q}": c[:, q] for q in range(c.shape[1])}).assign(x=x, y=y), theta


FIVE = tuple(f"c{q}" for q in range(5))
CASES: dict[str, tuple[Callable[[int, int], Made], bp.priors.Prior, dict[str, Any], int]] = {
    "TreePartition": (steps, bp.TreePartition("c0", "c1"), {}, 2000),
    "DistanceRegularized": (surface, bp.DistanceRegularized("c0", "c1"), {}, 5000),
    "Contextualized, ADVI": (interaction, bp.Contextualized(*FIVE), {"method": bp.ADVI(batch=256)}, 20_000),
}


def fitted(name: str, rows: int, seed: int) -> dict[str, Any]:
    """One method."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    made, prior, method, _ = CASES[name]
    (frame, theta), few = made(rows, seed), made(60, seed)[0]
    brief = {"method": bp.ADVI(max_iterations=100)} if method else {}
    bp.fit(bp.Model("y ~ x", prior), few, seed=1, progress=False, **brief)
    with Stopwatch() as watch:
        posterior = bp.fit(bp.Model("y ~ x", prior), frame, seed=1, progress=False, **method)
    alike = bp.fit(bp.Model("y ~ x", bp.Population()), frame, seed=1, progress=False)
    found, shared = (each.theta_frame() for each in (posterior, alike))
    low, high, mean = (found[column].to_numpy().reshape(theta.shape) for column in ("q5", "q95", "mean"))
    return {"wall, s": watch.wall, "CPU, s": watch.cpu, "rmse": rmse(mean, theta),
            "all alike": rmse(shared["mean"].to_numpy().reshape(theta.shape), theta),
            "coverage": float(((low <= theta) & (theta <= high)).mean()), "complaints": len(posterior.complaints)}


if __name__ == "__main__":
    given = options(__doc__)
    found = []
    for name, case in CASES.items():
        rows = 200 if given.small else case[-1]
        one = medians([fresh(fitted, name, rows, seed) for seed in range(given.repetitions)])
        found.append({"method": name, "rows": rows, "repetitions": given.repetitions, **one})
    publish("at_size", __doc__, {"Fits": found}, given.small)
