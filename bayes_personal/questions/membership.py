"""The type of each row under a mixture, with types matched between draws."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.lazy import SIZE
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.posterior import Posterior, must_be_fitted, must_not_share
from bayes_personal.posterior.theta import shares
from bayes_personal.posterior.whole_rows import WholeRows
from bayes_personal.system.running import verb

# Function that yields the positions of some rows, and the probability of each type for them, (draw, unit, type).
Told = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]


@verb
def responsibilities(posterior: Posterior | NetworkPosterior) -> pd.DataFrame:
    """Tell how probable it is that each training row is of each type, given its outcome.

    Types have no names, and their numbers differ between draws. The types of every draw are matched to those of one
    draw by the rows that they share; types are then numbered by how many rows they have. In a network each row has one
    type for all nodes, which all of them tell.

    Returns
    -------
    DataFrame
        A row a training row, their index kept; a column a type, of which "type 1" is the largest; rows have sum 1.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A model without types; a node of a network by itself.

    References
    ----------
    Stephens (2000), doi:10.1111/1467-9868.00265.
    """
    if isinstance(posterior, NetworkPosterior):
        # A single node that has types tells of them by itself.
        alone = [node for node in posterior.nodes.values() if node.bound.choice is not None and not node.in_common]
        if posterior.whole is not None and posterior.whole.chosen:
            types = posterior.whole.functions.branches
            return tabulated(of_whole_rows(posterior.whole, len(posterior.index)), types, posterior.index)
        return responsibilities(alone[0] if alone else next(iter(posterior.nodes.values())))
    must_be_fitted("responsibilities", posterior)
    bound = posterior.bound
    if bound.choice is None:
        raise SpecificationError("responsibilities says which type each row is of, under a prior such as Mixture; the "
                                 f"model has {posterior.model.prior!r}.")
    must_not_share("responsibilities", posterior)
    return tabulated(of_outcome(posterior), bound.choice.branches, bound.rows.index)


def of_outcome(posterior: Posterior) -> Told:
    """Return what a model with one outcome tells of the training rows."""
    theta, bound = posterior.computed, posterior.bound
    count, types = int(np.prod(theta.sizes)), 1 if bound.choice is None else bound.choice.branches
    values = theta.at(np.arange(count))
    pieces = [(places[rows], part[rows]) for places, part in theta.rows.parts(np.arange(len(theta.rows)))
              for rows in theta.pieces(len(part), count * types)]
    return lambda: ((places, shares(bound, values, part)) for places, part in pieces)


def of_whole_rows(whole: WholeRows, rows: int) -> Told:
    """Return what all nodes of a network tell of the training rows."""
    count = whole.count
    size = max(1, SIZE // (count * whole.functions.branches))
    pieces = [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]
    return lambda: ((places, whole.shares(np.arange(count), places)) for places in pieces)


def tabulated(told: Told, types: int, index: pd.Index) -> pd.DataFrame:
    """Match the types of all draws, and tabulate the probabilities of each, averaged over draws."""
    # The rows that each type of each draw shares with each type of the middle draw.
    common = sum(np.einsum("snk,nl->skl", probabilities, probabilities[len(probabilities) // 2])
                 for _, probabilities in told())
    match = np.array([linear_sum_assignment(-overlap)[1] for overlap in np.asarray(common)])
    result = np.empty((len(index), types))
    for places, probabilities in told():
        matched = np.empty(probabilities.shape)
        np.put_along_axis(matched, np.broadcast_to(match[:, None, :], matched.shape), probabilities, -1)
        result[places] = matched.mean(axis=0)
    order = np.argsort(-result.sum(axis=0), kind="stable")
    return pd.DataFrame(result[:, order], index=index, columns=[f"type {k + 1}" for k in range(types)])
