"""A linear prior of one's own: coefficients that swing with the seasons."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

import bayes_personal as bp
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors import Prior
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.testing import check_prior


@final
@dataclass(frozen=True, repr=False)
class Seasonal(Prior):
    """theta_i = mu + a sin(2 pi t_i / period) + b cos(2 pi t_i / period), a, b ~ Normal(0, scale)."""

    time: str
    period: float = 1.0
    scale: bp.Hyperprior = bp.Hyperprior("HalfNormal", sigma=1.0, relative=True)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.time,)

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        return (Waves(self, np.arange(len(coefficients.names)), coefficients),)

    @property
    def deviation(self) -> str:
        return f"season({self.time}_i)"

    def story(self) -> tuple[str, ...]:
        return (f"season(t)[k] = a[k] sin(2 pi t / {self.period:g}) + b[k] cos(2 pi t / {self.period:g})",
                f"a[k], b[k] ~ Normal(0, {self.time}_scale[k])",
                f"{self.time}_scale[k] ~ {self.scale.words(unit='unit[k]')}")


@final
@dataclass(frozen=True, eq=False)
class Waves(Term):
    """A sine and a cosine, whose weights have one scale a coefficient."""

    prior: Seasonal
    positions: np.ndarray
    coefficients: Coefficients

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {f"{self.name}_wave": ("sine", "cosine")}

    def parameters(self) -> tuple[Parameter, ...]:
        return (self.prior.scale.bind(f"{self.name}_scale", 0.0, self.unit, self.varying),)

    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        return values[f"{self.name}_scale"][..., None, :], None

    def at(self, frame: pd.DataFrame) -> Features:
        angle = 2 * np.pi * frame[self.prior.time].to_numpy(float) / self.prior.period
        return Features(np.column_stack([np.sin(angle), np.cos(angle)]))


def check() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"t": rng.uniform(0, 3, 50), "x": rng.normal(size=50), "g": np.repeat(list("abcde"), 10)})
    check_prior(Seasonal("t"), frame)
    check_prior(Seasonal("t") + bp.PartialPooling("g"), frame, family=bp.Poisson())
