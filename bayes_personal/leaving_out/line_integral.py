"""p(y_i | y_-i, all but one direction of the weights), by quadrature along that direction.

Whatever the family, eta is linear in the whitened weights v: eta_j = eta_j(0) + c_j' v. Moving v by t d moves eta_j by
t a_j, a_j = c_j' d, and given where the line lies, phi and the other rows,

    p(t | ...) ~ exp(-t d' P v - t^2 d' P d / 2) prod_{j != i} p(y_j | eta_j + t a_j),

P the prior precision. A row's own line takes d = H^-1 c_i, H the curvature of the log posterior of the own weights of
the row's group: for a Normal outcome the integral is then the exact conditional of the group's weights, and for any
other outcome it is a valid conditional, whatever d. Where a row has several linear predictors, c_i has a column for
each, and d is H^-1 c_i s_i, s_i the slopes of log p(y_i | eta_i) by them. Importance sampling then reweights its
integral of p(y_i | eta_i). The trapezoidal rule is exact to rounding for such smooth, decaying integrands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import (
    Advance,
    Sharpness,
    Values,
    apart,
    etas,
    finest,
    levels,
    members,
    whitened,
)
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
        """Position of the term with groups of fewest rows; None where no term has groups."""
        return finest(self.bound)

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """The rows of each group, which the same weights move together."""
        if self.grouped is None:
            return [np.arange(len(self.bound.rows))]
        return members(levels(self.bound, self.grouped))

    @property
    def work(self) -> float:
        """Number of densities to evaluate for one draw."""
        return float(2 * NODES * sum(len(rows) ** 2 for rows in self.groups))

    def loadings(self, values: Values, rows: np.ndarray) -> Iterator[tuple[Any, Any]]:
        """Yield the derivatives of eta at `rows` by whitened weights, (draw, row, predictor, weight), and these, (draw,
        weight).

        A mean that is not Normal has no quadratic log prior and stays fixed.
        """
        bound, count = self.bound, len(next(iter(values.values())))
        if self.grouped is None and bound.mean is not None and bound.mean_prior.gaussian:
            sd, centre = bound.mean.arguments["sigma"], bound.mean.arguments["mu"]
            x = apart(bound, bound.x[rows], bound.everywhere)[..., bound.shared]
            yield np.broadcast_to(x * sd, (count, *x.shape)), (values[bound.mean.name] - centre) / sd
        for place, (term, features) in enumerate(zip(bound.terms, bound.features, strict=False)):
            if self.grouped not in (None, place):
                continue
            x, z = apart(bound, bound.x[rows], term.positions), values[f"{term.name}_z"]
            if term.grouped:
                level = features.matrix.indices[rows[0]]
                yield whitened(term, x, values, level), z[:, level]
            else:
                scale, root = term.scales(values, np)
                loading = np.asarray(features.matrix[rows])[:, None, :, None] * x[:, :, None] * scale[:, None, None]
                loading = loading if root is None else loading @ root[:, None, None]
                yield loading.reshape(*loading.shape[:3], -1), z.reshape(count, -1)
        for field in bound.gaussian_functions if self.grouped is None else ():
            root, step = field.root(values, np)
            at = bound.features[bound.pieces.index(field)].matrix[rows, 0].astype(int)
            x = apart(bound, bound.x[rows], field.positions)
            loading = root[:, at, None, :, None] * (x * step[:, None, None])[:, :, :, None]
            z = np.linalg.solve(root, values[f"{field.name}_deviation"] / step[:, None])
            yield loading.reshape(*loading.shape[:3], -1), z.reshape(count, -1)

    def leave_one_out(self, values: Values,
                      advance: Advance = lambda rows_done: None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each group and log p(y_i | y_-i, all that the line leaves fixed) of them, (draw, row)."""
        bound, count = self.bound, len(next(iter(values.values())))
        family_values = bound.family_values(values, axes=0)
        sharpness = Sharpness.of(bound, values)
        result = np.empty((0, 0))
        for place, draws, eta in etas(bound, values, self.groups):
            rows = self.groups[place]
            if draws.start == 0:
                result = np.empty((count, len(rows)))
            batch = max(1, int(2e7 // (len(rows) ** 2 + len(rows) * NODES)))
            for start in range(draws.start, draws.stop, batch):
                part = slice(start, min(start + batch, draws.stop))
                chosen = {name: value[part] for name, value in values.items()}
                dispersion = {name: value[part, None, None] for name, value in family_values.items()}
                part_eta = eta[start - draws.start : part.stop - draws.start]
                result[part] = self.lines(chosen, dispersion, rows, part_eta, sharpness)
                advance(len(rows) * (part.stop - start) / count)
            if draws.stop == count:
                yield rows, result

    def lines(self, values: Values, dispersion: Mapping[str, np.ndarray], rows: np.ndarray,
              eta: np.ndarray, sharpness: Sharpness) -> np.ndarray:
        """Return the integrals of the rows of one group, (draw, row)."""
        y, constants = self.bound.y[rows, None], self.bound.constants[rows, None]
        curvature, along = sharpness.curvature[rows], sharpness.directions[rows]

        features = tuple(Features(piece.matrix[rows]) for piece in self.bound.features)
        branches = self.bound.branches(values, features, self.bound.x[rows], np)
        if branches is not None:
            branches = branches[0][:, :, None], branches[1][:, :, None]

        def density(at_eta: np.ndarray) -> np.ndarray:
            return self.bound.log_likelihood(y, at_eta, dispersion, constants, branches)

        parts = list(self.loadings(values, rows))
        if not parts:
            return density(eta[:, :, None])[..., 0]
        loading = np.concatenate([part for part, _ in parts], axis=-1)
        standing = np.concatenate([part for _, part in parts], axis=-1)
        flat, bent = (each.reshape(len(eta), -1, loading.shape[-1]) for each in (loading, curvature @ loading))
        hessian = np.eye(loading.shape[-1]) + flat.mT @ bent
        own = (along[:, None] @ loading)[:, :, 0]
        direction = np.linalg.solve(hessian, own.mT).mT
        # Of each row's line, how it moves every row: (draw, line, row, predictor).
        response = (direction @ flat.mT).reshape(len(eta), len(rows), len(rows), -1)
        slope = (direction * standing[:, None]).sum(axis=-1)
        square = (direction**2).sum(axis=-1)
        reach = (direction * own).sum(axis=-1)
        moved = np.diagonal(response, axis1=1, axis2=2).mT
        bending = np.einsum("drp,rpq,drq->dr", moved, curvature, moved)
        leverage = np.minimum(bending / np.maximum(reach, TINY), 1 - 1e-6)
        steps = np.diag(sharpness.step)
        gradient = np.stack([(density((eta + step)[:, :, None]) - density((eta - step)[:, :, None]))[..., 0]
                             for step in steps], axis=-1) / (2 * sharpness.step)

        def mass(i: int, precision: np.ndarray, pull: np.ndarray, with_row: bool) -> np.ndarray:
            """Return the log integral along the line of row i, with the density of the row or without."""
            # A row whose predictor is 0 is moved by no weight, and has a line of length 0.
            sd = 1 / np.sqrt(np.maximum(precision, TINY))
            # The grid covers the draw and the point to which the rows pull it.
            peak = np.clip(pull * sd**2, -4 * REACH * sd, 4 * REACH * sd)
            half_width = REACH * sd + np.abs(peak) / 2
            t = peak[:, None] / 2 + np.linspace(-1, 1, NODES) * half_width[:, None]
            logs = density(eta[:, :, None] + response[:, i, :, None] * t[:, None, :, None])
            total = logs.sum(axis=1) - slope[:, i, None] * t - 0.5 * square[:, i, None] * t**2
            return logsumexp(total if with_row else total - logs[:, i], axis=1) + np.log(half_width)

        result = np.empty(eta.shape[:2])
        for i in range(len(rows)):
            # A row with leverage has a density that is narrow against the posterior given the other rows: two grids.
            pull = (gradient * response[:, i]).sum(axis=(1, 2)) - slope[:, i]
            pull_without = pull - (gradient[:, i] * moved[:, i]).sum(axis=1)
            result[:, i] = (mass(i, reach[:, i], pull, True)
                            - mass(i, reach[:, i] * (1 - leverage[:, i]), pull_without, False))
        return result
