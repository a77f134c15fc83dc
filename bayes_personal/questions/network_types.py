"""The network of each type of row: that of the training row which is most surely of the type."""

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.network_posterior import NetworkPosterior
from bayes_personal.posterior.pooled_posterior import PooledNetworkPosterior
from bayes_personal.questions.membership import responsibilities
from bayes_personal.questions.network_readings import Reading, read, tabulated

# Expected number of rows from which a type is shown.
LEAST = 0.5


def edges_of_types(posterior: NetworkPosterior | PooledNetworkPosterior, kind: Reading,
                   above: float) -> tuple[pd.DataFrame, list[str]] | None:
    """Return the edges of every type, numbered from 0, as `edges` tabulates them, and the types in words; None where
    rows are not of types."""
    if isinstance(posterior, PooledNetworkPosterior):
        if any(node.bound.choice is not None for node in posterior.orders[0].nodes.values()):
            raise SpecificationError("The posterior pools orders of the nodes, each of which has types of rows of its "
                                     "own. Say at which rows, as in at=frame.iloc[:3], or take the posterior of one "
                                     "order, as in posterior.orders[0].")
        return None
    if all(node.bound.choice is None for node in posterior.nodes.values()):
        return None
    share = responsibilities(posterior)
    share = share.loc[:, share.sum() >= LEAST]
    places, inverse = np.unique(share.to_numpy().argmax(axis=0), return_inverse=True)
    readings, _ = read(posterior, None, kind, None, "edges")
    found = tabulated(readings, posterior.model, kind, places, pd.RangeIndex(len(places)), above)
    each = [found.loc[[place]].set_axis([panel] * int((found.index == place).sum()))
            for panel, place in enumerate(inverse)]
    return pd.concat(each), [f"{name}, {total:.0f} rows" for name, total in share.sum().items()]
