"""A population that is estimated first and frozen, and then all else given the population, in two stages.

Stage one samples ``p(mu | y_1)``: the population alone, on the rows that it is estimated from. Stage two is the whole
model given mu, on all rows. "plug-in" samples it at the mean of stage one's draws, a "cut" at each of them, mu_s:
hyperparameters phi by importance, all draws of mu from one set of proposals, and then the weights.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import LARGEST, Arrangement, collapses
from bayes_personal.errors import ConvergenceWarning, SpecificationError, warn
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN
from bayes_personal.samplers.corrected_second_stage import CorrectedSecondStage
from bayes_personal.samplers.draws import flat, tree
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.normal_second_stage import NormalSecondStage
from bayes_personal.samplers.nuts import NUTS

# What draws stage two of a cut, of a Normal family and of others.
EXACT = "importance sampling of stage two at every draw of the population"
WEIGHTED = ("importance sampling of stage two under Normal pseudo-data at every draw of the population, corrected "
            "there by the rows' own likelihoods")


@final
@dataclass(frozen=True, eq=False)
class Stages:
    """How a model with a frozen population is sampled.

    Attributes
    ----------
    bound : the model
    method : the sampler of each stage; of a cut, of the first stage
    """

    bound: BoundModel
    method: NUTS | Laplace

    @classmethod
    def of(cls, bound: BoundModel, method: Any) -> "Stages":
        """Check the method before anything is sampled."""
        prior: Any = bound.second_stage and bound.second_stage.prior
        if not isinstance(method, NUTS | Laplace):
            raise SpecificationError(f"{prior!r}: the two stages are sampled by NUTS() or Laplace(); got {method!r}, "
                                     "whose errors the second would inherit. With freeze=None any method will do.")
        joint = replace(bound, mean_prior=NATURAL_MEAN)
        if prior.freeze == "cut" and not collapses(joint) and (bound.family.gaussian
                                                               or Arrangement(joint).size > LARGEST):
            raise SpecificationError(f"{prior!r}: a cut draws all weights together, at most {LARGEST} of them beside "
                                     "those of one set of groups. Take freeze='plug-in' or fewer targets.")
        return cls(bound, method)

    @cached_property
    def first_stage(self) -> BoundModel:
        """The model of stage one: the population, on the rows that it is estimated from."""
        bound, term = self.bound, self.bound.second_stage
        assert term is not None
        return replace(bound.with_rows(np.flatnonzero(term.first_stage(bound.frame))), terms=())

    def sample(self, seed: int | None, progress: bool) -> xr.DataTree:
        """Sample both stages: the draws of the second, and in a group "population" those of the first."""
        first_seed, second_seed = np.random.SeedSequence(seed).spawn(2)
        mean, term = self.bound.mean, self.bound.second_stage
        assert mean is not None and term is not None
        first = self.method.sample(self.first_stage, int(first_seed.generate_state(1)[0]), progress)
        population = flat(first)[mean.name]
        if term.freezes_population == "plug-in":
            result = self.plug_in(population.mean(axis=0), int(second_seed.generate_state(1)[0]), progress)
        else:
            result = self.cut(population, first["posterior"].sizes["chain"], np.random.default_rng(second_seed))
        result["population"] = first
        return result

    def plug_in(self, population: np.ndarray, seed: int, progress: bool) -> xr.DataTree:
        """Sample stage two at one value of the population."""
        bound = self.bound
        assert bound.mean is not None
        second = self.method.sample(replace(bound, population=population), seed, progress)
        draws, sizes = flat(second), second["posterior"].sizes
        names = [*(parameter.name for parameter in bound.parameters), *(f"{term.name}_z" for term in bound.terms)]
        values = {name: draws[name] for name in names}
        values[bound.mean.name] = np.tile(population, (sizes["chain"] * sizes["draw"], 1))
        attributes = {str(name): value for name, value in second["posterior"].attrs.items()}
        complete = tree(bound, values, sizes["chain"], **attributes)
        second["posterior"] = complete["posterior"]
        return second

    def cut(self, population: np.ndarray, chains: int, rng: np.random.Generator) -> xr.DataTree:
        """Sample stage two at every draw of the population."""
        bound, term = self.bound, self.bound.second_stage
        assert bound.mean is not None and term is not None
        try:
            stage = (NormalSecondStage.of(bound, population) if bound.family.gaussian else
                     CorrectedSecondStage.of(bound, population, rng))
            values, summary, problem = stage.drawn(rng)
        except FloatingPointError as error:
            raise SpecificationError(f"{term.prior!r}: nothing could be drawn at the population that stage one found: "
                                     f"{error}. Take freeze='plug-in', or hyperpriors that say more.") from error
        if problem:
            warn(f"{term.prior.owner}: in stage two of the cut {problem}. Take freeze='plug-in', or hyperpriors that "
                 "say more.", ConvergenceWarning)
        result = tree(bound, {bound.mean.name: population, **values}, chains, inference_library="bayes_personal",
                      collapsed=1, engine=EXACT if bound.family.gaussian else WEIGHTED)
        result["importance"] = xr.DataTree(xr.Dataset(attrs=summary))
        return result
