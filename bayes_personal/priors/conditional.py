"""Conditional: separate parameters for each group, nothing shared."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, Hyperprior, must_be_normal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.levels import Grouped, Levels
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column


@final
@dataclass(frozen=True, repr=False)
class Conditional(Prior):
    """Each group has its own parameters; nothing is learned of one group from another.

    Generative story: ``theta_g[k] ~ Normal(mean)``, independently: the prior that the population mean mu has elsewhere,
    once a group. Where the intercept varies, it is that at the predictors' means. ``<by>_effect`` is the deviation of
    theta_g from its prior mean.

    Right when groups are homogeneous and large. Fails when groups are small: their estimates are noise.

    Parameters
    ----------
    by
        Column of group labels.
    on
        Coefficients that differ between groups; all by default.
    mean
        Hyperprior of every group's coefficients, a Normal one, in units of outcome / predictor.

    Raises
    ------
    SpecificationError
        A hyperprior that is not Normal, an unknown coefficient.
    InputError
        A missing group label, or a single group.

    References
    ----------
    Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, chapter 12,
    doi:10.1017/CBO9780511790942: "no pooling".
    """

    by: str
    on: tuple[str, ...] | list[str] | str | None = None
    mean: Hyperprior = NATURAL_MEAN

    def __post_init__(self) -> None:
        context_column("Conditional", by=self.by)
        object.__setattr__(self, "on", as_names(self.on))
        must_be_normal(f"Conditional({self.by!r})", mean=self.mean)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    @property
    def grouping(self) -> tuple[str, ...]:
        return (self.by,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        return (SeparateTerm(self, Levels.learn(frame, self.by, owner), coefficients.select(self.on, owner),
                         coefficients),)

    @property
    def replaces_mean(self) -> bool:
        return self.on is None

    @property
    def deviation(self) -> str:
        return restricted(f"{self.by}_effect({self.by}_i)", self.on)

    def story(self) -> tuple[str, ...]:
        return (f"{self.by}_effect(g)[k] ~ {self.mean.words('location[k]', 'unit[k]')}, the intercept at the "
                "predictors' means", *(() if self.on is None else (f"no mu for {', '.join(self.on)}",)))


@final
@dataclass(frozen=True, eq=False)
class SeparateTerm(Grouped):
    """The deviations of the training groups from their prior mean."""

    prior: Conditional
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def prior_mean(self) -> np.ndarray | None:
        return np.broadcast_to(self.arguments["mu"], len(self.positions))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Mean and standard deviation of the coefficients, in data units."""
        return self.prior.mean.arguments(self.coefficients.location[self.positions], self.unit)

    def parameters(self) -> tuple[Parameter, ...]:
        return ()

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        return np.broadcast_to(self.arguments["sigma"], len(self.positions))[None, :], None
