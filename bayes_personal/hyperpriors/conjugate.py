"""Distributions under which coefficients that rows share integrate out of a likelihood, by mean and scale."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np


class Conjugate(ABC):
    """How the coefficients theta of rows that share them are distributed around a mean mu, with a scale tau.

    The standard deviation of theta is tau, at least to first order; mu is the link of the mean of the outcome.
    """

    @property
    def several(self) -> bool:
        """Whether there can be more coefficients than an intercept."""
        return False

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        """About the variance of the mean that so many cells tell, of the squared scale and the error of all rows.

        Of counts it grows with the logarithm of the scale only: where shapes are far below 1, their logarithms move
        with the mean. Cells that have no event tell nothing, and the squared error is one over the number of events.
        """
        return error**2 + np.log1p(square) * (error**2 + 1 / cells)

    @abstractmethod
    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draws of theta - mu."""

    @abstractmethod
    def theta(self, drawn: np.ndarray) -> np.ndarray:
        """theta of what is drawn: of coefficients themselves, of a rate or of a probability."""

    @abstractmethod
    def words(self, scale: str) -> str:
        """What cells have of their own, as a line of the story; `scale` is what tau is called."""


@final
@dataclass(frozen=True)
class NormalConjugate(Conjugate):
    """Of a Normal likelihood: ``theta ~ Normal(mu, tau)``, several coefficients independently."""

    @property
    def several(self) -> bool:
        return True

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        return error**2 + square / cells

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return scale * rng.standard_normal(shape)

    def theta(self, drawn: np.ndarray) -> np.ndarray:
        return drawn

    def words(self, scale: str) -> str:
        return f"Normal(0, {scale}[k])"


class ShapeConjugate(Conjugate):
    """Of counts with an intercept alone: a distribution of two shapes."""

    @abstractmethod
    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        """log a and log b."""


@final
@dataclass(frozen=True)
class GammaConjugate(ShapeConjugate):
    """Of a Poisson likelihood: ``exp(theta) ~ Gamma(a, b)``, ``a = 1 / tau^2``, ``b = a exp(-mu)``."""

    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        precision = -2 * xp.log(scale)
        return precision, precision - mean

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        log_a, log_b = (np.broadcast_to(each, shape) for each in self.log_shapes(mean, scale, np))
        return log_gamma(np.exp(log_a), rng) - log_b - mean

    def theta(self, drawn: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(drawn, np.finfo(float).tiny))

    def words(self, scale: str) -> str:
        return f"log Gamma(1 / {scale}^2, 1 / {scale}^2)"


@final
@dataclass(frozen=True)
class BetaConjugate(ShapeConjugate):
    """Of a Bernoulli or Binomial likelihood: ``invlogit(theta) ~ Beta(a, b)``, ``a = (1 + exp(mu)) / tau^2``,
    ``b = (1 + exp(-mu)) / tau^2``."""

    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        precision = -2 * xp.log(scale)
        return precision + xp.log1p(xp.exp(mean)), precision + xp.log1p(xp.exp(-mean))

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        log_a, log_b = (np.broadcast_to(each, shape) for each in self.log_shapes(mean, scale, np))
        return log_gamma(np.exp(log_a), rng) - log_gamma(np.exp(log_b), rng) - mean

    def theta(self, drawn: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(drawn, np.finfo(float).tiny)) - np.log(np.maximum(1 - drawn, np.finfo(float).eps))

    def words(self, scale: str) -> str:
        return f"logit Beta((1 + exp(mu)) / {scale}^2, (1 + exp(-mu)) / {scale}^2) - mu"


def log_gamma(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logarithms of Gamma(shape, 1), also where these are too small to be numbers."""
    return np.log(rng.gamma(shape + 1)) + np.log1p(-rng.random(np.shape(shape))) / shape
