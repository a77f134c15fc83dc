"""Censoring: outcomes of which only bounds are known, stated by a column of events or by two columns of bounds.

The known constant n of a row says what was seen of its outcome:

    -1              the outcome y itself
    infinity        that it is above y: it is censored on the right
    -2              that it is below y: it is censored on the left
    any other       the width of the interval above y that holds it
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import column, is_number, numbers
from bayes_personal.errors import InputError, InputWarning, SpecificationError, first, warn
from bayes_personal.families.parts.measurements import measured
from bayes_personal.families.parts.positive import must_be_positive_numbers
from bayes_personal.kernels.codes import BELOW, SEEN
from bayes_personal.system.arguments import column_name

ABOVE = np.inf


@final
@dataclass(frozen=True)
class Censoring:
    """What a family says of outcomes that were not seen exactly.

    Attributes
    ----------
    owner : name of the family in errors
    event : column that is 1 where the outcome was seen and 0 where it is known to be larger than what stands there
    lower, upper : columns of bounds; an outcome was seen where they are equal
    positive : whether outcomes are positive numbers
    """

    owner: str
    event: str | None
    lower: str | None
    upper: str | None
    positive: bool

    def __post_init__(self) -> None:
        column_name(self.owner, event=self.event, lower=self.lower, upper=self.upper)
        if self.event is not None and (self.lower is not None or self.upper is not None):
            raise SpecificationError(f"{self.owner}: event={self.event!r} and bounds both say what was seen; got "
                                     f"lower={self.lower!r} and upper={self.upper!r} too. Drop one of the two.")
        if (self.lower is None) != (self.upper is None):
            raise SpecificationError(f"{self.owner}: need both bounds; got lower={self.lower!r} and "
                                     f"upper={self.upper!r}. The upper bound of an outcome that was censored on the "
                                     "right is numpy.inf; for such outcomes alone, name a column of 1 and 0 as event=.")

    @property
    def stated(self) -> bool:
        """Whether outcomes may be censored."""
        return bool(self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say what was seen."""
        return tuple(name for name in (self.event, self.lower, self.upper) if name is not None)

    def must_be_alone(self, wrong: bool, what: str) -> None:
        """Refuse what no outcome can have that may be censored."""
        if self.stated and wrong:
            raise SpecificationError(f"{self.owner}: {what} does not go with censored outcomes; got "
                                     f"{', '.join(map(repr, self.columns))}. Drop one of the two.")

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        """Return the outcomes that were seen, and the bounds of others that their constants refer to."""
        role = f"outcome of a {self.owner} family"
        y, label = measured(values, role), f"{role}: column {values.name!r}"
        if self.event is not None:
            self._events(frame)
        if self.lower is None or self.upper is None:
            if self.positive:
                must_be_positive_numbers(y, values.index, label)
            return y
        lower, upper = self._bounds(frame)
        outside = (y < lower) | (y > upper)
        if outside.any():
            place = int(np.argmax(outside))
            raise InputError(f"{label} lies outside {self.lower!r} and {self.upper!r} in {outside.sum()} of {len(y)} "
                             f"rows ({first(values.index[outside])}), the first {y[place]:g} outside "
                             f"{lower[place]:g} and {upper[place]:g}. Where an outcome was not seen any number within "
                             "its bounds may stand, such as one of them.")
        bound = np.where(self._is_below(lower, upper), upper, lower)
        if self.positive:
            must_be_positive_numbers(bound, values.index, f"{role}: {self.lower!r} or {self.upper!r}")
        return bound

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        """Return what was seen of every row; outcomes of rows without these columns are to be predicted."""
        if not set(self.columns) <= set(frame.columns):
            return np.full(len(frame), SEEN)
        if self.event is not None:
            return np.where(self._events(frame) == 1, SEEN, ABOVE)
        if not self.stated:
            return np.full(len(frame), SEEN)
        lower, upper = self._bounds(frame)
        with np.errstate(invalid="ignore"):
            width = upper - lower
        return np.select([lower == upper, upper == np.inf, self._is_below(lower, upper)], [SEEN, ABOVE, BELOW], width)

    def _is_below(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Return where an outcome was censored on the left."""
        return (lower == -np.inf) | (self.positive & (lower == 0) & (upper > 0))

    def _events(self, frame: pd.DataFrame) -> np.ndarray:
        role = f"{self.owner}(event=...)"
        values = column(frame, str(self.event), role)
        event = numbers(values, role)
        wrong = ~np.isin(event, (0.0, 1.0))
        if wrong.any():
            raise InputError(f"{role}: column {self.event!r} takes the values {first(sorted(values.unique()), 5)}; "
                             f"{wrong.sum()} of {len(event)} rows are neither 0 nor 1 "
                             f"({first(values.index[wrong])}). Recode it: 1 where the end was seen, 0 where it was "
                             "not seen until then.")
        return event

    def _bounds(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = (_bound(frame, str(name), f"{self.owner}({which}=...)")
                        for which, name in (("lower", self.lower), ("upper", self.upper)))
        for wrong, words, remedy in (
                (lower > upper, f"{self.lower!r} is above {self.upper!r}", "Are the two columns swapped?"),
                ((lower == -np.inf) & (upper == np.inf), f"{self.lower!r} and {self.upper!r} are both infinite",
                 "Such rows say nothing: drop them."),
                ((lower == np.inf) | (upper == -np.inf), f"both bounds {self.lower!r} and {self.upper!r} are the same "
                 "infinity", "Need the bound that is known."),
                (self.positive & (lower < 0) & (lower > -np.inf), f"{self.lower!r} is negative",
                 "Outcomes of this family are positive: the bound of one that was censored on the left is 0."),
                (self.positive & (upper <= 0), f"{self.upper!r} is not positive",
                 "Outcomes of this family are positive."),
                (self.positive & (lower <= 0) & (upper == np.inf), f"{self.lower!r} is 0 and {self.upper!r} infinite",
                 "Such rows say nothing: drop them.")):
            if wrong.any():
                raise InputError(f"{self.owner}: {words} in {wrong.sum()} of {len(lower)} rows "
                                 f"({first(frame.index[wrong])}). {remedy}")
        return lower, upper

    def examine(self, constants: np.ndarray, name: str) -> None:
        """Warn where all outcomes are censored on the same side."""
        for side, words, end in ((ABOVE, "right", "large"), (BELOW, "left", "small")):
            if self.stated and (constants == side).all():
                warn(f"outcome of a {self.owner} family: column {name!r} is censored on the {words} in all "
                     f"{len(constants)} rows. The likelihood has no maximum: how {end} outcomes are rests on the "
                     "prior.", InputWarning)

    def ends(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the time until which every row was seen, and whether it ended then: in intervals, at the middle."""
        ended = constants != ABOVE if self.stated else np.ones(len(outcome), bool)
        return middles(outcome, constants) if self.stated else outcome, ended

    def seen(self, constants: np.ndarray) -> np.ndarray:
        """Return what was seen of every row: these constants, which of exact outcomes may be errors."""
        return constants if self.stated else np.full(len(constants), SEEN)

    def uncensored(self, outcome: pd.Series) -> dict[str, np.ndarray]:
        """Return these columns of rows whose outcomes were all seen."""
        seen = outcome.to_numpy(float)
        return {name: np.ones(len(seen)) if name == self.event else seen for name in self.columns}

    def story(self) -> tuple[str, ...]:
        """Return what is known of outcomes, in words."""
        if self.event is not None:
            return (f"known of y_i: its value where {self.event}_i = 1; where {self.event}_i = 0 that it is larger",)
        return (f"known of y_i: {self.lower}_i <= y_i <= {self.upper}_i",) if self.stated else ()


def middles(outcome: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """Return the outcomes that were seen, the middles of intervals, and the only bounds of other rows."""
    return outcome + 0.5 * np.where((constants > 0) & (constants < ABOVE), constants, 0.0)


def mean_of_times(outcome: np.ndarray, constants: np.ndarray) -> float:
    """Return the sum of all times over the number of those that ended, the likeliest mean of an exponential time."""
    ended = max(float((constants != ABOVE).sum()), 0.5)
    return float(middles(outcome, constants).sum() / ended)


def _bound(frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column of bounds, which may be infinite."""
    values = column(frame, name, role)
    if not is_number(values):
        return numbers(values, role)
    infinite = np.isinf(values.to_numpy(float, na_value=np.nan))
    result = numbers(values.astype(float).mask(infinite, 0.0) if infinite.any() else values, role).astype(float)
    return np.where(infinite, values.to_numpy(float, na_value=np.nan), result)
