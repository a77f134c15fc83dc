"""Sums over rows, made in one pass, that the collapsed density needs; their size does not grow with the rows.

Where y_i is Normal given eta_i and eta is linear in Gaussian weights, Z'Z, Z'y and y'y of the rows are sufficient, with
each row divided by its known error. One term whose features indicate groups can be eliminated group by group: for its
weights the sums hold only each group's own block of Z'Z and its products with the other weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, Self, final

import numpy as np
import scipy.sparse as sp
from scipy.linalg.blas import dsyrk  # pyright: ignore[reportAttributeAccessIssue] (compiled, without a stub)

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.kernels import gaussian
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term

# Most weights beside the eliminated groups, or most rows where these are fewer: with more, a Cholesky factor an
# evaluation costs more than sampling the weights.
LARGEST = 1000
# From so many weights on, a matrix of rows is factored in place of one of weights where rows are fewer than this share
# of the weights: a matrix product that the one needs and the other does not has both as its sides.
MANY, FEWER = 100, 0.6


def collapses(bound: BoundModel) -> bool:
    """Say whether the weights of this model integrate out exactly, at a cost worth paying."""
    gaussian = bound.family.gaussian and bound.mean_prior.gaussian and not bound.nonlinear
    return gaussian and Arrangement(bound).rank <= LARGEST


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The weights of the mean or of one term, in the order (feature, varying).

    Attributes
    ----------
    term : the term of the weights; None for the mean
    start : place of the first weight among those that are not eliminated
    features, varying : numbers of features and of coefficients that vary
    """

    term: Term | None
    start: int
    features: int
    varying: int

    @property
    def stop(self) -> int:
        """Start of the next block."""
        return self.start + self.features * self.varying

    @cached_property
    def weights(self) -> slice:
        """The block's part of the weights that are not eliminated."""
        return slice(self.start, self.stop)


@final
@dataclass(frozen=True, eq=False)
class Loadings:
    """The loadings Z of weights in some rows, in natural units and divided by the rows' known errors.

    Attributes
    ----------
    dense : loadings of the weights that are not eliminated, (unit, weight)
    groups : group of each row, (unit,)
    of_group : loadings of the weights of each row's group, (unit, varying)
    """

    dense: np.ndarray
    groups: np.ndarray
    of_group: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Arrangement:
    """The weights of a model, some of which are eliminated group by group.

    Of several terms with groups the term with most weights is eliminated. The weights of the others stand beside those
    of the mean and of smooth terms, as nested and crossed groups need.
    """

    bound: BoundModel

    @cached_property
    def eliminated(self) -> Block | None:
        """The weights that are eliminated group by group."""
        grouped = [Block(term, 0, term.size, len(term.positions)) for term in self.bound.terms if term.grouped]
        return max(grouped, key=lambda block: block.stop, default=None)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All other weights: those of the mean, if there is one, and of each term."""
        bound, blocks, start = self.bound, [], 0
        if bound.mean is not None:
            blocks.append(Block(None, 0, 1, len(bound.shared)))
            start = blocks[-1].stop
        for term in bound.terms:
            if self.eliminated is None or term is not self.eliminated.term:
                blocks.append(Block(term, start, term.size, len(term.positions)))
                start = blocks[-1].stop
        return tuple(blocks)

    @cached_property
    def size(self) -> int:
        """Number of weights that are not eliminated."""
        return self.blocks[-1].stop if self.blocks else 0

    @cached_property
    def by_rows(self) -> bool:
        """Whether rows are so few that they themselves stand in place of sums over them."""
        return self.eliminated is None and self.size >= MANY and self._outcomes <= FEWER * self.size

    @property
    def _outcomes(self) -> int:
        """Number of outcomes, or of pseudo-observations, of which a row has one for each linear predictor."""
        return len(self.bound.rows) * self.bound.coefficients.linear_predictors

    @property
    def rank(self) -> int:
        """Number of rows of the matrix that is factored at each evaluation of the density."""
        return self._outcomes if self.by_rows else self.size

    @cached_property
    def groups(self) -> int:
        """Number of groups that are eliminated."""
        return self.eliminated.features if self.eliminated else 0

    @cached_property
    def varying(self) -> int:
        """Number of weights of each eliminated group."""
        return self.eliminated.varying if self.eliminated else 1

    def error(self, constants: np.ndarray) -> np.ndarray:
        """Return the known part of rows' errors, in natural units of the outcome if it is the only part, (unit,)."""
        return constants / (1.0 if self.bound.family.error_parameter else self.bound.unit)

    @cached_property
    def centre(self) -> np.ndarray:
        """Prior mean of all coefficients, the intercept at the predictors' means, (coefficient,)."""
        bound, centre = self.bound, self.bound.fixed_mean.copy()
        if bound.mean is not None:
            centre[bound.shared] = np.broadcast_to(bound.mean.arguments["mu"], len(bound.shared))
        return centre

    def outcome(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """Return (y - prior mean) / known error of rows, in natural units, (unit,)."""
        bound = self.bound
        offset = bound.coefficients.predictors(x, bound.everywhere) @ self.centre
        return (y - offset) / bound.unit / self.error(constants)

    def standardised(self, batch: Batch) -> tuple[Loadings, np.ndarray, float]:
        """Return loadings and outcomes of rows, and the sum of the logarithms of their known errors."""
        z = self.loadings(batch.x, batch.constants, self.bound.features_at(batch.frame))
        y = self.outcome(batch.x, batch.y, batch.constants)
        return z, y, float(np.log(self.error(batch.constants)).sum())

    def loadings(self, x: np.ndarray, constants: np.ndarray, features: tuple[Features, ...],
                 predictor: int | None = None) -> Loadings:
        """Return the loadings of the weights in rows with these predictors, known constants and features.

        `predictor` is the linear predictor to which they contribute, where a row has several.
        """
        bound, error = self.bound, self.error(constants)
        dense = np.empty((len(x), self.size), order="F")
        groups, of_group = np.zeros(len(x), np.int64), np.zeros((len(x), self.varying))
        of_term = dict(zip(map(id, bound.terms), features, strict=True))
        for block in (*self.blocks, *([self.eliminated] if self.eliminated else [])):
            positions = bound.shared if block.term is None else block.term.positions
            everywhere = bound.everywhere if block.term is None else positions
            unit = (bound.coefficients.unit if block.term is None else block.term.unit) / bound.unit
            predictors = bound.coefficients.predictors(x, everywhere) * unit / error[:, None]
            if predictor is not None:
                assert bound.coefficients.predictor is not None
                predictors[:, bound.coefficients.predictor[everywhere] != predictor] = 0
            if block.term is None:
                dense[:, block.weights] = predictors[:, positions]
                continue
            matrix = of_term[id(block.term)].matrix
            if block is self.eliminated:
                groups, of_group = matrix.indices.astype(np.int64), predictors
                continue
            for k in range(block.varying):
                column = dense[:, block.start + k : block.stop : block.varying]
                if sp.issparse(matrix):
                    column[:] = 0
                    column[np.arange(len(x)), matrix.indices] = predictors[:, k]
                else:
                    np.multiply(matrix, predictors[:, k : k + 1], out=column)
        return Loadings(dense, groups, of_group)

    def by_predictor(self, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what the linear predictors of rows consist of, in their own units.

        The group of each row, (unit,); what weights in natural units add to the linear predictors, those of its group
        (varying, predictor, unit), and those that are not eliminated (weight, predictor, unit); and the predictors'
        prior means, (predictor, unit).
        """
        bound, coefficients = self.bound, self.bound.coefficients
        count, features = coefficients.linear_predictors, bound.features_at(batch.frame)
        natural = np.full(len(batch), bound.unit)
        parts = [self.loadings(batch.x, natural, features, None if count == 1 else place) for place in range(count)]
        products = coefficients.predictors(batch.x, bound.everywhere) * self.centre
        return (parts[0].groups, np.stack([part.of_group.T for part in parts], axis=1) * bound.unit,
                np.stack([part.dense.T for part in parts], axis=1) * bound.unit,
                coefficients.total(products, bound.everywhere, np).T)


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows; those of two sets of rows add, and those of some rows can be subtracted.

    Attributes
    ----------
    gram, moment : Z'Z and Z'y of the weights that are not eliminated
    group_gram, cross, group_moment : Z_g'Z_g, Z_g'Z and Z_g'y of each eliminated group
    square : y'y
    count : number of rows
    log_error : sum of the logarithms of the known errors
    """

    kernel: ClassVar = gaussian

    gram: np.ndarray
    moment: np.ndarray
    group_gram: np.ndarray
    cross: np.ndarray
    group_moment: np.ndarray
    square: float
    count: int
    log_error: float

    @classmethod
    def of(cls, arrangement: Arrangement, batches: Iterable[Batch]) -> Self:
        """Sum over rows in one pass."""
        return cls.total(arrangement, map(arrangement.standardised, batches))

    @classmethod
    def total(cls, arrangement: Arrangement, parts: Iterable[tuple[Loadings, np.ndarray, float]]) -> Self:
        """Sum over loadings, outcomes and sums of log errors, a part of the rows at a time."""
        k, g, p = arrangement.size, arrangement.groups, arrangement.varying
        gram, moment = np.zeros((k, k), order="F"), np.zeros(k)
        group_gram, cross, group_moment = np.zeros((g, p, p)), np.zeros((g, p, k)), np.zeros((g, p))
        square, count, log_error = 0.0, 0, 0.0
        for z, y, log_error_of_part in parts:
            if k:
                gram = dsyrk(1.0, z.dense, beta=1.0, c=gram, trans=1, overwrite_c=1)
                moment += y @ z.dense
            if g:
                seen, places = np.unique(z.groups, return_inverse=True)
                indicator = sp.csr_array((np.ones(len(y)), (places, np.arange(len(y)))), shape=(len(seen), len(y)))
                group_moment[seen] += indicator @ (z.of_group * y[:, None])
                for a in range(p):
                    group_gram[seen, a] += indicator @ (z.of_group[:, a : a + 1] * z.of_group)
                    cross[seen, a] += indicator @ (z.of_group[:, a : a + 1] * z.dense)
            square += float(y @ y)
            count += len(y)
            log_error += log_error_of_part
        gram = np.triu(gram) + np.triu(gram, 1).T
        return cls(gram, moment, group_gram, cross, group_moment, square, count, log_error)

    @cached_property
    def matrices(self) -> tuple[np.ndarray, ...]:
        """The sums as the kernel takes them, without those of the outcomes alone; those of groups in one array."""
        of_groups = np.concatenate([self.group_gram, self.cross, self.group_moment[:, :, None]], axis=2)
        return self.gram, self.moment, np.ascontiguousarray(np.moveaxis(of_groups, 0, -1))

    @property
    def squares(self) -> np.ndarray:
        """Sum of the squared loadings of each weight that is not eliminated, (weight,)."""
        return np.diag(self.gram)

    def at_weights(self, kept: np.ndarray) -> Self:
        """Return the sums without those of other weights that are not eliminated."""
        return replace(self, gram=np.asfortranarray(self.gram[np.ix_(kept, kept)]), moment=self.moment[kept],
                       cross=self.cross[:, :, kept])

    def combined(self, other: "Statistics", sign: float) -> Self:
        """Return the sum of both, the other with this sign."""
        return type(self)(*(getattr(self, each.name) + sign * getattr(other, each.name) for each in fields(self)))

    def __add__(self, other: "Statistics") -> Self:
        return self.combined(other, 1)

    def __sub__(self, other: "Statistics") -> Self:
        return self.combined(other, -1)
