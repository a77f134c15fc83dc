"""The order in which the Gaussian weights of a model stand, and their loadings in rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
import scipy.sparse as sp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import Batch
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term, weights

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

    def linear_predictors(self, batch: Batch) -> "LinearPredictors":
        """Return the linear predictors of rows as functions of the weights."""
        bound, coefficients = self.bound, self.bound.coefficients
        count, features = coefficients.linear_predictors, bound.features_at(batch.frame)
        natural = np.full(len(batch), bound.unit)
        parts = [self.loadings(batch.x, natural, features, None if count == 1 else place) for place in range(count)]
        products = coefficients.predictors(batch.x, bound.everywhere) * self.centre
        return LinearPredictors(parts[0].groups, np.stack([part.of_group.T for part in parts], axis=1) * bound.unit,
                                np.stack([part.dense.T for part in parts], axis=1) * bound.unit,
                                coefficients.total(products, bound.everywhere, np).T)

    def whitened_weights(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the whitened weights that are not eliminated, (draw, weight)."""
        result, mean = np.empty((count, self.size)), self.bound.mean
        for block in self.blocks:
            if block.term is not None:
                part = values[f"{block.term.name}_z"]
            else:
                assert mean is not None
                part = (values[mean.name] - mean.arguments["mu"]) / mean.arguments["sigma"]
            result[:, block.weights] = part.reshape(count, -1)
        return result

    def natural_weights(self, values: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """Return the weights that are not eliminated in natural units, (draw, weight)."""
        result, mean, bound = np.empty((count, self.size)), self.bound.mean, self.bound
        for block in self.blocks:
            if block.term is not None:
                part = weights(block.term, values, values[f"{block.term.name}_z"], np) / block.term.unit
            else:
                assert mean is not None
                part = (values[mean.name] - mean.arguments["mu"]) / bound.coefficients.unit[bound.shared]
            result[:, block.weights] = part.reshape(count, -1)
        return result

    def natural_group_weights(self, values: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Return the weights of the eliminated groups in natural units, (draw, group, varying); None without groups."""
        if self.eliminated is None:
            return None
        term = self.eliminated.term
        assert term is not None
        return weights(term, values, values[f"{term.name}_z"], np) / term.unit


class LinearPredictors(NamedTuple):
    """What the linear predictors of some rows consist of, in their own units.

    Attributes
    ----------
    groups : eliminated group of each row, (unit,)
    of_group : what weights in natural units of a row's group add, (varying, predictor, unit)
    dense : what the weights that are not eliminated add, (weight, predictor, unit)
    offset : prior means, (predictor, unit)
    """

    groups: np.ndarray
    of_group: np.ndarray
    dense: np.ndarray
    offset: np.ndarray

    def at(self, natural: np.ndarray, of_groups: np.ndarray | None) -> np.ndarray:
        """Return the linear predictors at draws of the weights, (draw, predictor, unit).

        `natural` are those that are not eliminated, (draw, weight), and `of_groups` those that are, (draw, group,
        varying), or None where there are none.
        """
        eta = np.tensordot(natural, self.dense, 1)
        eta += self.offset
        if of_groups is not None:
            for k, loading in enumerate(self.of_group):
                eta += loading * of_groups[:, None, self.groups, k]
        return eta
