"""Networks of samples: how near are partial correlations to the truth, beside lassos, and does the right prior win?

Five nodes, of whose ten pairs six have an edge, with partial correlations of typically 0.25 to 0.5 where they are
largest. Over 500 rows most edges vary with a context: as waves (`smooth`), with two changes (`jumps`), as lines
(`linear`) or not at all (`static`); or 900 rows have 30 groups with networks of their own (`groups`), or 600 rows are
of three types, which nobody labelled and of which some are frequent where the context is large (`types`). `rmse` is
that of partial correlations, posterior means for the package, over pairs and 41 contexts, groups, or rows of types;
`coverage` the share of them in their 90 % interval, which lassos do not give. `F1` is that of edges: drawn where the
interval leaves out 0, or where a lasso is not 0, and true where the partial correlation is beyond 0.05. `elpd` is of
whole rows, by `loo`. All of these are means over data sets, each with its standard error; `CPU` is the median of the
fit alone, kernels compiled, and of a lasso with its cross-validation; `complaints` and `divergences` are summed over
data sets, `R-hat` is the largest of any data set and node. `Partition`, which changes the whole network at once, reads
contexts rounded to hundredths of their range.

`Predictions` has elpd summed over data sets, less that of the prior that matches the world, with the standard error of
this difference. `Beside the best lasso` compares the prior that matches the world to the lasso that turns out to have
the least rmse, or the largest F1, which nobody could know without the truth; `By comparison` takes of each data set the
prior with the largest elpd instead. `F1: se` is that of the difference over data sets; the last row is the geometric
mean over the worlds that vary.

The part `sparse` has static networks of many nodes, each with two edges on average, and 200 rows: a horseshoe in the
order of the nodes and with every node given all others, beside wide priors and the graphical lasso. The part `ten` has
smooth functions and jumps of ten nodes with 12 edges and 1000 rows; `GaussianProcess of few` has scales with a peak at
0 and heavy tails, HalfCauchy(0.1), so that few edges vary.

contextualized-ml trains networks on ten bootstrapped data sets, on the first data sets of a world only, and with its
own defaults, at most 200 epochs; none of its edges is 0. It runs in an environment that uv makes for it (a download of
3 GB); where that cannot be made its rows are missing.

Measurements of every data set are kept in `networks_data_sets.csv`: those that stand there are not made again, and all
tables show what stands there.
"""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import gmean, sem

import bayes_personal as bp
from benchmarks import lassos
from benchmarks.agreement import rmse
from benchmarks.isolated import answer, installs
from benchmarks.measure import Stopwatch, fresh
from benchmarks.network_worlds import SPARSE, TEN, WORLDS, Peer, Sample, World
from benchmarks.tables import RESULTS, options, publish

# Beyond which a partial correlation is an edge.
EDGE = 0.05
MEASURES = ("rmse", "coverage", "F1", "elpd")
COLUMNS = ["world", "seed", "method", "peer", *MEASURES, "gap", "gap variance", "CPU, s", "loo CPU, s", "complaints",
           "divergences", "R-hat"]
SETS = RESULTS / "networks_data_sets.csv"
ALL = WORLDS | SPARSE | TEN
CONTEXTUALIZED, BOOTSTRAPS = "contextualized-ml", "10"
# Of every part: the name of its tables, and its worlds in a small run and otherwise.
PARTS = {name: ("networks", [name], [name]) for name in WORLDS} | {
    "sparse": ("networks_sparse", ["10 nodes"], ["20 nodes", "50 nodes"]),
    "ten": ("networks_ten", list(TEN), list(TEN))}


def scored(mean: np.ndarray, drawn: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return how near estimates and edges are to the truth."""
    true = np.abs(truth) > EDGE
    return {"rmse": rmse(mean, truth), "F1": float(2 * (drawn & true).sum() / max(drawn.sum() + true.sum(), 1))}


def by_package(model: bp.Network, sample: Sample, seed: int, compared: bool) -> dict[str, Any]:
    """Fit a network at the defaults and read it, after a fit of few draws that compiles."""
    bp.fit(model, sample.frame, seed=seed, method=bp.NUTS(draws=20, tune=20, chains=2), progress=False)
    with Stopwatch() as watch:
        posterior = bp.fit(model, sample.frame, seed=seed, progress=False)
    table = bp.edges(posterior, at=sample.new, seed=seed)
    mean, low, high = (table[name].to_numpy().reshape(sample.partial.shape) for name in ("mean", "q5", "q95"))
    orders = getattr(posterior, "orders", (posterior,))
    found = [each for order in orders for each in order.diagnostics.values()]
    result = scored(mean, (low > 0) | (high < 0), sample.partial) | {
        "coverage": float(((low <= sample.partial) & (sample.partial <= high)).mean()), "CPU, s": watch.cpu,
        "complaints": len(posterior.complaints), "divergences": sum(each.divergences for each in found),
        "R-hat": max((each.r_hat.value for each in found if each.r_hat), default=None)}
    if compared:
        with Stopwatch() as watch:
            elpd = bp.loo(posterior, seed=seed, progress=False)
        result |= {"elpd": elpd.elpd, "elpd_i": elpd.elpd_i.to_numpy(), "loo CPU, s": watch.cpu}
    return result


def by_peer(peer: Peer, sample: Sample, context: str) -> dict[str, Any]:
    """Estimate by a peer."""
    x = sample.frame.filter(regex=r"^x\d").to_numpy()
    with Stopwatch() as watch:
        mean = peer(x, sample.frame[context].to_numpy(), sample.places[context].to_numpy())
    return scored(mean, np.abs(mean) > 1e-8, sample.partial) | {"CPU, s": watch.cpu}


def by_contextualized(x: np.ndarray, c: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return estimates by Markov networks of contextualized-ml, trained on bootstrapped data sets and averaged."""
    arrays = {"x": lassos.standardised(x), "c": c[:, None], "new": at[:, None]}
    found = answer(CONTEXTUALIZED, "contextualized_markov.py", arrays, [BOOTSTRAPS])
    # Its precision matrices leave out their diagonals, which are 1.
    return -lassos.of_pairs(found["precision"])


def data_set(name: str, seed: int) -> list[dict[str, Any]]:
    """Try all methods on one data set of a world."""
    warnings.simplefilter("ignore")
    world = ALL[name]
    sample, asked = world.sample(seed), {"world": name, "seed": seed}
    fits = {each: by_package(model, sample, seed, world.matching is not None) for each, model in world.models.items()}
    rows = [{**asked, "method": each, "peer": False, **found} for each, found in less_matching(world, fits).items()]
    peers = dict(world.lassos)
    if seed < world.trained and installs(CONTEXTUALIZED, "contextualized"):
        peers[CONTEXTUALIZED] = by_contextualized
    return rows + [{**asked, "method": each, "peer": True, **by_peer(peer, sample, world.context)}
                   for each, peer in peers.items()]


def less_matching(world: World, fits: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return fits with their elpd less that of the matching prior, and its variance, in place of that of rows."""
    if world.matching is None:
        return dict(fits)
    gaps = {name: found["elpd_i"] - fits[world.matching]["elpd_i"] for name, found in fits.items()}
    return {name: {key: value for key, value in found.items() if key != "elpd_i"} | {
        "gap": float(gaps[name].sum()), "gap variance": float(len(gaps[name]) * gaps[name].var(ddof=1))}
            for name, found in fits.items()}


def averages(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a world and method: means over data sets with their standard errors."""
    result = []
    for (world, method), rows in found.groupby(["world", "method"], sort=False):
        row: dict[str, Any] = {"world": world, "method": method, "data sets": len(rows)}
        for name in MEASURES:
            values = rows[name].dropna()
            row |= {name: float(np.mean(values)) if len(values) else None,
                    f"{name}: se": float(sem(values)) if len(values) > 1 else None}
        row["CPU, s"] = float(rows["CPU, s"].median())
        if not rows["peer"].any():
            row |= {name: int(rows[name].sum()) for name in ("complaints", "divergences")}
            row["R-hat"] = None if rows["R-hat"].isna().all() else float(rows["R-hat"].max())
            row["loo CPU, s"] = None if rows["loo CPU, s"].isna().all() else float(rows["loo CPU, s"].median())
        result.append(row)
    return result


def predictions(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a world and prior: its elpd less that of the matching prior, over all data sets."""
    return [{"world": world, "prior": method, "less that of": ALL[str(world)].matching, "data sets": len(rows),
             "elpd": float(rows["gap"].sum()), "its se": float(np.sqrt(rows["gap variance"].sum()))}
            for (world, method), rows in found[~found["peer"]].groupby(["world", "method"], sort=False)]


def by_elpd(fits: pd.DataFrame, world: str) -> pd.DataFrame:
    """Return of each data set the fit with the largest elpd."""
    return fits.loc[fits.groupby("seed")["elpd"].idxmax()].set_index("seed")


def by_world(fits: pd.DataFrame, world: str) -> pd.DataFrame:
    """Return of each data set the fit under the prior that matches the world."""
    return fits[fits["method"] == ALL[world].matching].set_index("seed")


def beside_best(found: pd.DataFrame, choose: Callable[[pd.DataFrame, str], pd.DataFrame]) -> list[dict[str, Any]]:
    """Return a row a world: rmse and F1 under the chosen priors, and of the best lassos."""
    result: list[dict[str, Any]] = []
    for world, rows in found.groupby("world", sort=False):
        chosen, others = choose(rows[~rows["peer"]], str(world)), rows[rows["peer"]]
        # Those that were tried on few data sets are not compared.
        others = others[others.groupby("method")["seed"].transform("size") == others["seed"].nunique()]
        means = others.groupby("method", sort=False)[["rmse", "F1"]].mean()
        least, most = str(means["rmse"].idxmin()), str(means["F1"].idxmax())
        theirs = others[others["method"] == most].set_index("seed")
        ours = float(chosen["rmse"].mean())
        result.append({"world": world, "priors": ", ".join(chosen["method"].unique()),
                       "rmse": ours, "best lasso": least, "its rmse": float(means["rmse"].min()),
                       "ratio": ours / float(means["rmse"].min()), "F1": float(chosen["F1"].mean()),
                       "lasso of the largest F1": most, "its F1": float(means["F1"].max()),
                       "F1: se": float(sem(chosen["F1"] - theirs["F1"])) if len(chosen) > 1 else None})
    ratios = [row["ratio"] for row in result if row["world"] != "static"]
    return [*result, {"world": "all that vary", "ratio": float(gmean(ratios))}] if ratios else result


def beside_graphical(found: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a world and prior: its mean rmse and F1 as parts of those of the graphical lasso."""
    result = []
    for world, rows in found.groupby("world", sort=False):
        lasso = rows[rows["peer"]][["rmse", "F1"]].mean()
        for method, own in rows[~rows["peer"]].groupby("method", sort=False):
            result.append({"world": world, "prior": method, "data sets": len(own),
                           "rmse / its": float(own["rmse"].mean() / lasso["rmse"]),
                           "F1 / its": float(own["F1"].mean() / lasso["F1"]),
                           "largest CPU, s": float(own["CPU, s"].max()), "largest R-hat less 1": own["R-hat"].max() - 1,
                           "divergences": int(own["divergences"].sum())})
    return result


def tables(name: str, found: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a name."""
    if name == "networks_sparse":
        return {"Many nodes": averages(found), "Beside the graphical lasso": beside_graphical(found)}
    return {"Partial correlations": averages(found), "Predictions": predictions(found),
            "Beside the best lasso": beside_best(found, by_world),
            "By comparison beside the best lasso": beside_best(found, by_elpd)}


def kept() -> pd.DataFrame:
    """Return what has been measured."""
    return pd.read_csv(SETS) if SETS.exists() else pd.DataFrame({"world": [], "seed": []})


def with_new(found: pd.DataFrame, new: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return measurements with new ones, worlds in their order."""
    rows = pd.DataFrame(new).reindex(columns=COLUMNS)
    together = pd.concat([found, rows], ignore_index=True) if len(found) else rows
    return together.sort_values("world", key=lambda names: names.map(list(ALL).index), kind="stable")


def of_name(found: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the measurements that the tables of a name show."""
    return found[found["world"].isin([world for each, few, many in PARTS.values() if each == name
                                      for world in few + many])]


if __name__ == "__main__":
    given = options(__doc__, list(PARTS), repetitions=10)
    found = kept().iloc[:0] if given.small else kept()
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        for part in given.parts or (["linear", "groups", "sparse"] if given.small else PARTS):
            name, few, many = PARTS[part]
            for world in few if given.small else many:
                have = set(found.loc[found["world"] == world, "seed"])
                for seed in sorted(set(range(min(given.repetitions, ALL[world].data_sets))) - have):
                    found = with_new(found, run(data_set, world, seed))
                    # A data set may take minutes: what is known is kept.
                    if not given.small:
                        found.to_csv(SETS, index=False)
                publish(name, __doc__, tables(name, of_name(found, name)), given.small)
