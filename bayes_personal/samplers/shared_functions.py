"""Draws of several outcomes that have functions of context in common, such as the nodes of a network of types."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.densities.marginal import ACCEPT
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.basins import Basins
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.footprint import must_hold
from bayes_personal.samplers.nuts import ENGINE, NUTS, TUNE_ALL
from bayes_personal.samplers.shared_divisions import SHARED
from bayes_personal.samplers.start import hyperpriors_must_reach, outcome_must_have_density, started
from bayes_personal.system.running import interruptible

if TYPE_CHECKING:
    import pymc as pm


def sampled_with_functions(functions: SharedFunctions, parents: Mapping[str, Sequence[str]], method: Any,
                           seed: int | None, progress: bool) -> dict[str, xr.DataTree]:
    """Draw from the joint posterior of outcomes; `parents` are outcomes among the predictors of each.

    Raises
    ------
    SpecificationError
        A method that does not draw several outcomes together.
    """
    chosen = NUTS() if method is None else method
    if not isinstance(chosen, NUTS) or chosen.sampler != "nutpie":
        raise SpecificationError(f"{chosen!r}: nodes that have one type a row, or one network of contexts, in common "
                                 "are drawn together, which NUTS() does.")
    for bound in functions.bounds.values():
        hyperpriors_must_reach(bound)
        outcome_must_have_density(bound)
        must_hold(bound, chosen.draws * chosen.chains)
    from bayes_personal.model.shared_program import shared_program

    inside = {name: [parent for parent in parents[name] if parent in functions.bounds] for name in functions.bounds}
    draws, statistics = _walked(shared_program(functions, inside), functions.branches > 1, chosen, seed, progress)
    common = {parameter.name: draws[parameter.name] for parameter in functions.parameters}
    result = {}
    for name, bound in functions.bounds.items():
        values = functions.part(name, common)
        values |= {variable: draws[f"{name}::{variable}"] for variable in bound.dims if f"{name}::{variable}" in draws}
        for field in bound.gaussian_functions:
            values |= field.colored(values, values[f"{field.name}_z"], np)
        result[name] = tree(bound, values, chosen.chains, statistics, inference_library="nutpie",
                            engine=f"{ENGINE} of all nodes", **{SHARED: 1})
    return result


def _walked(model: "pm.Model", several_modes: bool, method: NUTS, seed: int | None,
            progress: bool) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Draw the free variables of a program, (draw, ...), and return the sampler's statistics too."""
    import nutpie

    search, walk = np.random.SeedSequence(seed).spawn(2)
    free = [variable.name for variable in model.free_RVs]
    compiled: Any = nutpie.compile_pymc_model(model, var_names=free)
    if several_modes:
        def density(point: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = compiled.logp_func(point)[:2]
            return float(value), np.asarray(slope)

        basins = Basins.search(density, compiled.n_dim, np.random.default_rng(search))
        if basins.modes:
            compiled = replace(compiled, initial_point_func=basins.start)
    with started(repr(method)), interruptible():
        sampled = nutpie.sample(compiled, draws=method.draws, tune=method.tune or TUNE_ALL, chains=method.chains,
                                save_warmup=False, seed=int(walk.generate_state(1)[0]), progress_bar=progress,
                                target_accept=method.target_accept or ACCEPT)
    posterior = sampled["posterior"].to_dataset()
    draws = {name: posterior[name].transpose("chain", "draw", ...).to_numpy() for name in free}
    return ({name: value.reshape(-1, *value.shape[2:]) for name, value in draws.items()},
            sampled["sample_stats"].to_dataset())
