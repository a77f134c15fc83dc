"""log p(y, phi, weights) of the model itself, on a scale on which pseudo-data make it nearly Gaussian."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import Arrangement
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.remainder import Remainder
from bayes_personal.kernels import likelihoods

# Numbers in arrays of linear predictors that are handled together, so few that they stay near the processor.
NEAR = 2**18
# Least variance of eta, in natural units.
LEAST_VARIANCE = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Corrected:
    """log p(y, phi, u) of the model itself, where u are its weights standardised given phi and pseudo-data.

    ``weights = mean(phi) + root(phi) u``, of which u is standard normal under the pseudo-data. The density is exact
    whatever these are; the nearer they are to the rows' likelihoods, the nearer it is to a product of its parts. Where
    groups are eliminated, theirs are no part of u: they are integrated out by quadrature.

    Attributes
    ----------
    density : density of the hyperparameters under the pseudo-data
    order : nodes along each weight of a group
    remainder : what a finer rule adds, if that has been fitted; it is part of the density
    """

    density: LinearisedDensity
    order: int
    remainder: Remainder | None = None

    @property
    def finest(self) -> int:
        """Nodes along each weight of a group of the finest rule that the density knows of."""
        return self.order if self.remainder is None else self.remainder.order

    @property
    def bound(self) -> BoundModel:
        """The model with its data."""
        return self.density.bound

    @property
    def weights(self) -> int:
        """The number of weights that are not eliminated."""
        return self.density.gaussian.arrangement.size

    def placed(self, points: np.ndarray) -> "Placed":
        """Return all unknowns but the groups' weights at points (draw, size + weight)."""
        gaussian, size = self.density.gaussian, self.density.size
        values = self.density.values(points[:, :size])
        scaling, s = gaussian.draws(values, len(points))
        z, log_jacobian = gaussian.placed(scaling, s, points[:, size:])
        return Placed(values | gaussian.named(z), z, log_jacobian, scaling)

    def each_value(self, points: np.ndarray) -> np.ndarray:
        """Return the log density, (draw,)."""
        phi = points[:, : self.density.size]
        with np.errstate(all="ignore"):
            placed = self.placed(points)
            result = self.density.log_prior(phi, placed.values) + placed.log_jacobian + log_normal(placed.z)
            usable = np.flatnonzero(np.isfinite(result))
            result[usable] += self.log_likelihood(placed.take(usable))
        if self.remainder is not None:
            result += self.remainder.at(points)
        return np.where(np.isfinite(result), result, -np.inf)

    def log_likelihood(self, placed: "Placed") -> np.ndarray:
        """Return the log likelihood of all rows, with groups integrated out where they are eliminated, (draw,)."""
        rows = self.density.rows
        own = rows.own(placed.values, len(placed.z))
        rest = np.array([rows.rest(each)[0] for each in own]) + rows.constant
        return rest + (self._of_rows(placed, own) if self.density.groups is None else
                       self.group_integrals(placed, self.order))

    def _of_rows(self, placed: "Placed", own: np.ndarray) -> np.ndarray:
        rows, result, (y, n) = self.density.rows, np.zeros(len(own)), self.density.rows.outcomes
        arrangement = self.density.gaussian.arrangement
        weights = arrangement.natural_weights(placed.values, len(own))
        for batch in self.bound.rows.batches():
            together, at = max(1, NEAR // len(batch)), batch.places
            predictors = arrangement.linear_predictors(batch)
            for start in range(0, len(own), together):
                part = slice(start, start + together)
                eta = predictors.at(weights[part], None)
                result[part] += likelihoods.totals(rows.code, own[part], y[at], n[at], eta)
        return result

    def group_integrals(self, placed: "Placed", order: int) -> np.ndarray:
        """Return the sum of log I_g over the groups, (draw,)."""
        groups = self.density.groups
        assert groups is not None
        own = groups.rows.own(placed.values, len(placed.z))
        return np.array([groups.log_integrals(own[draw], groups.scales(placed.scaling, draw), eta, order).sum()
                         for draw, eta in self.eta_of_groups(placed)])

    def eta_of_groups(self, placed: "Placed") -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over the draws, with the linear predictors without the groups' weights, (predictor, slot, lane)."""
        groups = self.density.groups
        assert groups is not None
        return groups.each_eta(self.density.gaussian.arrangement.natural_weights(placed.values, len(placed.z)))


class Placed(NamedTuple):
    """All unknowns but the weights of eliminated groups, at draws.

    Attributes
    ----------
    values : hyperparameters, mean and whitened weights by name
    z : whitened weights that are not eliminated, (draw, weight)
    log_jacobian : log |dz/du|, (draw,)
    scaling : scales of all weights
    """

    values: dict[str, np.ndarray]
    z: np.ndarray
    log_jacobian: np.ndarray
    scaling: Scaling

    def take(self, draws: Any) -> "Placed":
        """Return some of the draws."""
        return Placed({name: value[draws] for name, value in self.values.items()}, self.z[draws],
                      self.log_jacobian[draws], Scaling(*(each[draws] for each in self.scaling)))


def log_normal(z: np.ndarray) -> np.ndarray:
    """Return the log density of standard normal vectors, (draw,)."""
    return -0.5 * (z**2).sum(axis=1) - 0.5 * z.shape[1] * np.log(2 * np.pi)


def moments(arrangement: Arrangement, values: Mapping[str, np.ndarray],
            count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and root of the covariance of every row's eta over draws of all variables."""
    means, covariances, bound = [], [], arrangement.bound
    weights = arrangement.natural_weights(values, count), arrangement.natural_group_weights(values)
    for batch in bound.rows.batches():
        eta = arrangement.linear_predictors(batch).at(*weights)
        mean = eta.mean(axis=0)
        gap = eta - mean
        means.append(mean)
        covariances.append(np.einsum("dpn,dqn->pqn", gap, gap) / count)
    mean, covariance = np.concatenate(means, axis=-1), np.concatenate(covariances, axis=-1)
    # Where eta is the same at all draws.
    covariance += LEAST_VARIANCE * np.diag(bound.predictor_units**2)[:, :, None]
    root = np.linalg.cholesky(covariance.transpose(2, 0, 1)).transpose(1, 2, 0)
    return mean, np.ascontiguousarray(root)
