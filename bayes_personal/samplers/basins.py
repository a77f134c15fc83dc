"""Where the chains of a density with several modes start: near modes, in proportion to the mass that these have.

Types of rows can be told apart in several ways, and chains rarely cross from one to another. Chains that start anywhere
stay in whichever mode is nearest, however little mass it has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from bayes_personal.samplers.mode import Density, Mode, climbed

# Climbs in search of modes, and from how many natural units around their middle they start. Modes whose heights differ
# by less than this are one, with types in another order.
CLIMBS, SPREAD, EQUAL = 32, 0.5, 1e-2


@final
@dataclass(frozen=True, eq=False)
class Basins:
    """The modes of a density that climbs from random points find.

    Attributes
    ----------
    modes : modes of different heights
    shares : the mass of each under a normal approximation, relative to that of all
    """

    modes: tuple[Mode, ...]
    shares: np.ndarray

    @classmethod
    def search(cls, density: Density, size: int, rng: np.random.Generator) -> Self:
        """Climb from random points; `density` returns a value and its gradient at a point (size,)."""
        tops = [climbed(density, SPREAD * rng.standard_normal(size)) for _ in range(CLIMBS)]
        heights = np.array([density(top)[0] for top in tops])
        order = [place for place in np.argsort(-heights) if np.isfinite(heights[place])]
        kept = [place for k, place in enumerate(order) if k == 0 or heights[order[k - 1]] - heights[place] > EQUAL]
        modes = tuple(Mode.at(density, tops[place]) for place in kept)
        masses = np.array([heights[place] + np.linalg.slogdet(mode.root)[1]
                           for place, mode in zip(kept, modes, strict=True)])
        shares = np.exp(masses - masses.max(initial=-np.inf))
        return cls(modes, shares / shares.sum())

    @property
    def start(self) -> Callable[[int], np.ndarray]:
        """Function from a seed to a point near a mode that is drawn in proportion to its mass, (size,)."""
        def near(seed: int) -> np.ndarray:
            rng = np.random.default_rng(seed)
            mode = self.modes[rng.choice(len(self.modes), p=self.shares)]
            return mode.point + mode.root @ rng.standard_normal(len(mode.point))

        return near
