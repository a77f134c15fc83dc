"""Divisions of contexts and the coefficients of their cells, summed out exactly given the hyperparameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.data.rows import Batch
from bayes_personal.densities.division_scale import DivisionScale
from bayes_personal.densities.marginal import Effort, MaskedDensity
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back
from bayes_personal.priors.divisions.cells import Cells, cells_of
from bayes_personal.priors.divisions.segments import SegmentSums

# Scale of coefficients that do not vary, in natural units: negligible beside the data, and yet a possible divisor.
CONSTANT = 1e-9


@final
@dataclass(frozen=True, eq=False)
class DivisionDensity(DivisionScale, MaskedDensity):
    """A model whose prior is a division of contexts, as a function of its hyperparameters and its mean."""

    @cached_property
    def cells(self) -> Cells:
        """The sums over the rows of cells."""
        return cells_of(self.piece.law)

    @property
    def error_parameter(self) -> str | None:
        return self.bound.family.error_parameter

    @cached_property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        bound, unit = self.bound, self.bound.coefficients.unit
        x = bound.coefficients.predictors(bound.x, bound.everywhere) * unit
        estimate, error = self.cells.pooled(x, bound.y, bound.constants, bound.family.error_parameter is not None)
        return estimate * unit, error * unit

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
