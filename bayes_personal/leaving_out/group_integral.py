"""p(y_out | y_rest, all parameters but the own weights of some groups), by integrating over these weights.

Given the hyperparameters phi and all other weights, the whitened weights z of one group are Normal(0, I) and only the
rows of that group depend on them, eta_i = eta_i(0) + c_i' z. For rows that are left out of groups g,

    p(y_out | y_rest, phi, other weights) = prod over g of  I_g(all its rows) / I_g(its rows that are kept),
    I_g(rows) = integral over z of Normal(z | 0, I) prod over rows of p(y_i | eta_i(0) + c_i' z),

whatever the family; the integral of no rows is 1, as when a whole group is left out. Up to three weights are integrated
by Gauss-Hermite quadrature on the product grid around the integrand's mode, scaled by the curvature there (Naylor and
Smith 1982, doi:10.2307/2347995; Pinheiro and Bates 1995, doi:10.1080/10618600.1995.10474663), with as many nodes as
some draws need for the result to settle. More weights are integrated by importance sampling with Sobol points through
t's around the mode. Fewer rows than weights move eta in as few directions as there are rows: these are
integrated, and the other directions integrate to 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import Sharpness, Values, etas, finest, levels, members, whitened
from bayes_personal.families.parts.base import Family
from bayes_personal.samplers.proposal import Proposal, Skewed

# Nodes a dimension of the product grids, or points in all, of ever finer rules until two of them differ by less than
# SETTLED. Errors of product grids fall so fast that the finer rule is then better by orders of magnitude.
GRIDS = {1: (9, 15, 25, 41, 67, 111, 183), 2: (9, 15, 25, 41, 67), 3: (7, 11, 17, 25)}
POINTS = (1024, 4096, 16384)
SETTLED, SETTLED_POINTS = 1e-5, 3e-3
# From these rules on, nodes are placed by the mean and covariance, which follow heavy tails better than the mode does;
# in one dimension nodes are cheap, and those around a mode find a second one.
BY_MOMENTS = {1: len(GRIDS[1]), 2: 2, 3: 2}
# Draws by which convergence is judged: evenly spaced ones, and those in which the weights move eta most.
EVEN, FARTHEST = 12, 4
# An error of an integral's logarithm that is reported.
WORTH = 0.02
# Newton steps, halvings of a step, and the squared distance from the mode, in standard deviations, that counts as 0.
STEPS, HALVINGS, NEAR = 100, 40, 1e-4
# Densities computed at once: this many stay in the processor's cache.
CACHED = 2**18


@final
@dataclass(frozen=True, eq=False)
class Integrand:
    """Normal(z | 0, I) prod over rows of p(y_i | eta_i + c_i' z), draw by draw.

    Attributes
    ----------
    family, y, constants : family, outcomes and known constants of the rows
    family_values : the family's own hyperparameters, (draw,)
    eta : linear predictor at z = 0, (draw, row)
    loading : c, (draw, row, weight)
    step : a difference of eta that is small against the scale on which the densities change
    """

    family: Family
    y: np.ndarray
    constants: np.ndarray
    family_values: Mapping[str, np.ndarray]
    eta: np.ndarray
    loading: np.ndarray
    step: float

    def __len__(self) -> int:
        return len(self.eta)

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.loading.shape[-1]

    def take(self, draws: np.ndarray | slice) -> "Integrand":
        """Return the integrand of some draws."""
        family_values = {name: value[draws] for name, value in self.family_values.items()}
        return replace(self, family_values=family_values, eta=self.eta[draws], loading=self.loading[draws])

    def of_rows(self, rows: np.ndarray) -> "Integrand":
        """Return the integrand of some rows."""
        return replace(self, y=self.y[rows], constants=self.constants[rows], eta=self.eta[:, rows],
                       loading=self.loading[:, rows])

    def reduced(self, z: np.ndarray) -> tuple["Integrand", np.ndarray]:
        """Return the same integral over as many directions as there are rows, and z in them."""
        if len(self.y) >= self.size:
            return self, z
        q, r = np.linalg.qr(self.loading.mT)
        return replace(self, loading=r.mT), (q.mT @ z[..., None])[..., 0]

    def density(self, eta: np.ndarray) -> np.ndarray:
        """Return log p(y_i | eta_i) at eta (draw, row, ...)."""
        by_draw = (slice(None), *[None] * (eta.ndim - 1))
        family_values = {name: value[by_draw] for name, value in self.family_values.items()}
        by_row = (slice(None), *[None] * (eta.ndim - 2))
        return self.family.likelihood(eta[..., None], family_values, self.constants[by_row],
                                      np).log_density(self.y[by_row])

    def eta_at(self, z: np.ndarray) -> np.ndarray:
        """Return eta at z (draw, weight)."""
        return self.eta + (self.loading @ z[..., None])[..., 0]

    def height(self, z: np.ndarray) -> np.ndarray:
        """Return the log of the integrand at z, up to the constant of the Normal, (draw,)."""
        return self.density(self.eta_at(z)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient, and a positive definite substitute for minus the second derivative, at z."""
        shifts = self.step * np.array([-1.0, 0.0, 1.0])
        below, at, above = np.moveaxis(self.density(self.eta_at(z)[..., None] + shifts), -1, 0)
        slope = (above - below) / (2 * self.step)
        # Where a density is not log-concave its curvature may be negative, and Newton's step would lead nowhere.
        curvature = np.maximum(-(above - 2 * at + below) / self.step**2, 0.0)
        gradient = (slope[:, None] @ self.loading)[:, 0] - z
        return gradient, np.eye(self.size) + self.loading.mT @ (curvature[..., None] * self.loading)

    def climbed(self, start: np.ndarray) -> np.ndarray:
        """Return a mode of every draw, by Newton's method with halved steps."""
        z = np.where(np.isfinite(self.height(start))[:, None], start, 0.0)
        active = np.arange(len(z))
        for _ in range(STEPS):
            integrand = self.take(active)
            gradient, hessian = integrand.slopes(z[active])
            move = np.linalg.solve(hessian, gradient[..., None])[..., 0]
            height, shrink = integrand.height(z[active]), np.ones(len(active))
            for _ in range(HALVINGS):
                worse = ~(integrand.height(z[active] + shrink[:, None] * move) >= height)
                if not worse.any():
                    break
                shrink[worse] /= 2
            shrink[worse] = 0
            z[active] += shrink[:, None] * move
            active = active[((gradient * move).sum(axis=1) > NEAR) & (shrink > 0)]
            if not len(active):
                break
        return z

    def mode(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Climb from `start` and from 0; return the mode with more mass and a root of its covariance."""
        candidates = []
        for z in (start, np.zeros_like(start)):
            z = self.climbed(z)
            # With H = L L', the root R = L^-T has R R' = H^-1.
            root = np.linalg.inv(np.linalg.cholesky(self.slopes(z)[1])).mT
            candidates.append((self.height(z) + log_volume(root), z, root))
        (mass, mode, root), (other_mass, other_mode, other_root) = candidates
        better = other_mass > mass
        return np.where(better[:, None], other_mode, mode), np.where(better[:, None, None], other_root, root)

    def nodes(self, mode: np.ndarray, root: np.ndarray, count: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield blocks of draws, the nodes of a rule around the mode, (draw, weight, node), and the logs of the terms
        of the integral."""
        nodes, weights = rule(self.size, count)
        draws = max(1, CACHED // (len(self.y) * len(nodes)))
        for start in range(0, len(self), draws):
            part = slice(start, start + draws)
            integrand = self.take(part)
            z = mode[part, :, None] + root[part] @ nodes.T
            densities = integrand.density(integrand.eta[..., None] + integrand.loading @ z)
            heights = densities.sum(axis=1) - 0.5 * (z**2).sum(axis=1)
            # A rate beyond the range of floating point has density 0.
            heights = np.where(heights > -np.inf, heights, -np.inf)
            yield part, z, heights + weights + log_volume(root[part])[:, None]

    def by_rule(self, mode: np.ndarray, root: np.ndarray, count: int) -> np.ndarray:
        """Return the log of the integral by a rule around the mode, (draw,)."""
        return np.concatenate([np.asarray(logsumexp(logs, axis=1)) for _, _, logs in self.nodes(mode, root, count)])

    def moments(self, mode: np.ndarray, root: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and a root of the covariance of z under the integrand, by a rule around the mode."""
        means, roots = np.empty_like(mode), np.empty_like(root)
        for part, z, logs in self.nodes(mode, root, count):
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))[:, None]
            means[part] = (shares * z).sum(axis=2)
            centred = z - means[part, :, None]
            # A single node may have all the mass.
            floor = 1e-6 * root[part] @ root[part].mT
            roots[part] = np.linalg.cholesky((shares * centred) @ centred.mT + floor)
        return means, roots

    def log_integral(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the log of the integral, (draw,), and its error in the draws by which convergence is judged.

        `start` is where the search for the mode begins, (draw, weight).
        """
        if self.size > len(self.y):
            reduced, start = self.reduced(start)
            return reduced.log_integral(start)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.settled(*self.mode(start))

    def settled(self, mode: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the same by the first rule that settles; the first rules are around the mode."""
        farthest = np.argsort(-(self.loading**2).sum(axis=(1, 2)), kind="stable")[:FARTHEST]
        sample = np.union1d(np.linspace(0, len(self) - 1, EVEN).astype(int), farthest)
        subset, enough = self.take(sample), SETTLED if self.size in GRIDS else SETTLED_POINTS
        rules = GRIDS.get(self.size, POINTS)
        previous, error = subset.by_rule(mode[sample], root[sample], rules[0]), np.inf
        for place, count in enumerate(rules[1:], 1):
            if place >= BY_MOMENTS.get(self.size, 1):
                mode, root = self.moments(mode, root, rules[place - 1])
            logs = subset.by_rule(mode[sample], root[sample], count)
            error = float(np.abs(logs - previous).max())
            if error < enough:
                break
            previous = logs
        return self.by_rule(mode, root, count), error


def log_volume(root: np.ndarray) -> np.ndarray:
    """Return the log determinant of triangular matrices, (draw,)."""
    return np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(axis=1)


@cache
def rule(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (node, size) and w such that log int exp(h(t)) / sqrt(2 pi)^size dt = log sum exp(h + w).

    A product grid has `count` nodes a dimension; where there is none, the nodes are `count` Sobol points through a t.
    """
    if size in GRIDS:
        at, mass = hermegauss(count)
        log_mass = np.log(mass) - 0.5 * np.log(2 * np.pi)
        nodes = np.stack(np.meshgrid(*[at] * size, indexing="ij"), axis=-1).reshape(-1, size)
        weights = np.sum(np.meshgrid(*[log_mass] * size, indexing="ij"), axis=0).ravel()
        return nodes, weights + 0.5 * (nodes**2).sum(axis=1)
    proposal = Proposal((Skewed.standard(size),), np.ones(1))
    # Every draw has the same points, so that densities differ between draws because of the draws alone.
    nodes = proposal.draw(count, np.random.default_rng(count))
    return nodes, -proposal.log_density(nodes) - np.log(count) - size / 2 * np.log(2 * np.pi)


@final
@dataclass(frozen=True, eq=False)
class GroupIntegral:
    """Densities of rows that are left out, the own weights of their groups integrated out.

    Attributes
    ----------
    bound : the model with its data
    place : position of the term whose groups these are; None to integrate nothing, which leaves p(y_out | theta), or
        where rows choose among alternatives p(y_out | every theta that a row may have)
    """

    bound: BoundModel
    place: int | None

    @classmethod
    def of_rows(cls, bound: BoundModel) -> "GroupIntegral":
        """Integrate over the weights of the smallest groups; over none where rows choose among alternatives."""
        return cls(bound, None if bound.choice else finest(bound))

    @classmethod
    def of_sets(cls, bound: BoundModel, sets: Sequence[np.ndarray]) -> "GroupIntegral | None":
        """Integrate over the weights that matter most to sets which partition the rows; None where no term's groups
        fit, or rows choose among alternatives.

        These are the weights of the largest groups that lie within the sets, or else of the smallest groups that
        contain the sets.
        """
        if bound.choice:
            return None
        labels = np.empty(len(bound.rows), int)
        for place, rows in enumerate(sets):
            labels[rows] = place
        inside, containing = {}, {}
        for place, term in enumerate(bound.terms):
            if term.grouped:
                pairs = len(np.unique(np.stack([levels(bound, place), labels]), axis=1).T)
                if pairs == term.size:
                    inside[place] = term.size
                elif pairs == len(sets):
                    containing[place] = term.size
        if inside:
            return cls(bound, min(inside, key=lambda place: inside[place]))
        return cls(bound, max(containing, key=lambda place: containing[place])) if containing else None

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of every row."""
        assert self.place is not None
        return levels(self.bound, self.place)

    @cached_property
    def groups(self) -> dict[int, np.ndarray]:
        """The rows of every group."""
        return dict(zip(np.unique(self.codes).tolist(), members(self.codes), strict=True))

    def rows_of_groups(self, rows: np.ndarray) -> np.ndarray:
        """Return all rows of the groups that these rows belong to."""
        if self.place is None:
            return rows
        return np.concatenate([self.groups[level] for level in np.unique(self.codes[rows])])

    def work(self, sets: Sequence[np.ndarray]) -> float:
        """Return how many densities one draw costs, if grids of medium size suffice."""
        if self.place is None:
            return float(sum(map(len, sets)))
        size = len(self.bound.terms[self.place].positions)
        nodes = GRIDS[size][1] ** size if size in GRIDS else POINTS[1]
        return float(nodes * sum(2 * len(self.rows_of_groups(rows)) - len(rows) for rows in sets))

    def left_out(self, values: Values, sets: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        """Yield, set by set, log p(y_out | y_rest, the parameters not integrated), (draw,), and its error beyond
        rounding: 0 where all integrals have settled."""
        bound, wanted = self.bound, [self.rows_of_groups(rows) for rows in sets]
        step = Sharpness.of(bound, values).step
        family_values = bound.family_values(values, axes=0)
        count = len(next(iter(values.values())))
        result, worst = np.empty(count), 0.0
        for place, part, eta in etas(bound, values, wanted):
            rows, chosen = wanted[place], {name: value[part] for name, value in values.items()}
            integrand = Integrand(bound.family, bound.y[rows], bound.constants[rows],
                              {name: value[part] for name, value in family_values.items()}, eta,
                              np.zeros((*eta.shape, 0)), step)
            is_out = np.isin(rows, sets[place])
            result[part], error = self.log_ratio(integrand, chosen, rows, is_out)
            worst = max(worst, error)
            if part.stop == count:
                yield result.copy(), worst if worst > WORTH else 0.0
                worst = 0.0

    def log_ratio(self, integrand: Integrand, values: Values, rows: np.ndarray,
                is_out: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the log density of the rows that are out given the other rows, and its error."""
        bound = self.bound
        if self.place is None:
            features = tuple(piece.take(rows, np) for piece in bound.features)
            family_values = {name: value[:, None] for name, value in integrand.family_values.items()}
            branches = bound.branches(values, features, bound.x[rows], np)
            densities = bound.log_likelihood(integrand.y, integrand.eta[..., None], family_values, integrand.constants,
                                             branches)
            return densities.sum(axis=1), 0.0
        term = bound.terms[self.place]
        total, worst = np.zeros(len(integrand)), 0.0
        for level in np.unique(self.codes[rows]):
            in_group = np.flatnonzero(self.codes[rows] == level)
            x = bound.coefficients.predictors(bound.x[rows[in_group]], term.positions)
            loading, z = whitened(term, x, values, level), values[f"{term.name}_z"][:, level]
            group = integrand.of_rows(in_group)
            group = replace(group, loading=loading, eta=group.eta - (loading @ z[..., None])[..., 0])
            log_mass, error = group.log_integral(z)
            total, worst = total + log_mass, max(worst, error)
            if not is_out[in_group].all():
                log_mass, error = group.of_rows(np.flatnonzero(~is_out[in_group])).log_integral(z)
                total, worst = total - log_mass, max(worst, error)
        return total, worst
