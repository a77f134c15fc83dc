"""Divisions of contexts under rows' own likelihoods: summed over expansions of cells, and corrected draw by draw."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
from scipy.special import gammaln

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.cell_likelihoods import CellLikelihoods, Hyper
from bayes_personal.densities.division_density import CONSTANT
from bayes_personal.densities.division_scale import DivisionScale
from bayes_personal.densities.linearised.pseudo_data import grid
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.marginal import Effort
from bayes_personal.kernels import cell_integrals, expansions, likelihoods, tree_sums
from bayes_personal.kernels.segment_factors import NORMAL
from bayes_personal.kernels.tape import Symbolic, Tape, outputs, pulled_back
from bayes_personal.priors.divisions.listed_cells import ListedCells

# Nodes of the average of log p(y_i | eta_i) over the distribution of eta_i.
NODES = 3
# Least variance of eta, in natural units.
LEAST_VARIANCE = 1e-12
# Probability of a cell below which its integral is that of its parabola.
NEGLIGIBLE = 1e-8


def expands(bound: BoundModel) -> bool:
    """Say whether a model divides contexts into cells that do not integrate out of its family."""
    return bound.division is not None and not bound.division.integrates_out


class Division(NamedTuple):
    """A division that was drawn, with the coefficients of its cells.

    Attributes
    ----------
    division : as `DivisionSums` draws it
    cells : the places of its cells, -1 for a cell without rows, (cell,)
    """

    division: np.ndarray
    cells: np.ndarray


class ScaleOfCells(DivisionScale):
    """Hyperparameters of a model whose cells do not integrate out, as a point."""

    @property
    def likelihoods(self) -> CellLikelihoods:
        """The likelihoods of cells."""
        return self.bound.once(CellLikelihoods)

    @property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        return self.likelihoods.pooled

    @property
    def error_parameter(self) -> str | None:
        return next((parameter.name for parameter in self.bound.family_parameters), None)

    def each_value(self, points: np.ndarray) -> np.ndarray:
        return np.array([self.value(point) for point in np.ascontiguousarray(points)])


@final
@dataclass(frozen=True, eq=False)
class HyperpriorsOfDivisions(ScaleOfCells):
    """The density of the hyperpriors alone, and the way from a point to what expansions take."""

    bound: BoundModel

    def natural(self, values: Any, xp: Any) -> list[Any]:
        """Return means, log scales and the argument of divisions, each (...)."""
        bound, mean, scale = self.bound, values[self.parameters[0].name], self.piece.scale(values)
        places = {k: place for place, k in enumerate(self.piece.positions)}
        constant = np.log(CONSTANT * bound.coefficients.unit)
        log_scale = [xp.log(scale[..., places[k]]) if k in places else constant[k] + 0 * mean[..., k]
                     for k in bound.everywhere]
        return [*(mean[..., k] for k in bound.everywhere), *log_scale, self.piece.cut(values, xp)]

    def _outputs(self, point: Any) -> list[Any]:
        stepped = point[None, :]
        values = self.values(stepped)
        parts = (self.log_prior(stepped, values), *self.natural(values, Symbolic()),
                 *self.bound.family.compiled_numbers(values))
        return [entry for part in parts for entry in np.ravel(np.asarray(part, object))]

    @cached_property
    def tape(self) -> Tape:
        """The log prior, and what `Hyper` consists of, as functions of a point."""
        return Tape.of(self._outputs, self.size)

    def hyper(self, point: np.ndarray) -> tuple[float, Hyper]:
        """Return the log prior and the hyperparameters at a point."""
        log_prior, *numbers = outputs(point, *self.tape.arrays)
        p = len(self.bound.everywhere)
        natural, own = np.array(numbers[: 2 * p + 1]), np.array(numbers[2 * p + 1 :])
        return log_prior, Hyper(natural[:p], np.exp(natural[p : 2 * p]), own, float(natural[-1]))

    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        first = np.eye(1, len(self.tape.outputs))[0]
        return self.hyper(point)[0], pulled_back(point, *self.tape.arrays, first)

    def _value(self, point: np.ndarray) -> float:
        return self.hyper(point)[0]


@final
@dataclass(frozen=True, eq=False)
class ExpandedDivisions(ScaleOfCells):
    """The density of hyperparameters where every cell's log likelihood is a parabola: a proposal, to be corrected.

    The parabola of a cell touches its log likelihood at the mode of its own coefficients, at one point of the
    hyperparameters; at any other point the cell then integrates out as that of a Normal family does, and the sum over
    divisions is exact. What changes with the family's own hyperparameters is added on average over eta.

    Attributes
    ----------
    bound : the model with its data
    at : where cells were expanded
    statistics : the expansions, (statistic, cell)
    eta, root : mean and standard deviation of each row's linear predictor, (1, unit) and (1, 1, unit)
    """

    bound: BoundModel
    at: Hyper
    statistics: np.ndarray
    eta: np.ndarray | None = None
    root: np.ndarray | None = None

    @property
    def rows(self) -> RowLikelihoods:
        """The rows' own log likelihoods."""
        return self.likelihoods.rows

    @property
    def listed(self) -> ListedCells:
        """All cells, and the sums over divisions."""
        return self.likelihoods.listed

    @property
    def effort(self) -> Effort:
        return Effort(climbs=0, proposals=2048, fewer=4, rounds=6)

    def hyper(self, point: np.ndarray) -> tuple[float, Hyper]:
        """Return the log prior and the hyperparameters at a point."""
        return self.bound.once(HyperpriorsOfDivisions).hyper(point)

    @property
    def tape(self) -> Tape:
        """The log prior, and what `Hyper` consists of, as functions of a point."""
        return self.bound.once(HyperpriorsOfDivisions).tape

    def factors(self, hyper: Hyper) -> np.ndarray:
        """Return the log factors of all cells, (cell,)."""
        sums, beside = expansions.whitened(self.statistics, hyper.scale, hyper.mean - self.at.mean)
        return tree_sums.factors(NORMAL, sums, np.zeros(0)) + beside

    def of_family(self, own: np.ndarray) -> tuple[float, np.ndarray]:
        """Return what the family's own hyperparameters add to the log likelihood, and its slopes."""
        rest, slopes = self.rows.rest(own)
        value = rest + self.rows.constant
        if self.eta is None or not len(own):
            return value, slopes
        given = self.rows.code, *self.rows.outcomes, self.eta, self.root, *grid(NODES, 1)
        average, by_own = likelihoods.average(given[0], own, *given[1:])
        return value + average - self._average_at, slopes + by_own

    @cached_property
    def _average_at(self) -> float:
        """The average of the rows' log likelihoods where cells were expanded."""
        return likelihoods.average(self.rows.code, self.at.own, *self.rows.outcomes, self.eta, self.root,
                                   *grid(NODES, 1))[0]

    @np.errstate(all="ignore")
    def _log_density(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        log_prior, hyper = self.hyper(point)
        if not np.isfinite(np.concatenate([*hyper[:3], [hyper.last]])).all():
            return -np.inf, np.zeros(self.size)
        sums, beside = expansions.whitened(self.statistics, hyper.scale, hyper.mean - self.at.mean)
        factors, slopes = tree_sums.factors_and_slopes(NORMAL, sums, np.zeros(0))
        value, shares, by_last = self.listed.log_sum_and_slopes(factors + beside, hyper.last)
        own, by_own = self.of_family(hyper.own)
        p = len(hyper.mean)
        by_scale, by_mean = slopes[:p] @ shares, slopes[p : 2 * p] @ shares / hyper.scale
        gradient = np.concatenate([[1.0], by_mean, by_scale, [by_last], by_own])
        return log_prior + value + own, pulled_back(point, *self.tape.arrays, gradient)

    @np.errstate(all="ignore")
    def _value(self, point: np.ndarray) -> float:
        log_prior, hyper = self.hyper(point)
        if not np.isfinite(np.concatenate([*hyper[:3], [hyper.last]])).all():
            return -np.inf
        return log_prior + self.listed.log_sum(self.factors(hyper), hyper.last) + self.of_family(hyper.own)[0]

    def each_corrected(self, points: np.ndarray, rng: np.random.Generator) -> "CorrectedDraws":
        """Draw a division at each point, and correct the density by the likelihoods of its cells.

        The results are estimates whose exponentials are unbiased: weights that have them as factors are exact.
        """
        log_densities, hypers, drawn, expected = np.full(len(points), -np.inf), [], [], np.zeros(len(points))
        nothing = Division(np.zeros(0, int), np.zeros(0, int))
        for k, point in enumerate(np.ascontiguousarray(points)):
            log_prior, hyper = self.hyper(point)
            hypers.append(hyper)
            drawn.append(nothing)
            if not np.isfinite(np.concatenate([[log_prior], *hyper[:3], [hyper.last]])).all():
                continue
            with np.errstate(all="ignore"):
                factors = self.factors(hyper)
                value, (division,), (cells,) = self.listed.draw(factors, hyper.last, 1, rng)
            if not np.isfinite(value):
                continue
            drawn[-1] = Division(division, cells)
            expected[k] = factors[cells[cells >= 0]].sum()
            log_densities[k] = log_prior + value + self.rows.rest(hyper.own)[0] + self.rows.constant
        integrals, theta = self.integrals(hypers, drawn, rng)
        log_densities += integrals - expected
        return CorrectedDraws(points, np.where(np.isfinite(log_densities), log_densities, -np.inf), drawn, theta)

    def integrals(self, hypers: list[Hyper], drawn: list[Division],
                  rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the sums of the logs of unbiased estimates of the cells' integrals, (draw,), and coefficients of the
        cells, (cell, coefficient) a draw."""
        totals, thetas = np.zeros(len(hypers)), []
        for k, (hyper, (_, cells)) in enumerate(zip(hypers, drawn, strict=True)):
            theta = hyper.mean + hyper.scale * rng.standard_normal((len(cells), len(hyper.mean)))
            logs, theta[cells >= 0] = self.each_integral(hyper, cells[cells >= 0], rng)
            totals[k] = logs.sum()
            thetas.append(theta)
        return totals, thetas

    def each_integral(self, hyper: Hyper, cells: np.ndarray,
                      rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the logs of unbiased estimates of some cells' integrals, (cell,), and coefficients of each, (cell,
        coefficient)."""
        code, *data = self.likelihoods.data
        rows, p, degrees = self.listed.rows, len(hyper.mean), cell_integrals.DEGREES
        log_constant = float(gammaln((degrees + p) / 2) - gammaln(degrees / 2) - 0.5 * p * np.log(degrees * np.pi))
        noise = rng.standard_normal((len(cells), cell_integrals.PAIRS + cell_integrals.OF_PRIOR, p))
        stretch = np.sqrt(degrees / rng.chisquare(degrees, (len(cells), cell_integrals.PAIRS)))
        with np.errstate(all="ignore"):
            return cell_integrals.log_integrals(
                code, hyper.own, *data, rows.start[cells], rows.stop[cells], hyper.mean, hyper.scale, noise, stretch,
                rng.random(len(cells)), self.modes(hyper, cells), log_constant)

    def calibrated(self, rng: np.random.Generator, least: float = NEGLIGIBLE) -> "ExpandedDivisions":
        """Return the density with the integrals of all cells of some probability as they are where cells were expanded.

        A parabola misses some of the integral of a cell with few rows, or with one that is far out.
        """
        factors = self.factors(self.at)
        probability = self.listed.log_sum_and_slopes(factors, self.at.last)[1]
        cells = np.flatnonzero(probability > least)
        statistics = self.statistics.copy()
        statistics[-1, cells] += self.each_integral(self.at, cells, rng)[0] - factors[cells]
        return replace(self, statistics=statistics)

    def modes(self, hyper: Hyper, cells: np.ndarray) -> np.ndarray:
        """Return the whitened modes of cells under their expansions, (cell, coefficient)."""
        return whitened_moments(self.sums(hyper, cells), len(hyper.mean))[0]

    def sums(self, hyper: Hyper, cells: np.ndarray) -> np.ndarray:
        """Return U and v of some cells, (statistic, cell)."""
        return expansions.whitened(np.ascontiguousarray(self.statistics[:, cells]), hyper.scale,
                                   hyper.mean - self.at.mean)[0]

    def draw(self, hyper: Hyper, count: int, rng: np.random.Generator) -> tuple[list[Division], list[np.ndarray]]:
        """Draw divisions, and the coefficients of their cells, where cells are as they were expanded."""
        _, divisions, cells = self.listed.draw(self.factors(hyper), hyper.last, count, rng)
        found, thetas = [Division(*each) for each in zip(divisions, cells, strict=True)], []
        for _, own in found:
            z = rng.standard_normal((len(own), len(hyper.mean)))
            full = own >= 0
            mean, root = whitened_moments(self.sums(hyper, own[full]), len(hyper.mean))
            z[full] = mean + (root @ z[full, :, None])[:, :, 0]
            thetas.append(hyper.mean + hyper.scale * z)
        return found, thetas

    def eta_of(self, drawn: list[Division], theta: list[np.ndarray]) -> np.ndarray:
        """Return the rows' linear predictors, (draw, unit)."""
        rows, result = self.listed.rows, np.empty((len(drawn), self.likelihoods.x.shape[1]))
        for k, ((_, cells), own) in enumerate(zip(drawn, theta, strict=True)):
            for cell, coefficients in zip(cells, own, strict=True):
                if cell >= 0:
                    inside = rows.order[rows.start[cell] : rows.stop[cell]]
                    result[k, inside] = coefficients @ self.likelihoods.x[:, inside]
        return result

    def with_moments(self, eta: np.ndarray) -> "ExpandedDivisions":
        """Return the density with the moments of draws of linear predictors, (draw, unit)."""
        sd = np.sqrt(eta.var(axis=0) + LEAST_VARIANCE * self.bound.predictor_units[0] ** 2)
        return replace(self, eta=np.ascontiguousarray(eta.mean(axis=0)[None]),
                       root=np.ascontiguousarray(sd[None, None]))

    def latent(self, drawn: list[Division], theta: list[np.ndarray], mean: np.ndarray) -> dict[str, np.ndarray]:
        """Return divisions and coefficients as the variables of a posterior; `mean` is (draw, coefficient)."""
        levels = [(own - at)[:, self.piece.positions] for own, at in zip(theta, mean, strict=True)]
        return self.piece.sampled([division for division, _ in drawn], np.concatenate(levels))


class CorrectedDraws(NamedTuple):
    """Draws of hyperparameters and divisions.

    Attributes
    ----------
    points : (draw, size)
    log_densities : logs of unbiased estimates of the density of the model itself, (draw,)
    drawn : a division a draw
    theta : the coefficients of its cells, (cell, coefficient) a draw
    """

    points: np.ndarray
    log_densities: np.ndarray
    drawn: list[Division]
    theta: list[np.ndarray]


def whitened_moments(sums: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (cell, p) and root of the covariance of whitened coefficients, from U and v of cells."""
    low = np.tril_indices(p)
    precision = np.zeros((sums.shape[1], p, p))
    precision[:, low[0], low[1]] = precision[:, low[1], low[0]] = sums[: len(low[0])].T
    precision += np.eye(p)
    root = np.linalg.inv(np.linalg.cholesky(precision)).mT
    return (root @ (root.mT @ sums[len(low[0]) :].T[:, :, None]))[:, :, 0], root
