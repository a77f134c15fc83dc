"""Leave-one-out cross-validation with theta_i integrated out."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal, final

import arviz as az
import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from bayes_personal.errors import ConvergenceWarning, NotFittedError, SpecificationError, first
from bayes_personal.families.base import log_density
from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.draws import flat
from bayes_personal.inference.line import LineIntegral
from bayes_personal.inference.statistics import collapses
from bayes_personal.posterior import Posterior

Kind = Literal["unit", "conditional"]
QUESTIONS = {"unit": "How well is a new row predicted, its own theta_i integrated out?",
             "conditional": "CONDITIONAL on each row's own theta_i, which has seen the row: optimistic where theta_i "
                            "leans on it."}

FEWEST = 25
# Log densities that differ by less are the same.
EQUAL = 1e-10


@final
@dataclass(kw_only=True)
class ELPD(ELPDDataLOO):
    """ArviZ's result, with the question that it answers.

    Attributes
    ----------
    question : in words
    conditioning : "unit" or "conditional"
    """

    question: str
    conditioning: str

    def __str__(self) -> str:
        return f"{self.question}\n{ELPDDataLOO.__str__(self)}"

    def __repr__(self) -> str:
        return str(self)


def loo(posterior: Posterior, *, kind: Kind = "unit", progress: bool = True) -> ELPD:
    """Expected log predictive density of a row left out, by Pareto-smoothed importance sampling.

    ``log p(y_i | theta_i)`` is the wrong thing to reweight where theta_i leans on y_i itself: its importance weights
    have no variance, and the estimate is optimistic. ``kind="unit"`` integrates theta_i out given the other rows
    first, so that only what many rows share is reweighted:

    - a Normal family with Normal hyperprior of the mean: ``p(y_i | y_-i, phi)`` exactly, all weights integrated out;
    - otherwise, by quadrature: along the direction in which the weights of the row's own group move with eta_i (of all
      weights, where no context has groups), given everything else. Its cost grows with the sum of squared group sizes,
      or with the square of the number of rows; draws are thinned evenly to 250 or more to keep it bounded.

    The pointwise log densities are kept in ``posterior.tree["log_likelihood"]``, where ArviZ's functions find them.

    Parameters
    ----------
    posterior
        A fitted model.
    kind
        "unit", or "conditional" for ``p(y_i | theta_i)``, which the result then says.
    progress
        Whether to show a progress bar where there is quadrature to do.

    Returns
    -------
    arviz ELPDData
        With pointwise values and Pareto k, and the `question` that it answers.

    Raises
    ------
    NotFittedError
        Something that is not a posterior.
    SpecificationError
        An unknown kind, or fewer than 25 draws.

    Warns
    -----
    ConvergenceWarning
        Rows whose Pareto k is too high.

    References
    ----------
    Vehtari, Gelman and Gabry (2017), doi:10.1007/s11222-016-9696-4. Bürkner, Gabry and Vehtari (2021),
    doi:10.1007/s00180-020-01045-4. Merkle, Furr and Rabe-Hesketh (2019), doi:10.1007/s11336-019-09679-0.
    """
    if not isinstance(posterior, Posterior):
        raise NotFittedError(f"loo needs the posterior that bp.fit returns; got {type(posterior).__name__}.")
    if kind not in QUESTIONS:
        raise SpecificationError(f"loo(kind={kind!r}): must be 'unit' or 'conditional'.")
    tree = posterior.tree
    count = tree["posterior"].sizes["chain"] * tree["posterior"].sizes["draw"]
    if count < FEWEST:
        raise SpecificationError(f"loo: the posterior has {count} draws in all; smoothing the tail of their weights "
                                 f"needs {FEWEST}, and thousands to be precise. Fit with more draws.")
    if "log_likelihood" not in tree or tree["log_likelihood"].attrs.get("conditioning") != kind:
        tree["log_likelihood"] = xr.DataTree(pointwise(posterior, kind, progress))
    values = tree["log_likelihood"].to_dataset()
    kept = tree["posterior"].to_dataset().isel(draw=values["draw"].to_numpy())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        found: Any = az.loo(xr.DataTree.from_dict({"posterior": kept, "log_likelihood": values}), pointwise=True)
    # ArviZ fits no tail, and says NaN, where a single draw has all the weight: nothing is worse than that.
    found.pareto_k = found.pareto_k.fillna(np.inf)
    high = (found.pareto_k > found.good_k).to_numpy()
    if high.any():
        warnings.warn(f"loo: Pareto k is above {found.good_k:.2f} in {high.sum()} of {len(high)} rows "
                      f"({first(posterior.bound.rows.index[high])}): these rows move the posterior so much that their "
                      "elpd may be too good. A family with heavier tails, such as StudentT, may suit them better.",
                      ConvergenceWarning, stacklevel=2)
    return ELPD(**vars(found), question=QUESTIONS[kind], conditioning=kind)


def pointwise(posterior: Posterior, kind: Kind, progress: bool) -> xr.Dataset:
    """log p(y_i | ...) draw by draw, as ArviZ's group of log likelihoods."""
    bound, values = posterior.bound, flat(posterior.tree)
    sizes = posterior.tree["posterior"].sizes
    draws = np.arange(sizes["draw"])
    if kind == "unit" and collapses(bound):
        density, count = Collapsed(bound), sizes["chain"] * sizes["draw"]
        result = np.concatenate([density.leave_one_out(values, count, batch) for batch in bound.rows.batches()], axis=1)
    elif kind == "unit":
        integral = LineIntegral(bound)
        draws = draws[:: integral.stride(sizes["chain"], sizes["draw"])]
        chosen = (np.arange(sizes["chain"])[:, None] * sizes["draw"] + draws).ravel()
        result = integral.leave_one_out({name: value[chosen] for name, value in values.items()}, progress)
    else:
        own = {each.name: values[each.name][:, None] for each in bound.family.parameters(bound.unit)}
        result = log_density(bound.family, bound.y, bound.eta(values, np), own, bound.known)
    # Where nothing that varies from draw to draw bears on a row there is nothing to smooth, which ArviZ refuses.
    same = np.ptp(result, axis=0) <= EQUAL * (1 + np.abs(result).max(axis=0))
    result[:, same] = result[:, same].mean(axis=0) + EQUAL * np.linspace(-1, 1, len(result))[:, None]
    coords = {"chain": np.arange(sizes["chain"]), "draw": draws, "unit": np.arange(len(bound.rows))}
    array = xr.DataArray(result.reshape(sizes["chain"], len(draws), -1), dims=("chain", "draw", "unit"), coords=coords)
    return xr.Dataset({"y": array}, attrs={"conditioning": kind})
