"""A hyperparameter bound to data: its distribution in the data's own units, and the scale that samplers move on.

Samplers move in natural units of the parameter: (value - location) / unit on the real line, log(value / unit) on the
positive half-line, log-odds on the unit interval. `program` states the same change of variable to PyMC.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS


class Joint(ABC):
    """How the entries of an array depend on each other.

    Attributes
    ----------
    given : names of the hyperparameters, declared before the array, that its density depends on
    """

    given: tuple[str, ...]

    @abstractmethod
    def log_ratio(self, value: Any, given: tuple[Any, ...], xp: Any) -> Any:
        """Log of the joint density over that of independent entries, at values (..., *shape), (...)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, given: tuple[Any, ...],
             independent: Callable[[int], np.ndarray]) -> np.ndarray:
        """One draw, (*shape), by means of so many draws of independent entries as are asked for, (draw, *shape)."""


@final
@dataclass(frozen=True, eq=False)
class Parameter:
    """One hyperparameter, an array of entries that are independent unless it has a joint density.

    Attributes
    ----------
    name : of the variable
    distribution : name of one of `DISTRIBUTIONS`
    arguments : its parameters in the data's own units
    location, unit : of one natural unit of the parameter; their shape is that of the parameter
    coords : labels along each of its dimensions
    joint : how its entries, which then are real, depend on each other; None where they do not
    diagnosed : whether chains must agree on its entries; not where each may number or sign them as it likes, or where
        other variables say the same in terms that mean something
    """

    name: str
    distribution: str
    arguments: Mapping[str, Any]
    location: np.ndarray
    unit: np.ndarray
    coords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joint: Joint | None = None
    diagnosed: bool = True

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

    def value(self, moved: Any, xp: Any = np) -> Any:
        """The value at a point (..., size) of the sampler's scale, (..., *shape)."""
        moved = moved.reshape((*moved.shape[:-1], *self.shape))
        if self.support == "positive":
            return self.unit * xp.exp(moved)
        if self.support == "unit interval":
            return 1 / (1 + xp.exp(-moved))
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
        # Only densities of hyperparameters alone ask, and nothing with a joint density collapses to one.
        assert self.joint is None
        moved = moved.reshape((*moved.shape[:-1], *self.shape))
        of_value, axes = DISTRIBUTIONS[self.distribution].log_density, tuple(range(-len(self.shape), 0))
        if self.support == "unit interval":
            # In log-odds, for a value near 1 is rounded to 1. A Beta's density at 1/2 has its constant.
            above, below = self.arguments["alpha"], self.arguments["beta"]
            constant = of_value(0.5, **self.arguments) + (above + below - 2) * np.log(2)
            return (constant - above * np.log1p(np.exp(-moved)) - below * np.log1p(np.exp(moved))).sum(axis=axes)
        jacobian = moved if self.support == "positive" else 0 * moved
        return (of_value(value, **self.arguments) + jacobian + np.log(self.unit)).sum(axis=axes)

    def draw(self, rng: np.random.Generator, values: Mapping[str, Any] | None = None) -> np.ndarray:
        """One draw from the prior, (*shape); for a joint density, given the values that it depends on."""
        def independent(*count: int) -> np.ndarray:
            drawn = DISTRIBUTIONS[self.distribution].draw(rng, (*count, *self.shape), **self.arguments)
            return np.asarray(drawn, float)

        if self.joint is None:
            return independent()
        assert values is not None
        return self.joint.draw(rng, tuple(values[name] for name in self.joint.given), independent)


def normals(name: str, coords: Mapping[str, tuple[str, ...]], sd: float = 1.0, *, diagnosed: bool) -> Parameter:
    """An array of independent normals around 0, whose natural unit is their standard deviation."""
    shape = tuple(map(len, coords.values()))
    return Parameter(name, "Normal", {"mu": np.zeros(shape), "sigma": np.full(shape, sd)}, np.zeros(shape),
                     np.full(shape, sd), coords, diagnosed=diagnosed)
