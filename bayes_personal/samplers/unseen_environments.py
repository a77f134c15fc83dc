"""What is inferred of environments that nobody has seen, after a posterior of those that training saw was sampled."""

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.priors.parts.pieces import Elsewhere
from bayes_personal.samplers.invariant_sets import InvariantSets
from bayes_personal.samplers.normal_sets import NormalSets
from bayes_personal.samplers.sampled_sets import SampledSets


def sets_of(bound: BoundModel, term: Elsewhere, progress: bool = False) -> InvariantSets:
    """Return the sets of predictors of a model, whose evidence is exact for a Normal family."""
    return (NormalSets if bound.family.gaussian else SampledSets).of(bound, term, progress)


def completed(bound: BoundModel, term: Elsewhere, draws: xr.DataTree, seed: int | None,
              progress: bool) -> xr.DataTree:
    """Add draws for unseen environments to those of a posterior, and the probability of each set in a group
    "invariance"."""
    sets = sets_of(bound, term, progress)
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    sizes = draws["posterior"].sizes
    chains, count = sizes["chain"], sizes["draw"]
    evidences = sets.joint_evidences(range(term.size), rng)
    theta, own = sets.draw(evidences, chains * count, rng)
    theta = theta @ bound.coefficients.to_data_units(bound.everywhere)
    names, start = list(bound.coefficients.names), 0
    added: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        term.theta_elsewhere: (("chain", "draw", "coefficient"), theta.reshape(chains, count, -1))}
    for parameter in sets.own:
        value = parameter.value(own[:, start : start + parameter.size])
        start += parameter.size
        dims = ("chain", "draw", *parameter.coords)
        added[term.name_elsewhere(parameter.name)] = dims, value.reshape(chains, count, *parameter.shape)
    posterior = draws["posterior"].to_dataset().assign(added).assign_coords(coefficient=names)
    result = draws.copy()
    result["posterior"] = xr.DataTree(posterior)
    result["invariance"] = xr.DataTree(xr.Dataset(
        {"included": (("set", "coefficient"), sets.sets.astype(float)), "log_prior": ("set", sets.log_prior),
         "log_evidence": ("set", np.array([evidence.value for evidence in evidences])),
         "log_evidence_apart": ("set", sets.separate_evidences.sum(axis=1)),
         "probability": ("set", np.exp(sets.log_posterior(evidences)))},
        coords={"set": np.arange(len(sets.sets)), "coefficient": names}))
    return result
