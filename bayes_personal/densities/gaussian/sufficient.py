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

from bayes_personal.data.rows import Batch
from bayes_personal.densities.gaussian.arrangement import Arrangement, Loadings
from bayes_personal.kernels import gaussian


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
