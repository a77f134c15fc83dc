"""log p(y, phi, u) of a field or a walk, where u are the standard normals that draw it under pseudo-data."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.chains import Chain, linear_predictors
from bayes_personal.densities.linearised.corrected import log_normal
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.kernels import likelihoods

# Turns of u, each with both signs, and draws whose turns are made together.
TURNS, TOGETHER = 4, 64


@final
@dataclass(frozen=True, eq=False)
class CorrectedChain:
    """log p(y, phi, u) of the model itself, where u are standard normal under the pseudo-data.

    The density of weights given phi and pseudo-data, at the weights w(u) that u makes, is that of u up to the Jacobian.
    Hence ``p(y, phi, u) = p(phi) Z_t(phi) Normal(u) r(w(u))``, Z_t(phi) the evidence of the pseudo-data and r the rows'
    likelihood over that of their pseudo-data. A standard normal vector may be turned: in place of r(w(u)) stands its
    average over a few turns of u, among which one is chosen afterwards in proportion to r. The average varies less,
    the turns that share a factor cost little, and the posterior is exact whatever the pseudo-data are.

    Attributes
    ----------
    density : density of the hyperparameters under the pseudo-data
    """

    density: LinearisedDensity

    @property
    def bound(self) -> BoundModel:
        """The model with its data."""
        return self.density.bound

    @property
    def chain(self) -> Chain:
        """The model of the pseudo-data."""
        assert self.density.chain is not None
        return self.density.chain

    @property
    def weights(self) -> int:
        """The length of u."""
        return self.chain.weights

    def drawn(self, points: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """Return all unknowns at points (draw, size + weight), the turn of each u chosen in proportion to r."""
        ratios = self.log_ratios(points)
        chosen = (ratios + rng.gumbel(size=ratios.shape)).argmax(axis=1)
        values = self.density.values(points[:, : self.density.size])
        u = turned(points[:, self.density.size :])[np.arange(len(points)), chosen]
        return values | self.chain.drawn(values, len(points), u)

    def log_ratios(self, points: np.ndarray) -> np.ndarray:
        """Return log r at the turns of each u, (draw, turn)."""
        parts = [self._log_ratios(points[start : start + TOGETHER]) for start in range(0, len(points), TOGETHER)]
        return np.concatenate([np.empty((0, 2 * TURNS)), *parts])

    def log_average(self, points: np.ndarray) -> np.ndarray:
        """Return the log of the average of r over the turns of each u, (draw,)."""
        return np.asarray(logsumexp(self.log_ratios(points), axis=1) - np.log(2 * TURNS))

    def _log_ratios(self, points: np.ndarray) -> np.ndarray:
        rows, size = self.density.rows, self.density.size
        # Given phi eta is affine in u: at -u it is twice that at 0 less that at u.
        u = turned(points[:, size:])[:, :TURNS]
        u = np.concatenate([0 * u[:, :1], u], axis=1)
        draws, made, weights = u.shape
        values = self.density.values(np.repeat(points[:, :size], made, axis=0))
        values |= self.chain.drawn(values, draws * made, u.reshape(-1, weights))
        eta = linear_predictors(self.bound, values, draws * made)
        eta = eta.reshape(draws, made, *eta.shape[1:])
        eta = np.concatenate([eta[:, 1:], 2 * eta[:, :1] - eta[:, 1:]], axis=1).reshape(-1, *eta.shape[2:])
        own = rows.own(values, draws * made)[::made]
        rest = np.array([rows.rest(each)[0] for each in own]) + rows.constant
        logs = likelihoods.totals(rows.code, np.repeat(own, 2 * TURNS, axis=0), *rows.outcomes, eta)
        return rest[:, None] + (logs - self.density.pseudo.log_density(eta)).reshape(draws, -1)

    def each_value(self, points: np.ndarray) -> np.ndarray:
        """Return the log density, (draw,)."""
        size, result = self.density.size, np.full(len(points), -np.inf)
        with np.errstate(all="ignore"):
            heights = self.density.each_under_pseudo_data(points[:, :size])
            usable = np.flatnonzero(np.isfinite(heights))
            average = self.log_average(points[usable])
            result[usable] = heights[usable] + log_normal(points[usable, size:]) + average
        return np.where(np.isfinite(result), result, -np.inf)


def turned(u: np.ndarray) -> np.ndarray:
    """Return vectors (draw, weight) with their entries moved round and with both signs, (draw, turn, weight)."""
    moved = np.stack([np.roll(u, turn * u.shape[1] // TURNS, axis=1) for turn in range(TURNS)], axis=1)
    return np.concatenate([moved, -moved], axis=1)
