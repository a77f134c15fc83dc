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
    """A joint density: how the entries of an array depend on each other.

    Attributes
    ----------
    given : names of the hyperparameters, declared before the array, that its density depends on
    """

    given: tuple[str, ...]

    @abstractmethod
    def log_ratio(self, value: Any, given: tuple[Any, ...], xp: Any) -> Any:
        """Return the log ratio of the joint density to that of independent entries, at values (..., *shape), (...)."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, given: tuple[Any, ...],
             independent: Callable[[int], np.ndarray]) -> np.ndarray:
        """Return one draw, (*shape).

        `independent(count)` returns draws of independent entries, (count, *shape).
        """


@final
@dataclass(frozen=True, eq=False)
class Parameter:
    """One hyperparameter, an array of entries that are independent unless it has a joint density.

    Attributes
    ----------
    name : name of the variable
    distribution : name of one of `DISTRIBUTIONS`
    arguments : parameters of the distribution in the data's own units
    location, unit : origin and size of one natural unit of the parameter; their shape is that of the parameter
    coords : labels along each dimension of the parameter
    joint : joint density of its entries, which then are real; None where they are independent
    diagnosed : whether chains must agree on its entries; False where each chain may number or sign them differently, or
        where other variables hold the same information in a meaningful form
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
        """The shape of the parameter."""
        return np.shape(self.unit)

    @cached_property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape))

    @cached_property
    def support(self) -> str:
        """The set of possible values."""
        return DISTRIBUTIONS[self.distribution].support

    @property
    def may_vanish(self) -> bool:
        """Whether its values are positive, and seldom large."""
        return self.support == "positive" and DISTRIBUTIONS[self.distribution].light_tailed

    def value(self, point: Any, xp: Any = np) -> Any:
        """Return the value at a point (..., size) of the sampler's scale, (..., *shape)."""
        point = point.reshape((*point.shape[:-1], *self.shape))
        if self.support == "positive":
            return self.unit * xp.exp(point)
        if self.support == "unit interval":
            return 1 / (1 + xp.exp(-point))
        return self.location + self.unit * point

    def point(self, value: np.ndarray) -> np.ndarray:
        """Return the point on the sampler's scale of a value (..., *shape), (..., size): the inverse of `value`."""
        value = np.asarray(value, float)
        if self.support == "positive":
            point = np.log(value / self.unit)
        elif self.support == "unit interval":
            point = np.log(value) - np.log1p(-value)
        else:
            point = (value - self.location) / self.unit
        return point.reshape((*value.shape[: value.ndim - len(self.shape)], self.size))

    def log_density(self, value: Any, point: Any) -> Any:
        """Return the log density of a point on the sampler's scale, Jacobian included, (...)."""
        # Only marginal densities of the hyperparameters call this, and models with a joint density have none.
        assert self.joint is None
        point = point.reshape((*point.shape[:-1], *self.shape))
        log_density, axes = DISTRIBUTIONS[self.distribution].log_density, tuple(range(-len(self.shape), 0))
        if self.support == "unit interval":
            # Computed in log-odds, as a value near 1 is rounded to 1. The density of a Beta at 1/2 gives its constant.
            alpha, beta = self.arguments["alpha"], self.arguments["beta"]
            constant = log_density(0.5, **self.arguments) + (alpha + beta - 2) * np.log(2)
            return (constant - alpha * np.log1p(np.exp(-point)) - beta * np.log1p(np.exp(point))).sum(axis=axes)
        jacobian = point if self.support == "positive" else 0 * point
        return (log_density(value, **self.arguments) + jacobian + np.log(self.unit)).sum(axis=axes)

    def draw(self, rng: np.random.Generator, values: Mapping[str, Any] | None = None) -> np.ndarray:
        """Return one draw from the prior, (*shape); for a joint density, given the values that it depends on."""
        def independent(*count: int) -> np.ndarray:
            draws = DISTRIBUTIONS[self.distribution].draw(rng, (*count, *self.shape), **self.arguments)
            return np.asarray(draws, float)

        if self.joint is None:
            return independent()
        assert values is not None
        return self.joint.draw(rng, tuple(values[name] for name in self.joint.given), independent)


def normals(name: str, coords: Mapping[str, tuple[str, ...]], sd: float = 1.0, *, diagnosed: bool) -> Parameter:
    """Return an array of independent normals around 0, whose natural unit is their standard deviation."""
    shape = tuple(map(len, coords.values()))
    return Parameter(name, "Normal", {"mu": np.zeros(shape), "sigma": np.full(shape, sd)}, np.zeros(shape),
                     np.full(shape, sd), coords, diagnosed=diagnosed)
