"""NetworkPosterior: the posteriors of all nodes of a network, and every sample's own network."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self, final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.model.network_model import Network
from bayes_personal.posterior import storage
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.posterior.lazy import Lazy, Rows
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.summary import tabulate
from bayes_personal.posterior.theta import RowSlice, Theta
from bayes_personal.posterior.whole_rows import WholeRows
from bayes_personal.system.arguments import file_path

if TYPE_CHECKING:
    import pymc as pm


@final
@dataclass(frozen=True, eq=False, repr=False)
class NetworkPosterior:
    """The posterior of a network given data.

    Draw s of every node makes draw s of the network: the nodes are independent given the data, or were drawn together.
    Where nodes have different numbers of draws, as many of each are taken, evenly, as the node with the fewest has, as
    one chain.

    Attributes
    ----------
    model : what was assumed
    nodes : the posterior of every node, an ordinary `Posterior`, in the order of the formula
    """

    model: Network
    nodes: Mapping[str, Posterior]

    @classmethod
    def of(cls, model: Network, bounds: Mapping[str, BoundModel], trees: Mapping[str, xr.DataTree]) -> Self:
        """Make the posterior from the draws of all nodes."""
        functions = SharedFunctions.of(bounds)
        whole = None if functions is None else WholeRows.of(functions, trees)
        return cls(model, {node: Posterior(model.node(node), bounds[node], trees[node],
                                           whole if functions and node in functions.bounds else None)
                           for node in model.nodes})

    @cached_property
    def pymc(self) -> "pm.Model":
        """The generative `pm.Model` of whole rows; a node's variables begin with its name, as in ``mek::mu``."""
        from bayes_personal.model.network_program import network_program

        return network_program(self.model, {node: posterior.bound for node, posterior in self.nodes.items()})

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many chains the network's draws have, and draws in each."""
        sizes = [(posterior.tree["posterior"].sizes["chain"], posterior.tree["posterior"].sizes["draw"])
                 for posterior in self.nodes.values()]
        return sizes[0] if len(set(sizes)) == 1 else (1, min(chains * draws for chains, draws in sizes))

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """The positions, among the draws of every node, of those that make the network's draws, (draw,)."""
        count = int(np.prod(self.sizes))
        totals = {node: int(np.prod(posterior.computed.sizes)) for node, posterior in self.nodes.items()}
        return {node: np.arange(count) * total // count for node, total in totals.items()}

    @cached_property
    def shared(self) -> SharedDivisionDensity | None:
        """The density of the nodes that share a division of contexts; None where none do."""
        bounds = tuple(posterior.bound for posterior in self.divided.values())
        return SharedDivisionDensity.of(bounds) if bounds else None

    @property
    def divided(self) -> dict[str, Posterior]:
        """The nodes that share a division of contexts."""
        return {node: posterior for node, posterior in self.nodes.items() if posterior.bound.division is not None}

    @property
    def whole(self) -> WholeRows | None:
        """The training rows and draws of the nodes that have functions of context in common; None where none do."""
        return next((posterior.whole for posterior in self.nodes.values() if posterior.whole is not None), None)

    @property
    def index(self) -> pd.Index:
        """The index of the training rows."""
        return next(iter(self.nodes.values())).bound.rows.index

    @property
    def frame(self) -> pd.DataFrame:
        """The training rows."""
        return next(iter(self.nodes.values())).bound.frame

    @cached_property
    def theta(self) -> xr.DataArray:
        """Every sample's parameters in the data's own units, (chain, draw, unit, coefficient).

        Coefficients are named by node and predictor: "mek ~ raf", "mek ~ Intercept". Entries are computed when they are
        asked for, as in `Posterior.theta`.
        """
        chains, draws = self.sizes
        return self.computed.array("theta", {
            "chain": np.arange(chains), "draw": np.arange(draws), "coefficient": self.coefficients,
            "unit": next(iter(self.nodes.values())).bound.units})

    def theta_frame(self) -> pd.DataFrame:
        """Tabulate the mean, sd and 5, 50, 95 % quantiles of theta, as `Posterior.theta_frame` does."""
        numbers = self.computed.statistics(np.arange(len(self.computed.rows)))
        return tabulate(numbers, self.index, tuple(self.coefficients))

    @property
    def coefficients(self) -> list[str]:
        """Names of all coefficients, node by node."""
        return [f"{node} ~ {name}" for node, posterior in self.nodes.items()
                for name in posterior.bound.coefficients.names]

    @cached_property
    def computed(self) -> "NetworkTheta":
        """The array that computes theta where it is asked for."""
        thetas = tuple(posterior.computed for posterior in self.nodes.values())
        return NetworkTheta(self.sizes, NetworkRows(tuple(theta.rows for theta in thetas)), thetas,
                            tuple(self.places.values()))

    @cached_property
    def diagnostics(self) -> dict[str, Diagnostics]:
        """The diagnostics of every node's draws."""
        return {node: posterior.diagnostics for node, posterior in self.nodes.items()}

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why these draws must not be trusted, node by node; empty when nothing speaks against them."""
        return tuple(f"{node}: {complaint}" for node, posterior in self.nodes.items()
                     for complaint in posterior.complaints)

    @property
    def misfit(self) -> str:
        """The data's evidence against the model of each node, in words; empty where there is none."""
        return "; ".join(f"{node}: {posterior.misfit}" for node, posterior in self.nodes.items() if posterior.misfit)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, data and draws to one NetCDF file, as `Posterior.save` does; `load` reads it.

        Raises
        ------
        FileError, InputTypeError, SpecificationError
            As in `Posterior.save`.
        """
        file_path("save", path)
        parts = {f"node_{place}": (posterior.bound, posterior.tree) for place, posterior in
                 enumerate(self.nodes.values())}
        storage.write(self.model, parts, path)

    def __repr__(self) -> str:
        chains, draws = self.sizes
        verdict = "DO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else "diagnostics: no complaint"
        size = f"{len(self.index)} rows, {len(self.nodes)} nodes, {chains} chains of {draws} draws"
        return "\n".join((repr(self.model), size, verdict, *([f"MISFIT: {self.misfit}"] if self.misfit else [])))


class NetworkPart(NamedTuple):
    """What theta and the outcome of some rows depend on, node by node."""

    nodes: tuple[RowSlice, ...]

    def __len__(self) -> int:
        return len(self.nodes[0])

    def __getitem__(self, rows: Any) -> "NetworkPart":
        return NetworkPart(tuple(part[rows] for part in self.nodes))

    @property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows with distinct features of any node, and which of these each row equals."""
        inverses = np.column_stack([part.distinct[1] for part in self.nodes])
        _, first, inverse = np.unique(inverses, axis=0, return_index=True, return_inverse=True)
        return first, inverse


@final
@dataclass(frozen=True, eq=False)
class NetworkRows:
    """The same rows, as every node sees them."""

    nodes: tuple[Rows[RowSlice], ...]

    def __len__(self) -> int:
        return len(self.nodes[0])

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, NetworkPart]]:
        """Yield the rows at the ascending positions `wanted`, some at a time, with their positions."""
        for parts in zip(*(rows.parts(wanted) for rows in self.nodes), strict=True):
            yield parts[0][0], NetworkPart(tuple(part for _, part in parts))


@final
@dataclass(frozen=True, eq=False, repr=False)
class NetworkTheta(Lazy):
    """theta of all nodes, one after the other, (chain, draw, unit, coefficient).

    Attributes
    ----------
    nodes : theta of every node
    places : positions of the network's draws among those of every node, (draw,)
    """

    nodes: tuple[Theta, ...]
    places: tuple[np.ndarray, ...]

    @property
    def work(self) -> int:
        return sum(node.work for node in self.nodes)

    @property
    def inner(self) -> tuple[int, ...]:
        return (self.work,)

    @property
    def dims(self) -> tuple[str, ...]:
        return (*super().dims, "coefficient")

    def block(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        return np.concatenate([node.block(chosen[draws], places, rows) for node, chosen, rows in
                               zip(self.nodes, self.places, part.nodes, strict=True)], axis=-1)

    def distinct(self, part: NetworkPart) -> tuple[np.ndarray, np.ndarray]:
        # Each row chooses a branch by itself.
        return super().distinct(part) if any(node.bound.choice for node in self.nodes) else part.distinct
