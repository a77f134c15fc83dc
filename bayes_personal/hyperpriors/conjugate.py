"""Distributions, by mean and scale, under which coefficients shared by rows integrate out of a likelihood."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np


class Conjugate(ABC):
    """The distribution of coefficients theta that rows share, around a mean mu and with a scale tau.

    The standard deviation of theta is tau, at least to first order; mu is the link of the mean of the outcome.
    """

    @property
    def several_coefficients(self) -> bool:
        """Whether there can be more coefficients than an intercept."""
        return False

    @property
    def scale_varies(self) -> bool:
        """Whether the last coefficient is the logarithm of a scale of the errors."""
        return False

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        """Return the approximate variance of the mean as estimated from `cells` cells.

        `square` is the squared scale, and `error` the error of the mean from all rows. For counts the variance grows
        only with the logarithm of the scale: where shapes are far below 1, their logarithms move with the mean. Cells
        without an event carry no information, and the squared error is one over the number of events.
        """
        return error**2 + np.log1p(square) * (error**2 + 1 / cells)

    @abstractmethod
    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw theta - mu."""

    @abstractmethod
    def theta(self, draws: np.ndarray) -> np.ndarray:
        """Return theta from draws of the coefficients, of a rate or of a probability."""

    @abstractmethod
    def words(self, scale: str) -> str:
        """Spell the distribution of theta - mu as a line of the story; `scale` is the name of tau."""


@final
@dataclass(frozen=True)
class NormalConjugate(Conjugate):
    """The conjugate of a Normal likelihood: ``theta ~ Normal(mu, tau)``, several coefficients independently."""

    @property
    def several_coefficients(self) -> bool:
        return True

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        return error**2 + square / cells

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return scale * rng.standard_normal(shape)

    def theta(self, draws: np.ndarray) -> np.ndarray:
        return draws

    def words(self, scale: str) -> str:
        return f"Normal(0, {scale}[k])"


@final
@dataclass(frozen=True)
class NormalGammaConjugate(Conjugate):
    """The conjugate of a Normal likelihood whose log standard deviation is the last coefficient.

    ``exp(-2 d) ~ Gamma(1 / (4 tau^2), 1 / (4 tau^2))`` for the deviation d of the log standard deviation, whose scale
    tau is; and given it ``theta_k ~ Normal(mu_k, tau_k exp(d))`` for all other coefficients, independently.
    """

    @property
    def several_coefficients(self) -> bool:
        return True

    @property
    def scale_varies(self) -> bool:
        return True

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        return error**2 + square / cells

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        scale = np.broadcast_to(scale, shape)
        a = 0.25 * scale[..., -1:] ** -2.0
        log_sigma = -0.5 * (log_gamma(a, rng) - np.log(a))
        others = scale[..., :-1] * np.exp(log_sigma) * rng.standard_normal((*shape[:-1], shape[-1] - 1))
        return np.concatenate([others, log_sigma], axis=-1)

    def theta(self, draws: np.ndarray) -> np.ndarray:
        return draws

    def words(self, scale: str) -> str:
        return (f"Normal(0, {scale}[k] exp(d[log_sigma])), exp(-2 d[log_sigma]) ~ Gamma(a, a), "
                f"a = 1 / (2 {scale}[log_sigma])^2")


class ShapeConjugate(Conjugate):
    """A conjugate of counts, for an intercept alone: a distribution with two shapes."""

    @abstractmethod
    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        """Return log a and log b."""


@final
@dataclass(frozen=True)
class GammaConjugate(ShapeConjugate):
    """The conjugate of a Poisson likelihood: ``exp(theta) ~ Gamma(a, b)``, ``a = 1 / tau^2``, ``b = a exp(-mu)``."""

    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        precision = -2 * xp.log(scale)
        return precision, precision - mean

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        log_a, log_b = (np.broadcast_to(log_shape, shape) for log_shape in self.log_shapes(mean, scale, np))
        return log_gamma(np.exp(log_a), rng) - log_b - mean

    def theta(self, draws: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(draws, np.finfo(float).tiny))

    def words(self, scale: str) -> str:
        return f"log Gamma(1 / {scale}^2, 1 / {scale}^2)"


@final
@dataclass(frozen=True)
class BetaConjugate(ShapeConjugate):
    """The conjugate of a Bernoulli or Binomial likelihood.

    ``invlogit(theta) ~ Beta(a, b)``, ``a = (1 + exp(mu)) / tau^2``, ``b = (1 + exp(-mu)) / tau^2``.
    """

    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        precision = -2 * xp.log(scale)
        return precision + xp.log1p(xp.exp(mean)), precision + xp.log1p(xp.exp(-mean))

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        log_a, log_b = (np.broadcast_to(log_shape, shape) for log_shape in self.log_shapes(mean, scale, np))
        return log_gamma(np.exp(log_a), rng) - log_gamma(np.exp(log_b), rng) - mean

    def theta(self, draws: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(draws, np.finfo(float).tiny)) - np.log(np.maximum(1 - draws, np.finfo(float).eps))

    def words(self, scale: str) -> str:
        return f"logit Beta((1 + exp(mu)) / {scale}^2, (1 + exp(-mu)) / {scale}^2) - mu"


def log_gamma(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw logarithms of Gamma(shape, 1), even where the draws themselves would underflow."""
    return np.log(rng.gamma(shape + 1)) + np.log1p(-rng.random(np.shape(shape))) / shape
