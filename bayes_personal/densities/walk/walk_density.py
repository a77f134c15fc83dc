"""A walk and the mean integrated out: the model as a density of the scales of the walk's steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import Arrangement
from bayes_personal.densities.marginal import Densities, MarginalDensity, log_normal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import walks
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back
from bayes_personal.priors.parts.walk import Walk

# Numbers of means and covariances at all places and draws up to which these are kept.
KEPT = 2**25


def walk_alone(bound: BoundModel) -> bool:
    """Say whether the model consists of one walk that integrates out exactly of a Normal likelihood."""
    single = len(bound.pieces) == len(bound.terms) == 1 and bound.terms[0].walk
    return single and bound.mean is not None and bound.mean_prior.gaussian and len(bound.shared) == len(
        bound.everywhere)


class Sums(NamedTuple):
    """Sums over the rows of each place, which the density needs; those of two sets of rows add.

    Attributes
    ----------
    products : sums of products of (-y, x of the walk, x of all else), divided by known errors, (place, 1 + coefficient,
        1 + coefficient)
    count : number of rows
    log_error : sum of the logarithms of the known errors in the outcome's own units
    """

    products: np.ndarray
    count: int
    log_error: float

    def plus(self, other: "Sums", sign: int = 1) -> "Sums":
        """Add other rows, or take them away by a sign of -1."""
        return Sums(self.products + sign * other.products, self.count + sign * other.count,
                    self.log_error + sign * other.log_error)


@final
@dataclass(frozen=True, eq=False)
class WalkDensity(MarginalDensity):
    """The model of one walk as a function of its scales and the family's own hyperparameters.

    Attributes
    ----------
    bound : the model with its data
    of_rows : sums over the rows; None stands for all rows of the model
    """

    bound: BoundModel
    of_rows: Sums | None = None

    @cached_property
    def walk(self) -> Walk:
        """The walk."""
        (walk,) = self.bound.terms
        assert isinstance(walk, Walk)
        return walk

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.bound.parameters

    @cached_property
    def arrangement(self) -> Arrangement:
        """The arrangement that brings outcomes and errors to natural units."""
        return Arrangement(self.bound)

    @cached_property
    def still(self) -> np.ndarray:
        """Positions of the coefficients that do not walk."""
        return np.setdiff1d(self.bound.everywhere, self.walk.positions)

    @cached_property
    def share(self) -> np.ndarray:
        """Share of the training rows at each place, (place,)."""
        return -np.diff(self.walk.share, prepend=1.0, append=0.0)

    def predictors(self, batch: Batch) -> np.ndarray:
        """Return the predictors of the walk and of all else, in natural units and divided by known errors, (unit,
        coefficient)."""
        bound, walking = self.bound, self.walk.positions
        x = bound.coefficients.predictors(batch.x, bound.everywhere)
        x[:, walking] = bound.coefficients.predictors(batch.x, walking)
        x *= bound.coefficients.unit / bound.unit / self.arrangement.error(batch.constants)[:, None]
        return x[:, np.concatenate([walking, self.still])]

    def at(self, batch: Batch) -> np.ndarray:
        """Return the place of every row, (unit,)."""
        return self.walk.at(batch.frame).matrix.made

    def sums_of(self, batches: Any) -> Sums:
        """Return the sums over the rows of some batches."""
        size = 1 + len(self.bound.everywhere)
        total = Sums(np.zeros((len(self.share), size, size)), 0, 0.0)
        for batch in batches:
            y = self.arrangement.outcome(batch.x, batch.y, batch.constants)
            rows = np.column_stack([-y, self.predictors(batch)])
            np.add.at(total.products, self.at(batch), rows[:, :, None] * rows[:, None, :])
            log_error = np.log(self.arrangement.error(batch.constants) * self.bound.unit).sum()
            total = total._replace(count=total.count + len(y), log_error=total.log_error + float(log_error))
        return total

    @cached_property
    def sums(self) -> Sums:
        """The sums over the rows."""
        return self.bound.rows.total(self.sums_of) if self.of_rows is None else self.of_rows

    @cached_property
    def centring(self) -> np.ndarray:
        """What the mean of each walking coefficient adds to the intercept at the predictors' means, where that one does
        not walk and predictors of the walk are not centred, (walking,); else 0."""
        coefficients, walking = self.bound.coefficients, self.walk.positions
        if not coefficients.centred(self.still).any():
            return np.zeros(len(walking))
        unit = coefficients.unit / coefficients.unit[self.still[self.intercept]]
        return coefficients.center[walking] * unit[walking]

    @cached_property
    def governed(self) -> np.ndarray:
        """How the entries of m, which have a prior together, depend on the walk's mean and on all else, (m,
        coefficient)."""
        p, size = len(self.walk.positions), len(self.bound.everywhere)
        result = np.eye(size)[:p]
        if self.centring.any():
            of_intercept = np.zeros(size)
            of_intercept[:p], of_intercept[p + self.intercept] = self.centring, 1.0
            result = np.vstack([result, of_intercept])
        return result

    @property
    def intercept(self) -> int:
        """Place of the intercept among the coefficients that do not walk."""
        return int(np.flatnonzero(self.bound.coefficients.intercept[self.still])[0])

    @cached_property
    def sd(self) -> np.ndarray:
        """Prior standard deviations of the mean in natural units, (coefficient,), those that walk first."""
        assert self.bound.mean is not None
        order = np.concatenate([self.walk.positions, self.still])
        return np.broadcast_to(self.bound.mean.arguments["sigma"] / self.bound.coefficients.unit, len(order))[order]

    @cached_property
    def start(self) -> np.ndarray:
        """The message before the first place: the priors of the walk's mean and of all that does not walk."""
        p, governed, still = len(self.walk.positions), self.governed, 1 / self.sd**2
        variance = self.sd[:p] ** 2
        if len(governed) > p:
            still[p + self.intercept] = 0.0
            variance = np.append(variance, self.sd[p + self.intercept] ** 2)
        result = np.diag(np.concatenate([np.zeros(1 + p), still[p:], -variance]))
        result[1 + p : 1 + len(still), 1 + len(still) :] = -governed[:, p:].T
        result[1 + len(still) :, 1 + p : 1 + len(still)] = -governed[:, p:]
        return result

    @cached_property
    def shares(self) -> np.ndarray:
        """What each place adds to m, (place, walking, m)."""
        return self.share[:, None, None] * self.governed[:, : len(self.walk.positions)].T

    def constant(self, sums: Sums) -> float:
        """Return what the log density has beside the compiled part, but for the power of the errors' scale."""
        still = np.diag(self.start)[1 + len(self.walk.positions) : 1 + len(self.sd)]
        priors = np.log(still[still > 0]).sum()
        return float(0.5 * (priors - sums.count * np.log(2 * np.pi)) - sums.log_error)

    def sigma(self, values: Mapping[str, Any]) -> Any:
        """Return the unknown part of the error in natural units, 1 where the errors are known, (...)."""
        name = self.bound.family.error_parameter
        return 1.0 if name is None else values[name] / self.bound.unit

    def steps(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Return the standard deviations of all steps in natural units, (..., place - 1, walking)."""
        return self.walk.scales(values, xp)[0] / self.walk.unit

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        parts = self.log_prior(stepped, values), self.sigma(values), self.steps(values, Symbolic())
        return [entry for part in parts for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior, the error and the standard deviations of steps as functions of a point."""
        return Tape.of(self._outputs, self.size)

    def read(self, point: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Return log prior, error and standard deviations of steps at a point."""
        numbers = outputs(point, *self.tape.arrays)
        return numbers[0], numbers[1], numbers[2:].reshape(len(self.share) - 1, -1)

    @np.errstate(all="ignore")
    def _value(self, point: np.ndarray) -> float:
        return self._at(point, self.sums)

    def _at(self, point: np.ndarray, sums: Sums) -> float:
        prior, sigma, sd = self.read(point)
        evidence = walks.log_evidence(self.start, sums.products, self.shares, sd**2, 1 / sigma**2)
        return float(prior + evidence - sums.count * np.log(sigma) + self.constant(sums))

    @np.errstate(all="ignore")
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        prior, sigma, sd = self.read(point)
        sums, inverse = self.sums, 1 / sigma**2
        mean, covariance, by_variance = walks.smoothed(self.start, sums.products, self.shares, sd**2, inverse)
        theta = np.column_stack([np.ones(len(mean)), mean])
        square = (np.einsum("ta,tab,tb", theta, sums.products, theta)
                  + np.einsum("tab,tab", sums.products[:, 1:, 1:], covariance))
        by_sigma = square / sigma**3 - sums.count / sigma
        slopes = np.concatenate([[1.0, by_sigma], (2 * sd * by_variance).ravel()])
        evidence = walks.log_evidence(self.start, sums.products, self.shares, sd**2, inverse)
        value = float(prior + evidence - sums.count * np.log(sigma) + self.constant(sums))
        return value, pulled_back(point, *self.tape.arrays, slopes)

    @np.errstate(all="ignore")
    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array([self.value(point) for point in np.ascontiguousarray(points)])

    def draws(self, values: Mapping[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return errors (draw,) and standard deviations of steps (draw, place - 1, walking)."""
        of_bound = {parameter.name: np.asarray(values[parameter.name], float) for parameter in self.parameters}
        return np.full(count, self.sigma(of_bound), float), self.steps(of_bound, np)

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the mean, in data units, and the whitened steps exactly, once for each draw of the hyperparameters."""
        return self.drawn(values, count, rng.standard_normal((count, self.weights)))

    @property
    def weights(self) -> int:
        """How many standard normals make one draw of the mean and the steps."""
        return len(self.share) * len(self.bound.everywhere)

    def drawn(self, values: Mapping[str, np.ndarray], count: int, noise: np.ndarray) -> dict[str, np.ndarray]:
        """Return what `draw_rest` draws from standard normals (draw, weight); their means from zeros."""
        sigma, sd = self.draws(values, count)
        noise = noise.reshape(count, len(self.share), -1)
        whitened, mean = np.empty(sd.shape), np.empty((count, len(self.bound.everywhere)))
        walk, rest = np.empty((len(self.share), sd.shape[2])), np.empty(len(self.still))
        for draw in range(count):
            walks.draw_walk(self.start, self.sums.products, self.shares, np.ascontiguousarray(sd[draw]),
                            1 / sigma[draw] ** 2, np.ascontiguousarray(noise[draw]), whitened[draw], walk, rest)
            of_walk = self.share @ walk
            mean[draw, self.walk.positions], mean[draw, self.still] = of_walk, rest
            if self.centring.any():
                mean[draw, self.still[self.intercept]] += self.centring @ of_walk
        if not np.isfinite(mean).all():
            raise FloatingPointError("the precision of the walk is not finite")
        assert self.bound.mean is not None
        return {self.bound.mean.name: self.arrangement.centre + mean * self.bound.coefficients.unit,
                f"{self.walk.name}_z": whitened}

    def whitened(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return numbers whose squares add up to -2 log prior of the mean and the steps of one draw."""
        mean = self.bound.mean
        assert mean is not None
        of_mean = (values[mean.name] - mean.arguments["mu"]) / mean.arguments["sigma"]
        return np.concatenate([of_mean.ravel(), values[f"{self.walk.name}_z"].ravel()])

    def moments(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return E[eta | y, phi] less its prior mean and the variance of eta, in units of the rows' known errors,
        (draw, unit)."""
        smoothed = Smoothed(self, *self.draws(values, count))
        each = [smoothed.moments(draw, batch) for draw in range(count)]
        return np.array([fit for fit, _ in each]), np.array([variance for _, variance in each])

    def contribution(self, batch: Batch, rows: np.ndarray) -> Sums:
        return self.sums_of([batch.take(rows)])

    def without(self, contribution: Sums) -> Self:
        return replace(self, of_rows=self.sums.plus(contribution, -1))

    @np.errstate(all="ignore")
    def log_repeated(self, values: Mapping[str, np.ndarray], points: np.ndarray, log_densities: np.ndarray,
                     contribution: Sums) -> np.ndarray:
        more = self.sums.plus(contribution)
        return np.array([self._at(point, more) for point in points]) - log_densities

    @property
    def leave_one_out_work(self) -> int:
        return len(self.share) * (2 * len(self.walk.positions) + len(self.bound.everywhere)) ** 3

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        return self.left_out_and_in(values, count)(batch).left_out

    def left_out_and_in(self, values: Mapping[str, np.ndarray], count: int) -> Callable[[Batch], Densities]:
        return partial(Smoothed(self, *self.draws(values, count)).densities)


@final
@dataclass(frozen=True, eq=False)
class Smoothed:
    """The coefficients at every place given all rows and draws of the hyperparameters.

    Attributes
    ----------
    density : density of all rows
    sigma, sd : errors and standard deviations of steps at the draws
    """

    density: WalkDensity
    sigma: np.ndarray
    sd: np.ndarray

    @cached_property
    def _kept(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The results of `at` by draw."""
        return {}

    def at(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and covariance of all coefficients at every place at one draw."""
        if draw in self._kept:
            return self._kept[draw]
        density = self.density
        mean, covariance, _ = walks.smoothed(density.start, density.sums.products, density.shares, self.sd[draw] ** 2,
                                             1 / self.sigma[draw] ** 2)
        if (len(self._kept) + 1) * (mean.size + covariance.size) <= KEPT:
            self._kept[draw] = mean, covariance
        return mean, covariance

    def moments(self, draw: int, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of eta of some rows at one draw, as `WalkDensity.moments` does."""
        at, x, (mean, covariance) = self.density.at(batch), self.density.predictors(batch), self.at(draw)
        return (x * mean[at]).sum(axis=1), np.einsum("na,nab,nb->n", x, covariance[at], x)

    def densities(self, batch: Batch) -> Densities:
        """Return the log densities of some rows, left out and left in."""
        density = self.density
        y = density.arrangement.outcome(batch.x, batch.y, batch.constants)
        shift = np.log(density.arrangement.error(batch.constants) * density.bound.unit)
        left_out, left_in = np.empty((2, len(self.sigma), len(batch)))
        for draw, sigma in enumerate(self.sigma):
            fit, variance = self.moments(draw, batch)
            left = 1 - variance / sigma**2
            left_out[draw] = log_normal((y - fit) / left, sigma**2 / left) - shift
            left_in[draw] = log_normal(y - fit, sigma**2 + variance) - shift
        return Densities(left_out, left_in)
