"""Normal: measurements with an unknown or a known error."""

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pandas as pd
import pymc as pm

from bayes_personal.data import column, numbers
from bayes_personal.errors import InputError, SpecificationError, first
from bayes_personal.families.base import Family
from bayes_personal.hyperprior import Hyperprior


@final
@dataclass(frozen=True)
class Normal(Family):
    """Measurements with Normal errors.

    Generative story: ``y_i ~ Normal(x_i' theta_i, sigma)``; with `sd`, ``y_i ~ Normal(x_i' theta_i, sd_i)``.

    Right for symmetric errors of one size, or of known sizes as in a meta-analysis. Fails with outliers.

    Parameters
    ----------
    sd
        Column of known standard errors, in units of the outcome; by default one unknown sigma.
    sigma
        Hyperprior of sigma, in units of the outcome; not used with `sd`.

    Raises
    ------
    SpecificationError
        A sigma that can be negative.
    InputError
        An outcome that does not vary, or a standard error that is not positive.
    """

    sd: str | None = None
    sigma: Hyperprior = field(default_factory=lambda: Hyperprior("HalfNormal", sigma=1.0, relative=True))

    def __post_init__(self) -> None:
        if not self.sigma.positive:
            raise SpecificationError(f"Normal: sigma={self.sigma!r} can be negative; use HalfNormal or its like.")

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.sd is None else (self.sd,)

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        y = numbers(values, "outcome of a Normal family")
        if len(y) > 1 and np.ptp(y) == 0:
            raise InputError(f"outcome: column {values.name!r} is {y[0]:g} in all {len(y)} rows: zero variance.")
        return y

    def location_scale(self, outcome: np.ndarray, frame: pd.DataFrame) -> tuple[float, float]:
        return float(outcome.mean()), float(outcome.std()) or 1.0

    def declare(self, eta: Any, outcome: np.ndarray, frame: pd.DataFrame, unit: float) -> None:
        if self.sd is None:
            sigma = self.sigma.declare("sigma", 0.0, unit)
        else:
            sigma = numbers(column(frame, self.sd, "Normal(sd=...)"), "Normal(sd=...)")
            if (sigma <= 0).any():
                raise InputError(f"Normal(sd={self.sd!r}): standard errors must be positive; "
                                 f"rows {first(frame.index[sigma <= 0])} are not.")
        pm.Normal("y", eta, sigma, observed=outcome, dims="unit")

    def story(self) -> tuple[str, ...]:
        if self.sd is not None:
            return (f"y_i ~ Normal(x_i' theta_i, {self.sd}_i)",)
        return ("y_i ~ Normal(x_i' theta_i, sigma)", f"sigma ~ {self.sigma.words(unit='sd(y)')}")
