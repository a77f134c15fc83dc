"""A walk whose rows have likelihoods of their own, as compiled moves take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self, final

import numpy as np

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.chains import chained
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.densities.walk.walk_density import WalkDensity, walk_alone
from bayes_personal.errors import SpecificationError
from bayes_personal.kernels.tape import outputs
from bayes_personal.kernels.walk_corrections import Rows, correction, given_scales
from bayes_personal.kernels.walk_moves import EXCHANGES, HYPER, SLICES, State, Walk, ellipse, propose, set_eta_of
from bayes_personal.samplers.linearising import at_mode, averaged, own_at
from bayes_personal.samplers.scales_of_steps import Scales
from bayes_personal.samplers.walking import WIDTH, Swept, plain

# Short chains over which pseudo-data are averaged, and the sweeps of each, in the first half of which it arrives.
AVERAGES, SWEEPS = 3, 300
# Power of the correction at which chains start.
LEAST_POWER = 0.02


def walks_under_pseudo_data(bound: BoundModel) -> bool:
    """Say whether pseudo-data can stand for the rows of a walk: the family has a compiled likelihood."""
    return chained(bound) and walk_alone(bound)


@final
@dataclass(frozen=True, eq=False)
class CorrectedWalk(Swept):
    """The model as scales of steps, standard normals that draw the walk under pseudo-data, and the family's own
    hyperparameters.

    Attributes
    ----------
    density : density under pseudo-data, which stay as they are
    """

    density: LinearisedDensity
    engine: ClassVar = "Gibbs sampling of the scales of steps and of the walk, proposed under Normal pseudo-data"

    @classmethod
    def of(cls, bound: BoundModel, rng: np.random.Generator) -> Self:
        """Make pseudo-data from the rows' likelihoods on average over a few short chains, one after the other.

        Raises
        ------
        SpecificationError
            Likelihoods of which no pseudo-data can be made.
        """
        try:
            return cls._averaged(bound, rng)
        except FloatingPointError as error:
            raise SpecificationError(f"Gibbs: no Normal pseudo-data stand for these rows: {error}. Mind the units of "
                                     "the outcome, or use NUTS(collapse=False).") from error

    @classmethod
    def _averaged(cls, bound: BoundModel, rng: np.random.Generator) -> Self:
        rows, zero = bound.once(RowLikelihoods), np.zeros(sum(parameter.size for parameter in bound.parameters))
        model = cls(at_mode(bound, zero, rows.row_estimates(own_at(bound, zero)))[0])
        powers, state = cls.rising(SWEEPS), model.start(rng)
        for _ in range(AVERAGES):
            points = tuple(part[SWEEPS // 2 :] for part in model.walk(state, powers, True, 1, rng))
            own = own_at(bound, points[3].mean(axis=0))
            model = cls(averaged(model.density, model.values(points), len(points[3]), own))
            state.u[:] = rng.standard_normal(state.u.shape)
        return model

    @staticmethod
    def rising(sweeps: int) -> np.ndarray:
        """Return powers of the correction that rise to 1 in the first half of the sweeps of a chain."""
        arriving = sweeps // 2
        return np.append(np.geomspace(LEAST_POWER, 1.0, arriving), np.ones(sweeps - arriving))

    @cached_property
    def walk_density(self) -> WalkDensity:
        """The model of the pseudo-data."""
        assert isinstance(self.density.chain, WalkDensity)
        return self.density.chain

    @cached_property
    def scales(self) -> Scales:
        """The scales of the steps."""
        return Scales(self.walk_density)

    @cached_property
    def rows(self) -> Rows:
        """The rows and the pseudo-data."""
        rows, pseudo = self.density.rows, self.density.pseudo
        (y, n), (outcomes, counts) = rows.outcomes, rows.distinct
        return Rows(rows.code, plain(y), plain(n), plain(outcomes), plain(counts), plain(pseudo.response[0]),
                    plain(pseudo.precision[0, 0]), self.density.tape.arrays)

    @cached_property
    def steps(self) -> Walk:
        """The walk under pseudo-data, and how linear predictors follow from it."""
        walk = self.walk_density
        (batch,) = walk.bound.rows.batches()
        x = walk.predictors(batch) * batch.constants[:, None]
        offset = walk.bound.coefficients.predictors(batch.x, walk.bound.everywhere) @ walk.arrangement.centre
        return Walk(self.scales.steps, self.scales.reversed, np.array(walk.at(batch), np.int64), plain(x.T),
                    plain(offset))

    @cached_property
    def passes(self) -> list[int]:
        """The passes of a sweep over the scales."""
        return [HYPER, SLICES, *([EXCHANGES] if self.scales.horseshoe else [])]

    def start(self, rng: np.random.Generator) -> State:
        point, log_local = self.scales.parted(self.scales.start(rng))
        u = rng.standard_normal((len(self.walk_density.share), len(self.walk_density.bound.everywhere)))
        size = self.density.family_size
        return State(point, log_local, u, np.zeros(size), np.full(len(point), WIDTH), np.full(size, WIDTH))

    def walk(self, state: State, powers: np.ndarray, adapt: bool, thin: int,
             rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        rows, steps = self.rows, self.steps
        arrays = tuple(np.empty((len(powers) // thin, *part.shape)) for part in state[:4])
        eta = np.empty((1, len(rows.y)))
        new, centre, there, other = eta.copy(), eta.copy(), eta.copy(), state.u.copy()
        set_eta_of(steps, state, eta)
        for step, power in enumerate(powers):
            own = outputs(state.phi, *rows.tape)[1:]
            now = correction(rows, own, eta, power)
            for kind in rng.permutation(self.passes):
                point, log_local = state.point.copy(), state.log_local.copy()
                propose(steps, state, kind, adapt, rng, new)
                value = correction(rows, own, new, power)
                if -rng.standard_exponential() < value - now:
                    now, eta, new = value, new, eta
                else:
                    state.point[:], state.log_local[:] = point, log_local
            ellipse(steps, state, rng, other, there, centre)
            given_scales(rows, state, eta, other, there, centre, power, adapt, rng)
            if (step + 1) % thin == 0:
                for array, part in zip(arrays, state, strict=False):
                    array[step // thin] = part
        return arrays

    def values(self, points: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        point, log_local, u, phi = points
        values = self.density.values(np.hstack([self.scales.joined(point, log_local), phi]))
        return values | self.walk_density.drawn(values, len(u), u)
