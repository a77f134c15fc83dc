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
from bayes_personal.samplers.draws import settled, tree
from bayes_personal.samplers.footprint import must_hold
from bayes_personal.samplers.nuts import ENGINE, NUTS, TUNE_ALL
from bayes_personal.samplers.shared_divisions import SHARED
from bayes_personal.samplers.start import hyperpriors_must_reach, outcome_must_have_density, started
from bayes_personal.system.running import interruptible

if TYPE_CHECKING:
    import pymc as pm

# How much longer chains are that are drawn once more.
LONGER = 3


def sampled_with_functions(functions: SharedFunctions, parents: Mapping[str, Sequence[str]], method: Any,
                           seed: int | None, progress: bool) -> dict[str, xr.DataTree]:
    """Draw from the joint posterior of outcomes; `parents` are outcomes among the predictors of each.

    Where chains of the default method do not agree, or their draws are worth little, the joint posterior is drawn once
    more: chains are three times as long, and every third draw is kept.

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
    program, trees = shared_program(functions, inside), dict[str, xr.DataTree]()
    for thin in (1, LONGER):
        trees = _trees(functions, chosen, _walked(program, functions.branches > 1, chosen, thin, seed, progress))
        if method is not None or all(settled(each["posterior"].to_dataset(), functions.bounds[name].undiagnosed(False))
                                     for name, each in trees.items()):
            break
    return trees


def _trees(functions: SharedFunctions, method: NUTS, sampled: tuple[Mapping[str, np.ndarray], xr.Dataset]
           ) -> dict[str, xr.DataTree]:
    """Arrange draws of all outcomes outcome by outcome."""
    draws, statistics = sampled
    common = {parameter.name: draws[parameter.name] for parameter in functions.parameters}
    result = {}
    for name, bound in functions.bounds.items():
        values = functions.part(name, common)
        values |= {variable: draws[f"{name}::{variable}"] for variable in bound.dims if f"{name}::{variable}" in draws}
        for field in bound.gaussian_functions:
            values |= field.colored(values, values[f"{field.name}_z"], np)
        result[name] = tree(bound, values, method.chains, statistics, inference_library="nutpie",
                            engine=f"{ENGINE} of all nodes", **{SHARED: 1})
    return result


def _walked(model: "pm.Model", several_modes: bool, method: NUTS, thin: int, seed: int | None,
            progress: bool) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Draw the free variables of a program, (draw, ...), keep every `thin`-th, and return the sampler's statistics."""
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
        sampled = nutpie.sample(compiled, draws=method.draws * thin, tune=method.tune or TUNE_ALL, chains=method.chains,
                                save_warmup=False, seed=int(walk.generate_state(1)[0]), progress_bar=progress,
                                target_accept=method.target_accept or ACCEPT)
    posterior, statistics = (sampled[name].to_dataset() for name in ("posterior", "sample_stats"))
    draws = {name: posterior[name].transpose("chain", "draw", ...).to_numpy()[:, thin - 1 :: thin] for name in free}
    kept = statistics.isel(draw=slice(thin - 1, None, thin)).assign_coords(draw=np.arange(method.draws))
    # A divergence on the way to a draw that is kept counts as one of that draw.
    on_the_way = statistics["diverging"].to_numpy().reshape(method.chains, method.draws, thin).any(axis=2)
    return ({name: value.reshape(-1, *value.shape[2:]) for name, value in draws.items()},
            kept.assign(diverging=(("chain", "draw"), on_the_way)))
