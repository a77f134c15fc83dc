"""Simulation of a data set from the model, with the parameters that made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import table
from bayes_personal.model.model import Model
from bayes_personal.posterior.posterior import must_be_model
from bayes_personal.system.arguments import Seed, seed_number
from bayes_personal.system.running import verb


@final
@dataclass(frozen=True, eq=False)
class Simulation:
    """One data set drawn from the prior.

    Attributes
    ----------
    frame : the given rows, with the simulated outcome in place of any outcome in them; an outcome that is computed,
        such as ``log(y)``, becomes a column of that name, which `fit` reads in place of the expression
    outcome : (unit,), the index of the frame kept
    theta : every row's true parameters in data units, a column a coefficient, the index of the frame kept
    values : hyperparameters, mean, effects and divisions that made the data set, by name
    """

    frame: pd.DataFrame
    outcome: pd.Series
    theta: pd.DataFrame
    values: Mapping[str, np.ndarray]


@verb
def simulate(model: Model, frame: Any, seed: Seed = None) -> Simulation:
    """Draw hyperparameters, theta and the outcome of every row from the model, in that order.

    Parameters
    ----------
    model
        What is assumed. Hyperpriors that are relative count in natural units of the outcome that the frame holds;
        where it holds none, in units of 1 around 0 (on the scale of the link).
    frame
        Predictors and contexts; known errors, trials or exposure where the family has them.
    seed
        Seed of the draws.

    Returns
    -------
    Simulation
        Its `frame` can be fitted; its `theta` is the truth to compare with.

    Raises
    ------
    InputError, InputTypeError, SpecificationError
        As in `fit`.
    """
    must_be_model("simulate", model, frame)
    rows, name = table(frame), model.outcome
    observed = set(model.read.outcome_columns(rows.columns)) <= set(rows.columns)
    bound = model.bind(rows) if observed else model.unobserved(rows)
    rng = np.random.default_rng(seed_number("simulate", seed))
    values: dict[str, Any] = {}
    for parameter in bound.hyperparameters:
        values[parameter.name] = parameter.draw(rng, values)
    for term, features in zip(bound.terms, bound.features, strict=False):
        values[f"{term.name}_z"] = rng.standard_normal((features.matrix.shape[1], len(term.positions)))
    values |= bound.derived(values, np)
    theta, outcome, values = bound.simulated(values, rng)
    index, names = bound.frame.index, list(bound.coefficients.names)
    simulated = pd.Series(outcome, index=index, name=name)
    truth = pd.DataFrame(theta, index=index, columns=names)
    return Simulation(bound.frame.assign(**{name: simulated}), simulated, truth, values)
