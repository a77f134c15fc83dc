"""log p(y, phi) with Gaussian likelihoods in place of the rows' own: a proposal, which importance weights correct."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import LARGEST, Arrangement
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.linearised.chains import Chain, chain, chained
from bayes_personal.densities.linearised.eliminated import EliminatedGroups
from bayes_personal.densities.linearised.pseudo_data import PseudoData, nodes_of_rows
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.marginal import MOST, Effort, HyperparameterDensity, MarginalDensity
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels import likelihoods, pseudo_integrals
from bayes_personal.kernels.tape import Tape, outputs, pulled_back

# Nodes of the average of log p(y_i | eta_i) over the distribution of eta_i.
NODES = 3
# Nodes along each weight of the groups' integrals, and most weights of a group where rows have several linear
# predictors, whose likelihoods take a node at a time.
ORDER, OF_GROUP = 5, 4
# Climbs to modes that mirror the one where pseudo-data are made.
CLIMBS = 4
# Draws that are weighted in the end: a weight takes a pass over the rows.
CORRECTED = 2048
# Rows over which an average of log likelihoods takes no longer than a gradient.
CHEAP = 2048


def linearises(bound: BoundModel) -> bool:
    """Say whether rows have compiled likelihoods, and eta consists of weights that integrate out of Gaussian ones.

    Of a model in two stages that is the second one, whose population is known.
    """
    if chained(bound):
        return True
    gaussian = bound.family.compiled is not None and bound.mean_prior.gaussian and not bound.nonlinear
    known = bound.second_stage is None or bound.population is not None
    return gaussian and known and Arrangement(bound).size <= LARGEST


def corrects(bound: BoundModel) -> bool:
    """Say whether importance weights may correct draws under pseudo-data: of many hyperparameters they have no
    variance, and groups with many weights, as of several linear predictors, take too many nodes."""
    few = sum(parameter.size for parameter in bound.parameters) <= MOST
    several = bound.coefficients.linear_predictors > 1
    return few and linearises(bound) and not (several and Arrangement(bound).varying > OF_GROUP)


@final
@dataclass(frozen=True, eq=False)
class LinearisedDensity(HyperparameterDensity):
    """The density of phi where pseudo-data stand for the rows.

    The weights integrate out of it at a cost that does not grow with the rows. What pseudo-data cannot say of phi is
    added where eta is expected: of a family's own hyperparameters psi the rows' own log likelihoods, on average over
    eta; and where groups are eliminated, their integrals under the rows' own likelihoods in place of those under the
    pseudo-data, given the other weights.

    Attributes
    ----------
    bound : the model with its data
    pseudo : Normal observations in place of the rows
    centre : expected weights that are not eliminated, in natural units, (weight,)
    order : nodes along each weight of a group; the gradient is that of the exact integrals
    """

    bound: BoundModel
    pseudo: PseudoData
    centre: np.ndarray
    order: int = ORDER

    @property
    def rows(self) -> RowLikelihoods:
        """The rows' own log likelihoods."""
        return self.bound.once(RowLikelihoods)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.bound.parameters

    @property
    def effort(self) -> Effort:
        # Pseudo-data are made at one mode; those that mirror it are as dense.
        ridged = any(term.ridged for term in self.bound.terms)
        if ridged:
            return Effort(climbs=CLIMBS, proposals=4 * CORRECTED, fewer=4, rounds=6, ridged=True)
        return Effort(climbs=0, proposals=CORRECTED, fewer=4, rounds=4)

    @cached_property
    def gaussian(self) -> GaussianDensity:
        """The model of the pseudo-data, which has no family of its own."""
        return self.pseudo.gaussian(self.bound)

    @cached_property
    def chain(self) -> Chain | None:
        """The model of the pseudo-data where its weights are a field or a walk, which take the place of `gaussian`."""
        return chain(self.bound, self.pseudo) if chained(self.bound) else None

    @property
    def under_pseudo_data(self) -> MarginalDensity:
        """The model of the pseudo-data."""
        return self.chain or self.gaussian

    @property
    def weights(self) -> int:
        """The number of weights that are not eliminated."""
        return self.chain.weights if self.chain else self.gaussian.arrangement.size

    @cached_property
    def groups(self) -> EliminatedGroups | None:
        """The rows' own likelihoods, with groups integrated out; None where no groups are eliminated."""
        if self.chain or not self.gaussian.arrangement.groups:
            return None
        return EliminatedGroups.of(self.rows, self.gaussian, self.pseudo)

    @cached_property
    def family_size(self) -> int:
        """How many numbers the family's own hyperparameters are; they come last in a point."""
        return sum(parameter.size for parameter in self.bound.family_parameters)

    def of_pieces(self, points: np.ndarray) -> np.ndarray:
        """Return the part of points (..., size) that `gaussian` takes."""
        return np.ascontiguousarray(points[..., : self.size - self.family_size])

    def of_family(self, points: np.ndarray) -> np.ndarray:
        """Return the part of points (..., size) that is the family's own."""
        return np.ascontiguousarray(points[..., self.size - self.family_size :])

    def _family(self, point: Any) -> tuple[dict[str, Any], Any]:
        """Return values and log prior of the family's own hyperparameters at their part of a point."""
        values, start, log_prior = {}, 0, 0.0
        for parameter in self.bound.family_parameters:
            part = point[None, start : start + parameter.size]
            values[parameter.name] = parameter.value(part)
            log_prior = log_prior + parameter.log_density(values[parameter.name], part)
            start += parameter.size
        return values, np.ravel(np.asarray(log_prior, object))[0]

    def log_prior_at(self, point: Any) -> Any:
        """Return the log prior of the family's own hyperparameters at a point (size,) of symbols."""
        return self._family(point[self.size - self.family_size :])[1]

    def _outputs(self, point: Any) -> list[Any]:
        values, log_prior = self._family(point)
        numbers = self.bound.family.compiled_numbers(values)
        return [log_prior, *(entry for part in numbers for entry in np.ravel(np.asarray(part, object)))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior of the family's own hyperparameters, and its own numbers, as functions of their point."""
        return Tape.of(self._outputs, self.family_size)

    def own(self, point: np.ndarray) -> np.ndarray:
        """Return the family's own numbers at the part of a point that is its own, (number,)."""
        return np.array(outputs(point, *self.tape.arrays)[1:])

    def log_prior_of_family(self, point: np.ndarray) -> float:
        """Return the log density of the hyperpriors of the family's own hyperparameters."""
        return float(outputs(point, *self.tape.arrays)[0])

    @cached_property
    def shift(self) -> float:
        """What the correction adds where it depends on no hyperparameter."""
        return self._average(np.zeros(0))[0]

    def _average(self, own: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the rows' log likelihood less that of the pseudo-data, on average over eta, and its slopes by own."""
        average, slopes = likelihoods.average(self.rows.code, own, *self.rows.outcomes, self.pseudo.mean,
                                              self.pseudo.root, *nodes_of_rows(NODES, len(self.pseudo.mean)))
        rest, rest_slopes = self.rows.rest(own)
        return average + rest + self.rows.constant - self.pseudo.expected, slopes + rest_slopes

    @cached_property
    def eta_at_centre(self) -> np.ndarray:
        """The linear predictors without the groups' weights, where the other weights are expected."""
        assert self.groups is not None
        return self.groups.eta(self.centre[None])[0]

    @cached_property
    def pseudo_sums(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The groups' sums of pseudo-data given the other weights, as the kernel takes them, and the constant."""
        assert self.groups is not None
        tiles, sums = self.groups.tiles, self.gaussian.statistics
        curve = tiles.of_groups(np.moveaxis(sums.group_gram, 0, -1))
        pull = tiles.of_groups((sums.group_moment - sums.cross @ self.centre).T)
        return curve, pull, float(self.pseudo.log_density(tiles.to_rows(self.eta_at_centre)))

    def _of_groups(self, pieces: np.ndarray, own: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the groups' log integrals less those under the pseudo-data, and the slopes by pieces and by own."""
        groups, (curve, pull, constant) = self.groups, self.pseudo_sums
        assert groups is not None
        scaling, _ = self.gaussian.draws(self.gaussian.values(pieces[None]), 1)
        scales = groups.scales(scaling, 0)
        integrals, slopes = groups.log_integrals_and_slopes(own, scales, self.eta_at_centre, self.order)
        each, by_t = np.empty(curve.shape[2:]), np.zeros(curve.shape)
        pseudo_integrals.log_pseudo_integrals(*scales, curve, pull, each, by_t)
        by_sd, by_root = groups.by_scales(scales, by_t)
        by_scaling = np.concatenate([(slopes.by_sd - by_sd).ravel(), (slopes.by_root - by_root).ravel()])
        tape = self.gaussian.tape
        before = np.zeros(len(tape.outputs) - len(by_scaling))
        by_pieces = pulled_back(pieces, *tape.arrays, np.append(before, by_scaling))
        rest, rest_slopes = self.rows.rest(own)
        value = integrals + rest + self.rows.constant - each.sum() - constant
        return value, by_pieces, slopes.by_own + rest_slopes

    @property
    def corrects(self) -> bool:
        """Whether the correction depends on hyperparameters."""
        return self.groups is not None or self.family_size > 0

    @property
    def many_scales(self) -> bool:
        """Whether groups have scales of their own."""
        if self.groups is None:
            return False
        scaling, _ = self.gaussian.draws(self.values(np.zeros((1, self.size))), 1)
        return scaling.own_sd.shape[1] > 1

    @property
    def cheap(self) -> bool:
        """Whether the correction takes no longer than what else a sampler computes."""
        return not self.corrects or (self.groups is None and len(self.rows.outcomes[0]) <= CHEAP)

    @np.errstate(all="ignore")
    def correction(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return what the rows' own likelihoods add to the density under pseudo-data, and its gradient."""
        pieces, family_point = self.of_pieces(point), self.of_family(point)
        if not self.corrects:
            return self.shift, np.zeros(self.size)
        own, by_pieces = self.own(family_point), np.zeros(len(pieces))
        if self.groups is None:
            value, by_own = self._average(own)
        else:
            value, by_pieces, by_own = self._of_groups(pieces, own)
        return value, np.append(by_pieces, pulled_back(family_point, *self.tape.arrays, np.append(0.0, by_own)))

    def without_correction(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the density under pseudo-data, and its gradient, at a cost that does not grow with the rows."""
        family_point = self.of_family(point)
        value, gradient = self.under_pseudo_data.log_density(self.of_pieces(point))
        if not self.family_size:
            return value, gradient
        by_prior = np.eye(1, len(self.tape.outputs))[0]
        return (value + self.log_prior_of_family(family_point),
                np.append(gradient, pulled_back(family_point, *self.tape.arrays, by_prior)))

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.without_correction(point)
        if not np.isfinite(value):
            return value, gradient
        correction, slope = self.correction(point)
        return value + correction, gradient + slope

    def _value(self, point: np.ndarray) -> float:
        return self._log_density(point)[0]

    def each_under_pseudo_data(self, points: np.ndarray) -> np.ndarray:
        """Return the density under pseudo-data at many points, (draw,)."""
        values = self.under_pseudo_data.each_value(self.of_pieces(points))
        if not self.family_size:
            return values
        return values + np.array([self.log_prior_of_family(each) for each in self.of_family(points)])

    def each_value(self, points: np.ndarray) -> np.ndarray:
        if not self.corrects:
            return self.under_pseudo_data.each_value(self.of_pieces(points)) + self.shift
        return np.array([self.value(point) for point in points])
