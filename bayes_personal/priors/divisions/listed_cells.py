"""All cells that divisions may have, one by one, and sums over divisions of which each cell's log factor is known."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self, final

import numpy as np

from bayes_personal.kernels import factor_sums, tree_sums
from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.halvings import HalvingBoxes
from bayes_personal.priors.divisions.segments import SortedRows
from bayes_personal.priors.divisions.trees import drawn_trees, gradient_by_odds, summed


class Stretches(NamedTuple):
    """The rows of all cells as stretches of one sequence, in which a row may stand several times.

    Attributes
    ----------
    order : the rows in this sequence
    start, stop : where each cell's rows begin and end, (cell,)
    after : a cell with nearly the same rows that stands before each, -1 where there is none, (cell,)
    """

    order: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    after: np.ndarray


class Drawn(NamedTuple):
    """Divisions that were drawn.

    Attributes
    ----------
    log_sum : log of the sum over all divisions
    divisions : as `DivisionSums` draws them
    cells : the places of each one's cells in sequence, -1 for a cell without rows
    """

    log_sum: float
    divisions: list[np.ndarray]
    cells: list[np.ndarray]


class ListedCells(ABC):
    """Sums over divisions, from the log factors of their cells, (cell,); `last` is the argument of the divisions."""

    rows: Stretches

    @abstractmethod
    def log_sum(self, factors: np.ndarray, last: float) -> float:
        """Return the log of the sum over all divisions."""

    @abstractmethod
    def log_sum_and_slopes(self, factors: np.ndarray, last: float) -> tuple[float, np.ndarray, float]:
        """Return `log_sum`, its slopes by the factors, which are the cells' probabilities, and that by `last`."""

    @abstractmethod
    def draw(self, factors: np.ndarray, last: float, count: int, rng: np.random.Generator) -> Drawn:
        """Draw divisions exactly."""


@final
@dataclass(frozen=True, eq=False)
class ListedSegments(ListedCells):
    """Segments of ordered contexts, those with the same start side by side.

    Attributes
    ----------
    rows : the segments' rows
    contexts : number of contexts
    changes : function from `last` to the prior of change points
    """

    rows: Stretches
    contexts: int
    changes: Callable[[float], Changes]

    @classmethod
    def of(cls, cell: np.ndarray, contexts: int, changes: Callable[[float], Changes]) -> Self:
        """List the segments of rows whose contexts have the places `cell`."""
        sorted_rows = SortedRows.of(cell, contexts)
        first, last = np.triu_indices(contexts)
        after = np.arange(len(first)) - 1
        after[first == last] = -1
        return cls(Stretches(sorted_rows.order, sorted_rows.first[first], sorted_rows.first[last + 1], after), contexts,
                   changes)

    def log_sum(self, factors: np.ndarray, last: float) -> float:
        changes = self.changes(last)
        log_after = factor_sums.backward(factors, changes.log_starts, changes.shortest)
        return float(log_after[0] + changes.log_stay.sum())

    def log_sum_and_slopes(self, factors: np.ndarray, last: float) -> tuple[float, np.ndarray, float]:
        changes = self.changes(last)
        given = factors, changes.log_starts
        log_before = factor_sums.forward(*given, changes.shortest)
        log_after = factor_sums.backward(*given, changes.shortest)
        probability = factor_sums.probabilities(*given, log_before, log_after, changes.shortest)
        begins = np.exp(np.minimum(log_before + log_after - log_after[0], 0.0))[:-1]
        begins[0] = 0.0
        return (float(log_after[0] + changes.log_stay.sum()), probability,
                float(begins @ changes.starts_slopes + changes.stay_slopes.sum()))

    def draw(self, factors: np.ndarray, last: float, count: int, rng: np.random.Generator) -> Drawn:
        changes = self.changes(last)
        log_after = factor_sums.backward(factors, changes.log_starts, changes.shortest)
        starts = factor_sums.draw_starts(factors, changes.log_starts, log_after, changes.shortest,
                                         rng.random((count, self.contexts)))
        divisions = [np.flatnonzero(begins) for begins in starts]
        return Drawn(float(log_after[0] + changes.log_stay.sum()), divisions, list(map(self.places, divisions)))

    def places(self, starts: np.ndarray) -> np.ndarray:
        """Return the places of the segments with these starts."""
        length = np.diff(np.append(starts, self.contexts))
        return starts * self.contexts - starts * (starts - 1) // 2 + length - 1


@final
@dataclass(frozen=True, eq=False)
class ListedBoxes(ListedCells):
    """Boxes of several contexts.

    Attributes
    ----------
    rows : the boxes' rows
    boxes : how the boxes are nested
    """

    rows: Stretches
    boxes: HalvingBoxes

    @classmethod
    def of(cls, boxes: HalvingBoxes) -> Self:
        """List the rows of boxes."""
        cells = np.argsort(boxes.cell, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(boxes.cell))])
        inside = [np.concatenate([cells[first[cell] : first[cell + 1]] for cell in of_box])
                  for of_box in np.split(boxes.members.indices, boxes.members.indptr[1:-1])]
        stop = np.cumsum(list(map(len, inside)))
        return cls(Stretches(np.concatenate(inside), np.concatenate([[0], stop[:-1]]), stop,
                             np.full(len(boxes), -1)), boxes)

    def log_sum(self, factors: np.ndarray, last: float) -> float:
        return float(summed(factors, self.boxes, last)[0][0])

    def log_sum_and_slopes(self, factors: np.ndarray, last: float) -> tuple[float, np.ndarray, float]:
        log_phi, shares = summed(factors, self.boxes, last)
        leaf, cut = tree_sums.outside(shares, self.boxes.children)
        return float(log_phi[0]), leaf, gradient_by_odds(leaf, cut, self.boxes, last)

    def draw(self, factors: np.ndarray, last: float, count: int, rng: np.random.Generator) -> Drawn:
        log_phi, shares = summed(factors, self.boxes, last)
        trees, leaves = drawn_trees(shares, self.boxes, count, rng)
        return Drawn(float(log_phi[0]), trees, [np.where(boxes < len(self.boxes), boxes, -1) for boxes in leaves])
