"""p(y_out | y_rest, all parameters but the own weights of some groups), by integrating over these weights.

Given the hyperparameters phi and all other weights, only the rows of a group depend on the group's own weights. For
rows that are left out of groups g,

    p(y_out | y_rest, phi, other weights) = prod over g of  I_g(all its rows) / I_g(its rows that are kept),

where I_g(rows) is the integral of `samplers.integrand`; that of no rows is 1, as when a whole group is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.own_weights import Sharpness, Values, apart, etas, finest, levels, members, whitened
from bayes_personal.samplers.integrand import GRIDS, POINTS, Integrand

# An error of an integral's logarithm that is reported.
WORTH = 0.02
@final
@dataclass(frozen=True, eq=False)
class GroupIntegral:
    """Densities of rows that are left out, the own weights of their groups integrated out.

    Attributes
    ----------
    bound : the model with its data
    places : positions of the terms whose groups these are, which all have the same groups; empty to integrate nothing,
        which leaves p(y_out | theta), or where rows choose among alternatives p(y_out | every theta that a row may
        have)
    """

    bound: BoundModel
    places: tuple[int, ...]

    @classmethod
    def of_rows(cls, bound: BoundModel) -> "GroupIntegral":
        """Integrate over the weights of the smallest groups; over none where rows choose among alternatives."""
        place = None if bound.choice else finest(bound)
        return cls(bound, () if place is None else alike(bound, place))

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
            return cls(bound, alike(bound, min(inside, key=lambda place: inside[place])))
        if containing:
            return cls(bound, alike(bound, max(containing, key=lambda place: containing[place])))
        return None

    @cached_property
    def codes(self) -> np.ndarray:
        """The group of every row."""
        return levels(self.bound, self.places[0])

    @cached_property
    def groups(self) -> dict[int, np.ndarray]:
        """The rows of every group."""
        return dict(zip(np.unique(self.codes).tolist(), members(self.codes), strict=True))

    def rows_of_groups(self, rows: np.ndarray) -> np.ndarray:
        """Return all rows of the groups that these rows belong to."""
        if not self.places:
            return rows
        return np.concatenate([self.groups[level] for level in np.unique(self.codes[rows])])

    def work(self, sets: Sequence[np.ndarray]) -> float:
        """Return how many densities one draw costs, if grids of medium size suffice."""
        if not self.places:
            return float(sum(map(len, sets)))
        size = sum(len(self.bound.terms[place].positions) for place in self.places)
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
        if not self.places:
            features = tuple(piece.take(rows, np) for piece in bound.features)
            family_values = {name: value[:, None] for name, value in integrand.family_values.items()}
            branches = bound.branches(values, features, bound.x[rows], np)
            densities = bound.log_likelihood(integrand.y, integrand.eta, family_values, integrand.constants, branches)
            return densities.sum(axis=1), 0.0
        total, worst = np.zeros(len(integrand)), 0.0
        for level in np.unique(self.codes[rows]):
            in_group = np.flatnonzero(self.codes[rows] == level)
            loading, z = self.weights(values, rows[in_group])
            group = integrand.of_rows(in_group)
            group = replace(group, loading=loading, eta=group.eta - (loading @ z[:, None, :, None])[..., 0])
            log_mass, error = group.log_integral(z)
            total, worst = total + log_mass, max(worst, error)
            if not is_out[in_group].all():
                log_mass, error = group.of_rows(np.flatnonzero(~is_out[in_group])).log_integral(z)
                total, worst = total - log_mass, max(worst, error)
        return total, worst

    def weights(self, values: Values, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how the whitened weights of a group move eta of its rows, (draw, row, predictor, weight), and these
        weights, (draw, weight)."""
        parts = []
        for place in self.places:
            term, level = self.bound.terms[place], int(levels(self.bound, place)[rows[0]])
            x = apart(self.bound, self.bound.x[rows], term.positions)
            parts.append((whitened(term, x, values, level), values[f"{term.name}_z"][:, level]))
        return np.concatenate([part for part, _ in parts], axis=-1), np.concatenate([z for _, z in parts], axis=-1)


def alike(bound: BoundModel, place: int) -> tuple[int, ...]:
    """Return the positions of the terms with the groups of this one, this one first."""
    own = levels(bound, place)
    others = [other for other, term in enumerate(bound.terms)
              if other != place and term.grouped and term.size == bound.terms[place].size
              and len(np.unique(np.stack([levels(bound, other), own]), axis=1).T) == term.size]
    return (place, *others)
