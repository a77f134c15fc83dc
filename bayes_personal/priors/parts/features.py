"""f(c): what a piece of a prior reads off the context of every row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np
import scipy.sparse as sp


class Indicated(NamedTuple):
    """A matrix with a single 1 in each row, held as the column of that 1, (unit,)."""

    indices: Any


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """A matrix with 1 for all steps that a row has made, the first ones, less each step's share of the training rows.

    It is held as the number of these steps, since rows may be as many as steps.

    Attributes
    ----------
    made : how many steps each row has made, (unit,); it may be symbolic
    share : share of the training rows that have made each step, (step,)
    """

    made: Any
    share: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(unit, step)."""
        return len(self.made), len(self.share)

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, rows: Any) -> "Steps":
        """Take some rows."""
        return Steps(self.made[rows], self.share)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        made = self.made[:, None] > np.arange(len(self.share))
        return (made - self.share).astype(dtype or float)

    def times(self, weights: Any, xp: Any) -> Any:
        """Return the matrix times weights (..., step, varying), (..., unit, varying)."""
        levels = xp.cumsum(weights, axis=weights.ndim - 2)
        levels = xp.concatenate([xp.zeros_like(weights[..., :1, :]), levels], axis=weights.ndim - 2)
        return levels[..., self.made, :] - xp.matmul(self.share[None, :], weights)


@final
@dataclass(frozen=True, eq=False)
class Features:
    """f(c) of some rows.

    Attributes
    ----------
    matrix
        (unit, feature): dense, `Steps`, or sparse with a single 1 in each row. Features that training saw come first,
        and then features that training never saw, whose weights have their prior as posterior.
    status
        Status of each row's label, by column: "known", "new", "empty" (a declared category without training rows) or
        "unknown" (missing).
    """

    matrix: Any
    status: Mapping[str, np.ndarray] = field(default_factory=dict)

    def times(self, weights: Any, xp: Any) -> Any:
        """Return f(c)' W (..., unit, varying) for weights W (..., feature, varying)."""
        if sp.issparse(self.matrix) or isinstance(self.matrix, Indicated):
            return weights[..., self.matrix.indices, :]
        if isinstance(self.matrix, Steps):
            return self.matrix.times(weights, xp)
        return xp.matmul(self.matrix, weights)

    def take(self, rows: Any, xp: Any) -> "Features":
        """Return the features of some rows, whose numbers may be symbols."""
        if sp.issparse(self.matrix):
            return Features(Indicated(xp.take(self.matrix.indices, rows, axis=0)))
        if isinstance(self.matrix, Steps):
            return Features(Steps(xp.take(self.matrix.made, rows, axis=0), self.matrix.share))
        return Features(xp.take(self.matrix, rows, axis=0))
