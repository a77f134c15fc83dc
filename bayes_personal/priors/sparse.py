"""Sparse: of many coefficients that all rows share most are near zero, and a few are as large as their data say."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import Hyperprior, must_be_positive
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.base import Prior, as_names, restricted
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.horseshoe import LOCAL
from bayes_personal.priors.parts.pieces import Term

OVERALL = Hyperprior("HalfCauchy", beta=0.05, relative=True)
SLAB = Hyperprior("LogNormal", mu=0.0, sigma=0.5, relative=True)
INTERCEPT = "Intercept"


@final
@dataclass(frozen=True, repr=False)
class Sparse(Prior):
    """Most coefficients are near zero and a few are not, and nobody says which: a regularised horseshoe.

    Generative story: ``theta_k = b_k`` in all rows, ``b_k ~ Normal(0, scale_k)``,

    ``scale_k^2 = slab_k^2 wide_k^2 / (slab_k^2 + wide_k^2)``, ``wide_k = unit_k overall local_k``,
    ``slab_k = unit_k slab``, ``overall ~ HalfCauchy(0.05)``, ``local_k ~ HalfCauchy(1)``, ``slab ~ LogNormal(0, 0.5)``.

    A small overall scale pulls all coefficients to zero; the heavy tails of the local ones let go of those that data
    speak for, which then are as good as ``Normal(0, slab_k)``. These coefficients have no population mean mu, whose
    place b takes; the others, and the intercept, keep theirs. The intercept is that at the predictors' means, so that
    the prior does not depend on where a predictor has its zero: the entry of ``sparse_effect`` for the intercept is
    what b moves it by at zero predictors.

    Right when predictors are many and few of them matter. Fails where many coefficients are small and none is zero:
    it then takes some of them for nothing, and shrinks too much. No coefficient is ever exactly zero. Where predictors
    go together, some draws keep the one and some the other.

    It adds to priors of what varies: ``GaussianProcess("c") + Sparse()`` has functions of c around sparse levels, and
    ``GaussianProcess("c", on="x1") + Sparse(on=["x2", "x3"])`` a function and two coefficients.

    Parameters
    ----------
    on
        Coefficients most of which are near zero; all but the intercept by default.
    overall
        Hyperprior of the overall scale: in natural units of the coefficients where it is relative, as the default is;
        in units of outcome / predictor where it is not. Where m of p coefficients are expected to matter, Piironen and
        Vehtari take ``m / (p - m) / sqrt(rows)`` as its median, in natural units of the errors.
    slab
        Hyperprior of the standard deviation of coefficients that are not pulled to zero, in the same units. Few
        coefficients are, so that the posterior of it is much like its hyperprior, which should stay away from zero.

    Raises
    ------
    SpecificationError
        A hyperprior that can be negative, an unknown coefficient, the intercept among `on`, or a formula without
        predictors.

    References
    ----------
    Piironen and Vehtari (2017), doi:10.1214/17-EJS1337SI. Carvalho, Polson and Scott (2010), doi:10.1093/biomet/asq017.
    """

    on: tuple[str, ...] | list[str] | str | None = None
    overall: Hyperprior = OVERALL
    slab: Hyperprior = SLAB

    def __post_init__(self) -> None:
        object.__setattr__(self, "on", as_names(self.on))
        must_be_positive(self.owner, overall=self.overall, slab=self.slab)
        if INTERCEPT in (self.on or ()):
            raise SpecificationError(f"{self.owner}: nothing pulls the intercept to zero, as the outcome may have any "
                                     "mean; it keeps mu. Leave it out of on=.")

    def within(self, members: Mapping[str, tuple[str, ...]], everything: frozenset[str]) -> Prior | None:
        # All coefficients but the intercept are none where there are no predictors.
        predictors = {name for names in members.values() for name in names} - {"Intercept"}
        return None if self.on is None and not predictors else super().within(members, everything)

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    @property
    def name(self) -> str:
        return "sparse"

    @property
    def owner(self) -> str:
        return f"Sparse({'' if self.on is None else f'on={list(self.on)}'})"

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        selected = coefficients.select(self.on, self.owner)
        chosen = selected[~coefficients.intercept[selected]]
        if not len(chosen):
            raise SpecificationError(f"{self.owner}: the formula has no predictor, and so no coefficient that could be "
                                     "near zero. Name predictors in the formula, or use Population().")
        # The intercept is among the coefficients so that predictors are centred; its own weight has the scale 0.
        place = coefficients.place
        intercept = np.flatnonzero(coefficients.intercept & np.isin(place, place[chosen]))
        return (SparseTerm(self, np.array([*intercept, *chosen]), coefficients),)

    @property
    def deviation(self) -> str:
        return restricted("b", self.on)

    def story(self) -> tuple[str, ...]:
        wide, slab = ("unit[k] " if each.relative else "" for each in (self.overall, self.slab))
        which = "coefficients but the intercept" if self.on is None else ", ".join(self.on)
        return (f"b[k] ~ Normal(0, sparse_scale[k]), no mu for {which}; the intercept at the predictors' means",
                "sparse_scale[k] = slab[k] wide[k] / sqrt(slab[k]^2 + wide[k]^2), "
                f"slab[k] = {slab}sparse_slab, wide[k] = {wide}sparse_overall sparse_local[k]",
                f"sparse_overall ~ {self.overall.words()}, sparse_local[k] ~ {LOCAL.words()}, "
                f"sparse_slab ~ {self.slab.words()}")


@final
@dataclass(frozen=True, eq=False)
class SparseTerm(Term):
    """The coefficients b of all rows, after a weight of the intercept that is always 0."""

    prior: Sparse
    positions: np.ndarray
    coefficients: Coefficients

    @cached_property
    def sparse(self) -> np.ndarray:
        """Positions of the coefficients most of which are near zero, (sparse,)."""
        return self.positions[~self.coefficients.intercept[self.positions]]

    @property
    def predictors(self) -> dict[str, tuple[str, ...]]:
        """These coefficients as labels of a dimension."""
        return {f"{self.name}_predictor": tuple(self.coefficients.names[k] for k in self.sparse)}

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_feature": ("all rows",)}

    @property
    def prior_mean(self) -> np.ndarray:
        return np.where(np.isin(self.positions, self.sparse), 0.0, np.nan)

    def parameters(self) -> tuple[Parameter, ...]:
        return (self.prior.overall.bind(f"{self.name}_overall"),
                self.prior.slab.bind(f"{self.name}_slab"),
                LOCAL.bind(f"{self.name}_local", 0.0, np.ones(len(self.sparse)), self.predictors))

    def scale(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Return the standard deviations of b, (..., sparse)."""
        unit, one = self.coefficients.unit[self.sparse], np.ones(len(self.sparse))
        slab = values[f"{self.name}_slab"][..., None] * (unit if self.prior.slab.relative else one)
        wide = values[f"{self.name}_overall"][..., None] * values[f"{self.name}_local"]
        wide = wide * unit if self.prior.overall.relative else wide
        return wide / xp.sqrt(1 + (wide / slab) ** 2)

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        scale = self.scale(values, xp)
        intercepts = len(self.positions) - len(self.sparse)
        if intercepts:
            scale = xp.concatenate([0 * scale[..., :intercepts], scale], axis=-1)
        return scale[..., None, :], None

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return {f"{self.name}_scale": self.predictors}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        return {f"{self.name}_scale": self.scale(values, xp)}

    def at(self, frame: pd.DataFrame) -> Features:
        return Features(np.ones((len(frame), 1)))
