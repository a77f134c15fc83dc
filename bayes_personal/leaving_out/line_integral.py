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
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import Advance, Sharpness, Values, etas, finest, levels, members, whitened
from bayes_personal.priors.parts.features import Features

REACH, NODES = 8.0, 33
TINY = 1e-300


@final
@dataclass(frozen=True, eq=False)
class LineIntegral:
    """Leave-one-out densities of a model whose weights do not integrate out in closed form."""

    bound: BoundModel

    @cached_property
    def grouped(self) -> int | None:
        """Place of the term with groups of fewest rows; None where no term has groups."""
        return finest(self.bound)

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Rows that the same weights move together."""
        if self.grouped is None:
            return [np.arange(len(self.bound.rows))]
        return members(levels(self.bound, self.grouped))

    @property
    def work(self) -> float:
        """Densities to evaluate for one draw."""
        return float(2 * NODES * sum(len(rows) ** 2 for rows in self.groups))

    def loadings(self, values: Values, rows: np.ndarray) -> Iterator[tuple[Any, Any]]:
        """How whitened weights move eta at `rows`, (draw, row, weight), and where they stand, (draw, weight).

        A mean that is not Normal has no quadratic log prior and stays where it is.
        """
        bound, count = self.bound, len(next(iter(values.values())))
        if self.grouped is None and bound.mean is not None and bound.mean_prior.gaussian:
            sd, centre = bound.mean.arguments["sigma"], bound.mean.arguments["mu"]
            x = bound.coefficients.predictors(bound.x[rows], bound.everywhere)[:, bound.shared]
            yield np.broadcast_to(x * sd, (count, *x.shape)), (values[bound.mean.name] - centre) / sd
        for place, (term, one) in enumerate(zip(bound.terms, bound.features, strict=False)):
            if self.grouped not in (None, place):
                continue
            x, z = bound.coefficients.predictors(bound.x[rows], term.positions), values[f"{term.name}_z"]
            if term.grouped:
                level = one.matrix.indices[rows[0]]
                yield whitened(term, x, values, level), z[:, level]
            else:
                scale, root = term.scales(values, np)
                moved = one.matrix[rows][:, :, None] * x[:, None, :] * scale[:, None]
                moved = moved if root is None else moved @ root[:, None]
                yield moved.reshape(count, len(rows), -1), z.reshape(count, -1)
        for field in bound.gaussian_functions if self.grouped is None else ():
            root, step = field.root(values, np)
            at = bound.features[bound.pieces.index(field)].matrix[rows, 0].astype(int)
            x = bound.coefficients.predictors(bound.x[rows], field.positions)
            moved = root[:, at, :, None] * (x * step[:, None])[:, :, None]
            z = np.linalg.solve(root, values[f"{field.name}_deviation"] / step[:, None])
            yield moved.reshape(count, len(rows), -1), z.reshape(count, -1)

    def leave_one_out(self, values: Values,
                      advance: Advance = lambda done: None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Group by group, its rows and log p(y_i | y_-i, what the line leaves fixed) of them, (draw, row)."""
        bound, count = self.bound, len(next(iter(values.values())))
        own = bound.family_values(values, axes=0)
        sharpness = Sharpness.of(bound, values)
        result = np.empty((0, 0))
        for place, among, eta in etas(bound, values, self.groups):
            rows = self.groups[place]
            if among.start == 0:
                result = np.empty((count, len(rows)))
            batch = max(1, int(2e7 // (len(rows) ** 2 + len(rows) * NODES)))
            for start in range(among.start, among.stop, batch):
                part = slice(start, min(start + batch, among.stop))
                chosen = {name: value[part] for name, value in values.items()}
                dispersion = {name: value[part, None, None] for name, value in own.items()}
                here = eta[start - among.start : part.stop - among.start]
                result[part] = self.lines(chosen, dispersion, rows, here, sharpness)
                advance(len(rows) * (part.stop - start) / count)
            if among.stop == count:
                yield rows, result

    def lines(self, values: Values, dispersion: Mapping[str, np.ndarray], rows: np.ndarray,
              eta: np.ndarray, sharpness: Sharpness) -> np.ndarray:
        """The integrals of the rows of one group, (draw, row)."""
        y, constants = self.bound.y[rows, None], self.bound.constants[rows, None]
        curvature, step = sharpness.curvature[rows], sharpness.step

        branches = self.bound.branches(values, tuple(Features(one.matrix[rows]) for one in self.bound.features),
                                       self.bound.x[rows], np)
        if branches is not None:
            branches = branches[0][:, :, None], branches[1][:, :, None]

        def density(where: np.ndarray) -> np.ndarray:
            return self.bound.log_likelihood(y, where, dispersion, constants, branches)

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
