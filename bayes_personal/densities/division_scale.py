"""The scale on which samplers move the hyperparameters and the mean of a model that divides contexts into cells."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from bayes_personal.densities.marginal import HyperparameterDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.divisions.sums import DivisionSums

# Widths from the estimate of all rows beyond which the sampler's distance to the mean of counts grows exponentially.
BEND = 3.0


class DivisionScale(HyperparameterDensity):
    """Hyperparameters and mean of a model whose prior is a division of contexts, as a point.

    Where there are few cells, the mean lies about as far from the estimate of all rows as the cells' scale is large: a
    funnel. The sampler therefore moves on ``(mean - pooled) / width``, where `pooled` is the estimate of all rows and
    `width` about the distance from it that the mean can have (`Conjugate.variance_of_mean`); for counts it moves on a
    sinh of this ratio. Both the ratio and the scale, of which few cells say little, would otherwise end at walls as
    steep as an exponential function of a logarithm, where a step that is right elsewhere diverges; for the same reason
    the scale in natural units is ``log(1 + exp(u))``.
    """

    @cached_property
    def piece(self) -> Any:
        """The piece that the prior consists of."""
        return self.bound.division

    @cached_property
    def divisions(self) -> DivisionSums:
        """The sums over divisions."""
        return self.piece.sums

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        assert self.bound.mean is not None
        return self.bound.mean, *self.bound.parameters

    @property
    @abstractmethod
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """The estimate of the mean from all rows together, and its standard error, (coefficient,)."""

    @property
    @abstractmethod
    def error_parameter(self) -> str | None:
        """The name of the hyperparameter that is the size of errors; None where there is none."""

    def width(self, values: Mapping[str, Any]) -> Any:
        """Return the unit in which the sampler moves the mean, (..., coefficient)."""
        varies = np.eye(len(self.bound.everywhere))[self.piece.positions]
        square = (self.piece.scale(values)[..., None] ** 2 * varies).sum(axis=-2)
        return np.sqrt(self.piece.law.variance_of_mean(square, self.piece.cells(values)[..., None], self.pooled[1]))

    @cached_property
    def scales(self) -> slice:
        """The part of a point (size,) that holds the scales of cells."""
        names = [parameter.name for parameter in self.parameters]
        place = names.index(f"{self.piece.name}_scale")
        start = sum(parameter.size for parameter in self.parameters[:place])
        return slice(start, start + self.parameters[place].size)

    def logarithmic(self, point: Any) -> Any:
        """Return the point with the scales of cells as logarithms of natural units."""
        result = point.copy()
        result[..., self.scales] = np.log(np.log1p(np.exp(point[..., self.scales])))
        return result

    @cached_property
    def may_vanish(self) -> np.ndarray:
        # The scales of cells are softened already, and nothing else is near 0.
        return np.zeros(self.size, bool)

    def values(self, point: Any) -> dict[str, Any]:
        values, mean = super().values(self.logarithmic(point)), self.parameters[0]
        distance = point[..., : mean.size]
        if not self.piece.law.several_coefficients:
            distance = BEND * np.log(distance / BEND + np.sqrt((distance / BEND) ** 2 + 1))
        values[mean.name] = self.pooled[0] + self.width(values) * distance
        return values

    def points(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        mean, result = self.parameters[0], super().points(values)
        distance = (values[mean.name] - self.pooled[0]) / self.width(values)
        result[..., : mean.size] = distance if self.piece.law.several_coefficients else BEND * np.sinh(distance / BEND)
        # log(exp(scale) - 1), of large scales too.
        scale = np.exp(result[..., self.scales])
        result[..., self.scales] = scale + np.log(-np.expm1(-scale))
        return result

    def log_prior(self, point: Any, values: Mapping[str, Any]) -> Any:
        sampler_scale, log_point = point[..., self.scales], self.logarithmic(point)
        mean = self.parameters[0]
        jacobian = np.log(self.width(values)) - np.log(mean.unit)
        if not self.piece.law.several_coefficients:
            jacobian = jacobian - 0.5 * np.log1p((point[..., : mean.size] / BEND) ** 2)
        by_scale = -np.log1p(np.exp(-sampler_scale)) - log_point[..., self.scales]
        return super().log_prior(log_point, values) + jacobian.sum(axis=-1) + by_scale.sum(axis=-1)

    @property
    def target_accept(self) -> float:
        return self.divisions.target_accept

    @cached_property
    def starts(self) -> tuple[np.ndarray, ...]:
        points = []
        for error, cuts in self.divisions.starts:
            values = {self.error_parameter: error, self.piece.frequency: cuts}
            points.append(np.concatenate([np.full(parameter.size, values.get(parameter.name, 0.0))
                                          for parameter in self.parameters]))
        return tuple(points)
