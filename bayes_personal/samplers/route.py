"""How a model is fitted: the sampler, its stages, and what is inferred from the draws afterwards."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.linearised.linearised_density import corrects
from bayes_personal.samplers.footprint import must_hold
from bayes_personal.samplers.gibbs import Gibbs, moves
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.stages import Stages
from bayes_personal.samplers.unseen_environments import completed


@final
@dataclass(frozen=True, eq=False)
class Route:
    """One way from a model to draws.

    Attributes
    ----------
    bound : the model with its data
    method : the sampler
    """

    bound: BoundModel
    method: Any

    def sample(self, seed: int | None, progress: bool) -> xr.DataTree:
        """Draw from the posterior."""
        if self.bound.second_stage is not None:
            return Stages.of(self.bound, self.method).sample(seed, progress)
        draws = self.method.sample(self.bound, seed, progress)
        if self.bound.elsewhere is not None:
            draws = completed(self.bound, self.bound.elsewhere, draws, seed, progress)
        return draws


def last_stage(bound: BoundModel) -> BoundModel:
    """Return the model of the last stage: where a population is frozen, that with a known population."""
    return bound if bound.second_stage is None else replace(bound, population=np.zeros(len(bound.everywhere)))


def default(bound: BoundModel) -> Any:
    """Return the sampler of a model whose user names none: NUTS; Gibbs where there are compiled moves; or Laplace where
    it needs far fewer evaluations of a density that takes milliseconds or has curved ridges, or where pseudo-data stand
    for the rows and hyperparameters are few."""
    density = marginal_density(bound)
    if moves(bound):
        return Gibbs()
    by_importance = density.slow if density is not None else expands(bound) or corrects(last_stage(bound))
    return Laplace() if by_importance else NUTS()


def route(bound: BoundModel, method: Any = None) -> Route:
    """Choose the way a model takes.

    Raises
    ------
    InputError
        More draws than this machine has memory for.
    """
    chosen = method or default(bound)
    must_hold(bound, chosen.draws * getattr(chosen, "chains", 1))
    return Route(bound, chosen)
