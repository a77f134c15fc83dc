"""The compiled log likelihoods of a model's rows, as functions of their linear predictors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.kernels import likelihoods
from bayes_personal.kernels.codes import Code

# Steps and reach of the search for the likeliest eta of a single row, in natural units around its expected value.
GRID = np.linspace(-8, 8, 65)


@final
@dataclass(frozen=True, eq=False)
class RowLikelihoods:
    """log p(y_i | eta_i) of all training rows, whose outcomes and constants are held in memory.

    `own` in the methods are the family's own numbers, as `kernels.likelihoods` takes them.
    """

    bound: BoundModel

    @property
    def code(self) -> Code:
        """Which compiled log likelihood is the family's."""
        code = self.bound.family.compiled
        assert code is not None
        return code

    @cached_property
    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """Outcomes and known constants of all rows, (unit,) each."""
        parts = [(batch.y, batch.constants) for batch in self.bound.rows.batches()]
        y, n = (np.ascontiguousarray(np.concatenate(part), float) for part in zip(*parts, strict=True))
        return y, n

    @cached_property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct outcomes, and the number of rows that have each."""
        values, counts = np.unique(self.outcomes[0], return_counts=True)
        return values, counts.astype(float)

    @cached_property
    def constants(self) -> np.ndarray:
        """The parts of log p(y_i | eta_i) that depend on no unknown, (unit,)."""
        bound, (y, n) = self.bound, self.outcomes
        values = {parameter.name: parameter.value(np.zeros(parameter.size)) for parameter in bound.family_parameters}
        eta = np.zeros((len(y), bound.coefficients.linear_predictors))
        (own,) = self.own(values, 1)
        logs = bound.family.likelihood(eta, values, n, np).log_density(y)
        distinct, places = np.unique(y, return_inverse=True)
        compiled = likelihoods.log_likelihoods(self.code, own, y, n, np.ascontiguousarray(eta.T))
        return logs - compiled - likelihoods.rests(self.code, own, distinct)[places]

    @cached_property
    def constant(self) -> float:
        """The sum of `constants`."""
        return float(self.constants.sum())

    def own(self, values: Mapping[str, Any], count: int) -> np.ndarray:
        """Return the family's own numbers at draws of its hyperparameters, (draw, number)."""
        numbers = self.bound.family.compiled_numbers(values)
        columns = [np.broadcast_to(each, count)[:, None] for each in numbers]
        return np.concatenate([np.zeros((count, 0)), *columns], axis=1)

    def rest(self, own: np.ndarray) -> tuple[float, np.ndarray]:
        """Return what log p has beside l and `constant`, summed over rows, and its slopes by `own`."""
        return likelihoods.rest(self.code, own, *self.distinct)

    def total(self, eta: np.ndarray, own: np.ndarray) -> float:
        """Return the sum over rows of l, at eta (predictor, unit)."""
        return float(likelihoods.log_likelihoods(self.code, own, *self.outcomes, np.ascontiguousarray(eta)).sum())

    def row_estimates(self, own: np.ndarray) -> np.ndarray:
        """Return each row's likeliest eta under a normal prior, a natural unit wide, around what all rows expect.

        Of several linear predictors those that are no log scales are moved, one after the other. (predictor, unit)
        """
        bound, (y, n) = self.bound, self.outcomes
        coefficients = bound.coefficients
        parts = [coefficients.predictors(batch.x, bound.everywhere) * coefficients.location
                 for batch in bound.rows.batches()]
        expected = np.concatenate([coefficients.total(part, bound.everywhere, np) for part in parts]).T
        best = expected.copy()
        for place in range(len(expected) - len(bound.log_scales)):
            start, highest = best, np.full(len(y), -np.inf)
            for step in GRID:
                eta = start.copy()
                eta[place] += step * bound.unit
                height = likelihoods.log_likelihoods(self.code, own, y, n, eta) - step**2 / 2
                best = np.where(height > highest, eta, best)
                highest = np.fmax(height, highest)
        return best
