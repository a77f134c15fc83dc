"""Rates: the shared part of families of counts whose rows may differ in exposure."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_personal.data.columns import column, numbers
from bayes_personal.errors import InputError, InputWarning, first, warn
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.counts import counts
from bayes_personal.system.arguments import column_name


@dataclass(frozen=True, repr=False)
class Rates(Family):
    """Counts with the mean ``exposure_i exp(eta_i)``; the exposure is 1 where no column is named."""

    exposure: str | None = None

    def __post_init__(self) -> None:
        column_name(self.owner, exposure=self.exposure)

    @property
    def owner(self) -> str:
        """The name of the family in errors."""
        return type(self).__name__

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.exposure is None else (self.exposure,)

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return counts(values, self._role)

    @property
    def _role(self) -> str:
        return f"outcome of a {self.owner} family"

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn where nothing was counted."""
        if not outcome.any():
            warn(f"{self._role}: column {name!r} is 0 in all {len(outcome)} rows. The likelihood has no maximum: how "
                 "small the rates are rests on the prior.", InputWarning)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        if self.exposure is None:
            return np.ones(len(frame))
        role = f"{self.owner}(exposure=...)"
        values = column(frame, self.exposure, role)
        exposure = numbers(values, role)
        if (exposure <= 0).any():
            raise InputError(f"{role}: column {self.exposure!r} is not positive in {(exposure <= 0).sum()} of "
                             f"{len(exposure)} rows ({first(values.index[exposure <= 0])}). Nothing can be counted "
                             "there: drop these rows. Give the exposure itself, not its logarithm.")
        return exposure

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        # Where no event was counted, half an event is assumed in total.
        return float(np.log(max(outcome.sum(), 0.5)) - np.log(constants.sum())), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "log of the mean rate", "1"

    @property
    def rate(self) -> str:
        """The mean, in words."""
        return f"{'' if self.exposure is None else f'{self.exposure}_i '}exp(x_i' theta_i)"
