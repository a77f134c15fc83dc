"""FineTuned: a population that is estimated first and then stands still, and offsets of groups from it."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import spelled
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_SCALE, Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.levels import Grouped, Label, Levels, as_labels
from bayes_personal.priors.parts.pieces import Freeze, Term
from bayes_personal.system.arguments import context_column, one_of

FREEZES = {
    "cut": "its draws stand as they are, and nothing estimated after them informs it",
    "plug-in": "its mean stands for it",
}


@final
@dataclass(frozen=True, repr=False)
class FineTuned(Prior):
    """A population first, and then offsets of groups from it, in a few coefficients.

    Generative story: ``theta_g = mu + d_g``, ``d_g[k] ~ Normal(0, scale[k])`` for the coefficients `on`, independently;
    all other coefficients are the population's. Where the intercept is tuned, ``d_g`` and its scale refer to the
    intercept at the predictors' means.

    How it is estimated is part of the statement. Stage one is `Population`, ``y_i ~ family(x_i' mu)``, on all rows or,
    with `target`, on the rows of all groups but those. Stage two is this model given mu, on all rows: offsets, their
    scales, and the family's own parameters such as sigma, which stage one would put too high where groups differ.

    - ``freeze="cut"``: mu has its posterior of stage one, and at each draw of it all else has its posterior given mu:
      ``p(mu | y of stage one) p(all else | mu, y)``. This is no posterior of a joint density: mu learns nothing from
      stage two, on purpose.
    - ``freeze="plug-in"``: mu is its posterior mean of stage one, as if it were known. Variances of theta then lack
      ``Var(E[theta | mu])``, which the cut has.
    - ``freeze=None``: nothing is frozen. With `target`, stage one's posterior is the prior of stage two, whose rows
      inform mu as well; that is the posterior of the joint model, and sampled as such.

    Under a Normal family stage two of a cut draws all weights exactly. Under another one Normal pseudo-data stand for
    the rows, and at each draw of mu a short chain of hyperparameters is accepted by the rows' own likelihoods, of which
    offsets are integrated out by quadrature; ``tree["importance"]`` has what the weights of the proposals, the
    quadrature and the chains say of themselves.

    Right when the population is large and right for most, groups are small, and few coefficients differ; a cut also
    when a population must not be moved by a subpopulation that may be modelled badly. Fails when frozen coefficients
    differ; when groups are large or weigh unequally in the population, whose mean is then not that of the groups
    (`PartialPooling` weighs them). Without `target` a group's rows are seen twice, by both stages: intervals that are
    too short are the price. With it they are not.

    What leaves rows out asks for the posterior of a joint density: `loo`, `compare` and ``predict(given=...)`` refuse a
    frozen population. `simulate` and ``posterior.pymc`` are the generative story, which is the same for every `freeze`.

    Parameters
    ----------
    by
        Column of group labels.
    on
        Coefficients that are tuned; all by default.
    target
        Label of the group that is tuned, or several in a list, array or column, whose rows stage one does not see;
        rows of all others, of new ones too, have the population's parameters. A label that is a tuple stands in a
        list. By default all groups are tuned, and stage one sees all rows.
    freeze
        How the population enters stage two: "cut", "plug-in" or None.
    scale
        Hyperprior of the offsets' standard deviations, in units of outcome / predictor. What is relative counts in
        natural units of all rows, also in stage one.

    Raises
    ------
    SpecificationError
        An unknown `freeze`, a scale that can be negative, an unknown coefficient, no target. Where the population
        is frozen: another summand, rows in files, `ADVI`; with a cut also several linear predictors a row, as
        where a scale varies, and families of one's own.
    InputError
        A missing group label, a single group, a target without rows, no row but those of targets.

    References
    ----------
    Plummer (2015), doi:10.1007/s11222-014-9503-z. Jacob, Murray, Holmes and Robert (2017),
    doi:10.48550/arXiv.1708.08719.
    """

    by: str
    on: tuple[str, ...] | list[str] | str | None = None
    target: Label | tuple[Label, ...] | list[Label] | None = None
    freeze: Literal["cut", "plug-in"] | None = "cut"
    scale: Hyperprior = NATURAL_SCALE

    def __post_init__(self) -> None:
        context_column("FineTuned", by=self.by)
        object.__setattr__(self, "on", as_names(self.on))
        object.__setattr__(self, "target", as_labels(self.owner, self.target))
        if self.target == ():
            raise SpecificationError(f"{self.owner}: target=() names no group. Name one, or leave target out to tune "
                                     "all groups.")
        one_of(self.owner, (*FREEZES, None), freeze=self.freeze)
        must_be_positive(self.owner, scale=self.scale)

    @property
    def owner(self) -> str:
        """Name of the prior in messages."""
        return f"FineTuned({self.by!r})"

    @property
    def targets(self) -> tuple[Label, ...]:
        """The groups whose rows stage one does not see."""
        if self.target is None:
            return ()
        target: Any = self.target
        return target if isinstance(target, tuple) else (target,)

    @property
    def name(self) -> str:
        return variable(self.by) if self.target is None else f"{variable(self.by)}_tuned"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    @property
    def grouping(self) -> tuple[str, ...]:
        return (self.by,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        if self.freeze is not None and not isinstance(frame, pd.DataFrame):
            raise SpecificationError(f"{self!r}: the two stages take rows in memory. Read the table first, for example "
                                     "with pandas.read_parquet, or take freeze=None.")
        law = coefficients.conjugate
        normal = law is not None and law.several_coefficients and not law.scale_varies
        if self.freeze == "cut" and not normal and not coefficients.expands:
            raise SpecificationError(f"{self!r}: at every draw of the population all else is drawn given it, which "
                                     "takes a family of this package with one linear predictor, whose scale does not "
                                     "vary. For another take freeze='plug-in' or freeze=None.")
        levels, positions = Levels.learn(frame, self.by, self.owner), coefficients.select(self.on, self.owner)
        if self.target is None:
            return (TunedGroups(self, levels, positions, coefficients),)
        if isinstance(self.target, tuple) and self.target in levels.labels.to_list():
            raise InputError(f"{self.owner}: {self.target!r} is one label of {self.by!r}, and a tuple names several. "
                             f"Write target=[{self.target!r}].")
        places = {levels.place(label, self.owner) for label in self.targets}
        if len(places) == len(levels.labels):
            raise InputError(f"{self.owner}: every group of {self.by!r} is a target, so that stage one has no row. "
                             "Leave target out to tune all groups.")
        return (TunedTargets(self, levels, positions, coefficients),)

    @property
    def deviation(self) -> str:
        condition = "" if self.target is None else f" where {self.by}_i is {' or '.join(map(repr, self.targets))}"
        return restricted(f"{self.name}_effect({self.by}_i)", self.on) + condition

    def story(self) -> tuple[str, ...]:
        name = self.name
        lines = (f"{name}_effect(g)[k] ~ Normal(0, {name}_scale[k]), the intercept at the predictors' means",
                 f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}")
        if self.freeze is None:
            return lines
        rows = "all rows" if self.target is None else f"rows of other {self.by}"
        return (*lines, f"mu is frozen: estimated first, from {rows}, by theta_i = mu; then {FREEZES[self.freeze]}")


class Tuned(Term):
    """Offsets of groups, independent in every coefficient."""

    prior: FineTuned
    levels: Levels

    @property
    def freezes_population(self) -> Freeze:
        return self.prior.freeze

    def parameters(self) -> tuple[Parameter, ...]:
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),)

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        return values[f"{self.name}_scale"][..., None, :], None

    @abstractmethod
    def first_stage(self, frame: pd.DataFrame) -> np.ndarray:
        """Return a mask of the rows from which the population is estimated, (unit,)."""


@final
@dataclass(frozen=True, eq=False)
class TunedGroups(Tuned, Grouped):
    """Offsets of all groups, new ones included."""

    prior: FineTuned
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    def first_stage(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame), bool)


@final
@dataclass(frozen=True, eq=False)
class TunedTargets(Tuned):
    """Offsets of targets; rows of other groups have none."""

    prior: FineTuned
    levels: Levels
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {self.name: spelled(pd.Index(self.prior.targets, tupleize_cols=False))}

    def at(self, frame: pd.DataFrame) -> Features:
        read = self.levels.at(frame)
        places = np.array([self.levels.place(label, self.prior.owner) for label in self.prior.targets])
        return Features((read.matrix.indices[:, None] == places).astype(float), read.status)

    def first_stage(self, frame: pd.DataFrame) -> np.ndarray:
        return ~self.at(frame).matrix.any(axis=1)
