"""A thousand groups with a yes-or-no outcome: what does the posterior of their effects cost, and what estimates?

`y ~ x`, an intercept and a slope of their own for each of 1000 groups of ten rows, and 1e5 groups by GPBoost and by
`Laplace` with few draws. `NUTS, everything` is `NUTS(collapse=False)`, a walk over all weights; Bambi has its default
priors and nutpie, as `pm.sample` would run it, and knows no correlation of a group's effects. GPBoost maximises an
approximate likelihood, and its time is that of estimates without uncertainty. Each fit is a process whose kernels are
compiled, after a fit to few rows; what Bambi compiles is left out. Draws by importance sampling are worth at most the
Kish ESS of their weights.
"""

import tempfile
import warnings
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import bayes_personal as bp
from benchmarks.agreement import least_ess
from benchmarks.families import groups
from benchmarks.measure import Stopwatch, fresh, peak
from benchmarks.race import divergences, sample
from benchmarks.tables import options, publish

ROWS, SMALL, MANY = 10_000, 500, 100_000
MODEL = bp.Model("y ~ x", bp.PartialPooling("g"), bp.Bernoulli())
METHODS = {"Laplace": bp.Laplace(), "NUTS": bp.NUTS(), "NUTS, everything": bp.NUTS(collapse=False)}
SCALES = "g_scale"


def told(timed: Stopwatch, scales: np.ndarray, kish: float | None, diverged: int | None) -> dict[str, Any]:
    """The columns of one fit; `scales` are (chain, draw, scale)."""
    least = min(least_ess(scales), kish or np.inf)
    return {"wall, s": timed.wall, "CPU, s": timed.cpu, "least ESS of scales": least,
            "ESS a CPU s": least / timed.cpu, "divergences": diverged, "peak, MB": peak()}


def package(method: str, rows: int, seed: int) -> dict[str, Any]:
    """Fit with the package."""
    warnings.simplefilter("ignore")
    bp.fit(MODEL, groups("Bernoulli", 0, 300), seed=0, method=METHODS[method], progress=False)
    frame, timed = groups("Bernoulli", seed, rows), Stopwatch()
    with timed:
        posterior = bp.fit(MODEL, frame, seed=seed, method=METHODS[method], progress=False)
    tree, importance = posterior.tree, posterior.diagnostics.importance
    scales = tree["posterior"][SCALES].to_numpy()
    return told(timed, scales, None if importance is None else importance.ess, divergences(tree)) | {
        "complaints": "; ".join(posterior.complaints)}


def with_bambi(rows: int, seed: int) -> dict[str, Any]:
    """Fit with Bambi."""
    import bambi

    warnings.simplefilter("ignore")
    model = bambi.Model("y ~ x + (1 + x | g)", groups("Bernoulli", seed, rows), family="bernoulli")
    model.build()
    _, timed, tree = sample(model.backend.model, seed, {})
    draws = tree["posterior"]
    return told(timed, np.stack([draws[name].to_numpy() for name in ("1|g_sigma", "x|g_sigma")], axis=-1), None,
                divergences(tree))


def with_gpboost(rows: int, seed: int, count: int = 1000) -> dict[str, Any]:
    """Estimate with GPBoost."""
    import gpboost

    frame, timed = groups("Bernoulli", seed, rows, count), Stopwatch()
    x = frame[["x"]].to_numpy()
    with timed:
        model = gpboost.GPModel(group_data=frame["g"].cat.codes.to_numpy(), group_rand_coef_data=x,
                                ind_effect_group_rand_coef=[1], likelihood="bernoulli_logit")
        model.fit(frame["y"].to_numpy(float), np.column_stack([np.ones(len(frame)), x]))
        model.predict_training_data_random_effects()
    return {"wall, s": timed.wall, "CPU, s": timed.cpu, "peak, MB": peak()}


def very_many(rows: int, draws: int) -> dict[str, Any]:
    """Fit groups of ten rows, however many, with the package."""
    warnings.simplefilter("ignore")
    bp.fit(MODEL, groups("Bernoulli", 0, 300), seed=0, method=bp.Laplace(draws=draws), progress=False)
    frame, timed = groups("Bernoulli", 1, rows, rows // 10), Stopwatch()
    with timed:
        posterior = bp.fit(MODEL, frame, seed=1, method=bp.Laplace(draws=draws), progress=False)
    importance = posterior.diagnostics.importance
    assert importance is not None
    return {"wall, s": timed.wall, "CPU, s": timed.cpu, "Kish ESS": importance.ess, "peak, MB": peak(),
            "complaints": "; ".join(posterior.complaints)}


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of numbers, and what words there are."""
    return {name: "; ".join(filter(None, (row[name] for row in rows))) if isinstance(value, str) else
            None if value is None else median(row[name] for row in rows) for name, value in rows[0].items()}


if __name__ == "__main__":
    given = options(__doc__, ("thousand", "many"))
    rows, seeds = SMALL if given.small else ROWS, range(1, given.repetitions + 1)
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        if "thousand" in given.parts or not given.parts:
            table = [{"method": method, **middle([run(package, method, rows, seed) for seed in seeds])}
                     for method in METHODS]
            for name, fit in (("Bambi, nutpie", with_bambi), ("GPBoost, estimates", with_gpboost)):
                table.append({"method": name, **middle([run(fit, rows, seed) for seed in seeds])})
            publish("yes_or_no", __doc__, {"A thousand groups": table}, given.small)
        if "many" in given.parts or not given.parts:
            sizes = (2 * SMALL,) if given.small else (MANY, 10 * MANY)
            table = [entry for size in sizes for entry in (
                {"method": "Laplace(draws=250)", "rows": size, **run(very_many, size, 250)},
                {"method": "GPBoost, estimates", "rows": size, **run(with_gpboost, size, 1, size // 10)})]
            publish("yes_or_no_many", __doc__, {"Very many": table}, given.small)
