"""What a family is: p(y_i | eta_i), eta_i = x_i' theta_i. A family never sees the context."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd


class Family(ABC):
    """One likelihood. Its columns are known constants of a row: standard errors, trials, exposure."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of the frame that it reads beside the outcome."""

    @abstractmethod
    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        """The outcome as numbers, or an error that says why it cannot be one of this family."""

    @abstractmethod
    def location_scale(self, outcome: np.ndarray, frame: pd.DataFrame) -> tuple[float, float]:
        """Where eta is expected and the natural unit of its variation, on the scale of the link."""

    @abstractmethod
    def declare(self, eta: Any, outcome: np.ndarray, frame: pd.DataFrame, unit: float) -> None:
        """Declare dispersion and the observed variable ``y``, dims "unit", in the open model."""

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """The family in words, a line a statement."""
