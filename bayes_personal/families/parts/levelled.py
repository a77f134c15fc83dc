"""Levelled: the shared part of families whose outcomes are levels, and which learn these from the training rows."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.levels import Levels, learned_levels, level_numbers, warn_of_empty_levels


class Levelled(Family):
    """Outcomes that are levels, which stand for 0, 1, ...

    Attributes
    ----------
    levels : the levels, as they were stated or learned; None before either
    """

    levels: Any

    @property
    def labels(self) -> Levels | None:
        return self.levels

    @property
    def remembers(self) -> bool:
        return self.levels is None

    def learned(self, values: pd.Series) -> Self:
        if self.levels is not None:
            return self
        family: Any = self
        return replace(family, levels=learned_levels(values, self._role, ordered=self.ordered))

    @property
    def ordered(self) -> bool:
        return True

    @property
    def _role(self) -> str:
        return f"outcome of a {type(self).__name__} family"

    @property
    def _known(self) -> Levels:
        return self.levels or ()

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return level_numbers(values, self.levels, self._role)

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn of levels that no row has."""
        warn_of_empty_levels(outcome, self._known, self._role, name)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))
