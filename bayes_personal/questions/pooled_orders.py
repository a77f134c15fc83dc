"""Arrays of a network that pools orders of its nodes: the entries of every order, in the order of the formula."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.lazy import Lazy, Rows
from bayes_personal.posterior.network_posterior import NetworkPart
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior


class PooledPart(NamedTuple):
    """What some rows depend on, order by order."""

    orders: tuple[NetworkPart, ...]

    def __len__(self) -> int:
        return len(self.orders[0])

    def __getitem__(self, rows: Any) -> "PooledPart":
        return PooledPart(tuple(part[rows] for part in self.orders))


@final
@dataclass(frozen=True, eq=False)
class PooledRows:
    """The same rows, as every order sees them."""

    orders: tuple[Rows[NetworkPart], ...]

    def __len__(self) -> int:
        return len(self.orders[0])

    def parts(self, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, PooledPart]]:
        """Yield the rows at the ascending positions `wanted`, some at a time, with their positions."""
        for parts in zip(*(rows.parts(wanted) for rows in self.orders), strict=True):
            yield parts[0][0], PooledPart(tuple(part for _, part in parts))


@dataclass(frozen=True, eq=False, repr=False)
class Pooled[Order: Lazy](Lazy):
    """The draws of all orders, one order after the other, (chain, draw, unit, node, ...).

    Attributes
    ----------
    orders : the array of every order, all of whose dimensions after the unit's are nodes
    places : positions of the pool's draws among those of every order, (draw,)
    nodes : where the nodes, in the order of the formula, stand in every order, (node,)
    """

    orders: tuple[Order, ...]
    places: tuple[np.ndarray, ...]
    nodes: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, posterior: PooledNetworkPosterior, orders: tuple[Order, ...], **further: Any) -> Self:
        """Pool the arrays of a posterior's orders."""
        return cls(posterior.sizes, PooledRows(tuple(order.rows for order in orders)), orders, posterior.places,
                   posterior.nodes_of_orders, **further)

    @property
    def inner(self) -> tuple[int, ...]:
        return self.orders[0].inner

    @property
    def dims(self) -> tuple[str, ...]:
        return self.orders[0].dims

    @property
    def work(self) -> int:
        return max(order.work for order in self.orders)

    def block(self, draws: np.ndarray, places: np.ndarray, part: PooledPart) -> np.ndarray:
        result = np.empty((len(draws), len(part), *self.inner))
        numbers, within = np.divmod(draws, len(self.places[0]))
        for number in np.unique(numbers):
            chosen = numbers == number
            entries = self.of_order(self.orders[number], self.places[number][within[chosen]], places,
                                    part.orders[number])
            for axis in range(2, entries.ndim):
                entries = entries.take(self.nodes[number], axis)
            result[chosen] = entries
        return result

    def of_order(self, order: Order, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        """Compute the entries of one order, whose nodes stand as it has them."""
        return order.block(draws, places, part)


def must_have_no_direction(owner: str, kind: str) -> None:
    """Refuse what differs between orders: directed edges, and theta, which are coefficients of parents."""
    if kind in ("directed", "theta"):
        raise SpecificationError(f"{owner}(kind={kind!r}): the posterior pools orders of the nodes, in which edges "
                                 "have no common direction. Take another kind, or the posterior of one order, as in "
                                 "posterior.orders[0].")
