"""PartialPooling: groups are exchangeable draws from one population."""

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from bayes_personal.errors import InputError, SpecificationError, did_you_mean, first
from bayes_personal.hyperprior import Hyperprior
from bayes_personal.priors.base import Coefficients, Prior, Term


@final
@dataclass(frozen=True)
class PartialPooling(Prior):
    """Groups are exchangeable: each group's parameters are a draw from one population.

    Generative story: ``theta_g = mu + d_g``, ``d_g ~ MvNormal(0, S R S)``,
    ``S = diag(scale)``, ``R ~ LKJ(concentration)``.
    Where the intercept varies, ``d_g`` and its scale refer to the intercept at the predictors' means.

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
        Of the LKJ prior on the correlations; 1 is uniform.

    Raises
    ------
    SpecificationError
        A scale that can be negative, a concentration that is not positive, an unknown coefficient.
    InputError
        A missing group label, or a single group.

    References
    ----------
    Gelman (2006), doi:10.1214/06-BA117A. Lewandowski, Kurowicka and Joe (2009), doi:10.1016/j.jmva.2009.04.008.
    """

    by: str
    on: tuple[str, ...] | None = None
    scale: Hyperprior = field(default_factory=lambda: Hyperprior("HalfNormal", sigma=1.0, relative=True))
    concentration: float = 2.0

    def __post_init__(self) -> None:
        if self.on is not None:
            object.__setattr__(self, "on", tuple(self.on))
        if not self.scale.positive:
            raise SpecificationError(f"PartialPooling({self.by!r}): scale={self.scale!r} can be negative; "
                                     "use a distribution on the positive numbers, such as HalfNormal.")
        if not self.concentration > 0:
            raise SpecificationError(f"PartialPooling({self.by!r}): concentration={self.concentration!r} "
                                     "must be positive.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        if self.by not in frame.columns:
            raise InputError(f"{self!r}: the frame has no column {self.by!r}. {did_you_mean(self.by, frame.columns)}")
        labels = frame[self.by]
        missing = labels.isna().to_numpy()
        if missing.any():
            raise InputError(f"PartialPooling({self.by!r}): {missing.sum()} of {len(labels)} group labels are missing "
                             f"({first(labels.index[missing])}). Label or drop these rows.")
        levels = pd.Index(sorted(labels.unique(), key=str))
        if len(levels) < 2:
            raise InputError(f"PartialPooling({self.by!r}): a single group ({first(levels)}), so that the spread "
                             "between groups is not identified. Use Population().")
        return (GroupTerm(self, levels, coefficients.select(self.on, repr(self))),)

    def story(self) -> tuple[str, ...]:
        who = f"{self.by}_scale"
        return (
            f"theta_i = mu + {self.by}_effect[{self.by}_i]" + (f" on {', '.join(self.on)}" if self.on else ""),
            f"{self.by}_effect[g] ~ MvNormal(0, diag({who}) R diag({who})), the intercept at the predictors' means",
            f"{who}[k] ~ {self.scale.words(unit='unit[k]')}",
            f"R ~ LKJ({self.concentration:g})",
        )


def correlation_root(name: str, size: int, concentration: float) -> Any:
    """Cholesky factor of R ~ LKJ(concentration), from its independent Beta-distributed partial correlations.

    PyMC's LKJCorr hands the model the factor in place of the matrix once it is transformed.
    """
    rows, columns = np.tril_indices(size, -1)
    shape = concentration + (size - 2 - columns) / 2
    partial = 2 * pm.Beta(f"{name}_partial", shape, shape, shape=len(rows)) - 1
    root, rest = pt.zeros((size, size)), [pt.constant(np.float64(1.0))] * size
    for entry, (i, j) in enumerate(zip(rows, columns, strict=True)):
        root = root[i, j].set(partial[entry] * pt.sqrt(rest[i]))
        rest[i] = rest[i] * (1 - partial[entry] ** 2)
    for i in range(size):
        root = root[i, i].set(pt.sqrt(rest[i]))
    return root


@final
@dataclass(frozen=True, eq=False)
class GroupTerm(Term):
    """The effects of the training groups."""

    prior: PartialPooling
    levels: pd.Index
    positions: np.ndarray

    @property
    def name(self) -> str:
        return self.prior.by

    def declare(self, coefficients: Coefficients) -> Any:
        name, varying, q = self.name, f"{self.name}_coefficient", len(self.positions)
        model = pm.modelcontext(None)
        model.add_coord(name, [str(level) for level in self.levels])
        model.add_coord(varying, [coefficients.names[k] for k in self.positions])
        model.add_coord(f"{varying}_other", [coefficients.names[k] for k in self.positions])
        scale = self.prior.scale.declare(f"{name}_scale", 0.0, coefficients.unit[self.positions], dims=varying)
        z = pm.Normal(f"{name}_z", dims=(name, varying))
        if q > 1:
            root = correlation_root(name, q, self.prior.concentration)
            pm.Deterministic(f"{name}_correlation", pt.dot(root, root.T), dims=(varying, f"{varying}_other"))
            z = pt.dot(z, root.T)
        change = coefficients.to_data_units(self.positions)
        return pm.Deterministic(f"{name}_effect", pt.dot(z * scale, change), dims=(name, varying))

    def spread(self, weights: Any, frame: pd.DataFrame) -> Any:
        return weights[self.levels.get_indexer(frame[self.name])]
