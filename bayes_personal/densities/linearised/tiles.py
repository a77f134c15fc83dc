"""Rows in the order in which integrals over groups take them: groups of similar size side by side."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.kernels.group_integrals import LANES

# Lanes that a processor computes at once.
VECTOR = 8


def lanes_for(count: int) -> int:
    """Return how many lanes serve so few groups: as many as fill whole vectors of the processor, at most `LANES`."""
    return min(LANES, VECTOR * -(-count // VECTOR))


@final
@dataclass(frozen=True, eq=False)
class Tiles:
    """Groups side by side, sorted by size; a tile has as many slots as its largest group has rows.

    Attributes
    ----------
    group : group of each row, (unit,)
    count : number of groups
    lanes : how many of them stand side by side in a tile
    """

    group: np.ndarray
    count: int
    lanes: int = LANES

    @cached_property
    def sizes(self) -> np.ndarray:
        """The number of rows of each group, (group,)."""
        return np.bincount(self.group, minlength=self.count)

    @cached_property
    def places(self) -> np.ndarray:
        """The place of each group among the lanes of all tiles, (group,)."""
        result = np.empty(self.count, np.int64)
        result[np.argsort(-self.sizes, kind="stable")] = np.arange(self.count)
        return result

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return -(-self.count // self.lanes)

    @cached_property
    def starts(self) -> np.ndarray:
        """First slot of each tile, and the number of slots, (tile + 1,)."""
        sizes = np.zeros(self.tiles * self.lanes, np.int64)
        sizes[self.places] = self.sizes
        return np.append(0, np.cumsum(sizes.reshape(-1, self.lanes).max(axis=1)))

    @cached_property
    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """Slot and lane of each row, (unit,) each."""
        order = np.argsort(self.group, kind="stable")
        first = np.append(0, np.cumsum(self.sizes))[:-1]
        within = np.empty(len(self.group), np.int64)
        within[order] = np.arange(len(self.group)) - first[self.group[order]]
        place = self.places[self.group]
        return self.starts[place // self.lanes] + within, place % self.lanes

    def parts(self, rows: int) -> list[np.ndarray]:
        """Return the groups in parts of so many rows, or of one group of more rows."""
        ends = np.cumsum(self.sizes)
        return np.split(np.arange(self.count), np.flatnonzero(np.diff(ends // rows)) + 1)

    def of_rows(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., unit) as (..., slot, lane), 0 where there is no row."""
        result = np.zeros((*values.shape[:-1], self.starts[-1], self.lanes))
        result[..., self.slots[0], self.slots[1]] = values
        return result

    def to_rows(self, values: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return values (..., slot, lane) of some or all rows, (..., unit)."""
        return values[..., self.slots[0][rows], self.slots[1][rows]]

    def of_groups(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., group) as (..., tile, lane), 0 where there is no group."""
        result = np.zeros((*values.shape[:-1], self.tiles * self.lanes))
        result[..., self.places] = values
        return result.reshape(*values.shape[:-1], self.tiles, self.lanes)

    def to_groups(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., tile, lane) as (..., group)."""
        return values.reshape(*values.shape[:-2], -1)[..., self.places]
