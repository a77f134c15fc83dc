"""A hyperparameter bound to data: its distribution in the data's own units, and the scale that samplers move on.

Samplers move in natural units of the parameter: (value - location) / unit on the real line, log(value / unit) on the
positive half-line, log-odds on the unit interval. `program` states the same change of variable to PyMC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.distributions import DISTRIBUTIONS


@final
@dataclass(frozen=True, eq=False)
class Parameter:
    """One hyperparameter, an array of independent entries.

    Attributes
    ----------
    name : of the variable
    distribution : name of one of `DISTRIBUTIONS`
    arguments : its parameters in the data's own units
    location, unit : of one natural unit of the parameter; their shape is that of the parameter
    coords : labels along each of its dimensions
    """

    name: str
    distribution: str
    arguments: Mapping[str, Any]
    location: np.ndarray
    unit: np.ndarray
    coords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return np.shape(self.unit)

    @cached_property
    def size(self) -> int:
        """How many numbers it is."""
        return int(np.prod(self.shape))

    @cached_property
    def support(self) -> str:
        """Where its values lie."""
        return DISTRIBUTIONS[self.distribution].support

    def value(self, moved: Any) -> Any:
        """The value at a point (..., size) of the sampler's scale, (..., *shape)."""
        moved = moved.reshape((*moved.shape[:-1], *self.shape))
        if self.support == "positive":
            return self.unit * np.exp(moved)
        if self.support == "unit interval":
            return 1 / (1 + np.exp(-moved))
        return self.location + self.unit * moved

    def point(self, value: np.ndarray) -> np.ndarray:
        """The sampler's point at a value (..., *shape), (..., size): the inverse of `value`."""
        value = np.asarray(value, float)
        if self.support == "positive":
            moved = np.log(value / self.unit)
        elif self.support == "unit interval":
            moved = np.log(value) - np.log1p(-value)
        else:
            moved = (value - self.location) / self.unit
        return moved.reshape((*value.shape[: value.ndim - len(self.shape)], self.size))

    def log_density(self, value: Any, moved: Any) -> Any:
        """Log density of the sampler's point, Jacobian included, (...)."""
        moved = moved.reshape((*moved.shape[:-1], *self.shape))
        of_value, axes = DISTRIBUTIONS[self.distribution].log_density, tuple(range(-len(self.shape), 0))
        if self.support == "unit interval":
            # In log-odds, for a value near 1 is rounded to 1. A Beta's density at 1/2 has its constant.
            above, below = self.arguments["alpha"], self.arguments["beta"]
            constant = of_value(0.5, **self.arguments) + (above + below - 2) * np.log(2)
            return (constant - above * np.log1p(np.exp(-moved)) - below * np.log1p(np.exp(moved))).sum(axis=axes)
        jacobian = moved if self.support == "positive" else 0 * moved
        return (of_value(value, **self.arguments) + jacobian + np.log(self.unit)).sum(axis=axes)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """One draw from the prior, (*shape)."""
        return np.asarray(DISTRIBUTIONS[self.distribution].draw(rng, self.shape, **self.arguments), float)


def normals(name: str, coords: Mapping[str, tuple[str, ...]], sd: float = 1.0) -> Parameter:
    """An array of independent normals around 0, whose natural unit is their standard deviation."""
    shape = tuple(map(len, coords.values()))
    return Parameter(name, "Normal", {"mu": np.zeros(shape), "sigma": np.full(shape, sd)}, np.zeros(shape),
                     np.full(shape, sd), coords)
