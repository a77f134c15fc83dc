"""A Gaussian Markov field and the mean integrated out: the model as a density of its hyperparameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.field.field_posterior import FieldGiven, FieldPosterior, Point, Sums
from bayes_personal.densities.gaussian.arrangement import Arrangement
from bayes_personal.densities.marginal import Densities, Effort, MaskedDensity, log_normal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import sparse
from bayes_personal.kernels.tape import Tape, outputs, pulled_back
from bayes_personal.priors.parts.markov_field import MarkovField

# Number of distinct contexts from which factors are computed in threads.
MANY = 1000


def field_alone(bound: BoundModel) -> bool:
    """Say whether the model consists of one field that integrates out exactly of a Normal likelihood."""
    single = len(bound.pieces) == len(bound.gaussian_functions) == 1 and bound.gaussian_functions[0].sparse
    return single and bound.mean is not None and bound.mean_prior.gaussian


def integrates(bound: BoundModel) -> bool:
    """Say whether the model consists of one field that integrates out exactly."""
    return field_alone(bound) and bound.family.gaussian


@final
@dataclass(frozen=True, eq=False)
class FieldDensity(MaskedDensity):
    """The model of one field over contexts as a function of its hyperparameters."""

    @property
    def heavy(self) -> bool:
        return len(self.order) >= MANY

    @property
    def effort(self) -> Effort:
        # With few contexts the share of error in the outcome stays open, and the posterior is far from normal.
        return Effort(climbs=0, proposals=1024 if self.heavy else 4096, fewer=8 if self.heavy else 4)

    @property
    def starts(self) -> tuple[np.ndarray, ...]:
        # A point where the field explains the whole outcome.
        parts = [np.full(parameter.size, -4.0 if parameter in self.bound.family_parameters else 0.0)
                 for parameter in self.parameters]
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
        """The arrangement that brings outcomes and errors to natural units."""
        return Arrangement(self.bound)

    def predictors(self, x: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """Return the predictors of field and mean, in natural units and divided by known errors, (unit, varying +
        coefficient)."""
        coefficients, error = self.bound.coefficients, self.arrangement.error(constants)[:, None]
        return np.hstack([coefficients.predictors(x, positions) * coefficients.unit[positions] / self.bound.unit / error
                          for positions in (self.field.positions, self.bound.everywhere)])

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
        """Return the numbers of a `Point`, each (..., size)."""
        field, name = self.field, self.field.name
        anchor = values[f"{name}_anchor"][..., None]
        error = self.bound.family.error_parameter
        sigma = 1.0 + 0 * anchor if error is None else values[error][..., None] / self.bound.unit
        local = [values[f"{name}_local"]] if field.prior.power == 1 else []
        return [sigma, anchor, values[f"{name}_scale"] / field.unit, field.metric(values, np) + 0 * anchor, *local]

    def point(self, numbers: np.ndarray) -> Point:
        """Return the `Point` that consists of these numbers."""
        cuts = np.cumsum([1, 1, len(self.field.positions), self.field.squares.shape[1]])
        sigma, anchor, *arrays = np.split(numbers, cuts)
        return Point(float(sigma[0]), float(anchor[0]), *arrays)

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        return [entry for part in (self.log_prior(stepped, values), *self.natural(values))
                for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior and the hyperparameters as functions of the sampler's points."""
        return Tape.of(self._outputs, self.size)

    @np.errstate(all="ignore")
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, *numbers = outputs(point, *self.tape.arrays)
        field_point = self.point(np.array(numbers))
        given = self.posterior.given(field_point)
        if given is None or not np.isfinite(prior + given.log_evidence):
            return -np.inf, np.zeros(self.size)
        slopes = np.append(1.0, self.posterior.slopes(field_point, given))
        return prior + given.log_evidence, pulled_back(point, *self.tape.arrays, slopes)

    @np.errstate(all="ignore")
    def _value(self, point: np.ndarray) -> float:
        prior, *numbers = outputs(point, *self.tape.arrays)
        given = self.posterior.given(self.point(np.array(numbers)))
        return -np.inf if given is None else prior + given.log_evidence

    def numbers(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the numbers of a `Point` at draws of the hyperparameters, (draw, number)."""
        of_bound = {parameter.name: np.asarray(values[parameter.name], float) for parameter in self.parameters}
        arrays = self.natural(of_bound)
        return np.concatenate([np.broadcast_to(array, (count, array.shape[-1])) for array in arrays], axis=1)

    def at_draw(self, numbers: np.ndarray) -> FieldGiven:
        """Return field and mean given the outcomes and a draw of the hyperparameters."""
        given = self.posterior.given(self.point(numbers))
        if given is None:
            raise FloatingPointError("the precision of the field is not finite")
        return given

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the mean, in data units, and the field exactly, once for each draw of the hyperparameters; draws with
        the same hyperparameters share one factor."""
        return self.drawn(values, count, rng.standard_normal((count, self.weights)))

    @property
    def weights(self) -> int:
        """How many standard normals make one draw of the field and the mean."""
        return len(self.order) * len(self.field.positions) + len(self.bound.everywhere)

    def drawn(self, values: Mapping[str, np.ndarray], count: int, noise: np.ndarray) -> dict[str, np.ndarray]:
        """Return what `draw_rest` draws from standard normals (draw, weight); their means from zeros."""
        field, pattern, unit = self.field, self.posterior.pattern, self.bound.coefficients.unit
        points, inverse = np.unique(self.numbers(values, count), axis=0, return_inverse=True)
        deviation = noise[:, : -len(unit)].reshape(count, len(self.order), -1).copy()
        mean, step = noise[:, -len(unit) :].copy(), np.empty((count, len(field.positions)))

        def draw(place: int) -> None:
            """Turn standard normals into draws at one point of the hyperparameters."""
            draws, given = np.flatnonzero(inverse.ravel() == place), self.at_draw(points[place])
            mean_draws = np.linalg.solve(given.shared_lower.T, mean[draws].T)
            noise = np.ascontiguousarray(deviation[draws].reshape(len(draws), -1).T)
            sparse.backward(pattern.start, pattern.rows, given.lower, noise)
            field_values = given.mean[:, :, None] + noise.reshape(*given.mean.shape, -1) - given.coupling @ mean_draws
            deviation[draws[:, None], self.order] = np.moveaxis(field_values, 2, 0) * field.unit
            mean[draws] = self.arrangement.centre + (given.shared[:, None] + mean_draws).T * unit
            step[draws] = field.unit / np.sqrt(given.precision)

        self.mapped(draw, range(len(points)))
        assert self.bound.mean is not None
        return {self.bound.mean.name: mean, f"{field.name}_deviation": deviation, f"{field.name}_step": step}

    def whitened(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return numbers whose squares add up to -2 log prior of the field and the mean of one draw, at its
        hyperparameters."""
        field, mean = self.field, self.bound.mean
        assert mean is not None
        point = self.point(self.numbers(values, 1)[0])
        weights = field.weights(point.metric, np) / (point.local if len(point.local) else 1.0)
        scaled = values[f"{field.name}_deviation"][0] / values[f"{field.name}_step"][0]
        start, end = field.edges.T
        return np.concatenate([((values[mean.name] - mean.arguments["mu"]) / mean.arguments["sigma"]).ravel(),
                               (np.sqrt(weights)[:, None] * (scaled[start] - scaled[end])).ravel(),
                               (np.sqrt(point.anchor) * scaled).ravel()])

    def moments(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return E[eta | y, phi] less its prior mean and the variance of eta, in units of the rows' known errors,
        (draw, unit)."""
        each = self.mapped(partial(self.moments_at, batch), self.numbers(values, count))
        return np.array([fit for fit, _ in each]), np.array([variance for _, variance in each])

    def moments_at(self, batch: Batch, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `moments` of some rows at one draw of the hyperparameters."""
        predictors, at, p = self.predictors(batch.x, batch.constants), self.places(batch), len(self.field.positions)
        field_x, x, given = predictors[:, :p], predictors[:, p:], self.at_draw(numbers)
        covariance, _ = self.posterior.covariances(given)
        # Given y, mu has the covariance M^-1, and the covariance of field and mu is -P^-1 C M^-1.
        inverse = np.linalg.inv(given.shared_lower)
        shared = inverse.T @ inverse
        fit = x @ given.shared + (field_x * given.mean[at]).sum(axis=1)
        return fit, (np.einsum("na,nab,nb->n", field_x, covariance[at], field_x)
                     + np.einsum("na,ab,nb->n", x, shared, x)
                     - 2 * np.einsum("na,nab,nb->n", field_x, given.coupling[at] @ shared, x))

    def places(self, batch: Batch) -> np.ndarray:
        """Return the place of rows of training, in the order of elimination, (unit,)."""
        return np.argsort(self.order)[self.field.at(batch.frame).matrix[:, 0].astype(int)]

    @property
    def slow(self) -> bool:
        # With a local scale for each pair of neighbours only NUTS can move over so many hyperparameters.
        return self.field.prior.power == 2

    @property
    def leave_one_out_work(self) -> int:
        return 4 * len(self.posterior.pattern.rows)

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        return self.densities(values, count, batch).left_out

    def left_out_and_in(self, values: Mapping[str, np.ndarray], count: int) -> Callable[[Batch], Densities]:
        return partial(self.densities, values, count)

    def densities(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> Densities:
        """Return the log densities of some rows, left out and left in."""
        y = self.arrangement.outcome(batch.x, batch.y, batch.constants)
        shift = np.log(self.arrangement.error(batch.constants) * self.bound.unit)
        left_out, left_in = np.empty((count, len(batch))), np.empty((count, len(batch)))
        for draw, numbers in enumerate(self.numbers(values, count)):
            (fit, variance), sigma = self.moments_at(batch, numbers), numbers[0]
            share = 1 - variance / sigma**2
            left_out[draw] = log_normal((y - fit) / share, sigma**2 / share) - shift
            left_in[draw] = log_normal(y - fit, sigma**2 + variance) - shift
        return Densities(left_out, left_in)
