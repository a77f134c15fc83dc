"""Divisions of contexts and the coefficients of their cells, summed out exactly given the hyperparameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.data.rows import Batch
from bayes_personal.densities.divisions.cells import Cells, cells_of
from bayes_personal.densities.divisions.divisions import DivisionSums
from bayes_personal.densities.divisions.segments import SegmentSums
from bayes_personal.densities.marginal import Effort, MaskedDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back

# Scale of coefficients that do not vary, in natural units: negligible beside the data, and yet a possible divisor.
CONSTANT = 1e-9
# Widths from the estimate of all rows beyond which the sampler's distance to the mean of counts grows exponentially.
BEND = 3.0


@final
@dataclass(frozen=True, eq=False)
class DivisionDensity(MaskedDensity):
    """A model whose prior is a division of contexts, as a function of its hyperparameters and its mean.

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
    def cells(self) -> Cells:
        """The sums over the rows of cells."""
        return cells_of(self.piece.law)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        assert self.bound.mean is not None
        return self.bound.mean, *self.bound.parameters

    @cached_property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """The estimate of the mean from all rows together, and its standard error, (coefficient,)."""
        bound, unit = self.bound, self.bound.coefficients.unit
        x = bound.coefficients.predictors(bound.x, bound.everywhere) * unit
        estimate, error = self.cells.pooled(x, bound.y, bound.constants, bound.family.error_parameter is not None)
        return estimate * unit, error * unit

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
    def slow(self) -> bool:
        return self.divisions.slow

    @property
    def heavy(self) -> bool:
        return self.slow

    @property
    def effort(self) -> Effort:
        return Effort(climbs=0, proposals=1024, fewer=8) if self.slow else Effort()

    @cached_property
    def starts(self) -> tuple[np.ndarray, ...]:
        points = []
        for error, cuts in self.divisions.starts:
            values = {self.bound.family.error_parameter: error, self.piece.frequency: cuts}
            points.append(np.concatenate([np.full(parameter.size, values.get(parameter.name, 0.0))
                                          for parameter in self.parameters]))
        return tuple(points)

    @cached_property
    def data(self) -> Any:
        """Sums over the rows of each cell."""
        bound, kept = self.bound, slice(None) if self.left_out is None else ~self.left_out
        x = bound.coefficients.predictors(bound.x[kept], bound.everywhere)
        cell = self.divisions.cell(bound.features[0].matrix)[kept]
        return self.cells.data(x, bound.y[kept], bound.constants[kept], cell, self.divisions.cells)

    def natural(self, values: Mapping[str, Any], xp: Any) -> list[Any]:
        """Return the arguments of the sums at hyperparameters, each (...): those of the cells, that of divisions."""
        scale, mean = self.piece.scale(values), values[self.parameters[0].name]
        frequency, sigma = self.piece.cut(values, xp), self.bound.family.error_parameter
        places = {k: place for place, k in enumerate(self.piece.positions)}
        constant = np.log(CONSTANT * self.bound.coefficients.unit)
        log_scale = [xp.log(scale[..., places[k]]) if k in places else constant[k] + 0 * mean[..., k]
                     for k in self.bound.everywhere]
        log_error = 0 * frequency if sigma is None else xp.log(values[sigma])
        return [*self.cells.arguments(mean, log_scale, scale, log_error, xp), frequency]

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        return [entry for part in (self.log_prior(stepped, values), *self.natural(values, Symbolic()))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior and the arguments of the sums as functions of a point."""
        return Tape.of(self._outputs, self.size)

    def segments(self, natural: np.ndarray) -> SegmentSums:
        """Return the data and hyperparameters at one point of the arguments."""
        return self.cells.segments(self.data, natural[:-1])

    def within_reach(self, natural: np.ndarray) -> SegmentSums | None:
        """Return `segments`, or None where they are beyond the reach of floating point."""
        if not np.isfinite(natural).all():
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            segments = self.segments(natural)
            return segments if segments.within_reach else None

    def log_evidence(self, natural: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log p(y | arguments) and its gradient."""
        segments = self.within_reach(natural)
        if segments is None:
            return -np.inf, np.zeros(len(natural))
        return self.divisions.log_evidence_and_gradient(segments, float(natural[-1]))

    @np.errstate(all="ignore")
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, *natural = outputs(point, *self.tape.arrays)
        value, slopes = self.log_evidence(np.array(natural))
        return prior + value, pulled_back(point, *self.tape.arrays, np.append(1.0, slopes))

    @np.errstate(all="ignore")
    def _value(self, point: np.ndarray) -> float:
        prior, *natural = outputs(point, *self.tape.arrays)
        segments = self.within_reach(np.array(natural))
        return -np.inf if segments is None else prior + self.divisions.log_evidence(segments, natural[-1])

    def arguments(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the arguments of the sums at draws of the hyperparameters, (draw, argument)."""
        of_bound = {parameter.name: np.asarray(values[parameter.name], float) for parameter in self.parameters}
        return np.stack([np.broadcast_to(argument, count) for argument in self.natural(of_bound, np)], axis=1)

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw divisions and cells exactly; draws with the same hyperparameters share one sum."""
        points, inverse = np.unique(self.arguments(values, count), axis=0, return_inverse=True)
        all_divisions: list[Any] = [None] * count
        levels: list[Any] = [None] * count

        def draw(place: int, rng: np.random.Generator) -> None:
            """Make the draws at one point of the hyperparameters."""
            draws, point = np.flatnonzero(inverse == place), points[place]
            divisions, theta = self.divisions.draw(self.segments(point), float(point[-1]), len(draws), rng)
            deviations = self.piece.law.theta(theta) - values[self.parameters[0].name][draws[0]]
            cuts = np.cumsum(list(map(len, divisions)))[:-1]
            cell_levels = np.split(deviations[:, self.piece.positions], cuts)
            for at, division, level in zip(draws, divisions, cell_levels, strict=True):
                all_divisions[at], levels[at] = division, level

        # Each point has its own generator, because threads run in any order.
        self.mapped(lambda task: draw(*task), enumerate(rng.spawn(len(points))))
        return self.piece.sampled(all_divisions, np.concatenate(levels))

    @property
    def leave_one_out_exact(self) -> bool:
        return self.divisions.exact

    @property
    def target_accept(self) -> float:
        return self.divisions.target_accept

    @property
    def leave_one_out_work(self) -> int:
        return self.divisions.leave_one_out_work

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        natural = self.arguments(values, count)

        def left_out(draw: int) -> np.ndarray:
            point, division = natural[draw], None
            if not self.divisions.exact:
                (division,) = self.piece.drawn({name: values[name][draw : draw + 1] for name in self.piece.latent})
            return self.divisions.left_out(self.segments(point), float(point[-1]), division)[batch.places]

        return np.array(self.mapped(left_out, range(count)))
