"""The generative `pm.Model` of a network with its data: the nodes' outcomes depend on each other as they are drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayes_personal.binding.bound import BoundModel
from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.errors import SpecificationError
from bayes_personal.model.network_model import Network
from bayes_personal.model.program import coordinates, likelihood, unknowns
from bayes_personal.model.shared_program import shared_program


def network_program(network: Network, bounds: Mapping[str, BoundModel]) -> pm.Model:
    """Return the PyMC model: of every node its variables, and its outcome given those of its parents.

    Names and dimensions of a node's variables begin with the node: ``mek::mu`` and ``mek::coefficient``; what nodes
    have in common, such as the gate of a mixture, has its own name, and ``y`` is then all nodes of a row. Forward
    sampling draws whole rows.
    """
    if network.pseudo:
        raise SpecificationError("parents='others' states a pseudo-likelihood, which is no generative model; "
                                 "posterior.nodes[...].pymc is that of each node.")
    if SharedFunctions.of(bounds) is not None:
        ordered = {node: bounds[node] for node in network.order}
        return shared_program(SharedFunctions(ordered), {node: network.parents_of(node) for node in ordered})
    units = next(iter(bounds.values())).units
    with pm.Model(coords={"unit": units}) as whole:
        drawn: dict[str, Any] = {}
        for node in network.order:
            bound = bounds[node]
            for name, labels in coordinates(bound).items():
                if name != "unit":
                    whole.add_coord(f"{node}::{name}", labels)
            dims = {name: tuple(f"{node}::{dim}" for dim in own) for name, own in bound.dims.items()}
            parents = [(bound.coefficients.names.index(parent), drawn[parent]) for parent in network.parents_of(node)]
            x: Any = pt.as_tensor(bound.x)
            for place, parent in parents:
                x = pt.set_subtensor(x[:, place], parent.astype(float))
            with pm.Model(name=node):
                drawn[node] = likelihood(bound, unknowns(bound, dims), x=x if parents else np.asarray(bound.x))
    return whole
