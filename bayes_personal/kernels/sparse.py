"""Cholesky factors of sparse matrices whose pattern stays the same, and the entries of the inverse on that pattern.

A matrix has a block (varying, varying) for every node and every pair of neighbouring nodes, full for a node and
diagonal for a pair. Columns store the lower triangle: the diagonal first, then the rows below it in order. The nodes
are eliminated in an order, determined once, in which few zeros fill in (multiple minimum degree).

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
    """Replace a matrix A = L L' by L; return whether A is positive definite."""
    size = len(start) - 1
    column, place = np.zeros(size), start[:-1].copy()
    # For every row, a linked list of the columns whose next entry is in that row.
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
    """Return the entries of (L L')^-1 on the pattern of L (Takahashi's equations)."""
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
    """Replace B (size, columns) by L^-1 B."""
    for j in range(len(start) - 1):
        for c in range(right.shape[1]):
            right[j, c] /= lower[start[j]]
        for t in range(start[j] + 1, start[j + 1]):
            for c in range(right.shape[1]):
                right[rows[t], c] -= lower[t] * right[j, c]


@compiled
def backward(start, rows, lower, right):
    """Replace B (size, columns) by L'^-1 B."""
    for j in range(len(start) - 2, -1, -1):
        for t in range(start[j] + 1, start[j + 1]):
            for c in range(right.shape[1]):
                right[j, c] -= lower[t] * right[rows[t], c]
        for c in range(right.shape[1]):
            right[j, c] /= lower[start[j]]


def order(nodes: int, edges: np.ndarray) -> np.ndarray:
    """Return the nodes in an order of elimination in which few zeros fill in."""
    ones = np.ones(len(edges))
    joined = sp.coo_array((ones, tuple(edges.T)), shape=(nodes, nodes))
    graph = sp.csc_matrix(joined + joined.T + sp.diags_array(np.full(nodes, 1.0 + nodes)))
    factor = splu(graph, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.argsort(factor.perm_c)


def filled(nodes: int, edges: np.ndarray) -> list[np.ndarray]:
    """Return, for each column of the factor, the nodes that have an entry below the diagonal."""
    entries_of: list[list[np.ndarray]] = [[] for _ in range(nodes)]
    by_column = edges[np.argsort(edges[:, 1], kind="stable")]
    cuts = np.searchsorted(by_column[:, 1], np.arange(1, nodes))
    for column, part in enumerate(np.split(by_column[:, 0], cuts)):
        entries_of[column].append(part)
    result = []
    for column in range(nodes):
        entries = np.unique(np.concatenate(entries_of[column]))
        result.append(entries)
        if len(entries) > 1:
            # The entries below a column's first entry fill into the column of that first entry.
            entries_of[entries[0]].append(entries[1:])
    return result


@final
@dataclass(frozen=True, eq=False)
class Pattern:
    """The places of the entries of a matrix of blocks and of its factor.

    Attributes
    ----------
    start, rows : starts of the columns of the factor, (column + 1,), and rows of its entries, (entry,)
    blocks : places of the entries of each node's own block, its lower triangle, (node, varying, varying)
    pairs : places of the diagonal entries of each edge's block, (edge, varying)
    """

    start: np.ndarray
    rows: np.ndarray
    blocks: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, nodes: int, edges: np.ndarray, varying: int) -> Self:
        """Create the pattern of nodes in their order of elimination; edges have the later node first."""
        entries_of, positions = filled(nodes, edges), np.arange(varying)
        columns = [np.concatenate([column * varying + positions[a:], (entries[:, None] * varying + positions).ravel()])
                   for column, entries in enumerate(entries_of) for a in positions]
        start = np.concatenate([[0], np.cumsum([len(column_rows) for column_rows in columns])])
        corner = start[:-1].reshape(nodes, varying)
        blocks = corner[:, None, :] + np.maximum(positions[:, None] - positions, 0)
        ranks = np.array([np.searchsorted(entries_of[column], row) for row, column in edges], np.int64)
        pairs = corner[edges[:, 1]] + (varying - positions) + ranks[:, None] * varying + positions
        return cls(start, np.concatenate(columns).astype(np.int64), blocks, pairs)

    def matrix(self, within: np.ndarray, joined: np.ndarray) -> np.ndarray:
        """Return the entries of a matrix of blocks (node, varying, varying) and diagonals of pairs (edge, varying)."""
        values = np.zeros(len(self.rows))
        values[self.pairs] = joined
        row, column = self.low
        values[self.blocks[:, row, column]] = within[:, row, column]
        return values

    @cached_property
    def low(self) -> tuple[np.ndarray, ...]:
        """Rows and columns of a block's lower triangle."""
        return np.tril_indices(self.blocks.shape[1])

    def log_determinant(self, lower: np.ndarray) -> float:
        """Return the log determinant of L L'."""
        return float(2 * np.log(lower[self.start[:-1]]).sum())

    def inverse(self, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the blocks and diagonals of the inverse of L L', in the form that `matrix` takes."""
        entries = inverse(self.start, self.rows, lower)
        row, column = self.low
        within = np.empty(self.blocks.shape)
        within[:, row, column] = within[:, column, row] = entries[self.blocks[:, row, column]]
        return within, entries[self.pairs]
