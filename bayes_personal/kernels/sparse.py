"""Cholesky factors of sparse matrices whose pattern stays the same, and the entries of the inverse on that pattern.

A matrix has a block (varying, varying) for every pair of neighbouring nodes and every node: diagonal between nodes,
full within one. Columns hold their lower triangle, the diagonal first, the rows below it in order. The nodes are
eliminated in an order found once in which few zeros fill in (multiple minimum degree).

References: Davis (2006), doi:10.1137/1.9780898718881. Takahashi, Fagan and Chen (1973), and Rue, Martino and Chopin
(2009), doi:10.1111/j.1467-9868.2008.00700.x, on the inverse.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from bayes_personal.kernels.compiling import compiled


@compiled
def factorize(start, rows, values):
    """L in place of a matrix A = L L'; False where it is not positive definite."""
    size = len(start) - 1
    column, place = np.zeros(size), start[:-1].copy()
    # Of every row, a list of the columns whose next entry is in it.
    first, following = np.full(size, -1), np.full(size, -1)
    for j in range(size):
        begin, end = start[j], start[j + 1]
        for t in range(begin, end):
            column[rows[t]] = values[t]
        k = first[j]
        while k >= 0:
            after, at, stop = following[k], place[k], start[k + 1]
            factor = values[at]
            for t in range(at, stop):
                column[rows[t]] -= factor * values[t]
            if at + 1 < stop:
                place[k] = at + 1
                following[k] = first[rows[at + 1]]
                first[rows[at + 1]] = k
            k = after
        if not column[j] > 0:
            return False
        root = np.sqrt(column[j])
        values[begin] = root
        for t in range(begin + 1, end):
            values[t] = column[rows[t]] / root
        if begin + 1 < end:
            place[j] = begin + 1
            following[j] = first[rows[begin + 1]]
            first[rows[begin + 1]] = j
    return True


@compiled
def inverse(start, rows, lower):
    """The entries of (L L')^-1 on the pattern of L (Takahashi's equations)."""
    size = len(start) - 1
    result, column, total = np.empty(len(lower)), np.zeros(size), np.zeros(size)
    member = np.full(size, -1)
    for j in range(size - 1, -1, -1):
        begin, end = start[j], start[j + 1]
        pivot = lower[begin]
        for t in range(begin + 1, end):
            r = rows[t]
            column[r], total[r], member[r] = lower[t] / pivot, 0.0, j
        for t in range(begin + 1, end):
            i = rows[t]
            factor, added = column[i], result[start[i]] * column[i]
            for u in range(start[i] + 1, start[i + 1]):
                r = rows[u]
                if member[r] == j:
                    added += result[u] * column[r]
                    total[r] += result[u] * factor
            total[i] += added
        diagonal = 1 / pivot**2
        for t in range(begin + 1, end):
            result[t] = -total[rows[t]]
            diagonal += column[rows[t]] * total[rows[t]]
        result[begin] = diagonal
    return result


@compiled
def forward(start, rows, lower, right):
    """L^-1 B in place of B (size, columns)."""
    for j in range(len(start) - 1):
        for c in range(right.shape[1]):
            right[j, c] /= lower[start[j]]
        for t in range(start[j] + 1, start[j + 1]):
            for c in range(right.shape[1]):
                right[rows[t], c] -= lower[t] * right[j, c]


@compiled
def backward(start, rows, lower, right):
    """L'^-1 B in place of B (size, columns)."""
    for j in range(len(start) - 2, -1, -1):
        for t in range(start[j] + 1, start[j + 1]):
            for c in range(right.shape[1]):
                right[j, c] -= lower[t] * right[rows[t], c]
        for c in range(right.shape[1]):
            right[j, c] /= lower[start[j]]


def order(nodes: int, edges: np.ndarray) -> np.ndarray:
    """The nodes in an order of elimination in which few zeros fill in."""
    ones = np.ones(len(edges))
    joined = sp.coo_array((ones, tuple(edges.T)), shape=(nodes, nodes))
    graph = sp.csc_matrix(joined + joined.T + sp.diags_array(np.full(nodes, 1.0 + nodes)))
    found = splu(graph, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.argsort(found.perm_c)


def filled(nodes: int, edges: np.ndarray) -> list[np.ndarray]:
    """Below the diagonal, which nodes have an entry in each column of the factor."""
    below: list[list[np.ndarray]] = [[] for _ in range(nodes)]
    by_column = edges[np.argsort(edges[:, 1], kind="stable")]
    cuts = np.searchsorted(by_column[:, 1], np.arange(1, nodes))
    for column, part in enumerate(np.split(by_column[:, 0], cuts)):
        below[column].append(part)
    result = []
    for column in range(nodes):
        found = np.unique(np.concatenate(below[column]))
        result.append(found)
        if len(found) > 1:
            # What a column has below its first entry fills into the column of that.
            below[found[0]].append(found[1:])
    return result


@final
@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a matrix of blocks and its factor have entries.

    Attributes
    ----------
    start, rows : of each column of the factor, (column + 1,) and (entry,)
    blocks : places of the entries of each node's own block, its lower triangle, (node, varying, varying)
    pairs : places of the diagonal entries of each edge's block, (edge, varying)
    """

    start: np.ndarray
    rows: np.ndarray
    blocks: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, nodes: int, edges: np.ndarray, varying: int) -> Self:
        """For nodes in their order of elimination; edges have the later node first."""
        below, inside = filled(nodes, edges), np.arange(varying)
        columns = [np.concatenate([column * varying + inside[a:], (found[:, None] * varying + inside).ravel()])
                   for column, found in enumerate(below) for a in inside]
        start = np.concatenate([[0], np.cumsum([len(each) for each in columns])])
        corner = start[:-1].reshape(nodes, varying)
        blocks = corner[:, None, :] + np.maximum(inside[:, None] - inside, 0)
        ranks = np.array([np.searchsorted(below[column], row) for row, column in edges], np.int64)
        pairs = corner[edges[:, 1]] + (varying - inside) + ranks[:, None] * varying + inside
        return cls(start, np.concatenate(columns).astype(np.int64), blocks, pairs)

    def matrix(self, own: np.ndarray, joined: np.ndarray) -> np.ndarray:
        """The entries of a matrix from blocks (node, varying, varying) and diagonals between nodes (edge, varying)."""
        values = np.zeros(len(self.rows))
        values[self.pairs] = joined
        row, column = self.low
        values[self.blocks[:, row, column]] = own[:, row, column]
        return values

    @cached_property
    def low(self) -> tuple[np.ndarray, ...]:
        """Rows and columns of a block's lower triangle."""
        return np.tril_indices(self.blocks.shape[1])

    def log_determinant(self, lower: np.ndarray) -> float:
        """Of L L'."""
        return float(2 * np.log(lower[self.start[:-1]]).sum())

    def inverse(self, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the inverse of L L', what `matrix` takes."""
        found = inverse(self.start, self.rows, lower)
        row, column = self.low
        own = np.empty(self.blocks.shape)
        own[:, row, column] = own[:, column, row] = found[self.blocks[:, row, column]]
        return own, found[self.pairs]
