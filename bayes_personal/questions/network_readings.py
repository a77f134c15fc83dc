"""Readings of a network's posterior: matrices of its nodes at any context, and tables of its edges."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, final, get_args

import numpy as np
import pandas as pd
import xarray as xr

from bayes_personal.data.columns import table, unit_labels
from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.model.network_model import Network
from bayes_personal.posterior.lazy import Lazy
from bayes_personal.posterior.network_posterior import NetworkPart, NetworkPosterior, NetworkRows
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.summary import QUANTILES, statistics
from bayes_personal.posterior.theta import KnownContexts, RowSlice, Training
from bayes_personal.questions.extrapolation import warn_of_far_contexts
from bayes_personal.questions.pooled_orders import Pooled, must_have_no_direction
from bayes_personal.questions.predicted import Mean, with_new_features
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.system.arguments import Seed, fraction, one_of, seed_number
from bayes_personal.system.running import verb

Reading = Literal["partial", "correlation", "directed", "precision", "covariance", "interaction"]


@verb
def network(posterior: NetworkPosterior | PooledNetworkPosterior, *, at: Any = None, kind: Reading = "partial",
            seed: Seed = None) -> xr.DataArray:
    """Read every row's network from its coefficients and errors.

    With b the coefficients of the parents, D the variances of the errors and ``T = I - b``:

    - "precision": ``T' D^-1 T``, and "covariance", its inverse;
    - "partial": partial correlations, ``-precision_jl / sqrt(precision_jj precision_ll)``, an undirected (Markov)
      network; 1 on the diagonal. With ``parents="others"`` an edge is the mean of ``b_jl sigma_l / sigma_j`` and
      ``b_lj sigma_j / sigma_l``, the draws of both paired by their ranks: both regressions see the same rows, so that
      independent draws would make intervals too narrow;
    - "correlation": ``covariance_jl / sqrt(covariance_jj covariance_ll)``;
    - "interaction": of nodes that are Bernoulli given all others, an Ising model by its pseudo-likelihood: how much the
      log odds of one node rise where the other is 1, the mean of b_jl and b_lj, paired as above; 0 on the diagonal;
    - "directed": b, ``[..., node, node_other]`` being the coefficient of the other node in the node's regression, in
      units of node / other node. Orders that are pooled have none in common.

    Of a network that pools orders of its nodes the draws of all orders are read, chain after chain: an equal mixture of
    its posteriors in every order.

    Parameters
    ----------
    posterior
        The posterior of a `Network`.
    at
        Rows with the contexts of the prior, whose networks are read; neither nodes nor predictors are needed. By
        default the training rows.
    kind
        Which reading.
    seed
        Seed of what is drawn anew: the parameters of groups that training never saw.

    Returns
    -------
    xarray.DataArray
        (chain, draw, unit, node, node_other), in the order of the formula. Entries are computed when they are asked
        for; the whole array is as large as draws times rows times pairs of nodes.

    Raises
    ------
    NotFittedError
        An argument that is not a network's posterior.
    SpecificationError
        An unknown kind; a node that is not Normal, for any kind but "directed" and "interaction"; a kind that needs a
        joint density with ``parents="others"``; "interaction" of a network that is no Ising model; "directed", where
        orders are pooled.
    InputError, InputTypeError
        A context that is missing or holds what training could not take.

    Warns
    -----
    InputWarning
        Rows with a context outside the training range, or in the middle of a long gap of it.

    References
    ----------
    Pourahmadi (1999), doi:10.1093/biomet/86.3.677.
    """
    readings, index = read(posterior, at, kind, seed, "network")
    chains, draws = readings.sizes
    nodes = list(posterior.model.nodes)
    return readings.array(kind, {"chain": np.arange(chains), "draw": np.arange(draws), "unit": unit_labels(index),
                                 "node": nodes, "node_other": nodes})


@verb
def edges(posterior: NetworkPosterior | PooledNetworkPosterior, *, at: Any = None, kind: Reading = "partial",
          above: float = 0.1, seed: Seed = None) -> pd.DataFrame:
    """Tabulate the edges of every row's network, with their uncertainty.

    Parameters
    ----------
    posterior, at, kind, seed
        As in `network`.
    above
        Size that an edge is asked to have, between 0 and 1 for correlations.

    Returns
    -------
    pandas.DataFrame
        A row a row of `at` and pair of nodes, the index of `at` kept: ``node`` and ``other``, the parent where edges
        are directed and the one written before it otherwise; ``mean``, ``sd``, ``q5``, ``q50`` and ``q95``;
        ``p_positive``, the probability that the edge is positive, NaN for one that the graph does not have; and
        ``p_above``, that its size is above `above`.

    Raises
    ------
    NotFittedError, SpecificationError, InputError, InputTypeError
        As in `network`.
    """
    fraction("edges", above=above)
    readings, index = read(posterior, at, kind, seed, "edges")
    return tabulated(readings, posterior.model, kind, np.arange(len(readings.rows)), index, above)


def tabulated(readings: Lazy, model: Network, kind: Reading, places: np.ndarray, index: pd.Index,
              above: float) -> pd.DataFrame:
    """Tabulate the edges of the rows at ascending places, whose labels are `index`."""
    names = list(model.nodes)
    pairs = [(names.index(node), names.index(parent)) for node in names for parent in model.parents_of(node)
             ] if kind == "directed" else [(later, earlier) for earlier, later in combinations(range(len(names)), 2)]
    nodes, others = np.array(sorted(pairs), int).reshape(-1, 2).T

    def summary(draws: np.ndarray) -> np.ndarray:
        # An edge that is 0 by the graph has no sign; adding 0 turns -0 into 0.
        entries = draws[..., nodes, others] + 0.0
        positive = np.where((entries != 0).any(axis=0), (entries > 0).mean(axis=0), np.nan)
        return np.concatenate([statistics(entries), positive[..., None],
                               (np.abs(entries) > above).mean(axis=0)[..., None]], axis=-1)

    numbers = readings.summarised(places, summary)
    columns = ["mean", "sd", *QUANTILES, "p_positive", "p_above"]
    labels = np.array(names, object)
    result = pd.DataFrame(numbers.reshape(-1, len(columns)), index.repeat(len(nodes)), columns)
    result.insert(0, "other", np.tile(labels[others], len(index)))
    result.insert(0, "node", np.tile(labels[nodes], len(index)))
    return result


def read(posterior: Any, at: Any, kind: Reading, seed: Seed, owner: str) -> tuple[Lazy, pd.Index]:
    """Return the array that reads the networks at some rows, and the index of these."""
    if not isinstance(posterior, NetworkPosterior | PooledNetworkPosterior):
        raise NotFittedError(f"{owner} needs the posterior of a network, which bp.fit(bp.Network(...), data) returns; "
                             f"got {type(posterior).__name__}.")
    one_of(owner, get_args(Reading), kind=kind)
    must_be_readable(posterior.model, kind, owner)
    number, frame = seed_number(owner, seed), None if at is None else table(at)
    index = posterior.index if frame is None else frame.index
    if isinstance(posterior, NetworkPosterior):
        one, result = posterior, read_in_order(posterior, frame, kind, number)
    else:
        must_have_no_direction(owner, kind)
        one = posterior.orders[0]
        result = Pooled.of(posterior, tuple(read_in_order(order, frame, kind, number) for order in posterior.orders))
    if frame is not None:
        warn_of_far_contexts(one.nodes[one.model.order[-1]].bound, frame)
    return result, index


def read_in_order(posterior: NetworkPosterior, frame: pd.DataFrame | None, kind: Reading,
                  seed: int | None) -> "Readings":
    """Return the array that reads the networks, with one order of the nodes, at some rows."""
    seeds = np.random.SeedSequence(seed).spawn(len(posterior.nodes))
    nodes = tuple(at_contexts(node, frame, node_seed)
                  for node, node_seed in zip(posterior.nodes.values(), seeds, strict=True))
    rows = NetworkRows(tuple(node.rows for node in nodes))
    return Readings(posterior.sizes, rows, posterior.model, nodes, tuple(posterior.places.values()), kind)


def must_be_readable(model: Network, kind: Reading, owner: str) -> None:
    """Refuse readings that the network does not have."""
    if kind == "directed":
        return
    if kind == "interaction":
        if model.ising:
            return
        raise SpecificationError(f"{owner}(kind='interaction'): interactions are those of an Ising model, whose nodes "
                                 "have family=bp.Bernoulli(), with the logit link, and parents='others'. Take "
                                 f"kind={model.reading!r}.")
    other = [node for node in model.nodes if not model.family_of(node).normal]
    if other:
        raise SpecificationError(f"{owner}(kind={kind!r}): the node {other[0]!r} has the family "
                                 f"{model.family_of(other[0])!r}, and only networks of Normal nodes have this reading. "
                                 f"Take kind={model.reading!r}{', of posterior.orders[0]' * model.pooled}.")
    if model.pseudo and kind != "partial":
        raise SpecificationError(f"{owner}(kind={kind!r}): parents='others' states no joint density, so that only "
                                 "kind='partial' and kind='directed' can be read. Fit with parents='before'.")


def at_contexts(posterior: Posterior, frame: pd.DataFrame | None, seed: np.random.SeedSequence) -> Mean:
    """Return the node's outcome at contexts alone, all its predictors being 0."""
    bound, values = posterior.bound, all_draws(posterior.bound, posterior.tree)
    sizes = posterior.computed.sizes
    if frame is None:
        # Rows take the same branches as in `theta`.
        return Mean(sizes, Training(bound), bound, values, posterior.computed.seeds, posterior.whole)
    features = bound.features_at(frame)
    values = with_new_features(bound, values, features, np.random.default_rng(seed))
    # Log scales have no predictors but their constants.
    x = np.tile(np.where(bound.design.predictor > 0, 1.0, 0.0), (len(frame), 1))
    return Mean(sizes, KnownContexts(RowSlice(features, x, bound.family.constants(frame))), bound, values, seed)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Readings(Lazy):
    """Matrices of the nodes, (chain, draw, unit, node, node_other).

    Attributes
    ----------
    model : the network
    nodes : the outcome of every node at the rows
    places : positions of the network's draws among those of every node, (draw,)
    kind : which reading
    """

    model: Network
    nodes: tuple[Mean, ...]
    places: tuple[np.ndarray, ...]
    kind: Reading

    @property
    def inner(self) -> tuple[int, ...]:
        return len(self.nodes), len(self.nodes)

    @property
    def dims(self) -> tuple[str, ...]:
        return (*super().dims, "node", "node_other")

    @property
    def work(self) -> int:
        return 2 * len(self.nodes) ** 2

    @cached_property
    def _parents(self) -> list[tuple[list[int], list[int]]]:
        """Of every node, the places of its parents among the nodes, and of their coefficients."""
        result = []
        for node, mean in zip(self.model.nodes, self.nodes, strict=True):
            parents = self.model.parents_of(node)
            result.append(([self.model.nodes.index(parent) for parent in parents],
                           [mean.bound.coefficients.names.index(parent) for parent in parents]))
        return result

    def coefficients(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        """Return b, (draw, unit, node, parent)."""
        b = np.zeros((len(draws), len(part), *self.inner))
        for j, ((parents, entries), mean, chosen, rows) in enumerate(
                zip(self._parents, self.nodes, self.places, part.nodes, strict=True)):
            if parents:
                b[:, :, j, parents] = mean.theta(chosen[draws], places, rows)[..., entries]
        return b

    def errors(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        """Return the standard deviations of the errors of Normal nodes, (draw, unit, node)."""
        result = np.empty((len(draws), len(part), len(self.nodes)))
        for j, (mean, chosen, rows) in enumerate(zip(self.nodes, self.places, part.nodes, strict=True)):
            likelihood = mean.likelihood(mean.at(chosen[draws]), chosen[draws], places, rows)
            result[..., j] = likelihood.arguments["sigma"]
        return result

    def block(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        if self.kind == "directed":
            return self.coefficients(draws, places, part)
        if self.model.pseudo:
            # Ranks are those among all draws.
            all_draws = np.arange(np.prod(self.sizes))
            b = self.coefficients(all_draws, places, part)
            if self.kind == "interaction":
                return averaged(b, 0.0)[draws]
            errors = self.errors(all_draws, places, part)
            return averaged(b * errors[..., None, :] / errors[..., :, None], 1.0)[draws]
        return READINGS[self.kind](self.coefficients(draws, places, part), self.errors(draws, places, part))


def precision(b: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return ``T' D^-1 T`` with T = I - b."""
    rooted = (np.eye(b.shape[-1]) - b) / errors[..., :, None]
    return rooted.mT @ rooted


def covariance(b: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return ``T^-1 D T^-T`` with T = I - b."""
    rooted = np.linalg.inv(np.eye(b.shape[-1]) - b) * errors[..., None, :]
    return rooted @ rooted.mT


def scaled(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix with 1 on its diagonal, ``matrix_jl / sqrt(matrix_jj matrix_ll)``."""
    root = np.sqrt(np.diagonal(matrix, axis1=-2, axis2=-1))
    return matrix / (root[..., :, None] * root[..., None, :])


def correlation(b: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the correlations."""
    return scaled(covariance(b, errors))


def partial(b: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the partial correlations, with 1 on the diagonal."""
    result = -scaled(precision(b, errors))
    places = np.arange(b.shape[-1])
    result[..., places, places] = 1.0
    return result


def averaged(standardised: np.ndarray, diagonal: float) -> np.ndarray:
    """Return the averages of both coefficients of every pair, (draw, unit, node, node_other), paired by rank."""
    result = np.zeros(standardised.shape)
    for earlier, later in combinations(range(standardised.shape[-1]), 2):
        kept, other = standardised[..., later, earlier], np.sort(standardised[..., earlier, later], axis=0)
        ranks = kept.argsort(axis=0).argsort(axis=0)
        result[..., later, earlier] = (kept + np.take_along_axis(other, ranks, axis=0)) / 2
        result[..., earlier, later] = result[..., later, earlier]
    places = np.arange(standardised.shape[-1])
    result[..., places, places] = diagonal
    return result


# The readings of a joint density.
READINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "partial": partial, "correlation": correlation, "precision": precision, "covariance": covariance}
