"""Simulation of a data set from the model, with the parameters that made it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np
import pandas as pd

from bayes_personal.binding.shared_functions import SharedFunctions
from bayes_personal.data.columns import table
from bayes_personal.errors import InputWarning, SpecificationError
from bayes_personal.model.model import Model
from bayes_personal.model.network_model import Network
from bayes_personal.posterior.fitting import must_be_model
from bayes_personal.system.arguments import Seed, seed_number
from bayes_personal.system.running import verb


@final
@dataclass(frozen=True, eq=False)
class Simulation:
    """One data set drawn from the prior.

    Attributes
    ----------
    frame : the given rows, with the simulated outcome in place of any outcome in them, none of it censored; an outcome
        that is computed, such as ``log(y)``, becomes a column of that name, which `fit` reads in place of the
        expression
    outcome : (unit,), the index of the frame kept
    theta : every row's true parameters in data units, a column a coefficient, the index of the frame kept
    values : hyperparameters, mean, effects and divisions that made the data set, by name
    """

    frame: pd.DataFrame
    outcome: pd.Series
    theta: pd.DataFrame
    values: Mapping[str, np.ndarray]


@final
@dataclass(frozen=True, eq=False)
class NetworkSimulation:
    """One data set of a network drawn from the prior.

    Attributes
    ----------
    frame : the given rows, with the simulated nodes in place of any columns of these names
    outcome : the simulated nodes, a column each, the index of the frame kept
    theta : every row's true parameters in data units, a column a coefficient, such as "mek ~ raf"
    nodes : the simulation of every node, on the frame with the nodes drawn before it
    """

    frame: pd.DataFrame
    outcome: pd.DataFrame
    theta: pd.DataFrame
    nodes: Mapping[str, Simulation]


@overload
def simulate(model: Model, frame: Any, seed: Seed = ...) -> Simulation: ...
@overload
def simulate(model: Network, frame: Any, seed: Seed = ...) -> NetworkSimulation: ...
@verb
def simulate(model: Model | Network, frame: Any, seed: Seed = None) -> Simulation | NetworkSimulation:
    """Draw hyperparameters, theta and the outcome of every row from the model, in that order.

    Parameters
    ----------
    model
        What is assumed. Hyperpriors that are relative count in natural units of the outcome that the frame holds;
        where it holds none, in units of 1 around 0 (on the scale of the link). The nodes of a network are drawn one
        after the other, parents first.
    frame
        Predictors and contexts; known errors, trials or exposure where the family has them.
    seed
        Seed of the draws.

    Returns
    -------
    Simulation, NetworkSimulation
        Its `frame` can be fitted; its `theta` is the truth to compare with.

    Raises
    ------
    InputError, InputTypeError, SpecificationError
        As in `fit`; a network with ``parents="others"``, whose pseudo-likelihood cannot be drawn from.
    """
    must_be_model("simulate", model, frame)
    rng = np.random.default_rng(seed_number("simulate", seed))
    return simulated(model, table(frame), rng) if isinstance(model, Model) else node_by_node(model, table(frame), rng)


def node_by_node(network: Network, rows: pd.DataFrame, rng: np.random.Generator) -> NetworkSimulation:
    """Draw the nodes, parents first."""
    if network.pooled:
        raise SpecificationError(f"simulate: {network.owner} pools {network.orders} orders of its nodes, and data come "
                                 "from one of them. Take one, as in network.ordered(0).")
    if network.pseudo:
        raise SpecificationError("simulate: parents='others' states a pseudo-likelihood, which no data are drawn from. "
                                 "Take parents='before'.")
    drawn: dict[str, Simulation] = {}
    functions, common, labels = shared(network, rows), {}, None
    if functions is not None:
        common = functions.drawn_in_common(rng)
        labels = functions.drawn_branches({node: functions.part(node, common) for node in functions.bounds}, rng)
    for node in network.order:
        given = {} if functions is None or node not in functions.bounds else functions.part(node, common)
        drawn[node] = simulated(network.node(node), rows, rng, given, labels if given else None)
        rows = drawn[node].frame
    theta = {f"{node} ~ {name}": values for node in network.nodes for name, values in drawn[node].theta.items()}
    return NetworkSimulation(rows, rows[list(network.nodes)], pd.DataFrame(theta),
                             {node: drawn[node] for node in network.nodes})


def shared(network: Network, rows: pd.DataFrame) -> SharedFunctions | None:
    """Return the functions of context that nodes have in common; None where there are none.

    Their units are not those of the nodes, which are drawn later: any numbers stand for these.
    """
    if network.prior.linear:
        return None
    numbers = np.random.default_rng(0).standard_normal((len(rows), len(network.nodes)))
    filled = rows.assign(**dict(zip(network.nodes, numbers.T, strict=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return SharedFunctions.of({node: network.node(node).unobserved(filled) for node in network.order})


def simulated(model: Model, rows: pd.DataFrame, rng: np.random.Generator,
              given: Mapping[str, np.ndarray] | None = None, labels: np.ndarray | None = None) -> Simulation:
    """Draw hyperparameters, theta and the outcome of every row; but for hyperparameters and branches that are given."""
    name = model.outcome
    observed = set(model.read.outcome_columns(rows.columns)) <= set(rows.columns)
    bound = model.bind(rows) if observed else model.unobserved(rows)
    values: dict[str, Any] = dict(given or {})
    for parameter in bound.hyperparameters:
        if parameter.name not in values:
            values[parameter.name] = parameter.draw(rng, values)
    for term, features in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = rng.standard_normal((features.matrix.shape[1], len(term.positions)))
    values |= bound.derived(values, np)
    theta, outcome, values = bound.simulated(values, rng, labels)
    index, names = bound.frame.index, list(bound.coefficients.names)
    drawn = pd.Series(bound.family.labelled(outcome), index=index, name=name)
    truth = pd.DataFrame(theta, index=index, columns=names)
    return Simulation(bound.frame.assign(**{name: drawn}, **model.family.uncensored(drawn)), drawn, truth, values)
