"""Sets of predictors whose coefficients are equal in all environments: every set, weighed by its evidence.

For a set S of predictors and a set of environments E the evidence

    p(y_E | x_S) = int prod_{e in E} p(sigma_e) Normal(y_e; X_eS theta, sigma_e) Normal(theta; mean, sd) dtheta dsigma

is closed in theta. For one environment the integral over log sigma is a trapezoid rule along a sinh, exact to rounding;
for more it is importance sampling, by t distributions that are fitted to the draws of a first round.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, final

import numpy as np
import xarray as xr
from rich.progress import track
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.pieces import Elsewhere
from bayes_personal.samplers.proposal import Proposal, Skewed

# Draws of log sigma of all environments, round by round until this many of them are effective; how much wider the first
# proposal is than the likelihood suggests.
ROUNDS, ENOUGH, WIDER = (512, 2048, 2048, 8192), 500.0, 1.15
# Digits of the evidence are lost where outcome and predictors are, in all, this many squared errors from the mean.
FARTHEST = 1e13
# Nodes of the rule for one environment, and how far its sinh reaches.
NODES, REACH = 201, 6.0
# A set whose approximate evidence is this many nats below the best keeps the approximation.
NEGLIGIBLE = 25.0
# Steps by which an approximate mode is reached, and the grid on which log(sigma / unit) is sought.
STEPS, ERRORS = 50, np.linspace(-16.0, 7.0, 461)


class Evidence(NamedTuple):
    """p(y of some environments | one set of predictors).

    Attributes
    ----------
    value : logarithm of the evidence
    points : log(sigma / unit) at draws, (draw, environment)
    log_weights : normalised log weights of the draws, (draw,)
    """

    value: float
    points: np.ndarray
    log_weights: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class InvariantSets:
    """The sets of predictors of one model, and the evidence of the rows for each.

    Attributes
    ----------
    term : the environments
    sigma : hyperparameter of the errors' standard deviation; None where the errors are known
    mean, sd : prior of the coefficients, in data units at the predictors' means, (coefficient,)
    square, product, energy, rows : moments of each environment, predictors in units of the prior's sd: X'X (e,
        coefficient, coefficient), X'r (e, coefficient), r'r and the number of rows (e,), where r is the outcome less
        the prior mean of the predictors that are in every set
    progress : whether a bar shows how many sets are done
    """

    term: Elsewhere
    sigma: Parameter | None
    mean: np.ndarray
    sd: np.ndarray
    square: np.ndarray
    product: np.ndarray
    energy: np.ndarray
    rows: np.ndarray
    progress: bool = False

    @classmethod
    def of(cls, bound: BoundModel, term: Elsewhere, progress: bool = False) -> "InvariantSets":
        """Sum the moments in one pass over the rows."""
        expected = term.prior.mean.arguments(term.coefficients.location, term.coefficients.unit)
        mean, sd = (np.broadcast_to(expected[name], len(bound.everywhere)) for name in ("mu", "sigma"))
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
        parameters = bound.family_parameters
        return cls(term, parameters[0] if parameters else None, mean, sd, square, product, energy, rows, progress)

    @cached_property
    def sets(self) -> np.ndarray:
        """Whether each coefficient is in each set, smaller sets first, (set, coefficient)."""
        candidates = self.term.candidates
        chosen = np.array(sorted(product((False, True), repeat=len(candidates)), key=lambda flags: (sum(flags), *(
            not flag for flag in flags))), bool)
        result = np.ones((len(chosen), len(self.mean)), bool)
        result[:, candidates] = chosen
        return result

    @cached_property
    def log_prior(self) -> np.ndarray:
        """log p(S), (set,)."""
        size, chance = self.sets[:, self.term.candidates].sum(axis=1), self.term.prior.inclusion
        return size * np.log(chance) + (len(self.term.candidates) - size) * np.log1p(-chance)

    def places(self, label: str) -> Iterable[int]:
        """Iterate over the positions of all sets, with a progress bar."""
        return track(range(len(self.sets)), label, disable=not self.progress, transient=True)

    def set_moments(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X'X, X'r and r'r of each environment for the predictors in a set."""
        members = np.flatnonzero(self.sets[place])
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
        """Return the evidence of some environments for one set."""
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
            for count in ROUNDS:
                points = proposal.draw(count, rng)
                logs = self.log_density(place, environments, points) - proposal.log_density(points) - np.log(count)
                weights = np.exp(logs - logsumexp(logs))
                if 1 / (weights**2).sum() > ENOUGH:
                    break
                proposal = proposal.adapted(points, weights)
        value: Any = logsumexp(logs)
        return Evidence(float(value), points, logs - value)

    def approximate(self, place: int, environments: Sequence[int]) -> float:
        """Return the approximate log evidence for a set, which may be out of the question."""
        centre, rows = self.mode(place, environments), self.rows[list(environments)]
        height = self.log_density(place, environments, centre[None])[0]
        return float(height + 0.5 * np.log(2 * np.pi / (2 * rows + 2)).sum())

    @cached_property
    def separate_evidences(self) -> np.ndarray:
        """log p(y_e | x_S) with a theta_S for environment e alone, (set, environment)."""
        rng = np.random.default_rng(0)
        return np.array([[self.evidence(place, (e,), rng).value for e in range(self.term.size)]
                         for place in self.places("Each environment apart")])

    def joint_evidences(self, environments: Sequence[int], rng: np.random.Generator) -> list[Evidence]:
        """Return the evidence of some environments with one theta for each set, approximate for hopeless sets."""
        if self.sigma is None or len(environments) == 1 or len(self.sets) == 1:
            return [self.evidence(place, environments, rng) for place in range(len(self.sets))]
        approximations = np.array([self.approximate(place, environments) for place in range(len(self.sets))])
        favour = self.log_prior + approximations - self.separate_evidences[:, list(environments)].sum(axis=1)
        no_draws = np.empty((0, len(environments))), np.empty(0)
        return [self.evidence(place, environments, rng) if favour[place] > favour.max() - NEGLIGIBLE
                else Evidence(approximations[place], *no_draws) for place in self.places("Environments together")]

    def log_posterior(self, evidences: Sequence[Evidence]) -> np.ndarray:
        """Return log p(S | data), (set,)."""
        joint = np.array([evidence.value for evidence in evidences])
        logs = self.log_prior + joint - self.separate_evidences.sum(axis=1)
        return logs - logsumexp(logs)

    def left_out(self, rng: np.random.Generator) -> np.ndarray:
        """Return log p(y_e | x, all other environments), as if nobody had seen environment e, (environment,).

        Sum over sets the probability without e times the prediction of e: the evidence without e cancels.
        """
        evidences_with = np.array([evidence.value for evidence in self.joint_evidences(range(self.term.size), rng)])
        result = np.empty(self.term.size)
        for e in range(self.term.size):
            other_environments = [other for other in range(self.term.size) if other != e]
            log_weights = self.log_prior - self.separate_evidences[:, other_environments].sum(axis=1)
            evidences_without = np.array([evidence.value for evidence in self.joint_evidences(other_environments, rng)])
            joint: Any = logsumexp(log_weights + evidences_with)
            result[e] = joint - logsumexp(log_weights + evidences_without)
        return result

    def draw(self, evidences: Sequence[Evidence], count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Draw theta of an unseen environment at the predictors' means, (draw, coefficient), and its sigma."""
        shares = np.exp(self.log_posterior(evidences))
        chosen = rng.choice(len(shares), count, p=shares / shares.sum())
        theta, sigma = np.zeros((count, len(self.mean))), np.empty(count)
        environments = range(self.term.size)
        for place in np.unique(chosen):
            draws, evidence = np.flatnonzero(chosen == place), evidences[place]
            if not len(evidence.points):
                evidence = self.evidence(place, environments, rng)
            points = evidence.points[rng.choice(len(evidence.points), len(draws), p=np.exp(evidence.log_weights))]
            root, whitened_mean = self.conditional(place, environments, points)
            noise = whitened_mean + rng.standard_normal(whitened_mean.shape)
            members = np.flatnonzero(self.sets[place])
            whitened = np.linalg.solve(root.mT, noise[..., None])[..., 0]
            theta[np.ix_(draws, members)] = self.mean[members] + self.sd[members] * whitened
            sigma[draws] = self.error * np.exp(next_normal(points, rng))
        return theta, sigma


def next_normal(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the next of the normal numbers in each row, of which there may be a single one, (draw,)."""
    count = points.shape[1]
    spread = points.std(axis=1, ddof=1) * np.sqrt(1 + 1 / count) if count > 1 else np.zeros(len(points))
    return points.mean(axis=1) + spread * rng.standard_normal(len(points))


def completed(bound: BoundModel, term: Elsewhere, draws: xr.DataTree, seed: int | None,
              progress: bool) -> xr.DataTree:
    """Add draws for unseen environments to those of a posterior, and the probability of each set in a group
    "invariance"."""
    sets = InvariantSets.of(bound, term, progress)
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    sizes = draws["posterior"].sizes
    chains, count = sizes["chain"], sizes["draw"]
    evidences = sets.joint_evidences(range(term.size), rng)
    theta, sigma = sets.draw(evidences, chains * count, rng)
    theta = theta @ bound.coefficients.to_data_units(bound.everywhere)
    names = list(bound.coefficients.names)
    posterior = draws["posterior"].to_dataset().assign({
        term.theta_elsewhere: (("chain", "draw", "coefficient"), theta.reshape(chains, count, -1)),
        term.error_elsewhere: (("chain", "draw"), sigma.reshape(chains, count))}).assign_coords(coefficient=names)
    result = draws.copy()
    result["posterior"] = xr.DataTree(posterior)
    result["invariance"] = xr.DataTree(xr.Dataset(
        {"included": (("set", "coefficient"), sets.sets.astype(float)), "log_prior": ("set", sets.log_prior),
         "log_evidence": ("set", np.array([evidence.value for evidence in evidences])),
         "log_evidence_apart": ("set", sets.separate_evidences.sum(axis=1)),
         "probability": ("set", np.exp(sets.log_posterior(evidences)))},
        coords={"set": np.arange(len(sets.sets)), "coefficient": names}))
    return result
