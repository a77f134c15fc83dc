"""Sums over parts of the rows on a Dask cluster, added in an order that does not depend on which task ends first."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bayes_personal.errors import InputError, InputTypeError, shown
from bayes_personal.system.running import one_blas_thread


def total(client: Any, function: Callable[[Iterable[Any]], Any], parts: Sequence[Any]) -> Any:
    """Return the sum of `function(part.batches())` over parts, one task a part, added by pairs of neighbours."""
    must_be_open(client)
    # The function holds the model, so it is sent once.
    shared = client.submit(identity, function, pure=False)
    sums = [client.submit(sum_of_part, shared, part, pure=False) for part in parts]
    while len(sums) > 1:
        pairs = [client.submit(operator.add, *sums[place : place + 2], pure=False)
                 for place in range(0, len(sums) - 1, 2)]
        sums = pairs + sums[2 * len(pairs) :]
    return client.gather(sums[0])


def must_be_open(client: Any) -> None:
    """Refuse an object that is not a client of a cluster, and a client that is closed."""
    if not (hasattr(client, "submit") and hasattr(client, "gather")):
        raise InputTypeError(f"client={shown(client)} must be a dask.distributed.Client.")
    if getattr(client, "status", "running") in ("closing", "closed"):
        raise InputError(f"client={client!r} is closed. Make a new dask.distributed.Client, and fit before it closes.")


def identity(function: Any) -> Any:
    """Return the function unchanged, so that the cluster keeps it for many tasks."""
    return function


def sum_of_part(function: Callable[[Iterable[Any]], Any], part: Any) -> Any:
    """Run one task on one BLAS thread: the tasks already use all cores."""
    with one_blas_thread():
        return function(part.batches())
