"""Evidence of sets of predictors under a Normal family, whose coefficients integrate out exactly.

Given the errors' standard deviations sigma_e it is Gaussian. For one environment the integral over log sigma is a
trapezoid rule along a sinh, exact to rounding; for more it is importance sampling, by t distributions that are fitted
to the draws of a first round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import numpy as np
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.pieces import Elsewhere
from bayes_personal.samplers.invariant_sets import Evidence, InvariantSets, averaged, prior_of
from bayes_personal.samplers.proposal import Proposal, Skewed

# How much wider the first proposal is than the likelihood suggests.
WIDER = 1.15
# Digits of the evidence are lost where outcome and predictors are, in all, this many squared errors from the mean.
FARTHEST = 1e13
# Nodes of the rule for one environment, and how far its sinh reaches.
NODES, REACH = 201, 6.0
# Steps by which an approximate mode is reached, and the grid on which log(sigma / unit) is sought.
STEPS, ERRORS = 50, np.linspace(-16.0, 7.0, 461)


@final
@dataclass(frozen=True, eq=False)
class NormalSets(InvariantSets):
    """Sets of predictors under a Normal family; its own parameter is sigma, none where the errors are known.

    Attributes
    ----------
    square, product, energy, rows : moments of each environment, predictors in units of the prior's sd: X'X (e,
        coefficient, coefficient), X'r (e, coefficient), r'r and the number of rows (e,), where r is the outcome less
        the prior mean of the predictors that are in every set
    """

    square: np.ndarray
    product: np.ndarray
    energy: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, bound: BoundModel, term: Elsewhere, progress: bool) -> Self:
        """Sum the moments in one pass over the rows."""
        mean, sd = prior_of(bound, term)
        count, size = term.size, len(bound.everywhere)
        square, product = np.zeros((count, size, size)), np.zeros((count, size))
        energy, rows = np.zeros(count), np.zeros(count)
        level = np.where(np.isin(np.arange(size), term.candidates), 0.0, mean)
        for batch in bound.rows.batches():
            codes = term.at(batch.frame).matrix.indices
            x = bound.coefficients.predictors(batch.x, bound.everywhere) / batch.constants[:, None]
            outcome = batch.y / batch.constants - x @ level
            for code in np.unique(codes):
                in_environment = codes == code
                scaled = x[in_environment] * sd
                square[code] += scaled.T @ scaled
                product[code] += scaled.T @ outcome[in_environment]
                energy[code] += outcome[in_environment] @ outcome[in_environment]
                rows[code] += in_environment.sum()
        return cls(term, bound.family_parameters, mean, sd, progress, square, product, energy, rows)

    @property
    def sigma(self) -> Parameter | None:
        """Hyperparameter of the errors' standard deviation; None where the errors are known."""
        return self.own[0] if self.own else None

    @property
    def closed(self) -> bool:
        return self.sigma is None

    def set_moments(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X'X, X'r and r'r of each environment for the predictors in a set."""
        members = self.members(place)
        expected = np.where(np.isin(members, self.term.candidates), self.mean[members] / self.sd[members], 0.0)
        square, product = self.square[:, members][:, :, members], self.product[:, members]
        energy = self.energy - 2 * product @ expected + square @ expected @ expected
        return square, product - square @ expected, energy

    def conditional(self, place: int, environments: Sequence[int], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the Cholesky factor L of the precision of theta / sd given errors, (draw, in, in), and L' mean."""
        square, product, _ = self.set_moments(place)
        precision = np.exp(-2 * points) / self.error**2
        information = np.eye(square.shape[1]) + np.tensordot(precision, square[list(environments)], 1)
        root = np.linalg.cholesky(information)
        return root, np.linalg.solve(root, (precision @ product[list(environments)])[..., None])[..., 0]

    @property
    def error(self) -> float:
        """Natural unit of sigma; 1 where the errors are known, since the moments are in units of them."""
        return 1.0 if self.sigma is None else float(self.sigma.unit)

    def log_density(self, place: int, environments: Sequence[int], points: np.ndarray) -> np.ndarray:
        """Return log p(y, sigma | S) on the sampler's scale at points (draw, environment), theta integrated out."""
        square, product, energy = (each[list(environments)] for each in self.set_moments(place))
        rows, logs = self.rows[list(environments)], points + np.log(self.error)
        largest = energy + np.trace(square, axis1=1, axis2=2)
        resolved = np.exp(-2 * logs) @ largest < (np.inf if self.sigma is None else FARTHEST)
        # A point that is not resolved gets no density, and none is computed: its Cholesky factor may not exist.
        points, logs = np.where(resolved[:, None], points, 0.0), np.where(resolved[:, None], logs, np.log(self.error))
        precision = np.exp(-2 * logs)
        value = -logs @ rows - 0.5 * np.log(2 * np.pi) * rows.sum() - 0.5 * precision @ energy
        if len(environments) == 1:
            # The precisions of one environment all have the same eigenvectors.
            curved, vectors = np.linalg.eigh(square[0])
            # Fewer rows than coefficients leave some of them open, by rounding a little below or above 0.
            curved[: max(len(curved) - int(rows[0]), 0)] = 0.0
            larger = 1 + precision * np.maximum(curved, 0.0)
            value += 0.5 * ((precision * (product[0] @ vectors)) ** 2 / larger - np.log(larger)).sum(axis=1)
        else:
            root, whitened_mean = self.conditional(place, environments, points)
            value += 0.5 * (whitened_mean**2).sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        if self.sigma is not None:
            for coordinate in points.T:
                value += self.sigma.log_density(self.sigma.value(coordinate[:, None]), coordinate[:, None])
        return np.where(resolved, value, -np.inf)

    def mode(self, place: int, environments: Sequence[int]) -> np.ndarray:
        """Return where log sigma is about most probable, (environment,).

        The prior of sigma counts: environments with fewer rows than coefficients may be explained without error.
        """
        assert self.sigma is not None
        square, product, energy = (each[list(environments)] for each in self.set_moments(place))
        rows, point = self.rows[list(environments)], np.zeros(len(environments))
        prior = self.sigma.log_density(self.sigma.value(ERRORS[:, None]), ERRORS[:, None])
        for _ in range(STEPS):
            root, whitened_mean = (each[0] for each in self.conditional(place, environments, point[None]))
            centre = np.linalg.solve(root.T, whitened_mean)
            spread = np.linalg.inv(root)
            squared_error = energy - 2 * product @ centre + square @ centre @ centre
            squared_error += (square * (spread.T @ spread)).sum(axis=(1, 2))
            floor = 1e-12 * (energy + self.error**2)
            squared_error = np.maximum(squared_error, floor) / self.error**2
            last_point, point = point, ERRORS[np.argmax(prior[:, None] - rows * ERRORS[:, None]
                                                    - 0.5 * squared_error * np.exp(-2 * ERRORS[:, None]), axis=0)]
            if (point == last_point).all():
                break
        return point

    def evidence(self, place: int, environments: Sequence[int], rng: np.random.Generator) -> Evidence:
        if self.sigma is None:
            point = np.zeros((1, len(environments)))
            return Evidence(float(self.log_density(place, environments, point)[0]), point, np.zeros(1))
        centre, width = self.mode(place, environments), 1 / np.sqrt(2 * self.rows[list(environments)] + 2)
        if len(environments) == 1:
            nodes = np.linspace(-REACH, REACH, NODES)
            points = centre + width * np.sinh(nodes)[:, None]
            volumes = width * np.cosh(nodes) * (nodes[1] - nodes[0])
            logs: Any = self.log_density(place, environments, points) + np.log(volumes)
        else:
            proposal = Proposal((Skewed(centre, np.diag(width), WIDER + 0 * width, WIDER + 0 * width),), np.ones(1))
            return averaged(lambda points: self.log_density(place, environments, points), proposal, rng)
        value: Any = logsumexp(logs)
        return Evidence(float(value), points, logs - value)

    def approximate(self, place: int, environments: Sequence[int]) -> float:
        centre, rows = self.mode(place, environments), self.rows[list(environments)]
        height = self.log_density(place, environments, centre[None])[0]
        return float(height + 0.5 * np.log(2 * np.pi / (2 * rows + 2)).sum())

    @cached_property
    def separate_evidences(self) -> np.ndarray:
        """log p(y_e | x_S) with a theta_S for environment e alone, (set, environment)."""
        rng = np.random.default_rng(0)
        return np.array([[self.evidence(place, (e,), rng).value for e in range(self.term.size)]
                         for place in self.places("Each environment apart")])

    def unknowns(self, place: int, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        root, whitened_mean = self.conditional(place, range(self.term.size), points)
        noise = whitened_mean + rng.standard_normal(whitened_mean.shape)
        own = points[..., None] if self.own else np.empty((*points.shape, 0))
        return np.linalg.solve(root.mT, noise[..., None])[..., 0], own
