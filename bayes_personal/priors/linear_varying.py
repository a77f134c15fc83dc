"""LinearVarying: coefficients are linear, or smooth additive, in context."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.priors.parts.spline import Spline
from bayes_personal.system.arguments import one_of, whole_number


@final
@dataclass(frozen=True, init=False, repr=False)
class LinearVarying(InContext):
    """Coefficients are linear in context, or a sum of smooth functions of each context.

    Generative story, linear: ``theta_i = mu + A c_i``, ``A[k, q] ~ Normal(0, scale[m, k])`` with c standardised and
    m the context column of c_q. A categorical column is read as one centred and scaled indicator a level.
    Spline: each numeric context adds, to its linear part, a natural cubic spline of `df` knots at quantiles,
    penalised by its integrated squared second derivative; ``smooth[m, k]`` is the standard deviation of that wiggle
    over the training rows. Where the intercept varies, it is that at the predictors' means.

    Right when effects change steadily with context. Fails at jumps and, for linear, at any bend; both extrapolate
    along a straight line, which is dangerous far outside the training range.

    Parameters
    ----------
    *contexts
        Columns: numbers, booleans, dates, text or categories.
    basis
        "linear" or "spline".
    df
        Knots a numeric context has with ``basis="spline"``, 3 or more; fewer where it has fewer distinct values. One
        of two values has a linear part only.
    on
        Coefficients that vary; all by default.
    scale
        Hyperprior of the standard deviation of the linear part, a context column and coefficient each, in units of
        outcome / predictor for one standard deviation of context.
    smooth
        Hyperprior of the standard deviation of the spline's wiggle, in units of outcome / predictor.

    Raises
    ------
    SpecificationError
        No context, an unknown basis or coefficient, a scale that can be negative, `df` below 3.
    InputError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Hastie and Tibshirani (1993), doi:10.1111/j.2517-6161.1993.tb01939.x. Wood (2017), Generalized Additive Models,
    doi:10.1201/9781315370279, sections 5.3.1 and 5.8.
    """

    kind: ClassVar = "linear"
    contexts: tuple[str, ...]
    basis: Literal["linear", "spline"]
    df: int
    on: tuple[str, ...] | None
    scale: Hyperprior
    smooth: Hyperprior

    def __init__(self, *contexts: str, basis: Literal["linear", "spline"] = "linear", df: int = 10,
                 on: tuple[str, ...] | list[str] | str | None = None,
                 scale: Hyperprior = NATURAL_SCALE,
                 smooth: Hyperprior = NATURAL_SCALE) -> None:
        self.hold(contexts=contexts, basis=basis, df=df, on=as_names(on), scale=scale, smooth=smooth)
        owner = self.owner
        must_be_positive(owner, scale=scale, smooth=smooth)
        one_of(owner, ("linear", "spline"), basis=basis)
        whole_number(f"{owner}, knots of a cubic spline", 3, df=df)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        contexts = context.learn(frame, self.contexts, owner)
        splines = {column.name: Spline.learn(column.at(frame)[:, 0], self.df)
                   for column in contexts if self.basis == "spline" and not column.levels}
        curved = {name: spline for name, spline in splines.items() if spline.size}
        return (LinearTerm(self, contexts, curved, coefficients.select(self.on, owner), coefficients),)

    @property
    def deviation(self) -> str:
        contexts = ", ".join(self.contexts)
        spline = f" + spline_i({contexts})" if self.basis == "spline" else ""
        return restricted(f"A c_i({contexts}){spline}", self.on)

    def story(self) -> tuple[str, ...]:
        name = self.name
        lines = ["c = contexts standardised, a categorical one as indicators; the intercept at the predictors' means",
                 f"A[k, q] ~ Normal(0, {name}_scale[context of q, k])",
                 f"{name}_scale[m, k] ~ {self.scale.words(unit='unit[k]')}"]
        if self.basis == "spline":
            lines += [f"spline[k] ~ sum over contexts m of natural cubic splines with {self.df} knots and standard "
                      f"deviation {name}_smooth[m, k]",
                      f"{name}_smooth[m, k] ~ {self.smooth.words(unit='unit[k]')}"]
        return tuple(lines)


@final
@dataclass(frozen=True, eq=False)
class LinearTerm(Term):
    """The slopes of the training contexts, then their splines."""

    prior: LinearVarying
    contexts: tuple[Context, ...]
    splines: Mapping[str, Spline]
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        linear = [label for context in self.contexts for label in context.labels]
        wiggles = [f"spline {name} {j}" for name, spline in self.splines.items() for j in range(spline.size)]
        return {f"{self.name}_feature": (*linear, *wiggles)}

    def parameters(self) -> tuple[Parameter, ...]:
        scale = self.prior.scale.bind(f"{self.name}_scale", 0.0, np.tile(self.unit, (len(self.contexts), 1)),
                                      {f"{self.name}_context": self.prior.contexts} | self.varying)
        if not self.splines:
            return (scale,)
        return (scale, self.prior.smooth.bind(f"{self.name}_smooth", 0.0, np.tile(self.unit, (len(self.splines), 1)),
                                              {f"{self.name}_spline": tuple(self.splines)} | self.varying))

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        readings = [m for m, context in enumerate(self.contexts) for _ in context.labels]
        scale = values[f"{self.name}_scale"][..., np.array(readings), :]
        if not self.splines:
            return scale, None
        wiggles = [m for m, spline in enumerate(self.splines.values()) for _ in range(spline.size)]
        return xp.concatenate([scale, values[f"{self.name}_smooth"][..., np.array(wiggles), :]], axis=-2), None

    def at(self, frame: pd.DataFrame) -> Features:
        readings = {context.name: context.at(frame) for context in self.contexts}
        wiggles = [spline.at(readings[name][:, 0]) for name, spline in self.splines.items()]
        return Features(np.concatenate([*readings.values(), *wiggles], axis=1))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts
