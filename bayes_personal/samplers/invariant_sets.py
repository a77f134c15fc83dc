"""Which sets of predictors mean the same in all environments: all of them, weighed by what the data say.

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

# Draws of log sigma of all environments, round by round until so many of them are effective; how much wider the first
# proposal is than the likelihood suggests.
ROUNDS, ENOUGH, WIDER = (512, 2048, 2048, 8192), 500.0, 1.15
# Digits of the evidence are lost where outcome and predictors are so many squared errors, in all, away from the mean.
FARTHEST = 1e13
# Nodes of the rule for one environment, and how far its sinh reaches.
NODES, REACH = 201, 6.0
# Sets whose evidence is approximately so many nats below the best are given that approximation.
NEGLIGIBLE = 25.0
# Steps by which an approximate mode is reached, and where log(sigma / unit) is looked for.
STEPS, ERRORS = 50, np.linspace(-16.0, 7.0, 461)


class Evidence(NamedTuple):
    """p(y of some environments | one set of predictors).

    Attributes
    ----------
    value : its logarithm
    points : log(sigma / unit) at draws, (draw, environment)
    log_weights : of the draws, normalised, (draw,)
    """

    value: float
    points: np.ndarray
    log_weights: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class InvariantSets:
    """The sets of predictors of one model, and what its rows say of them.

    Attributes
    ----------
    term : the environments
    sigma : hyperparameter of the errors' standard deviation; None where errors are known
    mean, sd : prior of the coefficients, in data units at the predictors' means, (coefficient,)
    square, product, energy, rows : of each environment, predictors in units of the prior's sd: X'X (e, coefficient,
        coefficient), X'r (e, coefficient), r'r and how many rows (e,), where r is the outcome less the prior mean of
        what is in every set
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
        """One pass over the rows."""
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
                of = codes == code
                scaled = x[of] * sd
                square[code] += scaled.T @ scaled
                product[code] += scaled.T @ outcome[of]
                energy[code] += outcome[of] @ outcome[of]
                rows[code] += of.sum()
        own = bound.family_parameters
        return cls(term, own[0] if own else None, mean, sd, square, product, energy, rows, progress)

    @cached_property
    def sets(self) -> np.ndarray:
        """All of them, smaller ones first, whether a coefficient is in, (set, coefficient)."""
        candidates = self.term.candidates
        chosen = np.array(sorted(product((False, True), repeat=len(candidates)), key=lambda each: (sum(each), *(
            not one for one in each))), bool)
        result = np.ones((len(chosen), len(self.mean)), bool)
        result[:, candidates] = chosen
        return result

    @cached_property
    def log_prior(self) -> np.ndarray:
        """log p(S), (set,)."""
        size, chance = self.sets[:, self.term.candidates].sum(axis=1), self.term.prior.inclusion
        return size * np.log(chance) + (len(self.term.candidates) - size) * np.log1p(-chance)

    def places(self, what: str) -> Iterable[int]:
        """Of all sets, one after the other."""
        return track(range(len(self.sets)), what, disable=not self.progress, transient=True)

    def of_set(self, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """X'X, X'r and r'r of each environment, of the predictors in a set."""
        kept = np.flatnonzero(self.sets[place])
        expected = np.where(np.isin(kept, self.term.candidates), self.mean[kept] / self.sd[kept], 0.0)
        square, product = self.square[:, kept][:, :, kept], self.product[:, kept]
        energy = self.energy - 2 * product @ expected + square @ expected @ expected
        return square, product - square @ expected, energy

    def conditional(self, place: int, among: Sequence[int], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cholesky factor of the precision of theta / sd given errors, (draw, in, in), and it times the mean."""
        square, product, _ = self.of_set(place)
        precision = np.exp(-2 * points) / self.error**2
        information = np.eye(square.shape[1]) + np.tensordot(precision, square[list(among)], 1)
        root = np.linalg.cholesky(information)
        return root, np.linalg.solve(root, (precision @ product[list(among)])[..., None])[..., 0]

    @property
    def error(self) -> float:
        """Natural unit of sigma; errors are already divided out where they are known."""
        return 1.0 if self.sigma is None else float(self.sigma.unit)

    def log_density(self, place: int, among: Sequence[int], points: np.ndarray) -> np.ndarray:
        """log p(y, sigma | S) on the sampler's scale at points (draw, environment), theta integrated out."""
        square, product, energy = (each[list(among)] for each in self.of_set(place))
        rows, logs = self.rows[list(among)], points + np.log(self.error)
        largest = energy + np.trace(square, axis1=1, axis2=2)
        resolved = np.exp(-2 * logs) @ largest < (np.inf if self.sigma is None else FARTHEST)
        # What is not resolved has no density, and is not computed: a factor of it may not exist.
        points, logs = np.where(resolved[:, None], points, 0.0), np.where(resolved[:, None], logs, np.log(self.error))
        precision = np.exp(-2 * logs)
        value = -logs @ rows - 0.5 * np.log(2 * np.pi) * rows.sum() - 0.5 * precision @ energy
        if len(among) == 1:
            # All of its precisions have the same eigenvectors.
            curved, vectors = np.linalg.eigh(square[0])
            # Fewer rows than coefficients leave some of them open, by rounding a little below or above 0.
            curved[: max(len(curved) - int(rows[0]), 0)] = 0.0
            larger = 1 + precision * np.maximum(curved, 0.0)
            value += 0.5 * ((precision * (product[0] @ vectors)) ** 2 / larger - np.log(larger)).sum(axis=1)
        else:
            root, moved = self.conditional(place, among, points)
            value += 0.5 * (moved**2).sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        if self.sigma is not None:
            for each in points.T:
                value += self.sigma.log_density(self.sigma.value(each[:, None]), each[:, None])
        return np.where(resolved, value, -np.inf)

    def mode(self, place: int, among: Sequence[int]) -> np.ndarray:
        """Where log sigma is about most probable, (environment,).

        Its prior counts: environments with fewer rows than coefficients may be explained without any error.
        """
        assert self.sigma is not None
        square, product, energy = (each[list(among)] for each in self.of_set(place))
        rows, point = self.rows[list(among)], np.zeros(len(among))
        prior = self.sigma.log_density(self.sigma.value(ERRORS[:, None]), ERRORS[:, None])
        for _ in range(STEPS):
            root, moved = (each[0] for each in self.conditional(place, among, point[None]))
            centre = np.linalg.solve(root.T, moved)
            spread = np.linalg.inv(root)
            left = energy - 2 * product @ centre + square @ centre @ centre
            left += (square * (spread.T @ spread)).sum(axis=(1, 2))
            floor = 1e-12 * (energy + self.error**2)
            left = np.maximum(left, floor) / self.error**2
            before, point = point, ERRORS[np.argmax(prior[:, None] - rows * ERRORS[:, None]
                                                    - 0.5 * left * np.exp(-2 * ERRORS[:, None]), axis=0)]
            if (point == before).all():
                break
        return point

    def evidence(self, place: int, among: Sequence[int], rng: np.random.Generator) -> Evidence:
        """Of one set and some environments."""
        if self.sigma is None:
            point = np.zeros((1, len(among)))
            return Evidence(float(self.log_density(place, among, point)[0]), point, np.zeros(1))
        centre, width = self.mode(place, among), 1 / np.sqrt(2 * self.rows[list(among)] + 2)
        if len(among) == 1:
            nodes = np.linspace(-REACH, REACH, NODES)
            points = centre + width * np.sinh(nodes)[:, None]
            logs: Any = self.log_density(place, among, points) + np.log(width * np.cosh(nodes) * (nodes[1] - nodes[0]))
        else:
            proposal = Proposal((Skewed(centre, np.diag(width), WIDER + 0 * width, WIDER + 0 * width),), np.ones(1))
            for count in ROUNDS:
                points = proposal.draw(count, rng)
                logs = self.log_density(place, among, points) - proposal.log_density(points) - np.log(count)
                weights = np.exp(logs - logsumexp(logs))
                if 1 / (weights**2).sum() > ENOUGH:
                    break
                proposal = proposal.adapted(points, weights)
        value: Any = logsumexp(logs)
        return Evidence(float(value), points, logs - value)

    def approximate(self, place: int, among: Sequence[int]) -> float:
        """About the log evidence, of a set that may be out of the question."""
        centre, rows = self.mode(place, among), self.rows[list(among)]
        height = self.log_density(place, among, centre[None])[0]
        return float(height + 0.5 * np.log(2 * np.pi / (2 * rows + 2)).sum())

    @cached_property
    def of_each(self) -> np.ndarray:
        """log p(y_e | x_S, a theta_S of e alone), (set, environment)."""
        rng = np.random.default_rng(0)
        return np.array([[self.evidence(place, (e,), rng).value for e in range(self.term.size)]
                         for place in self.places("Each environment apart")])

    def together(self, among: Sequence[int], rng: np.random.Generator) -> list[Evidence]:
        """Of all sets, that of some environments with one theta; of sets that are out of the question, about that."""
        if self.sigma is None or len(among) == 1 or len(self.sets) == 1:
            return [self.evidence(place, among, rng) for place in range(len(self.sets))]
        about = np.array([self.approximate(place, among) for place in range(len(self.sets))])
        favour = self.log_prior + about - self.of_each[:, list(among)].sum(axis=1)
        nothing = np.empty((0, len(among))), np.empty(0)
        return [self.evidence(place, among, rng) if favour[place] > favour.max() - NEGLIGIBLE
                else Evidence(about[place], *nothing) for place in self.places("Environments together")]

    def log_posterior(self, evidences: Sequence[Evidence]) -> np.ndarray:
        """log p(S | data), (set,)."""
        logs = self.log_prior + np.array([each.value for each in evidences]) - self.of_each.sum(axis=1)
        return logs - logsumexp(logs)

    def left_out(self, rng: np.random.Generator) -> np.ndarray:
        """log p(y_e | x, all other environments), e one that nobody has seen, (environment,).

        The probability of a set without e, times what it predicts of e: evidences of all environments cancel.
        """
        everything = np.array([each.value for each in self.together(range(self.term.size), rng)])
        result = np.empty(self.term.size)
        for e in range(self.term.size):
            others = [each for each in range(self.term.size) if each != e]
            rest = self.log_prior - self.of_each[:, others].sum(axis=1)
            without = np.array([each.value for each in self.together(others, rng)])
            joint: Any = logsumexp(rest + everything)
            result[e] = joint - logsumexp(rest + without)
        return result

    def draw(self, evidences: Sequence[Evidence], count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """theta in an environment that nobody has seen, at the predictors' means, (draw, coefficient), and sigma."""
        shares = np.exp(self.log_posterior(evidences))
        chosen = rng.choice(len(shares), count, p=shares / shares.sum())
        theta, sigma = np.zeros((count, len(self.mean))), np.empty(count)
        everywhere = range(self.term.size)
        for place in np.unique(chosen):
            draws, found = np.flatnonzero(chosen == place), evidences[place]
            if not len(found.points):
                found = self.evidence(place, everywhere, rng)
            points = found.points[rng.choice(len(found.points), len(draws), p=np.exp(found.log_weights))]
            root, moved = self.conditional(place, everywhere, points)
            noise = moved + rng.standard_normal(moved.shape)
            kept = np.flatnonzero(self.sets[place])
            whitened = np.linalg.solve(root.mT, noise[..., None])[..., 0]
            theta[np.ix_(draws, kept)] = self.mean[kept] + self.sd[kept] * whitened
            sigma[draws] = self.error * np.exp(another(points, rng))
        return theta, sigma


def another(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One more of the normal numbers in each row, of which there may be a single one, (draw,)."""
    count = points.shape[1]
    spread = points.std(axis=1, ddof=1) * np.sqrt(1 + 1 / count) if count > 1 else np.zeros(len(points))
    return points.mean(axis=1) + spread * rng.standard_normal(len(points))


def completed(bound: BoundModel, term: Elsewhere, draws: xr.DataTree, seed: int | None,
              progress: bool) -> xr.DataTree:
    """Draws of a posterior, with those of what is said of environments that nobody has seen, and with what the data say
    of each set in a group "invariance"."""
    sets = InvariantSets.of(bound, term, progress)
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    sizes = draws["posterior"].sizes
    chains, count = sizes["chain"], sizes["draw"]
    evidences = sets.together(range(term.size), rng)
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
         "log_evidence": ("set", np.array([each.value for each in evidences])),
         "log_evidence_apart": ("set", sets.of_each.sum(axis=1)),
         "probability": ("set", np.exp(sets.log_posterior(evidences)))},
        coords={"set": np.arange(len(sets.sets)), "coefficient": names}))
    return result
