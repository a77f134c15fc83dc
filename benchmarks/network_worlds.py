"""Simulated worlds of networks with their true partial correlations, and what `networks` tries on each of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import pandas as pd

import bayes_personal as bp
from benchmarks import lassos

# At most so large an eigenvalue keeps precisions positive definite.
LARGEST = 0.85
# Partitions cost the square of the number of distinct contexts, which are rounded to so many for them.
GRID = 100
# How the log odds of types change with the context.
GATES = np.array([-3.0, 0.0, 3.0])
Weights = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
Peer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


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


def types(rng: np.random.Generator, c: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Draw a type for every row, and levels of each type."""
    gate = np.exp(c[:, None] * GATES - 0.3 * np.abs(GATES))
    share = (gate / gate.sum(axis=1, keepdims=True)).cumsum(axis=1)
    levels = rng.uniform(0.25, 0.5, (len(GATES), len(a))) * rng.choice([-1.0, 0.0, 1.0], (len(GATES), len(a)))
    return levels[(rng.random((len(c), 1)) > share[:, :-1]).sum(axis=1)]


@final
@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of a world.

    Attributes
    ----------
    frame : rows
    new : contexts at which networks are compared; None where those are the rows' own
    partial : true partial correlations there, (context, pair)
    """

    frame: pd.DataFrame
    new: pd.DataFrame | None
    partial: np.ndarray

    @property
    def places(self) -> pd.DataFrame:
        """What has the contexts at which networks are compared."""
        return self.frame if self.new is None else self.new


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
    contexts : how many there are at which networks are compared, where they are not groups; 0 compares those of rows
    varies : share of the edges that vary
    data_sets : how many are drawn at most
    trained : on how many of them contextualized-ml is tried
    """

    weights: Weights
    models: Mapping[str, bp.Network]
    lassos: Mapping[str, Peer]
    matching: str | None
    nodes: int = 5
    edges: int = 6
    rows: int = 500
    groups: int = 0
    contexts: int = 41
    varies: float = 0.7
    data_sets: int = 10
    trained: int = 0

    @property
    def context(self) -> str:
        """Name of the context."""
        return "g" if self.groups else "c"

    @property
    def at(self) -> np.ndarray:
        """Contexts at which networks are compared, beside those of rows."""
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
        rounded = {} if self.groups else {"c_rounded": np.round(c * GRID / 2) / (GRID / 2)}
        frame = pd.DataFrame(x, columns=nodes(self.nodes)).assign(**{self.context: c}, **rounded)
        if not len(self.at):
            return Sample(frame, None, lassos.of_pairs(r))
        new = pd.DataFrame(dict.fromkeys([self.context, *rounded], self.at))
        return Sample(frame, new, lassos.of_pairs(r[self.rows:]))


def nodes(count: int) -> list[str]:
    """Return the nodes' names."""
    return [f"x{j}" for j in range(count)]


def networks(priors: Mapping[str, bp.priors.Prior], count: int = 5, orders: int = 1) -> dict[str, bp.Network]:
    """Return networks of so many nodes under these priors."""
    formula = f"{' + '.join(nodes(count))} ~ 1"
    return {name: bp.Network(formula, prior, orders=orders) for name, prior in priors.items()}


def sparse(priors: Mapping[str, bp.priors.Prior]) -> dict[str, bp.priors.Prior]:
    """Return priors, each alone and with sparse levels of the edges."""
    return {**priors, **{f"{name} + Sparse": prior + bp.Sparse(on="edges") for name, prior in priors.items()}}


def many(count: int, data_sets: int) -> World:
    """Return static networks of many nodes."""
    formula = f"{' + '.join(nodes(count))} ~ 1"
    return World(static, {"Population": bp.Network(formula), "Sparse": bp.Network(formula, bp.Sparse(on="edges")),
                          "Sparse, given all others": bp.Network(formula, bp.Sparse(on="edges"), parents="others")},
                 {"graphical lasso": lassos.one_graphical_lasso}, None, nodes=count, edges=count, rows=200,
                 contexts=1, data_sets=data_sets)


POPULATION = {"Population": bp.Population()}
SPARSE_ALONE = {"Sparse": bp.Sparse(on="edges")}
PROCESS = bp.GaussianProcess("c", kernel="squared_exponential", shortest=0.3)
PARTITION = {"Partition": bp.Partition("c_rounded")}
ALONG = POPULATION | sparse({"GaussianProcess": PROCESS, "LinearVarying": bp.LinearVarying("c")})
GROUPED = POPULATION | sparse({"PartialPooling": bp.PartialPooling("g")}) | {"Conditional": bp.Conditional("g")}
TYPED = POPULATION | {"Mixture": bp.Mixture(len(GATES), gate="c"), "GaussianProcess": PROCESS}
KERNELS: dict[str, Peer] = {
    "kernel graphical lasso": lassos.kernel_graphical_lasso,
    "kernel nodewise lasso, and": partial(lassos.kernel_nodewise_lasso, both=True),
    "kernel nodewise lasso, or": partial(lassos.kernel_nodewise_lasso, both=False)}
ONE: dict[str, Peer] = {"one graphical lasso": lassos.one_graphical_lasso}
CLUSTERS: dict[str, Peer] = {
    "graphical lasso a cluster": partial(lassos.graphical_lasso_a_cluster, clusters=len(GATES))}
WORLDS = {
    "smooth": World(smooth, networks(ALONG), KERNELS, "GaussianProcess + Sparse", trained=1),
    "jumps": World(jumps, networks(ALONG | PARTITION), KERNELS, "Partition", trained=1),
    "linear": World(linear, networks(ALONG), KERNELS, "LinearVarying + Sparse", trained=2),
    "static": World(static, networks(SPARSE_ALONE | ALONG), KERNELS, "Sparse", trained=1),
    "groups": World(grouped, networks(GROUPED), ONE | {"graphical lasso a group": lassos.graphical_lasso_a_group},
                    "PartialPooling + Sparse", rows=900, groups=30, varies=1.0),
    "types": World(types, networks(TYPED), ONE | CLUSTERS | KERNELS, "Mixture", rows=600, contexts=0, varies=1.0),
}
SPARSE = {"10 nodes": many(10, 3), "20 nodes": many(20, 3), "50 nodes": many(50, 1)}
FEW = bp.GaussianProcess("c", kernel="squared_exponential", shortest=0.3,
                         scale=bp.Hyperprior("HalfCauchy", beta=0.1, relative=True))
FEW_SPARSE = {"GaussianProcess of few + Sparse": FEW + bp.Sparse(on="edges")}
TEN = {
    "smooth, 10 nodes": World(
        smooth, networks({"GaussianProcess + Sparse": PROCESS + bp.Sparse(on="edges")} | FEW_SPARSE, 10) | {
            f"{name}, 4 orders": each for name, each in networks(FEW_SPARSE, 10, orders=4).items()},
        KERNELS, "GaussianProcess + Sparse", nodes=10, edges=12, rows=1000, data_sets=2),
    "jumps, 10 nodes": World(jumps, networks(PARTITION, 10), KERNELS, "Partition", nodes=10, edges=12, rows=1000,
                             data_sets=2),
}
