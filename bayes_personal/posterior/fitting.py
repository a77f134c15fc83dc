"""Fitting: a model and data make a posterior, drawn now or read from a file."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from rich.markup import escape
from rich.progress import Progress

from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.errors import InputTypeError, MisfitWarning, SpecificationError, said_once, shown, warn
from bayes_personal.model.model import Model
from bayes_personal.model.network_model import Network
from bayes_personal.posterior import storage
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.base import Prior
from bayes_personal.system.arguments import Seed, file_path, flag, seed_number
from bayes_personal.system.running import verb

if TYPE_CHECKING:
    from bayes_personal.samplers.advi import ADVI
    from bayes_personal.samplers.gibbs import Gibbs
    from bayes_personal.samplers.laplace import Laplace
    from bayes_personal.samplers.nuts import NUTS


@overload
def fit(model: Model, data: Any, *, seed: Seed = ..., method: "NUTS | Laplace | Gibbs | ADVI | str | None" = ...,
        progress: bool = ..., client: Any = ...) -> Posterior: ...
@overload
def fit(model: Network, data: Any, *, seed: Seed = ..., method: "NUTS | Laplace | Gibbs | ADVI | str | None" = ...,
        progress: bool = ..., client: Any = ...) -> Any: ...
@verb
def fit(model: Model | Network, data: Any, *, seed: Seed = None,
        method: "NUTS | Laplace | Gibbs | ADVI | str | None" = None, progress: bool = True,
        client: Any = None) -> Posterior | NetworkPosterior | PooledNetworkPosterior:
    """Draw from the posterior of every sample's own parameters.

    Where weights are integrated out, those of very many groups are not stored: `theta`, `predict` and all else draw
    them again from their exact conditional, always the same ones, for the groups and draws that are asked for.

    Parameters
    ----------
    model
        What is assumed: a `Model`, or a `Network`, each of whose nodes is fitted by itself where they are independent
        given the data; nodes that have one set of cuts, one type a row or one network of contexts in common are drawn
        together, by `NUTS()`. A network that pools orders of its nodes is fitted in each of them, with the same seed.
    data
        Pandas, polars or Arrow frame, a row a unit; or the path of a Parquet file, of a folder of them, of an Arrow
        file, a pattern such as ``"rows/*.parquet"``, or a `pyarrow.dataset.Dataset` of such files, whose rows are read
        a batch at a time. Memory then holds one context column at a time, and does not grow with the number of rows
        otherwise, but for a few numbers a row where the family is not Normal. Rows in files need a family of this
        package, `NUTS()` or `Laplace()`, and a formula none of whose terms needs other rows.
    seed
        Seed of the sampler: a whole number, a `numpy.random.Generator` or a `numpy.random.SeedSequence`.
    method
        How to sample: `NUTS()`, `Laplace()`, `Gibbs()` or `ADVI()`, or their names in lower case, as in
        ``method="laplace"``, for these defaults. If none is given, `NUTS()`; `Gibbs()` where a `Mixture`, `Repulsive`,
        `TotalVariation` or a `Contextualized` without archetypes is all that varies; and `Laplace()` where the family
        is not Normal, the model is linear in Gaussian weights and its hyperparameters are at most 25; under a division
        of contexts whose cells do not integrate out of the family; with a Normal family under a `Partition` of 400
        contexts or more and `DistanceRegularized`, and, up to 25 hyperparameters, under `MetaLearned` and where 100
        weights or more remain beside those of one set of groups, as those of a process over two contexts.
    progress
        Whether to show a progress bar.
    client
        A `dask.distributed.Client`, for rows in files: its workers, which must find the files at the same paths, sum
        over parts of the rows.

    Returns
    -------
    Posterior, NetworkPosterior, PooledNetworkPosterior
        That of a model, of a network, and of a network that pools several orders of its nodes.

    Raises
    ------
    InputError, InputTypeError, SpecificationError
        Before anything compiles: an argument, a column, a row or an assumption that does not fit; draws, or levels of a
        column, that this machine has no memory for.

    Warns
    -----
    MisfitWarning
        Errors that are larger in some groups, or along a context, than in others: see `Posterior.residual_check`.
    """
    posterior = _fitted(model, data, seed, method, progress, client)
    if posterior.misfit:
        warn(posterior.misfit, MisfitWarning)
    return posterior


def _fitted(model: Model | Network, data: Any, seed: Seed, method: "NUTS | Laplace | Gibbs | ADVI | str | None",
            progress: bool, client: Any) -> Posterior | NetworkPosterior | PooledNetworkPosterior:
    """Return the posterior of `fit`, without its warning."""
    from bayes_personal.samplers.route import route

    must_be_model("fit", model, data)
    method, seed = sampler("fit", method), seed_number("fit", seed)
    flag("fit", progress=progress)
    if client is not None and not hasattr(client, "submit"):
        raise InputTypeError(f"fit: client={shown(client)} must be a dask.distributed.Client.")
    if isinstance(model, Model):
        bound = model.bind(data, client=client, progress=progress)
        return Posterior(model, bound, route(bound, method).sample(seed, progress))
    if client is not None:
        raise SpecificationError("fit: client= is for rows in files, and a network reads rows in memory. Leave it out.")
    if model.pooled:
        with said_once():
            return PooledNetworkPosterior(model, tuple(
                _in_one_order(one, data, method, seed, progress) for one in storage.orders(model)))
    return _in_one_order(model, data, method, seed, progress)


def _in_one_order(model: Network, data: Any, method: Any, seed: int | None, progress: bool) -> NetworkPosterior:
    """Return the posterior of a network with one order."""
    from bayes_personal.samplers.route import route
    from bayes_personal.samplers.shared_divisions import sampled_together
    from bayes_personal.samplers.shared_functions import sampled_with_functions

    bounds = model.bind(data)
    *seeds, shared_seed = np.random.SeedSequence(seed).generate_state(len(bounds) + 1)
    divided = {node: bound for node, bound in bounds.items() if bound.division is not None}
    trees = sampled_together(divided, method, int(shared_seed), progress) if divided else {}
    functions = SharedFunctions.of(bounds)
    if functions is not None:
        parents = {node: model.parents_of(node) for node in bounds}
        trees |= sampled_with_functions(functions, parents, method, int(shared_seed), progress)
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("fitting", total=len(bounds) - len(trees))
        for (node, bound), node_seed in zip(bounds.items(), seeds, strict=True):
            if node in trees:
                continue
            bar.update(task, description=f"fitting: {escape(node)}")
            trees[node] = route(bound, method).sample(int(node_seed), progress=False)
            bar.advance(task)
    return NetworkPosterior.of(model, bounds, trees)


def must_be_model(owner: str, model: Any, data: Any) -> None:
    """Refuse an argument that is no model, and say how to make one of it."""
    if isinstance(model, Model | Network):
        return
    if isinstance(data, Model | Network):
        raise InputTypeError(f"{owner}: the model comes first and then the data: bp.{owner}(model, data).")
    if isinstance(model, str):
        remedy = f"A formula becomes a model by bp.Model({model!r}, prior=...)"
    elif isinstance(model, Prior):
        remedy = f"A prior becomes a model with a formula: bp.Model('outcome ~ predictors', prior={model!r})"
    elif isinstance(model, Posterior | NetworkPosterior | PooledNetworkPosterior):
        remedy = "A posterior is fitted already; its model is posterior.model"
    else:
        remedy = "Make one with bp.Model('outcome ~ predictors', prior=...)"
    raise InputTypeError(f"{owner} needs a Model first; got {type(model).__name__}. {remedy}.")


def sampler(owner: str, method: Any) -> Any:
    """Return the sampler: an object, one by its name, or None."""
    from bayes_personal.samplers.advi import ADVI
    from bayes_personal.samplers.gibbs import Gibbs
    from bayes_personal.samplers.laplace import Laplace
    from bayes_personal.samplers.nuts import NUTS

    named = {"nuts": NUTS, "laplace": Laplace, "gibbs": Gibbs, "advi": ADVI}
    if isinstance(method, str) and method in named:
        return named[method]()
    if isinstance(method, type) or method is not None and not hasattr(method, "draws"):
        written = f"{method.__name__}()" if isinstance(method, type) else "NUTS()"
        raise InputTypeError(f"{owner}: method={shown(method)} does not sample. Call the class, as in "
                             f"method=bp.{written}, or name one of {', '.join(map(repr, named))}.")
    return method


def load(path: str | os.PathLike[str], *, functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Read a posterior that `save` wrote: the same draws, and the model bound to its training rows again.

    No file runs code, wherever it comes from. A prior or family of your own must be imported first.

    Parameters
    ----------
    path
        Path of the file.
    functions
        Functions of your own that the model's formula calls, by name, as `Model` took them. Further functions are
        ignored.

    Returns
    -------
    Posterior, NetworkPosterior, PooledNetworkPosterior
        What was saved.

    Raises
    ------
    FileError
        A file that does not exist, is damaged, leads to other files, asks for more memory than it has bytes, or was not
        written by `save`; rows in files that have changed; a model whose class is not imported or whose functions are
        not given.
    VersionError
        A file of a format that this version does not know.

    Warns
    -----
    InputWarning
        A file of format 1, which has no checksum: damage to it may go unnoticed.
    """
    file_path("load", path)
    model, parts = storage.read(path, functions)
    if isinstance(model, Model):
        return Posterior(model, *parts[""])
    each, orders = iter(parts.values()), []
    for one in storage.orders(model):
        nodes = {node: next(each) for node in one.nodes}
        orders.append(NetworkPosterior.of(one, {node: nodes[node][0] for node in one.order},
                                          {node: tree for node, (_, tree) in nodes.items()}))
    return PooledNetworkPosterior(model, tuple(orders)) if model.pooled else orders[0]
