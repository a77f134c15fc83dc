"""The posterior of recursive halvings and of what their boxes share, exact, at one point of the hyperparameters."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.kernels import tree_sums
from bayes_personal.priors.divisions.halvings import HalvingBoxes
from bayes_personal.priors.divisions.segments import SegmentSums


@final
@dataclass(frozen=True, eq=False)
class Trees:
    """Boxes of contexts, summed over all ways to halve them.

    Attributes
    ----------
    segments : data and hyperparameters, whose contexts are the cells of the boxes
    boxes : all boxes that halvings can make
    log_odds : log odds that a box is halved
    """

    segments: SegmentSums
    boxes: HalvingBoxes
    log_odds: float

    @cached_property
    def statistics(self) -> np.ndarray:
        """Statistics of the rows in each box, (statistic, box)."""
        return np.ascontiguousarray((self.boxes.members @ np.diff(self.segments.sums, axis=1).T).T)

    @cached_property
    def _factors(self) -> np.ndarray:
        return tree_sums.factors(self.segments.kind, self.statistics, self.segments.numbers)

    @cached_property
    def _summed(self) -> tuple[np.ndarray, np.ndarray]:
        return summed(self._factors, self.boxes, self.log_odds)

    @property
    def log_evidence(self) -> float:
        """log p(y | hyperparameters), -inf where it is not finite."""
        value = float(self._summed[0][0] + self.segments.constant)
        return value if np.isfinite(value) else -np.inf

    @cached_property
    def leaf_probability(self) -> np.ndarray:
        """Probability that each box is a leaf of the tree, (box,)."""
        return tree_sums.outside(self._summed[1], self.boxes.children)[0]

    def log_evidence_and_gradient(self) -> tuple[float, np.ndarray]:
        """Return `log_evidence` and its gradient by the segments' hyperparameters and the log odds."""
        factors, slopes = tree_sums.factors_and_slopes(self.segments.kind, self.statistics, self.segments.numbers)
        log_phi, shares = summed(factors, self.boxes, self.log_odds)
        leaf, cut = tree_sums.outside(shares, self.boxes.children)
        value = float(log_phi[0] + self.segments.constant)
        by_odds = gradient_by_odds(leaf, cut, self.boxes, self.log_odds)
        gradient = np.append(self.segments.gradient(slopes @ leaf), by_odds)
        return (value, gradient) if np.isfinite(value) else (-np.inf, np.zeros(len(gradient)))

    def draw(self, draws: int, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Draw trees exactly, as `drawn_trees` does, and the coefficients of all their leaves in sequence."""
        trees, leaves = drawn_trees(self._summed[1], self.boxes, draws, rng)
        # The statistics of a leaf without rows are 0.
        statistics = np.pad(self.statistics, ((0, 0), (0, 1)))[:, np.concatenate(leaves)]
        return trees, self.segments.draw_given(statistics, rng)

    def left_out(self) -> np.ndarray:
        """Return log p(y_i | y of all other rows), (row,), in the original order of the rows."""
        rows, row_statistics = self.segments.rows, self.segments.row_statistics
        cell = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
        of_cell = self.boxes.members.T.tocsr()[cell]
        row, box = np.repeat(np.arange(len(cell)), np.diff(of_cell.indptr)), of_cell.indices
        other_statistics = np.maximum(self.statistics[:, box] - row_statistics[:, row], self.segments.least)
        without = tree_sums.factors(self.segments.kind, np.ascontiguousarray(other_statistics), self.segments.numbers)
        with np.errstate(divide="ignore"):
            terms = np.log(self.leaf_probability)[box] + without - self._factors[box]
        total = np.logaddexp.reduceat(terms, of_cell.indptr[:-1])
        return rows.as_they_came(self.segments.row_terms - total)


def summed(factors: np.ndarray, boxes: HalvingBoxes, log_odds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log Phi of every box and the shares in it, as `tree_sums.inside` does, from the boxes' log factors."""
    keep, cut = -np.logaddexp(0, log_odds), -np.logaddexp(0, -log_odds)
    return tree_sums.inside(factors, boxes.children, boxes.halved, float(keep), float(cut))


def gradient_by_odds(leaf: np.ndarray, cut: np.ndarray, boxes: HalvingBoxes, log_odds: float) -> float:
    """Return the slope of log Phi of all contexts by the log odds, from the probabilities that boxes are leaves and
    that they are halved."""
    chance = 1 / (1 + np.exp(-log_odds))
    return float((cut[boxes.halved] * (1 - chance) - leaf[boxes.halved] * chance).sum())


def drawn_trees(shares: np.ndarray, boxes: HalvingBoxes, draws: int,
                rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw trees exactly, and the boxes of their leaves in sequence.

    A tree is an array (leaf, 2, axis): the number of halvings of each axis, and the interval that they leave. Halves
    without rows are leaves, and stand for a box after the last one.
    """
    cumulative, axes = shares.cumsum(axis=1), boxes.levels.shape[1]
    trees, leaf_boxes = [], []
    for _ in range(draws):
        stack, leaves, own = [0], [], []
        while stack:
            box = stack.pop()
            axis = int(np.searchsorted(cumulative[box], rng.random(), side="right"))
            if axis >= axes:
                leaves.append((boxes.levels[box], boxes.keys[box]))
                own.append(box)
                continue
            for half, child in enumerate(boxes.children[box, axis]):
                if child >= 0:
                    stack.append(child)
                else:
                    along = np.arange(axes) == axis
                    leaves.append((boxes.levels[box] + along, boxes.keys[box] * (1 + along) + half * along))
                    own.append(len(boxes))
        trees.append(np.array(leaves))
        leaf_boxes.append(np.array(own))
    return trees, leaf_boxes
