"""What the rows tell of the weights where the family is not Normal: every row's likelihood as a Gaussian one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
from scipy import optimize

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.densities.gaussian.arrangement import LARGEST, Arrangement
from bayes_personal.densities.gaussian.collapsed import Factor, GaussianDensity
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.families import Normal
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.samplers.mode import Mode, climbed

# Rounds of weighted least squares, which end when no row's eta moves by more than this many natural units.
ROUNDS, SETTLED = 6, 0.05
# Where the likeliest eta of a single row is sought, in natural units around its expected value.
GRID = np.linspace(-8, 8, 65)
# Least information of a row, relative to the median: an outlier of a heavy-tailed family has a negative curvature.
LEAST = 1e-3


@final
@dataclass(frozen=True, eq=False)
class Information:
    """A Gaussian model that tells nearly as much of the weights as the rows do.

    The log likelihood of every row, as a function of its eta, is replaced by a parabola: that of a pseudo-outcome with
    a known standard error (McCullagh and Nelder 1989, section 2.5). The parabolas touch at the weights' mode given the
    hyperparameters, and these are at the mode of their marginal density under the parabolas.

    Attributes
    ----------
    collapsed : the model of the pseudo-outcomes
    mode : mode of the hyperparameters of that model
    family_point : the likeliest values of the family's own hyperparameters, on the sampler's scale
    factor : the Gaussian of the weights at these values
    """

    collapsed: GaussianDensity
    mode: Mode
    family_point: np.ndarray
    factor: Factor

    @classmethod
    def of(cls, bound: BoundModel) -> Self | None:
        """Alternate between weights and parabolas; None if eta consists of more than weights, or there are too many."""
        mean, arrangement = bound.mean, Arrangement(bound)
        real = mean is None or (mean.support == "real" and mean.joint is None)
        if bound.nonlinear or not real or not isinstance(bound.rows, InMemory) or arrangement.size > LARGEST:
            return None
        if bound.coefficients.linear_predictors > 1:
            return None
        likelihood = Likelihood(bound)
        size = sum(parameter.size for parameter in bound.parameters) - likelihood.size
        family_point, point = np.zeros(likelihood.size), np.zeros(size)
        eta = likelihood.row_estimates(family_point)
        for _ in range(ROUNDS):
            collapsed = GaussianDensity(likelihood.parabolas(eta, family_point))
            point = climbed(collapsed.log_density, point) if len(point) else point
            values = collapsed.values(point[None])
            scaling, s = collapsed.draws(values, 1)
            try:
                last_eta, eta = eta, _fitted(collapsed, values, scaling, s)
            except FloatingPointError:
                # The outcomes are out of all proportion: the sampler says so when it cannot start.
                return None
            family_point = likelihood.fitted(eta)
            if not np.abs(eta - last_eta).max() > SETTLED * bound.unit:
                break
        mode = Mode.at(collapsed.log_density, point) if len(point) else Mode(point, np.zeros((0, 0)))
        return cls(collapsed, mode, family_point, collapsed.factor(scaling, s, 0))

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The hyperparameters of the pieces at their mode."""
        return self.collapsed.values(self.mode.point)


def _fitted(collapsed: GaussianDensity, values: dict[str, Any], scaling: Scaling, s: np.ndarray) -> np.ndarray:
    """Return eta at the conditional mean of the weights."""
    arrangement = collapsed.arrangement
    z, group_z = np.zeros((1, arrangement.size)), np.zeros((1, arrangement.varying, 1, arrangement.groups))
    weights = collapsed.drawn(scaling, s, z, group_z)
    return collapsed.bound.single(collapsed.bound.eta(values | weights, np))[0]


@final
@dataclass(frozen=True, eq=False)
class Likelihood:
    """The log densities of a model's rows as functions of their eta, at values of the family's own hyperparameters."""

    bound: BoundModel

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The family's own hyperparameters."""
        return self.bound.family_parameters

    @property
    def size(self) -> int:
        """How many numbers the family's own hyperparameters are."""
        return sum(parameter.size for parameter in self.parameters)

    def at(self, eta: np.ndarray, point: np.ndarray) -> np.ndarray:
        """Return log p(y_i | eta_i) at a point of the family's own hyperparameters."""
        values, constants = dict(self._values(point)), self.bound.constants
        return self.bound.family.likelihood(eta[..., None], values, constants, np).log_density(self.bound.y)

    def _values(self, point: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        start = 0
        for parameter in self.parameters:
            yield parameter.name, parameter.value(point[start : start + parameter.size])
            start += parameter.size

    def row_estimates(self, point: np.ndarray) -> np.ndarray:
        """Return each row's likeliest eta under a normal prior around its expected value, one natural unit wide."""
        coefficients = self.bound.coefficients
        expected = coefficients.predictors(self.bound.x, self.bound.everywhere) @ coefficients.location
        best, highest = expected, np.full(len(expected), -np.inf)
        for step in GRID:
            eta = expected + step * self.bound.unit
            height = self.at(eta, point) - step**2 / 2
            best, highest = np.where(height > highest, eta, best), np.fmax(height, highest)
        return best

    def parabolas(self, eta: np.ndarray, point: np.ndarray) -> BoundModel:
        """Return the model with pseudo-outcomes of known errors, whose log densities touch those of the rows at eta."""
        bound = self.bound
        slope, second = bound.family.derivatives(bound.y, eta[..., None], dict(self._values(point)), bound.constants,
                                                 bound.unit)
        curved = -second
        convex = curved[curved > 0]
        curved = np.fmax(curved, LEAST * np.median(convex) if len(convex) else bound.unit**-2)
        rows = replace(bound.rows, y=eta + slope / curved, constants=curved**-0.5)
        return replace(bound, family=Normal(sd="error of a pseudo-outcome"), mean_prior=NATURAL_MEAN, rows=rows)

    def fitted(self, eta: np.ndarray) -> np.ndarray:
        """Return the point of the family's own hyperparameters that is likeliest given eta."""
        def depth(point: np.ndarray) -> float:
            values, start, prior = dict(self._values(point)), 0, 0.0
            for parameter in self.parameters:
                prior += float(parameter.log_density(values[parameter.name], point[start : start + parameter.size]))
                start += parameter.size
            return -prior - float(self.at(eta, point).sum())

        if not self.size:
            return np.zeros(0)
        return optimize.minimize(depth, np.zeros(self.size), method="Nelder-Mead", options={"xatol": 0.01}).x
