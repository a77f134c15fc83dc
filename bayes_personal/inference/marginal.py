"""log p(y, phi): the model with all but its hyperparameters phi integrated out."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from bayes_personal.bound import Bound
from bayes_personal.parameter import Parameter
from bayes_personal.rows import Batch


class Effort(NamedTuple):
    """What importance sampling spends on a density.

    Attributes
    ----------
    climbs : for modes, from random points
    proposals : draws that are weighted in the end
    fewer : how many times fewer there are in a round of adaptation
    """

    climbs: int = 15
    proposals: int = 4096
    fewer: int = 2


class Marginal(ABC):
    """A density of the hyperparameters phi, on the sampler's scale, and what follows given them."""

    bound: Bound

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """What phi consists of."""

    @property
    def effort(self) -> Effort:
        """What `Laplace` spends on it."""
        return Effort()

    @property
    def starts(self) -> tuple[np.ndarray, ...]:
        """More points from which a climb may reach another mode, each (size,)."""
        return ()

    @property
    def slow(self) -> bool:
        """Whether so many evaluations as NUTS takes are minutes."""
        return False

    @property
    def leave_one_out_work(self) -> int:
        """Numbers that leaving out all rows one by one computes at each draw, if these are many."""
        return 0

    @abstractmethod
    def log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(y, phi) and its gradient; minus infinity, and zeros, where it is not finite."""

    @abstractmethod
    def value(self, point: np.ndarray) -> float:
        """log p(y, phi), without its gradient."""

    @abstractmethod
    def each_value(self, points: np.ndarray) -> np.ndarray:
        """The same at many points (draw, size)."""

    @abstractmethod
    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Exact draws of what is integrated out, one a draw of the hyperparameters."""

    @property
    def leave_one_out_exact(self) -> bool:
        """Whether `leave_one_out` depends on the hyperparameters alone, and on nothing drawn given them."""
        return True

    @abstractmethod
    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        """log p(y_i | y_-i, phi) of some of the rows, at draws (draw, unit)."""

    @abstractmethod
    def taken(self, batch: Batch, rows: np.ndarray) -> Any:
        """What `without` must know of some rows of a batch; of two sets of rows these add."""

    @abstractmethod
    def without(self, taken: Any) -> Self:
        """The density without rows."""

    def each_value_without(self, points: np.ndarray, taken: Any) -> np.ndarray:
        """`each_value` without rows."""
        return self.without(taken).each_value(points)

    @cached_property
    def size(self) -> int:
        """How many numbers phi is."""
        return sum(parameter.size for parameter in self.parameters)

    def values(self, point: Any) -> dict[str, Any]:
        """Hyperparameters at points (..., size) of the sampler's scale."""
        result, start = {}, 0
        for parameter in self.parameters:
            result[parameter.name] = parameter.value(point[..., start : start + parameter.size])
            start += parameter.size
        return result

    def points(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """The sampler's points at draws of the hyperparameters, (draw, size): the inverse of `values`."""
        return np.concatenate([each.point(values[each.name]) for each in self.parameters], axis=-1)

    def log_prior(self, point: Any, values: Mapping[str, Any]) -> Any:
        """Log density of the hyperpriors on the sampler's scale, (...)."""
        total, start = np.zeros(point.shape[:-1]), 0
        for parameter in self.parameters:
            total = total + parameter.log_density(values[parameter.name], point[..., start : start + parameter.size])
            start += parameter.size
        return total


@dataclass(frozen=True, eq=False)
class Masked(Marginal):
    """A density that goes through its rows anew where some are left out.

    Attributes
    ----------
    bound : the model with its data
    left_out : which rows are not looked at, (unit,); none where it is not given
    """

    bound: Bound
    left_out: np.ndarray | None = None

    @property
    @abstractmethod
    def heavy(self) -> bool:
        """Whether a value takes milliseconds, nearly all of them in compiled code that needs no interpreter."""

    def each(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        """What a function makes of each argument, in threads where values are heavy."""
        if not self.heavy:
            return list(map(function, arguments))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(function, arguments))

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array(self.each(self.value, np.ascontiguousarray(points)))

    def taken(self, batch: Batch, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(self.bound.rows), bool)
        mask[batch.start + rows] = True
        return mask

    def without(self, taken: np.ndarray) -> Self:
        return type(self)(self.bound, taken if self.left_out is None else taken | self.left_out)
