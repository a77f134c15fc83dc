"""Censored: the shared part of families of which some outcomes may not have been seen exactly."""

from typing import ClassVar

import numpy as np
import pandas as pd

from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.censoring import Censoring


class Censored(Family):
    """Outcomes of which some may be known by bounds alone.

    Attributes
    ----------
    event, lower, upper : columns that say what was seen, see `Censoring`
    positive : whether outcomes are positive numbers
    """

    event: str | None
    lower: str | None
    upper: str | None
    positive: ClassVar[bool]

    def __post_init__(self) -> None:
        super().__post_init__()
        # It refuses columns that contradict each other.
        _ = self.censoring

    @property
    def censoring(self) -> Censoring:
        """What is known of outcomes."""
        return Censoring(type(self).__name__, self.event, self.lower, self.upper, self.positive)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *self.censoring.columns)

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return self.censoring.outcome(values, frame)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn where all outcomes are censored on the same side."""
        self.censoring.examine(constants, name)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return self.censoring.constants(frame) if self.censoring.stated else np.ones(len(frame))

    def ends(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.censoring.ends(outcome, constants)

    def seen(self, constants: np.ndarray) -> np.ndarray:
        return self.censoring.seen(constants)

    def uncensored(self, outcome: pd.Series) -> dict[str, np.ndarray]:
        return self.censoring.uncensored(outcome)
