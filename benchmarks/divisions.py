"""Divisions under families that are not Normal: do intervals of theta hold, and what do fit and leave-one-out cost?

Under `Partition` theta changes at three random places along 100 contexts, under `TreePartition` it differs between the
four quarters of two contexts. An intercept and a slope of every cell are drawn from normal distributions. Under
StudentT five rows are far out. `coverage` is the share of theta, over rows and coefficients, in its central 90 %
interval, with its standard error over data sets; `cells` how many a draw has on average; `far alone` the largest share
of draws, of a far row, that give it a cell with no other context. Seconds are medians, kernels compiled; `high k` are
rows, on average, whose Pareto k in leave-one-out stays above 0.7. What has been measured of a data set stands in
`divisions_data_sets.csv`, and is not measured again.
"""

from time import process_time
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from benchmarks.tables import RESULTS, options, publish

FAMILIES = {"Poisson": bp.Poisson(), "StudentT": bp.StudentT(), "NegativeBinomial": bp.NegativeBinomial(),
            "Bernoulli": bp.Bernoulli(), "Binomial": bp.Binomial("n")}
# Rows and data sets of each; the number of contexts.
SIZES = {("Partition", "Poisson"): (500, 60)}
ROWS, SETS_EACH, CONTEXTS, FAR = 400, 20, 100, 5
SETS = RESULTS / "divisions_data_sets.csv"
COLUMNS = ["prior", "family", "rows", "seed", "refused", "held", "rmse", "fit", "loo", "ess", "k", "high", "cells",
           "alone"]
# Means and standard deviations over cells of intercept and slope.
CELLS = {"Poisson": ([1.0, 0.0], [0.7, 0.4]), "NegativeBinomial": ([1.0, 0.0], [0.7, 0.4]),
         "StudentT": ([0.0, 0.0], [1.5, 1.0]), "Bernoulli": ([0.0, 0.0], [1.2, 1.0]),
         "Binomial": ([0.0, 0.0], [1.0, 0.7])}


def world(prior: str, family: str, rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """A data set, its theta, and its rows that are far out."""
    rng = np.random.default_rng(seed)
    x, n, c, b = rng.normal(size=rows), rng.integers(1, 8, rows), rng.uniform(size=rows), rng.uniform(size=rows)
    if prior == "Partition":
        c = np.sort(np.arange(rows) % CONTEXTS)
        cell = np.searchsorted(np.sort(rng.choice(np.arange(8, CONTEXTS - 8), 3, replace=False)), c, side="right")
    else:
        cell = 2 * (c > np.median(c)) + (b > np.median(b))
    mean, sd = map(np.array, CELLS[family])
    theta = (mean + sd * rng.normal(size=(4, 2)))[cell]
    eta = theta[:, 0] + theta[:, 1] * x
    far = rng.choice(rows, FAR, replace=False) if family == "StudentT" else np.zeros(0, int)
    chance = 1 / (1 + np.exp(-eta))
    y = {"Poisson": lambda: rng.poisson(np.exp(eta)), "Bernoulli": lambda: rng.binomial(1, chance),
         "NegativeBinomial": lambda: rng.negative_binomial(3, 3 / (3 + np.exp(eta))),
         "StudentT": lambda: eta + 0.5 * rng.standard_t(4, size=rows),
         "Binomial": lambda: rng.binomial(n, chance)}[family]()
    if len(far):
        y[far] += rng.choice([-15, 15], FAR)
    return pd.DataFrame({"y": y, "x": x, "n": n, "c": c, "b": b}), theta, far


def one_set(prior: str, family: str, rows: int, seed: int) -> dict[str, Any]:
    """One data set: coverage, errors, and what it costs."""
    frame, theta, far = world(prior, family, rows, seed)
    model = bp.Model("y ~ x", bp.Partition("c") if prior == "Partition" else bp.TreePartition("c", "b"),
                     FAMILIES[family])
    start = process_time()
    try:
        posterior = bp.fit(model, frame, seed=seed, progress=False)
    except SpecificationError:
        return {"refused": 1}
    fitted = process_time()
    loo = bp.loo(posterior, progress=False)
    left_out = process_time()
    draws = posterior.theta.to_numpy().reshape(-1, *theta.shape)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    told, (count, *_) = posterior.tree["importance"].attrs, posterior.bound.pieces[0].reported_dims
    result = {"refused": 0, "held": float(((low <= theta) & (theta <= high)).mean()),
              "rmse": float(np.sqrt(((draws.mean(axis=0) - theta) ** 2).mean())), "fit": fitted - start,
              "loo": left_out - fitted, "ess": told["ess"], "k": told["pareto_k"],
              "high": int((loo.pareto_k.to_numpy() > 0.7).sum()),
              "cells": float(posterior.tree["posterior"][count].mean()) + (prior == "Partition")}
    if len(far) and prior == "Partition":
        levels, context = draws[:, :, 0], frame["c"].to_numpy()
        alone = [np.all([levels[:, i] != levels[:, context == other][:, 0] for other in (context[i] - 1, context[i] + 1)
                         if 0 <= other < CONTEXTS], axis=0).mean() for i in far]
        result["alone"] = float(max(alone))
    return result


def pairs(parts: list[str]) -> list[tuple[str, str]]:
    """Pairs of prior and family, of which one is named where any is."""
    return [(prior, family) for prior in ("Partition", "TreePartition") for family in FAMILIES
            if not parts or family in parts or prior in parts]


def table(found: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a prior and family."""
    result = []
    for (prior, family), own in found.groupby(["prior", "family"], sort=False):
        fine = own[own["refused"] == 0]
        result.append({"prior": prior, "family": family, "rows": int(own["rows"].iloc[0]), "data sets": len(own),
                       "refused": int(own["refused"].sum()), "coverage": fine["held"].mean(),
                       "its standard error": fine["held"].sem(), "rmse": fine["rmse"].mean(),
                       "cells": fine["cells"].mean(), "far alone": fine["alone"].max(),
                       "fit, CPU s": fine["fit"].median(),
                       "loo, CPU s": fine["loo"].median(), "least ESS": fine["ess"].min(),
                       "largest Pareto k": fine["k"].max(), "high k": fine["high"].mean()})
    return [{name: None if value != value else value for name, value in row.items()} for row in result]


if __name__ == "__main__":
    given = options(__doc__, ("Partition", "TreePartition", *FAMILIES), repetitions=None)
    found = pd.DataFrame(columns=COLUMNS) if given.small or not SETS.exists() else pd.read_csv(SETS)
    for prior, family in pairs(given.parts):
        rows, count = SIZES.get((prior, family), (ROWS, SETS_EACH))
        have = set(found.loc[(found["prior"] == prior) & (found["family"] == family), "seed"])
        left = sorted(set(range(2 if given.small else count)) - have)
        if left:
            one_set(prior, family, rows, 10_000)
        for seed in left:
            row = {"prior": prior, "family": family, "rows": rows, "seed": seed, **one_set(prior, family, rows, seed)}
            new = pd.DataFrame([row]).reindex(columns=COLUMNS)
            found = pd.concat([found, new], ignore_index=True) if len(found) else new
            if not given.small:
                found.to_csv(SETS, index=False)
    publish("divisions", __doc__, {"Coverage and cost": table(found)}, given.small)
