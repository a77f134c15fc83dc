"""What the rows of a cell share, integrated out under each conjugate distribution."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from bayes_personal.densities.divisions.segment_counts import CountData
from bayes_personal.densities.divisions.segment_normal import NormalData
from bayes_personal.densities.divisions.segments import SegmentSums
from bayes_personal.hyperpriors.conjugate import (
    BetaConjugate,
    Conjugate,
    GammaConjugate,
    NormalConjugate,
    ShapeConjugate,
)


class Cells(ABC):
    """How rows become sums, and hyperparameters their arguments, under one conjugate distribution."""

    @abstractmethod
    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients as all rows have them in common, and their standard errors, both (coefficient,), from
        predictors (unit, coefficient) in natural units; `learned` is whether the size of errors is to be."""

    @abstractmethod
    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> Any:
        """Sums over the rows of each cell."""

    @abstractmethod
    def arguments(self, mean: Any, log_scale: Any, scale: Any, log_error: Any, xp: Any) -> list[Any]:
        """The numbers that `segments` takes, each (...): of means (..., coefficient), of what the logarithms of all
        coefficients' scales are, and the scales of those that vary, (..., varying)."""

    @abstractmethod
    def segments(self, data: Any, arguments: np.ndarray) -> SegmentSums:
        """Data and hyperparameters at one point of the arguments."""


@final
class NormalCells(Cells):
    """Coefficients that are Normal: the arguments are log sigma, and log tau and mean of every coefficient."""

    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        x, y = x / constants[:, None], y / constants
        estimate = np.linalg.lstsq(x, y)[0]
        variance = float(((y - x @ estimate) ** 2).mean()) if learned else 1.0
        error = np.sqrt(variance * np.clip(np.diag(np.linalg.pinv(x.T @ x)), 1e-12, None))
        return estimate, np.clip(error, 1e-6, 1.0)

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> NormalData:
        return NormalData.of(x, y, constants, cell, cells)

    def arguments(self, mean: Any, log_scale: Any, scale: Any, log_error: Any, xp: Any) -> list[Any]:
        return [log_error, *log_scale, *(mean[..., k] for k in range(len(log_scale)))]

    def segments(self, data: NormalData, arguments: np.ndarray) -> SegmentSums:
        sigma, tau, mean = np.split(arguments, [1, 1 + len(arguments) // 2])
        return data.at(float(np.exp(sigma[0])), np.exp(tau), mean)


class CountCells(Cells):
    """An intercept of counts: the arguments are the logarithms of two shapes."""

    def __init__(self, law: ShapeConjugate) -> None:
        self.law = law

    def arguments(self, mean: Any, log_scale: Any, scale: Any, log_error: Any, xp: Any) -> list[Any]:
        return list(self.law.log_shapes(mean[..., 0], scale[..., 0], xp))

    def segments(self, data: CountData, arguments: np.ndarray) -> SegmentSums:
        return data.at(*arguments)


@final
class GammaCells(CountCells):
    """A log rate whose exponential is Gamma."""

    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        # Half an event more, so that there is one.
        events = np.array([y.sum() + 0.5])
        return np.log(events / constants.sum()), events**-0.5

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> CountData:
        return CountData.of_counts(y, constants, cell, cells)


@final
class BetaCells(CountCells):
    """Log odds of a probability that is Beta."""

    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        # Half a success and half a failure more, so that there are both.
        trials = constants.sum() + 1
        chance = np.array([(y.sum() + 0.5) / trials])
        return np.log(chance) - np.log1p(-chance), (trials * chance * (1 - chance)) ** -0.5

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> CountData:
        return CountData.of_successes(y, constants, cell, cells)


CELLS: Mapping[type[Conjugate], Any] = {NormalConjugate: lambda law: NormalCells(), GammaConjugate: GammaCells,
                                        BetaConjugate: BetaCells}


def cells_of(law: Conjugate) -> Cells:
    """Those that go with a conjugate distribution."""
    return CELLS[type(law)](law)
