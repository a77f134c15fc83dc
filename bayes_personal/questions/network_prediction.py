"""Prediction of whole rows of a network, node by node, or of some nodes given others."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import must_be_finite, table
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError, did_you_mean, first, warn
from bayes_personal.model.network_model import Network
from bayes_personal.posterior.lazy import ROWS, Lazy, blockwise
from bayes_personal.posterior.network_posterior import NetworkPart, NetworkPosterior, NetworkRows, NetworkTheta
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.posterior.theta import KnownContexts, RowSlice, Theta
from bayes_personal.questions.extrapolation import warn_of_extrapolation
from bayes_personal.questions.network_readings import Readings
from bayes_personal.questions.predicted import KINDS, Kind, Mean, Prediction, with_new_features
from bayes_personal.samplers.proposal import systematic
from bayes_personal.samplers.redrawn import all_draws
from bayes_personal.system.arguments import Seed, one_of, seed_number

# Fewer effective draws than this explain a row's known nodes badly.
LEAST_ESS = 100


def predicted_network(posterior: NetworkPosterior, frame: Any, kind: Kind, nodes: Mapping[str, Any] | None,
                      seed: Seed) -> Prediction:
    """Return the prediction of `predict`, for a network."""
    one_of("predict", KINDS, kind=kind)
    prediction = predicted_in_order(posterior, frame, kind, nodes, np.random.SeedSequence(seed_number("predict", seed)))
    if isinstance(prediction.computed, NetworkMean) and prediction.computed.known:
        warn_of_few_draws(prediction.computed, prediction.index)
    return prediction


def predicted_in_order(posterior: NetworkPosterior, frame: Any, kind: Kind, nodes: Mapping[str, Any] | None,
                       seeds: np.random.SeedSequence) -> Prediction:
    """Return the prediction with one order of the nodes."""
    model = posterior.model
    new = posterior.frame if frame is None else table(frame)
    known = known_nodes(model, kind, nodes, new)
    # Parents are 0 here: a node's linear predictor is then what it has beside their part.
    rows = new.assign(**dict.fromkeys(model.nodes, 0.0))
    outcomes, statuses = zip(*(
        at_rows(each, model.parents_of(node), rows, node_seed, kind) for (node, each), node_seed in zip(
            posterior.nodes.items(), seeds.spawn(len(posterior.nodes)), strict=True)), strict=True)
    where, places = NetworkRows(tuple(outcome.rows for outcome in outcomes)), tuple(posterior.places.values())
    status = {name: labels for each in statuses for name, labels in each.items()}
    if kind == "theta":
        thetas = tuple(Theta(each.sizes, each.rows, each.bound, each.values, each.seeds) for each in outcomes)
        theta = NetworkTheta(posterior.sizes, where, thetas, places)
        return Prediction(kind, theta, new.index, status, tuple(posterior.coefficients))
    made = (NetworkMean if kind == "mean" else NetworkOutcome)(posterior.sizes, where, model, outcomes, places, known,
                                                               seeds)
    return Prediction(kind, made, new.index, status, model.nodes)


def known_nodes(model: Network, kind: Kind, nodes: Mapping[str, Any] | None,
                rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what nodes are known to be in every row, (unit,), and refuse what cannot be predicted from it."""
    if model.pseudo and kind != "theta":
        raise SpecificationError(f"predict(kind={kind!r}): parents='others' states no joint density of the nodes. Take "
                                 "posterior.nodes[...], each given all others, or fit with parents='before'.")
    other = [node for node in model.nodes if not model.family_of(node).normal]
    if other and kind == "mean":
        raise SpecificationError(f"predict(kind='mean'): the node {other[0]!r} is not Normal, so that the mean of what "
                                 "depends on it has no closed form. Average the draws of kind='outcome'.")
    if nodes is not None and (kind == "theta" or not isinstance(nodes, Mapping)):
        raise SpecificationError(f"predict: nodes={nodes!r} must be a mapping from nodes to what they are known to be, "
                                 "and is for kind='mean' or kind='outcome'.")
    known, index = {}, rows.index
    for node, value in (nodes or {}).items():
        if node not in model.nodes:
            raise SpecificationError(f"predict: nodes= names {node!r}, which is no node. "
                                     f"{did_you_mean(str(node), model.nodes)}")
        if np.ndim(value) and np.shape(value) != (len(index),):
            raise InputError(f"predict: nodes={{{node!r}: ...}} has the shape {np.shape(value)}; need a number, or one "
                             f"for each of the {len(index)} rows.")
        if isinstance(value, pd.Series) and not value.index.equals(index):
            raise InputError(f"predict: the index of nodes={{{node!r}: ...}} is not that of the rows, so that they may "
                             "be in another order; align it, or give its values if the order is the same.")
        given = pd.Series(np.broadcast_to(np.asarray(value), len(index)), index, name=node)
        known[node] = model.family_of(node).outcome(given, rows)
        must_be_finite(known[node], index, f"predict: node {node!r}")
    missing = [(node, parent) for node in known for parent in model.parents_of(node) if parent not in known]
    if other and missing:
        node, parent = missing[0]
        raise SpecificationError(f"predict: {node!r} is known and its parent {parent!r} is not, and the node "
                                 f"{other[0]!r} is not Normal: what is known of a node then tells of its parents by no "
                                 "closed form. Give all ancestors of known nodes.")
    return known


def at_rows(posterior: Posterior, parents: Sequence[str], rows: pd.DataFrame, seed: np.random.SeedSequence,
            kind: Kind) -> tuple[Mean, dict[str, np.ndarray]]:
    """Return the outcome of a node at rows in which its parents are 0, and the status of groups."""
    bound = posterior.bound
    x, features = bound.design.at(rows), bound.features_at(rows)
    near = x.copy()
    of_parents = [bound.coefficients.names.index(parent) for parent in parents]
    near[:, of_parents] = bound.design.center[of_parents]
    warn_of_extrapolation(bound, rows, near)
    values = with_new_features(bound, all_draws(bound, posterior.tree), features, np.random.default_rng(seed))
    constants = np.ones(len(rows)) if kind == "theta" else bound.family.constants(rows)
    outcome = Mean(posterior.computed.sizes, KnownContexts(RowSlice(features, x, constants)), bound, values, seed)
    return outcome, {name: labels for piece in features for name, labels in piece.status.items()}


def warn_of_few_draws(made: "Weighted", index: pd.Index) -> None:
    """Warn of rows whose known nodes few draws of the parameters explain."""
    draws, few = np.arange(np.prod(made.sizes)), np.zeros(len(index), bool)
    for places, part in made.rows.parts(np.arange(len(index))):
        for rows in made.pieces(len(part), len(draws)):
            weights = made.weights(draws, places[rows], part[rows])
            few[places[rows]] = 1 / (weights**2).sum(axis=0) < LEAST_ESS
    if few.any():
        warn(f"predict: the known nodes of {few.sum()} of {len(few)} rows ({first(index[few])}) are so unlike what the "
             f"model expects there that fewer than {LEAST_ESS} draws explain them. Fit with more draws, or with rows "
             "like these.", ConvergenceWarning)


class Weighted(Lazy):
    """An array whose draws known nodes weight, row by row."""

    @abstractmethod
    def log_known(self, draws: np.ndarray, places: np.ndarray, part: Any) -> np.ndarray:
        """Return the log density of the known nodes, (draw, unit)."""

    def weights(self, draws: np.ndarray, places: np.ndarray, part: Any) -> np.ndarray:
        """Return the density of each row's known nodes at all draws, which sum to 1, (draw, unit)."""
        logs = self.log_known(draws, places, part)
        weights = np.exp(logs - logs.max(axis=0))
        return weights / weights.sum(axis=0)

    def resampled(self, entries: np.ndarray, draws: np.ndarray, places: np.ndarray, part: Any,
                  seeds: np.random.SeedSequence) -> np.ndarray:
        """Return some of the draws that each row's known nodes choose among all of the entries (draw, unit, ...)."""
        all_draws = np.arange(len(entries))
        weights = self.weights(all_draws, places, part)
        result = np.empty((len(draws), *entries.shape[1:]))
        for row, place in enumerate(places):
            rng = np.random.default_rng(np.random.SeedSequence(seeds.entropy, spawn_key=(0, int(place))))
            chosen = rng.permutation(systematic(weights[:, row], len(all_draws), rng))
            result[:, row] = entries[chosen[draws], row]
        return result


@dataclass(frozen=True, eq=False, repr=False)
class NetworkMean(Weighted):
    """Expected nodes, given those that are known, (chain, draw, unit, node).

    What is known of a row tells of its parameters too: each row's draws are resampled in proportion to the density of
    its known nodes.

    Attributes
    ----------
    model : the network
    nodes : the outcome of every node at the rows, its parents being 0
    places : positions of the network's draws among those of every node, (draw,)
    known : what nodes are known to be, (unit,) each
    seeds : source of the random numbers
    """

    model: Network
    nodes: tuple[Mean, ...]
    places: tuple[np.ndarray, ...]
    known: Mapping[str, np.ndarray]
    seeds: np.random.SeedSequence

    @property
    def inner(self) -> tuple[int, ...]:
        return (len(self.nodes),)

    @property
    def dims(self) -> tuple[str, ...]:
        return (*super().dims, "node")

    @property
    def work(self) -> int:
        return 2 * len(self.nodes) ** 2

    def block(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        if not self.known:
            return self.at_draws(draws, places, part)
        entries = self.at_draws(np.arange(np.prod(self.sizes)), places, part)
        return self.resampled(entries, draws, places, part, self.seeds)

    def at_draws(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        """Return the nodes given those that are known, at draws that these have not weighted, (draw, unit, node)."""
        return self.given(*self.moments(draws, places, part), places)[0]

    def log_known(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        if not self.model.gaussian:
            return self.node_by_node(np.random.default_rng(0), draws, places, part)[1]
        mean, root = self.moments(draws, places, part)
        given = self.places_of_known
        covariance = (root @ root.mT)[..., given, :][..., given]
        gap = np.stack([value[places] for value in self.known.values()], axis=-1) - mean[..., given]
        lower = np.linalg.cholesky(covariance)
        z = np.linalg.solve(lower, gap[..., None])[..., 0]
        return -0.5 * (z**2).sum(axis=-1) - np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=-1)

    @property
    def places_of_known(self) -> np.ndarray:
        """Positions of the known nodes."""
        return np.array([self.model.nodes.index(node) for node in self.known], int)

    def moments(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> tuple[np.ndarray, np.ndarray]:
        """Return means (draw, unit, node) and roots of covariances (draw, unit, node, node) of Normal nodes."""
        read = Readings(self.sizes, self.rows, self.model, self.nodes, self.places, "directed")
        own = np.stack([outcome.eta(chosen[draws], places, rows)[..., 0] for outcome, chosen, rows in
                        zip(self.nodes, self.places, part.nodes, strict=True)], axis=-1)
        whole = np.linalg.inv(np.eye(len(self.nodes)) - read.coefficients(draws, places, part))
        return (whole @ own[..., None])[..., 0], whole * read.errors(draws, places, part)[..., None, :]

    def given(self, mean: np.ndarray, root: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `moments` given the known nodes."""
        if not self.known:
            return mean, root
        given = self.places_of_known
        rest = np.setdiff1d(np.arange(len(self.nodes)), given)
        covariance = root @ root.mT
        slopes = np.linalg.solve(covariance[..., given, :][..., given], covariance[..., given, :][..., rest]).mT
        values = np.stack([value[places] for value in self.known.values()], axis=-1)
        mean[..., rest] += (slopes @ (values - mean[..., given])[..., None])[..., 0]
        mean[..., given] = values
        remaining = covariance[..., rest, :][..., rest] - slopes @ covariance[..., given, :][..., rest]
        root = np.zeros(root.shape)
        root[..., rest[:, None], rest] = np.linalg.cholesky(remaining)
        return mean, root

    def node_by_node(self, rng: np.random.Generator, draws: np.ndarray, places: np.ndarray,
                     part: NetworkPart) -> tuple[np.ndarray, np.ndarray]:
        """Draw the nodes one after the other, parents first, (draw, unit, node); nodes that are known come with all
        their ancestors, and their log density is returned too, (draw, unit)."""
        result, logs = np.empty((len(draws), len(part), len(self.nodes))), np.zeros((len(draws), len(part)))
        for node in self.model.order:
            j = self.model.nodes.index(node)
            outcome, chosen, rows = self.nodes[j], self.places[j][draws], part.nodes[j]
            theta = outcome.theta(chosen, places, rows)
            eta = outcome.bound.eta_of(theta, rows.x)
            for parent in self.model.parents_of(node):
                k = outcome.bound.coefficients.names.index(parent)
                eta[..., 0] += theta[..., k] * result[..., self.model.nodes.index(parent)]
            values = outcome.family_values(outcome.at(chosen), rows)
            likelihood = outcome.bound.family.likelihood(eta, values, rows.constants, np)
            if node in self.known:
                result[..., j] = self.known[node][places]
                logs += likelihood.log_density(self.known[node][places])
            else:
                result[..., j] = likelihood.draw(rng, eta.shape[:-1])
        return result, logs


@final
@dataclass(frozen=True, eq=False, repr=False)
class NetworkOutcome(NetworkMean):
    """New rows, given the nodes that are known, (chain, draw, unit, node)."""

    block_size: ClassVar = ROWS

    def at_draws(self, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        def drawn(rng: np.random.Generator, some: np.ndarray, of_places: np.ndarray, rows: NetworkPart) -> np.ndarray:
            if not self.model.gaussian:
                return self.node_by_node(rng, some, of_places, rows)[0]
            mean, root = self.given(*self.moments(some, of_places, rows), of_places)
            return mean + (root @ rng.standard_normal((*mean.shape, 1)))[..., 0]

        return blockwise(drawn, self, draws, places, part, self.seeds)
