"""log p(y_i | y_-i, draw), theta_i integrated out, for rows without a Normal likelihood."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
from scipy.special import roots_hermitenorm

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import Projection
from bayes_personal.densities.linearised.corrected import Corrected, Placed, moments
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity, linearises
from bayes_personal.densities.linearised.pseudo_data import PseudoData
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.marginal import Densities
from bayes_personal.kernels import likelihoods

# Draws over which pseudo-data are averaged, and nodes of a row's integral over its linear predictor.
AVERAGED, NODES = 200, 21
# Nodes along each weight of a group that has one, two or more of them.
ORDERS = {1: 15, 2: 7}
ORDER = 5
# An evaluation on a node costs as much as so many of those that draws are thinned by: it takes two exponentials more.
ON_NODES = 16.0
# A triangular system costs this much of an evaluation of a row's likelihood, for every square of a weight.
SOLVED = 0.05


def leaves_out(bound: BoundModel) -> bool:
    """Say whether `LeftOutRows` takes a model."""
    return linearises(bound) and bound.coefficients.linear_predictors == 1


@final
@dataclass(frozen=True, eq=False)
class LeftOutRows:
    """Rows left out one by one given draws of the posterior of a model that linearises, with one predictor a row.

    Where no groups are eliminated, the weights are integrated out given phi: exactly but for one row, whose likelihood
    takes the place of its pseudo-observation (the cavity of expectation propagation). Where groups are, those of the
    row's group are integrated out given phi and all other weights, by quadrature.

    Attributes
    ----------
    density : density of phi under pseudo-data that are averaged over the posterior
    values : draws of all variables
    count : number of draws

    References
    ----------
    Vehtari, Mononen, Tolvanen, Sivula and Winther (2016), JMLR 17(103):1, doi:10.48550/arXiv.1412.7461.
    """

    density: LinearisedDensity
    values: Mapping[str, np.ndarray]
    count: int

    @classmethod
    def of(cls, bound: BoundModel, values: Mapping[str, np.ndarray], count: int) -> Self:
        """Make pseudo-data from draws."""
        some = np.unique(np.linspace(0, count - 1, min(AVERAGED, count)).astype(int))
        chosen = {name: value[some] for name, value in values.items()}
        rows = bound.once(RowLikelihoods)
        own = np.median(rows.own(chosen, len(some)), axis=0)
        pseudo = PseudoData.averaged(rows, *moments(bound, chosen, len(some)), own)
        centre = LinearisedDensity(bound, pseudo, np.zeros(0)).gaussian.natural_weights(chosen, len(some)).mean(axis=0)
        return cls(LinearisedDensity(bound, pseudo, centre), values, count)

    @property
    def within_reach(self) -> bool:
        """Whether floating point reaches the weights' distribution at every draw; it does at those of a posterior."""
        try:
            for draw in range(self.count):
                self._projection.shared(draw)
        except FloatingPointError:
            return False
        return True

    @property
    def order(self) -> int:
        """Nodes along each weight of a group."""
        return ORDERS.get(self.density.gaussian.arrangement.varying, ORDER)

    @property
    def work(self) -> float:
        """About how many evaluations of a row's likelihood one draw takes."""
        rows, groups = len(self.density.bound.rows), self.density.groups
        if groups is not None:
            return ON_NODES * rows * self.order ** len(groups.x)
        return rows * (SOLVED * self.density.gaussian.arrangement.size**2 + 2 * NODES)

    def of_draws(self, chosen: np.ndarray) -> "LeftOutRows":
        """Return the same at some of the draws."""
        return LeftOutRows(self.density, {name: value[chosen] for name, value in self.values.items()}, len(chosen))

    @cached_property
    def own(self) -> np.ndarray:
        """The family's own numbers at the draws, (draw, number)."""
        return self.density.rows.own(self.values, self.count)

    def densities(self) -> tuple[Densities, np.ndarray]:
        """Return the log densities of all rows, (draw, unit), and how far eta moves where a row is left out under
        pseudo-data, in standard deviations, (unit,); 0 where the densities are exact."""
        left_out, left_in, moved = self._by_cavities() if self.density.groups is None else self._by_groups()
        constants = self._constants()
        return Densities(left_out + constants, left_in + constants), moved

    def _constants(self) -> np.ndarray:
        """Return what log p(y_i) has beside l, (1 or draw, unit)."""
        rows = self.density.rows
        distinct, places = np.unique(rows.outcomes[0], return_inverse=True)
        by_draw = np.array([likelihoods.rests(rows.code, own, distinct) for own in self.own]) if self.own.size else \
            np.zeros((1, len(distinct)))
        return rows.constants + by_draw[:, places]

    def _by_cavities(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, pseudo, bound = self.density.rows, self.density.pseudo, self.density.bound
        arrangement, projection = self.density.gaussian.arrangement, self._projection
        nodes, weights = roots_hermitenorm(NODES)
        left_out, left_in = np.empty((2, self.count, len(bound.rows)))
        moved, (y, n) = np.zeros(len(bound.rows)), rows.outcomes
        for batch in bound.rows.batches():
            at, natural = batch.places, np.full(len(batch), bound.unit)
            z = arrangement.loadings(batch.x, natural, bound.features_at(batch.frame))
            offset = bound.coefficients.predictors(batch.x, bound.everywhere) @ arrangement.centre
            for draw, (fit, variance) in enumerate(projection.of(z)):
                mean, variance = offset + bound.unit * fit, bound.unit**2 * variance
                response, precision = pseudo.response[0, at], pseudo.precision[0, 0, at]
                left_out[draw, at], left_in[draw, at] = likelihoods.log_averages(
                    rows.code, self.own[draw], y[at], n[at], mean, variance, response, precision, nodes,
                    np.log(weights / weights.sum()))
                leverage = np.minimum(precision * variance, likelihoods.MOST_LEVERAGE)
                moved[at] += leverage / (1 - leverage) * np.abs(mean - response) / np.sqrt(variance) / self.count
        return left_out, left_in, moved

    @cached_property
    def _projection(self) -> Projection:
        return self.density.gaussian.projection(self.values, self.count)

    def _by_groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gaussian, groups = self.density.gaussian, self.density.groups
        assert groups is not None
        scaling, _ = gaussian.draws(self.values, self.count)
        whitened = gaussian.shared_weights(self.values, self.count)
        placed = Placed(dict(self.values), whitened, np.zeros(self.count), scaling)
        left_out, left_in = np.empty((2, self.count, len(groups.tiles.group)))
        for draw, eta in Corrected(self.density, self.order).eta_of_groups(placed):
            left_out[draw], left_in[draw] = groups.log_left_out(self.own[draw], groups.scales(scaling, draw), eta,
                                                                 self.order)
        return left_out, left_in, np.zeros(left_out.shape[1])
