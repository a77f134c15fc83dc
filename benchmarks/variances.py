"""Errors whose size varies: do intervals cover where it is quiet and where it is noisy, and is a change of it found?

`Groups` has 40 groups of 12 rows with slopes of their own and errors of 0.3 or 2, half of the groups each. `coverage`
is the share of the groups' intercepts and slopes in their central 90 % interval, by the noise of the group, under one
sigma for all rows and under `Varying()`; beside it stands that of log sigma. `Context` has 500 rows whose log sigma is
a random draw of a smooth function of age, which is covered at 41 ages. Both are means over data sets, each with its
standard error.

`Growth` has the growth of the gross domestic product of the United States, a quarter a row, 1959 to 2009, in percent a
year (macrodata of statsmodels). Volatility fell in 1984 (McConnell and Perez-Quiros 2000, doi:10.1257/aer.90.5.1464).
`changes` is the expected number of changes of a `Partition` with one sigma and with a sigma a segment, `likeliest` the
quarter with the most probable change, and `in 1983 to 1985` the probability of a change within these years.
"""

import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import sem

import bayes_personal as bp
from benchmarks.measure import Stopwatch, fresh
from benchmarks.tables import options, publish

SIGMAS = {"one sigma": None, "Varying()": bp.Varying()}
QUIET, NOISY, INTERVAL = 0.3, 2.0, (0.05, 0.95)


def covered(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Say which true values lie in the central interval of their draws, along the last axis."""
    low, high = np.quantile(draws, INTERVAL, axis=-1)
    return (low <= truth) & (truth <= high)


def groups(seed: int) -> list[dict[str, Any]]:
    """Cover the coefficients of quiet and noisy groups."""
    warnings.simplefilter("ignore")
    rng, count, rows = np.random.default_rng(seed), 40, 12
    g, x = np.repeat(np.arange(count), rows), rng.normal(size=count * rows)
    intercept, slope = rng.normal(0, 1, count), rng.normal(1, 0.5, count)
    sigma = rng.permutation(np.repeat([QUIET, NOISY], count // 2))
    frame = pd.DataFrame({"g": [f"g{k:02d}" for k in g], "x": x,
                          "y": intercept[g] + slope[g] * x + sigma[g] * rng.normal(size=len(g))})
    truth, result = np.stack([intercept, slope, np.log(sigma)], axis=1), []
    for name, stated in SIGMAS.items():
        with Stopwatch() as watch:
            posterior = bp.fit(bp.Model("y ~ x", bp.PartialPooling("g"), bp.Normal(sigma=stated)), frame, seed=seed,
                               progress=False)
        theta = posterior.theta.isel(unit=np.arange(0, len(g), rows)).stack(s=("chain", "draw"))
        draws = theta.transpose("unit", "coefficient", "s").to_numpy()
        inside = covered(draws, truth[:, : draws.shape[1]])
        for noise, of_noise in (("quiet", sigma == QUIET), ("noisy", sigma == NOISY)):
            result.append({"world": "Groups", "sigma": name, "where": noise, "complaints": len(posterior.complaints),
                           "coverage": float(inside[of_noise, :2].mean()), "CPU, s": watch.cpu,
                           "coverage of log sigma": float(inside[of_noise, 2].mean()) if stated else None})
    return result


def context(seed: int) -> list[dict[str, Any]]:
    """Cover log sigma along a context."""
    warnings.simplefilter("ignore")
    rng, rows = np.random.default_rng(seed), 500
    age = np.sort(rng.uniform(20, 70, rows))
    z = (age - 45) / 25
    covariance = 0.6**2 * np.exp(-0.5 * ((z[:, None] - z) / rng.uniform(0.4, 1.0)) ** 2)
    log_sigma = -0.3 + np.linalg.cholesky(covariance + 1e-8 * np.eye(rows)) @ rng.normal(size=rows)
    frame = pd.DataFrame({"age": age, "y": 1 + z + np.exp(log_sigma) * rng.normal(size=rows)})
    family = bp.Normal(sigma=bp.Varying(bp.GaussianProcess("age", kernel="squared_exponential")))
    with Stopwatch() as watch:
        posterior = bp.fit(bp.Model("y ~ 1", bp.LinearVarying("age"), family), frame, seed=seed, progress=False)
    at = np.linspace(5, rows - 6, 41).astype(int)
    draws = posterior.theta.sel(coefficient="log_sigma").isel(unit=at).stack(s=("chain", "draw")).to_numpy()
    return [{"world": "Context", "sigma": "Varying(GaussianProcess)", "where": "41 ages", "coverage": None,
             "coverage of log sigma": float(covered(draws, log_sigma[at]).mean()), "CPU, s": watch.cpu,
             "complaints": len(posterior.complaints)}]


def growth(small: bool) -> list[dict[str, Any]]:
    """Find the changes of growth."""
    from statsmodels.datasets import macrodata

    warnings.simplefilter("ignore")
    data = macrodata.load_pandas().data
    frame = pd.DataFrame({"quarter": data["year"] + (data["quarter"] - 1) / 4,
                          "growth": 400 * np.log(data["realgdp"]).diff()}).dropna()
    frame, result = frame.iloc[60:140] if small else frame, []
    for name, stated in SIGMAS.items():
        with Stopwatch() as watch:
            posterior = bp.fit(bp.Model("growth ~ 1", bp.Partition("quarter"), bp.Normal(sigma=stated)), frame, seed=1,
                               progress=False)
        found = bp.changes(posterior)
        near = found["context"].between(1983, 1985.99)
        quarters = found.loc[found["probability"].idxmax()]
        result.append({"sigma": name, "changes": float(found["probability"].sum()),
                       "likeliest": f"{quarters['context']:.2f}", "its probability": float(quarters["probability"]),
                       "in 1983 to 1985": float(found.loc[near, "probability"].sum()),
                       "elpd": float(bp.loo(posterior, progress=False).elpd), "CPU, s": watch.cpu,
                       "complaints": len(posterior.complaints)})
    return result


def averages(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return means over data sets with their standard errors."""
    result = []
    for (world, sigma, where), rows in pd.DataFrame(found).groupby(["world", "sigma", "where"], sort=False):
        row: dict[str, Any] = {"world": world, "sigma": sigma, "where": where, "data sets": len(rows)}
        for name in ("coverage", "coverage of log sigma"):
            values = rows[name].dropna().astype(float)
            row |= {name: float(values.mean()) if len(values) else None,
                    f"{name}: se": float(sem(values)) if len(values) > 1 else None}
        result.append(row | {"CPU, s": float(rows["CPU, s"].median()), "complaints": int(rows["complaints"].sum())})
    return result


if __name__ == "__main__":
    given = options(__doc__, repetitions=40)
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        found = [row for world in (groups, context) for seed in range(given.repetitions) for row in run(world, seed)]
        publish("variances", __doc__, {"Coverage": averages(found), "Growth": run(growth, given.small)}, given.small)
