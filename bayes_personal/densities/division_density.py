"""Divisions of contexts, and what their cells have of their own, summed out: exact given the hyperparameters."""

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

# Scale of coefficients that do not vary, in natural units: nothing beside what data tell, and something to divide by.
CONSTANT = 1e-9
# Widths from the estimate of all rows beyond which the sampler's distance to the mean of counts grows exponentially.
BEND = 3.0


@final
@dataclass(frozen=True, eq=False)
class DivisionDensity(MaskedDensity):
    """A model whose prior is a division of contexts, as a function of its hyperparameters and its mean.

    Where there are few cells the mean lies about as far from what all rows say as the cells' scale is large: a funnel.
    The sampler moves on ``(mean - pooled) / width``, where `pooled` is the estimate of all rows and `width` about how
    far from it the mean can be (`Conjugate.variance_of_mean`); of counts, on a sinh of that. Both this and the scale,
    of which few cells say little, end at walls that are as steep as an exponential function of a logarithm, at which a
    step that is right elsewhere diverges; so the scale in natural units is ``log(1 + exp(u))``.
    """

    @cached_property
    def piece(self) -> Any:
        """What the prior consists of."""
        return self.bound.division

    @cached_property
    def divisions(self) -> DivisionSums:
        """The sums over them."""
        return self.piece.sums

    @cached_property
    def cells(self) -> Cells:
        """What becomes of the rows of a cell."""
        return cells_of(self.piece.law)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        assert self.bound.mean is not None
        return self.bound.mean, *self.bound.parameters

    @cached_property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean as all rows have it in common, and its standard error, (coefficient,)."""
        bound, unit = self.bound, self.bound.coefficients.unit
        x = bound.coefficients.predictors(bound.x, bound.everywhere) * unit
        estimate, error = self.cells.pooled(x, bound.y, bound.constants, bound.family.error_parameter is not None)
        return estimate * unit, error * unit

    def width(self, values: Mapping[str, Any]) -> Any:
        """What the mean moves by, (..., coefficient)."""
        varies = np.eye(len(self.bound.everywhere))[self.piece.positions]
        square = (self.piece.scale(values)[..., None] ** 2 * varies).sum(axis=-2)
        return np.sqrt(self.piece.law.variance_of_mean(square, self.piece.cells(values)[..., None], self.pooled[1]))

    @cached_property
    def scales(self) -> slice:
        """Where in a point the scales of cells stand, (size,)."""
        names = [each.name for each in self.parameters]
        place = names.index(f"{self.piece.name}_scale")
        start = sum(each.size for each in self.parameters[:place])
        return slice(start, start + self.parameters[place].size)

    def logarithmic(self, point: Any) -> Any:
        """The point with scales of cells as logarithms of natural units."""
        result = point.copy()
        result[..., self.scales] = np.log(np.log1p(np.exp(point[..., self.scales])))
        return result

    def values(self, point: Any) -> dict[str, Any]:
        values, mean = super().values(self.logarithmic(point)), self.parameters[0]
        away = point[..., : mean.size]
        if not self.piece.law.several_coefficients:
            away = BEND * np.log(away / BEND + np.sqrt((away / BEND) ** 2 + 1))
        values[mean.name] = self.pooled[0] + self.width(values) * away
        return values

    def points(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        mean, result = self.parameters[0], super().points(values)
        away = (values[mean.name] - self.pooled[0]) / self.width(values)
        result[..., : mean.size] = away if self.piece.law.several_coefficients else BEND * np.sinh(away / BEND)
        # log(exp(scale) - 1), of large scales too.
        scale = np.exp(result[..., self.scales])
        result[..., self.scales] = scale + np.log(-np.expm1(-scale))
        return result

    def log_prior(self, point: Any, values: Mapping[str, Any]) -> Any:
        moved, standard = point[..., self.scales], self.logarithmic(point)
        mean = self.parameters[0]
        jacobian = np.log(self.width(values)) - np.log(mean.unit)
        if not self.piece.law.several_coefficients:
            jacobian = jacobian - 0.5 * np.log1p((point[..., : mean.size] / BEND) ** 2)
        by_scale = -np.log1p(np.exp(-moved)) - standard[..., self.scales]
        return super().log_prior(standard, values) + jacobian.sum(axis=-1) + by_scale.sum(axis=-1)

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
        found = []
        for error, cuts in self.divisions.starts:
            moved = {self.bound.family.error_parameter: error, self.piece.frequency: cuts}
            found.append(np.concatenate([np.full(each.size, moved.get(each.name, 0.0)) for each in self.parameters]))
        return tuple(found)

    @cached_property
    def data(self) -> Any:
        """Sums over the rows of each cell."""
        bound, kept = self.bound, slice(None) if self.left_out is None else ~self.left_out
        x = bound.coefficients.predictors(bound.x[kept], bound.everywhere)
        cell = self.divisions.cell(bound.features[0].matrix)[kept]
        return self.cells.data(x, bound.y[kept], bound.constants[kept], cell, self.divisions.cells)

    def natural(self, values: Mapping[str, Any], xp: Any) -> list[Any]:
        """The arguments of the sums at hyperparameters, each (...): those of the cells, and that of the divisions."""
        scale, mean = self.piece.scale(values), values[self.parameters[0].name]
        last, sigma = self.piece.cut(values, xp), self.bound.family.error_parameter
        where = {k: place for place, k in enumerate(self.piece.positions)}
        constant = np.log(CONSTANT * self.bound.coefficients.unit)
        log_scale = [xp.log(scale[..., where[k]]) if k in where else constant[k] + 0 * mean[..., k]
                     for k in self.bound.everywhere]
        log_error = 0 * last if sigma is None else xp.log(values[sigma])
        return [*self.cells.arguments(mean, log_scale, scale, log_error, xp), last]

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        return [entry for part in (self.log_prior(stepped, values), *self.natural(values, Symbolic()))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """What hyperparameters make of log prior and the arguments of the sums."""
        return Tape.of(self._outputs, self.size)

    def segments(self, natural: np.ndarray) -> SegmentSums:
        """Data and hyperparameters at one point of the arguments."""
        return self.cells.segments(self.data, natural[:-1])

    def within_reach(self, natural: np.ndarray) -> SegmentSums | None:
        """The same; None where numbers do not reach."""
        if not np.isfinite(natural).all():
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            segments = self.segments(natural)
            return segments if segments.within_reach else None

    def log_evidence(self, natural: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(y | arguments), and its gradient."""
        segments = self.within_reach(natural)
        if segments is None:
            return -np.inf, np.zeros(len(natural))
        return self.divisions.log_evidence_and_gradient(segments, float(natural[-1]))

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, *natural = outputs(point, *self.tape.arrays)
        value, slopes = self.log_evidence(np.array(natural))
        return prior + value, pulled_back(point, *self.tape.arrays, np.append(1.0, slopes))

    def _value(self, point: np.ndarray) -> float:
        prior, *natural = outputs(point, *self.tape.arrays)
        segments = self.within_reach(np.array(natural))
        return -np.inf if segments is None else prior + self.divisions.log_evidence(segments, natural[-1])

    def arguments(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """The arguments of the sums at draws of the hyperparameters, (draw, argument)."""
        of_bound = {each.name: np.asarray(values[each.name], float) for each in self.parameters}
        return np.stack([np.broadcast_to(each, count) for each in self.natural(of_bound, np)], axis=1)

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Exact draws of divisions and cells; draws with the same hyperparameters share one sum."""
        points, which = np.unique(self.arguments(values, count), axis=0, return_inverse=True)
        divided: list[Any] = [None] * count
        levels: list[Any] = [None] * count

        def draw(place: int, rng: np.random.Generator) -> None:
            """Makes the draws with one point's hyperparameters."""
            draws, point = np.flatnonzero(which == place), points[place]
            found, theta = self.divisions.draw(self.segments(point), float(point[-1]), len(draws), rng)
            own = self.piece.law.theta(theta) - values[self.parameters[0].name][draws[0]]
            cuts = np.cumsum(list(map(len, found)))[:-1]
            for at, one, level in zip(draws, found, np.split(own[:, self.piece.positions], cuts), strict=True):
                divided[at], levels[at] = one, level

        # A generator each, for it is open which thread comes first.
        self.each(lambda both: draw(*both), enumerate(rng.spawn(len(points))))
        return self.piece.sampled(divided, np.concatenate(levels))

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
            point, drawn = natural[draw], None
            if not self.divisions.exact:
                (drawn,) = self.piece.drawn({name: values[name][draw : draw + 1] for name in self.piece.latent})
            return self.divisions.left_out(self.segments(point), float(point[-1]), drawn)[batch.places]

        return np.array(self.each(left_out, range(count)))
