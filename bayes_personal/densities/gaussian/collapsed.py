"""Gaussian weights integrated out: exact marginal likelihood, weights and leave-one-out given the hyperparameters.

Where y_i is Normal given eta_i and eta is linear in Gaussian weights w = T z, z ~ Normal(0, 1),

    y | phi, s ~ MvNormal(offset, Z T T'Z' + s^2 diag(known)^2),

whose density needs only the sums of `statistics`, and costs the same whatever the number of rows. Everything is in
natural units: y and the predictors standardised, weights in units of outcome / predictor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, final

import numpy as np
from scipy.linalg import get_lapack_funcs

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import MANY, Arrangement, Block, Loadings
from bayes_personal.densities.gaussian.rows import Rows, form
from bayes_personal.densities.gaussian.scaling import Scaling, correlated
from bayes_personal.densities.gaussian.spanned import Spanned
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.densities.marginal import MOST, Densities, Effort, MarginalDensity, log_normal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import gaussian, gaussian_by_rows
from bayes_personal.kernels.tape import Symbolic, Tape

SUBSTITUTE: Any = get_lapack_funcs("trtrs", dtype=float)
# Rows that are multiplied together, so few that they stay near the processor.
TOGETHER = 1000
# Rows a draw from which on it pays to look for what the matrices of all draws have in common.
MANY_ROWS = 4
# So many times fewer rows than weights are projected without the matrix that serves any row.
FEW_ROWS = 4
# Most numbers in the factors of draws that are kept from one part of the rows to the next.
KEPT = 2**24
# What leaving out rows costs at each draw, in the time of a few simple operations: to smooth a row's importance
# weights, for each product with one of its group's weights, for each square of a weight; and the cube of the weights.
OF_ROW, OF_GROUP, OF_SQUARE, OF_CUBE = 20.0, 1.0, 0.04, 1.0


def substituted(lower: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return L^-1 times the transpose of rows, (weight, unit)."""
    # Transposed, the lower triangle is an upper one for Fortran.
    return SUBSTITUTE(lower.T, rows.T, lower=0, trans=1)[0]


class Factor(NamedTuple):
    """The weights' conditional distribution at one value of the hyperparameters, as `kernels.gaussian` describes it."""

    fine: bool
    lower: np.ndarray
    mean: np.ndarray
    blocks: np.ndarray
    half: float
    fit: float


@final
@dataclass(frozen=True, eq=False)
class GaussianDensity(MarginalDensity):
    """The model with its weights integrated out, as a function of the hyperparameters phi.

    Attributes
    ----------
    bound : the model with its data
    of_rows : what the density needs of the rows; None stands for all rows of the model
    """

    bound: BoundModel
    of_rows: Statistics | Rows | None = None

    @cached_property
    def arrangement(self) -> Arrangement:
        """The arrangement of the weights."""
        return Arrangement(self.bound)

    @cached_property
    def data(self) -> Statistics | Rows:
        """What the density needs of the rows: sums over them, or the rows themselves where these are few."""
        if self.of_rows is not None:
            return self.of_rows
        return self.bound.rows.total(partial(form(self.arrangement).of, self.arrangement))

    @cached_property
    def statistics(self) -> Statistics:
        """The sums over the rows."""
        return self.data.summed() if isinstance(self.data, Rows) else self.data

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.bound.parameters

    def sigma(self, values: Mapping[str, Any]) -> Any:
        """Return the unknown part of the error in natural units, 1 where the errors are known, (...)."""
        name = self.bound.family.error_parameter
        return 1.0 if name is None else values[name] / self.bound.unit

    @cached_property
    def rooted(self) -> tuple[Block, ...]:
        """The blocks that are not eliminated and whose coefficients correlate."""
        return correlated(self.arrangement, self.values(np.zeros(self.size)))

    def scaling(self, values: Mapping[str, Any], shape: tuple[int, ...], xp: Any) -> Scaling:
        """Return T at hyperparameters with leading axes of this shape."""
        return Scaling.at(self.arrangement, self.rooted, values, shape, xp)

    def outputs(self, point: Any) -> list[Any]:
        """Return the numbers that the kernel needs at a point (size,) of symbols."""
        stepped = point[None, :]
        values = self.values(stepped)
        parts = (self.log_prior(stepped, values), self.sigma(values), *self.scaling(values, (1,), Symbolic()))
        return [entry for part in parts for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior, s and T as functions of a point."""
        return Tape.of(self.outputs, self.size)

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments that the kernel's functions of a point take beside the point."""
        return self._arguments(self.data)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The numbers of weights, of terms with roots, the widest root, rows of `own_sd`, and varying coefficients."""
        shapes = self.scaling(self.values(np.zeros((1, self.size))), (1,), np)
        return (self.arrangement.size, *shapes.roots.shape[1:3], *shapes.own_sd.shape[1:])

    def _arguments(self, data: Statistics | Rows) -> tuple[Any, ...]:
        constant = -0.5 * data.count * np.log(2 * np.pi) - data.log_error - data.count * np.log(self.bound.unit)
        return (*self.tape.arrays, self.shape, *data.matrices, self.places,
                (float(data.square), float(data.count), float(constant)))

    @cached_property
    def places(self) -> np.ndarray:
        """First weight, features and coefficients of each block in `rooted`."""
        places = [(block.start, block.features, block.varying) for block in self.rooted]
        return np.array(places, np.int64).reshape(-1, 3)

    def _value(self, point: np.ndarray) -> float:
        return self.data.kernel.value(point, *self.arguments)

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return self.data.kernel.values(np.ascontiguousarray(points), *self.arguments)

    def each_value_without(self, points: np.ndarray, contribution: Any) -> np.ndarray:
        arguments = self._arguments(self.data - contribution)
        return self.data.kernel.values(np.ascontiguousarray(points), *arguments)

    def contribution(self, batch: Batch, rows: np.ndarray) -> Any:
        some = type(self.data).of(self.arrangement, [batch.take(rows)])
        return replace(some, places=batch.start + rows) if isinstance(some, Rows) else some

    def without(self, contribution: Any) -> "GaussianDensity":
        return GaussianDensity(self.bound, self.data - contribution)

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        return self.data.kernel.value_and_gradient(point, *self.arguments)

    def draws(self, values: Mapping[str, np.ndarray], count: int) -> tuple[Scaling, np.ndarray]:
        """Return T and s at draws of the hyperparameters, as the kernel takes them."""
        of_bound = {parameter.name: np.asarray(values[parameter.name], float) for parameter in self.bound.parameters}
        scaling = Scaling(*(np.array(each, float, order="C") for each in self.scaling(of_bound, (count,), np)))
        return scaling, np.full(count, self.sigma(of_bound), float)

    def factor(self, scaling: Scaling, s: np.ndarray, draw: int) -> Factor:
        """Return the conditional distribution of the weights at one of the draws."""
        sd, roots, own_sd, own_root = (each[draw] for each in scaling)
        factor = Factor(*gaussian.factor(*self.statistics.matrices, sd, roots, self.places, own_sd, own_root, s[draw]))
        if not factor.fine:
            raise FloatingPointError("the precision of the weights is not finite")
        return factor

    def draw_rest(self, values: Mapping[str, np.ndarray], count: int,
                  rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the mean, in data units, and the whitened weights exactly, once for each draw of the hyperparameters."""
        arrangement = self.arrangement
        z = rng.standard_normal((count, arrangement.size))
        own_z = rng.standard_normal((count, arrangement.varying, 1, arrangement.groups))
        return self.drawn(*self.draws(values, count), z, own_z)

    def drawn(self, scaling: Scaling, s: np.ndarray, z: np.ndarray, own_z: np.ndarray) -> dict[str, np.ndarray]:
        """Return such draws from noise: `z` for the weights that are not eliminated, (draw, weight), and `own_z` for
        the eliminated ones, (draw, varying, 1, group), or for none of them, (draw, varying, 1, 0). Both arrays are
        overwritten."""
        sd, roots, own_sd, own_root = scaling
        # Importance sampling repeats draws: in this order equal ones follow each other, and share a factor.
        keys = [each.reshape(len(s), -1)[:, -1:] for each in (own_sd, sd, s) if each.size]
        order = np.lexsort(np.hstack(keys).T)
        if not self.data.kernel.draw(order, *self.data.matrices, sd, roots, self.places, own_sd, own_root, s, z,
                                     own_z):
            raise FloatingPointError("the precision of the weights is not finite")
        return self.named(z, own_z)

    def named(self, z: np.ndarray, own_z: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return whitened weights by name, the mean in data units: those that are not eliminated, (draw, weight), and
        the eliminated ones if they are given, (draw, varying, 1, group)."""
        result = {}
        for block in self.arrangement.blocks:
            part = z[:, block.weights].reshape(len(z), block.features, block.varying)
            if block.term is None:
                shared = self.bound.mean
                assert shared is not None
                result[shared.name] = shared.arguments["mu"] + shared.arguments["sigma"] * part[:, 0]
            else:
                result[f"{block.term.name}_z"] = part
        if own_z is not None and own_z.shape[3]:
            assert self.arrangement.eliminated is not None and self.arrangement.eliminated.term is not None
            result[f"{self.arrangement.eliminated.term.name}_z"] = own_z[:, :, 0].mT
        return result

    def placed(self, scaling: Scaling, s: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the whitened weights that are not eliminated where they are u (draw, weight) once standardised given
        the hyperparameters, and log |dz/du|, minus infinity where these are out of reach, (draw,)."""
        z, log_volumes = np.array(u, float, order="C"), np.empty(len(s))
        sd, roots, own_sd, own_root = scaling
        self.data.kernel.place(*self.data.matrices, sd, roots, self.places, own_sd, own_root, s, z, log_volumes)
        return z, -log_volumes

    @property
    def slow(self) -> bool:
        return self.size <= MOST and (self.arrangement.rank >= MANY or self.effort.ridged)

    @property
    def effort(self) -> Effort:
        effort = Effort(climbs=8, proposals=2048) if self.arrangement.rank >= MANY else Effort()
        return effort._replace(ridged=any(term.ridged for term in self.bound.terms))

    @property
    def leave_one_out_work(self) -> int:
        if isinstance(self.data, Rows):
            return int(OF_CUBE * self.data.count**2 * self.arrangement.size)
        size, varying = self.arrangement.size, self.arrangement.varying if self.arrangement.groups else 0
        a_row = OF_ROW + OF_GROUP * varying * (varying + size) + OF_SQUARE * size**2
        return int(a_row * len(self.bound.rows) + OF_CUBE * size**3)

    @property
    def few_rows_are_cheap(self) -> bool:
        return True

    def log_repeated(self, values: Mapping[str, np.ndarray], points: np.ndarray, log_densities: np.ndarray,
                     contribution: Any) -> np.ndarray:
        arguments = self._arguments(self.data + contribution)
        return self.data.kernel.values(np.ascontiguousarray(points), *arguments) - log_densities

    def projection(self, values: Mapping[str, np.ndarray], count: int) -> "Projection":
        """Return the projection of rows on the weights given all rows, at draws."""
        return Projection(self, *self.draws(values, count))

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int, batch: Batch) -> np.ndarray:
        return self.left_out_and_in(values, count)(batch).left_out

    def left_out_and_in(self, values: Mapping[str, np.ndarray], count: int) -> Callable[[Batch], Densities]:
        return self.projection(values, count).densities


@final
@dataclass(frozen=True, eq=False)
class Projection:
    """The linear predictors of any rows given all rows and draws of the hyperparameters, a part of the rows at a time.

    Attributes
    ----------
    density : density of all rows
    scaling, s : T and s at the draws
    """

    density: GaussianDensity
    scaling: Scaling
    s: np.ndarray

    @cached_property
    def _kept(self) -> dict[int, tuple[np.ndarray, ...]]:
        """The results of `shared` by draw."""
        return {}

    def shared(self, draw: int) -> tuple[np.ndarray, ...]:
        """Return what stands for the distribution of the weights that are not eliminated: L and their mean, after a
        pass over all groups; without groups the matrix B and the vector m for which rows z have the variance |z B|^2
        and the fit z m; and where rows stand in place of sums over them what their kernel calls L, B and L^-1 y."""
        if draw in self._kept:
            return self._kept[draw]
        result = self._by_rows(draw) if isinstance(self.density.data, Rows) else self._by_weights(draw)
        if (len(self._kept) + 1) * sum(each.size for each in result) <= KEPT:
            self._kept[draw] = result
        return result

    def _by_weights(self, draw: int) -> tuple[np.ndarray, ...]:
        factor = self.density.factor(self.scaling, self.s, draw)
        if self.density.arrangement.groups or not len(factor.mean):
            return factor.lower, factor.mean
        rooted = self._rooted(np.eye(len(factor.mean)), draw)
        return substituted(factor.lower, rooted).T, rooted @ factor.mean

    def _by_rows(self, draw: int) -> tuple[np.ndarray, ...]:
        loadings, outcome, _ = self.density.data.matrices
        sd, roots, _, _ = (each[draw] for each in self.scaling)
        fine, *result, _ = gaussian_by_rows.factor(loadings, outcome, sd, roots, self.density.places, self.s[draw])
        if not fine:
            raise FloatingPointError("the covariance of the rows is not finite")
        return tuple(result)

    def _rooted(self, dense: np.ndarray, draw: int) -> np.ndarray:
        """Return loadings of the whitened weights, (unit, weight)."""
        result = np.ascontiguousarray(dense * self.scaling.sd[draw])
        gaussian.apply_roots(result, self.scaling.roots[draw], self.density.places)
        return result

    def moments(self, z: Loadings) -> tuple[np.ndarray, np.ndarray]:
        """Return E[eta | y, phi] less its prior mean and the variance of eta of rows with loadings z, (draw, unit)."""
        if self.density.arrangement.groups:
            return self._of_groups(z)
        if isinstance(self.density.data, Rows):
            return self._of_dense(z.dense, self._given_rows)
        if len(z.dense) >= MANY_ROWS * len(self.s) and self._spanned is not None:
            return self._fits @ z.dense.T, self._spanned.variances(z.dense)
        few = FEW_ROWS * len(z.dense) < self.density.arrangement.size
        return self._of_dense(z.dense, self._given_factor if few else self._given_sums)

    @cached_property
    def _spanned(self) -> Spanned | None:
        """What stands for the matrices B of all draws where there are sums over rows and no groups."""
        return Spanned.of([self.shared(draw)[0] for draw in range(len(self.s))])

    @cached_property
    def _fits(self) -> np.ndarray:
        """The vectors m of all draws, (draw, weight)."""
        return np.array([self.shared(draw)[1] for draw in range(len(self.s))])

    def _of_dense(self, z: np.ndarray, given: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]],
                  ) -> tuple[np.ndarray, np.ndarray]:
        fits, variances = np.empty((2, len(self.s), len(z)))
        for start in range(0, len(z), TOGETHER):
            part = slice(start, start + TOGETHER)
            for draw in range(len(self.s)):
                fits[draw, part], variances[draw, part] = given(z[part], draw)
        return fits, variances

    def _given_sums(self, z: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
        turn, fit = self.shared(draw)
        turned = z @ turn
        return z @ fit, np.einsum("ij,ij->i", turned, turned)

    def _given_factor(self, z: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
        factor, rooted = self.density.factor(self.scaling, self.s, draw), self._rooted(z, draw)
        return rooted @ factor.mean, (substituted(factor.lower, rooted) ** 2).sum(axis=0)

    def _given_rows(self, z: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
        lower, b, turned_outcome = self.shared(draw)
        rooted = self._rooted(z, draw)
        turned = substituted(lower, rooted @ b.T)
        prior = np.einsum("ij,ij->i", rooted, rooted)
        return turned_outcome @ turned, prior - np.einsum("ij,ij->j", turned, turned)

    def _of_groups(self, z: Loadings) -> tuple[np.ndarray, np.ndarray]:
        fits, variances = np.empty((2, len(self.s), len(z.dense)))
        _, _, sums = self.density.statistics.matrices
        seen, groups = np.unique(z.groups, return_inverse=True)
        sums = np.ascontiguousarray(sums[:, :, seen])
        own_sds = self.scaling.own_sd
        own_sds = own_sds[:, seen] if own_sds.shape[1] > 1 else own_sds
        for draw, s in enumerate(self.s):
            sd, roots, _, own_root = (each[draw] for each in self.scaling)
            lower, mean = self.shared(draw)
            dense = self._rooted(z.dense, draw)
            fits[draw], variances[draw] = gaussian.project(dense, groups, z.of_group, sums, mean, sd, roots,
                                                           self.density.places, own_root, own_sds[draw], s)
            if len(mean):
                variances[draw] += (substituted(lower, dense) ** 2).sum(axis=0)
        return fits, variances

    def densities(self, batch: Batch) -> Densities:
        """Return the log densities of some of the rows, left out and left in."""
        arrangement, bound = self.density.arrangement, self.density.bound
        z = arrangement.loadings(batch.x, batch.constants, bound.features_at(batch.frame))
        y = arrangement.outcome(batch.x, batch.y, batch.constants)
        shift = np.log(arrangement.error(batch.constants)) + np.log(bound.unit)
        left_out, left_in = np.empty((len(self.s), len(batch))), np.empty((len(self.s), len(batch)))
        for draw, (fit, variance) in enumerate(zip(*self.moments(z), strict=True)):
            square = self.s[draw] ** 2
            share = 1 - variance / square
            left_out[draw] = log_normal((y - fit) / share, square / share) - shift
            left_in[draw] = log_normal(y - fit, square + variance) - shift
        return Densities(left_out, left_in)
