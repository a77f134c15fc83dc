"""Invariant: coefficients differ between environments, and some sets of predictors mean the same in all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.errors import InputWarning, SpecificationError, warn
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, Hyperprior, must_be_normal, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.horseshoe import Horseshoe, horseshoe_story
from bayes_personal.priors.parts.levels import Grouped, Levels
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import context_column, fraction

OVERALL = Hyperprior("HalfNormal", sigma=0.2, relative=True)
# Most predictors that may be in an invariant set or not, since all sets are compared.
MOST = 12


@final
@dataclass(frozen=True, repr=False)
class Invariant(Prior):
    """Coefficients differ between environments, and some set of predictors means the same in all of them.

    Generative story, in environments that training saw: ``theta_e = mu + effect_e``, ``effect_e[k] ~ Normal(0,
    scale[k])``, ``scale[k] = unit[k] overall local[k]``, ``overall ~ HalfNormal(0.2)``, ``local[k] ~ HalfCauchy(1)``,
    effects and scales of the intercept at the predictors' means. Where a scale is near 0 a coefficient is the same in
    all environments, given all other predictors.

    In an environment that nobody has seen, a predictor whose relation to the outcome is different everywhere is worse
    than none, and its coefficient spoils those of others that are with it in one regression. There
    ``theta = theta_S``: of a set S of predictors, 0 for all others, fitted anew without these. S is one for which

        y_i ~ Normal(x_iS' theta_S, sigma_e),   theta_S the same in all environments,

    or another family, of whose own parameters every environment has its own, while the predictors outside S depend on
    y, on those in S and on the environment in ways that are left open. What is left open cancels, and with ``p(S)``, by
    which each predictor is in S with probability `inclusion`,

        p(S | data) = p(S) p(y | x_S, one theta_S) / prod_e p(y_e | x_S, a theta_S of e alone), normalised,

    where ``theta_S[k] ~ Normal(mean)`` and every environment has its own sigma_e, with the family's prior. All sets are
    looked at, and coefficients and errors are integrated out: exactly for a Normal family, for another by importance
    sampling around the mode, with Laplace's approximation for sets that are out of the question. One environment has
    nothing to say: p(S) stands, and a warning says so. log sigma of an environment that nobody has seen is one more of
    normal numbers whose mean and standard deviation are those of the others.

    `predict` follows this story for rows of new environments, `loo` for ``kind="group", by=environment``, where the
    error of the environment left out has its prior and all of that environment's rows are predicted together, and
    `invariance` says how probable it is that each predictor is in S. The intercept always is.

    Right when the mechanism by which some predictors cause the outcome is the same everywhere, while other predictors
    are its effects or share unobserved causes with it. Fails with one environment, or with environments that are all
    alike, in which every set is invariant; and when effects of causes differ themselves: `PartialPooling` says what
    they are. A weak instability is found only with many rows, and p(S) depends on `mean`: the wider it is, the more the
    evidence has to say against a set.

    Parameters
    ----------
    environment
        Column that says which environment a row is of.
    overall
        Hyperprior of how far environments differ: in natural units of the coefficients where it is relative, as the
        default is; in units of outcome / predictor where it is not.
    mean
        Hyperprior of the coefficients of a set, a Normal one, in units of outcome / predictor.
    inclusion
        Probability of each predictor, before data are seen, to be in the invariant set.

    Raises
    ------
    SpecificationError
        A hyperprior that can be negative, or one of coefficients that is not Normal; an `inclusion` that is not between
        0 and 1, more than 12 predictors, another summand, a family with several linear predictors.
    InputError
        A missing label.

    Warns
    -----
    InputWarning
        A single environment.

    References
    ----------
    Peters, Bühlmann and Meinshausen (2016), doi:10.1111/rssb.12167. Arjovsky, Bottou, Gulrajani and Lopez-Paz (2019),
    doi:10.48550/arXiv.1907.02893. Wu, Yin, Wang, Cunningham and Blei (2025), doi:10.48550/arXiv.2506.22675.
    """

    environment: str
    overall: Hyperprior = OVERALL
    mean: Hyperprior = NATURAL_MEAN
    inclusion: float = 0.5

    def __post_init__(self) -> None:
        context_column("Invariant", environment=self.environment)
        must_be_normal(self.owner, mean=self.mean)
        must_be_positive(self.owner, overall=self.overall)
        fraction(self.owner, inclusion=self.inclusion)

    @property
    def owner(self) -> str:
        """Name of the prior in messages."""
        return f"Invariant({self.environment!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.environment,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        if coefficients.linear_predictors > 1:
            raise SpecificationError(f"{self.owner}: sets of predictors are compared under families with one linear "
                                     "predictor a row, where every environment has a scale of its own, so that "
                                     "Varying() is not needed. For categories take PartialPooling.")
        levels = Levels.learn(frame, self.environment, self.owner, fewest=1)
        if len(levels.labels) == 1:
            warn(f"{self.owner}: all rows are of one environment ({levels.text[0]!r}), which cannot tell what "
                 "is the same in others: the probability of every set of predictors is that of the prior.",
                 InputWarning)
        term = Environments(self, levels, np.arange(len(coefficients.names)), coefficients)
        if len(term.candidates) > MOST:
            raise SpecificationError(f"{self.owner}: {len(term.candidates)} predictors have "
                                     f"{2 ** len(term.candidates)} sets, which are looked at one by one. At most "
                                     f"{MOST} predictors can be.")
        return (term,)

    @property
    def deviation(self) -> str:
        return f"{self.environment}_effect({self.environment}_i)"

    def story(self) -> tuple[str, ...]:
        name = self.environment
        return (f"{name}_effect(e)[k] ~ Normal(0, {name}_scale[k]), the intercept at the predictors' means",
                *horseshoe_story(name, self.overall),
                f"in an environment nobody has seen theta is that of a set S of predictors, and 0 for all others; "
                f"p(S) p(y | x_S, one theta) / prod_e p(y_e | x_S, a theta of e), P(k in S) = {self.inclusion:g}, "
                f"theta[k] ~ {self.mean.words('location[k]', 'unit[k]')}")


@final
@dataclass(frozen=True, eq=False)
class Environments(Grouped):
    """The effects of the environments that training saw, and the parameters of environments that nobody has seen."""

    prior: Invariant
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def excludes_others(self) -> str:
        return "sets of predictors are compared only where nothing but environments varies"

    @property
    def candidates(self) -> np.ndarray:
        """Positions of the coefficients that may be in an invariant set or not: all but the intercept."""
        return np.flatnonzero(~self.coefficients.intercept)

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
        return {f"{self.name}_scale": self.varying, self.theta_elsewhere: {"coefficient": self.coefficients.names}}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {f"{self.name}_scale": self.horseshoe.scale(values)}

    @property
    def elsewhere(self) -> "Environments":
        return self

    @property
    def label(self) -> str:
        """The column that holds the rows' environments."""
        return self.prior.environment

    @property
    def theta_elsewhere(self) -> str:
        """Name of the variable that holds the parameters of an environment that nobody has seen."""
        return f"{variable(self.prior.environment)}_theta_elsewhere"

    def name_elsewhere(self, parameter: str) -> str:
        return f"{variable(self.prior.environment)}_{parameter}_elsewhere"

    def unseen(self, values: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        return np.repeat((values[self.theta_elsewhere] - values["mu"])[:, None, :], count, axis=1)
