"""Random orders of a network's nodes, the same ones whenever they are asked for."""

from random import Random

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
