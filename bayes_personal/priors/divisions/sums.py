"""Sums over divisions of contexts: of change points along an order, or of boxes of several contexts."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.errors import SpecificationError
from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.halvings import HalvingBoxes
from bayes_personal.priors.divisions.listed_cells import ListedBoxes, ListedCells, ListedSegments
from bayes_personal.priors.divisions.partitions import Partitions, log_evidence_and_gradient
from bayes_personal.priors.divisions.segments import SegmentSums
from bayes_personal.priors.divisions.trees import Trees

# Most contexts for which leaving a row out sums over all partitions; with more, it uses partitions of the posterior.
FEW = 300
# Number of contexts from which an evaluation takes milliseconds.
MANY = 400


class DivisionSums(ABC):
    """Sums over the divisions of a prior; `last` is the argument of the divisions, after those of the cells."""

    # Whether an evaluation is too slow for NUTS, and whether leaving a row out is exact whatever has been drawn.
    slow: bool
    exact: bool
    leave_one_out_work: int
    # Acceptance rate for NUTS: at 0.9, one in sixty posteriors of change points of counts had a divergence.
    target_accept: float
    # Whether cells are segments of an order, so that leaving rows out of drawn divisions is possible and cheap.
    ordered: bool
    # Errors and frequencies of cuts, as logarithms, at which climbs for modes start.
    starts: tuple[tuple[float, float], ...]

    @property
    @abstractmethod
    def cells(self) -> int:
        """Number of cells that can be told apart."""

    @abstractmethod
    def cell(self, matrix: np.ndarray) -> np.ndarray:
        """Return the cell of each training row from the matrix of their features."""

    @abstractmethod
    def log_evidence(self, segments: SegmentSums, last: float) -> float:
        """Return log p(y), -inf where it is not finite."""

    @abstractmethod
    def log_evidence_and_gradient(self, segments: SegmentSums, last: float) -> tuple[float, np.ndarray]:
        """Return log p(y) and its gradient by the arguments of the cells, followed by the argument of the divisions."""

    @abstractmethod
    def draw(self, segments: SegmentSums, last: float, count: int,
             rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Draw divisions, and the coefficients of all their cells in sequence."""

    def listed(self, matrix: np.ndarray) -> ListedCells:
        """Return all cells that divisions may have, with their rows, from the matrix of the rows' features; asked for
        where cells do not integrate out of the family."""
        raise SpecificationError(f"{type(self).__name__} sums over divisions where cells integrate out of the family, "
                                 "a Normal one or counts with y ~ 1")

    def change_probability(self, segments: SegmentSums, last: float) -> np.ndarray:
        """Return P(a segment starts at this context, not the first | y), (context,), where cells are segments."""
        raise SpecificationError(f"{type(self).__name__} sums over divisions that have no order")

    @abstractmethod
    def left_out(self, segments: SegmentSums, last: float, drawn: np.ndarray | None) -> np.ndarray:
        """Return log p(y_i | y_-i), (row,); where that is not exact, from one division drawn from the posterior."""


@final
@dataclass(frozen=True, eq=False)
class ChangePoints(DivisionSums):
    """Segments of ordered contexts; the argument is the log of the rate of changes.

    Attributes
    ----------
    places : the distinct contexts in order, (context,)
    shortest : least number of contexts in a segment
    """

    places: np.ndarray
    shortest: int = 1
    target_accept = 0.95
    ordered = True
    starts = ((-1.5, 1.5), (-3.0, 3.0))

    @property
    def slow(self) -> bool:
        return self.cells >= MANY

    @property
    def exact(self) -> bool:
        return self.cells <= FEW

    @property
    def leave_one_out_work(self) -> int:
        return self.cells**3 if self.exact else 0

    @property
    def cells(self) -> int:
        return len(self.places)

    def cell(self, matrix: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.places, matrix[:, 0])

    def listed(self, matrix: np.ndarray) -> ListedCells:
        return ListedSegments.of(self.cell(matrix), self.cells, self.changes)

    def changes(self, last: float) -> Changes:
        """Return the prior of change points at the log of their rate."""
        return Changes.by_rate(float(np.exp(last)), np.diff(self.places), self.shortest)

    def log_evidence(self, segments: SegmentSums, last: float) -> float:
        return Partitions(segments, self.changes(last)).log_evidence

    def log_evidence_and_gradient(self, segments: SegmentSums, last: float) -> tuple[float, np.ndarray]:
        return log_evidence_and_gradient(segments, self.changes(last))

    def draw(self, segments: SegmentSums, last: float, count: int,
             rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        starts, levels = Partitions(segments, self.changes(last)).draw_segments(count, rng)
        return [np.flatnonzero(begins) for begins in starts], levels

    def change_probability(self, segments: SegmentSums, last: float) -> np.ndarray:
        return Partitions(segments, self.changes(last)).change_probability

    def left_out(self, segments: SegmentSums, last: float, drawn: np.ndarray | None) -> np.ndarray:
        sums = Partitions(segments, self.changes(last))
        if drawn is None:
            return sums.left_out()
        starts = np.zeros((1, self.cells), bool)
        starts[0, drawn[1:]] = True
        return sums.left_out_of(starts)[0]


@final
@dataclass(frozen=True, eq=False)
class Halvings(DivisionSums):
    """Boxes of several contexts; the argument is the log odds of a box being halved.

    Attributes
    ----------
    codes : the finest interval of each row, (row, axis)
    depth : largest number of halvings
    """

    codes: np.ndarray
    depth: int
    slow = False
    exact = True
    target_accept = 0.95
    ordered = False
    starts = ((-1.5, 0.0),)

    @cached_property
    def boxes(self) -> HalvingBoxes:
        """All boxes that halvings can make."""
        return HalvingBoxes.of(self.codes, self.depth)

    @property
    def leave_one_out_work(self) -> int:
        return 100 * self.boxes.members.nnz

    @property
    def cells(self) -> int:
        # SciPy's types do not say that a sparse array has a shape.
        return self.boxes.members.shape[1]  # pyright: ignore[reportOptionalSubscript]

    def cell(self, matrix: np.ndarray) -> np.ndarray:
        return self.boxes.cell

    def listed(self, matrix: np.ndarray) -> ListedCells:
        return ListedBoxes.of(self.boxes)

    def log_evidence(self, segments: SegmentSums, last: float) -> float:
        return Trees(segments, self.boxes, last).log_evidence

    def log_evidence_and_gradient(self, segments: SegmentSums, last: float) -> tuple[float, np.ndarray]:
        return Trees(segments, self.boxes, last).log_evidence_and_gradient()

    def draw(self, segments: SegmentSums, last: float, count: int,
             rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        return Trees(segments, self.boxes, last).draw(count, rng)

    def left_out(self, segments: SegmentSums, last: float, drawn: np.ndarray | None) -> np.ndarray:
        return Trees(segments, self.boxes, last).left_out()
