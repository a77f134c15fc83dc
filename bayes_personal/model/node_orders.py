"""Orders of a network's nodes: random ones, the same whenever they are asked for, and parents before children."""

import math
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from random import Random
from typing import Any

from bayes_personal.errors import SpecificationError
from bayes_personal.system.arguments import whole_number

# A network is a value: two that are equal have the same orders, on every machine and in every process.
SEED = 1


def drawn_orders(count: int, nodes: int) -> tuple[tuple[int, ...], ...]:
    """Return distinct random orders of so many nodes, by their positions; `count` is at most the number of all orders.

    The orders of a smaller count are the first of those of a larger one. Python promises that `random` gives the same
    numbers in all its versions, so that the orders of a saved network are those of the network that is read again.
    """
    source, found = Random(SEED), dict[tuple[int, ...], None]()
    while len(found) < count:
        keys = [source.random() for _ in range(nodes)]
        found[tuple(sorted(range(nodes), key=keys.__getitem__))] = None
    return tuple(found)


def must_be_orders(owner: str, orders: Any, nodes: int, parents: Any, before: str) -> None:
    """Refuse a number of orders that so many nodes do not have, and several where parents are not those before."""
    whole_number("Network", 1, orders=orders)
    if orders > 1 and parents != before:
        stated = parents if isinstance(parents, str) else dict(parents)
        raise SpecificationError(f"{owner}: orders={orders} pools orders in which all nodes before a node are its "
                                 f"parents, and parents={stated!r} states others. Take parents={before!r}, or "
                                 "orders=1.")
    possible = math.factorial(nodes)
    if orders > possible:
        raise SpecificationError(f"{owner}: got orders={orders}, and {nodes} nodes have {possible} orders. Take "
                                 f"orders={possible}, which pools all of them.")


def parents_first(owner: str, parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return nodes in an order in which parents come first, and otherwise as they stand."""
    nodes, sorter = list(parents), TopologicalSorter(parents)
    try:
        sorter.prepare()
    except CycleError as error:
        raise SpecificationError(f"{owner}: parents= leads in a circle, {' -> '.join(error.args[1])}, and a row then "
                                 "has no density. Take one of these edges away, or parents='others', whose product is "
                                 "a pseudo-likelihood.") from error
    ready, result = set[str](), list[str]()
    while sorter.is_active():
        ready |= set(sorter.get_ready())
        chosen = min(ready, key=nodes.index)
        ready.remove(chosen)
        result.append(chosen)
        sorter.done(chosen)
    return tuple(result)
