"""Networks of samples: how near are partial correlations to the truth, beside lassos, and does the right prior win?

Five nodes, of whose ten pairs six have an edge, with partial correlations of typically 0.25 to 0.5 where they are
largest. Over 500 rows most edges vary with a context: as waves (`smooth`), with two changes (`jumps`), as lines
(`linear`) or not at all (`static`); or 900 rows have 30 groups with networks of their own (`groups`). `rmse` is that of
partial correlations, posterior means for the package, over pairs and 41 contexts, or groups; `coverage` the share of
them in their 90 % interval, which lassos do not give. `F1` is that of edges: drawn where the interval leaves out 0, or
where a lasso is not 0, and true where the partial correlation is beyond 0.05. `elpd` is of whole rows, by `loo`. All of
these are means over data sets, each with its standard error; `CPU` is the median of the fit alone, kernels compiled,
and of a lasso with its cross-validation; `complaints` and `divergences` are summed over data sets, `R-hat` is the
largest of any data set and node.

`Predictions` has elpd summed over data sets, less that of the prior that matches the world, with the standard error of
this difference. No prior here has jumps: there it is less that of the smooth one. `Beside the best lasso` compares the
prior with the largest elpd of each data set to the lasso that turns out to have the least rmse, which nobody could know
without the truth; the last row is the geometric mean over the worlds that vary.

The part `sparse` has static networks of many nodes, each with two edges on average, and 200 rows: a horseshoe in the
order of the nodes and with every node given all others, beside wide priors and the graphical lasso.
"""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from scipy.stats import gmean, sem

import bayes_personal as bp
from benchmarks import lassos
from benchmarks.agreement import rmse
from benchmarks.measure import Stopwatch, fresh
from benchmarks.tables import options, publish

# Beyond which a partial correlation is an edge; at most so large an eigenvalue keeps precisions positive definite.
EDGE, LARGEST = 0.05, 0.85
Weights = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
Lasso = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
MEASURES = ("rmse", "coverage", "F1", "elpd")


def smooth(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw waves, (row, edge)."""
    pace, phase = rng.uniform(0.5, 1.0, len(a)), rng.uniform(0, 2 * np.pi, len(a))
    return a * np.cos(1.5 * np.pi * pace * c[:, None] + phase)


def jumps(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw three levels, each of which turns an edge, takes it away or lets it be."""
    return (a * rng.choice([-1.0, 0.0, 1.0], (3, len(a))))[np.searchsorted([-0.35, 0.3], c)]


def linear(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw lines."""
    return a * (0.2 + c[:, None])


def static(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw what does not vary."""
    return np.tile(a, (len(c), 1))


def grouped(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw groups."""
    return (a + 0.2 * rng.normal(size=(c.max() + 1, len(a))))[c]


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a world.

    Attributes
    ----------
    frame, new : rows, and contexts at which networks are compared
    partial : true partial correlations there, (context, pair)
    """

    frame: pd.DataFrame
    new: pd.DataFrame
    partial: np.ndarray


@final
@dataclass(frozen=True)
class World:
    """Networks of one kind, and what is tried on them.

    Attributes
    ----------
    weights : partial correlations at contexts given typical ones, before they are made small enough
    models, lassos : what is tried, by name
    matching : the model that elpd is compared to; None where networks are not compared by it
    nodes, edges, rows : how many
    groups : how many, whose networks vary; none where networks vary along a context
    contexts : how many there are at which networks are compared, where they are not groups
    varies : share of the edges that vary
    """

    weights: Weights
    models: Mapping[str, bp.Network]
    lassos: Mapping[str, Lasso]
    matching: str | None
    nodes: int = 5
    edges: int = 6
    rows: int = 500
    groups: int = 0
    contexts: int = 41
    varies: float = 0.7

    @property
    def context(self) -> str:
        """Name of the context."""
        return "g" if self.groups else "c"

    @property
    def at(self) -> np.ndarray:
        """Contexts at which networks are compared."""
        return np.arange(self.groups) if self.groups else np.linspace(-1, 1, self.contexts)

    def sample(self, seed: int) -> Sample:
        """Draw rows, whose precision is I less their partial correlations."""
        rng = np.random.default_rng(seed)
        later, earlier = np.tril_indices(self.nodes, -1)
        kept = rng.choice(len(later), self.edges, replace=False)
        c = rng.integers(0, self.groups, self.rows) if self.groups else rng.uniform(-1, 1, self.rows)
        everywhere = np.concatenate([c, self.at])
        typical = rng.uniform(0.25, 0.5, self.edges) * rng.choice([-1, 1], self.edges)
        moves = rng.random(self.edges) < self.varies
        r = np.zeros((len(everywhere), self.nodes, self.nodes))
        r[:, later[kept], earlier[kept]] = np.where(moves, self.weights(rng, everywhere, typical), typical)
        r += r.mT
        r *= min(1.0, LARGEST / np.abs(np.linalg.eigvalsh(r)).max())
        root = np.linalg.cholesky(np.eye(self.nodes) - r[: self.rows])
        x = np.linalg.solve(root.mT, rng.normal(size=(self.rows, self.nodes, 1)))[..., 0]
        frame = pd.DataFrame(x, columns=nodes(self.nodes)).assign(**{self.context: c})
        return Sample(frame, pd.DataFrame({self.context: self.at}), lassos.of_pairs(r[self.rows:]))


def nodes(count: int) -> list[str]:
    """Return the nodes' names."""
    return [f"x{j}" for j in range(count)]


def networks(priors: Mapping[str, bp.priors.Prior]) -> dict[str, bp.Network]:
    """Return networks of five nodes under these priors."""
    return {name: bp.Network(f"{' + '.join(nodes(5))} ~ 1", prior) for name, prior in priors.items()}


def many(count: int) -> World:
    """Return static networks of many nodes."""
    formula = f"{' + '.join(nodes(count))} ~ 1"
    return World(static, {"Population": bp.Network(formula), "Sparse": bp.Network(formula, bp.Sparse(on="edges")),
                          "Sparse, given all others": bp.Network(formula, bp.Sparse(on="edges"), parents="others")},
                 {"graphical lasso": lassos.one_graphical_lasso}, None, nodes=count, edges=count, rows=200,
                 contexts=1)


POPULATION = {"Population": bp.Population()}
ALONG = networks(POPULATION | {
    "GaussianProcess": bp.GaussianProcess("c", kernel="squared_exponential", shortest=0.3),
    "LinearVarying": bp.LinearVarying("c")})
KERNELS: dict[str, Lasso] = {
    "kernel graphical lasso": lassos.kernel_graphical_lasso,
    "kernel nodewise lasso, and": partial(lassos.kernel_nodewise_lasso, both=True),
    "kernel nodewise lasso, or": partial(lassos.kernel_nodewise_lasso, both=False)}
WORLDS = {
    "smooth": World(smooth, ALONG, KERNELS, "GaussianProcess"),
    "jumps": World(jumps, ALONG, KERNELS, "GaussianProcess"),
    "linear": World(linear, ALONG, KERNELS, "LinearVarying"),
    "static": World(static, ALONG, KERNELS, "Population"),
    "groups": World(grouped, networks(POPULATION | {"PartialPooling": bp.PartialPooling("g"),
                                                    "Conditional": bp.Conditional("g")}),
                    {"one graphical lasso": lassos.one_graphical_lasso,
                     "graphical lasso a group": lassos.graphical_lasso_a_group},
                    "PartialPooling", rows=900, groups=30, varies=1.0),
}
SPARSE = {f"{count} nodes": many(count) for count in (10, 20, 50)}


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
    result = scored(mean, (low > 0) | (high < 0), sample.partial) | {
        "coverage": float(((low <= sample.partial) & (sample.partial <= high)).mean()), "CPU, s": watch.cpu,
        "complaints": len(posterior.complaints),
        "divergences": sum(each.divergences for each in posterior.diagnostics.values()),
        "R-hat": max((each.r_hat.value for each in posterior.diagnostics.values() if each.r_hat), default=None)}
    if compared:
        with Stopwatch() as watch:
            found = bp.loo(posterior, seed=seed, progress=False)
        result |= {"elpd": found.elpd, "elpd_i": found.elpd_i.to_numpy(), "loo CPU, s": watch.cpu}
    return result


def by_lasso(lasso: Lasso, sample: Sample, context: str) -> dict[str, Any]:
    """Estimate by a lasso."""
    x = sample.frame.filter(regex=r"^x\d").to_numpy()
    with Stopwatch() as watch:
        mean = lasso(x, sample.frame[context].to_numpy(), sample.new[context].to_numpy())
    return scored(mean, np.abs(mean) > 1e-8, sample.partial) | {"CPU, s": watch.cpu}


def data_set(name: str, seed: int) -> list[dict[str, Any]]:
    """Try all methods on one data set of a world."""
    warnings.simplefilter("ignore")
    world = (WORLDS | SPARSE)[name]
    sample, asked = world.sample(seed), {"world": name, "seed": seed}
    fits = [{**asked, "method": each, "lasso": False, **by_package(model, sample, seed, world.matching is not None)}
            for each, model in world.models.items()]
    return fits + [{**asked, "method": each, "lasso": True, **by_lasso(lasso, sample, world.context)}
                   for each, lasso in world.lassos.items()]


def averages(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a world and method: means over data sets with their standard errors."""
    result = []
    for (world, method), rows in pd.DataFrame(found).groupby(["world", "method"], sort=False):
        row: dict[str, Any] = {"world": world, "method": method, "data sets": len(rows)}
        for name in MEASURES:
            values = rows[name].dropna() if name in rows else ()
            row |= {name: float(np.mean(values)) if len(values) else None,
                    f"{name}: se": float(sem(values)) if len(values) > 1 else None}
        row["CPU, s"] = float(rows["CPU, s"].median())
        if not rows["lasso"].any():
            row |= {name: int(rows[name].sum()) for name in ("complaints", "divergences")}
            row["R-hat"] = None if rows["R-hat"].isna().all() else float(rows["R-hat"].max())
            row["loo CPU, s"] = float(rows["loo CPU, s"].median()) if "loo CPU, s" in rows else None
        result.append(row)
    return result


def predictions(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a world and prior: its elpd less that of the matching prior, over all data sets."""
    densities = {(row["world"], row["method"], row["seed"]): row["elpd_i"] for row in found if not row["lasso"]}
    result = []
    for world in dict.fromkeys(row["world"] for row in found):
        matching = WORLDS[world].matching
        for method in WORLDS[world].models:
            gaps = [own - densities[world, matching, seed]
                    for (place, name, seed), own in densities.items() if (place, name) == (world, method)]
            result.append({"world": world, "prior": method, "less that of": matching,
                           "elpd": float(sum(gap.sum() for gap in gaps)),
                           "its se": float(np.sqrt(sum(len(gap) * gap.var(ddof=1) for gap in gaps)))})
    return result


def beside_best(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a world: rmse under the prior that predicts best, and of the best lasso."""
    result = []
    for world, rows in pd.DataFrame(found).groupby("world", sort=False):
        fits, others = rows[~rows["lasso"]], rows[rows["lasso"]]
        chosen = fits.loc[fits["elpd"].astype(float).groupby(fits["seed"]).idxmax()]
        means = others.groupby("method", sort=False)["rmse"].mean()
        ours = float(chosen["rmse"].mean())
        result.append({"world": world, "priors with the largest elpd": ", ".join(dict.fromkeys(chosen["method"])),
                       "rmse": ours, "best lasso": means.idxmin(), "its rmse": float(means.min()),
                       "ratio": ours / float(means.min())})
    ratios = [row["ratio"] for row in result if row["world"] != "static"]
    return [*result, {"world": "all that vary", "ratio": float(gmean(ratios))}] if ratios else result


if __name__ == "__main__":
    given = options(__doc__, ("worlds", "sparse"))
    chosen = given.parts or ("worlds", "sparse")
    with tempfile.TemporaryDirectory() as folder:
        run = partial(fresh, caches=Path(folder))
        found: list[dict[str, Any]] = []
        for name in (["linear", "groups"] if given.small else WORLDS) if "worlds" in chosen else ():
            found += [row for seed in range(given.repetitions) for row in run(data_set, name, seed)]
            # A world takes minutes: what is known is kept.
            publish("networks", __doc__, {"Partial correlations": averages(found), "Predictions": predictions(found),
                                          "Beside the best lasso": beside_best(found)}, given.small)
        found = []
        for name in (list(SPARSE)[:1] if given.small else list(SPARSE)[1:]) if "sparse" in chosen else ():
            found += [row for seed in range(given.repetitions) for row in run(data_set, name, seed)]
            publish("networks_sparse", __doc__, {"Many nodes": averages(found)}, given.small)
