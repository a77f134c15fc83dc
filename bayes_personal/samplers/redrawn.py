"""Weights of very many groups: drawn from their exact conditional whenever they are asked for, and never stored.

Given the hyperparameters and all other weights the groups are independent of each other, so that those of some groups,
at some draws, are drawn without the others. The random numbers of a group follow from a seed that is kept, and so its
weights are the same whenever they are drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity, Scaling
from bayes_personal.densities.marginal import MarginalDensity
from bayes_personal.kernels import gaussian
from bayes_personal.priors.parts.pieces import Term, weights
from bayes_personal.samplers.draws import flat

# Bytes of the groups' weights, and as many of their effects, up to which they are stored.
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
    seed : of the random numbers
    draws : which draws the array is of
    kind : whitened weights, or effects in data units
    behind : the effects of more groups, behind those of training, (draw, group, varying)
    """

    density: GaussianDensity
    values: Mapping[str, np.ndarray]
    seed: int
    draws: np.ndarray
    kind: Literal["z", "effect"]
    behind: np.ndarray | None = None

    @property
    def term(self) -> Term:
        """Whose weights they are."""
        block = self.density.arrangement.eliminated
        assert block is not None and block.term is not None
        return block.term

    @property
    def shape(self) -> tuple[int, int, int]:
        """Its shape."""
        here = self.density.arrangement
        return len(self.draws), here.groups + (0 if self.behind is None else self.behind.shape[1]), here.varying

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, key: Any) -> Any:
        """``[..., groups, :]``, or ``[draws]``, which is an array of the same kind."""
        if isinstance(key, tuple):
            all_draws, groups, all_varying = key
            assert all_draws is Ellipsis and all_varying == slice(None)
            unique, which = np.unique(groups, return_inverse=True)
            return self.of(unique)[:, which]
        return replace(self, draws=self.draws[key], behind=None if self.behind is None else self.behind[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.of(np.arange(self.shape[1])).astype(dtype or float)

    def extended(self, behind: np.ndarray) -> Self:
        """With the effects of more groups."""
        known = [] if self.behind is None else [self.behind]
        return replace(self, behind=np.concatenate([*known, behind], axis=1))

    def of(self, groups: np.ndarray) -> np.ndarray:
        """Those of some groups, which ascend, (draw, group, varying)."""
        trained = groups[groups < self.density.arrangement.groups]
        found = self.z(trained)
        if self.kind == "effect":
            hyper = {name: self.values[name][self.draws] for name in self.hyper}
            found = weights(self.term, hyper, found, np) @ self.term.coefficients.to_data_units(self.term.positions)
        if len(trained) == len(groups):
            return found
        assert self.behind is not None
        return np.concatenate([found, self.behind[:, groups[len(trained) :] - self.density.arrangement.groups]], axis=1)

    @property
    def hyper(self) -> list[str]:
        """Names of the hyperparameters."""
        return [each.name for each in self.density.parameters]

    @cached_property
    def given(self) -> tuple[Scaling, np.ndarray, np.ndarray]:
        """T, s and the whitened weights that are not eliminated, at the draws."""
        chosen = {name: value[self.draws] for name, value in self.values.items()}
        return *self.density.draws(chosen, len(self.draws)), self.density.shared_weights(chosen, len(self.draws))

    def z(self, groups: np.ndarray) -> np.ndarray:
        """The whitened weights of groups of training."""
        (sd, roots, own_sd, own_root), s, others = self.given
        noise = np.empty((len(self.draws), self.shape[2], 1, len(groups)))
        for place, group in enumerate(groups):
            noise[:, :, 0, place] = self.noise(int(group))
        of_groups = np.ascontiguousarray(self.density.statistics.matrices[2][:, :, groups])
        gaussian.draw_eliminated(of_groups, sd, roots, self.density.places, own_sd, own_root, s, others, noise)
        return noise[:, :, 0].mT

    def noise(self, group: int) -> np.ndarray:
        """The standard normal numbers of one group, (draw, varying): they are its own, whichever else are asked for."""
        result, blocks = np.empty((len(self.draws), self.shape[2])), self.draws // TOGETHER
        for block in np.unique(blocks):
            asked = np.flatnonzero(blocks == block)
            generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, int(block), group]))
            result[asked] = generator.standard_normal((TOGETHER, self.shape[2]))[self.draws[asked] % TOGETHER]
        return result


def remainder(density: MarginalDensity, values: Mapping[str, np.ndarray], count: int,
              rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Exact draws of what was integrated out, one a draw of the hyperparameters; of very many groups, the seed alone,
    as an attribute of the tree."""
    if not (isinstance(density, GaussianDensity) and redraws(density, count)):
        return density.draw_rest(values, count, rng), {}
    here = density.arrangement
    noise = rng.standard_normal((count, here.size)), np.empty((count, here.varying, 1, 0))
    found = density.drawn(*density.draws(values, count), *noise)
    return found, {SEED: int(rng.integers(2**63))}


def redraws(density: GaussianDensity, count: int) -> bool:
    """Whether so many draws of the groups' weights are too large to be stored."""
    here, bound = density.arrangement, density.bound
    # What follows a frozen population is not drawn from this density.
    return bound.second_stage is None and bound.population is None and 8 * count * here.groups * here.varying > STORED


def left_to_seed(density: MarginalDensity | None, term: Term, count: int) -> bool:
    """Whether so many draws of a term's weights are not stored."""
    if not isinstance(density, GaussianDensity) or density.arrangement.eliminated is None:
        return False
    return density.arrangement.eliminated.term is term and redraws(density, count)


def everything(bound: BoundModel, tree: xr.DataTree) -> dict[str, Any]:
    """Draws of every variable, chains one after the other, (chain * draw, ...), those not stored as a `Redrawn`."""
    values: dict[str, Any] = flat(tree)
    if SEED in tree["posterior"].attrs:
        density, seed = GaussianDensity(bound), int(tree["posterior"].attrs[SEED])
        count = len(next(iter(values.values())))
        whitened = Redrawn(density, dict(values), seed, np.arange(count), "z")
        values |= {f"{whitened.term.name}_z": whitened,
                   f"{whitened.term.name}_effect": replace(whitened, kind="effect")}
    return values


def extended(effect: Any, behind: np.ndarray) -> Any:
    """Effects (draw, group, varying) with those of more groups."""
    return effect.extended(behind) if isinstance(effect, Redrawn) else np.concatenate([effect, behind], axis=1)
