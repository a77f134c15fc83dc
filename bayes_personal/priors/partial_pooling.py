"""PartialPooling: groups are exchangeable draws from one population."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.levels import Grouped, Levels
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column, flag, nested, positive

# Concentration of the LKJ prior: correlations near 1 and -1 are unlikely, all others are not.
CONCENTRATION = 2.0


@final
@dataclass(frozen=True, repr=False)
class PartialPooling(Prior):
    """Groups are exchangeable: each group's parameters are a draw from one population.

    Generative story: ``theta_g = mu + d_g``, ``d_g ~ MvNormal(0, S R S)``,
    ``S = diag(scale)``, ``R ~ LKJ(concentration)``.
    Where the intercept varies, ``d_g`` and its scale refer to the intercept at the predictors' means. With
    ``correlated=False`` R is the identity: every coefficient varies by itself, ``d_g[k] ~ Normal(0, scale[k])``.

    Right when groups are many and alike in kind. Fails when group parameters fall into clusters, or drift with a
    context that the model does not see.

    Parameters
    ----------
    by
        Column of group labels.
    on
        Coefficients that vary between groups; all by default. Without "Intercept" among them, the intercept at zero
        predictors is common to all groups.
    scale
        Hyperprior of the between-group standard deviations, in units of outcome / predictor.
    concentration
        Concentration of the LKJ prior on the correlations; 1 is uniform.
    correlated
        Whether coefficients correlate between groups. K of them have K (K - 1) / 2 correlations, 36 for nine
        coefficients, and few groups say little of so many. Without them a group that is high in one coefficient is not
        expected to be high or low in another.

    Raises
    ------
    SpecificationError
        A scale that can be negative, a concentration that is not positive, or one that is stated without correlations;
        an unknown coefficient.
    InputError
        A missing group label, or a single group.

    References
    ----------
    Gelman (2006), doi:10.1214/06-BA117A. Lewandowski, Kurowicka and Joe (2009), doi:10.1016/j.jmva.2009.04.008.
    """

    by: str
    on: tuple[str, ...] | list[str] | str | None = None
    scale: Hyperprior = NATURAL_SCALE
    concentration: float = CONCENTRATION
    correlated: bool = True

    def __post_init__(self) -> None:
        context_column("PartialPooling", by=self.by)
        object.__setattr__(self, "on", as_names(self.on))
        must_be_positive(f"PartialPooling({self.by!r})", scale=self.scale)
        positive(f"PartialPooling({self.by!r})", concentration=self.concentration)
        flag(f"PartialPooling({self.by!r})", correlated=self.correlated)
        if not self.correlated and self.concentration != CONCENTRATION:
            raise SpecificationError(f"PartialPooling({self.by!r}): concentration={self.concentration:g} is of "
                                     "correlations, and with correlated=False there are none. Leave one of them out.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    @property
    def grouping(self) -> tuple[str, ...]:
        return (self.by,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        for name in self.on or ():
            if name in frame.columns and name not in (*coefficients.names, *coefficients.within):
                raise SpecificationError(f"{owner}: on={name!r} names a column, and on= takes coefficients: "
                                         f"{', '.join(coefficients.names)}. For two groupings add two priors, and for "
                                         f"{name!r} within each {self.by!r}, {nested(self.by, name)}.")
        return (ExchangeableTerm(self, Levels.learn(frame, self.by, owner), coefficients.select(self.on, owner),
                                 coefficients),)

    @property
    def deviation(self) -> str:
        return restricted(f"{self.by}_effect({self.by}_i)", self.on)

    def story(self) -> tuple[str, ...]:
        by, scale = self.by, f"{self.by}_scale"
        if not self.correlated:
            return (f"{by}_effect(g)[k] ~ Normal(0, {scale}[k]), the intercept at the predictors' means",
                    f"{scale}[k] ~ {self.scale.words(unit='unit[k]')}")
        return (
            f"{by}_effect(g) ~ MvNormal(0, diag({scale}) R diag({scale})), the intercept at the predictors' means",
            f"{scale}[k] ~ {self.scale.words(unit='unit[k]')}",
            f"R ~ LKJ({self.concentration:g})",
        )


@final
@dataclass(frozen=True, eq=False)
class ExchangeableTerm(Grouped):
    """The effects of the training groups."""

    prior: PartialPooling
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def correlated(self) -> bool:
        """Whether there are correlations between coefficients."""
        return self.prior.correlated and len(self.positions) > 1

    def parameters(self) -> tuple[Parameter, ...]:
        scale = self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying)
        size = len(self.positions)
        if not self.correlated:
            return (scale,)
        # R ~ LKJ(concentration) by its partial correlations, which are independent (C-vine), rescaled to (0, 1).
        names = self.varying[f"{self.name}_coefficient"]
        pairs = tuple(f"{names[i]} ~ {names[j]}" for i in range(size) for j in range(i))
        column = np.array([j for i in range(size) for j in range(i)])
        shape = self.prior.concentration + (size - 2 - column) / 2
        return (scale, Parameter(f"{self.name}_partial", "Beta", {"alpha": shape, "beta": shape},
                                 np.zeros(len(column)), np.ones(len(column)), {f"{self.name}_pair": pairs},
                                 diagnosed=False))

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        scale = values[f"{self.name}_scale"][..., None, :]
        size = len(self.positions)
        if not self.correlated:
            return scale, None
        partial = 2 * values[f"{self.name}_partial"] - 1
        ones = 1 + 0 * partial[..., 0]
        rows, entry = [], 0
        for i in range(size):
            row, remainder = [], ones
            for _ in range(i):
                row.append(partial[..., entry] * xp.sqrt(remainder))
                remainder = remainder * (1 - partial[..., entry] ** 2)
                entry += 1
            rows.append(xp.stack([*row, xp.sqrt(remainder), *[0 * ones] * (size - 1 - i)], axis=-1))
        return scale, xp.stack(rows, axis=-2)
