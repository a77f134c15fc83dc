"""Families that are not Normal beside the Normal one: what do a fit and its leave-one-out cost, at the defaults?

`plain`: every prior that is linear in Gaussian weights, and sums of them, on one plain frame: 400 rows in 40 groups
with intercepts of their own, two contexts, and a slope that is a wave over one of them. `size`: groups with their own
intercept and slope, up to 1000 of them, and a process over one context; all families at 10,000 rows. Seconds are
processor seconds of a process that has fitted such a model before, so that all is compiled but what PyTensor compiles
for these rows. `complaints` counts the fits, and the results of `loo`, that do complain; `Normal` is the ratio to the
Normal fit.
"""

import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks.measure import Stopwatch, fresh, peak
from benchmarks.tables import options, publish

ROWS = 400
# All families are compared at the second size.
SMALL, SIZES = (400,), (400, BESIDE := 10_000, 100_000)
FAMILIES: dict[str, Any] = {"Normal": bp.Normal(), "Bernoulli": bp.Bernoulli(), "Poisson": bp.Poisson(),
                            "Binomial": bp.Binomial("n"), "NegativeBinomial": bp.NegativeBinomial(),
                            "StudentT": bp.StudentT(), "Gamma": bp.Gamma(), "LogNormal": bp.LogNormal(),
                            "Weibull": bp.Weibull(), "Beta": bp.Beta(), "BetaBinomial": bp.BetaBinomial("n"),
                            "ZeroInflatedPoisson": bp.ZeroInflatedPoisson(),
                            "Cumulative": bp.Cumulative(levels=range(4)), "Categorical": bp.Categorical()}
OF_PLAIN = ("Normal", "Bernoulli", "Poisson")
TRIALS, DISPERSION, FREEDOM = 8, 3, 4
PRIORS = {
    "Population": bp.Population(), "Conditional": bp.Conditional("g"), "PartialPooling": bp.PartialPooling("g"),
    "MetaLearned": bp.MetaLearned("g"), "Transfer": bp.Transfer("g", "g0"), "Invariant": bp.Invariant("g"),
    "FineTuned": bp.FineTuned("g"), "FineTuned, plug-in": bp.FineTuned("g", freeze="plug-in"),
    "FineTuned, joint": bp.FineTuned("g", freeze=None), "LinearVarying": bp.LinearVarying("c", "d"),
    "splines": bp.LinearVarying("c", "d", basis="spline"), "GaussianProcess": bp.GaussianProcess("c"),
    "process over two contexts": bp.GaussianProcess("c", "d"),
    "groups + process": bp.PartialPooling("g") + bp.GaussianProcess("c"),
    "groups + splines": bp.PartialPooling("g") + bp.LinearVarying("c", "d", basis="spline"),
    "crossed groups": bp.PartialPooling("g") + bp.PartialPooling("h"),
    "process + process": bp.GaussianProcess("c") + bp.GaussianProcess("d"),
}
NORMAL_ONLY = ("Invariant",)


def plain(family: str, seed: int, rows: int = ROWS) -> pd.DataFrame:
    """The plain frame."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(rows) % 40, rng.integers(0, 8, rows)
    c, d, x = rng.uniform(0, 10, rows), rng.uniform(-1, 1, rows), rng.normal(size=rows)
    eta = 0.3 + 0.5 * rng.normal(size=40)[g] + np.sin(0.7 * c) * (0.3 + 0.7 * x)
    return pd.DataFrame({"y": outcomes(family, eta, rng), "x": x, "c": c, "d": d, "g": [f"g{i}" for i in g],
                         "h": [f"h{i}" for i in h], "n": TRIALS})


def groups(family: str, seed: int, rows: int, most: int = 1000) -> pd.DataFrame:
    """A group for every ten rows, up to so many of them, with its own intercept and slope."""
    rng = np.random.default_rng(seed)
    count = min(most, rows // 10)
    g, x, theta = np.arange(rows) % count, rng.normal(size=rows), rng.normal(size=(count, 2)) * [0.8, 0.5]
    return pd.DataFrame({"y": outcomes(family, theta[g, 0] + (0.5 + theta[g, 1]) * x, rng), "x": x,
                         "g": pd.Categorical.from_codes(g, [f"g{j}" for j in range(count)]), "n": TRIALS})


def smooth(family: str, seed: int, rows: int) -> pd.DataFrame:
    """Two coefficients that are curves over a context."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(0, 10, rows), rng.normal(size=rows)
    return pd.DataFrame({"y": outcomes(family, np.sin(c) + np.sin(0.6 * c) * x, rng), "x": x, "c": c,
                         "n": TRIALS})


def outcomes(family: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outcomes given their linear predictors."""
    mean, probability, rows = np.exp(eta), 1 / (1 + np.exp(-eta)), len(eta)
    return {
        "Normal": lambda: eta + rng.normal(size=rows), "Bernoulli": lambda: rng.binomial(1, probability),
        "Poisson": lambda: rng.poisson(mean), "Binomial": lambda: rng.binomial(TRIALS, probability),
        "NegativeBinomial": lambda: rng.negative_binomial(DISPERSION, DISPERSION / (DISPERSION + mean)),
        "StudentT": lambda: eta + rng.standard_t(FREEDOM, rows),
        "LogNormal": lambda: np.exp(eta + rng.normal(size=rows)),
        "Gamma": lambda: rng.gamma(DISPERSION, mean / DISPERSION), "Weibull": lambda: mean * rng.weibull(1.5, rows),
        "Beta": lambda: np.clip(rng.beta(10 * probability, 10 * (1 - probability)), 1e-6, 1 - 1e-6),
        "BetaBinomial": lambda: rng.binomial(TRIALS, rng.beta(10 * probability, 10 * (1 - probability))),
        "ZeroInflatedPoisson": lambda: rng.poisson(mean) * (rng.random(rows) > 0.2),
        "Cumulative": lambda: np.digitize(eta + rng.logistic(size=rows), [-1.0, 0.5, 2.0]),
        "Categorical": lambda: np.array(["car", "rail", "sea"])[np.argmax(
            np.stack([0 * eta, eta, 0.5 - eta]) + rng.gumbel(size=(3, rows)), axis=0)],
    }[family]()


WORLDS = {"groups": (groups, bp.PartialPooling("g")), "process": (smooth, bp.GaussianProcess("c"))}


def measured(model: bp.Model, frames: Sequence[pd.DataFrame], warm: pd.DataFrame) -> list[dict[str, Any]]:
    """Fit every frame and leave its rows out, after a first fit to `warm`."""
    warnings.simplefilter("ignore")
    leaves_out = not (isinstance(model.prior, bp.FineTuned) and model.prior.freeze is not None)
    result, timed = [], Stopwatch()
    for seed, frame in enumerate((warm, *frames)):
        with timed:
            posterior = bp.fit(model, frame, seed=seed, progress=False)
        row = {"fit, s": timed.cpu, "complaint": "; ".join(posterior.complaints),
               "engine": posterior.diagnostics.engine.split(":")[0].split(" over")[0].split(" of")[0]}
        if leaves_out:
            with timed:
                elpd = bp.loo(posterior, progress=False)
            row |= {"loo, s": timed.cpu, "refits": len(elpd.refits), "draws": elpd.n_samples,
                    "complaint of loo": "; ".join(set(elpd.complaints) - set(posterior.complaints))}
        result.append(row)
    return result[1:]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and how many complain."""
    numbers = {name: median(row[name] for row in rows) for name in ("fit, s", "loo, s", "refits", "draws")
               if name in rows[0]}
    complaints = [row["complaint"] for row in rows if row["complaint"]]
    of_loo = [row["complaint of loo"] for row in rows if row.get("complaint of loo")]
    return numbers | {"engine": rows[0]["engine"], "complaints": len(complaints), "of loo": len(of_loo),
                      "the first": (complaints or of_loo or [""])[0]}


def at_the_defaults(prior: str, family: str, count: int) -> dict[str, Any]:
    """Fits of one prior and family on plain frames."""
    model = bp.Model("y ~ x", PRIORS[prior], FAMILIES[family])
    return summary(measured(model, [plain(family, seed) for seed in range(1, count + 1)], plain(family, 0)))


def at_size(world: str, family: str, rows: int, count: int) -> dict[str, Any]:
    """Fits of one family to many rows."""
    make, prior = WORLDS[world]
    frames = [make(family, seed, rows) for seed in range(1, count + 1)]
    found = summary(measured(bp.Model("y ~ x", prior, FAMILIES[family]), frames, make(family, 0, 300)))
    return found | {"peak, MB": peak()}


def beside_normal(rows: list[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Add the ratio of each fit to the Normal one."""
    normal = {tuple(row[key] for key in keys): row["fit, s"] for row in rows if row["family"] == "Normal"}
    return [row | {"Normal": row["fit, s"] / normal[tuple(row[key] for key in keys)]} for row in rows]


if __name__ == "__main__":
    given = options(__doc__, ("plain", "size"))
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        if "plain" in given.parts or not given.parts:
            rows = [{"prior": prior, "family": family, **run(at_the_defaults, prior, family, given.repetitions)}
                    for prior in (("PartialPooling", "GaussianProcess") if given.small else PRIORS)
                    for family in OF_PLAIN if family == "Normal" or prior not in NORMAL_ONLY]
            publish("families_plain", __doc__, {"Plain": beside_normal(rows, ["prior"])}, given.small)
        if "size" in given.parts or not given.parts:
            rows = [{"world": world, "rows": size, "family": family,
                     **run(at_size, world, family, size, given.repetitions)}
                    for world in WORLDS for size in (SMALL if given.small else SIZES)
                    for family in (FAMILIES if size == BESIDE else OF_PLAIN)]
            publish("families_size", __doc__, {"Size": beside_normal(rows, ["world", "rows"])}, given.small)
