"""Varying coefficients by contextualized-ml, which trains networks, and by the package: how near is theta to the truth?

An intercept and two slopes that vary with context, and 1000 new contexts. `rmse` is that of theta there against the
truth, the posterior mean for the package; `coverage` the share of theta in its central 90 % interval, which a network
does not give. `bootstraps` are networks that are averaged, each on a resampled data set, with that package's own
defaults and early stopping, at most 200 epochs. contextualized-ml runs in an environment that uv makes for it (a
download of 3 GB, for it needs torch); where that cannot be made the table says so. Its seconds are of the fit alone,
imports done; those of the package are too, with NUTS, its kernels compiled.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.errors import InputWarning
from benchmarks.agreement import rmse
from benchmarks.isolated import REQUIREMENTS, answer, installs
from benchmarks.measure import Stopwatch, fresh, medians
from benchmarks.tables import options, publish

PEER = "contextualized-ml"
NEW, NOISE = 1000, 0.5


@final
@dataclass(frozen=True)
class Task:
    """A truth, and what the package assumes of it.

    Attributes
    ----------
    contexts : how many
    theta : coefficients at contexts (row, context), (row, coefficient)
    prior : the package's assumption
    """

    contexts: int
    theta: Callable[[np.ndarray], np.ndarray]
    prior: bp.Model

    def frame(self, rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Rows, and their theta."""
        rng = np.random.default_rng(seed)
        c, x = rng.uniform(-2, 2, (rows, self.contexts)), rng.normal(size=(rows, 2))
        theta = self.theta(c)
        y = theta[:, 0] + (theta[:, 1:] * x).sum(axis=1) + NOISE * rng.normal(size=rows)
        columns = {"y": y, "x1": x[:, 0], "x2": x[:, 1]}
        return pd.DataFrame(columns | {f"c{q}": c[:, q] for q in range(self.contexts)}), theta


def curves(c: np.ndarray) -> np.ndarray:
    """Curves over one context."""
    return np.stack([c[:, 0] / 2, np.sin(2 * c[:, 0]), np.tanh(2 * c[:, 0])], axis=1)


def surface(c: np.ndarray) -> np.ndarray:
    """Two contexts that act together."""
    return np.stack([c[:, 0] * c[:, 1] / 2, np.sin(c[:, 0] + c[:, 1]), np.tanh(c[:, 0] - c[:, 1])], axis=1)


def additive(c: np.ndarray) -> np.ndarray:
    """Five contexts that add, of which three matter."""
    a, b, d = c[:, 0], c[:, 1], c[:, 2]
    return np.stack([a + np.sin(b), 0.5 * a**2 - d / 2, np.cos(b) + d / 2], axis=1)


def steps(c: np.ndarray) -> np.ndarray:
    """Jumps over one context, which no smooth prior is made for."""
    return np.stack([np.sign(c[:, 0]), np.where(c[:, 0] > 1, 1.0, -0.5), np.where(c[:, 0] < -1, 1.0, 0.2)], axis=1)


FIVE = tuple(f"c{q}" for q in range(5))
TASKS = {
    "curves, 1 context": Task(1, curves, bp.Model("y ~ x1 + x2", bp.GaussianProcess("c0"))),
    "surface, 2 contexts": Task(2, surface, bp.Model("y ~ x1 + x2", bp.GaussianProcess("c0", "c1"))),
    "additive, 5 contexts": Task(5, additive, bp.Model("y ~ x1 + x2", bp.LinearVarying(*FIVE, basis="spline"))),
    "steps, 1 context": Task(1, steps, bp.Model("y ~ x1 + x2", bp.GaussianProcess("c0"))),
}


def engine(task: str, rows: int, seed: int, varying: bool) -> dict[str, Any]:
    """The package, and its model without variation."""
    # Some new contexts lie a little outside the training range.
    warnings.simplefilter("ignore", InputWarning)
    one = TASKS[task]
    model = one.prior if varying else bp.Model("y ~ x1 + x2", bp.Population())
    (frame, _), (new, truth) = one.frame(rows, seed), one.frame(NEW, seed + 1000)
    bp.fit(model, frame[:100], seed=1, method=bp.NUTS(draws=50, tune=50, chains=2), progress=False)
    with Stopwatch() as watch:
        posterior = bp.fit(model, frame, seed=1, progress=False)
    draws = bp.predict(posterior, new, kind="theta").draws
    low, high = np.quantile(draws, [0.05, 0.95], axis=(0, 1))
    return {"rmse": rmse(draws.mean(("chain", "draw")).to_numpy(), truth),
            "coverage": float(((low <= truth) & (truth <= high)).mean()), "wall, s": watch.wall, "CPU, s": watch.cpu}


def network(task: str, rows: int, seed: int, bootstraps: int) -> dict[str, Any]:
    """contextualized-ml."""
    (frame, _), (new, truth) = TASKS[task].frame(rows, seed), TASKS[task].frame(NEW, seed + 1000)
    contexts = [name for name in frame if name.startswith("c")]
    arrays = {"y": frame["y"], "x": frame[["x1", "x2"]], "c": frame[contexts], "new": new[contexts]}
    found = answer(PEER, "contextualized_network.py", {name: each.to_numpy() for name, each in arrays.items()},
                   [str(bootstraps)])
    wall, cpu = found["seconds"].tolist()
    return {"rmse": rmse(found["theta"], truth), "coverage": None, "wall, s": wall, "CPU, s": cpu}


def table(sizes: list[int], tasks: list[str], networks: list[int], repetitions: int) -> list[dict[str, Any]]:
    """Every task and size."""
    there = installs(PEER, "contextualized")
    result: list[dict[str, Any]] = []
    for task in tasks:
        for rows in sizes:
            row = {"task": task, "rows": rows, "repetitions": repetitions}
            for name, varying in (("package", True), ("package, Population()", False)):
                found = medians([fresh(engine, task, rows, seed, varying) for seed in range(repetitions)])
                result.append({**row, "method": name} | found)
            for bootstraps in networks:
                name = f"{REQUIREMENTS[PEER][0]}, {bootstraps} bootstraps" + ("" if there else ": not installed here")
                found = medians([network(task, rows, seed, bootstraps) for seed in range(repetitions)]) if there else {}
                result.append({**row, "method": name} | found)
    return result


if __name__ == "__main__":
    given = options(__doc__)
    sizes, tasks, networks = ([200], ["curves, 1 context"], [1]) if given.small else ([500, 5000], list(TASKS), [1, 10])
    found = table(sizes, tasks, networks, given.repetitions)
    publish("contextualized", __doc__, {"Theta at new contexts": found}, given.small)
