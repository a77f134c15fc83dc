"""f(c): what a piece of a prior reads off the context of every row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np
import scipy.sparse as sp


class Indicated(NamedTuple):
    """A matrix with a single 1 a row, by where that is, (unit,)."""

    indices: Any


@final
@dataclass(frozen=True, eq=False)
class Features:
    """f(c) of some rows.

    Attributes
    ----------
    matrix
        (unit, feature): dense, or sparse with a single 1 a row. The term's own features come first; behind them
        stand features that training never saw, whose weights have their prior as posterior.
    status
        Column by column, what is known of each row's label: "known", "new", "empty" (a declared category without
        training rows) or "unknown" (missing).
    """

    matrix: Any
    status: Mapping[str, np.ndarray] = field(default_factory=dict)

    def times(self, weights: Any, xp: Any) -> Any:
        """f(c)' W for weights (..., feature, varying), (..., unit, varying)."""
        if sp.issparse(self.matrix) or isinstance(self.matrix, Indicated):
            return weights[..., self.matrix.indices, :]
        return xp.matmul(self.matrix, weights)

    def taken(self, rows: Any, xp: Any) -> "Features":
        """Of some rows, which may be symbols."""
        if sp.issparse(self.matrix):
            return Features(Indicated(xp.take(self.matrix.indices, rows, axis=0)))
        return Features(xp.take(self.matrix, rows, axis=0))
