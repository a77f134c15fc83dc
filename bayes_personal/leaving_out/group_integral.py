"""p(y_out | y_rest, everything but the weights that some groups have of their own), by integrating over these.

Given the hyperparameters phi and all other weights, the whitened weights z of one group are Normal(0, I) and only the
rows of that group know of them, eta_i = eta_i(0) + c_i' z. For rows that are left out of groups g,

    p(y_out | y_rest, phi, other weights) = prod over g of  I_g(all its rows) / I_g(its rows that are kept),
    I_g(rows) = integral over z of Normal(z | 0, I) prod over rows of p(y_i | eta_i(0) + c_i' z),

whatever the family; I of no rows is 1, as where a group is left out whole. Up to three weights are integrated by
Gauss-Hermite quadrature on the product grid around the integrand's mode, scaled by the curvature there (Naylor and
Smith 1982, doi:10.2307/2347995; Pinheiro and Bates 1995, doi:10.1080/10618600.1995.10474663), with as many nodes as
some draws need for the result to settle. More weights are integrated by importance sampling with Sobol points through
t's around the mode. Fewer rows than weights move eta in as few directions as there are rows: those are
integrated, and the others integrate to 1.
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

# Nodes a dimension of the product grids, or points in all, until the result settles: until two rules differ by less.
# Errors of product grids fall so fast that the finer rule is then nearer to the truth by orders of magnitude.
GRIDS = {1: (9, 15, 25, 41, 67, 111, 183), 2: (9, 15, 25, 41, 67), 3: (7, 11, 17, 25)}
POINTS = (1024, 4096, 16384)
SETTLED, SETTLED_POINTS = 1e-5, 3e-3
# From these rules on they are laid by the mean and covariance, which follow heavy tails better than the mode does; in
# one dimension nodes are cheap, and those around a mode find a second one.
BY_MOMENTS = {1: len(GRIDS[1]), 2: 2, 3: 2}
# Draws that are looked at for that, evenly spaced, and those in which the weights move eta most.
EVEN, FARTHEST = 12, 4
# An error of an integral's logarithm that is worth a word.
WORTH = 0.02
# Newton steps, the halvings of one, and the squared distance from the mode, in standard deviations, that is none.
STEPS, HALVINGS, NEAR = 100, 40, 1e-4
# Densities at once: these stay in the processor's cache.
CACHED = 2**18


@final
@dataclass(frozen=True, eq=False)
class Integrand:
    """Normal(z | 0, I) prod over rows of p(y_i | eta_i + c_i' z), draw by draw.

    Attributes
    ----------
    family, y, constants : of the rows
    own : the family's own hyperparameters, (draw,)
    eta : where z is 0, (draw, row)
    loading : c, (draw, row, weight)
    step : a difference of eta small against what changes the densities
    """

    family: Family
    y: np.ndarray
    constants: np.ndarray
    own: Mapping[str, np.ndarray]
    eta: np.ndarray
    loading: np.ndarray
    step: float

    def __len__(self) -> int:
        return len(self.eta)

    @property
    def size(self) -> int:
        """How many weights."""
        return self.loading.shape[-1]

    def take(self, draws: np.ndarray | slice) -> "Integrand":
        """Some of the draws."""
        own = {name: value[draws] for name, value in self.own.items()}
        return replace(self, own=own, eta=self.eta[draws], loading=self.loading[draws])

    def of_rows(self, rows: np.ndarray) -> "Integrand":
        """Some of the rows."""
        return replace(self, y=self.y[rows], constants=self.constants[rows], eta=self.eta[:, rows],
                       loading=self.loading[:, rows])

    def reduced(self, z: np.ndarray) -> tuple["Integrand", np.ndarray]:
        """The same integral over as many directions as there are rows, and z in them."""
        if len(self.y) >= self.size:
            return self, z
        q, r = np.linalg.qr(self.loading.mT)
        return replace(self, loading=r.mT), (q.mT @ z[..., None])[..., 0]

    def density(self, eta: np.ndarray) -> np.ndarray:
        """log p(y_i | eta_i) at eta (draw, row, ...)."""
        behind = (slice(None), *[None] * (eta.ndim - 1))
        own = {name: value[behind] for name, value in self.own.items()}
        each = (slice(None), *[None] * (eta.ndim - 2))
        return self.family.likelihood(eta, own, self.constants[each], np).log_density(self.y[each])

    def moved(self, z: np.ndarray) -> np.ndarray:
        """eta at z (draw, weight)."""
        return self.eta + (self.loading @ z[..., None])[..., 0]

    def height(self, z: np.ndarray) -> np.ndarray:
        """Log of the integrand at z, but for the constant of the Normal, (draw,)."""
        return self.density(self.moved(z)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient, and a positive definite stand-in for minus the second derivative, at z."""
        shifts = self.step * np.array([-1.0, 0.0, 1.0])
        below, at, above = np.moveaxis(self.density(self.moved(z)[..., None] + shifts), -1, 0)
        slope = (above - below) / (2 * self.step)
        # Where a density is not log-concave its curvature may be negative, and would lead uphill to nowhere.
        curvature = np.maximum(-(above - 2 * at + below) / self.step**2, 0.0)
        gradient = (slope[:, None] @ self.loading)[:, 0] - z
        return gradient, np.eye(self.size) + self.loading.mT @ (curvature[..., None] * self.loading)

    def climbed(self, start: np.ndarray) -> np.ndarray:
        """A mode of every draw, by Newton's method with halved steps."""
        z = np.where(np.isfinite(self.height(start))[:, None], start, 0.0)
        left = np.arange(len(z))
        for _ in range(STEPS):
            some = self.take(left)
            gradient, hessian = some.slopes(z[left])
            move = np.linalg.solve(hessian, gradient[..., None])[..., 0]
            height, shrink = some.height(z[left]), np.ones(len(left))
            for _ in range(HALVINGS):
                worse = ~(some.height(z[left] + shrink[:, None] * move) >= height)
                if not worse.any():
                    break
                shrink[worse] /= 2
            shrink[worse] = 0
            z[left] += shrink[:, None] * move
            left = left[((gradient * move).sum(axis=1) > NEAR) & (shrink > 0)]
            if not len(left):
                break
        return z

    def mode(self, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mode with more mass of those uphill from `start` and from 0, and a root of its covariance."""
        found = []
        for z in (start, np.zeros_like(start)):
            z = self.climbed(z)
            # With H = L L', the root R = L^-T has R R' = H^-1.
            root = np.linalg.inv(np.linalg.cholesky(self.slopes(z)[1])).mT
            found.append((self.height(z) + log_volume(root), z, root))
        (one, here, root), (other, there, their) = found
        better = other > one
        return np.where(better[:, None], there, here), np.where(better[:, None, None], their, root)

    def along(self, mode: np.ndarray, root: np.ndarray, count: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Some draws after the other, the nodes of a rule around the mode, (draw, weight, node), and their logs there,
        which add up to the integral."""
        nodes, weights = rule(self.size, count)
        some = max(1, CACHED // (len(self.y) * len(nodes)))
        for start in range(0, len(self), some):
            part = slice(start, start + some)
            here = self.take(part)
            z = mode[part, :, None] + root[part] @ nodes.T
            heights = here.density(here.eta[..., None] + here.loading @ z).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
            # A rate beyond what numbers hold has density 0.
            heights = np.where(heights > -np.inf, heights, -np.inf)
            yield part, z, heights + weights + log_volume(root[part])[:, None]

    def over(self, mode: np.ndarray, root: np.ndarray, count: int) -> np.ndarray:
        """Log of the integral by a rule around the mode, (draw,)."""
        return np.concatenate([np.asarray(logsumexp(logs, axis=1)) for _, _, logs in self.along(mode, root, count)])

    def moments(self, mode: np.ndarray, root: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean of z where its density is the integrand, and a root of its covariance, by a rule around the mode."""
        means, roots = np.empty_like(mode), np.empty_like(root)
        for part, z, logs in self.along(mode, root, count):
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))[:, None]
            means[part] = (shares * z).sum(axis=2)
            away = z - means[part, :, None]
            # A single node may have all of it.
            least = 1e-6 * root[part] @ root[part].mT
            roots[part] = np.linalg.cholesky((shares * away) @ away.mT + least)
        return means, roots

    def log_integral(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Log of the integral, (draw,), and how far from settled it is in the draws that were looked at.

        `start` is where the search for the mode begins, (draw, weight).
        """
        if self.size > len(self.y):
            reduced, start = self.reduced(start)
            return reduced.log_integral(start)
        with np.errstate(over="ignore", invalid="ignore"):
            return self.settled(*self.mode(start))

    def settled(self, mode: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, float]:
        """The same by the first rule that settles, around the mode at first."""
        far = np.argsort(-(self.loading**2).sum(axis=(1, 2)), kind="stable")[:FARTHEST]
        looked = np.union1d(np.linspace(0, len(self) - 1, EVEN).astype(int), far)
        few, enough = self.take(looked), SETTLED if self.size in GRIDS else SETTLED_POINTS
        rules = GRIDS.get(self.size, POINTS)
        previous, error = few.over(mode[looked], root[looked], rules[0]), np.inf
        for place, count in enumerate(rules[1:], 1):
            if place >= BY_MOMENTS.get(self.size, 1):
                mode, root = self.moments(mode, root, rules[place - 1])
            found = few.over(mode[looked], root[looked], count)
            error = float(np.abs(found - previous).max())
            if error < enough:
                break
            previous = found
        return self.over(mode, root, count), error


def log_volume(root: np.ndarray) -> np.ndarray:
    """Log determinant of triangular matrices, (draw,)."""
    return np.log(np.abs(np.diagonal(root, axis1=1, axis2=2))).sum(axis=1)


@cache
def rule(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (node, size) and w with log of the integral of exp(h(t)) / sqrt(2 pi)^size = log of the sum of exp(h + w).

    In as many dimensions as there are grids for, `count` a dimension; else so many Sobol points through a t.
    """
    if size in GRIDS:
        at, mass = hermegauss(count)
        log_mass = np.log(mass) - 0.5 * np.log(2 * np.pi)
        nodes = np.stack(np.meshgrid(*[at] * size, indexing="ij"), axis=-1).reshape(-1, size)
        weights = np.sum(np.meshgrid(*[log_mass] * size, indexing="ij"), axis=0).ravel()
        return nodes, weights + 0.5 * (nodes**2).sum(axis=1)
    proposal = Proposal((Skewed.standard(size),), np.ones(1))
    # The same points in every draw: densities that differ between draws then do so for the draws' sake.
    nodes = proposal.draw(count, np.random.default_rng(count))
    return nodes, -proposal.log_density(nodes) - np.log(count) - size / 2 * np.log(2 * np.pi)


@final
@dataclass(frozen=True, eq=False)
class GroupIntegral:
    """Densities of rows that are left out, the own weights of their groups integrated out.

    Attributes
    ----------
    bound : the model with its data
    place : of the term whose groups these are; None to integrate nothing, which leaves p(y_out | theta), or where rows
        choose among alternatives p(y_out | every theta that a row may have)
    """

    bound: BoundModel
    place: int | None

    @classmethod
    def of_rows(cls, bound: BoundModel) -> "GroupIntegral":
        """Over the weights of the smallest groups that there are; over none where rows choose among alternatives."""
        return cls(bound, None if bound.choice else finest(bound))

    @classmethod
    def of_sets(cls, bound: BoundModel, sets: Sequence[np.ndarray]) -> "GroupIntegral | None":
        """Over the weights that matter most to sets which together are all rows; None where no term's groups fit, or
        rows choose among alternatives.

        Those of groups that lie within the sets, the largest such groups; or else of groups within which the sets lie,
        the smallest such.
        """
        if bound.choice:
            return None
        labels = np.empty(len(bound.rows), int)
        for place, rows in enumerate(sets):
            labels[rows] = place
        inside, around = {}, {}
        for place, term in enumerate(bound.terms):
            if term.grouped:
                pairs = len(np.unique(np.stack([levels(bound, place), labels]), axis=1).T)
                if pairs == term.size:
                    inside[place] = term.size
                elif pairs == len(sets):
                    around[place] = term.size
        if inside:
            return cls(bound, min(inside, key=lambda place: inside[place]))
        return cls(bound, max(around, key=lambda place: around[place])) if around else None

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of every row."""
        assert self.place is not None
        return levels(self.bound, self.place)

    @cached_property
    def groups(self) -> dict[int, np.ndarray]:
        """The rows of every group."""
        return dict(zip(np.unique(self.codes).tolist(), members(self.codes), strict=True))

    def concerned(self, rows: np.ndarray) -> np.ndarray:
        """The rows of all groups that some of these rows are of."""
        if self.place is None:
            return rows
        return np.concatenate([self.groups[level] for level in np.unique(self.codes[rows])])

    def work(self, sets: Sequence[np.ndarray]) -> float:
        """Densities to evaluate for one draw, where grids of middling size do."""
        if self.place is None:
            return float(sum(map(len, sets)))
        size = len(self.bound.terms[self.place].positions)
        nodes = GRIDS[size][1] ** size if size in GRIDS else POINTS[1]
        return float(nodes * sum(2 * len(self.concerned(rows)) - len(rows) for rows in sets))

    def left_out(self, values: Values, sets: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        """Set by set, log p(y_out | y_rest, everything but what is integrated), (draw,), and by how much more than
        rounding it may be off: 0 where all integrals have settled."""
        bound, wanted = self.bound, [self.concerned(rows) for rows in sets]
        step = Sharpness.of(bound, values).step
        own = bound.family_values(values, axes=0)
        count = len(next(iter(values.values())))
        result, worst = np.empty(count), 0.0
        for place, part, eta in etas(bound, values, wanted):
            rows, chosen = wanted[place], {name: value[part] for name, value in values.items()}
            whole = Integrand(bound.family, bound.y[rows], bound.constants[rows],
                              {name: value[part] for name, value in own.items()}, eta,
                              np.zeros((*eta.shape, 0)), step)
            out = np.isin(rows, sets[place])
            result[part], error = self.of_some(whole, chosen, rows, out)
            worst = max(worst, error)
            if part.stop == count:
                yield result.copy(), worst if worst > WORTH else 0.0
                worst = 0.0

    def of_some(self, whole: Integrand, values: Values, rows: np.ndarray,
                out: np.ndarray) -> tuple[np.ndarray, float]:
        """Log density of those of the rows that are out, given the others, and how far from settled it is."""
        bound = self.bound
        if self.place is None:
            features = tuple(each.take(rows, np) for each in bound.features)
            own = {name: value[:, None] for name, value in whole.own.items()}
            branches = bound.branches(values, features, bound.x[rows], np)
            return bound.log_likelihood(whole.y, whole.eta, own, whole.constants, branches).sum(axis=1), 0.0
        term = bound.terms[self.place]
        total, worst = np.zeros(len(whole)), 0.0
        for level in np.unique(self.codes[rows]):
            here = np.flatnonzero(self.codes[rows] == level)
            x = bound.coefficients.predictors(bound.x[rows[here]], term.positions)
            loading, z = whitened(term, x, values, level), values[f"{term.name}_z"][:, level]
            group = whole.of_rows(here)
            group = replace(group, loading=loading, eta=group.eta - (loading @ z[..., None])[..., 0])
            found, error = group.log_integral(z)
            total, worst = total + found, max(worst, error)
            if not out[here].all():
                found, error = group.of_rows(np.flatnonzero(~out[here])).log_integral(z)
                total, worst = total - found, max(worst, error)
        return total, worst
