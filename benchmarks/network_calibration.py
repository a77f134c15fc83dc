"""Calibration of networks: are ranks of true partial correlations and scales uniform, where the model made the data?

Networks of three nodes are simulated from each prior, hyperparameters first, and fitted with the model that made them,
whose hyperpriors are the same for all. Of every partial correlation in three of 100 rows, or in one where all rows
share them, and of every hyperparameter of every node, scales among them, the rank of the truth among 60 draws is
uniform over data sets if the posterior is right. `outside` counts those whose distribution leaves a band that holds all
of a uniform one with probability 0.99: of a hundred that are right one is expected outside. `least p` is the most
uneven one's probability, times the number of ranks looked at. The figure shows all as differences from the uniform
distribution in this band, partial correlations in blue. `coverage` is the share of partial correlations, over rows that
differ and pairs, inside their central 90 % interval, with its standard error over data sets. `complaints` are data sets
in which a node's draws have a divergence, R-hat above 1.06 or fewer than 60 effective ones even of longer chains with
smaller steps, which are tried where there are any; they are counted in. Priors can be run one by one: names after the
command are those to run.
"""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import arviz_stats.ecdf_utils as ecdf
import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks import lassos
from benchmarks.calibration import picture, row, wide
from benchmarks.measure import ONE_THREAD, from_tests
from benchmarks.tables import RESULTS, options, publish

ROWS, GROUPS, LEVEL = 100, 10, 0.99
# Of every data set: all tables and the figure show all priors that were run.
SETS = RESULTS / "network_calibration.parquet"
FORMULA = "one + two + three ~ 1"
NOISE = bp.Normal(sigma=bp.Hyperprior("LogNormal", mu=-0.5, sigma=0.3))
MEAN = bp.Hyperprior("Normal", mu=0, sigma=0.5)
SCALE = bp.Hyperprior("HalfNormal", sigma=0.5)


@dataclass(frozen=True)
class Setting:
    """A network whose hyperpriors do not depend on its nodes.

    Attributes
    ----------
    frame : draws the contexts of all rows
    rows : whose partial correlations are ranked
    sets : how many data sets are drawn
    """

    prior: bp.priors.Prior
    frame: Callable[[np.random.Generator], pd.DataFrame]
    rows: tuple[int, ...] = (0, 45, 99)
    sets: int = 100

    @property
    def model(self) -> bp.Network:
        """The network."""
        return bp.Network(FORMULA, self.prior, NOISE, MEAN)


def contexts(rng: np.random.Generator) -> pd.DataFrame:
    """Draw a context of every row."""
    return pd.DataFrame({"c": rng.uniform(-1, 1, ROWS)})


def groups(rng: np.random.Generator) -> pd.DataFrame:
    """Return groups of the same size, which are the same in all data sets."""
    return pd.DataFrame({"g": [f"g{each}" for each in np.arange(ROWS) % GROUPS]})


SETTINGS = {
    "Population": Setting(bp.Population(), contexts, rows=(0,)),
    "PartialPooling": Setting(bp.PartialPooling("g", scale=SCALE), groups),
    "GaussianProcess": Setting(bp.GaussianProcess("c", kernel="squared_exponential", shortest=0.3, scale=SCALE),
                               contexts),
}


def true_partials(truth: Any) -> np.ndarray:
    """Return the partial correlations of a simulated network, (row, pair), from its coefficients and errors."""
    nodes = list(truth.nodes)
    directed = np.zeros((len(truth.theta), len(nodes), len(nodes)))
    for (j, node), (k, other) in ((one, two) for one in enumerate(nodes) for two in enumerate(nodes)):
        if f"{node} ~ {other}" in truth.theta:
            directed[:, j, k] = truth.theta[f"{node} ~ {other}"]
    root = (np.eye(len(nodes)) - directed) / np.array([truth.nodes[node].values["sigma"] for node in nodes])[:, None]
    precision = root.mT @ root
    size = np.sqrt(np.einsum("...jj->...j", precision))
    return lassos.of_pairs(-precision / (size[..., :, None] * size[..., None, :]))


def fitted(setting: Setting, frame: pd.DataFrame, seed: int, shared: Any) -> tuple[Any, bool]:
    """Fit until the draws of all nodes are healthy or methods are at an end, and say whether they are."""
    posterior, healthy = None, False
    for method in shared.METHODS:
        posterior = bp.fit(setting.model, frame, seed=seed, method=method, progress=False)
        healthy = all(shared.healthy(each) for each in posterior.nodes.values())
        if healthy:
            break
    return posterior, healthy


def calibrated(setting: Setting, seed: int) -> dict[str, float]:
    """Simulate, fit, and return what stands in the columns of the table and all ranks."""
    shared = from_tests("calibration")
    frames, truths, fits = (int(each) for each in np.random.SeedSequence(seed).generate_state(3))
    rng = np.random.default_rng(frames)
    truth = bp.simulate(setting.model, setting.frame(rng), seed=truths)
    posterior, healthy = fitted(setting, truth.frame, fits, shared)
    found, true = lassos.of_pairs(bp.network(posterior).to_numpy()), true_partials(truth)
    low, high = np.quantile(found, [0.05, 0.95], axis=(0, 1))
    _, different = np.unique(found.reshape(-1, *found.shape[2:]).swapaxes(0, 1), axis=0, return_index=True)
    result = {"held": float(((low <= true) & (true <= high))[different].mean()), "healthy": float(healthy)}
    apart = np.linspace(0, found.shape[1] - 1, shared.RANKED // found.shape[0]).astype(int)
    asked = {f"partial, row {place}": (found[:, apart, place], true[place]) for place in setting.rows}
    for node, own in posterior.nodes.items():
        draws = own.tree["posterior"].to_dataset().isel(draw=apart)
        asked |= {f"{node}: {name}": (draws[name].to_numpy(), truth.nodes[node].values[name])
                  for name in shared.sampled(own)}
    return result | {f"{name}[{place}]": rank for name, (drawn, value) in asked.items()
                     for place, rank in enumerate(shared.ranks(drawn, value, rng))}


def one_set(name: str, seed: int) -> list[dict[str, Any]]:
    """Return one data set of a prior, a row a value."""
    warnings.simplefilter("ignore")
    return [{"prior": name, "seed": seed, "what": what, "value": value}
            for what, value in calibrated(SETTINGS[name], seed).items()]


def outside(found: pd.DataFrame) -> int:
    """Count the ranks whose distribution leaves the band."""
    result = 0
    for rank in found.columns.drop(["held", "healthy"]):
        _, share, low, high = ecdf.ecdf_pit(found[rank].to_numpy(), LEVEL, 10_000)
        result += int(((share < low) | (share > high)).any())
    return result


def table(sets: pd.DataFrame) -> list[dict[str, Any]]:
    """Return all data sets of every prior, a row a prior."""
    rows = {str(name): wide(sets, name) for name in sets["prior"].unique()}
    return [{**row(name, found), "outside": outside(found)} for name, found in rows.items()]


if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    given = options(__doc__, list(SETTINGS), repetitions=None)
    sets = pd.DataFrame({"prior": []}) if given.small or not SETS.exists() else pd.read_parquet(SETS)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        for name in given.parts or list(SETTINGS)[:2 if given.small else None]:
            seeds = range(4 if given.small else SETTINGS[name].sets)
            new = [value for found in pool.map(partial(one_set, name), seeds) for value in found]
            sets = pd.concat([sets[sets["prior"] != name], pd.DataFrame(new)], ignore_index=True)
            sets = sets.sort_values("prior", key=lambda names: names.map(list(SETTINGS).index), kind="stable")
            publish("network_calibration", __doc__, {"Calibration": table(sets)}, given.small)
            if not given.small:
                sets.to_parquet(SETS, index=False)
                picture(sets, LEVEL, ("partial",)).savefig(RESULTS / "network_calibration.png", dpi=120)
