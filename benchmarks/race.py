"""The engine against the plain program of the same model: effective draws a processor second, and the same posterior?

Every measurement is a process of its own whose compilers start from nothing. What compiles is timed apart.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import xarray as xr

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning
from benchmarks import plain
from benchmarks.agreement import Sampled, compared, least_ess, pooled
from benchmarks.measure import Stopwatch, fresh, medians, peak, ratio
from benchmarks.simulated import CASES, units

PLAIN = "plain PyMC"
METHODS = {"NUTS": (bp.NUTS(), bp.NUTS(draws=50, tune=50, chains=2)),
           "Laplace": (bp.Laplace(), bp.Laplace(draws=50, proposals=1024))}
# What pm.sample does by itself with nutpie.
DRAWS, TUNE, CHAINS = 1000, 400, 4
Measured = tuple[dict[str, Any], Sampled]


def engine(name: str, rows: int, method: str, seed: int) -> Measured:
    """Fit with the package; its kernels compile in a fit to few rows, and a second one says what such a fit takes."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    case = CASES[name]
    frame, few = case.frame(rows), case.frame(200)
    chosen, quick = METHODS[method]
    with Stopwatch() as first:
        bp.fit(case.model, few, seed=seed, method=quick, progress=False)
    with Stopwatch() as second:
        bp.fit(case.model, few, seed=seed, method=quick, progress=False)
    with Stopwatch() as watch:
        posterior = bp.fit(case.model, frame, seed=seed, method=chosen, progress=False)
    memory = peak()
    theta = bp.predict(posterior, units(frame), kind="theta").draws.to_numpy()
    tree = posterior.tree
    kish = float(tree["importance"].attrs["ess"]) if "importance" in tree else None
    sampled = Sampled(plain.columns(tree["posterior"].to_dataset(), case.hyper),
                      theta.reshape(*theta.shape[:2], -1), kish)
    return row(watch, max(first.wall - second.wall, 0.0), memory, sampled, divergences(tree)), sampled


def plain_program(name: str, rows: int, seed: int) -> Measured:
    """Fit the plain program with nutpie."""
    case = CASES[name]
    frame = case.frame(rows)
    bound = case.model.bind(frame)
    compiled, watch, tree = sample(plain.program(case.stem, bound), seed, plain.start(case.stem, bound))
    memory, draws = peak(), tree["posterior"].to_dataset()
    sampled = Sampled(plain.hyper(case.stem, draws), plain.theta(case.stem, bound, draws, units(frame)))
    return row(watch, compiled, memory, sampled, divergences(tree)), sampled


def sample(model: pm.Model, seed: int, start: Mapping[str, Any], tune: int = TUNE
           ) -> tuple[float, Stopwatch, xr.DataTree]:
    """What compiling took, what sampling took, and the draws."""
    with Stopwatch() as compiling:
        compiled = nutpie.compile_pymc_model(model, initial_points=start)
    with Stopwatch() as sampling:
        tree = nutpie.sample(compiled, draws=DRAWS, tune=tune, chains=CHAINS, seed=seed, progress_bar=False,
                             save_warmup=False)
    return compiling.wall, sampling, tree


def divergences(tree: xr.DataTree) -> int | None:
    """How many transitions diverged; None for draws that are not a sampler's."""
    return int(tree["sample_stats"]["diverging"].sum()) if "sample_stats" in tree else None


def row(watch: Stopwatch, compiled: float, memory: float, sampled: Sampled, diverged: int | None) -> dict[str, Any]:
    """The columns of one fit."""
    ess = {name: least_ess(getattr(sampled, name)) for name in ("hyper", "theta")}
    # Resampled draws are worth no more than the weights that they were resampled by.
    worth = {name: min(value, sampled.kish or np.inf) for name, value in ess.items()}
    return {"wall, s": watch.wall, "CPU, s": watch.cpu, "compiling, s": compiled,
            **{f"least ESS of {name}": value for name, value in ess.items()},
            **{f"{name} ESS a CPU s": value / watch.cpu for name, value in worth.items()},
            "divergences": diverged, "Kish ESS of weights": sampled.kish, "peak, MB": memory}


def race(name: str, sizes: Sequence[tuple[int, int]], repetitions: int,
         others: Mapping[str, Callable[[int, int], Measured]]) -> dict[str, list[dict[str, Any]]]:
    """The tables of costs and of agreement.

    Parameters
    ----------
    sizes
        Rows, and how often the plain program and the others are fitted at that size at most.
    others
        What is compared beside the package and the plain program, given rows and a seed, by name.
    """
    costs: list[dict[str, Any]] = []
    agreement: list[dict[str, Any]] = []
    for rows, slow in sizes:
        found: dict[str, list[Measured]] = {}
        for method in METHODS:
            found[method] = [fresh(engine, name, rows, method, seed) for seed in range(repetitions)]
        for other, fit in ({PLAIN: None} | dict(others)).items():
            times = range(min(slow, repetitions))
            found[other] = [fresh(plain_program, name, rows, seed) if fit is None else fresh(fit, rows, seed)
                            for seed in times]
        found = {method: each for method, each in found.items() if each}
        middle = {method: medians([cost for cost, _ in each]) for method, each in found.items()}
        reference = middle.get(PLAIN, {})
        for method, cost in middle.items():
            times_plain = {f"{what}, times {PLAIN}": ratio(cost[f"{what} ESS a CPU s"],
                                                           reference.get(f"{what} ESS a CPU s"))
                           for what in ("hyper", "theta")}
            handed = sum(sampled.kish is None for _, sampled in found[method]) if method == "Laplace" else None
            costs.append({"method": method, "rows": rows, "repetitions": len(found[method]),
                          "handed over to NUTS": handed, **cost, **times_plain})
        draws = {method: pooled([sampled for _, sampled in each]) for method, each in found.items()}
        pairs = [("NUTS", "Laplace"), *((method, PLAIN) for method in METHODS if PLAIN in draws)]
        agreement += [{"one": one, "other": other, "rows": rows, **compared(draws[one], draws[other])}
                      for one, other in pairs]
    return {"Costs": costs, "Agreement": agreement}
