"""Groups whose weights are integrated out of their rows' own likelihoods, given all other unknowns."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Self, final

import numpy as np
from scipy.special import gammaln

from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.linearised.pseudo_data import PseudoData, grid
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.linearised.tiles import Tiles
from bayes_personal.kernels import group_integrals, group_left_out, group_weights
from bayes_personal.priors.parts.pieces import Term

# Numbers in arrays of linear predictors that are computed together.
NUMBERS = 2**22
# Candidates of a group's weights: degrees of freedom of the t's around the mode, and the share of draws of the prior.
DEGREES, SHARE = 5.0, 0.1


class Slopes(NamedTuple):
    """Slopes of the sum of all groups' log integrals.

    Attributes
    ----------
    by_own : by the family's own numbers, (number,)
    by_eta : by the rows' linear predictors, (predictor, unit)
    by_sd, by_root : by the groups' standard deviations (1 or group, varying) and the root of their correlations
    """

    by_own: np.ndarray
    by_eta: np.ndarray
    by_sd: np.ndarray
    by_root: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class EliminatedGroups:
    """log I_g: the likelihood of each group's rows with its weights integrated out, by quadrature.

    Attributes
    ----------
    rows : the rows' own log likelihoods
    term : the term of the groups
    tiles : arrangement of the rows
    x : what a weight in natural units adds to eta, (varying, predictor, slot, lane)
    dense : the same of the weights that are not eliminated, (weight, predictor, slot, lane)
    offset : prior mean of eta, (predictor, slot, lane)
    y, n : outcomes and constants, (slot, lane)
    response, precision : pseudo-data, from which the search for modes starts
    """

    rows: RowLikelihoods
    term: Term
    tiles: Tiles
    x: np.ndarray
    dense: np.ndarray
    offset: np.ndarray
    y: np.ndarray
    n: np.ndarray
    response: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, rows: RowLikelihoods, gaussian: GaussianDensity, pseudo: PseudoData) -> Self:
        """Arrange the rows of a model, of which one term's groups are eliminated."""
        arrangement = gaussian.arrangement
        parts = [arrangement.linear_predictors(batch) for batch in rows.bound.rows.batches()]
        group, x, dense, offset = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
        tiles = Tiles(group, arrangement.groups)
        arrays = x, dense, offset, *rows.outcomes, pseudo.response, pseudo.precision
        assert arrangement.eliminated is not None and arrangement.eliminated.term is not None
        return cls(rows, arrangement.eliminated.term, tiles, *map(tiles.of_rows, arrays))

    def some(self, chosen: np.ndarray) -> tuple["EliminatedGroups", np.ndarray]:
        """Return some of the groups, in ascending order, by themselves, and the places of their rows."""
        rows = np.flatnonzero(np.isin(self.tiles.group, chosen))
        tiles = Tiles(np.searchsorted(chosen, self.tiles.group[rows]), len(chosen))
        arrays = self.x, self.dense, self.offset, self.y, self.n, self.response, self.precision
        parts = (tiles.of_rows(self.tiles.to_rows(each, rows)) for each in arrays)
        return EliminatedGroups(self.rows, self.term, tiles, *parts), rows

    @property
    def _outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.y.ravel(), self.n.ravel()

    def eta(self, weights: np.ndarray) -> np.ndarray:
        """Return the linear predictors without the groups' weights, at natural weights (draw, weight) that are not
        eliminated, (draw, predictor, slot, lane)."""
        return self.offset + np.tensordot(weights, self.dense, 1)

    def each_eta(self, weights: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the draws, and `eta` at each, (predictor, slot, lane)."""
        together = max(1, NUMBERS // self.offset.size)
        for start in range(0, len(weights), together):
            yield from enumerate(self.eta(weights[start : start + together]), start)

    def scales(self, scaling: Scaling, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Return sd (varying, 1 or tile, lane) and root of the groups' weights at one of some draws."""
        sd = scaling.own_sd[draw].T
        return (self.tiles.of_groups(sd) if sd.shape[1] > 1 else np.repeat(sd[:, :, None], self.tiles.lanes, axis=2),
                scaling.own_root[draw])

    def log_integrals(self, own: np.ndarray, scales: tuple[np.ndarray, np.ndarray], eta: np.ndarray,
                      order: int) -> np.ndarray:
        """Return log I_g, (tile, lane), at the family's own numbers and one draw's scales and eta."""
        each = np.empty((self.tiles.tiles, self.tiles.lanes))
        group_integrals.log_integrals(self.rows.code, own, *self._outcomes, self.x, self.tiles.starts, *scales, eta,
                                      self.response, self.precision, *nodes(order, len(self.x)), each)
        return each

    def log_left_out(self, own: np.ndarray, scales: tuple[np.ndarray, np.ndarray], eta: np.ndarray,
                     order: int) -> tuple[np.ndarray, np.ndarray]:
        """Return l of each row given the other rows of its group, and given all of them, (unit,) each."""
        left_out, left_in = np.empty(self.y.shape), np.empty(self.y.shape)
        group_left_out.log_left_out(self.rows.code, own, *self._outcomes, self.x, self.tiles.starts, *scales, eta,
                                     self.response, self.precision, *nodes(order, len(self.x)), left_out, left_in)
        return self.tiles.to_rows(left_out), self.tiles.to_rows(left_in)

    def draw(self, own: np.ndarray, scales: tuple[np.ndarray, np.ndarray], eta: np.ndarray, lengths: np.ndarray,
             log_integrals: np.ndarray, largest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the groups' whitened weights by chains of these lengths (tile,), (group, varying).

        `largest` is raised to the log of the largest ratio of a candidate's density to `log_integrals`, (tile, lane).
        """
        steps, size = int(lengths.max()), len(self.x)
        shape = steps, self.tiles.tiles, self.tiles.lanes
        spread = np.sqrt(0.5 * DEGREES / rng.standard_gamma(DEGREES / 2, shape))
        spread[rng.random(shape) < SHARE] = 0.0
        constant = (gammaln((DEGREES + size) / 2) - gammaln(DEGREES / 2) - 0.5 * size * np.log(DEGREES * np.pi))
        result = np.empty((size, *shape[1:]))
        group_weights.draw_weights(
            self.rows.code, own, *self._outcomes, self.x, self.tiles.starts, *scales, eta, self.response,
            self.precision, rng.standard_normal((steps, size, *shape[1:])), spread, -rng.standard_exponential(shape),
            lengths, DEGREES, SHARE, float(constant), log_integrals, result, largest)
        return self.tiles.to_groups(result).T

    def log_integrals_and_slopes(self, own: np.ndarray, scales: tuple[np.ndarray, np.ndarray], eta: np.ndarray,
                                 order: int) -> tuple[float, Slopes]:
        """Return the sum of log I_g and its slopes."""
        each, by_own, by_eta = np.empty((self.tiles.tiles, self.tiles.lanes)), np.empty(len(own)), np.empty(eta.shape)
        by_t = np.empty((len(self.x), len(self.x), *each.shape))
        group_integrals.log_integrals_and_slopes(
            self.rows.code, own, *self._outcomes, self.x, self.tiles.starts, *scales, eta, self.response,
            self.precision, *nodes(order, len(self.x)), each, by_own, by_eta, by_t)
        return float(each.sum()), Slopes(by_own, self.tiles.to_rows(by_eta), *self.by_scales(scales, by_t))

    def by_scales(self, scales: tuple[np.ndarray, np.ndarray], by_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return slopes by sd (1 or group, varying) and by root, from those by T = diag(sd) root of each group."""
        sd, root = scales
        by_sd = (by_t * root[:, :, None, None]).sum(axis=1)
        by_root = (by_t * sd[:, None]).sum(axis=(2, 3))
        return (self.tiles.to_groups(by_sd) if sd.shape[1] > 1 else by_sd.sum(axis=(1, 2))[:, None]).T, by_root


@cache
def nodes(order: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes t_j and log w_j + t_j't_j/2, as the kernel takes them."""
    places, weights = grid(order, size)
    return places, np.log(weights) + 0.5 * (places**2).sum(axis=0)
