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
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Coefficients, GaussianFunction

# Added to every distance, as a share of the mean distance of neighbours: 1 / D stays finite where D is 0.
FLOOR = 0.01
# The largest weight of a new context's neighbours, which have no floor.
CLOSEST = 1e12
# Distinct contexts up to which a program can hold the dense factor of their covariance.
MOST_DENSE = 1000


def read(contexts: tuple[Context, ...], frame: pd.DataFrame) -> np.ndarray:
    """The standardised readings of all contexts, (unit, reading)."""
    # No negative zeros, which would be equal to zero and yet differ from it.
    return np.concatenate([one.at(frame) for one in contexts], axis=1) + 0.0


@final
@dataclass(frozen=True, eq=False)
class MarkovField(GaussianFunction):
    """The field over the distinct training contexts, whose values there are Gaussian given its hyperparameters.

    Attributes
    ----------
    points : their standardised readings, (place, reading)
    turned : what makes coordinates of readings, (reading, coordinate)
    edges : pairs of neighbours, (edge, 2)
    share : of the training rows that have each context, (place,)
    labels : what the contexts are called
    further : standardised readings of contexts beyond those, at which draws have values too, (place, reading)
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
        """Whether there is a metric to learn: a single reading has a weight of 1."""
        return self.prior.metric == "learned" and self.points.shape[1] > 1

    @property
    def readings(self) -> dict[str, tuple[str, ...]]:
        """What the metric weighs, as labels of a dimension."""
        return {f"{self.name}_reading": tuple(label for one in self.contexts for label in one.labels)}

    @cached_property
    def squares(self) -> np.ndarray:
        """Squared differences of neighbours, coordinate by coordinate, (edge, coordinate)."""
        coordinates = self.points @ self.turned
        return (coordinates[self.edges[:, 0]] - coordinates[self.edges[:, 1]]) ** 2

    @property
    def neighbours(self) -> float:
        """How many neighbours a place has on average."""
        return 2 * len(self.edges) / len(self.points)

    def parameters(self) -> tuple[Parameter, ...]:
        result = [self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                  self.prior.anchor.bind(f"{self.name}_anchor")]
        if self.learned:
            # A Dirichlet distribution, one share of what is left after the other.
            rest = self.points.shape[1] - 1 - np.arange(self.points.shape[1] - 1.0)
            labels = tuple(next(iter(self.readings.values()))[:-1])
            result.append(Parameter(f"{self.name}_share", "Beta", {
                "alpha": np.full(len(rest), self.prior.concentration), "beta": self.prior.concentration * rest},
                np.zeros(len(rest)), np.ones(len(rest)), {f"{self.name}_shared": labels}))
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
        """Weights of the squared differences of coordinates, (..., coordinate)."""
        if not self.learned:
            return np.ones(self.turned.shape[1])
        share = values[f"{self.name}_share"]
        parts, rest = [], 1.0
        for m in range(self.points.shape[1] - 1):
            parts.append(rest * share[..., m])
            rest = rest * (1 - share[..., m])
        return xp.stack([*parts, rest], axis=-1)

    def weights(self, metric: Any, xp: Any) -> Any:
        """w_ij of every edge, local scales apart, (..., edge)."""
        distance = xp.sqrt(xp.matmul(metric, self.squares.T))
        mean = distance.mean(axis=-1)[..., None]
        return mean / (self.neighbours * (distance + FLOOR * mean))

    @cached_property
    def joined(self) -> np.ndarray:
        """Place of each pair's edge among all, counted from 1; 0 where there is none, (place, place)."""
        result = np.zeros((len(self.points), len(self.points)), int)
        for one, other in (self.edges.T, self.edges.T[::-1]):
            result[one, other] = 1 + np.arange(len(self.edges))
        return result

    def precision(self, anchor: Any, weights: Any, xp: Any) -> Any:
        """Q, dense, (..., place, place)."""
        none = xp.zeros_like(weights[..., :1])
        between = xp.concatenate([none, weights], axis=-1)[..., self.joined]
        return np.eye(len(self.points)) * (anchor[..., None] + between.sum(axis=-1))[..., None, :] - between

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_deviation": self.places | self.varying, f"{self.name}_step": self.varying}

    def colored(self, values: Mapping[str, Any], z: Any, xp: Any) -> dict[str, Any]:
        """`latent`, the field's values and their scale, from whitened draws z (..., place, varying)."""
        root, step = self.root(values, xp)
        return {f"{self.name}_deviation": xp.matmul(root, z) * step[..., None, :], f"{self.name}_step": step}

    def root(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any]:
        """R (..., place, place) and step (..., varying) of values ``step[k] R z[:, k]``, ``R R' = Q^-1``."""
        if xp is not np and len(self.points) > MOST_DENSE:
            raise SpecificationError(
                f"{self.prior!r}: sampling the values at {len(self.points):,} distinct contexts takes a dense factor "
                f"of their covariance, and can for {MOST_DENSE:,}. Take a Normal family, with a Normal hyperprior of "
                "the mean and no other summand, under which the field integrates out; or round the contexts to fewer.")
        anchor, plain = values[f"{self.name}_anchor"], self.weights(self.metric(values, xp), xp)
        plain = plain + 0 * anchor[..., None]
        covariance = xp.linalg.inv(self.precision(anchor, plain, xp))
        diagonal = (covariance * np.eye(len(self.points))).sum(axis=-1)
        about_mean = xp.matmul(diagonal, self.share) - xp.matmul(xp.matmul(covariance, self.share), self.share)
        if self.prior.power == 1:
            covariance = xp.linalg.inv(self.precision(anchor, plain / values[f"{self.name}_local"], xp))
        return xp.linalg.cholesky(covariance), values[f"{self.name}_scale"] / xp.sqrt(about_mean)[..., None]

    def at(self, frame: pd.DataFrame) -> Features:
        """Which place each row is at, new ones counted on behind those of training, and its readings."""
        readings, known = read(self.contexts, frame), dict(self.known)
        place = [known.setdefault(row.tobytes(), len(known)) for row in readings]
        return Features(np.column_stack([np.array(place, float), readings]))

    @cached_property
    def known(self) -> dict[bytes, int]:
        """The places of the training contexts, and of those beyond."""
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
        new = features[first[place >= len(self.known)], 1:]
        result = {name: values[name] for name in self.latent}
        if len(new):
            name = f"{self.name}_deviation"
            result[name] = np.concatenate([result[name], self.elsewhere(values, new, rng)], axis=1)
        return result

    def elsewhere(self, values: Mapping[str, Any], new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The field at contexts (new, reading) that training never saw, given that at their nearest training contexts.

        Right for each of them; they are drawn as if they did not know of each other.
        """
        coordinates, moved = self.points @ self.turned, new @ self.turned
        near = graph.nearest(coordinates, moved, self.prior.neighbors or len(coordinates))
        squares = (moved[:, None] - coordinates[near]) ** 2
        deviation, step = (values[name] for name in self.latent)
        metric = np.broadcast_to(self.metric(values, np), (len(step), squares.shape[2]))
        result = np.empty((len(step), len(new), len(self.positions)))
        for draw in range(len(step)):
            mean = np.sqrt(self.squares @ metric[draw]).mean()
            with np.errstate(divide="ignore"):
                joined = mean / (self.neighbours * np.sqrt(squares @ metric[draw]))
            # Where a reading counts for nothing, contexts may be at no distance without being the same.
            joined = np.minimum(joined, CLOSEST)
            if self.prior.power == 1:
                half = (len(self.positions) + 1) / 2
                joined = joined / rng.gamma(half, 1 / half, joined.shape)
            precision = values[f"{self.name}_anchor"][draw] + joined.sum(axis=1)
            centre = (joined[:, :, None] * deviation[draw][near]).sum(axis=1) / precision[:, None]
            noise = rng.standard_normal(centre.shape) / np.sqrt(precision)[:, None]
            result[draw] = centre + noise * step[draw]
        return result
