"""DistanceRegularized: contexts that are near to each other have similar coefficients."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.columns import spelled
from bayes_personal.data.context import Context
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.priors.parts import graph
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.markov_field import MarkovField, read
from bayes_personal.system.arguments import one_of, positive, whole_number

# Most distinct contexts of which all pairs can be neighbours, and most pairs of neighbours with local scales.
MOST_PLACES, MOST_LOCAL = 200, 2000

ANCHOR = Hyperprior("LogNormal", mu=-3.0, sigma=2.5)


@final
@dataclass(frozen=True, init=False, repr=False)
class DistanceRegularized(InContext):
    """Contexts that are near to each other have similar coefficients.

    Generative story: theta is a Gaussian Markov field over the T distinct contexts, proper and anchored at mu,

    ``theta_k ~ MvNormal(mu_k, scale_k^2 / v Q^-1)``,
    ``theta' Q theta = anchor sum_i theta_i^2 + sum_ij w_ij (theta_i - theta_j)^2``,
    ``w_ij = d / (n (D_ij + 0.01 d))``,

    over pairs ij of neighbours, D their distance, d its mean, n how many neighbours a context has on average: weights
    are about 1 / n, and 1 / D but for a floor. Rows with the same context share their coefficients. v is the variance
    over the rows of a field with precision Q about its mean over the rows, so that ``scale_k`` is the standard
    deviation of theta_k over the training rows whatever else Q holds. The smaller `anchor`, the farther theta is
    pulled along by its neighbours; above 1 every context stands for itself. Where the intercept varies, it is that at
    the predictors' means.

    D is Euclidean, ``D_ij^2 = sum_m metric_m (c_im - c_jm)^2`` of standardised readings c, one a numeric context and
    one a level of a categorical one. A learned metric, ``metric ~ Dirichlet(concentration)``, switches an irrelevant
    reading off. Which contexts are neighbours is decided before, with equal weights.

    ``power=2`` penalises squared differences. ``power=1`` penalises ``|theta_i - theta_j|``, the norm over
    coefficients in units of their scales, as a scale mixture: w_ij is divided by ``local_ij ~ Gamma((p + 1) / 2,
    (p + 1) / 2)``, p coefficients that vary, the law under which a single difference has a (multivariate) Laplace
    distribution; v is that for ``local = 1``. The field is normalised given the local scales, and where neighbours
    form loops the differences are not independent: the joint density is near, not equal, to the exponential of minus
    the sum of norms.

    A new context is joined to its nearest training contexts in the same way, without the floor: theta there follows
    the field's own conditional, and a new context that equals an old one has that one's theta.

    Right when a distance says who is alike, in contexts that are scattered or of several dimensions. Fails where an
    irrelevant context makes up most of the distance by which neighbours are found, which no learned metric undoes, and
    at jumps, which ``power=2`` rounds off. Where every row has a context of its own, the data hardly tell the error
    from a rough field. Intervals away from the training contexts rest on the anchor.

    For a Normal family the field is integrated out exactly, by a sparse Cholesky factor an evaluation, whatever the
    number of rows; `Laplace`, the default for ``power=2``, and `NUTS` then move over the hyperparameters alone. By
    `Laplace` a hundred contexts take ten seconds, and 5000 in two dimensions a minute of processor time,
    shared among the processors. For other families with a compiled likelihood and ``power=2`` pseudo-data stand for the
    rows, the same sparse factor integrates the field out under these, and hyperparameters and field are weighted by the
    rows' own likelihoods: 400 contexts of counts or of yes and no take about ten seconds. Where these weights cannot be
    trusted, as with StudentT errors where every row has a context of its own, with ``power=1``, and beside other
    summands, NUTS moves over the field's values, with a dense factor: up to 1000 contexts, some hundred with patience.

    Parameters
    ----------
    *contexts
        Columns of numbers, booleans, dates, text or categories.
    power
        2 or 1.
    neighbors
        Number of nearest contexts that each context is joined to; None for all pairs, of up to 200 distinct contexts.
    metric
        "learned"; or a symmetric positive definite matrix M of all readings with ``D^2 = (c_i - c_j)' M (c_i - c_j)``
        of readings in the data's own units (days, for dates), which then also finds the neighbours.
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of ``scale_k``, in units of outcome / predictor.
    anchor
        Hyperprior of the anchor, which has no unit.
    concentration
        Concentration of the Dirichlet distribution of a learned metric; below 1 it expects readings that do not matter.

    Raises
    ------
    SpecificationError
        No context, another power, a metric that is no such matrix, an unknown coefficient, a hyperprior that can be
        negative.
    InputError, InputTypeError
        A context that is missing, infinite, or the same in all rows; all pairs of more than 200 distinct contexts;
        with ``power=1`` more than 2000 pairs of neighbours.

    References
    ----------
    Hallac, Leskovec and Boyd (2015), doi:10.1145/2783258.2783313, the penalty. Rue and Held (2005),
    doi:10.1201/9780203492024, Markov fields. Sørbye and Rue (2014), doi:10.1016/j.spasta.2013.06.004, on scaling them.
    Faulkner and Minin (2018), doi:10.1214/17-BA1050, and Kyung, Gill, Ghosh and Casella (2010), doi:10.1214/10-BA607,
    on scale mixtures.
    """

    kind: ClassVar = "near"
    contexts: tuple[str, ...]
    power: Literal[1, 2]
    neighbors: int | None
    metric: Literal["learned"] | tuple[tuple[float, ...], ...]
    on: tuple[str, ...] | None
    scale: Hyperprior
    anchor: Hyperprior
    concentration: float

    def __init__(self, *contexts: str, power: Literal[1, 2] = 2, neighbors: int | None = 6,
                 metric: Any = "learned", on: tuple[str, ...] | list[str] | str | None = None,
                 scale: Hyperprior = NATURAL_SCALE, anchor: Hyperprior = ANCHOR, concentration: float = 1.0) -> None:
        self.hold(contexts=contexts, power=power, neighbors=neighbors, metric=metric, on=as_names(on), scale=scale,
                  anchor=anchor, concentration=concentration)
        owner = self.owner
        must_be_positive(owner, scale=scale, anchor=anchor)
        positive(owner, concentration=concentration)
        self.hold(concentration=float(concentration))
        one_of(owner, (1, 2), power=power)
        if neighbors is not None:
            whole_number(owner, 1, neighbors=neighbors)
        if not isinstance(metric, str) or metric != "learned":
            self.hold(metric=as_metric(metric, owner))

    @property
    def linear(self) -> bool:
        return False

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[MarkovField, ...]:
        owner = self.owner
        contexts = context.learn(frame, self.contexts, owner)
        readings = read(contexts, frame)
        points, first, inverse = np.unique(readings, axis=0, return_index=True, return_inverse=True)
        if self.neighbors is None and len(points) > MOST_PLACES:
            raise InputError(f"{owner}: neighbors=None joins all pairs of {len(points):,} distinct contexts, and can "
                             f"of {MOST_PLACES}. Say how many neighbors each has, such as 6, or round the contexts.")
        turned = turn(self.metric, contexts, owner)
        edges = graph.edges(points @ turned, self.neighbors)
        if self.power == 1 and len(edges) > MOST_LOCAL:
            raise InputError(f"{owner}: with power=1 each of {len(edges):,} pairs of neighbours has a local scale, and "
                             f"{MOST_LOCAL:,} can. Take fewer neighbors, round the contexts, or take power=2.")
        labels = spelled(" ".join(map(str, row)) for row in frame[list(self.contexts)].iloc[first].to_numpy(object))
        share = np.bincount(inverse.ravel()) / len(frame)
        return (MarkovField(self, contexts, points, turned, edges, share, labels, coefficients.select(self.on, owner),
                            coefficients),)

    @property
    def deviation(self) -> str:
        return restricted(f"field({', '.join(self.contexts)})", self.on)

    def story(self) -> tuple[str, ...]:
        name, contexts = self.name, ", ".join(self.contexts)
        local = "" if self.power == 2 else f" / {name}_local[ij]"
        lines = (f"field({contexts})[k] ~ MvNormal(0, {name}_scale[k]^2 / v Q^-1), f'Q f = {name}_anchor sum_i f_i^2 + "
                 f"sum_ij w_ij (f_i - f_j)^2{local} over neighbours ij; the intercept at the predictors' means",
                 "w_ij = d / (n (D_ij + 0.01 d)), d the mean of D_ij, n the mean number of neighbours; v the variance "
                 f"over the rows of a field of precision Q{'' if self.power == 2 else ' with all local scales 1'}",
                 f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}", f"{name}_anchor ~ {self.anchor.words()}")
        if self.power == 1:
            lines += (f"{name}_local[ij] ~ Gamma((p + 1) / 2, (p + 1) / 2), p coefficients vary",)
        if self.metric == "learned":
            return (*lines, f"D_ij^2 = sum_m {name}_metric[m] (c_im - c_jm)^2, c standardised",
                    f"{name}_metric ~ Dirichlet({self.concentration:g}, ..., {self.concentration:g})")
        return (*lines, "D_ij^2 = (c_i - c_j)' M (c_i - c_j), M given")


def as_metric(metric: Any, owner: str) -> tuple[tuple[float, ...], ...]:
    """Return a symmetric positive definite matrix as tuples of its rows."""
    requirement = "must be 'learned' or a symmetric positive definite matrix, such as [[1, 0], [0, 0.5]]"
    try:
        matrix = np.array(metric, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"{owner}: metric={metric!r} {requirement}.") from error
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and len(matrix) > 0
    if not square or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0):
        raise SpecificationError(f"{owner}: metric={metric!r} {requirement}.")
    if not np.linalg.eigvalsh(matrix).min() > 0:
        raise SpecificationError(f"{owner}: metric={metric!r} {requirement}; it has the eigenvalue "
                                 f"{np.linalg.eigvalsh(matrix).min():.3g}.")
    return tuple(tuple(map(float, row)) for row in matrix)


def turn(metric: Any, contexts: tuple[Context, ...], owner: str) -> np.ndarray:
    """Return the matrix that turns standardised readings into Euclidean coordinates, (reading, coordinate)."""
    spread = np.concatenate([column.spread for column in contexts])
    if metric == "learned":
        return np.eye(len(spread))
    if len(metric) != len(spread):
        names = ", ".join(label for column in contexts for label in column.labels)
        raise SpecificationError(f"{owner}: the metric has {len(metric)} rows; the contexts have {len(spread)} "
                                 f"readings, {names}. Give a row and a column for each.")
    return spread[:, None] * np.linalg.cholesky(np.array(metric))
