"""Where coefficients change along an ordered context, and how surely."""

import numpy as np
import pandas as pd

from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.partition import Segments
from bayes_personal.system.running import verb


@verb
def changes(posterior: Posterior) -> pd.DataFrame:
    """How probable a change is before each context.

    The share of draws whose parameters there are others than at the context before; of N effective draws its standard
    error is ``sqrt(p (1 - p) / N)``. The number of changes has a variable of its own in `posterior.tree`, called
    ``changes_<order>_number``.

    Returns
    -------
    DataFrame
        A row a distinct context but the first, in order: what the context is, ``context``; the one before,
        ``after``; and ``probability``, that the change lies between them. Its index is that of the first row of each
        context in the frame.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        A model without change points.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"changes needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    piece = posterior.bound.division
    if not isinstance(piece, Segments):
        raise SpecificationError("changes says where coefficients change along an order, under the prior Partition; "
                                 f"the model has {posterior.model.prior!r}.")
    start = posterior.tree["posterior"][f"{piece.name}_start"].to_numpy()
    share = piece.changed(start.reshape(-1, start.shape[-1])).mean(axis=0)
    return pd.DataFrame({"after": piece.values.to_numpy()[:-1], "context": piece.values.to_numpy()[1:],
                         "probability": np.asarray(share)[1:]}, index=piece.values.index[1:])
