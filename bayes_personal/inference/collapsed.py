"""The Gaussian weights integrated out: exact marginal likelihood, weights and leave-one-out given hyperparameters.

Where y_i is Normal given eta_i and eta is linear in Gaussian weights w = T z, z ~ Normal(0, 1), sufficient are
G = Z'Z, b = Z'y, y'y and n of the rows, each divided by its known error. With M = I + T'GT / s^2 = LL' and
z_hat = M^-1 T'b / s^2,

    log p(y | phi, s) = -n/2 log 2 pi - n log s - sum log L_kk - (y'y / s^2 - z_hat' M z_hat) / 2,
    z | y, phi, s ~ Normal(z_hat, M^-1).

All eigenvalues of M are at least 1, so that no jitter is needed. Everything is in natural units: y and the predictors
standardised, weights in units of outcome / predictor.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_lapack_funcs

from bayes_personal.bound import Bound
from bayes_personal.priors.base import Features, Term

STEP = 1e-30

# Of every block, the standard deviations of its weights and the root of their correlations.
Scales = list[tuple[Any, Any]]

CHOLESKY, SOLVE, INVERT, SUBSTITUTE = get_lapack_funcs(("potrf", "potrs", "potri", "trtrs"), dtype=float)


def collapses(bound: Bound) -> bool:
    """Whether the weights of this model integrate out exactly."""
    return bound.family.gaussian and bound.mean_prior.distribution == "Normal"


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The weights of the mean or of one term, in the order (feature, varying)."""

    term: Term | None
    start: int
    features: int
    varying: int

    @property
    def stop(self) -> int:
        """Where the next block starts."""
        return self.start + self.features * self.varying

    @cached_property
    def rows(self) -> slice:
        """Its weights among all."""
        return slice(self.start, self.stop)

    def scales(self, bound: Bound, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Standard deviations (..., feature, varying) in natural units, and the root of the correlations."""
        if self.term is None:
            assert bound.mean is not None
            return (bound.mean.arguments["sigma"] / bound.mean.unit * np.ones(self.varying))[None, :], None
        scale, root = self.term.scales(values, np)
        scale = scale / self.term.unit
        return np.broadcast_to(scale, (*scale.shape[:-2], self.features, self.varying)), root


class Conditional(NamedTuple):
    """z | y, phi, s ~ Normal(mean, (L L')^-1), and what it was made of.

    Attributes
    ----------
    lower : L, (weight, weight)
    mean : z_hat, (weight,)
    scales : each block's standard deviations and root of correlations
    s : the unknown part of the error
    product : G T, (weight, weight)
    """

    lower: np.ndarray
    mean: np.ndarray
    scales: Scales
    s: float
    product: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Collapsed:
    """The model with its weights integrated out, as a function of the hyperparameters phi."""

    bound: Bound

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The mean's weights, if it has any, and each term's."""
        sizes: list[tuple[Term | None, int, int]] = [(None, 1, len(self.bound.shared))] if self.bound.mean else []
        sizes += [(term, one.matrix.shape[1], len(term.positions))
                  for term, one in zip(self.bound.terms, self.bound.features, strict=True)]
        blocks, start = [], 0
        for term, features, varying in sizes:
            blocks.append(Block(term, start, features, varying))
            start = blocks[-1].stop
        return tuple(blocks)

    @cached_property
    def error(self) -> np.ndarray:
        """Known part of each row's error, in natural units of the outcome where nothing else has a unit, (unit,)."""
        return self.bound.known / (1.0 if self.bound.family.parameters(1.0) else self.bound.unit)

    @cached_property
    def offset(self) -> np.ndarray:
        """Prior mean of eta, (unit,)."""
        bound = self.bound
        centre = bound.fixed_mean.copy()
        if bound.mean is not None:
            centre[bound.shared] = np.broadcast_to(bound.mean.arguments["mu"], len(bound.shared))
        return bound.coefficients.predictors(bound.x, bound.everywhere) @ centre

    @cached_property
    def outcome(self) -> np.ndarray:
        """(y - prior mean) / known error, in natural units, (unit,)."""
        return (self.bound.y - self.offset) / self.bound.unit / self.error

    def rows(self, x: np.ndarray, features: tuple[Features, ...], chosen: slice) -> np.ndarray:
        """Z of the chosen rows, (unit, weight)."""
        coefficients, unit, parts = self.bound.coefficients, self.bound.unit, []
        if self.bound.mean is not None:
            k = self.bound.shared
            parts.append((coefficients.predictors(x, self.bound.everywhere) * coefficients.unit / unit)[chosen][:, k])
        for term, one in zip(self.bound.terms, features, strict=True):
            predictors = (coefficients.predictors(x, term.positions) * term.unit / unit)[chosen]
            matrix = one.matrix[chosen]
            dense = matrix.toarray() if sp.issparse(matrix) else matrix
            parts.append((dense[:, :, None] * predictors[:, None, :]).reshape(len(predictors), -1))
        return np.concatenate(parts, axis=1)

    @cached_property
    def design(self) -> np.ndarray:
        """Z / known error of the training rows, (unit, weight)."""
        return self.rows(self.bound.x, self.bound.features, slice(None)) / self.error[:, None]

    @cached_property
    def statistics(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """G, b, y'y, and the part of the log density that does not depend on phi."""
        z, y = self.design, self.outcome
        constant = -0.5 * len(y) * np.log(2 * np.pi) - np.log(self.error).sum() - len(y) * np.log(self.bound.unit)
        return z.T @ z, z.T @ y, float(y @ y), float(constant)

    @cached_property
    def size(self) -> int:
        """How many numbers phi is."""
        return sum(parameter.size for parameter in self.bound.parameters)

    def values(self, point: np.ndarray) -> dict[str, Any]:
        """Hyperparameters at points (..., size) of the sampler's scale."""
        result, start = {}, 0
        for parameter in self.bound.parameters:
            result[parameter.name] = parameter.value(point[..., start : start + parameter.size])
            start += parameter.size
        return result

    def log_prior(self, point: np.ndarray, values: Mapping[str, Any]) -> Any:
        """Log density of the hyperpriors on the sampler's scale, (...)."""
        total, start = np.zeros(point.shape[:-1]), 0
        for parameter in self.bound.parameters:
            total = total + parameter.log_density(values[parameter.name], point[..., start : start + parameter.size])
            start += parameter.size
        return total

    def sigma(self, values: Mapping[str, Any]) -> Any:
        """The unknown part of the error, in natural units; 1 where the errors are known, (...)."""
        return values["sigma"] / self.bound.unit if "sigma" in values else np.ones(())

    def root(self, scales: Scales, matrix: np.ndarray) -> np.ndarray:
        """`matrix` T for a matrix (row, weight): T is diagonal, or has a block a feature."""
        result = matrix * np.concatenate([scale.ravel() for scale, _ in scales])
        for block, (_, root) in zip(self.blocks, scales, strict=True):
            if root is not None:
                part = result[:, block.rows].reshape(-1, block.varying) @ root
                result[:, block.rows] = part.reshape(len(matrix), -1)
        return result

    def conditional(self, values: Mapping[str, Any], scales: Scales | None = None
                    ) -> "Conditional":
        """The weights' conditional at one value of the hyperparameters, whose scales may be known already."""
        gram, moment, *_ = self.statistics
        scales = scales or [block.scales(self.bound, values) for block in self.blocks]
        s = float(self.sigma(values))
        product = self.root(scales, gram)
        precision = self.root(scales, product.T) / s**2
        precision.flat[:: len(precision) + 1] += 1.0
        lower, info = CHOLESKY(precision, lower=1, clean=1)
        if info != 0:
            raise FloatingPointError("the precision of the weights is not finite")
        mean, _ = SOLVE(lower, self.root(scales, moment[None, :])[0] / s**2, lower=1)
        return Conditional(lower, mean, scales, s, product)

    def log_likelihood(self, given: "Conditional") -> float:
        """log p(y | phi)."""
        _, _, square, constant = self.statistics
        # T'b / s^2 = M z_hat, so that the fit z_hat' M z_hat needs no product with G.
        projected = given.lower.T @ given.mean
        residual = square / given.s**2 - float(projected @ projected)
        return (constant - len(self.bound.rows) * float(np.log(given.s)) - float(np.log(given.lower.diagonal()).sum())
                - 0.5 * residual)

    def value(self, point: np.ndarray) -> float:
        """log p(y, phi) on the sampler's scale, without its gradient."""
        with np.errstate(all="ignore"):
            values = self.values(point)
            try:
                found = self.log_likelihood(self.conditional(values)) + float(self.log_prior(point, values))
            except FloatingPointError:
                return -np.inf
        return found if np.isfinite(found) else -np.inf

    def log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(y, phi) on the sampler's scale and its gradient, through Fisher's identity.

        d log p / dT = E[Z'(y - Z T z) z'] / s^2 over z | y, phi; T and s are carried to phi by a complex step.
        """
        with np.errstate(all="ignore"):
            try:
                value, slope = self._log_density(point)
            except FloatingPointError:
                return -np.inf, np.zeros(len(point))
        return (value, slope) if np.isfinite(value) else (-np.inf, np.zeros(len(point)))

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        # The last row takes no step: it is there where there is nothing to step in.
        steps = point + STEP * 1j * np.eye(len(point) + 1, len(point))
        stepped = self.values(steps)
        prior = self.log_prior(steps, stepped)
        slope = prior.imag / STEP
        # A complex step leaves the real part as it is: the first one's is the point's own.
        values = {name: value[0].real for name, value in stepped.items()}
        moved = [block.scales(self.bound, stepped) for block in self.blocks]
        scales = [(scale.real[0] if scale.ndim == 3 else scale, root if root is None else root.real[0])
                  for scale, root in moved]
        _, moment, square, _ = self.statistics
        given = self.conditional(values, scales)
        lower, mean, scales, s, product = given
        value = self.log_likelihood(given) + float(prior[0].real)
        triangle, _ = INVERT(lower, lower=1)
        inverse = triangle + triangle.T
        inverse.flat[:: len(inverse) + 1] /= 2
        projected = lower.T @ mean
        explained = float(projected @ projected)
        second = inverse + np.outer(mean, mean)
        product = product / s**2
        for block, (scale, root), (moved_scale, moved_root) in zip(self.blocks, scales, moved, strict=True):
            if block.term is None:
                continue
            rows, shape = block.rows, (block.features, block.varying)
            if root is None:
                by_scale = moment[rows] * mean[rows] / s**2 - (product[rows] * second[rows]).sum(axis=1)
                slope += (by_scale.reshape(shape) * moved_scale.imag / STEP).sum(axis=(-2, -1))
                continue
            # E over z of Z'(y - Z T z) z' / s^2, the varying x varying block of every feature.
            z = mean[rows].reshape(shape)
            direction = (moment[rows].reshape(shape)[:, :, None] * z[:, None, :] / s**2
                         - product[rows].reshape(*shape, -1) @ second[rows].reshape(*shape, -1).mT)
            slope += ((direction * root).sum(axis=-1) * moved_scale.imag / STEP).sum(axis=(-2, -1))
            assert moved_root is not None
            slope += ((direction * scale[:, :, None]).sum(axis=0) * moved_root.imag / STEP).sum(axis=(-2, -1))
        by_log_s = (square / s**2 - explained - mean @ mean + len(mean) - np.trace(inverse) - len(self.bound.rows))
        return value, (slope + by_log_s * np.asarray(self.sigma(stepped)).imag / STEP / s)[:-1]

    def each(self, values: Mapping[str, np.ndarray], count: int) -> Iterator[dict[str, np.ndarray]]:
        """The hyperparameters draw by draw."""
        for draw in range(count):
            yield {parameter.name: values[parameter.name][draw] for parameter in self.bound.parameters}

    def draw_weights(self, values: Mapping[str, np.ndarray], count: int,
                     rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Exact draws of the mean, in data units, and of the whitened weights, one a draw of the hyperparameters."""
        noise = rng.standard_normal((count, self.blocks[-1].stop))
        z = np.empty_like(noise)
        for draw, one in enumerate(self.each(values, count)):
            lower, mean, *_ = self.conditional(one)
            z[draw] = mean + SUBSTITUTE(lower, noise[draw], lower=1, trans=1)[0]
        result = {}
        for block in self.blocks:
            part = z[:, block.rows].reshape(count, block.features, block.varying)
            if block.term is None:
                shared = self.bound.mean
                assert shared is not None
                result[shared.name] = shared.arguments["mu"] + shared.arguments["sigma"] * part[:, 0]
            else:
                result[f"{block.term.name}_z"] = part
        return result

    def leave_one_out(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """log p(y_i | y_-i, phi) for draws of the hyperparameters, all weights integrated out, (draw, unit)."""
        y, shift = self.outcome, np.log(self.error) + np.log(self.bound.unit)
        rows = []
        for one in self.each(values, count):
            lower, mean, scales, s, _ = self.conditional(one)
            z = self.root(scales, self.design)
            leverage = (SUBSTITUTE(lower, z.T, lower=1)[0] ** 2).sum(axis=0) / s**2
            residual, left = (y - z @ mean) / (1 - leverage), s**2 / (1 - leverage)
            rows.append(-0.5 * (residual**2 / left + np.log(2 * np.pi * left)) - shift)
        return np.array(rows)
