"""TotalVariation: coefficients walk along an ordered context, in steps most of which are small."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import spelled
from bayes_personal.data.context import Context
from bayes_personal.data.rows import pieces
from bayes_personal.errors import InputError, InputWarning, SpecificationError, warn
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column, one_of

LOCAL = {"laplace": Hyperprior("Exponential", scale=1.0), "horseshoe": Hyperprior("HalfCauchy", beta=1.0)}
# Distinct contexts: each has a local scale for every coefficient, and an evaluation costs the cube of their number.
MOST = 500


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

    NUTS moves over T - 1 local scales a coefficient, for a Normal family over little else: for 100 contexts 10 seconds
    with one coefficient and a minute with two; with two, by the cost of a gradient, minutes for 200 and half an hour or
    more for 500. `Laplace` refuses so many. Laplace increments mix well. Horseshoe increments do not where a jump could
    be at either of two neighbouring contexts, for chains seldom move it from one to the other: along 100 contexts, with
    one clear jump a coefficient, 4000 draws of theta were worth 30 to 200 there, with R-hat up to 1.1, and thousands
    elsewhere. Such a posterior says ``DO NOT TRUST``; for the flow of the Nile ``NUTS(draws=4000)`` brought R-hat to
    1.017. For other families NUTS moves over the increments too, and needs a higher `target_accept`.

    Parameters
    ----------
    order
        Column of numbers, booleans or dates, with 500 distinct values at most.
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
        A context that is missing, infinite, the same in all rows, or of more than 500 distinct values.

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
            if len(read) > MOST:
                raise InputError(f"{owner}: {self.order!r} has more than {MOST} distinct values, and every coefficient "
                                 "would have a scale of its own at each. Round it to fewer, or use "
                                 f"GaussianProcess({self.order!r}), whose cost does not grow with them.")
        places = np.array(sorted(read))
        share = np.sum([steps(places, context.at(piece)[:, 0]).sum(axis=0)
                        for piece in pieces(frame, [self.order])], axis=0) / len(frame)
        labels = spelled(read[place] for place in places[1:])
        return (StepsTerm(self, context, places, share, labels, coefficients.select(self.on, owner), coefficients),)

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


def steps(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mark with 1 the places after the first that values of the context have reached, (value, place - 1)."""
    return (values[:, None] >= places[1:]).astype(float)


@final
@dataclass(frozen=True, eq=False)
class StepsTerm(Term):
    """The increments at all distinct training contexts but the first.

    Attributes
    ----------
    places : the distinct contexts in order, standardised, (place,)
    share : share of the training rows that have reached each place after the first, (place - 1,)
    labels : labels of the places after the first
    """

    prior: TotalVariation
    context: Context
    places: np.ndarray
    share: np.ndarray
    labels: tuple[str, ...]
    positions: np.ndarray
    coefficients: Coefficients
    narrow: ClassVar[str] = "steps know only the order of contexts"

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_place": self.labels}

    def parameters(self) -> tuple[Parameter, ...]:
        ones = np.ones((len(self.labels), len(self.positions)))
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),
                LOCAL[self.prior.increments].bind(f"{self.name}_local", 0.0, ones, self.features | self.varying))

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        scale, local = values[f"{self.name}_scale"][..., None, :], values[f"{self.name}_local"]
        if self.prior.increments == "laplace":
            # A Normal whose variance is 2 b^2 Exponential(1) is Laplace(0, b): its standard deviation is sqrt(2) b.
            return scale / np.sqrt((self.share * (1 - self.share)).sum()) * xp.sqrt(local), None
        return scale * local / xp.sqrt(len(self.labels) ** 2 + local**2), None

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(steps(self.places, self.context.at(frame)[:, 0]) - self.share)

    @property
    def axes(self) -> tuple[Context, ...]:
        return (self.context,)
