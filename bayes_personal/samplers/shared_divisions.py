"""Draws of several outcomes that share one division of contexts, such as the nodes of a network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.draws import tree
from bayes_personal.samplers.footprint import must_hold
from bayes_personal.samplers.nuts import NUTS
from bayes_personal.samplers.start import hyperpriors_must_reach

# The attribute of a tree whose divisions are those of other outcomes too.
SHARED = "shared"
ENGINE = "NUTS over the hyperparameters of all nodes; divisions and all else drawn exactly given these"


def sampled_together(bounds: Mapping[str, BoundModel], method: Any, seed: int | None,
                     progress: bool) -> dict[str, xr.DataTree]:
    """Draw from the joint posterior of models that are bound to the same rows with the same division.

    Raises
    ------
    SpecificationError
        A method that does not sum divisions out for several outcomes.
    """
    chosen = NUTS() if method is None else method
    if not isinstance(chosen, NUTS) or not chosen.collapse or chosen.sampler != "nutpie":
        raise SpecificationError(f"{chosen!r}: divisions of contexts that nodes share are summed out of all nodes "
                                 "together, which NUTS() does.")
    for bound in bounds.values():
        hyperpriors_must_reach(bound)
        must_hold(bound, chosen.draws * chosen.chains)
    density = SharedDivisionDensity.of(tuple(bounds.values()))
    hyper, rest = np.random.SeedSequence(seed).spawn(2)
    points, statistics = chosen.walk(density, int(hyper.generate_state(1)[0]), progress)
    values = density.of_outcomes(points)
    drawn = density.draw_rest(values, len(points), np.random.default_rng(rest))
    return {name: tree(bound, own | of_rest, chosen.chains, statistics, inference_library="nutpie", collapsed=1,
                       engine=ENGINE, **{SHARED: 1})
            for (name, bound), own, of_rest in zip(bounds.items(), values, drawn, strict=True)}
