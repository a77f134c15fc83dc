"""How much of a target's coefficients came from its sources."""

import numpy as np
import pandas as pd

from bayes_personal.bound import Bound
from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.families.base import curvature
from bayes_personal.inference.draws import flat
from bayes_personal.posterior import Posterior
from bayes_personal.priors.transfer import TargetTerm
from bayes_personal.rows import Batch
from bayes_personal.running import verb
from bayes_personal.summary import QUANTILES, statistics

# Draws that are enough for a summary, and rows whose curvature is found together.
DRAWS, ROWS = 1000, 512


@verb
def borrowed(posterior: Posterior) -> pd.DataFrame:
    """How much of each coefficient of the target the sources gave, under a `Transfer` prior.

    Given the scales of the prior, T, and what the target's own rows say, a precision S, the target's coefficients are
    on average ``(S + T^-2)^-1 (S own + T^-2 sources)``. What stands before the sources, on the diagonal, is the share
    that is borrowed: 1 where the target's rows say nothing or the sources agree with them, 0 where only these rows
    count. For families other than the Normal, S is that of the log likelihood's curvature.

    Returns
    -------
    DataFrame
        Mean, sd and 5, 50, 95 % quantiles of the share, a row a coefficient that may differ.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        A model without a `Transfer` prior.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"borrowed needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    bound = posterior.bound
    term = next((one for one in bound.terms if isinstance(one, TargetTerm)), None)
    if term is None:
        raise SpecificationError("borrowed says what a target takes from sources under a Transfer prior; the model "
                                 f"has {posterior.model.prior!r}.")
    draws = flat(posterior.tree)
    count = len(next(iter(draws.values())))
    values = {name: value[:: -(-count // DRAWS)] for name, value in draws.items()}
    scale = values[f"{term.name}_scale"] / term.unit
    precision = sum(_precision(bound, term, values, batch) for batch in bound.rows.batches(ROWS))
    # Diagonal of (S + T^-2)^-1 T^-2, for T near 0 too.
    share = np.linalg.inv(np.eye(len(term.positions)) + scale[:, :, None] ** 2 * precision)
    names = [bound.coefficients.names[k] for k in term.positions]
    shares = np.diagonal(share, axis1=1, axis2=2)
    return pd.DataFrame(statistics(shares), index=pd.Index(names, name="coefficient"),
                        columns=["mean", "sd", *QUANTILES])


def _precision(bound: Bound, term: TargetTerm, values: dict[str, np.ndarray], batch: Batch) -> np.ndarray:
    """What the target's rows among these say of its coefficients, in natural units, (draw, varying, varying)."""
    of = term.at(batch.frame).matrix[:, 0] > 0
    some = batch.take(np.flatnonzero(of))
    eta = np.einsum("snk,nk->sn", bound.theta(values, bound.features_at(some.frame), len(some)), some.x)
    own = {each.name: values[each.name][:, None] for each in bound.family.parameters(bound.unit)}
    curved = np.maximum(curvature(bound.family, some.y, eta, own, some.known, bound.unit), 0.0)
    x = bound.coefficients.predictors(some.x, term.positions) * term.unit
    return np.einsum("sn,nk,nl->skl", curved, x, x, optimize=True)
