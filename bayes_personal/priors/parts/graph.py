"""Graphs of places: which of them are neighbours."""

import numpy as np


def edges(points: np.ndarray, neighbors: int | None) -> np.ndarray:
    """Pairs of places one of which is among the nearest of the other, or all pairs, (edge, 2), the later place first.

    Parameters
    ----------
    points : (place, coordinate), all different
    neighbors : how many nearest places each is joined to; all of them where it is None
    """
    count = len(points)
    if neighbors is None or neighbors >= count - 1:
        return np.column_stack(np.tril_indices(count, -1))
    found = nearest(points, points, neighbors + 1)
    pairs = np.column_stack([np.repeat(np.arange(count), neighbors + 1), found.ravel()])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)[:, ::-1]
    return np.unique(pairs, axis=0)


def nearest(points: np.ndarray, to: np.ndarray, count: int) -> np.ndarray:
    """Which points are the nearest to others, (other, count)."""
    # Here, for models that have no graph should not wait for it.
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue] (compiled, without a stub)

    _, found = cKDTree(points).query(to, min(count, len(points)))
    return found.reshape(len(to), -1)
