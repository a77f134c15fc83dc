"""Leave-one-out of networks beside brute force: is what `loo` says of whole rows what refits predict?

Four nodes and 120 rows: a curve of every edge, and groups of five rows. Brute force fits the network anew, from
nothing, without the row, and averages the joint density of its nodes over the draws, in as many fits as it takes for a
standard error below 0.025. Half of the rows that are tried are those that are predicted worst. `largest error` is that
of a row, `of sum` that of all that were tried, each beside the standard error of brute force; `largest Pareto k` is of
all rows. Cases can be run one by one: their names after the command.
"""

import tempfile
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

import bayes_personal as bp
from benchmarks.against_refits import averaged_over_fits
from benchmarks.measure import fresh
from benchmarks.network_worlds import PROCESS, World, grouped, networks, smooth
from benchmarks.tables import RESULTS, options, publish

# Most fits of brute force.
MOST = 8
ROWS, NODES = 120, 4
SETS = RESULTS / "network_refits.csv"


def case(weights: Any, prior: bp.priors.Prior, groups: int = 0) -> World:
    """Return a world with one model."""
    return World(weights, networks({"model": prior}, NODES), {}, "model", nodes=NODES, edges=4, rows=ROWS,
                 groups=groups)


# Of every case: what makes the rows and models them, and how many are tried.
CASES: Mapping[str, tuple[World, int]] = {
    "GaussianProcess": (case(smooth, PROCESS), 20),
    "PartialPooling": (case(grouped, bp.PartialPooling("g"), groups=24), 20),
}


def density(posterior: bp.NetworkPosterior, row: pd.DataFrame) -> np.ndarray:
    """Return the log density of a whole row at each draw of the network."""
    result = np.zeros(())
    for node, own in posterior.nodes.items():
        theta = bp.predict(own, row, kind="theta").draws.transpose("chain", "draw", "unit", ...).to_numpy()[:, :, 0]
        given = np.array([1.0 if name == "Intercept" else row[name].item() for name in own.bound.coefficients.names])
        sigma = own.tree["posterior"]["sigma"].to_numpy()
        result = result + norm.logpdf(row[node].item(), theta @ given, sigma)
    return result.ravel()


def brute_force(model: bp.Network, frame: pd.DataFrame, place: int) -> tuple[float, float]:
    """Return the log predictive density of a row given all others, and its standard error."""
    def log_densities(seed: int) -> np.ndarray:
        posterior = bp.fit(model, frame.drop(index=frame.index[place]), seed=seed, progress=False)
        return density(posterior, frame.iloc[[place]])

    return averaged_over_fits(log_densities, MOST)


def compared(name: str, small: bool) -> dict[str, Any]:
    """Return a row of the table."""
    warnings.simplefilter("ignore")
    world, count = CASES[name]
    count = 2 if small else count
    model, frame = world.models["model"], world.sample(1).frame
    estimates = bp.loo(bp.fit(model, frame, seed=1, progress=False), seed=1, progress=False)
    mine = estimates.elpd_i.to_numpy()
    worst = np.argsort(mine)[: count // 2]
    others = np.random.default_rng(1).choice(np.setdiff1d(np.arange(ROWS), worst), count - len(worst), replace=False)
    chosen = np.concatenate([worst, others])
    truth, error = map(np.array, zip(*(brute_force(model, frame, int(place)) for place in chosen), strict=True))
    gap = mine[chosen] - truth
    return {"case": name, "tried": count, "from": float(truth.min()), "to": float(truth.max()),
            "largest error": float(np.abs(gap).max()), "its brute-force error": float(error[np.abs(gap).argmax()]),
            "largest brute-force error": float(error.max()), "of sum": float(gap.sum()),
            "brute-force error of sum": float(np.sqrt((error**2).sum())),
            "largest Pareto k": float(np.nanmax(estimates.pareto_k.to_numpy())),
            "Monte Carlo error of all of loo": estimates.mcse}


if __name__ == "__main__":
    given = options(__doc__, list(CASES), repetitions=None)
    rows = [] if given.small or not SETS.exists() else pd.read_csv(SETS).to_dict("records")
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        for name in given.parts or (["PartialPooling"] if given.small else CASES):
            rows = [row for row in rows if row["case"] != name] + [run(compared, name, given.small)]
            rows.sort(key=lambda row: list(CASES).index(row["case"]))
            publish("network_refits", __doc__, {"Cases": rows}, given.small)
