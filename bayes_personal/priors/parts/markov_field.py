"""Gaussian Markov fields over distinct contexts, joined to their neighbours by weights of one over distance."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts import graph
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import GaussianFunction

# Added to every distance, as a share of the mean distance of neighbours: 1 / D stays finite where D is 0.
FLOOR = 0.01
# The largest weight of a new context's neighbours, which have no floor.
CLOSEST = 1e12
# Distinct contexts up to which a program can hold the dense factor of their covariance.
MOST_DENSE = 1000


def read(contexts: tuple[Context, ...], frame: pd.DataFrame) -> np.ndarray:
    """Return the standardised readings of all contexts, (unit, reading)."""
    # Adding 0.0 removes negative zeros, which equal zero and yet differ from it in their bytes.
    return np.concatenate([context.at(frame) for context in contexts], axis=1) + 0.0


@final
@dataclass(frozen=True, eq=False)
class MarkovField(GaussianFunction):
    """The field over the distinct training contexts, whose values there are Gaussian given its hyperparameters.

    Attributes
    ----------
    points : standardised readings of the contexts, (place, reading)
    turned : matrix that turns readings into coordinates, (reading, coordinate)
    edges : pairs of neighbours, (edge, 2)
    share : share of the training rows at each context, (place,)
    labels : labels of the contexts
    further : standardised readings of further contexts at which draws have values, (place, reading)
    """

    prior: Any
    contexts: tuple[Context, ...]
    points: np.ndarray
    turned: np.ndarray
    edges: np.ndarray
    share: np.ndarray
    labels: tuple[str, ...]
    positions: np.ndarray
    coefficients: Coefficients
    further: np.ndarray | None = None

    @property
    def sparse(self) -> bool:
        return True

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_place": self.labels}

    @cached_property
    def learned(self) -> bool:
        """Whether there is a metric to learn; a single reading has a weight of 1."""
        return self.prior.metric == "learned" and self.points.shape[1] > 1

    @property
    def readings(self) -> dict[str, tuple[str, ...]]:
        """The readings that the metric weighs, as labels of a dimension."""
        return {f"{self.name}_reading": tuple(label for context in self.contexts for label in context.labels)}

    @cached_property
    def squares(self) -> np.ndarray:
        """Squared differences of neighbours, coordinate by coordinate, (edge, coordinate)."""
        coordinates = self.points @ self.turned
        return (coordinates[self.edges[:, 0]] - coordinates[self.edges[:, 1]]) ** 2

    @property
    def neighbours(self) -> float:
        """Mean number of neighbours of a place."""
        return 2 * len(self.edges) / len(self.points)

    def parameters(self) -> tuple[Parameter, ...]:
        result = [self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                  self.prior.anchor.bind(f"{self.name}_anchor")]
        if self.learned:
            # A Dirichlet distribution by stick-breaking: each share is a part of what the earlier ones have left.
            later = self.points.shape[1] - 1 - np.arange(self.points.shape[1] - 1.0)
            labels = tuple(next(iter(self.readings.values()))[:-1])
            result.append(Parameter(f"{self.name}_share", "Beta", {
                "alpha": np.full(len(later), self.prior.concentration), "beta": self.prior.concentration * later},
                np.zeros(len(later)), np.ones(len(later)), {f"{self.name}_shared": labels}))
        if self.prior.power == 1:
            half = Hyperprior("Gamma", alpha=(len(self.positions) + 1) / 2, beta=(len(self.positions) + 1) / 2)
            pairs = tuple(f"{self.labels[i]} | {self.labels[j]}" for i, j in self.edges)
            result.append(half.bind(f"{self.name}_local", 0.0, np.ones(len(pairs)), {f"{self.name}_pair": pairs}))
        return tuple(result)

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        metric = {f"{self.name}_metric": self.readings} if self.learned else {}
        return metric | self.latent | {f"{self.name}_z": self.places | self.varying}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {f"{self.name}_metric": self.metric(values, xp)} if self.learned else {}

    def metric(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Return the weights of the squared differences of coordinates, (..., coordinate)."""
        if not self.learned:
            return np.ones(self.turned.shape[1])
        share = values[f"{self.name}_share"]
        parts, remainder = [], 1.0
        for m in range(self.points.shape[1] - 1):
            parts.append(remainder * share[..., m])
            remainder = remainder * (1 - share[..., m])
        return xp.stack([*parts, remainder], axis=-1)

    def weights(self, metric: Any, xp: Any) -> Any:
        """Return w_ij of every edge before local scales, (..., edge)."""
        distance = xp.sqrt(xp.matmul(metric, self.squares.T))
        mean = distance.mean(axis=-1)[..., None]
        return mean / (self.neighbours * (distance + FLOOR * mean))

    @cached_property
    def joined(self) -> np.ndarray:
        """Number of the edge of each pair, counted from 1; 0 where there is no edge, (place, place)."""
        result = np.zeros((len(self.points), len(self.points)), int)
        for start, end in (self.edges.T, self.edges.T[::-1]):
            result[start, end] = 1 + np.arange(len(self.edges))
        return result

    def precision(self, anchor: Any, weights: Any, xp: Any) -> Any:
        """Return Q as a dense matrix, (..., place, place)."""
        zero = xp.zeros_like(weights[..., :1])
        between = xp.concatenate([zero, weights], axis=-1)[..., self.joined]
        return np.eye(len(self.points)) * (anchor[..., None] + between.sum(axis=-1))[..., None, :] - between

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_deviation": self.places | self.varying, f"{self.name}_step": self.varying}

    def colored(self, values: Mapping[str, Any], z: Any, xp: Any) -> dict[str, Any]:
        """Return `latent`, the field's values and their scale, from whitened draws z (..., place, varying)."""
        root, step = self.root(values, xp)
        return {f"{self.name}_deviation": xp.matmul(root, z) * step[..., None, :], f"{self.name}_step": step}

    def root(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any]:
        """Return R (..., place, place) and step (..., varying) of values ``step[k] R z[:, k]``, ``R R' = Q^-1``."""
        if xp is not np and len(self.points) > MOST_DENSE:
            raise SpecificationError(
                f"{self.prior!r}: sampling the values at {len(self.points):,} distinct contexts takes a dense factor "
                f"of their covariance, and can for {MOST_DENSE:,}. With a Normal hyperprior of the mean and no other "
                "summand the field integrates out, for families but the Normal one with power=2 and where importance "
                "weights can be trusted; or round the contexts to fewer.")
        anchor, plain = values[f"{self.name}_anchor"], self.weights(self.metric(values, xp), xp)
        plain = plain + 0 * anchor[..., None]
        covariance = xp.linalg.inv(self.precision(anchor, plain, xp))
        diagonal = (covariance * np.eye(len(self.points))).sum(axis=-1)
        about_mean = xp.matmul(diagonal, self.share) - xp.matmul(xp.matmul(covariance, self.share), self.share)
        if self.prior.power == 1:
            covariance = xp.linalg.inv(self.precision(anchor, plain / values[f"{self.name}_local"], xp))
        return xp.linalg.cholesky(covariance), values[f"{self.name}_scale"] / xp.sqrt(about_mean)[..., None]

    def at(self, frame: pd.DataFrame) -> Features:
        """Return each row's place and readings; new places are numbered after those of training."""
        readings, numbers = read(self.contexts, frame), dict(self.numbers)
        place = [numbers.setdefault(row.tobytes(), len(numbers)) for row in readings]
        return Features(np.column_stack([np.array(place, float), readings]))

    @cached_property
    def numbers(self) -> dict[bytes, int]:
        """The places of the training contexts and of the further ones, by the bytes of their readings."""
        points = self.points if self.further is None else np.concatenate([self.points, self.further])
        return {row.tobytes(): place for place, row in enumerate(points)}

    def with_places(self, frame: pd.DataFrame) -> "MarkovField":
        matrix = self.at(frame).matrix
        place, first = np.unique(matrix[:, 0].astype(int), return_index=True)
        return replace(self, further=matrix[first[place >= len(self.points)], 1:])

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        return values[f"{self.name}_deviation"][..., features[:, 0].astype(int), :]

    def extended(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        place, first = np.unique(features[:, 0].astype(int), return_index=True)
        new = features[first[place >= len(self.numbers)], 1:]
        result = {name: values[name] for name in self.latent}
        if len(new):
            name = f"{self.name}_deviation"
            result[name] = np.concatenate([result[name], self.elsewhere(values, new, rng)], axis=1)
        return result

    def elsewhere(self, values: Mapping[str, Any], new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the field at new contexts (new, reading), given its values at their nearest training contexts.

        Each new context has the right distribution; several are drawn independently of each other.
        """
        coordinates, new_coordinates = self.points @ self.turned, new @ self.turned
        neighbours = graph.nearest(coordinates, new_coordinates, self.prior.neighbors or len(coordinates))
        squares = (new_coordinates[:, None] - coordinates[neighbours]) ** 2
        deviation, step = (values[name] for name in self.latent)
        metric = np.broadcast_to(self.metric(values, np), (len(step), squares.shape[2]))
        result = np.empty((len(step), len(new), len(self.positions)))
        for draw in range(len(step)):
            mean = np.sqrt(self.squares @ metric[draw]).mean()
            with np.errstate(divide="ignore"):
                joined = mean / (self.neighbours * np.sqrt(squares @ metric[draw]))
            # Where a reading has no weight, different contexts may be at distance 0.
            joined = np.minimum(joined, CLOSEST)
            if self.prior.power == 1:
                half = (len(self.positions) + 1) / 2
                joined = joined / rng.gamma(half, 1 / half, joined.shape)
            precision = values[f"{self.name}_anchor"][draw] + joined.sum(axis=1)
            centre = (joined[:, :, None] * deviation[draw][neighbours]).sum(axis=1) / precision[:, None]
            noise = rng.standard_normal(centre.shape) / np.sqrt(precision)[:, None]
            result[draw] = centre + noise * step[draw]
        return result
