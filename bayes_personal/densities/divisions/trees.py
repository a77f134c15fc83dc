"""The posterior of recursive halvings and of what their boxes share, exact, at one point of the hyperparameters."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.densities.divisions.halvings import HalvingBoxes
from bayes_personal.densities.divisions.segments import SegmentSums
from bayes_personal.kernels import tree_sums


@final
@dataclass(frozen=True, eq=False)
class Trees:
    """Boxes of contexts, summed over all ways to halve them.

    Attributes
    ----------
    segments : data and hyperparameters, the cells of the boxes being its contexts
    boxes : which there are
    log_odds : of a box being halved
    """

    segments: SegmentSums
    boxes: HalvingBoxes
    log_odds: float

    @cached_property
    def statistics(self) -> np.ndarray:
        """Of the rows in each box, (statistic, box)."""
        return np.ascontiguousarray((self.boxes.members @ np.diff(self.segments.sums, axis=1).T).T)

    @cached_property
    def _factors(self) -> np.ndarray:
        return tree_sums.factors(self.segments.kind, self.statistics, self.segments.numbers)

    def _inside(self, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keep, cut = -np.logaddexp(0, self.log_odds), -np.logaddexp(0, -self.log_odds)
        return tree_sums.inside(factors, self.boxes.children, self.boxes.halved, float(keep), float(cut))

    @cached_property
    def _summed(self) -> tuple[np.ndarray, np.ndarray]:
        return self._inside(self._factors)

    @property
    def log_evidence(self) -> float:
        """log p(y | hyperparameters), -inf where it is not finite."""
        value = float(self._summed[0][0] + self.segments.constant)
        return value if np.isfinite(value) else -np.inf

    @cached_property
    def leaf_probability(self) -> np.ndarray:
        """That each box is a leaf of the tree, (box,)."""
        return tree_sums.outside(self._summed[1], self.boxes.children)[0]

    def log_evidence_and_gradient(self) -> tuple[float, np.ndarray]:
        """The same, with its gradient by the segments' hyperparameters and the log odds."""
        factors, slopes = tree_sums.factors_and_slopes(self.segments.kind, self.statistics, self.segments.numbers)
        log_phi, shares = self._inside(factors)
        leaf, cut = tree_sums.outside(shares, self.boxes.children)
        value, halved = float(log_phi[0] + self.segments.constant), self.boxes.halved
        chance = 1 / (1 + np.exp(-self.log_odds))
        by_odds = (cut[halved] * (1 - chance) - leaf[halved] * chance).sum()
        gradient = np.append(self.segments.gradient(slopes @ leaf), by_odds)
        return (value, gradient) if np.isfinite(value) else (-np.inf, np.zeros(len(gradient)))

    def draw(self, draws: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Exact draws of trees: draw by draw how often each axis of each leaf was halved and which interval that
        leaves, (leaf, 2, axis), halves without rows being leaves; and their coefficients one after the other."""
        upto, boxes, axes = self._summed[1].cumsum(axis=1), self.boxes, self.boxes.levels.shape[1]
        found, every = [], []
        for _ in range(draws):
            waiting, leaves = [0], []
            while waiting:
                box = waiting.pop()
                axis = int(np.searchsorted(upto[box], rng.random(), side="right"))
                if axis >= axes:
                    leaves.append((boxes.levels[box], boxes.keys[box]))
                    every.append(box)
                    continue
                for half, child in enumerate(boxes.children[box, axis]):
                    if child >= 0:
                        waiting.append(child)
                    else:
                        along = np.arange(axes) == axis
                        leaves.append((boxes.levels[box] + along, boxes.keys[box] * (1 + along) + half * along))
                        every.append(len(boxes))
            found.append(np.array(leaves))
        # Of a leaf without rows the statistics are none.
        statistics = np.pad(self.statistics, ((0, 0), (0, 1)))[:, np.array(every)]
        return found, self.segments.draw_given(statistics, rng)

    def left_out(self) -> np.ndarray:
        """log p(y_i | y of all other rows), (row,), in the rows' own order."""
        rows, taken = self.segments.rows, self.segments.taken
        cell = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
        of_cell = self.boxes.members.T.tocsr()[cell]
        row, box = np.repeat(np.arange(len(cell)), np.diff(of_cell.indptr)), of_cell.indices
        rest = np.maximum(self.statistics[:, box] - taken[:, row], self.segments.least)
        without = tree_sums.factors(self.segments.kind, np.ascontiguousarray(rest), self.segments.numbers)
        with np.errstate(divide="ignore"):
            terms = np.log(self.leaf_probability)[box] + without - self._factors[box]
        total = np.logaddexp.reduceat(terms, of_cell.indptr[:-1])
        return rows.as_they_came(self.segments.row_terms - total)
