"""A Gaussian Markov field and the mean integrated out: the model as a density of its hyperparameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.field.field_posterior import FieldGiven, FieldPosterior, Point, Sums
from bayes_personal.densities.gaussian.sufficient import Arrangement
from bayes_personal.densities.marginal import Densities, Effort, MaskedDensity, log_normal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import sparse
from bayes_personal.kernels.tape import Tape, outputs, pulled_back
from bayes_personal.priors.parts.markov_field import MarkovField

# Distinct contexts from which on factors are computed in threads.
MANY = 1000


def integrates(bound: BoundModel) -> bool:
    """Whether the model consists of one field that integrates out exactly."""
    alone = len(bound.pieces) == len(bound.gaussian_functions) == 1 and bound.gaussian_functions[0].sparse
    return alone and bound.family.gaussian and bound.mean is not None and bound.mean_prior.gaussian


@final
@dataclass(frozen=True, eq=False)
class FieldDensity(MaskedDensity):
    """The model of one field over contexts as a function of its hyperparameters."""

    @property
    def heavy(self) -> bool:
        return len(self.order) >= MANY

    @property
    def effort(self) -> Effort:
        # Few contexts leave it open how much of the outcome is error, and a posterior that is far from normal.
        return Effort(climbs=0, proposals=1024 if self.heavy else 4096, fewer=8 if self.heavy else 4)

    @property
    def starts(self) -> tuple[np.ndarray, ...]:
        # Where the field takes all of the outcome.
        parts = [np.full(each.size, -4.0 if each in self.bound.family_parameters else 0.0) for each in self.parameters]
        return (np.concatenate(parts),)

    @cached_property
    def field(self) -> MarkovField:
        """The field."""
        (field,) = self.bound.gaussian_functions
        assert isinstance(field, MarkovField)
        return field

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.bound.parameters

    @cached_property
    def order(self) -> np.ndarray:
        """Places in the order in which they are eliminated."""
        return sparse.order(len(self.field.points), self.field.edges)

    @cached_property
    def arrangement(self) -> Arrangement:
        """How outcomes and errors are brought to natural units."""
        return Arrangement(self.bound)

    def predictors(self, x: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """What field and mean multiply, in natural units and divided by known errors, (unit, varying + coefficient)."""
        of, field, error = self.bound.coefficients, self.field, self.arrangement.error(constants)[:, None]
        own, shared = (of.predictors(x, some) * of.unit[some] / self.bound.unit / error
                       for some in (field.positions, self.bound.everywhere))
        return np.hstack([own, shared])

    @cached_property
    def at(self) -> np.ndarray:
        """Place of every row, in the order of elimination, (unit,)."""
        return np.argsort(self.order)[self.bound.features[0].matrix[:, 0].astype(int)]

    @cached_property
    def posterior(self) -> FieldPosterior:
        """The field given the rows' outcomes."""
        bound, kept = self.bound, slice(None) if self.left_out is None else ~self.left_out
        assert bound.mean is not None
        x, constants, at = self.predictors(bound.x[kept], bound.constants[kept]), bound.constants[kept], self.at[kept]
        y = self.arrangement.outcome(bound.x[kept], bound.y[kept], constants)
        gram, moment = np.zeros((len(self.order), x.shape[1], x.shape[1])), np.zeros((len(self.order), x.shape[1]))
        np.add.at(gram, at, x[:, :, None] * x[:, None, :])
        np.add.at(moment, at, x * y[:, None])
        log_error = np.log(self.arrangement.error(constants) * bound.unit).sum()
        precision = (bound.coefficients.unit / bound.mean.arguments["sigma"]) ** 2
        return FieldPosterior(self.field, self.order, precision,
                              Sums(gram, moment, float(y @ y), len(y), float(log_error)))

    def natural(self, values: Mapping[str, Any]) -> list[Any]:
        """The numbers of a `Point`, each (..., size)."""
        field, name = self.field, self.field.name
        anchor = values[f"{name}_anchor"][..., None]
        error = self.bound.family.error_parameter
        sigma = 1.0 + 0 * anchor if error is None else values[error][..., None] / self.bound.unit
        local = [values[f"{name}_local"]] if field.prior.power == 1 else []
        return [sigma, anchor, values[f"{name}_scale"] / field.unit, field.metric(values, np) + 0 * anchor, *local]

    def point(self, numbers: np.ndarray) -> Point:
        """From the numbers in one line."""
        cuts = np.cumsum([1, 1, len(self.field.positions), self.field.squares.shape[1]])
        sigma, anchor, *others = np.split(numbers, cuts)
        return Point(float(sigma[0]), float(anchor[0]), *others)

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        return [entry for part in (self.log_prior(stepped, values), *self.natural(values))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """What the sampler's points make of log prior and hyperparameters."""
        return Tape.of(self._outputs, self.size)

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, *numbers = outputs(point, *self.tape.arrays)
        here = self.point(np.array(numbers))
        given = self.posterior.given(here)
        if given is None or not np.isfinite(prior + given.log_evidence):
            return -np.inf, np.zeros(self.size)
        slopes = np.append(1.0, self.posterior.slopes(here, given))
        return prior + given.log_evidence, pulled_back(point, *self.tape.arrays, slopes)

    def _value(self, point: np.ndarray) -> float:
        prior, *numbers = outputs(point, *self.tape.arrays)
        given = self.posterior.given(self.point(np.array(numbers)))
        return -np.inf if given is None else prior + given.log_evidence

    def numbers(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Those of a `Point` at draws of the hyperparameters, (draw, number)."""
        of_bound = {each.name: np.asarray(values[each.name], float) for each in self.parameters}
        found = self.natural(of_bound)
        return np.concatenate([np.broadcast_to(each, (count, each.shape[-1])) for each in found], axis=1)

    def at_draw(self, numbers: np.ndarray) -> FieldGiven:
        """All that follows from a draw of the hyperparameters."""
        found = self.posterior.given(self.point(numbers))
        if found is None:
            raise FloatingPointError("the precision of the field is not finite")
        return found

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Exact draws of the mean, in data units, and of the field, one a draw of the hyperparameters; draws with the
        same hyperparameters share one factor."""
        field, pattern, unit = self.field, self.posterior.pattern, self.bound.coefficients.unit
        points, which = np.unique(self.numbers(values, count), axis=0, return_inverse=True)
        deviation = rng.standard_normal((count, len(self.order), len(field.positions)))
        mean, step = rng.standard_normal((count, len(unit))), np.empty((count, len(field.positions)))

        def draw(place: int) -> None:
            """Makes draws of the standard normals at one point of the hyperparameters."""
            draws, given = np.flatnonzero(which.ravel() == place), self.at_draw(points[place])
            away = np.linalg.solve(given.shared_lower.T, mean[draws].T)
            free = np.ascontiguousarray(deviation[draws].reshape(len(draws), -1).T)
            sparse.backward(pattern.start, pattern.rows, given.lower, free)
            drawn = given.mean[:, :, None] + free.reshape(*given.mean.shape, -1) - given.coupling @ away
            deviation[draws[:, None], self.order] = np.moveaxis(drawn, 2, 0) * field.unit
            mean[draws] = self.arrangement.centre + (given.shared[:, None] + away).T * unit
            step[draws] = field.unit / np.sqrt(given.precision)

        self.each(draw, range(len(points)))
        assert self.bound.mean is not None
        return {self.bound.mean.name: mean, f"{field.name}_deviation": deviation, f"{field.name}_step": step}

    @property
    def slow(self) -> bool:
        # With a local scale for each pair of neighbours there are too many hyperparameters for anything but NUTS.
        return self.field.prior.power == 2

    @property
    def leave_one_out_work(self) -> int:
        return 4 * len(self.posterior.pattern.rows)

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        return self.densities(values, count, batch).left_out

    def left_out_and_in(self, values: Mapping[str, np.ndarray], count: int) -> Callable[[Batch], Densities]:
        return partial(self.densities, values, count)

    def densities(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> Densities:
        """Those of some rows, left out and left in."""
        both, at, p = self.predictors(batch.x, batch.constants), self.at[batch.places], len(self.field.positions)
        own_x, x = both[:, :p], both[:, p:]
        y = self.arrangement.outcome(batch.x, batch.y, batch.constants)
        shift = np.log(self.arrangement.error(batch.constants) * self.bound.unit)
        left_out, left_in = np.empty((count, len(batch))), np.empty((count, len(batch)))
        for draw, numbers in enumerate(self.numbers(values, count)):
            given, sigma = self.at_draw(numbers), numbers[0]
            own, _ = self.posterior.covariances(given)
            # Given y, mu has the covariance M^-1, and field and mu have -P^-1 C M^-1.
            inverse = np.linalg.inv(given.shared_lower)
            shared = inverse.T @ inverse
            fit = x @ given.shared + (own_x * given.mean[at]).sum(axis=1)
            variance = (np.einsum("na,nab,nb->n", own_x, own[at], own_x) + np.einsum("na,ab,nb->n", x, shared, x)
                        - 2 * np.einsum("na,nab,nb->n", own_x, given.coupling[at] @ shared, x))
            share = 1 - variance / sigma**2
            left_out[draw] = log_normal((y - fit) / share, sigma**2 / share) - shift
            left_in[draw] = log_normal(y - fit, sigma**2 + variance) - shift
        return Densities(left_out, left_in)
