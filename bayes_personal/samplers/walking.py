"""What compiled moves share: the rows in natural units, and hyperparameters that move along slices."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.codes import Code, Normal
from bayes_personal.kernels.tape import Tape

# Expected length of a slice before it is known.
WIDTH = 0.5


def plain(array: Any) -> np.ndarray:
    """Return a copy in the one form that functions are compiled for."""
    return np.array(array, float, order="C")


def walkable(bound: BoundModel) -> bool:
    """Say whether rows and mean are such as compiled moves take."""
    return (isinstance(bound.rows, InMemory) and bound.coefficients.linear_predictors == 1
            and (bound.family.gaussian or bound.family.compiled is not None)
            and (bound.mean is None or bound.mean_prior.gaussian))


class Swept(ABC):
    """What a sampler that moves points by sweeps asks of a model."""

    engine: ClassVar[str]

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Any:
        """Return a point of a chain that starts from the prior."""

    @abstractmethod
    def walk(self, state: Any, powers: np.ndarray, adapt: bool, thin: int,
             rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Move a point on by sweeps with the likelihood raised to `powers`; return every `thin`-th on the way."""

    @abstractmethod
    def values(self, points: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        """Return the model's variables at points, as `walk` returns them."""


@dataclass(frozen=True, eq=False)
class Walking(Swept):
    """A model as compiled moves take it."""

    bound: BoundModel

    @property
    @abstractmethod
    def hyper(self) -> list[tuple[int, Parameter]]:
        """The hyperparameters that move along slices, and the number of what each governs."""

    @abstractmethod
    def natural(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the numbers that moves read beside the family's, in natural units."""

    @property
    def code(self) -> Code:
        """The family, as compiled functions name it."""
        code = Normal() if self.bound.family.gaussian else self.bound.family.compiled
        assert code is not None
        return code

    @property
    def unit(self) -> float:
        """The unit of the linear predictor."""
        return self.bound.unit if self.bound.family.gaussian else 1.0

    @cached_property
    def offset(self) -> np.ndarray:
        """The known part of the linear predictor, in the data's units, (unit,)."""
        bound, mean = self.bound, self.bound.mean
        x = bound.coefficients.predictors(bound.x, bound.everywhere)
        shared = 0.0 if mean is None else x[:, bound.shared] @ mean.location
        return x @ bound.fixed_mean + shared

    def outcomes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return outcomes, known constants and the known part of the linear predictor, in natural units, (unit,)."""
        y, known = np.asarray(self.bound.y, float), np.asarray(self.bound.constants, float)
        if not self.bound.family.gaussian:
            return y, known, self.offset
        error = known if self.bound.family.error_parameter else known / self.unit
        return (y - self.offset) / self.unit, error**-2.0, np.zeros(len(y))

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct outcomes, and how many rows have each."""
        return np.unique(np.asarray(self.bound.y, float), return_counts=True)

    def predictors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the predictors of the shared and of the varying coefficients, (coefficient, unit)."""
        coefficients, shared, varying = self.bound.coefficients, self.bound.shared, self.bound.pieces[0].positions
        everywhere = coefficients.predictors(self.bound.x, self.bound.everywhere)[:, shared]
        return ((everywhere * coefficients.unit[shared] / self.unit).T,
                (coefficients.predictors(self.bound.x, varying) * coefficients.unit[varying] / self.unit).T)

    def mean(self) -> tuple[np.ndarray, np.ndarray]:
        """Return prior mean and standard deviation of the shared coefficients, in natural units, (shared,)."""
        mean, none = self.bound.mean, np.zeros(len(self.bound.shared))
        if mean is None:
            return none, none
        return (none + (mean.arguments["mu"] - mean.location) / mean.unit, none + mean.arguments["sigma"] / mean.unit)

    @cached_property
    def kinds(self) -> np.ndarray:
        """What each entry of phi governs, (size,)."""
        return np.array([kind for kind, parameter in self.hyper for _ in range(parameter.size)], np.int64)

    def of_family(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the family's own numbers, in natural units."""
        family = self.bound.family
        if not family.gaussian:
            return list(family.compiled_numbers(values))
        return [values[family.error_parameter] / self.unit if family.error_parameter else 1.0]

    @cached_property
    def own(self) -> int:
        """How many numbers the family has."""
        return len(self.of_family({parameter.name: parameter.unit for parameter in self.bound.family_parameters}))

    def _outputs(self, point: Any) -> list[Any]:
        start, values, prior = 0, dict[str, Any](), 0.0
        for _, parameter in self.hyper:
            part = point[None, start : start + parameter.size]
            values[parameter.name] = parameter.value(part)
            prior = prior + parameter.log_density(values[parameter.name], part)
            start += parameter.size
        return [entry for part in (prior, *self.of_family(values), *self.natural(values))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """Log prior, numbers of the family and all other numbers as functions of phi."""
        return Tape.of(self._outputs, len(self.kinds))

    def common(self, phi: np.ndarray, shared: np.ndarray) -> dict[str, np.ndarray]:
        """Return the hyperparameters and the mean at points."""
        result, start, mean = dict[str, np.ndarray](), 0, self.bound.mean
        for _, parameter in self.hyper:
            result[parameter.name] = parameter.value(phi[:, start : start + parameter.size])
            start += parameter.size
        return result if mean is None else result | {mean.name: mean.location + mean.unit * shared}
