"""Weights of very many groups: drawn from their exact conditional whenever they are asked for, and never stored.

Given the hyperparameters and all other weights the groups are independent of each other, so that the weights of some
groups, at some draws, are drawn without those of the others. The random numbers of a group follow from a seed that is
stored, and so its weights are the same whenever they are drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.kernels import gaussian
from bayes_personal.priors.parts.pieces import Term, weights
from bayes_personal.samplers.draws import flat

# Up to this many bytes of the groups' weights, and as many of their effects, both are stored.
STORED = 2**27
# Draws whose random numbers are made together.
TOGETHER = 1024
# The attribute of a tree that holds the seed.
SEED = "redrawn"


@final
@dataclass(frozen=True, eq=False)
class Redrawn:
    """An array (draw, group, varying) that is made where it is indexed by groups.

    Attributes
    ----------
    density : the model with its weights integrated out
    values : all draws of hyperparameters, of the mean and of the weights that are not eliminated
    seed : seed of the random numbers
    draws : positions of the draws in the array
    kind : whitened weights, or effects in data units
    added : the effects of new groups, which follow those of training, (draw, group, varying)
    """

    density: GaussianDensity
    values: Mapping[str, np.ndarray]
    seed: int
    draws: np.ndarray
    kind: Literal["z", "effect"]
    added: np.ndarray | None = None

    @property
    def term(self) -> Term:
        """The term that the weights belong to."""
        block = self.density.arrangement.eliminated
        assert block is not None and block.term is not None
        return block.term

    @property
    def shape(self) -> tuple[int, int, int]:
        """(draw, group, varying)."""
        arrangement = self.density.arrangement
        added = 0 if self.added is None else self.added.shape[1]
        return len(self.draws), arrangement.groups + added, arrangement.varying

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, key: Any) -> Any:
        """Take ``[..., groups, :]``, or ``[draws]``, which is an array of the same kind."""
        if isinstance(key, tuple):
            all_draws, groups, all_varying = key
            assert all_draws is Ellipsis and all_varying == slice(None)
            unique, inverse = np.unique(groups, return_inverse=True)
            return self.for_groups(unique)[:, inverse]
        return replace(self, draws=self.draws[key], added=None if self.added is None else self.added[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.for_groups(np.arange(self.shape[1])).astype(dtype or float)

    def extended(self, added: np.ndarray) -> Self:
        """Add the effects of new groups."""
        earlier_effects = [] if self.added is None else [self.added]
        return replace(self, added=np.concatenate([*earlier_effects, added], axis=1))

    def for_groups(self, groups: np.ndarray) -> np.ndarray:
        """Return the array for some groups, in ascending order, (draw, group, varying)."""
        trained = groups[groups < self.density.arrangement.groups]
        result = self.z(trained)
        if self.kind == "effect":
            hyper = {name: self.values[name][self.draws] for name in self.hyper}
            result = weights(self.term, hyper, result, np) @ self.term.coefficients.to_data_units(self.term.positions)
        if len(trained) == len(groups):
            return result
        assert self.added is not None
        return np.concatenate([result, self.added[:, groups[len(trained) :] - self.density.arrangement.groups]], axis=1)

    @property
    def hyper(self) -> list[str]:
        """Names of the hyperparameters."""
        return [parameter.name for parameter in self.density.parameters]

    @cached_property
    def conditioning(self) -> tuple[Scaling, np.ndarray, np.ndarray]:
        """T, s and the whitened weights that are not eliminated, at the draws."""
        chosen = {name: value[self.draws] for name, value in self.values.items()}
        count = len(self.draws)
        return *self.density.draws(chosen, count), self.density.arrangement.whitened_weights(chosen, count)

    def z(self, groups: np.ndarray) -> np.ndarray:
        """Return the whitened weights of groups of training."""
        (sd, roots, own_sd, own_root), s, other_weights = self.conditioning
        noise = np.empty((len(self.draws), self.shape[2], 1, len(groups)))
        for place, group in enumerate(groups):
            noise[:, :, 0, place] = self.noise(int(group))
        of_groups = np.ascontiguousarray(self.density.statistics.matrices[2][:, :, groups])
        gaussian.draw_eliminated(of_groups, sd, roots, self.density.places, own_sd, own_root, s, other_weights, noise)
        return noise[:, :, 0].mT

    def noise(self, group: int) -> np.ndarray:
        """Return the standard normal numbers of one group, (draw, varying), whichever groups are asked for with it."""
        result, blocks = np.empty((len(self.draws), self.shape[2])), self.draws // TOGETHER
        for block in np.unique(blocks):
            positions = np.flatnonzero(blocks == block)
            generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, int(block), group]))
            result[positions] = generator.standard_normal((TOGETHER, self.shape[2]))[self.draws[positions] % TOGETHER]
        return result


def remainder(density: MarginalDensity, values: Mapping[str, np.ndarray], count: int,
              rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Draw all that was integrated out, exactly, once a draw of the hyperparameters; of very many groups return the
    seed alone, as an attribute of the tree."""
    if not (isinstance(density, GaussianDensity) and redraws(density, count)):
        return density.draw_rest(values, count, rng), {}
    arrangement = density.arrangement
    noise = rng.standard_normal((count, arrangement.size)), np.empty((count, arrangement.varying, 1, 0))
    stored_draws = density.drawn(*density.draws(values, count), *noise)
    return stored_draws, {SEED: int(rng.integers(2**63))}


def redraws(density: GaussianDensity, count: int) -> bool:
    """Return whether so many draws of the groups' weights are too large to be stored."""
    arrangement, bound = density.arrangement, density.bound
    # After a frozen population the weights are not drawn from this density.
    size = 8 * count * arrangement.groups * arrangement.varying
    return bound.second_stage is None and bound.population is None and size > STORED


def left_to_seed(density: MarginalDensity | None, term: Term, count: int) -> bool:
    """Return whether so many draws of a term's weights are not stored."""
    if not isinstance(density, GaussianDensity) or density.arrangement.eliminated is None:
        return False
    return density.arrangement.eliminated.term is term and redraws(density, count)


def all_draws(bound: BoundModel, tree: xr.DataTree) -> dict[str, Any]:
    """Return the draws of every variable, one chain after the other, (chain * draw, ...), or a `Redrawn` for them."""
    values: dict[str, Any] = flat(tree)
    if SEED in tree["posterior"].attrs:
        density, seed = GaussianDensity(bound), int(tree["posterior"].attrs[SEED])
        count = len(next(iter(values.values())))
        whitened = Redrawn(density, dict(values), seed, np.arange(count), "z")
        values |= {f"{whitened.term.name}_z": whitened,
                   f"{whitened.term.name}_effect": replace(whitened, kind="effect")}
    return values


def extended(effect: Any, new_effects: np.ndarray) -> Any:
    """Add the effects of new groups to effects (draw, group, varying)."""
    if isinstance(effect, Redrawn):
        return effect.extended(new_effects)
    return np.concatenate([effect, new_effects], axis=1)
