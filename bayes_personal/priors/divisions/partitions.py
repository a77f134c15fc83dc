"""The posterior of change points and of each context's coefficients, exact, at one point of the hyperparameters."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.kernels import partition_left_out, partition_sums
from bayes_personal.priors.divisions.change_prior import Changes
from bayes_personal.priors.divisions.segments import SegmentSums


def log_evidence_and_gradient(segments: SegmentSums, changes: Changes) -> tuple[float, np.ndarray]:
    """Return log p(y | hyperparameters), -inf where it is not finite, and its gradient.

    The gradient is by the segments' hyperparameters, in their order, and then by that of the changes.
    """
    log_before, slopes = partition_sums.forward_with_slopes(
        segments.kind, segments.sums, segments.numbers, changes.log_starts, changes.starts_slopes, changes.shortest)
    value = float(log_before[-1] + changes.log_stay.sum() + segments.constant)
    gradient = np.append(segments.gradient(slopes[:-1]), slopes[-1] + changes.stay_slopes.sum())
    return (value, gradient) if np.isfinite(value) else (-np.inf, np.zeros(len(gradient)))


@final
@dataclass(frozen=True, eq=False)
class Partitions:
    """Segments of T ordered contexts, summed over all ways to cut them.

    Cost is quadratic in T unless stated otherwise; memory is linear.

    Attributes
    ----------
    segments : data and hyperparameters
    changes : prior of the change points
    """

    segments: SegmentSums
    changes: Changes

    @cached_property
    def _given(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        return self.segments.kind, self.segments.sums, self.segments.numbers, self.changes.log_starts

    @cached_property
    def log_before(self) -> np.ndarray:
        """log A, (T + 1,)."""
        return partition_sums.forward(*self._given, self.changes.shortest)

    @cached_property
    def log_after(self) -> np.ndarray:
        """log B, (T + 1,)."""
        return partition_sums.backward(*self._given, self.changes.shortest)

    @property
    def log_evidence(self) -> float:
        """log p(y | hyperparameters), -inf where it is not finite."""
        value = float(self.log_before[-1] + self.changes.log_stay.sum() + self.segments.constant)
        return value if np.isfinite(value) else -np.inf

    @property
    def change_probability(self) -> np.ndarray:
        """P(a segment starts at this context and not at the first), (T,)."""
        result = np.exp(np.minimum(self.log_before + self.log_after - self.log_before[-1], 0.0))[:-1]
        result[0] = 0.0
        return result

    def draw_segments(self, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the starts of segments exactly, (draw, T), and the coefficients of all segments in sequence."""
        uniforms = rng.random((draws, self.segments.contexts))
        starts = partition_sums.draw_starts(*self._given, self.log_before, self.changes.shortest, uniforms)
        first = np.flatnonzero(starts)
        start = first % self.segments.contexts
        return starts, self.segments.draw(start, start + np.diff(np.append(first, starts.size)), rng)

    def left_out(self, lowest: float = -np.inf) -> np.ndarray:
        """Return log p(y_i | y of all other rows), (row,), in the original order of the rows, in cubic time.

        Parameters
        ----------
        lowest : segments of a lower log probability are left out; -40 costs about 1e-10 unless a row is far off
        """
        total = partition_left_out.left_out(*self._given, self.log_before, self.log_after, self.changes.shortest,
                                            self.segments.row_statistics, self.segments.rows.first, lowest)
        return self.segments.rows.as_they_came(self.segments.row_terms - total)

    def left_out_of(self, starts: np.ndarray) -> np.ndarray:
        """Return log p(y_i | y of the other rows of its segment), (draw, row), for partitions (draw, T) given all rows.

        1 / p(y_i | y_-i) is the mean over draws of 1 / p: rows are importance sampled, coefficients integrated out.
        """
        ratio = partition_left_out.left_out_of_draws(*self._given[:3], starts, self.segments.row_statistics,
                                                     self.segments.rows.first)
        return self.segments.rows.as_they_came(self.segments.row_terms - ratio)
