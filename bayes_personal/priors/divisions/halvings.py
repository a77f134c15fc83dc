"""The boxes that repeated halvings can make of contexts, and how they are nested."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self, final

import numpy as np
import scipy.sparse as sp


@final
@dataclass(frozen=True, eq=False)
class HalvingBoxes:
    """All boxes with rows that at most `depth` halvings lead to; a box of a single cell is not halved.

    Cells are the finest boxes, with all axes halved `depth` times. A box precedes those that lie in it.

    Attributes
    ----------
    depth : largest number of halvings
    cell : cell of each row, (row,)
    levels, keys : number of halvings of each axis of each box, and the interval that they leave, (box, axis)
    children : boxes of the lower and upper half along each axis, -1 for a half without rows, (box, axis, 2)
    halved : mask of the boxes that may be halved, (box,)
    members : 1 for the cells in each box, (box, cell)
    """

    depth: int
    cell: np.ndarray
    levels: np.ndarray
    keys: np.ndarray
    children: np.ndarray
    halved: np.ndarray
    members: sp.csr_array

    @classmethod
    def of(cls, codes: np.ndarray, depth: int) -> Self:
        """Find the boxes of rows from their finest intervals, integers from 0 to 2^depth - 1, (row, axis)."""
        cells, cell = np.unique(codes, axis=0, return_inverse=True)
        axes, count = codes.shape[1], 0
        box_of: dict[tuple[int, ...], np.ndarray] = {}
        divisible: dict[tuple[int, ...], np.ndarray] = {}
        levels, keys, halved, owners, owned = [], [], [], [], []
        for level in levels_of(axes, depth):
            parents = [divisible[above] for above in parents_of(level)]
            inside = np.flatnonzero(np.any(parents, axis=0) if parents else np.ones(len(cells), bool))
            key, inverse, sizes = np.unique(cells[inside] >> (depth - np.array(level)), axis=0, return_inverse=True,
                                            return_counts=True)
            box_of[level], divisible[level] = np.full(len(cells), -1), np.zeros(len(cells), bool)
            can_halve = (sizes > 1) & (sum(level) < depth)
            box_of[level][inside], divisible[level][inside] = count + inverse, can_halve[inverse]
            levels.append(np.broadcast_to(level, key.shape))
            keys.append(key)
            halved.append(can_halve)
            owners.append(count + inverse)
            owned.append(inside)
            count += len(key)
        children = np.full((count, axes, 2), -1)
        for level, boxes in box_of.items():
            for axis in range(axes):
                below = box_of.get((*level[:axis], level[axis] + 1, *level[axis + 1 :]))
                if below is not None:
                    halved_cells = np.flatnonzero(divisible[level])
                    upper = (cells[halved_cells, axis] >> (depth - level[axis] - 1)) & 1
                    children[boxes[halved_cells], axis, upper] = below[halved_cells]
        members = sp.csr_array((np.ones(sum(map(len, owned))), (np.concatenate(owners), np.concatenate(owned))),
                               shape=(count, len(cells)))
        return cls(depth, cell, np.concatenate(levels), np.concatenate(keys), children, np.concatenate(halved), members)

    def __len__(self) -> int:
        return len(self.halved)


def levels_of(axes: int, depth: int) -> Iterator[tuple[int, ...]]:
    """Yield the possible numbers of halvings of each axis, at most `depth` in total; fewer halvings come first."""
    for total in range(depth + 1):
        for chosen in combinations_with_replacement(range(axes), total):
            yield tuple(np.bincount(chosen, minlength=axes).tolist())


def parents_of(level: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the levels with one halving less, for each axis that has been halved."""
    for axis, times in enumerate(level):
        if times:
            yield *level[:axis], times - 1, *level[axis + 1 :]
