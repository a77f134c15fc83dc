"""Evidence of sets of predictors under any family, by importance sampling around the mode of all unknowns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.families.parts.base import Family
from bayes_personal.priors.parts.pieces import Elsewhere
from bayes_personal.samplers.invariant_sets import NEGLIGIBLE, Evidence, InvariantSets, averaged, prior_of
from bayes_personal.samplers.mode import Mode
from bayes_personal.samplers.proposal import Proposal, Skewed

# Step of differences by the family's own parameters, and most numbers of a block of draws and rows.
STEP, BLOCK = 1e-5, 2_000_000


class EnvironmentRows(NamedTuple):
    """The rows of an environment.

    Attributes
    ----------
    x : predictors in units of the prior's standard deviations, (row, coefficient)
    y, constants : outcomes and known constants, (row,)
    """

    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class SampledSets(InvariantSets):
    """Sets of predictors under any family with one linear predictor.

    Points are theta / sd less the prior mean, of the members of the set, and then the family's own parameters of one
    environment after the other.

    Attributes
    ----------
    family, unit : the family, and the natural unit of its linear predictor
    environments : the rows of each environment
    """

    family: Family
    unit: float
    environments: tuple[EnvironmentRows, ...]

    @classmethod
    def of(cls, bound: BoundModel, term: Elsewhere, progress: bool) -> Self:
        """Gather the rows of each environment."""
        mean, sd = prior_of(bound, term)
        parts: list[list[EnvironmentRows]] = [[] for _ in range(term.size)]
        for batch in bound.rows.batches():
            codes = term.at(batch.frame).matrix.indices
            x = bound.coefficients.predictors(batch.x, bound.everywhere) * sd
            for code in np.unique(codes):
                here = codes == code
                parts[code].append(EnvironmentRows(x[here], batch.y[here], batch.constants[here]))
        environments = tuple(EnvironmentRows(*map(np.concatenate, zip(*part, strict=True))) for part in parts)
        return cls(term, bound.family_parameters, mean, sd, progress, bound.family, bound.unit, environments)

    @property
    def size(self) -> int:
        """How many numbers the family has of its own."""
        return sum(each.size for each in self.own)

    def values(self, own: np.ndarray) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
        """Yield the family's own parameters, their values, and their points at points (draw, number)."""
        start = 0
        for parameter in self.own:
            point = own[:, start : start + parameter.size]
            start += parameter.size
            yield parameter, parameter.value(point), point

    def of_environment(self, e: int, members: np.ndarray, expected: np.ndarray, theta: np.ndarray,
                       own: np.ndarray) -> np.ndarray:
        """Return log p(y_e, phi_e | theta) at draws, (draw,)."""
        values: Mapping[str, Any] = {parameter.name: value[:, None] for parameter, value, _ in self.values(own)}
        rows = self.environments[e]
        eta = (theta + expected) @ rows.x[:, members].T
        logs = self.family.likelihood(eta[..., None], values, rows.constants, np).log_density(rows.y).sum(axis=1)
        return logs + sum((parameter.log_density(value, point) for parameter, value, point in self.values(own)),
                          np.zeros(len(own)))

    def log_density(self, place: int, environments: Sequence[int], points: np.ndarray) -> np.ndarray:
        """Return the log of the integrand of the evidence, (draw,)."""
        (members, expected), result = self.expected(place), np.empty(len(points))
        most = max(1, BLOCK // max(len(self.environments[e].y) for e in environments))
        for start in range(0, len(points), most):
            theta, own = self.parts(points[start : start + most], len(members), len(environments))
            value = -0.5 * (theta**2 + np.log(2 * np.pi)).sum(axis=1)
            # A draw far out may have no density, and counts for nothing.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                for k, e in enumerate(environments):
                    value += self.of_environment(e, members, expected, theta, own[:, k])
            result[start : start + most] = np.where(np.isnan(value), -np.inf, value)
        return result

    def expected(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the members of a set, and the prior means of all of them over their standard deviations."""
        members = self.members(place)
        return members, self.mean[members] / self.sd[members]

    def parts(self, points: np.ndarray, members: int, environments: int) -> tuple[np.ndarray, np.ndarray]:
        """Return theta (draw, member) and the family's own parameters (draw, environment, number) of points."""
        return points[:, :members], points[:, members:].reshape(len(points), environments, self.size)

    def density(self, place: int, environments: Sequence[int]) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return the integrand's logarithm with its slope."""
        members, expected = self.expected(place)

        def value_and_slope(point: np.ndarray) -> tuple[float, np.ndarray]:
            (theta,), (own,) = self.parts(point[None], len(members), len(environments))
            value, slope = float(-0.5 * (theta**2 + np.log(2 * np.pi)).sum()), np.concatenate([-theta, 0 * own.ravel()])
            by_own = slope[len(members):].reshape(own.shape)
            for k, e in enumerate(environments):
                rows = self.environments[e]
                eta = rows.x[:, members] @ (theta + expected)
                values = {parameter.name: each[0] for parameter, each, _ in self.values(own[k : k + 1])}
                score = self.family.derivatives(rows.y, eta[:, None], values, rows.constants, self.unit)[0]
                slope[: len(members)] += score @ rows.x[:, members]
                steps = STEP * np.eye(self.size)
                moved = np.vstack([own[k : k + 1], own[k] + steps, own[k] - steps])
                logs = self.of_environment(e, members, expected, np.tile(theta, (len(moved), 1)), moved)
                value += float(logs[0])
                by_own[k] = (logs[1 : self.size + 1] - logs[self.size + 1 :]) / (2 * STEP)
            return value, slope

        return value_and_slope

    def mode(self, place: int, environments: Sequence[int]) -> Mode:
        """Return the mode of the integrand."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return Mode.find(self.density(place, environments),
                             len(self.members(place)) + len(environments) * self.size)

    def evidence(self, place: int, environments: Sequence[int], rng: np.random.Generator) -> Evidence:
        def log_density(points: np.ndarray) -> np.ndarray:
            return self.log_density(place, environments, points)

        component = Skewed.around(self.mode(place, environments), log_density)
        return averaged(log_density, Proposal((component,), np.ones(1)), rng)

    def approximate(self, place: int, environments: Sequence[int]) -> float:
        mode = self.mode(place, environments)
        height = float(self.log_density(place, environments, mode.point[None])[0])
        return height + 0.5 * len(mode.point) * np.log(2 * np.pi) + float(np.linalg.slogdet(mode.root)[1])

    @cached_property
    def separate_evidences(self) -> np.ndarray:
        # Those of sets that are out of the question keep the approximation.
        rng, every = np.random.default_rng(0), range(self.term.size)
        result = np.array([[self.approximate(place, (e,)) for e in every]
                           for place in self.places("Each environment apart")])
        together = np.array([self.approximate(place, every) for place in range(len(self.sets))])
        favour = self.log_prior + together - result.sum(axis=1)
        for place in np.flatnonzero(favour > favour.max() - NEGLIGIBLE).tolist():
            result[place] = [self.evidence(place, (e,), rng).value for e in every]
        return result

    def unknowns(self, place: int, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return self.parts(points, len(self.members(place)), self.term.size)
