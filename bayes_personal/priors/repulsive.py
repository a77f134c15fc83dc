"""Repulsive: a few archetypes that keep apart, among which context chooses by a learned metric."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.determinantal import LONGEST, MOST, STRONGEST, Determinantal
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter, normals
from bayes_personal.priors.parts.base import as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.gate import log_softmax, share_and_spread
from bayes_personal.priors.parts.in_context import InContext
from bayes_personal.priors.parts.pieces import Alternatives, Choice, Piece
from bayes_personal.system.arguments import whole_number

# Standard deviation of the gate's intercepts, in log odds.
LEVEL = 1.5
# Archetypes lie as wide apart as the types of a mixture: with scales near zero, several archetypes that differ by less
# than the noise would take the place of one.
SCALE = Hyperprior("LogNormal", mu=0.7, sigma=0.3, relative=True)
# The metric is in log odds for one standard deviation of a context; the length of the repulsion in archetypes' spreads.
METRIC = Hyperprior("HalfNormal", sigma=2.5)
LENGTH = Hyperprior("LogNormal", mu=-0.5, sigma=0.5)


@final
@dataclass(frozen=True, init=False, repr=False)
class Repulsive(InContext):
    """Near contexts share an archetype, far ones need not, and archetypes repel each other.

    Generative story: ``theta_i = mu + scale * a[z_i]``, ``z_i ~ Categorical(softmax(b + G (metric * c_i)))`` of K
    archetypes, c standardised, ``b[k] ~ Normal(0, 1.5)``, ``G[k] ~ Normal(0, 1)``, ``metric ~ HalfNormal(2.5)``. The
    archetypes are a determinantal process,
    ``a ~ prod over k of Normal(a[k]; 0, 1) * det M / E[det M]``, ``M[k, k] = 1``,
    ``M[k, l] = strength * exp(-|a[k] - a[l]|^2 / (2 p length^2))``, p the number of coefficients that vary,
    ``length ~ LogNormal(-0.5, 0.5)``; E[det M], the normaliser, is exact. ``scale[k] ~ LogNormal(log(unit[k]) + 0.7,
    0.3)``, unit[k] one standard deviation of the outcome for one of predictor k. The z_i are summed out of the
    likelihood. Where the intercept varies, it is that at the predictors' means.

    The metric is that of the gate: log odds of archetypes at two contexts differ with the variance
    ``D(c, c')^2 = sum over m of metric[m]^2 (c_m - c'_m)^2``. Contexts near in D have one archetype and share what
    they say of it; contexts far in D are free to have two, and these repel. ``repulsive_<context>_metric`` says which
    context matters.

    Two archetypes that meet are ``1 - strength^2`` times as dense as two that are far apart. Repulsion keeps archetypes
    distinct, so that each says something of its own; it makes theta hardly more or less precise, and data say little of
    its length. More archetypes than there are do no harm. They have no names, and chains may number them differently:
    read `posterior.theta`, the shares in falling order at the middle of the contexts (``..._share``), the standard
    deviation of coefficients between archetypes there (``..._spread``), the root-mean-square distance of the two
    nearest ones in units of scale (``..._separation``) and `responsibilities`; not ``..._component``.

    With one archetype nothing deviates from mu and the model is ``Population()``; with strength 0 archetypes are
    independent, as in a `Mixture` with a gate, and there is no length.

    Right when contexts that lie close together have different, even opposite mechanisms. Where nothing varies one
    archetype has all rows and the others are empty. Fails when parameters drift within an archetype, which is then cut
    into several: add a smooth prior, ``Repulsive(c) + GaussianProcess(c)``. Where archetypes differ by far less than a
    unit, repulsion and scale pull against each other: take a ``scale`` as small as the differences. By itself it is
    drawn by `Gibbs`, in time proportional to the rows; in sums by `NUTS`, which may take small steps,
    ``NUTS(target_accept=0.97)``.

    Parameters
    ----------
    *contexts
        Columns: numbers, booleans, dates, text or categories.
    archetypes
        Number of archetypes K, from 1 to 8; rather too many than too few.
    strength
        Strength of the repulsion, from 0 to 0.99.
    on
        Coefficients that archetypes differ in; all by default.
    scale
        Hyperprior of the standard deviations of the coefficients over independent archetypes, in units of outcome /
        predictor.
    metric
        Hyperprior of each context's metric, in log odds for one standard deviation of the context.
    length
        Hyperprior of the length of the repulsion, in units of scale; lengths above 1 count as 1.

    Raises
    ------
    SpecificationError
        No context, a number of archetypes or a strength out of range, an unknown coefficient, a scale, metric or length
        that can be negative.
    InputError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Kulesza and Taskar (2012), doi:10.1561/2200000044. Petralia, Rao and Dunson (2012), doi:10.48550/arXiv.1204.5243.
    Xu, Mueller and Telesca (2016), doi:10.1111/biom.12482. Lengerich, Aragam and Xing (2019),
    doi:10.48550/arXiv.1910.06939.
    """

    kind: ClassVar = "repulsive"
    contexts: tuple[str, ...]
    archetypes: int
    strength: float
    on: tuple[str, ...] | None
    scale: Hyperprior
    metric: Hyperprior
    length: Hyperprior

    def __init__(self, *contexts: str, archetypes: int = 4, strength: float = STRONGEST,
                 on: tuple[str, ...] | list[str] | str | None = None, scale: Hyperprior = SCALE,
                 metric: Hyperprior = METRIC, length: Hyperprior = LENGTH) -> None:
        self.hold(contexts=contexts, archetypes=archetypes, strength=strength, on=as_names(on), scale=scale,
                  metric=metric, length=length)
        owner = self.owner
        must_be_positive(owner, scale=scale, metric=metric, length=length)
        whole_number(owner, 1, archetypes=archetypes)
        if archetypes > MOST:
            raise SpecificationError(f"{owner}: archetypes={archetypes} are too many: the normaliser of their density "
                                     f"is exact for up to {MOST}.")
        if not isinstance(strength, Real) or isinstance(strength, bool) or not 0 <= float(strength) <= STRONGEST:
            raise SpecificationError(f"{owner}: strength={strength!r} must be a number from 0, where archetypes are "
                                     f"independent, to {STRONGEST}.")
        self.hold(strength=float(strength))

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        owner = self.owner
        if self.archetypes > len(frame):
            raise SpecificationError(f"{owner}: {self.archetypes} archetypes are more than the {len(frame)} rows. Take "
                                     "fewer.")
        contexts, positions = context.learn(frame, self.contexts, owner), coefficients.select(self.on, owner)
        return () if self.archetypes == 1 else (Archetypes(self, contexts, positions, coefficients),)

    @property
    def linear(self) -> bool:
        return self.archetypes == 1

    @property
    def in_common(self) -> tuple[str, ...]:
        words = ("each row's archetype z_i", "the probabilities of archetypes", "one repulsion by all coefficients")
        return () if self.linear else words

    @property
    def deviation(self) -> str:
        return "" if self.archetypes == 1 else restricted(f"{self.name}_scale * a[z_i]", self.on)

    def story(self) -> tuple[str, ...]:
        name, count = self.name, self.archetypes
        if count == 1:
            return ("one archetype, from which nothing deviates",)
        repelled = (f"a[j, k] ~ Normal(0, 1) of {count} archetypes j",) if not self.strength else (
            f"a ~ Normal(a; 0, 1) det(M) / E det(M) of {count} archetypes j, M[j, j] = 1",
            f"M[j, l] = {self.strength:g} exp(-mean over k of (a[j, k] - a[l, k])^2 / (2 {name}_length^2))",
            f"{name}_length ~ {self.length.words()}, above {LONGEST:g} counted as {LONGEST:g}")
        return (f"z_i ~ Categorical(softmax(b + G ({name}_metric * c_i))), c = {', '.join(self.contexts)} standardised",
                *repelled,
                f"{name}_scale[k] ~ {self.scale.words(unit='unit[k]')}, the intercept at the predictors' means",
                f"b[j] ~ Normal(0, {LEVEL:g}), G[j, q] ~ Normal(0, 1), {name}_metric ~ {self.metric.words()}")


@final
@dataclass(frozen=True, eq=False)
class Archetypes(Choice):
    """The coefficients of the archetypes, and the probability of each archetype given context."""

    prior: Repulsive
    contexts: tuple[Context, ...]
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def branches(self) -> int:
        return self.prior.archetypes

    @property
    def owner(self) -> np.ndarray:
        """Index of the context that each reading belongs to, (reading,)."""
        return np.repeat(np.arange(len(self.contexts)), [len(context.labels) for context in self.contexts])

    @property
    def repulsion(self) -> Determinantal:
        """The joint density of the archetypes."""
        return Determinantal((f"{self.name}_length",), self.branches, len(self.positions), self.prior.strength)

    def parameters(self) -> tuple[Parameter, ...]:
        name = self.name
        archetype = {f"{name}_archetype": tuple(str(place + 1) for place in range(self.branches))}
        reading = {f"{name}_reading": tuple(label for context in self.contexts for label in context.labels)}
        component = normals(f"{name}_component", archetype | self.varying, diagnosed=False)
        length: tuple[Parameter, ...] = ()
        if self.prior.strength:
            length = (self.prior.length.bind(f"{name}_length"),)
            component = replace(component, joint=self.repulsion)
        return (*length, component, self.prior.scale.bind(f"{name}_scale", 0.0, self.unit, self.varying),
                self.prior.metric.bind(f"{name}_metric", 0.0, np.ones(len(self.contexts)),
                                       {f"{name}_context": self.prior.contexts}),
                normals(f"{name}_level_gate", archetype, LEVEL, diagnosed=False),
                normals(f"{name}_slope_gate", archetype | reading, diagnosed=False))

    @property
    def alternatives(self) -> Alternatives:
        *length, component, scale, metric, level, slope = self.parameters()
        repulsion = self.repulsion if length else None
        return Alternatives(component, scale, length[0] if length else None, repulsion, level=level, slope=slope,
                            metric=metric, owner=self.owner)

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        coefficients = values[f"{self.name}_scale"][..., None, :] * values[f"{self.name}_component"]
        return coefficients[..., None, :, :]

    def log_gate(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        slopes = values[f"{self.name}_slope_gate"] * values[f"{self.name}_metric"][..., None, self.owner]
        return log_softmax(values[f"{self.name}_level_gate"][..., None, :] + xp.matmul(features, slopes.mT), xp)

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        rank = tuple(str(place + 1) for place in range(self.branches))
        return {f"{self.name}_share": {f"{self.name}_rank": rank}, f"{self.name}_spread": self.varying,
                f"{self.name}_separation": {}}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        points, middle = values[f"{self.name}_component"], np.zeros((1, len(self.owner)))
        share, spread = share_and_spread(self.log_gate(values, middle, xp)[..., 0, :],
                                         self.deviation(values, None, xp)[..., 0, :, :], xp)
        left, right = np.triu_indices(self.branches, 1)
        distance = xp.sqrt(((points[..., left, :] - points[..., right, :]) ** 2).mean(axis=-1))
        return {f"{self.name}_share": share, f"{self.name}_spread": spread,
                f"{self.name}_separation": distance.min(axis=-1)}

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(np.concatenate([context.at(frame) for context in self.contexts], axis=1))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts
