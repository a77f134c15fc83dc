"""Graphs of places, whose edges join neighbours."""

import numpy as np


def edges(points: np.ndarray, neighbors: int | None) -> np.ndarray:
    """Return pairs of places one of which is among the nearest of the other, (edge, 2), the later place first.

    Parameters
    ----------
    points : coordinates of the places, all different, (place, coordinate)
    neighbors : number of nearest places that each place is joined to; None joins all pairs
    """
    count = len(points)
    if neighbors is None or neighbors >= count - 1:
        return np.column_stack(np.tril_indices(count, -1))
    neighbours = nearest(points, points, neighbors + 1)
    pairs = np.column_stack([np.repeat(np.arange(count), neighbors + 1), neighbours.ravel()])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)[:, ::-1]
    return np.unique(pairs, axis=0)


def nearest(points: np.ndarray, to: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the points that are nearest to each row of `to`, (row, count)."""
    # Imported here, so that models without a graph do not wait for it.
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue] (compiled, without a stub)

    _, indices = cKDTree(points).query(to, min(count, len(points)))
    return indices.reshape(len(to), -1)
