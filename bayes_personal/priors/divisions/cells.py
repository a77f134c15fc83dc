"""The coefficients that the rows of a cell share, integrated out under each conjugate distribution."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from bayes_personal.hyperpriors.conjugate import (
    BetaConjugate,
    Conjugate,
    GammaConjugate,
    NormalConjugate,
    NormalGammaConjugate,
    ShapeConjugate,
)
from bayes_personal.priors.divisions.segment_counts import CountData
from bayes_personal.priors.divisions.segment_normal import NormalData
from bayes_personal.priors.divisions.segment_normal_gamma import NormalGammaSegments
from bayes_personal.priors.divisions.segments import SegmentSums


class Cells(ABC):
    """The way from rows to sums, and from hyperparameters to their arguments, under one conjugate distribution."""

    @abstractmethod
    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the estimate of the coefficients from all rows together and its standard errors, both (coefficient,).

        Predictors (unit, coefficient) are in natural units; `learned` says whether the size of errors is learned.
        """

    @abstractmethod
    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> Any:
        """Return the sums over the rows of each cell."""

    @abstractmethod
    def arguments(self, mean: Any, log_scale: Any, scale: Any, log_error: Any, xp: Any) -> list[Any]:
        """Return the numbers that `segments` takes, each (...), from means (..., coefficient), a list of the log scales
        of all coefficients, and the scales of those that vary, (..., varying)."""

    @abstractmethod
    def segments(self, data: Any, arguments: np.ndarray) -> SegmentSums:
        """Return the data and hyperparameters at one point of the arguments."""


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


@final
class NormalGammaCells(Cells):
    """Coefficients that are Normal and a log sigma, the last one: the arguments are log sigma, log tau and mean of
    every other coefficient, and log a."""

    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        estimate, error = NormalCells().pooled(x[:, :-1], y, constants, True)
        residual = (y - x[:, :-1] @ estimate) / constants
        log_sigma = 0.5 * np.log(max(float((residual**2).mean()), np.finfo(float).tiny))
        return np.append(estimate, log_sigma), np.append(error, (2 * len(y)) ** -0.5)

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> NormalData:
        return NormalData.of(x[:, :-1], y, constants, cell, cells)

    def arguments(self, mean: Any, log_scale: Any, scale: Any, log_error: Any, xp: Any) -> list[Any]:
        *log_tau, of_log_sigma = log_scale
        means = [mean[..., k] for k in range(len(log_scale))]
        return [means[-1], *log_tau, *means[:-1], -2 * (of_log_sigma + np.log(2))]

    def segments(self, data: NormalData, arguments: np.ndarray) -> SegmentSums:
        sigma, tau, mean, shape = np.split(arguments, [1, len(arguments) // 2, len(arguments) - 1])
        return NormalGammaSegments(data.at(float(np.exp(sigma[0])), np.exp(tau), mean), float(np.exp(shape[0])))


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
        # Half an event is added, so that the number of events is not 0.
        events = np.array([y.sum() + 0.5])
        return np.log(events / constants.sum()), events**-0.5

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> CountData:
        return CountData.of_counts(y, constants, cell, cells)


@final
class BetaCells(CountCells):
    """Log odds of a probability that is Beta."""

    def pooled(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray,
               learned: bool) -> tuple[np.ndarray, np.ndarray]:
        # Half a success and half a failure are added, so that neither number is 0.
        trials = constants.sum() + 1
        chance = np.array([(y.sum() + 0.5) / trials])
        return np.log(chance) - np.log1p(-chance), (trials * chance * (1 - chance)) ** -0.5

    def data(self, x: np.ndarray, y: np.ndarray, constants: np.ndarray, cell: np.ndarray, cells: int) -> CountData:
        return CountData.of_successes(y, constants, cell, cells)


CELLS: Mapping[type[Conjugate], Any] = {
    NormalConjugate: lambda law: NormalCells(), NormalGammaConjugate: lambda law: NormalGammaCells(),
    GammaConjugate: GammaCells, BetaConjugate: BetaCells}


def cells_of(law: Conjugate) -> Cells:
    """Return the cells of a conjugate distribution."""
    return CELLS[type(law)](law)
