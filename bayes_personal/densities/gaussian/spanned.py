"""Variances of many rows at many draws, without a product of every row with every draw's matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np
from scipy.linalg import solve_triangular

# How far a draw's matrix may lie from the space that stands for those of all draws, relative to the mean of them all.
FARTHEST = 1e-2
# Fewest weights for which it is worth the work, and most numbers in the matrices of all draws.
FEWEST, MOST = 16, 2**24
# Numbers in the products of a part of the rows, which stay near the processor.
NEAR = 2**19


@final
@dataclass(frozen=True, eq=False)
class Spanned:
    """The variances ``|z B_d|^2`` of rows z at draws d, where all B_d B_d' lie near a space of few dimensions.

    ``B_d B_d' = C (sum_k a_dk E_k + R_d) C'`` with CC' their mean over draws and ``|R_d| <= FARTHEST`` in the Frobenius
    norm, so that a variance is off by at most that share of its mean over draws. A row's products ``z C E_k C'z'`` then
    serve all draws. Matrices of a posterior with many data differ little, and a fifth of 250 draws span the others.

    Attributes
    ----------
    root : C, (weight, weight)
    matrices : lower triangles of the E_k, entries below the diagonal doubled, (entry, dimension), in single precision
    coefficients : a, (dimension, draw)
    """

    root: np.ndarray
    matrices: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def of(cls, turns: Sequence[np.ndarray]) -> Self | None:
        """Find the space of the B_d, (weight, weight) each; return None where that would not help."""
        count, size = len(turns), len(turns[0])
        if size < FEWEST or count * size * (size + 1) // 2 > MOST:
            return None
        root = np.linalg.cholesky(sum(turn @ turn.T for turn in turns) / count)
        rows, columns = np.tril_indices(size)
        # With this factor the product of two triangles is that of the matrices.
        scale = np.where(rows == columns, 1.0, np.sqrt(2.0))
        triangles = np.empty((count, len(rows)))
        for triangle, turn in zip(triangles, turns, strict=True):
            whitened = solve_triangular(root, turn, lower=True)
            triangle[:] = (whitened @ whitened.T)[rows, columns] * scale
        directions = spanning(triangles, FARTHEST, count // 2)
        if directions is None:
            return None
        return cls(root, (directions * scale).T.astype(np.float32), directions @ triangles.T)

    def variances(self, z: np.ndarray) -> np.ndarray:
        """Return the variances of rows z (unit, weight), (draw, unit)."""
        size, whitened = len(self.root), (z @ self.root).astype(np.float32)
        result = np.empty((self.coefficients.shape[1], len(z)))
        together = max(1, NEAR // len(self.matrices))
        products = np.empty((together, len(self.matrices)), np.float32)
        for start in range(0, len(z), together):
            part = whitened[start : start + together]
            at = 0
            for k in range(size):
                np.multiply(part[:, : k + 1], part[:, k : k + 1], out=products[: len(part), at : at + k + 1])
                at += k + 1
            of_dimensions = (products[: len(part)] @ self.matrices).astype(float)
            result[:, start : start + together] = (of_dimensions @ self.coefficients).T
        return result


def spanning(vectors: np.ndarray, tolerance: float, most: int) -> np.ndarray | None:
    """Return orthonormal vectors whose span all vectors (number, entry) are near, (dimension, entry).

    Each new one is the direction of the vector that is farthest from the span of those before, until none is farther
    than the tolerance; None where that takes more than `most`.
    """
    residuals, directions = vectors.copy(), []
    while True:
        squares = np.einsum("ij,ij->i", residuals, residuals)
        farthest = squares.argmax()
        if squares[farthest] <= tolerance**2:
            return np.array(directions)
        if len(directions) == most:
            return None
        directions.append(residuals[farthest] / np.sqrt(squares[farthest]))
        residuals -= np.outer(residuals @ directions[-1], directions[-1])
