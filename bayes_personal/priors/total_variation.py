"""TotalVariation: coefficients walk along an ordered context, in steps most of which are small."""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import spelled
from bayes_personal.data.context import Context
from bayes_personal.data.rows import pieces
from bayes_personal.errors import InputWarning, SpecificationError, warn
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.priors.parts.walk import LOCAL, Walk, reached
from bayes_personal.system.arguments import context_column, one_of


@final
@dataclass(frozen=True, repr=False)
class TotalVariation(Prior):
    """Coefficients walk along an ordered context, in steps most of which are small.

    Generative story: ``theta_k(c_1), theta_k(c_2), ...``, at the T distinct contexts in order, is a random walk, mu_k
    its mean over the training rows. Between neighbours

    ``theta_k(c_t) - theta_k(c_(t-1)) ~ Laplace(0, b_k)``, ``b_k = scale_k / sqrt(2 v)``, or
    ``theta_k(c_t) - theta_k(c_(t-1)) ~ Normal(0, scale_k local_tk / sqrt((T - 1)^2 + local_tk^2))``,
    ``local_tk ~ HalfCauchy(1)``, a regularised horseshoe.

    v is the variance of a walk of unit steps, averaged over the rows: with Laplace increments ``scale_k`` is the
    standard deviation of theta_k over the training rows. With the horseshoe it is that of the largest jumps, of which
    a coefficient has few: a ``local`` beyond T - 1 is expected 0.6 times, whatever T. Laplace increments are sampled
    as ``Normal(0, sqrt(2 local_tk) b_k)``, ``local_tk ~ Exponential(1)``. Every coefficient has a local scale of its
    own at every step, so that coefficients may jump at different contexts. Only the order of the contexts matters, not
    how far apart they are. Where the intercept varies, it is that at the predictors' means.

    At a context between two training contexts theta is that of the nearest one below; below the first it is the first
    one's, and above the last the last one's: no increment is added there, and intervals do not widen.

    With Laplace increments this is the total-variation penalty as a proper prior: given b, sigma and a flat mean the
    joint mode of theta is the fused lasso, which subtracts ``sum_tk |theta_tk - theta_(t-1)k| / b_k``.

    It is a smoother, not a finder of change points. Right when coefficients change by jumps at unknown contexts. Fails
    where the change points themselves are asked for: the mode is piecewise constant, the posterior mean never is, and
    no increment is zero with positive probability. Laplace increments round off jumps, the more so the denser the
    contexts, in the limit of which the walk is a Brownian motion; the horseshoe keeps them. For smooth drift
    `GaussianProcess` needs fewer numbers.

    Where the walk is the only summand and the hyperprior of the mean is Normal, `Gibbs` is the default. For a Normal
    family the walk integrates out place by place, and the T - 1 local scales a coefficient are drawn one by one. A fit
    takes time in proportion to T: for 400 contexts about 5 seconds with one coefficient and 10 with two, for 5000 a
    minute with one; and twice that under the horseshoe, where exchanges of neighbouring local scales move a jump that
    could be at either of two contexts. For any other family of this package with one linear predictor a row, scales and
    walk are proposed under Normal pseudo-data and judged by the rows' own likelihoods; 400 contexts, with two
    coefficients, take about half a minute. Elsewhere NUTS moves over the local scales: beside other summands with a
    Cholesky factor of all weights, up to 1000 of them, for a Normal family, and over the increments too for others,
    which needs a higher `target_accept` and takes minutes for a hundred contexts.

    Parameters
    ----------
    order
        Column of numbers, booleans or dates.
    increments
        "laplace" or "horseshoe".
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of ``scale_k``, in units of outcome / predictor.

    Raises
    ------
    SpecificationError
        Unknown increments or an unknown coefficient, a hyperprior that can be negative, a categorical context.
    InputError, InputTypeError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Park and Casella (2008), doi:10.1198/016214508000000337. Kolar, Song, Ahmed and Xing (2010), doi:10.1214/09-AOAS308.
    Faulkner and Minin (2018), doi:10.1214/17-BA1050, on horseshoe increments. Piironen and Vehtari (2017),
    doi:10.1214/17-EJS1337SI, on their regularisation. Lassas and Siltanen (2004), doi:10.1088/0266-5611/20/5/013, on
    what becomes of Laplace increments.
    """

    order: str
    increments: Literal["laplace", "horseshoe"] = "laplace"
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE

    def __post_init__(self) -> None:
        context_column("TotalVariation", order=self.order)
        owner = self.owner
        object.__setattr__(self, "on", as_names(self.on))
        must_be_positive(owner, scale=self.scale)
        one_of(owner, LOCAL, increments=self.increments)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.order,)

    @property
    def name(self) -> str:
        return variable(f"steps_{self.order}")

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        context = Context.learn(frame, self.order, owner)
        if context.levels:
            raise SpecificationError(f"{owner}: context {self.order!r} is categorical, and steps need an order. "
                                     f"{context.if_dates}Give numbers or dates, or use PartialPooling({self.order!r}).")
        if len(context.gaps):
            warn(f"{owner}: {self.order!r} has long gaps ({context.gaps_in_words}), and the prior knows only "
                 "the order of contexts: it expects no larger step across a gap than between neighbours. "
                 f"GaussianProcess({self.order!r}) and DistanceRegularized({self.order!r}) know distances.",
                 InputWarning)
        read: dict[float, Any] = {}
        for piece in pieces(frame, [self.order]):
            values, first = np.unique(context.at(piece)[:, 0], return_index=True)
            read = dict(zip(values, piece[self.order].iloc[first], strict=True)) | read
        places = np.array(sorted(read))
        at = np.sum([np.bincount(reached(places, context.at(piece)[:, 0]), minlength=len(places))
                     for piece in pieces(frame, [self.order])], axis=0)
        share = 1 - at.cumsum()[:-1] / len(frame)
        labels = spelled(read[place] for place in places[1:])
        return (Walk(self, context, places, share, labels, coefficients.select(self.on, owner), coefficients),)

    @property
    def deviation(self) -> str:
        return restricted(f"steps({self.order})", self.on)

    def story(self) -> tuple[str, ...]:
        name, local = self.name, LOCAL[self.increments].words()
        if self.increments == "laplace":
            law = (f"Normal(0, {name}_scale[k] sqrt({name}_local[t, k] / v)), together Laplace(0, {name}_scale[k] / "
                   "sqrt(2 v)), v the variance over the rows of a walk of unit steps")
        else:
            law = (f"Normal(0, {name}_scale[k] {name}_local[t, k] / sqrt((T - 1)^2 + {name}_local[t, k]^2)), "
                   "T distinct contexts")
        return (f"steps({self.order}) = sum of {name}_effect[t] over the distinct contexts t up to it but the first, "
                "less its mean over the rows; the intercept at the predictors' means",
                f"{name}_effect[t, k] ~ {law}", f"{name}_local[t, k] ~ {local}",
                f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}")
