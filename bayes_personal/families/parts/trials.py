"""Trials: the shared part of families of successes out of a known number of trials."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_personal.data.columns import column
from bayes_personal.errors import InputError, InputWarning, SpecificationError, first, warn
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.counts import counts
from bayes_personal.families.parts.separation import warn_of_separation


@dataclass(frozen=True, repr=False)
class Trials(Family):
    """Successes, of which a row has as many as it has trials at most."""

    trials: str

    def __post_init__(self) -> None:
        if not isinstance(self.trials, str):
            raise SpecificationError(f"{self.owner}: trials={self.trials!r} must name the column with the number of "
                                     "trials of each row; put one number into a column of the frame.")

    @property
    def owner(self) -> str:
        """The name of the family in errors."""
        return type(self).__name__

    @property
    def _role(self) -> str:
        return f"outcome of a {self.owner} family"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.trials,)

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        y, trials = counts(values, self._role), self.constants(frame)
        above = y > trials
        if above.any():
            worst = int(np.argmax(above))
            raise InputError(f"{self._role}: column {values.name!r} has more successes than {self.trials!r} has trials "
                             f"in {above.sum()} of {len(y)} rows ({first(values.index[above])}), the first "
                             f"{y[worst]:g} of {trials[worst]:g}. Are the two columns swapped?")
        return y

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn where all trials end the same way."""
        successes, trials = outcome.sum(), constants.sum()
        if successes in (0, trials):
            warn(f"{self._role}: column {name!r} has no {'success' if successes == 0 else 'failure'} in all "
                 f"{trials:g} trials. The likelihood has no maximum: how near to 0 or 1 the probabilities are rests on "
                 "the prior.", InputWarning)

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        role = f"{self.owner}(trials=...)"
        values = column(frame, self.trials, role)
        trials = counts(values, role)
        if (trials == 0).any():
            raise InputError(f"{role}: column {self.trials!r} is 0 in {(trials == 0).sum()} of {len(trials)} rows "
                             f"({first(values.index[trials == 0])}). Such rows say nothing: drop them.")
        return trials

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "0", "1"

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn where the predictors separate successes from failures."""
        successes, failures = x[outcome > 0], x[outcome < constants]
        y = np.repeat([1.0, 0.0], [len(successes), len(failures)])
        warn_of_separation(y, np.concatenate([successes, failures]), names)
