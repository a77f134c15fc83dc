"""p(y_i | y_-i, everything but one direction of the weights), by quadrature along that direction.

Whatever the family, eta is linear in the whitened weights v: eta_j = eta_j(0) + c_j' v. Moving v by t d moves eta_j by
t a_j, a_j = c_j' d, and given where the line lies, phi and the other rows,

    p(t | ...) ~ exp(-t d' P v - t^2 d' P d / 2) prod_{j != i} p(y_j | eta_j + t a_j),

P the prior precision. A row's own line takes d = H^-1 c_i, H the curvature of the log posterior of the weights that the
row's group has of its own: for a Normal outcome that makes the integral the exact conditional of the group's weights,
and for any other it stays a valid conditional, whatever d. Its integral of p(y_i | eta_i) is what importance sampling
then reweights. The trapezoidal rule is exact to rounding for such smooth, decaying integrands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import scipy.sparse as sp
from rich.progress import Progress
from scipy.special import logsumexp

from bayes_personal.bound import Bound
from bayes_personal.families.base import log_density
from bayes_personal.priors.base import Term

# How many densities are worth evaluating before draws are thinned, and the fewest draws that are left.
BUDGET, FEWEST = 2e9, 250
REACH, NODES = 8.0, 33
TINY = 1e-300


@final
@dataclass(frozen=True, eq=False)
class LineIntegral:
    """Leave-one-out densities of a model whose weights do not integrate out in closed form."""

    bound: Bound

    @cached_property
    def grouped(self) -> int | None:
        """Place of the term with groups of fewest rows; None where no term has groups."""
        sizes = {place: one.matrix.shape[1] for place, one in enumerate(self.bound.features)
                 if sp.issparse(one.matrix)}
        return max(sizes, key=lambda place: sizes[place]) if sizes else None

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Rows that the same weights move together."""
        if self.grouped is None:
            return [np.arange(len(self.bound.rows))]
        codes = self.bound.features[self.grouped].matrix.indices
        order = np.argsort(codes, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)

    @property
    def work(self) -> float:
        """Densities to evaluate for one draw."""
        return float(2 * NODES * sum(len(rows) ** 2 for rows in self.groups))

    def stride(self, chains: int, draws: int) -> int:
        """How the draws are thinned."""
        wanted = max(BUDGET / self.work, FEWEST) / chains
        return max(1, int(draws // max(wanted, 1)))

    def loadings(self, values: Mapping[str, np.ndarray], rows: np.ndarray) -> Iterator[tuple[Any, Any]]:
        """How whitened weights move eta at `rows`, (draw, row, weight), and where they stand, (draw, weight).

        A mean that is not Normal has no quadratic log prior and stays where it is.
        """
        bound, count = self.bound, len(next(iter(values.values())))
        if self.grouped is None and bound.mean is not None and bound.mean.distribution == "Normal":
            sd, centre = bound.mean.arguments["sigma"], bound.mean.arguments["mu"]
            x = bound.coefficients.predictors(bound.x, bound.everywhere)[rows][:, bound.shared]
            yield np.broadcast_to(x * sd, (count, *x.shape)), (values[bound.mean.name] - centre) / sd
        for place, (term, one) in enumerate(zip(bound.terms, bound.features, strict=True)):
            if self.grouped not in (None, place):
                continue
            x = bound.coefficients.predictors(bound.x, term.positions)[rows]
            if sp.issparse(one.matrix):
                level = one.matrix.indices[rows[0]]
                yield self.whitened(term, x, values, level), values[f"{term.name}_z"][:, level]
            else:
                features, z = one.matrix[rows], values[f"{term.name}_z"]
                scale, root = term.scales(values, np)
                moved = features[:, :, None] * x[:, None, :] * scale[:, None]
                moved = moved if root is None else moved @ root[:, None]
                yield moved.reshape(count, len(rows), -1), z.reshape(count, -1)

    @staticmethod
    def whitened(term: Term, x: np.ndarray, values: Mapping[str, np.ndarray], level: int) -> np.ndarray:
        """Loadings of one group's whitened weights, (draw, row, varying)."""
        scale, root = term.scales(values, np)
        scale = scale[..., min(level, scale.shape[-2] - 1), :]
        moved = x * scale.reshape(-1, 1, scale.shape[-1])
        count = len(values[f"{term.name}_z"])
        return np.broadcast_to(moved if root is None else moved @ root, (count, *x.shape))

    def leave_one_out(self, values: Mapping[str, np.ndarray],
                      progress: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Group by group, its rows and log p(y_i | y_-i, what the line leaves fixed) of them, (draw, row)."""
        bound = self.bound
        count = len(next(iter(values.values())))
        eta = bound.eta(values, np)
        own = {each.name: values[each.name] for each in bound.family.parameters(bound.unit)}
        curvature = self.curvature(eta, own)
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("leave-one-out by quadrature", total=len(bound.rows))
            for rows in self.groups:
                result = np.empty((count, len(rows)))
                batch = max(1, int(2e7 // (len(rows) ** 2 + len(rows) * NODES)))
                for start in range(0, count, batch):
                    part = slice(start, start + batch)
                    chosen = {name: value[part] for name, value in values.items()}
                    dispersion = {name: value[part, None, None] for name, value in own.items()}
                    result[part] = self.lines(chosen, dispersion, rows, eta[part][:, rows], curvature[rows])
                    bar.advance(task, len(rows) * len(result[part]) / count)
                yield rows, result

    def curvature(self, eta: np.ndarray, own: Mapping[str, np.ndarray]) -> np.ndarray:
        """-d^2 log p(y_i) / d eta_i^2 at the posterior mean: it only shapes the lines, and must not move with t."""
        centre, step = eta.mean(axis=0), 1e-3 * max(1.0, float(np.ptp(eta.mean(axis=0))))
        dispersion = {name: value.mean() for name, value in own.items()}
        below, at, above = (log_density(self.bound.family, self.bound.y, centre + shift, dispersion, self.bound.known)
                            for shift in (-step, 0.0, step))
        found = -(below - 2 * at + above) / step**2
        return np.maximum(found, 1e-3 * np.median(np.abs(found)) + 1e-300)

    def lines(self, values: Mapping[str, np.ndarray], dispersion: Mapping[str, np.ndarray], rows: np.ndarray,
              eta: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """The integrals of the rows of one group, (draw, row)."""
        y, known = self.bound.y[rows, None], self.bound.known[rows, None]

        def density(where: np.ndarray) -> np.ndarray:
            return log_density(self.bound.family, y, where, dispersion, known)

        parts = list(self.loadings(values, rows))
        if not parts:
            return density(eta[..., None])[..., 0]
        loading = np.concatenate([part for part, _ in parts], axis=-1)
        standing = np.concatenate([part for _, part in parts], axis=-1)
        hessian = np.eye(loading.shape[-1]) + (loading * curvature[:, None]).mT @ loading
        direction = np.linalg.solve(hessian, loading.mT).mT
        moved = direction @ loading.mT
        slope = (direction * standing[:, None]).sum(axis=-1)
        square = (direction**2).sum(axis=-1)
        reach = np.diagonal(moved, axis1=1, axis2=2)
        leverage = np.minimum(curvature * reach, 1 - 1e-6)
        step = 1e-4 * max(1.0, float(np.abs(eta).max()))
        gradient = ((density(eta[..., None] + step) - density(eta[..., None] - step)) / (2 * step))[..., 0]

        def mass(i: int, precision: np.ndarray, pull: np.ndarray, own: bool) -> np.ndarray:
            """Log integral along the line of row i, with its own density or without."""
            # A row that no weight moves, its predictor being 0, has a line of length 0.
            sd = 1 / np.sqrt(np.maximum(precision, TINY))
            # The grid covers where the draw stands and where the pull of the rows would put it.
            away = np.clip(pull * sd**2, -4 * REACH * sd, 4 * REACH * sd)
            half = REACH * sd + np.abs(away) / 2
            t = away[:, None] / 2 + np.linspace(-1, 1, NODES) * half[:, None]
            along = density(eta[:, :, None] + moved[:, i, :, None] * t[:, None, :])
            total = along.sum(axis=1) - slope[:, i, None] * t - 0.5 * square[:, i, None] * t**2
            return logsumexp(total if own else total - along[:, i], axis=1) + np.log(half)

        result = np.empty_like(eta)
        for i in range(len(rows)):
            # A row with leverage has a density that is narrow against what the others leave open: two grids.
            pull = (gradient * moved[:, i]).sum(axis=1) - slope[:, i]
            others = pull - gradient[:, i] * reach[:, i]
            result[:, i] = (mass(i, reach[:, i], pull, True)
                            - mass(i, reach[:, i] * (1 - leverage[:, i]), others, False))
        return result
