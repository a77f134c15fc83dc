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
class Features:
    """f(c) of some rows.

    Attributes
    ----------
    matrix
        (unit, feature): dense, or sparse with a single 1 in each row. Features that training saw come first, and then
        features that training never saw, whose weights have their prior as posterior.
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
        return xp.matmul(self.matrix, weights)

    def take(self, rows: Any, xp: Any) -> "Features":
        """Return the features of some rows, whose numbers may be symbols."""
        if sp.issparse(self.matrix):
            return Features(Indicated(xp.take(self.matrix.indices, rows, axis=0)))
        return Features(xp.take(self.matrix, rows, axis=0))
