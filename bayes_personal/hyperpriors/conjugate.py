"""Distributions under which coefficients that rows share integrate out of a likelihood, by mean and scale."""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np


@final
@dataclass(frozen=True)
class Conjugate:
    """How the coefficients theta of rows that share them are distributed around a mean mu, with a scale tau.

    - "normal": ``theta ~ Normal(mu, tau)``, several coefficients independently.
    - "gamma": ``exp(theta) ~ Gamma(a, b)``, ``a = 1 / tau^2``, ``b = a exp(-mu)``, of an intercept alone.
    - "beta": ``invlogit(theta) ~ Beta(a, b)``, ``a = (1 + exp(mu)) / tau^2``, ``b = (1 + exp(-mu)) / tau^2``, of an
      intercept alone.

    The standard deviation of theta is tau to first order in all of them; mu is the link of the mean of the outcome.
    """

    kind: Literal["normal", "gamma", "beta"]

    @property
    def several(self) -> bool:
        """Whether there can be more coefficients than an intercept."""
        return self.kind == "normal"

    def variance_of_mean(self, square: Any, cells: Any, error: Any) -> Any:
        """About the variance of the mean that so many cells tell, of the squared scale and the error of all rows.

        Of counts it grows with the logarithm of the scale only: where shapes are far below 1, their logarithms move
        with the mean. Cells that have no event tell nothing, and the squared error is one over the number of events.
        """
        if self.kind == "normal":
            return error**2 + square / cells
        return error**2 + np.log1p(square) * (error**2 + 1 / cells)

    def log_shapes(self, mean: Any, scale: Any, xp: Any) -> tuple[Any, Any]:
        """log a and log b, of a Gamma or a Beta."""
        precision = -2 * xp.log(scale)
        if self.kind == "gamma":
            return precision, precision - mean
        return precision + xp.log1p(xp.exp(mean)), precision + xp.log1p(xp.exp(-mean))

    def deviations(self, mean: Any, scale: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draws of theta - mu."""
        if self.kind == "normal":
            return scale * rng.standard_normal(shape)
        log_a, log_b = (np.broadcast_to(each, shape) for each in self.log_shapes(mean, scale, np))
        if self.kind == "gamma":
            return log_gamma(np.exp(log_a), rng) - log_b - mean
        return log_gamma(np.exp(log_a), rng) - log_gamma(np.exp(log_b), rng) - mean

    def theta(self, drawn: np.ndarray) -> np.ndarray:
        """theta of what is drawn: of coefficients themselves, of a rate or of a probability."""
        if self.kind == "normal":
            return drawn
        kept = np.maximum(drawn, np.finfo(float).tiny)
        if self.kind == "gamma":
            return np.log(kept)
        return np.log(kept) - np.log(np.maximum(1 - drawn, np.finfo(float).eps))

    def words(self, scale: str) -> str:
        """What cells have of their own, as a line of the story; `scale` is what tau is called."""
        if self.kind == "normal":
            return f"Normal(0, {scale}[k])"
        if self.kind == "gamma":
            return f"log Gamma(1 / {scale}^2, 1 / {scale}^2)"
        return f"logit Beta((1 + exp(mu)) / {scale}^2, (1 + exp(-mu)) / {scale}^2) - mu"


def log_gamma(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logarithms of Gamma(shape, 1), also where these are too small to be numbers."""
    return np.log(rng.gamma(shape + 1)) + np.log1p(-rng.random(np.shape(shape))) / shape
