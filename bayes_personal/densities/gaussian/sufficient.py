"""What of the rows the collapsed density needs: sums over rows, made in one pass, whose size does not grow with them.

Where y_i is Normal given eta_i and eta is linear in Gaussian weights, sufficient are Z'Z, Z'y and y'y of the rows, each
divided by its known error. One term whose features indicate groups can be eliminated group by group: of its weights
only each group's own block of Z'Z and its products with the other weights are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self, final

import numpy as np
import scipy.sparse as sp
from scipy.linalg.blas import dsyrk  # pyright: ignore[reportAttributeAccessIssue] (compiled, without a stub)

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term

# Weights beside the eliminated groups: beyond, a Cholesky factor an evaluation costs more than moving all weights.
LARGEST = 1000


def collapses(bound: BoundModel) -> bool:
    """Whether the weights of this model integrate out exactly, at a cost worth paying."""
    gaussian = bound.family.gaussian and bound.mean_prior.gaussian and not bound.nonlinear
    return gaussian and Arrangement(bound).size <= LARGEST


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The weights of the mean or of one term, in the order (feature, varying).

    Attributes
    ----------
    term : whose they are; None for the mean
    start : place of the first among the weights that are not eliminated
    features, varying : how many
    """

    term: Term | None
    start: int
    features: int
    varying: int

    @property
    def stop(self) -> int:
        """Where the next block starts."""
        return self.start + self.features * self.varying

    @cached_property
    def weights(self) -> slice:
        """Its own among the weights that are not eliminated."""
        return slice(self.start, self.stop)


@final
@dataclass(frozen=True, eq=False)
class Loadings:
    """What weights multiply in some rows, in natural units and divided by the rows' known errors.

    Attributes
    ----------
    dense : (unit, weight)
    groups : group of each row, (unit,)
    own : what the weights of a row's group multiply, (unit, varying)
    """

    dense: np.ndarray
    groups: np.ndarray
    own: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Arrangement:
    """Which weights a model has, and which of them are eliminated group by group.

    Of several terms with groups the one with most weights is eliminated; the others' stand beside the mean's and the
    smooth terms', as nested and crossed groups need.
    """

    bound: BoundModel

    @cached_property
    def eliminated(self) -> Block | None:
        """The weights that are eliminated group by group."""
        grouped = [Block(term, 0, term.size, len(term.positions)) for term in self.bound.terms if term.grouped]
        return max(grouped, key=lambda block: block.stop, default=None)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All other weights: the mean's, if there is one, and each term's."""
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
        """How many weights are not eliminated."""
        return self.blocks[-1].stop if self.blocks else 0

    @cached_property
    def groups(self) -> int:
        """How many groups are eliminated."""
        return self.eliminated.features if self.eliminated else 0

    @cached_property
    def varying(self) -> int:
        """How many weights each of them has."""
        return self.eliminated.varying if self.eliminated else 1

    def error(self, constants: np.ndarray) -> np.ndarray:
        """Known part of rows' errors, in natural units of the outcome where nothing else has a unit, (unit,)."""
        return constants / (1.0 if self.bound.family.error_parameter else self.bound.unit)

    @cached_property
    def centre(self) -> np.ndarray:
        """Prior mean of all coefficients, the intercept at the predictors' means, (coefficient,)."""
        bound, centre = self.bound, self.bound.fixed_mean.copy()
        if bound.mean is not None:
            centre[bound.shared] = np.broadcast_to(bound.mean.arguments["mu"], len(bound.shared))
        return centre

    def outcome(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray) -> np.ndarray:
        """(y - prior mean) / known error of rows, in natural units, (unit,)."""
        bound = self.bound
        offset = bound.coefficients.predictors(x, bound.everywhere) @ self.centre
        return (y - offset) / bound.unit / self.error(constants)

    def loadings(self, x: np.ndarray, constants: np.ndarray, features: tuple[Features, ...]) -> Loadings:
        """What the weights multiply in rows with these predictors, known constants and features."""
        bound, error = self.bound, self.error(constants)
        dense = np.empty((len(x), self.size), order="F")
        groups, own = np.zeros(len(x), np.int64), np.zeros((len(x), self.varying))
        of_term = dict(zip(map(id, bound.terms), features, strict=True))
        for block in (*self.blocks, *([self.eliminated] if self.eliminated else [])):
            positions = bound.shared if block.term is None else block.term.positions
            everywhere = bound.everywhere if block.term is None else positions
            unit = (bound.coefficients.unit if block.term is None else block.term.unit) / bound.unit
            predictors = bound.coefficients.predictors(x, everywhere) * unit / error[:, None]
            if block.term is None:
                dense[:, block.weights] = predictors[:, positions]
                continue
            matrix = of_term[id(block.term)].matrix
            if block is self.eliminated:
                groups, own = matrix.indices.astype(np.int64), predictors
                continue
            for k in range(block.varying):
                into = dense[:, block.start + k : block.stop : block.varying]
                if sp.issparse(matrix):
                    into[:] = 0
                    into[np.arange(len(x)), matrix.indices] = predictors[:, k]
                else:
                    np.multiply(matrix, predictors[:, k : k + 1], out=into)
        return Loadings(dense, groups, own)


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows; of two sets of rows they add, and those of some rows can be taken away.

    Attributes
    ----------
    gram, moment : Z'Z and Z'y of the weights that are not eliminated
    own, cross, own_moment : of each eliminated group, Z_g'Z_g, Z_g'Z and Z_g'y
    square : y'y
    count : of rows
    log_error : sum of the logarithms of the known errors
    """

    gram: np.ndarray
    moment: np.ndarray
    own: np.ndarray
    cross: np.ndarray
    own_moment: np.ndarray
    square: float
    count: int
    log_error: float

    @classmethod
    def of(cls, arrangement: Arrangement, batches: Iterable[Batch]) -> Self:
        """One pass over rows."""
        k, g, p = arrangement.size, arrangement.groups, arrangement.varying
        gram, moment = np.zeros((k, k), order="F"), np.zeros(k)
        own, cross, own_moment = np.zeros((g, p, p)), np.zeros((g, p, k)), np.zeros((g, p))
        square, count, log_error = 0.0, 0, 0.0
        for batch in batches:
            z = arrangement.loadings(batch.x, batch.constants, arrangement.bound.features_at(batch.frame))
            y = arrangement.outcome(batch.x, batch.y, batch.constants)
            if k:
                gram = dsyrk(1.0, z.dense, beta=1.0, c=gram, trans=1, overwrite_c=1)
                moment += y @ z.dense
            if g:
                seen, places = np.unique(z.groups, return_inverse=True)
                indicator = sp.csr_array((np.ones(len(y)), (places, np.arange(len(y)))), shape=(len(seen), len(y)))
                own_moment[seen] += indicator @ (z.own * y[:, None])
                for a in range(p):
                    own[seen, a] += indicator @ (z.own[:, a : a + 1] * z.own)
                    cross[seen, a] += indicator @ (z.own[:, a : a + 1] * z.dense)
            square += float(y @ y)
            count += len(y)
            log_error += float(np.log(arrangement.error(batch.constants)).sum())
        return cls(np.triu(gram) + np.triu(gram, 1).T, moment, own, cross, own_moment, square, count, log_error)

    @cached_property
    def matrices(self) -> tuple[np.ndarray, ...]:
        """All but the sums of the outcomes alone, as the kernel takes them: those of groups in one, groups last."""
        of_groups = np.concatenate([self.own, self.cross, self.own_moment[:, :, None]], axis=2)
        return self.gram, self.moment, np.ascontiguousarray(np.moveaxis(of_groups, 0, -1))

    def combined(self, other: "Statistics", sign: float) -> Self:
        """This plus or minus that."""
        return type(self)(*(getattr(self, each.name) + sign * getattr(other, each.name) for each in fields(self)))

    def __add__(self, other: "Statistics") -> Self:
        return self.combined(other, 1)

    def __sub__(self, other: "Statistics") -> Self:
        return self.combined(other, -1)
