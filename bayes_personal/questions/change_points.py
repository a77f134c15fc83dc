"""Where coefficients change along an ordered context, and how surely."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_personal.binding.own_weights import stride
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.posterior import Posterior, must_be_fitted, must_not_share
from bayes_personal.samplers.draws import flat
from bayes_personal.system.running import verb

# The cost of the probabilities of changes, for every pair of contexts, in densities of rows.
PAIR = 8


@verb
def changes(posterior: Posterior | NetworkPosterior) -> pd.DataFrame:
    """Tell how probable a change is before each context.

    A change means that the parameters differ from those at the previous context. Given the hyperparameters its
    probability is summed over all partitions, without Monte Carlo error, and then averaged over the draws of the
    hyperparameters alone. Under a family out of which segments do not integrate, it is the share of the draws with a
    change. In a network all nodes change together. The cost of a draw is the square of the number of
    contexts: beyond some 250 contexts draws are thinned evenly, to 250 or more. The number of changes is a variable in
    `posterior.tree`, called ``changes_<order>_number``.

    Returns
    -------
    DataFrame
        A row a distinct context but the first, in order: the context, ``context``; the previous one, ``after``; and
        the ``probability`` that a change lies between them. Its index is that of the first row of each context in the
        frame.

    Raises
    ------
    NotFittedError
        An argument that is not a posterior.
    SpecificationError
        A model without change points.
    """
    if isinstance(posterior, NetworkPosterior):
        nodes = list(posterior.divided.values())
        ordered = nodes[0].bound.division.ordered if nodes and nodes[0].bound.division is not None else None
        if ordered is not None and posterior.shared is not None:
            return told(ordered, shared_probabilities(nodes, posterior.shared))
        raise SpecificationError("changes says where coefficients change along an order, under the prior Partition; "
                                 f"the network has {posterior.model.prior!r}.")
    must_not_share("changes", posterior)
    must_be_fitted("changes", posterior)
    piece = posterior.bound.division
    ordered = None if piece is None else piece.ordered
    if ordered is None:
        raise SpecificationError("changes says where coefficients change along an order, under the prior Partition; "
                                 f"the model has {posterior.model.prior!r}.")
    return told(ordered, probabilities(posterior))


def told(ordered: pd.Series, probability: np.ndarray) -> pd.DataFrame:
    """Tabulate the probability of a change before each context."""
    return pd.DataFrame({"after": ordered.to_numpy()[:-1], "context": ordered.to_numpy()[1:],
                         "probability": probability[1:]}, index=ordered.index[1:])


def shared_probabilities(nodes: Sequence[Posterior], density: SharedDivisionDensity) -> np.ndarray:
    """Return the probability of a change of all nodes before each context, 0 before the first, (context,)."""
    sizes = nodes[0].tree["posterior"].sizes
    step = stride(PAIR * len(nodes) * density.divisions.cells**2, sizes["chain"], sizes["draw"])
    chosen = np.arange(sizes["chain"] * sizes["draw"]).reshape(sizes["chain"], -1)[:, ::step].ravel()
    values = [{parameter.name: flat(node.tree)[parameter.name][chosen] for parameter in outcome.parameters}
              for node, outcome in zip(nodes, density.outcomes, strict=True)]
    return density.change_probability(values, len(chosen))


def probabilities(posterior: Posterior) -> np.ndarray:
    """Return the probability of a change before each context, 0 before the first, (context,)."""
    density, values = marginal_density(posterior.bound), flat(posterior.tree)
    piece = posterior.bound.division
    if density is None and piece is not None:
        drawn = piece.drawn(values)
        result = np.bincount(np.concatenate(drawn), minlength=piece.sums.cells) / len(drawn)
        result[0] = 0.0
        return result
    assert isinstance(density, DivisionDensity)
    sums, sizes = density.divisions, posterior.tree["posterior"].sizes
    step = stride(PAIR * sums.cells**2, sizes["chain"], sizes["draw"])
    chosen = np.arange(sizes["chain"] * sizes["draw"]).reshape(sizes["chain"], -1)[:, ::step].ravel()
    values = {parameter.name: values[parameter.name][chosen] for parameter in density.parameters}
    # Draws that importance sampling repeats are summed over once.
    points, counts = np.unique(density.arguments(values, len(chosen)), axis=0, return_counts=True)
    by_point = density.mapped(lambda point: sums.change_probability(density.segments(point), float(point[-1])), points)
    return np.average(by_point, axis=0, weights=counts)
