"""Simulated worlds: does comparison find the assumption that is true, and what do wrong ones cost?

An intercept and slopes of one predictor, or five; noise of 0.4, or as said. `winner` has the largest integrated elpd
by `bp.compare`; `true` is the assumption that made the data, `behind` how far it is from the winner, with the standard
error of that difference: it wins or ties within two of these. `stacked` is what the stacked predictive densities of all
assumptions gain over the best single one on as many new rows, with its standard error. `rmse` is that of theta at these
new rows, posterior means against the truth. In the world of spurious environments no row that was seen says what a
shifted one is like: there `winner` and `behind` are judged by the new rows, which are of an environment whose spurious
relation has the other sign, and stacking weighs by environments left out whole. In the world of a target shift new rows
are the target's, and it is by the eight target's rows that assumptions are ranked and weighed. Priors whose weights
integrate out are sampled by importance, the others by NUTS. `Over seeds` counts, of all data sets of a world, those in
which the true assumption wins or ties, and those in which what is stacked is at most two standard errors, or a tenth of
a nat in all, behind the best single one.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Any, final

import numpy as np
import pandas as pd
from scipy.special import logsumexp

import bayes_personal as bp
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.errors import ConvergenceWarning, InputWarning
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.samplers.draws import flat
from benchmarks.measure import ONE_THREAD
from benchmarks.tables import options, publish

# What predicts so many nats less, over all rows, is as good.
TIE = 0.1
Draw = Callable[[np.random.Generator], tuple[pd.DataFrame, np.ndarray]]


@final
@dataclass(frozen=True)
class World:
    """Data that one assumption made, and assumptions to try.

    Attributes
    ----------
    true : name of the one that made them
    tried : assumptions by name
    draw : frame with contexts, and theta of its rows (row, coefficient)
    noise : standard deviation of errors
    by : column of what is left out together, where new rows are of another environment and are what judges; None where
        rows are left out one by one, and judge
    target : value of g whose rows judge, where new rows are of it alone; None where all do
    """

    true: str
    tried: Mapping[str, bp.priors.Prior]
    draw: Draw
    noise: float = 0.4
    by: str | None = None
    target: str | None = None

    def frame(self, seed: int) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
        """Rows with outcomes and their theta, and as many new ones."""
        rng = np.random.default_rng(seed)
        frame, theta = self.draw(rng)
        if "y" in frame:
            new = frame.pop("new").to_numpy(bool)
            return frame[~new], theta[~new], frame[new], theta[new]
        x = rng.normal(size=(len(frame), theta.shape[1] - 1))
        y = theta[:, 0] + (x * theta[:, 1:]).sum(axis=1) + self.noise * rng.normal(size=len(frame))
        whole = frame.assign(**{f"x{k + 1}": x[:, k] for k in range(x.shape[1])}, y=y)
        new = frame["new"].to_numpy(bool)
        columns = whole.columns.drop("new")
        return whole.loc[~new, columns], theta[~new], whole.loc[new, columns], theta[new]


def contexts(rng: np.random.Generator, rows: int, count: int) -> pd.DataFrame:
    """Uniform contexts c1, c2, ..., half of the rows new."""
    columns = {f"c{q + 1}": rng.uniform(-1, 1, 2 * rows) for q in range(count)}
    return pd.DataFrame(columns).assign(new=np.arange(2 * rows) >= rows)


def along(theta: Callable[[pd.DataFrame], tuple[Any, Any]], rows: int = 200, count: int = 2) -> Draw:
    """Intercept and slope as functions of contexts."""
    def draw(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        frame = contexts(rng, rows, count)
        return frame, np.stack([np.broadcast_to(one, len(frame)) for one in theta(frame)], axis=1).astype(float)
    return draw


def grouped(groups: int, rows: int, theta: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    """Groups g of so many rows each, and as many new ones; a context c1 that says nothing."""
    def draw(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        label = np.tile(np.repeat(np.arange(groups), rows), 2)
        frame = pd.DataFrame({"g": [f"g{k}" for k in label], "c1": rng.uniform(-1, 1, len(label)),
                              "new": np.arange(len(label)) >= groups * rows})
        return frame, theta(rng, groups)[label]
    return draw


def low_rank(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Six coefficients that lie along one direction."""
    return rng.normal(size=6) + rng.normal(size=(groups, 1)) * rng.normal(size=6) + 0.1 * rng.normal(size=(groups, 6))


def shifted(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Sources and, first, a target whose slope has the other sign."""
    theta = np.array([1.0, 1.0]) + 0.05 * rng.normal(size=(groups, 2))
    theta[0, 1] = -1.0
    return theta


def target(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Eight rows of a target and 300 of sources; new rows are the target's."""
    label = np.concatenate([np.zeros(8, int), rng.integers(1, 6, 300), np.zeros(308, int)])
    frame = pd.DataFrame({"g": [f"g{k}" for k in label], "new": np.arange(616) >= 308})
    return frame, shifted(rng, 6)[label]


def clumps(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Two clumps along c1, the smaller a sixth of the rows, with opposite slopes; c2 says nothing and is far wider."""
    minor = rng.random(240) < 1 / 6
    frame = pd.DataFrame({"c1": np.where(minor, 1.0, -1.0) + 0.2 * rng.normal(size=240), "c2": 5 * rng.normal(size=240),
                          "new": np.arange(240) >= 120})
    return frame, np.stack([np.zeros(240), np.where(minor, -1.0, 1.0)], axis=1)


def spurious(rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Three environments in which x1 causes y, and y causes x2, with errors of 0.5, 1 and 2; in a new one, with errors
    of 3, y moves x2 the other way."""
    place = np.repeat([0, 1, 2, 3], [100, 100, 100, 300])
    error, back = np.array([0.5, 1.0, 2.0, 3.0])[place], np.array([1.0, 1.0, 1.0, -1.0])[place]
    x1 = error * rng.normal(size=600)
    y = x1 + error * rng.normal(size=600)
    frame = pd.DataFrame({"x1": x1, "x2": back * y + rng.normal(size=600), "y": y, "g": [f"g{k}" for k in place],
                          "new": place == 3})
    return frame, np.tile([0.0, 1.0, 0.0], (600, 1))


def kinds(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Three labels with slopes of -1, 0 and 1."""
    return np.stack([np.zeros(groups), np.arange(groups) % 3 - 1.0], axis=1)


POPULATION = {"Population": bp.Population()}
SMOOTH = {"LinearVarying": bp.LinearVarying("c1", "c2"), "GaussianProcess": bp.GaussianProcess("c1"),
          "Partition": bp.Partition("c1"), "TreePartition": bp.TreePartition("c1", "c2")}
BY_GROUP = {"Conditional": bp.Conditional("g"), "PartialPooling": bp.PartialPooling("g")}
WORLDS = {
    "constant": World("Population", POPULATION | SMOOTH, along(lambda c: (0.5, 1.0))),
    "exchangeable": World("PartialPooling", POPULATION | BY_GROUP | {"GaussianProcess": bp.GaussianProcess("c1")},
                          grouped(30, 8, lambda rng, groups: rng.normal(size=(groups, 2)))),
    "groups": World("Conditional", POPULATION | BY_GROUP | {"Mixture": bp.Mixture(3)}, grouped(3, 60, kinds)),
    "linear": World("LinearVarying", POPULATION | SMOOTH, along(lambda c: (0.5, 0.3 + c["c1"]))),
    "smooth": World("GaussianProcess", POPULATION | SMOOTH, along(lambda c: (0.0, np.sin(3 * c["c1"])))),
    "step": World("Partition", POPULATION | SMOOTH, along(lambda c: (0.0, np.sign(c["c1"] - 0.2)))),
    "interaction": World(
        "Contextualized", POPULATION | {
            "LinearVarying": bp.LinearVarying("c1", "c2", "c3", "c4"),
            "additive GaussianProcess": bp.GaussianProcess("c1") + bp.GaussianProcess("c2"),
            "Contextualized": bp.Contextualized("c1", "c2", "c3", "c4")},
        along(lambda c: (0.0, 1.5 * np.sin(2 * c["c1"]) * (c["c2"] > 0)), 300, 4)),
    "unequal smoothness": World(
        "GaussianProcess by coefficient", POPULATION | SMOOTH | {
            "GaussianProcess by coefficient": bp.LinearVarying("c1", on="Intercept")
            + bp.GaussianProcess("c1", on="x1")},
        along(lambda c: (c["c1"], np.sin(8 * c["c1"])))),
    "spurious environments": World("Invariant", POPULATION | {
        "PartialPooling": bp.PartialPooling("g"), "Invariant": bp.Invariant("g")}, spurious, by="g"),
    "target shift": World("Transfer", POPULATION | BY_GROUP | {"Transfer": bp.Transfer("g", "g0")}, target,
                          target="g0"),
    "low-rank tasks": World("MetaLearned", POPULATION | BY_GROUP | {"MetaLearned": bp.MetaLearned("g")},
                            grouped(30, 4, low_rank)),
    "metric": World("TreePartition", POPULATION | SMOOTH, clumps),
}


def sampled(model: bp.Model, frame: pd.DataFrame, seed: int) -> bp.Posterior:
    """By importance where that is possible."""
    method = bp.Laplace() if marginal_density(model.bind(frame)) is not None else bp.NUTS(draws=500, target_accept=0.95)
    return bp.fit(model, frame, seed=seed, method=method, progress=False)


def densities(posterior: bp.Posterior, new: pd.DataFrame) -> np.ndarray:
    """log p(y_new | y) of every new row."""
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()
    eta = np.einsum("cdnk,nk->cdn", theta, posterior.bound.design.at(new)).reshape(-1, len(new))
    # Under Invariant all new rows are of environments that nobody has seen.
    draws = flat(posterior.tree)
    sigma = draws.get("g_sigma_elsewhere", draws["sigma"])[:, None]
    logs = DISTRIBUTIONS["Normal"].log_density(new["y"].to_numpy(), mu=eta, sigma=sigma)
    return logsumexp(logs, axis=0) - np.log(len(logs))


def row(name: str, seed: int) -> dict[str, Any]:
    """What comparison says of one world, and what the new rows say."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", InputWarning)
    world = WORLDS[name]
    frame, _, new, theta = world.frame(seed)
    formula = "y ~ " + " + ".join(column for column in frame if column.startswith("x"))
    posteriors = {each: sampled(bp.Model(formula, prior), frame, seed) for each, prior in world.tried.items()}
    found = bp.compare(posteriors, kind="group" if world.by else "unit", by=world.by,
                       rows=frame["g"] == world.target if world.target else None, progress=False)
    logs = {each: densities(posterior, new) for each, posterior in posteriors.items()}
    best = max(logs, key=lambda each: logs[each].sum())
    if world.by:
        behind = logs[world.true] - logs[best]
        found = found.assign(difference=behind.sum(), difference_se=np.sqrt(len(behind)) * behind.std(ddof=1))
    # Assumptions that must not be trusted have no weight.
    weights = found["weight"].fillna(0.0).clip(lower=1e-300)
    stacked = logsumexp([np.log(weights[each]) + logs[each] for each in logs], axis=0) - logs[best]
    rmse = {each: float(np.sqrt(np.mean((bp.predict(posterior, new, kind="theta", seed=1).frame()["mean"].to_numpy()
                                         .reshape(theta.shape) - theta) ** 2)))
            for each, posterior in posteriors.items()}
    true = found.loc[world.true]
    return {"world": name, "seed": seed, "true": world.true, "winner": best if world.by else found.index[0],
            "behind": -abs(float(true["difference"])), "its se": float(true["difference_se"]),
            "wins or ties": "yes" if abs(true["difference"]) <= 2 * true["difference_se"] else "no",
            "weight of the true": float(true["weight"]), "stacked": float(stacked.sum()),
            "se of stacked": float(np.sqrt(len(stacked)) * stacked.std(ddof=1)), "rmse of the true": rmse[world.true],
            "rmse of Population": rmse["Population"], "least rmse": min(rmse.values()),
            "not to be trusted": ", ".join(each for each, one in posteriors.items() if one.complaints)}


def summary(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of every world how many data sets there are, and in how many comparison and stacking do as they should."""
    of = {name: [row for row in found if row["world"] == name] for name in dict.fromkeys(row["world"] for row in found)}
    return [{"world": name, "true": rows[0]["true"], "data sets": len(rows),
             "wins or ties": sum(row["wins or ties"] == "yes" for row in rows),
             "stacked at most 2 se behind": sum(row["stacked"] >= -max(2 * row["se of stacked"], TIE) for row in rows),
             "median rmse of the true": float(np.median([row["rmse of the true"] for row in rows])),
             "median least rmse": float(np.median([row["least rmse"] for row in rows]))} for name, rows in of.items()]


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    given = options(__doc__)
    tried = product(range(given.repetitions), list(WORLDS)[3:5] if given.small else WORLDS)
    found: list[dict[str, Any]] = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        # A world takes a minute or more: what is known is kept.
        for one in pool.map(row, *zip(*((name, seed) for seed, name in tried), strict=True)):
            found = sorted([*found, one], key=lambda row: list(WORLDS).index(row["world"]))
            publish("worlds", __doc__, {"Worlds": found, "Over seeds": summary(found)}, given.small)
