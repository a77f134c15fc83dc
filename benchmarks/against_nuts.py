"""Is the posterior of families that are not Normal that of long runs of NUTS over all weights, and at what cost?

Five families by five kinds of model, and cases that are hard: groups of two or three rows, a predictor that separates
outcomes, rare events, groups that do not differ, outliers, groups without an event, few rows under a curve, many
crossed groups of few rows. One side is `fit` at its defaults, three seeds or more pooled; the other is
`NUTS(collapse=False)`, which knows nothing of pseudo-data, four chains. Seeds are added and chains are lengthened until
every hyperparameter has 2000 effective draws. Compared are the means of all hyperparameters, on the sampler's scale, of
the population's mean, and of theta in 60 rows, in Monte Carlo errors. `largest z` and `mean square` are over all of
these, and `expected` is where the mean square of a right posterior lies with probability .99, given how these
quantities correlate; `sd z` is the largest difference of log standard deviations in its own errors. The errors of draws
by importance sampling are those of their clusters: draws that share hyperparameters are one proposal's. `CPU, s` is the
processor time of a fit, the median over seeds after the first; `NUTS, s` that of the long run, and `ratio` is what
effective draws of the slowest hyperparameter cost the one over what they cost the other.
"""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks.agreement import Estimates, of_chains, of_clusters, z_scores
from benchmarks.measure import Stopwatch, fresh
from benchmarks.tables import RESULTS, options, publish

# Effective draws of every hyperparameter that are asked of the long run, its first length, and the longest.
ENOUGH, FIRST, LONGEST = 2000, 2500, 20_000
# The fewest and most seeds of fits.
FEWEST_SEEDS, MOST_SEEDS = 3, 12
ROWS_COMPARED = 60
FAMILIES: dict[str, Any] = {
    "Bernoulli": bp.Bernoulli(), "Binomial": bp.Binomial("n"), "Poisson": bp.Poisson(),
    "NegativeBinomial": bp.NegativeBinomial(), "StudentT": bp.StudentT(),
}
POOLED, CURVE = bp.PartialPooling("g"), bp.GaussianProcess("c")
PRIORS = {"1000 groups": POOLED, "smooth, 500": CURVE, "smooth, 1000": CURVE, "linear": bp.LinearVarying("c"),
          "groups + smooth": POOLED + CURVE}
SIZES = {"1000 groups": (10_000, 1000), "smooth, 500": (500, 1), "smooth, 1000": (1000, 1), "linear": (500, 1),
         "groups + smooth": (1000, 100)}


def frame(family: str, rows: int, groups: int, seed: int = 0, *, level: float = -0.3, spread: float = 0.5,
          wave: float = 0.7) -> pd.DataFrame:
    """Rows of groups with their own intercepts and slopes, and a wave over a context."""
    rng = np.random.default_rng(seed)
    c, x, g = rng.uniform(-1, 1, rows), rng.normal(size=rows), np.arange(rows) % groups
    of_groups = rng.normal(size=(groups, 2)) * (spread if groups > 1 else 0)
    eta = level + of_groups[g, 0] + (0.5 + of_groups[g, 1]) * x + np.sin(3 * c) * wave
    p, mean = 1 / (1 + np.exp(-eta)), np.exp(np.clip(eta, -5, 4))
    y = {"Bernoulli": partial(rng.binomial, 1, p), "Binomial": partial(rng.binomial, 8, p),
         "Poisson": partial(rng.poisson, mean), "NegativeBinomial": partial(rng.negative_binomial, 3, 3 / (3 + mean)),
         "StudentT": lambda: eta + rng.standard_t(4, rows)}[family]()
    return pd.DataFrame({"y": y, "x": x, "c": c, "g": [f"g{each}" for each in g], "n": 8})


def plain(kind: str, family: str) -> tuple[bp.Model, pd.DataFrame]:
    """One of five kinds of model."""
    wave = 0.0 if kind == "1000 groups" else 0.7
    return bp.Model("y ~ x", PRIORS[kind], FAMILIES[family]), frame(family, *SIZES[kind], wave=wave)


def ragged() -> tuple[bp.Model, pd.DataFrame]:
    """200 groups of two or three yes-or-no rows."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(200), rng.integers(2, 4, 200))
    x, of_groups = rng.normal(size=len(g)), rng.normal(size=(200, 2)) * [1.0, 0.5]
    p = 1 / (1 + np.exp(0.2 - of_groups[g, 0] - (0.5 + of_groups[g, 1]) * x))
    data = pd.DataFrame({"y": rng.binomial(1, p), "x": x, "g": [f"g{each}" for each in g]})
    return bp.Model("y ~ x", POOLED, bp.Bernoulli()), data


def separated() -> tuple[bp.Model, pd.DataFrame]:
    """Outcomes that a predictor tells without an error."""
    data = frame("Bernoulli", 300, 30, 5)
    return bp.Model("y ~ x", POOLED, bp.Bernoulli()), data.assign(y=(data["x"] > 0.1).astype(int))


def outliers() -> tuple[bp.Model, pd.DataFrame]:
    """Every twentieth measurement is far out."""
    rng, data = np.random.default_rng(1), frame("StudentT", 500, 50, wave=0.0)
    far = rng.choice(500, 25, replace=False)
    data.loc[far, "y"] += rng.choice([-1, 1], 25) * rng.uniform(8, 20, 25)
    return bp.Model("y ~ x", POOLED, bp.StudentT()), data


def crossed() -> tuple[bp.Model, pd.DataFrame]:
    """1200 yes-or-no rows of 300 by 200 groups."""
    rng = np.random.default_rng(0)
    g, h, x = rng.integers(0, 300, 1200), rng.integers(0, 200, 1200), rng.normal(size=1200)
    eta = -0.2 + rng.normal(size=300)[g] + rng.normal(size=200)[h] + 0.5 * x
    data = pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "g": [f"g{each}" for each in g],
                         "h": [f"h{each}" for each in h]})
    intercepts = (bp.PartialPooling(column, on=["Intercept"]) for column in "gh")
    return bp.Model("y ~ x", next(intercepts) + next(intercepts), bp.Bernoulli()), data


def grouped(family: str, rows: int, groups: int, **options: float) -> tuple[bp.Model, pd.DataFrame]:
    """Groups whose rows have this level and spread."""
    return bp.Model("y ~ x", POOLED, FAMILIES[family]), frame(family, rows, groups, wave=0.0, **options)


def few(family: str, wave: float) -> tuple[bp.Model, pd.DataFrame]:
    """80 rows under a curve."""
    return bp.Model("y ~ x", CURVE, FAMILIES[family]), frame(family, 80, 1, wave=wave)


CASES: dict[str, Callable[[], tuple[bp.Model, pd.DataFrame]]] = {
    **{f"{family}, {kind}": partial(plain, kind, family) for kind in PRIORS for family in FAMILIES},
    "groups of 2 or 3": ragged, "separation": separated, "outliers": outliers,
    "rare events": partial(grouped, "Bernoulli", 2000, 100, level=-5.0),
    "groups alike": partial(grouped, "Bernoulli", 1000, 100, spread=0.0),
    "groups of zeros": partial(grouped, "Poisson", 1000, 200, level=-2.5, spread=0.7),
    "80 counts, smooth": partial(few, "Poisson", 2.0), "80 rows with t errors, smooth": partial(few, "StudentT", 3.0),
    "crossed, 300 x 200": crossed,
}
SMALL = ("Poisson, linear", "separation")


def quantities(posterior: bp.Posterior) -> np.ndarray:
    """Hyperparameters on the sampler's scale, the population's mean, and theta of some rows, (chain, draw, number);
    hyperparameters come first."""
    tree, bound = posterior.tree["posterior"], posterior.bound
    hyper = [parameter.point(tree[parameter.name].to_numpy()) for parameter in bound.parameters]
    rows = np.random.default_rng(0).choice(len(bound.rows), min(ROWS_COMPARED, len(bound.rows)), replace=False)
    theta = posterior.theta.transpose("chain", "draw", "unit", ...).to_numpy()[:, :, np.sort(rows)]
    shape = tree.sizes["chain"], tree.sizes["draw"], -1
    mean = [tree["mu"].to_numpy().reshape(shape)] if "mu" in tree else []
    return np.concatenate([*(each.reshape(shape) for each in hyper), *mean, theta.reshape(shape)], axis=2)


def of_fit(posterior: bp.Posterior) -> Estimates:
    """Means and their errors of a posterior that `fit` made."""
    draws = quantities(posterior)
    return of_clusters(draws[0]) if "importance" in posterior.tree else of_chains(draws)


def engine(case: str, enough: int) -> dict[str, Any]:
    """Fits at the defaults, one seed after the other, until all hyperparameters have enough effective draws."""
    warnings.simplefilter("ignore")
    (model, data), fits, timed, seconds = CASES[case](), [], Stopwatch(), []
    for seed in range(MOST_SEEDS + 1):
        with timed:
            posterior = bp.fit(model, data, seed=seed, progress=False)
        hyper = sum(parameter.size for parameter in posterior.bound.parameters)
        # The first fit compiles.
        if seed:
            fits.append(of_fit(posterior))
            seconds.append(timed.cpu)
        if seed >= FEWEST_SEEDS and Estimates.pooled(fits).ess[:hyper].min() >= enough:
            break
    told = posterior.diagnostics
    return {"fits": fits, "CPU, s": median(seconds), "engine": told.engine.split(":")[0].split(" of")[0],
            "k": None if told.importance is None else told.importance.pareto_k,
            "complaints": "; ".join(posterior.complaints), "hyper": hyper}


def long_run(case: str, enough: int) -> tuple[Estimates, float, int]:
    """NUTS over all weights, its processor seconds, and its divergences."""
    warnings.simplefilter("ignore")
    (model, data), draws, timed = CASES[case](), FIRST, Stopwatch()
    while True:
        method = bp.NUTS(draws=draws, tune=1000, chains=4, collapse=False, target_accept=0.95)
        with timed:
            posterior = bp.fit(model, data, seed=11, method=method, progress=False)
        found = of_chains(quantities(posterior))
        hyper = sum(parameter.size for parameter in posterior.bound.parameters)
        least = found.ess[:hyper].min()
        if least >= enough or draws >= LONGEST:
            return found, timed.cpu, int(posterior.tree["sample_stats"]["diverging"].sum())
        draws = int(min(LONGEST, max(1.5 * draws, 1.2 * draws * enough / least)))


def compared(case: str, enough: int, caches: Path) -> dict[str, Any]:
    """One row of the table."""
    mine = fresh(engine, case, enough, caches=caches)
    truth, seconds, diverged = fresh(long_run, case, enough, caches=caches)
    pooled = Estimates.pooled(mine["fits"])
    z = z_scores(pooled, truth)
    hyper = mine["hyper"]
    least = [float(each.ess[:hyper].min()) for each in (pooled, truth)]
    of_mine, of_truth = (least[0] / (len(mine["fits"]) * mine["CPU, s"]), least[1] / seconds)
    return {"case": case, "engine": mine["engine"], "k": mine["k"], "numbers": len(z.mean),
            "largest z": float(np.abs(z.mean).max()), "mean square": float(np.mean(z.mean**2)),
            "expected": "{:.2f} to {:.2f}".format(*z.range_of_mean_square), "sd z": float(np.abs(z.sd).max()),
            "fits": len(mine["fits"]), "least ESS": least[0], "of NUTS": least[1], "divergences of NUTS": diverged,
            "CPU, s": mine["CPU, s"], "NUTS, s": seconds, "ratio": of_mine / of_truth,
            "complaints": mine["complaints"]}


def over_all(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the cases come to."""
    numbers = sum(int(row["numbers"]) for row in rows)
    square = sum(int(row["numbers"]) * float(row["mean square"]) for row in rows) / numbers
    return {"cells": len(rows), "numbers": numbers, "mean square of z": square,
            "largest z": max(float(row["largest z"]) for row in rows)}


def kept(small: bool) -> dict[str, dict[str, Any]]:
    """Rows of cases that were run before, which take minutes each."""
    file = RESULTS / "against_nuts.csv"
    if small or not file.exists():
        return {}
    read = pd.read_csv(file, keep_default_na=False)
    return {row["case"]: row for row in read.to_dict("records")}


if __name__ == "__main__":
    given = options(__doc__, tuple(CASES), repetitions=None)
    chosen = SMALL if given.small else given.parts or tuple(CASES)
    rows = kept(given.small)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            rows[name] = compared(name, 400 if given.small else ENOUGH, Path(folder))
            ordered = [rows[case] for case in CASES if case in rows]
            publish("against_nuts", __doc__, {"Cases": ordered, "All": [over_all(ordered)]}, given.small)
