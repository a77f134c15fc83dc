"""log p(y, phi): the model with all but its hyperparameters phi integrated out."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import are_finite

# Most hyperparameters that are sampled by importance by default.
MOST = 25
# Acceptance rate to which NUTS adapts its step size.
ACCEPT = 0.9


class Effort(NamedTuple):
    """The effort that importance sampling spends on a density.

    Attributes
    ----------
    climbs : number of climbs to modes from random points
    proposals : number of draws that are weighted in the end
    fewer : factor by which a round of adaptation has fewer draws
    rounds : most rounds of adaptation
    ridged : whether the density may have curved ridges, which clusters of draws follow; elsewhere these are not worth
        their risk, which is that draws agree with each other and miss a tail that none of them has reached
    """

    climbs: int = 15
    proposals: int = 4096
    fewer: int = 2
    rounds: int = 10
    ridged: bool = False

    @property
    def round(self) -> int:
        """Number of draws of a round of adaptation."""
        return self.proposals // self.fewer

    @property
    def adapting(self) -> int:
        """The most draws that proposals are adapted to."""
        return self.rounds * self.round


class Densities(NamedTuple):
    """Log densities of some rows at draws, (draw, unit).

    Attributes
    ----------
    left_out : log density of each outcome given phi and the outcomes of all other rows
    left_in : log density of a second, equal outcome of each row given phi and the outcomes of all rows; or given
        weights that are drawn given these, whose average over draws is the same
    """

    left_out: np.ndarray
    left_in: np.ndarray


class HyperparameterDensity(ABC):
    """A density of the hyperparameters phi on the sampler's scale."""

    bound: BoundModel

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """The hyperparameters that phi consists of."""

    @property
    def effort(self) -> Effort:
        """The effort that `Laplace` spends on the density."""
        return Effort()

    @property
    def starts(self) -> tuple[np.ndarray, ...]:
        """More points from which a climb may reach another mode, each (size,)."""
        return ()

    @property
    def slow(self) -> bool:
        """Whether NUTS needs more evaluations than importance sampling by more than it is worth."""
        return False

    @property
    def target_accept(self) -> float:
        """Acceptance rate to which NUTS adapts its step size unless its user sets another."""
        return ACCEPT

    @cached_property
    def may_vanish(self) -> np.ndarray:
        """Which entries of phi are logarithms of what may be as small as 0, and is seldom large by its hyperprior,
        (size,)."""
        return np.concatenate([np.full(parameter.size, parameter.may_vanish) for parameter in self.parameters] or [
            np.zeros(0, bool)])

    @final
    def log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log p(y, phi) and its gradient; minus infinity and zeros where either is not finite.

        It never raises: a sampler in compiled code turns an exception into a panic, and loses all draws.
        """
        try:
            value, gradient = self._log_density(point)
        except ArithmeticError:
            return -np.inf, np.zeros(self.size)
        if not are_finite(value, gradient):
            return -np.inf, np.zeros(self.size)
        return value, gradient

    @final
    def value(self, point: np.ndarray) -> float:
        """Return log p(y, phi) without its gradient, minus infinity where it is not finite."""
        try:
            value = self._value(point)
        except ArithmeticError:
            return -np.inf
        return value if isfinite(value) else -np.inf

    @abstractmethod
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log p(y, phi) and its gradient, as far as floating point reaches."""

    @abstractmethod
    def _value(self, point: np.ndarray) -> float:
        """Return log p(y, phi), as far as floating point reaches."""

    @abstractmethod
    def each_value(self, points: np.ndarray) -> np.ndarray:
        """Return log p(y, phi) at many points (draw, size)."""

    @cached_property
    def size(self) -> int:
        """Length of phi as a point."""
        return sum(parameter.size for parameter in self.parameters)

    def values(self, point: Any) -> dict[str, Any]:
        """Return the hyperparameters at points (..., size) of the sampler's scale."""
        result, start = {}, 0
        for parameter in self.parameters:
            result[parameter.name] = parameter.value(point[..., start : start + parameter.size])
            start += parameter.size
        return result

    def points(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the sampler's points at draws of the hyperparameters, (draw, size), the inverse of `values`."""
        if not self.parameters:
            return np.zeros((len(next(iter(values.values()))), 0))
        return np.concatenate([parameter.point(values[parameter.name]) for parameter in self.parameters], axis=-1)

    def log_prior(self, point: Any, values: Mapping[str, Any]) -> Any:
        """Return the log density of the hyperpriors on the sampler's scale, (...)."""
        total, start = np.zeros(point.shape[:-1]), 0
        for parameter in self.parameters:
            total = total + parameter.log_density(values[parameter.name], point[..., start : start + parameter.size])
            start += parameter.size
        return total


class MarginalDensity(HyperparameterDensity):
    """The exact density of the hyperparameters phi, with exact draws and densities of all else given phi."""

    @property
    def leave_one_out_work(self) -> int:
        """Count of numbers that leaving out all rows one by one computes at each draw; 0 where it is small."""
        return 0

    @property
    def few_rows_are_cheap(self) -> bool:
        """Whether leaving out a few rows costs little of what all of them cost."""
        return False

    @abstractmethod
    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw everything that is integrated out, exactly, once for each draw of the hyperparameters."""

    @property
    def leave_one_out_exact(self) -> bool:
        """Whether `leave_one_out` depends on the hyperparameters alone, and on nothing drawn given them."""
        return True

    @abstractmethod
    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        """Return log p(y_i | y_-i, phi) of some of the rows at draws, (draw, unit)."""

    def left_out_and_in(self, values: Mapping[str, np.ndarray], count: int) -> Callable[[Batch], Densities]:
        """Return the function from a batch to its log p(y_i | y_-i, phi) and log p(y_i | y, phi) at these draws."""
        return lambda batch: Densities(self.leave_one_out(values, count, batch),
                                       given_weights(self.bound, values, count, batch))

    @abstractmethod
    def contribution(self, batch: Batch, rows: np.ndarray) -> Any:
        """Return the contribution of some rows of a batch, as `without` takes it; those of two sets of rows add."""

    @abstractmethod
    def without(self, contribution: Any) -> Self:
        """Return the density without the rows of a contribution."""

    def each_value_without(self, points: np.ndarray, contribution: Any) -> np.ndarray:
        """Return `each_value` without the rows of a contribution."""
        return self.without(contribution).each_value(points)

    @abstractmethod
    def log_repeated(self, values: Mapping[str, np.ndarray], points: np.ndarray, log_densities: np.ndarray,
                     contribution: Any) -> np.ndarray:
        """Return log p(y_g | y, phi) of second, equal outcomes of the rows of a contribution, (draw,), from the log
        densities of all rows; or the same given weights drawn given y and phi, whose average over draws is the same."""


def given_weights(bound: BoundModel, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
    """Return log p(y_i | theta_i), or p(y_i | every theta that row i may have), of some of the rows, (draw, unit)."""
    family_values, features = bound.family_values(values), bound.features_at(batch.frame)
    eta = bound.eta_of(bound.theta(values, features, len(batch)), batch.x)
    branches = bound.branches(values, features, batch.x, np)
    densities = bound.log_likelihood(batch.y, eta, family_values, batch.constants, branches)
    return np.broadcast_to(densities, (count, len(batch)))


def log_normal(residual: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the log density of a Normal at a residual, the distance from its mean."""
    return -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))


@dataclass(frozen=True, eq=False)
class MaskedDensity(MarginalDensity):
    """A density that goes through its rows anew where some are left out.

    Attributes
    ----------
    bound : the model with its data
    left_out : mask of the rows that are left out, (unit,); None keeps all rows
    """

    bound: BoundModel
    left_out: np.ndarray | None = None

    @property
    @abstractmethod
    def heavy(self) -> bool:
        """Whether a value takes milliseconds, nearly all of them in compiled code that frees the interpreter."""

    def mapped(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        """Return the results of a function at all arguments, computed in threads where values are heavy."""
        if not self.heavy:
            return list(map(function, arguments))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(function, arguments))

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array(self.mapped(self.value, np.ascontiguousarray(points)))

    def contribution(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self.bound.rows), bool)
        mask[batch.start + rows] = True
        return mask

    def log_repeated(self, values: Mapping[str, np.ndarray], points: np.ndarray, log_densities: np.ndarray,
                     contribution: np.ndarray) -> np.ndarray:
        total = np.zeros(len(points))
        for batch in self.bound.rows.batches():
            rows = np.flatnonzero(contribution[batch.places])
            if len(rows):
                total += given_weights(self.bound, values, len(points), batch.take(rows)).sum(axis=1)
        return total

    def without(self, contribution: np.ndarray) -> Self:
        return type(self)(self.bound, contribution if self.left_out is None else contribution | self.left_out)
