"""Sums over parts of the rows on a Dask cluster, added in an order that does not depend on who is done first."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bayes_personal.errors import InputError, InputTypeError, shown
from bayes_personal.system.running import one_blas_thread


def total(client: Any, of: Callable[[Iterable[Any]], Any], parts: Sequence[Any]) -> Any:
    """The sum of `of(part.batches())` over parts, one task a part, by pairs of neighbours."""
    must_be_open(client)
    # Sent once: it holds the model.
    shared = client.submit(itself, of, pure=False)
    sums = [client.submit(of_part, shared, part, pure=False) for part in parts]
    while len(sums) > 1:
        pairs = [client.submit(operator.add, *sums[place : place + 2], pure=False)
                 for place in range(0, len(sums) - 1, 2)]
        sums = pairs + sums[2 * len(pairs) :]
    return client.gather(sums[0])


def must_be_open(client: Any) -> None:
    """Refuse what is no client of a cluster, and one that is closed."""
    if not (hasattr(client, "submit") and hasattr(client, "gather")):
        raise InputTypeError(f"client={shown(client)} must be a dask.distributed.Client.")
    if getattr(client, "status", "running") in ("closing", "closed"):
        raise InputError(f"client={client!r} is closed. Make a new dask.distributed.Client, and fit before it closes.")


def itself(of: Any) -> Any:
    """What is kept on the cluster for many tasks."""
    return of


def of_part(of: Callable[[Iterable[Any]], Any], part: Any) -> Any:
    """One task: tasks, not BLAS, contend for the cores."""
    with one_blas_thread():
        return of(part.batches())
