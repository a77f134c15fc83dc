"""Prediction of whole rows of a network that pools orders of its nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from bayes_personal.errors import said_once
from bayes_personal.posterior.lazy import ROWS
from bayes_personal.posterior.network_posterior import NetworkPart
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.questions.network_prediction import NetworkMean, Weighted, predicted_in_order, warn_of_few_draws
from bayes_personal.questions.pooled_orders import Pooled, PooledPart, must_have_no_direction
from bayes_personal.questions.predicted import KINDS, Kind, Prediction
from bayes_personal.system.arguments import Seed, one_of, seed_number


def predicted_pool(posterior: PooledNetworkPosterior, frame: Any, kind: Kind, nodes: Mapping[str, Any] | None,
                   seed: Seed) -> Prediction:
    """Return the prediction of `predict`, for a pool of orders."""
    one_of("predict", KINDS, kind=kind)
    must_have_no_direction("predict", kind)
    seeds = np.random.SeedSequence(seed_number("predict", seed))
    with said_once():
        each = [predicted_in_order(order, frame, kind, nodes, np.random.SeedSequence(int(number)))
                for order, number in zip(posterior.orders, seeds.generate_state(len(posterior.orders)), strict=True)]
    orders = tuple(one.computed for one in each if isinstance(one.computed, NetworkMean))
    made = (PooledMean if kind == "mean" else PooledOutcome).of(posterior, orders, seeds=seeds)
    if nodes:
        warn_of_few_draws(made, each[0].index)
    return Prediction(kind, made, each[0].index, each[0].status, posterior.model.nodes)


@dataclass(frozen=True, eq=False, repr=False)
class PooledMean(Pooled[NetworkMean], Weighted):
    """Expected nodes, given those that are known, (chain, draw, unit, node).

    What is known of a row tells of its order as of its parameters: the draws of all orders are resampled together, in
    proportion to the density of the row's known nodes.

    Attributes
    ----------
    seeds : source of the random numbers
    """

    seeds: np.random.SeedSequence

    def block(self, draws: np.ndarray, places: np.ndarray, part: PooledPart) -> np.ndarray:
        if not self.orders[0].known:
            return super().block(draws, places, part)
        entries = super().block(np.arange(np.prod(self.sizes)), places, part)
        return self.resampled(entries, draws, places, part, self.seeds)

    def of_order(self, order: NetworkMean, draws: np.ndarray, places: np.ndarray, part: NetworkPart) -> np.ndarray:
        return order.at_draws(draws, places, part)

    def log_known(self, draws: np.ndarray, places: np.ndarray, part: PooledPart) -> np.ndarray:
        each = [order.log_known(chosen, places, rows)
                for order, chosen, rows in zip(self.orders, self.places, part.orders, strict=True)]
        return np.concatenate(each)[draws]


@final
@dataclass(frozen=True, eq=False, repr=False)
class PooledOutcome(PooledMean):
    """New rows, given the nodes that are known, (chain, draw, unit, node)."""

    block_size: ClassVar = ROWS
