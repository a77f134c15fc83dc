"""The boxes that halving after halving can make of contexts, and which of them lie in which."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self, final

import numpy as np
import scipy.sparse as sp


@final
@dataclass(frozen=True, eq=False)
class HalvingBoxes:
    """All boxes with rows in them that at most `depth` halvings lead to; a box of a single cell is not halved.

    Cells are the finest boxes, all axes halved `depth` times. A box comes before those that lie in it.

    Attributes
    ----------
    depth : halvings
    cell : of each row, (row,)
    levels, keys : of each box, how often each axis was halved, and which of its intervals that leaves, (box, axis)
    children : boxes of the lower and upper half along each axis, -1 for a half without rows, (box, axis, 2)
    halved : whether a box may be, (box,)
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
        """Of the finest interval that rows have along each axis, integers from 0 to 2^depth - 1, (row, axis)."""
        cells, cell = np.unique(codes, axis=0, return_inverse=True)
        axes, count = codes.shape[1], 0
        box_of: dict[tuple[int, ...], np.ndarray] = {}
        divisible: dict[tuple[int, ...], np.ndarray] = {}
        levels, keys, halved, owners, owned = [], [], [], [], []
        for level in levels_of(axes, depth):
            parents = [divisible[above] for above in parents_of(level)]
            alive = np.flatnonzero(np.any(parents, axis=0) if parents else np.ones(len(cells), bool))
            found, which, sizes = np.unique(cells[alive] >> (depth - np.array(level)), axis=0, return_inverse=True,
                                            return_counts=True)
            box_of[level], divisible[level] = np.full(len(cells), -1), np.zeros(len(cells), bool)
            can = (sizes > 1) & (sum(level) < depth)
            box_of[level][alive], divisible[level][alive] = count + which, can[which]
            levels.append(np.broadcast_to(level, found.shape))
            keys.append(found)
            halved.append(can)
            owners.append(count + which)
            owned.append(alive)
            count += len(found)
        children = np.full((count, axes, 2), -1)
        for level, here in box_of.items():
            for axis in range(axes):
                below = box_of.get((*level[:axis], level[axis] + 1, *level[axis + 1 :]))
                if below is not None:
                    some = np.flatnonzero(divisible[level])
                    upper = (cells[some, axis] >> (depth - level[axis] - 1)) & 1
                    children[here[some], axis, upper] = below[some]
        members = sp.csr_array((np.ones(sum(map(len, owned))), (np.concatenate(owners), np.concatenate(owned))),
                               shape=(count, len(cells)))
        return cls(depth, cell, np.concatenate(levels), np.concatenate(keys), children, np.concatenate(halved), members)

    def __len__(self) -> int:
        return len(self.halved)


def levels_of(axes: int, depth: int) -> Iterator[tuple[int, ...]]:
    """How often each axis can have been halved, `depth` times in all at most; fewer halvings come first."""
    for total in range(depth + 1):
        for chosen in combinations_with_replacement(range(axes), total):
            yield tuple(np.bincount(chosen, minlength=axes).tolist())


def parents_of(level: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """One halving less, along every axis that has been halved."""
    for axis, times in enumerate(level):
        if times:
            yield *level[:axis], times - 1, *level[axis + 1 :]
