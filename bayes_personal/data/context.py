"""A context column as numbers, centred and scaled by the training rows; new rows are read in the same way."""

import datetime
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from bayes_personal.data.columns import (
    column,
    is_number,
    is_text,
    must_be_complete,
    must_not_read_as_dates,
    must_not_read_as_numbers,
    must_resolve,
    numbers,
    places,
    spelled,
    without_unused,
)
from bayes_personal.data.gaps import long_gaps, within
from bayes_personal.data.moments import Moments
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError, first, warn
from bayes_personal.system.memory import must_be_few


@final
@dataclass(frozen=True, eq=False)
class Context:
    """One context column.

    Attributes
    ----------
    name : name of the column
    levels : levels of a categorical column that occur in training, in order; empty for a numeric column
    zoned : whether a column of dates has a time zone; None where it holds no dates
    center, spread : mean and standard deviation of the readings of the training rows, (reading,)
    low, high : the training range, as numbers
    gaps : the training values on both sides of each long gap between them, as numbers, (gap, 2): see `gaps`
    """

    name: str
    levels: tuple[Hashable, ...]
    zoned: bool | None
    center: np.ndarray
    spread: np.ndarray
    low: float
    high: float
    gaps: np.ndarray

    @classmethod
    def learn(cls, frame: pd.DataFrame, name: str, owner: str) -> "Context":
        """Read a column of numbers, booleans, dates, text or categories; refuse a constant column.

        Unused categories are left out, with a warning.
        """
        values = _read(column(frame, name, owner), owner)
        levels: tuple[Hashable, ...] = ()
        zoned = None
        if isinstance(values.dtype, pd.CategoricalDtype):
            levels = tuple(without_unused(values, owner).cat.categories)
        elif is_text(values):
            must_not_read_as_numbers(values, owner)
            must_not_read_as_dates(values, owner)
            levels = tuple(sorted(values.unique()))
        elif _holds_dates(values):
            zoned = values.dt.tz is not None
        must_be_few(len(levels), len(values), f"{owner}: context {name!r}",
                    f"PartialPooling({name!r}) gives every level an effect of its own, and keeps them sparse.")
        plain = cls(name, levels, zoned, np.zeros(1), np.ones(1), -np.inf, np.inf, np.empty((0, 2)))
        if levels:
            share = np.bincount(places(values, levels, owner), minlength=len(levels)) / len(values)
            center, spread, low, high = share, np.sqrt(share * (1 - share)), 0.0, float(len(levels) > 1)
        else:
            moments = Moments.of(plain._numbers(values)[:, 0])
            center, low, high = moments.mean, float(moments.low[0]), float(moments.high[0])
            spread = moments.spread_about(center)
        if low == high:
            raise InputError(f"{owner}: context {name!r} is {first(values.iloc[:1])} in all {len(values)} rows, so "
                             "that nothing can vary with it. Leave it out; without any context the model is "
                             "Population().")
        if len(levels) == len(values) > 2:
            warn(f"{owner}: every row has its own level of {name!r}, so that the data say nothing of how much "
                 "it matters. If it is an identifier, leave it out.", InputWarning)
        for width in spread:
            must_resolve(width, low, high, f"{owner}: context {name!r}")
        gaps = plain.gaps if levels else long_gaps(plain._numbers(values)[:, 0])
        return cls(name, levels, zoned, center, spread, low, high, gaps)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the readings: one for a numeric column, one a level for a categorical column."""
        return tuple(f"{self.name}[{level}]" for level in spelled(self.levels)) or (self.name,)

    @property
    def if_dates(self) -> str:
        """The advice for levels that are ISO dates as text; empty for other levels."""
        dates = all(re.match(r"\d{4}-\d\d-\d\d", str(level)) for level in self.levels)
        return f"Its text reads as dates: convert it with pandas.to_datetime(frame[{self.name!r}]). " * dates

    def _numbers(self, column: pd.Series) -> np.ndarray:
        """Return the readings of a column, (row, reading)."""
        label = f"context {self.name!r}"
        if self.zoned is None and not self.levels and is_number(column):
            return numbers(column, label)[:, None]
        if self.levels:
            must_be_complete(column, label)
            codes = places(column, self.levels, "context")
            indicators = np.zeros((len(codes), len(self.levels)))
            indicators[np.arange(len(codes)), codes] = 1.0
            return indicators
        values = _read(column, label)
        if self.zoned is None:
            raise InputTypeError(f"{label} holds {values.dtype} values; the training rows held numbers. Convert it "
                                 "first.")
        if not _holds_dates(values):
            raise InputTypeError(f"{label} holds {values.dtype} values; the training rows held "
                                 "dates. Convert it with pandas.to_datetime.")
        if self.zoned != (values.dt.tz is not None):
            raise InputTypeError(f"{label} holds dates with{'out' * self.zoned} a time zone; "
                                 f"the training rows' had {'one' if self.zoned else 'none'}. Use dt.tz_localize.")
        utc = values.dt.tz_convert("UTC").dt.tz_localize(None) if self.zoned else values
        # Seconds cover any year that a date can have.
        return ((utc - pd.Timestamp(0).as_unit("s")).dt.total_seconds() / 86400).to_numpy(float)[:, None]

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the standardised readings of any rows, (unit, reading); dates are counted in days."""
        return (self._numbers(column(frame, self.name, "context")) - self.center) / self.spread

    def outside(self, frame: pd.DataFrame) -> np.ndarray:
        """Return which rows lie outside the training range."""
        values = self._numbers(column(frame, self.name, "context"))
        return ((values < self.low) | (values > self.high)).any(axis=1)

    def between(self, frame: pd.DataFrame) -> np.ndarray:
        """Return which rows lie in the middle of a long gap between training values."""
        return within(self.gaps, self._numbers(column(frame, self.name, "context"))[:, 0])

    @property
    def gaps_in_words(self) -> str:
        """The ends of the first gaps, spelled in the column's own unit."""
        ends = [[str(pd.Timestamp(0) + pd.Timedelta(days=end)) if self.zoned is not None else f"{end:.6g}"
                 for end in gap] for gap in self.gaps[:3]]
        return ", ".join(f"from {low} to {high}" for low, high in ends) + ", ..." * (len(self.gaps) > 3)


def _read(values: pd.Series, owner: str) -> pd.Series:
    """Return a column without missing values, of a kind allowed for contexts; convert plain dates to timestamps."""
    must_be_complete(values, owner)
    if is_number(values) or is_text(values) or isinstance(values.dtype, pd.CategoricalDtype) or _holds_dates(values):
        return values
    kinds = sorted({type(value).__name__ for value in values})
    if kinds == ["date"]:
        return pd.to_datetime(values)
    if all(isinstance(value, datetime.datetime) for value in values):
        raise InputTypeError(f"{owner}: column {values.name!r} mixes time zones, or dates with and without one. "
                             "Convert it with pandas.to_datetime(..., utc=True).")
    raise InputTypeError(f"{owner}: column {values.name!r} holds {' and '.join(kinds)} values such as "
                         f"{values.iloc[0]!r} (row {first(values.index[[0]])}): need numbers, booleans, dates, text or "
                         "categories. Convert it first.")


def _holds_dates(values: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(values)


def learn(frame: pd.DataFrame, names: Sequence[str], owner: str) -> tuple[Context, ...]:
    """Read several context columns."""
    if not names:
        raise SpecificationError(f"{owner}: name at least one context column.")
    contexts = tuple(Context.learn(frame, name, owner) for name in names)
    if len(set(names)) < len(names):
        raise SpecificationError(f"{owner}: names a context column twice.")
    return contexts

