"""Mixture: a few types of sample, and which of them a sample is of is not observed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data import context
from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, Hyperprior, must_be_normal
from bayes_personal.hyperpriors.parameter import Parameter, normals
from bayes_personal.priors.parts.base import Prior, as_names, restricted, variable
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.gate import log_softmax, share_and_spread
from bayes_personal.priors.parts.pieces import Alternatives, Choice, Piece
from bayes_personal.system.arguments import positive, whole_number

# Standard deviations of the gate's intercepts and slopes, in log odds and for one standard deviation of a context.
LEVEL, SLOPE = 1.5, 2.5


@final
@dataclass(frozen=True, repr=False)
class Mixture(Prior):
    """Samples are of a few types, each with parameters of its own; which of them a sample is of is not observed.

    Generative story: ``z_i ~ Categorical(w_i)``, ``theta_i = a[z_i]``, ``a[k] ~ Normal(mean)`` independently for each
    of K types: the prior that the population mean mu has elsewhere, once a type. Without a gate
    ``w_i = w ~ Dirichlet(concentration / K, ...)``; with one, ``w_i = softmax(b + G c_i)``, ``b[k] ~ Normal(0, 1.5)``,
    ``G[k, q] ~ Normal(0, 2.5)``, c standardised. The types z_i are summed out of the likelihood. Where the intercept
    varies, it is that at the predictors' means.

    More types than there are do no harm: under the default concentration types that nothing needs empty out. Types have
    no names, and chains may number them differently: read `posterior.theta`, the shares in falling order at the middle
    of the contexts (``mixture_share``), the standard deviation of coefficients between types there
    (``mixture_spread``) and `responsibilities`, which matches the types of all draws; not ``mixture_component``.

    By itself it is drawn by `Gibbs`, in seconds for hundreds of rows and in time proportional to these; in sums by
    `NUTS`.

    Right when samples fall into types, whose share may depend on context. Fails when parameters drift within a type,
    which is then cut into several: add a smooth prior, ``Mixture(3) + GaussianProcess(c)``.

    Parameters
    ----------
    components
        Number of types K; rather too many than too few.
    gate
        Context columns that say what type to expect; None where only the outcome does.
    on
        Coefficients that types differ in; all by default.
    mean
        Hyperprior of every type's coefficients, a Normal one, in units of outcome / predictor.
    concentration
        Total concentration of the Dirichlet prior of the shares; a small one empties types out. Only without a gate.

    Raises
    ------
    SpecificationError
        Fewer than 2 types, a hyperprior that is not Normal, a concentration that is not positive or stands beside a
        gate, an unknown coefficient.
    InputError
        A context that is missing, infinite, or the same in all rows.

    References
    ----------
    Jacobs, Jordan, Nowlan and Hinton (1991), doi:10.1162/neco.1991.3.1.79. Rousseau and Mengersen (2011),
    doi:10.1111/j.1467-9868.2011.00781.x. Stephens (2000), doi:10.1111/1467-9868.00265.
    """

    components: int
    gate: tuple[str, ...] | list[str] | str | None = None
    on: tuple[str, ...] | list[str] | str | None = None
    mean: Hyperprior = NATURAL_MEAN
    concentration: float | None = None

    def __post_init__(self) -> None:
        owner = self.owner
        whole_number(f"{owner}, which with one type is Population()", 2, components=self.components)
        must_be_normal(owner, mean=self.mean)
        if self.gate is not None and self.concentration is not None:
            raise SpecificationError(f"{owner}: concentration={self.concentration!r} is of shares that all rows have, "
                                     f"and gate={self.gate!r} makes shares depend on context. Drop one of them.")
        if self.concentration is not None:
            positive(owner, concentration=self.concentration)
        object.__setattr__(self, "gate", as_names(self.gate))
        object.__setattr__(self, "on", as_names(self.on))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.gate or ())

    @property
    def name(self) -> str:
        return variable("_".join(("mixture", *self.columns)))

    @property
    def owner(self) -> str:
        return f"Mixture({self.components!r})"

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        owner = self.owner
        if self.components > len(frame):
            raise SpecificationError(f"{owner}: {self.components} types are more than the {len(frame)} rows. Take "
                                     "fewer.")
        contexts = context.learn(frame, tuple(self.gate), owner) if self.gate else ()
        return (Types(self, contexts, coefficients.select(self.on, owner), coefficients),)

    @property
    def replaces_mean(self) -> bool:
        return self.on is None

    @property
    def linear(self) -> bool:
        return False

    @property
    def in_common(self) -> tuple[str, ...]:
        return ("each row's type z_i", "the probabilities of types")

    @property
    def deviation(self) -> str:
        return restricted("a[z_i]", self.on)

    def story(self) -> tuple[str, ...]:
        count = self.components
        lines = (f"a[j, k] ~ {self.mean.words('location[k]', 'unit[k]')} of {count} types j, the intercept at the "
                 "predictors' means", *(() if self.on is None else (f"no mu for {', '.join(self.on)}",)))
        if self.gate:
            return (f"z_i ~ Categorical(softmax(b + G c_i)), c = {', '.join(self.gate)} standardised", *lines,
                    f"b[j] ~ Normal(0, {LEVEL:g}), G[j, q] ~ Normal(0, {SLOPE:g})")
        concentration = (self.concentration or 1.0) / count
        return ("z_i ~ Categorical(w)", *lines, f"w ~ Dirichlet({concentration:g}, ...)")


@final
@dataclass(frozen=True, eq=False)
class Types(Choice):
    """The coefficients of the types, and the probability of each type."""

    prior: Mixture
    contexts: tuple[Context, ...]
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def branches(self) -> int:
        return self.prior.components

    @property
    def types(self) -> dict[str, tuple[str, ...]]:
        """The types, as labels of a dimension."""
        return {f"{self.name}_type": tuple(str(place + 1) for place in range(self.branches))}

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Mean and standard deviation of the coefficients of a type, in data units."""
        return self.prior.mean.arguments(self.coefficients.location[self.positions], self.unit)

    @property
    def prior_mean(self) -> np.ndarray | None:
        return np.broadcast_to(self.arguments["mu"], len(self.positions))

    def parameters(self) -> tuple[Parameter, ...]:
        shape = (self.branches, len(self.positions))
        component = Parameter(f"{self.name}_component", "Normal",
                              {"mu": np.zeros(shape), "sigma": np.broadcast_to(self.arguments["sigma"], shape)},
                              np.zeros(shape), np.broadcast_to(self.unit, shape), self.types | self.varying,
                              diagnosed=False)
        count = self.branches
        if not self.contexts:
            shape = np.full(count, (self.prior.concentration or 1.0) / count)
            return (component, Parameter(f"{self.name}_gate", "Gamma", {"alpha": shape, "beta": np.ones(count)},
                                                np.zeros(count), np.ones(count), self.types, diagnosed=False))
        readings = {f"{self.name}_reading": tuple(label for context in self.contexts for label in context.labels)}
        return (component, normals(f"{self.name}_level_gate", self.types, LEVEL, diagnosed=False),
                normals(f"{self.name}_slope_gate", self.types | readings, SLOPE, diagnosed=False))

    @property
    def alternatives(self) -> Alternatives:
        component, *gate = self.parameters()
        return Alternatives(component, level=gate[0], slope=gate[1]) if self.contexts else Alternatives(
            component, gate=gate[0])

    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        return values[f"{self.name}_component"][..., None, :, :]

    def log_gate(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        if not self.contexts:
            gate = values[f"{self.name}_gate"]
            return (xp.log(gate) - xp.log(gate.sum(axis=-1)[..., None]))[..., None, :]
        slopes = values[f"{self.name}_slope_gate"]
        return log_softmax(values[f"{self.name}_level_gate"][..., None, :] + xp.matmul(features, slopes.mT), xp)

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        ((_, labels),) = self.types.items()
        return {f"{self.name}_share": {f"{self.name}_rank": labels}, f"{self.name}_spread": self.varying}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        middle = np.zeros((1, sum(len(context.labels) for context in self.contexts)))
        share, spread = share_and_spread(self.log_gate(values, middle, xp)[..., 0, :],
                                         values[f"{self.name}_component"], xp)
        return {f"{self.name}_share": share, f"{self.name}_spread": spread}

    def at(self, frame: pd.DataFrame) -> Features:
        readings = [context.at(frame) for context in self.contexts]
        return Features(np.concatenate([np.zeros((len(frame), 0)), *readings], axis=1))

    @property
    def axes(self) -> tuple[Context, ...]:
        return self.contexts
