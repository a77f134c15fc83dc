"""Transfer: a target borrows from sources, coefficient by coefficient, as far as its own data let it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import spelled
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.horseshoe import Horseshoe, horseshoe_story
from bayes_personal.priors.parts.levels import Label, Levels, as_labels
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column

OVERALL = Hyperprior("HalfCauchy", beta=0.1, relative=True)


@final
@dataclass(frozen=True, repr=False)
class Transfer(Prior):
    """A target borrows from sources, coefficient by coefficient, as far as its own data let it.

    Generative story, the commensurate prior: ``theta_i = mu`` in the rows of every source,
    ``theta_i = mu + scale * z``, ``z ~ Normal(0, I)``, in those of the target, ``scale[k] = unit[k] overall local[k]``,
    ``overall ~ HalfCauchy(0.1)``, ``local[k] ~ HalfCauchy(1)``. A scale near 0 borrows all that the sources know of a
    coefficient; the heavy tails let go of it where they disagree, of one coefficient or of all. Where the intercept
    varies, its scale refers to the intercept at the predictors' means.

    `borrowed` says how much of each coefficient came from the sources.

    Right when the target has few rows and shares at least some coefficients with sources that are alike. Fails when
    the target has so few rows that they cannot object: the sources' word then stands. Where sources differ among
    themselves, add ``PartialPooling(domain)``.

    Parameters
    ----------
    domain
        Column that says which domain a row is of.
    target
        The label of the target, as it stands in the frame; rows of all others are sources, new labels included.
    on
        Coefficients that may differ in the target; all by default.
    overall
        Hyperprior of how far the target lies from the sources: in natural units of the coefficients where it is
        relative, as the default is; in units of outcome / predictor where it is not.

    Raises
    ------
    SpecificationError
        A hyperprior that can be negative, an unknown coefficient.
    InputError
        A missing label, no row of the target, or none of a source.

    References
    ----------
    Hobbs, Carlin, Mandrekar and Sargent (2011), doi:10.1111/j.1541-0420.2011.01564.x. Hobbs, Sargent and Carlin (2012),
    doi:10.1214/12-BA722.
    """

    domain: str
    target: Label
    on: tuple[str, ...] | list[str] | str | None = None
    overall: Hyperprior = OVERALL

    def __post_init__(self) -> None:
        context_column("Transfer", domain=self.domain)
        object.__setattr__(self, "on", as_names(self.on))
        target = as_labels("Transfer", self.target)
        if not isinstance(self.target, tuple) and isinstance(target, tuple):
            if len(target) != 1:
                raise SpecificationError(f"Transfer({self.domain!r}): target={self.target!r} names {len(target)} "
                                         "labels; name one. FineTuned takes several.")
            (target,) = target
        if target is None:
            raise SpecificationError(f"Transfer({self.domain!r}): target=None: name the label of the target, one of "
                                     f"those in column {self.domain!r}.")
        object.__setattr__(self, "target", target)
        must_be_positive(self.owner, overall=self.overall)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.domain,)

    @property
    def name(self) -> str:
        return f"{variable(self.domain)}_target"

    @property
    def owner(self) -> str:
        return f"Transfer({self.domain!r}, {self.target!r})"

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        owner = self.owner
        levels = Levels.learn(frame, self.domain, owner)
        levels.place(self.target, owner)
        return (TargetTerm(self, levels, coefficients.select(self.on, owner), coefficients),)

    @property
    def deviation(self) -> str:
        return restricted(f"{self.domain}_target_effect where {self.domain}_i is {self.target!r}", self.on)

    def story(self) -> tuple[str, ...]:
        prefix = f"{self.domain}_target"
        return (f"{prefix}_effect[k] ~ Normal(0, {prefix}_scale[k]), the intercept at the predictors' means",
                *horseshoe_story(prefix, self.overall))


@final
@dataclass(frozen=True, eq=False)
class TargetTerm(Term):
    """The deviation of the target from the sources."""

    prior: Transfer
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def of_target(self) -> bool:
        return True

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {self.name: spelled(pd.Index([self.prior.target], tupleize_cols=False))}

    @property
    def horseshoe(self) -> Horseshoe:
        """The scales of the coefficients."""
        return Horseshoe(self, self.prior.overall)

    def parameters(self) -> tuple[Parameter, ...]:
        return self.horseshoe.parameters

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        return self.horseshoe.scale(values)[..., None, :], None

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_scale": self.varying}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {f"{self.name}_scale": self.horseshoe.scale(values)}

    def at(self, frame: pd.DataFrame) -> Features:
        read = self.levels.at(frame)
        place = self.levels.place(self.prior.target, self.prior.owner)
        return Features((read.matrix.indices == place).astype(float)[:, None], read.status)
