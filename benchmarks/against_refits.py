"""Leave-one-out of families that are not Normal beside brute force: is what rows have left out what refits predict?

Bernoulli and Poisson rows under a curve, few counts with large leverage, groups of two or three rows, groups beside a
curve, and whole groups. Brute force fits the model anew, from nothing, without the row or group, and averages the
density of its outcomes over the draws, in as many fits as it takes for a standard error below 0.025. `largest error` is
that of a row or group, `of sum` that of all that were tried, each beside the standard error of brute force; `refits`
counts the rows that `loo` itself refitted. `p(y_i given theta_i)` is what importance weights of the likelihood given
theta_i, which `loo` does not use, would have given.
"""

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

import bayes_personal as bp
from benchmarks.against_nuts import CURVE, FAMILIES, POOLED, frame, ragged
from benchmarks.measure import fresh
from benchmarks.tables import options, publish

# Standard error that is asked of brute force, draws of a fit, and the most fits.
ENOUGH, DRAWS, MOST = 0.025, 4000, 16


def curve(family: str, rows: int, wave: float) -> tuple[bp.Model, pd.DataFrame]:
    """Rows under a curve."""
    return bp.Model("y ~ x", CURVE, FAMILIES[family]), frame(family, rows, 1, wave=wave)


def groups(family: str, rows: int, count: int) -> tuple[bp.Model, pd.DataFrame]:
    """Rows of groups."""
    return bp.Model("y ~ x", POOLED, FAMILIES[family]), frame(family, rows, count, wave=0.0)


def both(family: str, rows: int, count: int) -> tuple[bp.Model, pd.DataFrame]:
    """Rows of groups under a curve."""
    return bp.Model("y ~ x", POOLED + CURVE, FAMILIES[family]), frame(family, rows, count)


CASES: dict[str, tuple[Callable[[], tuple[bp.Model, pd.DataFrame]], int, bool]] = {
    "Bernoulli, smooth, 500": (partial(curve, "Bernoulli", 500, 0.7), 29, False),
    "Poisson, smooth, 500": (partial(curve, "Poisson", 500, 0.7), 29, False),
    "Poisson, smooth, 80": (partial(curve, "Poisson", 80, 2.0), 32, False),
    "Bernoulli, groups of 2 or 3": (ragged, 23, False),
    "Bernoulli, groups + smooth, 1000": (partial(both, "Bernoulli", 1000, 100), 24, False),
    "Bernoulli, whole groups": (partial(groups, "Bernoulli", 600, 60), 8, True),
    "Poisson, whole groups": (partial(groups, "Poisson", 600, 60), 8, True),
}
SMALL = ("Poisson, smooth, 80",)


def outcomes_given_theta(posterior: bp.Posterior, rows: pd.DataFrame) -> np.ndarray:
    """The log density of all outcomes of some rows, at each draw."""
    theta = bp.predict(posterior, rows, kind="theta").draws.transpose("chain", "draw", "unit", ...).to_numpy()
    theta = theta.reshape(-1, *theta.shape[2:])
    bound, design = posterior.bound, np.column_stack([np.ones(len(rows)), rows["x"]])
    eta = np.einsum("dnk,nk->dn", theta, design)[..., None]
    family = bound.family
    own = {parameter.name: posterior.tree["posterior"][parameter.name].to_numpy().reshape(-1, 1)
           for parameter in bound.family_parameters}
    return family.likelihood(eta, own, np.ones(len(rows)), np).log_density(rows["y"].to_numpy(float)).sum(axis=1)


def brute_force(model: bp.Model, data: pd.DataFrame, left_out: np.ndarray) -> tuple[float, float]:
    """The log predictive density of rows given all others, and its standard error."""
    def log_densities(seed: int) -> np.ndarray:
        posterior = bp.fit(model, data[~left_out], seed=seed, method=bp.Laplace(draws=DRAWS), progress=False)
        return outcomes_given_theta(posterior, data[left_out])

    return averaged_over_fits(log_densities)


def averaged_over_fits(log_densities: Callable[[int], np.ndarray], most: int = MOST) -> tuple[float, float]:
    """The log of a mean density over the draws of as many fits, by their seeds, as its standard error asks for."""
    logs: list[np.ndarray] = []
    while True:
        logs.append(log_densities(100 + len(logs)))
        means = np.array([logsumexp(each) - np.log(len(each)) for each in logs])
        if len(logs) > 1:
            within = [np.exp(each - logsumexp(each) + np.log(len(each))).std() / np.sqrt(len(each)) for each in logs]
            error = max(float(np.mean(within)), float(means.std(ddof=1))) / np.sqrt(len(logs))
            if error < ENOUGH or len(logs) == most:
                return float(logsumexp(means) - np.log(len(means))), error


def compared(case: str) -> dict[str, Any]:
    """One row of the table."""
    warnings.simplefilter("ignore")
    make, count, whole = CASES[case]
    model, data = make()
    posterior = bp.fit(model, data, seed=1, method=bp.Laplace(draws=DRAWS), progress=False)
    rng = np.random.default_rng(1)
    if whole:
        estimates = bp.loo(posterior, kind="group", by="g", progress=False)
        chosen = rng.choice(data["g"].unique(), count, replace=False)
        masks = [(data["g"] == label).to_numpy() for label in chosen]
        mine = estimates.elpd_i.sel(left_out=list(chosen)).to_numpy()
        given = None
    else:
        estimates, naive = bp.loo(posterior, progress=False), bp.loo(posterior, kind="conditional", progress=False)
        # Half of them where a row is predicted worst.
        worst = np.argsort(estimates.elpd_i.to_numpy())[: count // 2]
        others = rng.choice(np.setdiff1d(np.arange(len(data)), worst), count - len(worst), replace=False)
        chosen = np.concatenate([worst, others])
        masks = [np.arange(len(data)) == place for place in chosen]
        mine, given = (each.elpd_i.to_numpy()[chosen] for each in (estimates, naive))
    truth, error = map(np.array, zip(*(brute_force(model, data, mask) for mask in masks), strict=True))
    gap = mine - truth
    result = {"case": case, "tried": count, "refits": len(estimates.refits), "largest error": float(np.abs(gap).max()),
              "its brute-force error": float(error[np.abs(gap).argmax()]),
              "largest brute-force error": float(error.max()), "of sum": float(gap.sum()),
              "brute-force error of sum": float(np.sqrt((error**2).sum())),
              "Monte Carlo error of all of loo": estimates.mcse}
    naive_gap = None if given is None else given - truth
    return result | {
        "p(y_i given theta_i): largest error": None if naive_gap is None else float(np.abs(naive_gap).max()),
        "p(y_i given theta_i): of sum": None if naive_gap is None else float(naive_gap.sum())}


if __name__ == "__main__":
    given = options(__doc__, repetitions=None)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name in SMALL if given.small else CASES:
            rows.append(fresh(compared, name, caches=Path(folder)))
    publish("against_refits", __doc__, {"Cases": rows}, given.small)
