"""Segments of several Normal regressions, one for each of several outcomes of the same rows, which share them."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import final

import numpy as np

from bayes_personal.kernels.segment_factors import SEVERAL
from bayes_personal.priors.divisions.segment_normal import NormalSegments
from bayes_personal.priors.divisions.segment_normal_gamma import NormalGammaSegments
from bayes_personal.priors.divisions.segments import SegmentSums, SortedRows


@final
@dataclass(frozen=True, eq=False)
class SeveralSegments(SegmentSums):
    """Sums at one point of the hyperparameters; all that belongs to the outcomes follows in their order.

    Attributes
    ----------
    parts : the sums of each outcome
    """

    parts: tuple[NormalSegments | NormalGammaSegments, ...]
    kind = SEVERAL

    @property
    def rows(self) -> SortedRows:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Order of the rows."""
        return self.parts[0].rows

    @cached_property
    def sums(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Running sums of the statistics, (statistic, T + 1)."""
        return np.concatenate([part.sums for part in self.parts])

    @cached_property
    def numbers(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the sums must know of each outcome."""
        result = np.zeros((len(self.parts), 1 + max(max(len(part.numbers) for part in self.parts), 1)))
        for row, part in zip(result, self.parts, strict=True):
            row[0], row[1 : 1 + len(part.numbers)] = part.coefficients, part.numbers
        return np.append(result.shape[1], result.ravel())

    @property
    def within_reach(self) -> bool:
        return all(part.within_reach for part in self.parts)

    @property
    def constant(self) -> float:
        return sum(part.constant for part in self.parts)

    @property
    def row_terms(self) -> np.ndarray:
        return np.sum([part.row_terms for part in self.parts], axis=0)

    @property
    def row_statistics(self) -> np.ndarray:
        return np.concatenate([part.row_statistics for part in self.parts])

    @property
    def least(self) -> float:
        return -np.inf

    def gradient(self, slopes: np.ndarray) -> np.ndarray:
        cuts = np.cumsum([0, *(part.slopes for part in self.parts)])
        return np.concatenate([part.gradient(slopes[low:high])
                               for part, (low, high) in zip(self.parts, pairwise(cuts), strict=True)])

    def draw_given(self, statistics: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cuts = np.cumsum([0, *(len(part.sums) for part in self.parts)])
        return np.concatenate([part.draw_given(statistics[low:high], rng)
                               for part, (low, high) in zip(self.parts, pairwise(cuts), strict=True)], axis=1)
