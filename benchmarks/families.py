"""Families that are not Normal beside the Normal one: what do a fit and its leave-one-out cost, at the defaults?

Every prior that is linear in Gaussian weights, and sums of them, on one plain frame: 400 rows in 40 groups with
intercepts of their own, two contexts, and a slope that is a wave over one of them. Seconds are processor seconds with
kernels compiled; what PyTensor compiles for a model is counted in. `engine` is what drew the posterior.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks.measure import Stopwatch

ROWS, SEEDS = 400, (1, 2, 3)
FAMILIES = {"Normal": bp.Normal(), "Bernoulli": bp.Bernoulli(), "Poisson": bp.Poisson()}
PRIORS = {
    "Population": bp.Population(), "Conditional": bp.Conditional("g"), "PartialPooling": bp.PartialPooling("g"),
    "MetaLearned": bp.MetaLearned("g"), "Transfer": bp.Transfer("g", "g0"), "Invariant": bp.Invariant("g"),
    "FineTuned": bp.FineTuned("g"), "FineTuned, plug-in": bp.FineTuned("g", freeze="plug-in"),
    "FineTuned, joint": bp.FineTuned("g", freeze=None), "LinearVarying": bp.LinearVarying("c", "d"),
    "splines": bp.LinearVarying("c", "d", basis="spline"), "GaussianProcess": bp.GaussianProcess("c"),
    "two contexts": bp.GaussianProcess("c", "d"), "DistanceRegularized": bp.DistanceRegularized("c", "d"),
    "TotalVariation": bp.TotalVariation("c"), "horseshoe": bp.TotalVariation("c", "horseshoe"),
    "groups + process": bp.PartialPooling("g") + bp.GaussianProcess("c"),
    "groups + splines": bp.PartialPooling("g") + bp.LinearVarying("c", "d", basis="spline"),
    "crossed": bp.PartialPooling("g") + bp.PartialPooling("h"), "process + process": bp.GaussianProcess("c")
    + bp.GaussianProcess("d"),
}
NORMAL_ONLY = ("Invariant", "FineTuned")


def plain(family: str, seed: int) -> pd.DataFrame:
    """The plain frame."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(ROWS) % 40, rng.integers(0, 8, ROWS)
    c, d, x = rng.uniform(0, 10, ROWS), rng.uniform(-1, 1, ROWS), rng.normal(size=ROWS)
    eta = 0.3 + 0.5 * rng.normal(size=40)[g] + np.sin(0.7 * c) * (0.3 + 0.7 * x)
    y = {"Normal": lambda: eta + rng.normal(size=ROWS), "Poisson": lambda: rng.poisson(np.exp(eta)),
         "Bernoulli": lambda: rng.binomial(1, 1 / (1 + np.exp(-eta)))}[family]()
    return pd.DataFrame({"y": y, "x": x, "c": c, "d": d, "g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h]})


def at_the_defaults(prior: str, family: str, seed: int) -> dict[str, Any]:
    """One fit and its leave-one-out."""
    warnings.simplefilter("ignore")
    model, frame = bp.Model("y ~ x", PRIORS[prior], FAMILIES[family]), plain(family, seed)
    with Stopwatch() as fitting:
        posterior = bp.fit(model, frame, seed=seed, progress=False)
    with Stopwatch() as leaving:
        result = bp.loo(posterior, progress=False)
    return {"prior": prior, "family": family, "seed": seed, "fit, s": fitting.cpu, "loo, s": leaving.cpu,
            "sampler": posterior.tree["posterior"].attrs.get("sampler", ""), "refits": len(result.refits),
            "complaints": "; ".join(posterior.complaints), "of loo": "; ".join(result.complaints)}
