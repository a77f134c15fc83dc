"""Predictors whose coefficients are equal in all environments."""

import numpy as np
import pandas as pd

from bayes_personal.errors import InputWarning, SpecificationError, warn
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.posterior.summary import QUANTILES, statistics
from bayes_personal.system.running import verb


@verb
def invariance(posterior: Posterior, *, sets: bool = False) -> pd.DataFrame:
    """Tell how probable it is that predictors mean the same in all environments, under an `Invariant` prior.

    Parameters
    ----------
    posterior
        A fitted model.
    sets
        Whether to list sets of predictors, rather than predictors.

    Returns
    -------
    DataFrame
        A row a predictor: ``probability`` of being in the invariant set S, and mean, sd and 5, 50, 95 % quantiles of
        its coefficient in an environment that nobody has seen, 0 where it is not in S. With `sets`, a row a set, most
        probable first: ``probability`` and its value before the data, ``prior``; ``log_bayes_factor``, of one theta_S
        for all environments against one for each; and whether each predictor is in the set.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A model without an `Invariant` prior.

    Warns
    -----
    InputWarning
        A single environment, whose data cannot say what is equal in others.
    """
    must_be_fitted("invariance", posterior)
    term = posterior.bound.elsewhere
    if term is None:
        raise SpecificationError("invariance says which predictors mean the same in all environments of an Invariant "
                                 f"prior; the model has {posterior.model.prior!r}.")
    if term.size == 1:
        warn(f"invariance: all rows are of one {term.label!r}: every probability is "
             "that of the prior.", InputWarning)
    results, names = posterior.tree["invariance"], [term.coefficients.names[k] for k in term.candidates]
    included = results["included"].sel(coefficient=names).to_numpy().astype(bool)
    probability = results["probability"].to_numpy()
    if sets:
        table = pd.DataFrame(included, columns=names)
        factor = results["log_evidence"].to_numpy() - results["log_evidence_apart"].to_numpy()
        for place, (name, values) in enumerate({"probability": probability, "prior": np.exp(results["log_prior"]),
                                                "log_bayes_factor": factor}.items()):
            table.insert(place, name, values)
        return table.sort_values("probability", ascending=False, kind="stable", ignore_index=True)
    draws = posterior.tree["posterior"][term.theta_elsewhere].sel(coefficient=names).to_numpy()
    table = pd.DataFrame(statistics(np.concatenate(draws)), columns=["mean", "sd", *QUANTILES],
                         index=pd.Index(names, name="coefficient"))
    table.insert(0, "probability", probability @ included)
    return table
