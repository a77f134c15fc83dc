"""One collapsed gradient: its time against rows, weights and groups.

`log_density` of a collapsed model gives log p(y, phi) and its gradient, the weights
integrated out, from statistics of the rows that are gathered once. Its time should not depend on the rows at all.
`binding` checks the rows and learns their scalings, `statistics` passes over them; both happen once a fit.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from benchmarks.measure import Stopwatch, fresh, medians, peak
from benchmarks.simulated import smooth
from benchmarks.tables import options, publish

SECONDS, FEWEST = 1.0, 5


def many_contexts(rows: int, contexts: int) -> tuple[bp.Model, pd.DataFrame]:
    """Three coefficients, a smooth function of each context: 69 weights and 6 hyperparameters a context."""
    frame = smooth(rows)
    more = np.random.default_rng(5).uniform(0, 10, (contexts - 1, rows))
    frame = frame.assign(**{f"c{q}": each for q, each in enumerate(more)})
    names = ["c", *(f"c{q}" for q in range(contexts - 1))]
    prior = sum((bp.GaussianProcess(name, kernel="squared_exponential") for name in names[1:]),
                start=bp.GaussianProcess("c", kernel="squared_exponential"))
    return bp.Model("y ~ x1 + x2", prior), frame


def many_groups(rows: int, groups: int) -> tuple[bp.Model, pd.DataFrame]:
    """Three coefficients of their own for every group."""
    frame = smooth(rows).assign(g=np.arange(rows) % groups)
    return bp.Model("y ~ x1 + x2", bp.PartialPooling("g")), frame


def groups_and_context(rows: int, groups: int) -> tuple[bp.Model, pd.DataFrame]:
    """An intercept of its own for every group, and three coefficients that are smooth functions of a context."""
    frame = smooth(rows).assign(g=np.arange(rows) % groups)
    return bp.Model("y ~ x1 + x2", bp.PartialPooling("g", on=["Intercept"])
                    + bp.GaussianProcess("c", kernel="squared_exponential")), frame


MADE: dict[str, Callable[[int, int], tuple[bp.Model, pd.DataFrame]]] = {
    "contexts": many_contexts, "groups": many_groups, "groups and a context": groups_and_context}
SWEEPS = {
    "Rows": [("contexts", rows, 1) for rows in (10_000, 100_000, 1_000_000, 10_000_000)],
    "Weights": [("contexts", 10_000, contexts) for contexts in (1, 2, 4, 8)],
    "Groups": [(kind, 10 * groups, groups) for kind in ("groups", "groups and a context")
               for groups in (100, 1000, 10_000, 100_000)],
}
SMALL = {"Rows": [("contexts", rows, 1) for rows in (1000, 4000)], "Weights": [("contexts", 1000, 2)],
         "Groups": [(kind, 10 * groups, groups) for kind in ("groups", "groups and a context") for groups in (10, 40)]}


def gradient(kind: str, rows: int, size: int) -> dict[str, Any]:
    """What binding, statistics and one gradient cost."""
    model, frame = MADE[kind](rows, size)
    few, little = MADE[kind](20 * min(size, 10), min(size, 10))
    warmed = GaussianDensity(few.bind(little))
    warmed.log_density(np.zeros(warmed.size))
    with Stopwatch() as binding:
        bound = model.bind(frame)
    with Stopwatch() as gathering:
        density = GaussianDensity(bound)
        _ = density.statistics
    call = partial(density.log_density, np.random.default_rng(1).normal(0, 0.5, density.size))
    value, slope = call()
    assert np.isfinite(value) and np.isfinite(slope).all()
    calls, end = 0, time.perf_counter() + SECONDS
    with Stopwatch() as watch:
        while calls < FEWEST or time.perf_counter() < end:
            call()
            calls += 1
    return {"of": kind, "rows": rows, kind: size, "weights": weights(bound), "hyperparameters": density.size,
            "binding, CPU s": binding.cpu, "statistics, CPU s": gathering.cpu,
            "gradient, CPU us": watch.cpu / calls * 1e6, "peak, MB": peak()}


def weights(bound: Any) -> int:
    """How many numbers are integrated out."""
    return len(bound.shared) + sum(len(next(iter(term.features.values()))) * len(term.positions)
                                   for term in bound.terms)


def sweep(cases: list[tuple[str, int, int]], repetitions: int) -> list[dict[str, Any]]:
    """A table; the number of groups or contexts in one column."""
    rows = []
    for case in cases:
        found = medians([fresh(gradient, *case) for _ in range(repetitions)])
        rows.append({"of": found.pop("of"), "of them": found.pop(case[0]), "repetitions": repetitions} | found)
    return rows


if __name__ == "__main__":
    given = options(__doc__)
    publish("gradient", __doc__, {name: sweep(cases, given.repetitions)
                                  for name, cases in (SMALL if given.small else SWEEPS).items()}, given.small)
