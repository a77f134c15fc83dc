"""PooledNetworkPosterior: the posteriors of a network in several orders of its nodes, pooled equally."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import pandas as pd

from bayes_personal.model.network_model import Network
from bayes_personal.posterior import storage
from bayes_personal.posterior.diagnostics import Diagnostics
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.system.arguments import file_path


@final
@dataclass(frozen=True, eq=False, repr=False)
class PooledNetworkPosterior:
    """The posteriors of a network in several orders of its nodes, each with the same weight.

    Every order is a model of its own, fitted by itself; the pool is their equal mixture, whatever the data say of the
    orders. Its draws are those of all orders, one order after the other: `bayes_personal.network`, `edges`, `predict`,
    `loo`, `compare` and the plots of networks take them together. What asks of single coefficients, which other orders
    do not have, takes one order, as in ``posterior.orders[0]``.

    Attributes
    ----------
    model : what was assumed
    orders : the posterior of every order, which is that of ``bp.fit(model.ordered(k), data)`` with the same seed
    """

    model: Network
    orders: tuple[NetworkPosterior, ...]

    @cached_property
    def by_order(self) -> dict[str, NetworkPosterior]:
        """The posterior of every order by its nodes, as in "a, c, b"."""
        return {", ".join(order.model.nodes): order for order in self.orders}

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many chains the pool's draws have, and draws in each: the chains of all orders, one after the other.

        Where orders have different numbers of draws, as many of each are taken as the order with the fewest has, and
        each order is one chain.
        """
        sizes = {order.sizes for order in self.orders}
        chains, draws = next(iter(sizes)) if len(sizes) == 1 else (1, min(chains * draws for chains, draws in sizes))
        return len(self.orders) * chains, draws

    @cached_property
    def places(self) -> tuple[np.ndarray, ...]:
        """The positions, among the draws of every order, of those that the pool has, (draw,)."""
        chains, draws = self.sizes
        each = chains * draws // len(self.orders)
        return tuple(np.arange(each) * int(np.prod(order.sizes)) // each for order in self.orders)

    @cached_property
    def nodes_of_orders(self) -> tuple[np.ndarray, ...]:
        """Where the nodes, in the order of the formula, stand in every order, (node,)."""
        return tuple(np.array([order.model.nodes.index(node) for node in self.model.nodes]) for order in self.orders)

    @property
    def index(self) -> pd.Index:
        """The index of the training rows."""
        return self.orders[0].index

    @property
    def frame(self) -> pd.DataFrame:
        """The training rows."""
        return self.orders[0].frame

    @cached_property
    def diagnostics(self) -> Mapping[str, Mapping[str, Diagnostics]]:
        """The diagnostics of the draws of every node in every order."""
        return {name: order.diagnostics for name, order in self.by_order.items()}

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why these draws must not be trusted, order by order; empty when nothing speaks against them."""
        return tuple(f"order {name}: {complaint}" for name, order in self.by_order.items()
                     for complaint in order.complaints)

    @property
    def misfit(self) -> str:
        """The data's evidence against the models of the nodes, in words, of the first order that has any."""
        found = {name: order.misfit for name, order in self.by_order.items() if order.misfit}
        return "; ".join(f"in {len(found)} of {len(self.orders)} orders, as in {name}: {words}"
                         for name, words in list(found.items())[:1])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, data and the draws of all orders to one NetCDF file, as `Posterior.save` does; `load` reads
        it.

        Raises
        ------
        FileError, InputTypeError, SpecificationError
            As in `Posterior.save`.
        """
        file_path("save", path)
        draws = [(posterior.bound, posterior.tree) for order in self.orders for posterior in order.nodes.values()]
        storage.write(self.model, dict(zip(storage.models(self.model), draws, strict=True)), path)

    def __repr__(self) -> str:
        chains, draws = self.sizes
        verdict = "DO NOT TRUST: " + "; ".join(self.complaints) if self.complaints else "diagnostics: no complaint"
        size = (f"{len(self.index)} rows, {len(self.model.nodes)} nodes, {len(self.orders)} orders, {chains} chains of "
                f"{draws} draws")
        return "\n".join((repr(self.model), size, verdict, *([f"MISFIT: {self.misfit}"] if self.misfit else [])))
