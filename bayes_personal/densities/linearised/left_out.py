"""log p(y_i | y_-i, draw), theta_i integrated out, for rows without a Normal likelihood."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import NUMBERS
from bayes_personal.data.rows import Batch, rows_at
from bayes_personal.densities.gaussian.arrangement import Arrangement, Loadings
from bayes_personal.densities.gaussian.collapsed import OF_CUBE, OF_SQUARE, Projection
from bayes_personal.densities.linearised.chains import chain_moments, chained, eta_of_chain
from bayes_personal.densities.linearised.corrected import moments
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity, linearises
from bayes_personal.densities.linearised.pseudo_data import POINTS, PseudoData, nodes_of_rows, with_pseudo_outcome
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.kernels import cavities, likelihoods

# Draws over which pseudo-data are averaged, and nodes of a row's integral over its linear predictor.
AVERAGED, NODES = 200, 21
# Fewer of these, which are enough where another number of nodes changes a log density by no more than this.
FEWER_NODES, SETTLED = (3, 5, 9), 1e-6
# Largest leverage of a row that is left out: without it eta has a finite variance.
MOST_LEVERAGE = 1.0 - 1e-9
# Nodes along each weight of a group that has one, two or more of them.
ORDERS = {1: 15, 2: 7}
ORDER = 5
# An evaluation on a node costs as much as so many of those that draws are thinned by: it takes two exponentials more.
ON_NODES = 16.0


def leaves_out(bound: BoundModel) -> bool:
    """Say whether `LeftOutRows` takes a model."""
    return linearises(bound)


@final
@dataclass(frozen=True, eq=False)
class LeftOutRows:
    """Rows left out one by one given draws of the posterior of a model that linearises.

    Where no groups are eliminated, the weights are integrated out given phi: exactly but for one row, whose likelihood
    takes the place of its pseudo-observation (the cavity of expectation propagation). Where groups are, those of the
    row's group are integrated out given phi and all other weights, by quadrature.

    Attributes
    ----------
    density : density of phi under pseudo-data that are averaged over the posterior
    values : draws of all variables
    count : number of draws

    References
    ----------
    Vehtari, Mononen, Tolvanen, Sivula and Winther (2016), JMLR 17(103):1, doi:10.48550/arXiv.1412.7461.
    """

    density: LinearisedDensity
    values: Mapping[str, np.ndarray]
    count: int

    @classmethod
    def of(cls, bound: BoundModel, values: Mapping[str, np.ndarray], count: int) -> Self:
        """Make pseudo-data from draws."""
        some = np.unique(np.linspace(0, count - 1, min(AVERAGED, count)).astype(int))
        chosen = {name: value[some] for name, value in values.items()}
        rows = bound.once(RowLikelihoods)
        own = np.median(rows.own(chosen, len(some)), axis=0)
        if chained(bound):
            pseudo = PseudoData.averaged(rows, *chain_moments(bound, chosen, len(some)), own)
            return cls(LinearisedDensity(bound, pseudo, np.zeros(0)), values, count)
        arrangement = Arrangement(with_pseudo_outcome(bound))
        pseudo = PseudoData.averaged(rows, *moments(arrangement, chosen, len(some)), own)
        centre = arrangement.natural_weights(chosen, len(some)).mean(axis=0)
        return cls(LinearisedDensity(bound, pseudo, centre), values, count)

    @property
    def within_reach(self) -> bool:
        """Whether floating point reaches the weights' distribution at every draw; it does at those of a posterior."""
        if self.density.chain is not None:
            return True
        try:
            for draw in range(self.count):
                self._projection.shared(draw)
        except FloatingPointError:
            return False
        return True

    @property
    def predictors(self) -> int:
        """How many linear predictors a row has."""
        return len(self.density.pseudo.mean)

    @property
    def order(self) -> int:
        """Nodes along each weight of a group."""
        return ORDERS.get(self.density.gaussian.arrangement.varying, ORDER)

    @property
    def work(self) -> float:
        """About how many evaluations of a row's likelihood one draw takes."""
        rows, groups = len(self.density.bound.rows), self.density.groups
        if groups is not None:
            return ON_NODES * rows * self.order ** len(groups.x)
        if self.density.chain is not None:
            return 2 * NODES * rows + self.density.chain.leave_one_out_work
        size = self.density.gaussian.arrangement.size
        nodes = min(NODES**self.predictors, POINTS)
        return rows * (self.predictors**2 * OF_SQUARE * size**2 + 2 * nodes) + OF_CUBE * size**3

    def of_draws(self, chosen: np.ndarray) -> "LeftOutRows":
        """Return the same at some of the draws."""
        values = {name: value[chosen] for name, value in self.values.items()}
        return LeftOutRows(self.density, values, len(chosen))

    @cached_property
    def own(self) -> np.ndarray:
        """The family's own numbers at the draws, (draw, number)."""
        return self.density.rows.own(self.values, self.count)

    def parts(self) -> Iterator[tuple[np.ndarray, "LeftOutDensities"]]:
        """Yield positions of rows and their log densities, a part of the rows at a time."""
        together, groups = max(1, NUMBERS // self.count), self.density.groups
        if groups is not None:
            yield from map(self._by_groups, groups.tiles.parts(together))
            return
        for batch in self.density.bound.rows.batches(together):
            places = np.arange(batch.start, batch.start + len(batch))
            yield places, self._by_cavities(batch, places)

    def few(self, places: np.ndarray) -> np.ndarray:
        """Return the log densities of some rows left out, in ascending order, (draw, place)."""
        groups = self.density.groups
        if groups is not None:
            all_places, densities = self._by_groups(np.unique(groups.tiles.group[places]))
            return densities.left_out[:, np.searchsorted(all_places, places)]
        return self._by_cavities(rows_at(self.density.bound.rows, places), places).left_out

    def _constants(self, places: Any) -> np.ndarray:
        """Return what log p(y_i) has beside l, (draw, place)."""
        rows = self.density.rows
        distinct, entries = np.unique(rows.outcomes[0][places], return_inverse=True)
        by_draw = np.array([likelihoods.rests(rows.code, own, distinct) for own in self.own]) if self.own.size else \
            np.zeros((1, len(distinct)))
        return np.broadcast_to(rows.constants[places] + by_draw[:, entries], (self.count, len(places)))

    def _by_cavities(self, batch: Batch, places: np.ndarray) -> "LeftOutDensities":
        rows, pseudo = self.density.rows, self.density.pseudo
        if self.density.chain is not None:
            fits, covariances = eta_of_chain(self.density.chain, self.values, self.count, places)
        else:
            fits, covariances = eta_given(self._projection, batch)
            fits += self._moved_by_family(batch)
        cavity = Cavity.of(fits, covariances, pseudo.precision_root[places], pseudo.response[:, places])
        constants, data = self._constants(places), [each[places] for each in rows.outcomes]

        def of_some(draws: Any, some: Any, order: int) -> LeftOutDensities:
            y, n = (each[some] for each in data)
            centre, root = (np.ascontiguousarray(each[draws][..., some]) for each in (cavity.mean, cavity.root))
            left_out, left_in = np.empty((2, len(centre), len(y)))
            cavities.set_cavities(rows.code, self.own[draws], y, n, centre, root,
                                  *nodes_of_rows(order, self.predictors), left_out, left_in)
            return LeftOutDensities.of(left_out, left_in, constants[draws][:, some], cavity.moved[some])

        result = LeftOutDensities(np.empty(constants.shape), np.empty(len(places)), cavity.moved)
        for order, some in orders(of_some, covariances[:, 0, 0]):
            result.left_out[:, some], result.left_in[some], _ = of_some(slice(None), some, order)
        return result

    def _moved_by_family(self, batch: Batch) -> np.ndarray | float:
        """Return how far linear predictors move with the family's own hyperparameters, (draw, predictor, unit).

        The pseudo-data are made at their medians. A scale of a StudentT that has a linear predictor grows with nu, by
        a regression over draws; a location hardly moves.
        """
        arrangement, size = self.density.gaussian.arrangement, self.density.family_size
        if not size or self.predictors == 1:
            return 0.0
        points = self.density.of_family(self.density.points(self.values))
        weights = arrangement.natural_weights(self.values, self.count)
        eta = arrangement.linear_predictors(batch).at(weights, None).reshape(self.count, -1)
        slopes = np.linalg.lstsq(points - points.mean(axis=0), eta - eta.mean(axis=0))[0]
        return ((points - np.median(points, axis=0)) @ slopes).reshape(self.count, -1, len(batch))

    @cached_property
    def _projection(self) -> Projection:
        return self.density.gaussian.projection(self.values, self.count)

    def _by_groups(self, chosen: np.ndarray) -> tuple[np.ndarray, "LeftOutDensities"]:
        """Leave out the rows of some groups, in ascending order; return their positions too."""
        assert self.density.groups is not None
        groups, places = self.density.groups.some(chosen)
        gaussian, scales = self.density.gaussian, chosen if self.density.many_scales else slice(None)
        scaling, _ = gaussian.draws(self.values, self.count)
        scaling = scaling._replace(own_sd=scaling.own_sd[:, scales])
        weights = gaussian.arrangement.natural_weights(self.values, self.count)
        left_out, left_in = np.empty((2, self.count, len(places)))
        for draw, eta in groups.each_eta(weights):
            left_out[draw], left_in[draw] = groups.log_left_out(self.own[draw], groups.scales(scaling, draw), eta,
                                                                 self.order)
        return places, LeftOutDensities.of(left_out, left_in, self._constants(places), np.zeros(len(places)))


class LeftOutDensities(NamedTuple):
    """Log densities of some rows.

    Attributes
    ----------
    left_out : log p(y_i | all other rows, draw), (draw, unit)
    left_in : log p(y_i again | all rows), averaged over draws, (unit,)
    moved : how far eta moves where a row is left out under pseudo-data, in standard deviations averaged over draws,
        (unit,); 0 where the densities are exact
    """

    left_out: np.ndarray
    left_in: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, left_out: np.ndarray, left_in: np.ndarray, constants: np.ndarray, moved: np.ndarray) -> Self:
        """Average over draws, and add to log densities (draw, unit), in place, what they have beside l."""
        left_out += constants
        left_in += constants
        return cls(left_out, cavities.log_means(left_in), moved)


class Cavity(NamedTuple):
    """The distribution of rows' linear predictors given all other rows, at draws.

    Attributes
    ----------
    mean : (draw, predictor, unit)
    root : lower roots of the covariances, (draw, predictor, predictor, unit)
    moved : how far a row moves them, in standard deviations, averaged over draws, (unit,)
    """

    mean: np.ndarray
    root: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, fits: np.ndarray, covariances: np.ndarray, precision_root: np.ndarray, response: np.ndarray) -> Self:
        """Take each row's pseudo-observation away, the part of one linear predictor after the other.

        `fits` and `covariances` are those given all rows, and the pseudo-observation is ``Normal(P response, 1)`` of
        P eta with the `precision_root` P, (unit, predictor, predictor).
        """
        mean, covariance, moved = fits.copy(), covariances.copy(), np.zeros(fits.shape[-1])
        for part, observed in zip(precision_root.transpose(1, 2, 0), np.einsum("npq,qn->pn", precision_root, response),
                                  strict=True):
            along = np.einsum("dpqn,qn->dpn", covariance, part)
            leverage = np.minimum(np.einsum("dpn,pn->dn", along, part), MOST_LEVERAGE)
            gap = (np.einsum("dpn,pn->dn", mean, part) - observed) / (1 - leverage)
            mean += along * gap[:, None]
            covariance += along[:, :, None] * along[:, None] / (1 - leverage)[:, None, None]
        spread = np.sqrt(np.einsum("dppn->dpn", covariances))
        moved = (np.abs(mean - fits) / spread).max(axis=1).mean(axis=0)
        return cls(mean, lower_roots(covariance), moved)


def eta_given(projection: Projection, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (draw, predictor, unit) and covariance (draw, predictor, predictor, unit) of rows' linear predictors
    given all rows and the hyperparameters."""
    arrangement = projection.density.arrangement
    bound, coefficients = arrangement.bound, arrangement.bound.coefficients
    units, features = bound.predictor_units, bound.features_at(batch.frame)
    products = coefficients.predictors(batch.x, bound.everywhere) * arrangement.centre
    offset, count = coefficients.total(products, bound.everywhere, np).T, len(units)
    each = [arrangement.loadings(batch.x, np.full(len(batch), unit), features, None if count == 1 else place)
            for place, unit in enumerate(units)]
    found = [projection.moments(z) for z in each]
    mean = np.stack([fit for fit, _ in found], axis=1)
    covariance = np.empty((len(mean), count, count, len(batch)))
    for k, (_, variance) in enumerate(found):
        covariance[:, k, k] = variance
        for m in range(k):
            # Of a sum the variance has the covariance twice.
            both = Loadings(each[k].dense + each[m].dense, each[k].groups, each[k].of_group + each[m].of_group)
            shared = 0.5 * (projection.moments(both)[1] - variance - found[m][1])
            covariance[:, k, m] = covariance[:, m, k] = shared
    return offset + units[:, None] * mean, covariance * np.outer(units, units)[:, :, None]


def lower_roots(matrices: np.ndarray) -> np.ndarray:
    """Return the Cholesky factors of matrices (draw, predictor, predictor, unit)."""
    root = np.zeros(matrices.shape)
    for k in range(matrices.shape[1]):
        for m in range(k + 1):
            entry = matrices[:, k, m] - (root[:, k, :m] * root[:, m, :m]).sum(axis=1)
            root[:, k, m] = np.sqrt(entry) if k == m else entry / root[:, m, m]
    return root


def orders(of_some: Callable[[Any, Any, int], LeftOutDensities],
           variances: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Yield numbers of nodes, and the places of the rows for which they are enough.

    That is tried at the first draw and at the one at which variances (draw, unit) are largest, where integrands are
    widest.
    """
    remaining, tried = np.arange(variances.shape[1]), [0, int(variances.sum(axis=1).argmax())]
    for order in FEWER_NODES:
        fewer, most = (of_some(tried, remaining, each) for each in (order, NODES))
        gap = np.maximum(np.abs(fewer.left_out - most.left_out).max(axis=0), np.abs(fewer.left_in - most.left_in))
        if (enough := gap < SETTLED).all():
            yield order, slice(None) if len(remaining) == variances.shape[1] else remaining
            return
        yield order, remaining[enough]
        remaining = remaining[~enough]
    yield NODES, remaining
