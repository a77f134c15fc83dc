"""The pseudo-data of a model: at the mode of its weights, and then averaged over the posterior that they lead to."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import InMemory
from bayes_personal.densities.linearised.chains import chain_moments, linear_predictors
from bayes_personal.densities.linearised.corrected import moments
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.pseudo_data import PseudoData
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.samplers.mode import Mode, climbed
from bayes_personal.samplers.start import outcome_must_have_density

# Rounds of weights given hyperparameters and hyperparameters given pseudo-data, which end when no hyperparameter moves
# by more than this on the sampler's scale.
ROUNDS, SETTLED = 4, 0.05
# Steps towards the mode of the weights, which end when no eta moves by more than this many of its standard errors; and
# halvings of one step.
STEPS, CLOSE, HALVINGS = 30, 0.01, 20
# Rounds of averaging, the draws of each, and how far out these are taken, in standard deviations.
AVERAGES, DRAWS, FAR = 2, 200, 2.5


def linearised(bound: BoundModel, rng: np.random.Generator) -> tuple[LinearisedDensity, np.ndarray]:
    """Return the density under pseudo-data that stand for the rows where the posterior has its mass, and its mode."""
    if isinstance(bound.rows, InMemory):
        outcome_must_have_density(bound)
    rows = bound.once(RowLikelihoods)
    size = sum(parameter.size for parameter in bound.parameters)
    point = np.zeros(size)
    eta = rows.row_estimates(own_at(bound, point))
    for _ in range(ROUNDS):
        density, eta = at_mode(bound, point, eta)
        if not size:
            break
        last, point = point, climbed(density.log_density, point)
        if np.abs(point - last).max() < SETTLED:
            break
    for turn in range(AVERAGES):
        if turn and size:
            point = climbed(density.log_density, point)
        points = near_mode(density, point, rng)
        values = density.values(points)
        values |= density.under_pseudo_data.draw_rest(values, len(points), rng)
        density = averaged(density, values, len(points), own_at(bound, point))
    return density, point


def own_at(bound: BoundModel, point: np.ndarray) -> np.ndarray:
    """Return the family's own numbers at a point (size,) of all hyperparameters."""
    values, stop = {}, len(point)
    for parameter in reversed(bound.family_parameters):
        values[parameter.name] = parameter.value(point[stop - parameter.size : stop])
        stop -= parameter.size
    return bound.once(RowLikelihoods).own(values, 1)[0]


def at_mode(bound: BoundModel, point: np.ndarray, eta: np.ndarray) -> tuple[LinearisedDensity, np.ndarray]:
    """Climb to the mode of the weights at a point of the hyperparameters; return the pseudo-data there.

    Each step goes to the conditional mean of the weights under pseudo-data, of which the first touch the likelihoods at
    eta; it is halved where the density falls. The first one is a step from weights of zero.
    """
    rows = bound.once(RowLikelihoods)
    own = own_at(bound, point)
    pseudo = PseudoData.touching(rows, eta, own)
    last = at_zero(LinearisedDensity(bound, pseudo, np.zeros(0)), point)
    height = rows.total(last.eta, own)
    for _ in range(STEPS):
        at = conditional_mean(LinearisedDensity(bound, pseudo, last.centre), point)
        for _ in range(HALVINGS):
            new_height = rows.total(at.eta, own) - 0.5 * (at.whitened**2).sum()
            if new_height >= height - 1e-9 * abs(height):
                break
            at = at.halfway(last)
        height = new_height
        change = np.abs(at.eta - last.eta).max(axis=0) * np.sqrt(np.einsum("ppn->n", pseudo.precision))
        pseudo, last = PseudoData.touching(rows, at.eta, own), at
        if change.max() < CLOSE:
            break
    return LinearisedDensity(bound, pseudo, last.centre), last.eta


class Weights(NamedTuple):
    """Weights at one point of the hyperparameters, and where they lead.

    Attributes
    ----------
    eta : (predictor, unit)
    whitened : all whitened weights, (weight,)
    centre : weights that are not eliminated, in natural units, (weight,)
    """

    eta: np.ndarray
    whitened: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, density: LinearisedDensity, values: dict[str, np.ndarray], z: np.ndarray, group_z: np.ndarray) -> Self:
        """Read them off values of all variables, of one draw."""
        arrangement = density.gaussian.arrangement
        natural, of_groups = arrangement.natural_weights(values, 1), arrangement.natural_group_weights(values)
        eta = [arrangement.linear_predictors(batch).at(natural, of_groups)[0] for batch in density.bound.rows.batches()]
        return cls(np.concatenate(eta, axis=-1), np.concatenate([z.ravel(), group_z.ravel()]), natural[0])

    def halfway(self, other: "Weights") -> "Weights":
        """Return the weights between these and others."""
        return Weights(*((one + another) / 2 for one, another in zip(self, other, strict=True)))


def at_zero(density: LinearisedDensity, point: np.ndarray) -> Weights:
    """Return weights of zero."""
    if density.chain is not None:
        coefficients, centre = density.bound.coefficients, density.chain.arrangement.centre
        eta = coefficients.predictors(density.bound.x, density.bound.everywhere) @ centre
        return Weights(eta[None], 0 * conditional_mean(density, point).whitened, np.zeros(0))
    z, group_z = no_weights(density)
    return Weights.of(density, density.values(point[None]) | density.gaussian.named(z, group_z), z, group_z)


def conditional_mean(density: LinearisedDensity, point: np.ndarray) -> Weights:
    """Return the means of the weights under the pseudo-data."""
    if density.chain is not None:
        values = density.values(point[None])
        values |= density.chain.drawn(values, 1, np.zeros((1, density.weights)))
        return Weights(linear_predictors(density.bound, values, 1)[0], density.chain.whitened(values), np.zeros(0))
    values, (z, group_z) = density.values(point[None]), no_weights(density)
    values |= density.gaussian.drawn(*density.gaussian.draws(values, 1), z, group_z)
    return Weights.of(density, values, z, group_z)


def no_weights(density: LinearisedDensity) -> tuple[np.ndarray, np.ndarray]:
    """Return zeros for the weights that are not eliminated, and for those that are."""
    arrangement = density.gaussian.arrangement
    return np.zeros((1, arrangement.size)), np.zeros((1, arrangement.varying, 1, arrangement.groups))


def near_mode(density: LinearisedDensity, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw points from the normal approximation at a mode, without its tails, (draw, size)."""
    if not len(point):
        return np.zeros((DRAWS, 0))
    mode = Mode.at(density.log_density, point)
    return mode.point + np.clip(rng.standard_normal((DRAWS, len(point))), -FAR, FAR) @ mode.root.T


def averaged(density: LinearisedDensity, values: Mapping[str, np.ndarray], count: int,
             own: np.ndarray) -> LinearisedDensity:
    """Return the density under pseudo-data that are averaged over draws of all variables."""
    if density.chain is not None:
        pseudo = PseudoData.averaged(density.rows, *chain_moments(density.bound, values, count), own)
        return LinearisedDensity(density.bound, pseudo, np.zeros(0))
    arrangement = density.gaussian.arrangement
    pseudo = PseudoData.averaged(density.rows, *moments(arrangement, values, count), own)
    return LinearisedDensity(density.bound, pseudo, arrangement.natural_weights(values, count).mean(axis=0))
