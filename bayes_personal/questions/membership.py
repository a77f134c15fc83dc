"""The type of each row under a mixture, with types matched between draws."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.posterior import Posterior, must_be_fitted
from bayes_personal.posterior.theta import shares
from bayes_personal.system.running import verb


@verb
def responsibilities(posterior: Posterior) -> pd.DataFrame:
    """Tell how probable it is that each training row is of each type, given its outcome.

    Types have no names, and their numbers differ between draws. The types of every draw are matched to those of one
    draw by the rows that they share; types are then numbered by how many rows they have.

    Returns
    -------
    DataFrame
        A row a training row, their index kept; a column a type, of which "type 1" is the largest; rows have sum 1.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A model without types.

    References
    ----------
    Stephens (2000), doi:10.1111/1467-9868.00265.
    """
    must_be_fitted("responsibilities", posterior)
    bound = posterior.bound
    if bound.choice is None:
        raise SpecificationError("responsibilities says which type each row is of, under a prior such as Mixture; the "
                                 f"model has {posterior.model.prior!r}.")
    theta = posterior.computed
    count, types = int(np.prod(theta.sizes)), bound.choice.branches
    draws, all_rows = np.arange(count), np.arange(len(theta.rows))
    values = theta.at(draws)
    pieces = [(places[rows], part[rows]) for places, part in theta.rows.parts(all_rows)
              for rows in theta.pieces(len(part), count * types)]
    # The rows that each type of each draw shares with each type of the middle draw.
    common = np.zeros((count, types, types))
    for _, part in pieces:
        probabilities = shares(bound, values, part)
        common += np.einsum("snk,nl->skl", probabilities, probabilities[count // 2])
    match = np.array([linear_sum_assignment(-overlap)[1] for overlap in common])
    result = np.empty((len(all_rows), types))
    for places, part in pieces:
        matched = np.empty((count, len(part), types))
        np.put_along_axis(matched, np.broadcast_to(match[:, None, :], matched.shape), shares(bound, values, part), -1)
        result[places] = matched.mean(axis=0)
    order = np.argsort(-result.sum(axis=0), kind="stable")
    return pd.DataFrame(result[:, order], index=bound.rows.index, columns=[f"type {k + 1}" for k in range(types)])
