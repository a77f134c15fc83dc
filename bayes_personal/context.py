"""A context column as numbers: centred and scaled once, on the training rows, and read the same ever after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.data import absent, column, numbers
from bayes_personal.errors import InputError, InputTypeError, SpecificationError, first


@final
@dataclass(frozen=True, eq=False)
class Context:
    """One context column.

    Attributes
    ----------
    name : of the column
    levels : of a categorical column, in order; none for a numeric one
    zoned : whether a column of dates carries a time zone; None where it holds no dates
    center, spread : mean and standard deviation of what the training rows hold, (reading,)
    low, high : the training range, as numbers
    """

    name: str
    levels: tuple[Any, ...]
    zoned: bool | None
    center: np.ndarray
    spread: np.ndarray
    low: float
    high: float

    @classmethod
    def learn(cls, frame: pd.DataFrame, name: str, owner: str) -> "Context":
        """Read a column of numbers, booleans, dates or categories; one value for all rows is an error."""
        values = column(frame, name, owner)
        absent(values, owner)
        levels: tuple[Any, ...] = ()
        if _categorical(values):
            levels = tuple(sorted(values.unique(), key=str))
        zoned = values.dt.tz is not None if pd.api.types.is_datetime64_any_dtype(values) else None
        if values.nunique() < 2:
            raise InputError(f"{owner}: context {name!r} is {first(values.unique())} in all {len(values)} rows, so that "
                             "nothing can vary with it. Leave it out; without any context the model is Population().")
        raw = cls(name, levels, zoned, np.zeros(1), np.ones(1), -np.inf, np.inf)._numbers(values, owner)
        spread = raw.std(axis=0)
        if not np.isfinite(spread).all() or (spread == 0).any():
            raise InputError(f"{owner}: context {name!r} runs from {raw.min():g} to {raw.max():g}, too wide or too "
                             "narrow for float64. Rescale it.")
        return cls(name, levels, zoned, raw.mean(axis=0), spread, float(raw.min()), float(raw.max()))

    @property
    def labels(self) -> tuple[str, ...]:
        """What its readings are called: one for a numeric column, one a level for a categorical one."""
        return tuple(f"{self.name}[{level}]" for level in self.levels) or (self.name,)

    def _numbers(self, values: pd.Series, owner: str) -> np.ndarray:
        absent(values, owner)
        if self.levels:
            unseen = ~values.isin(self.levels).to_numpy()
            if unseen.any():
                raise InputError(f"{owner}: context {self.name!r} has the level {first(values[unseen].unique())} in "
                                 f"{unseen.sum()} rows, not seen in training. Allowed: {first(self.levels, 20)}.")
            return (values.to_numpy()[:, None] == np.array(self.levels, dtype=object)[None, :]).astype(float)
        if (self.zoned is not None) != pd.api.types.is_datetime64_any_dtype(values):
            raise InputTypeError(f"{owner}: context {self.name!r} holds {values.dtype} values; the training rows held "
                                 f"{'dates' if self.zoned is not None else 'numbers'}.")
        if self.zoned is None:
            return numbers(values, owner)[:, None]
        if self.zoned != (values.dt.tz is not None):
            raise InputTypeError(f"{owner}: context {self.name!r} holds dates with{'out' * self.zoned} a time zone; "
                                 f"the training rows' had {'one' if self.zoned else 'none'}. Use dt.tz_localize.")
        utc = values.dt.tz_convert("UTC").dt.tz_localize(None) if self.zoned else values
        return ((utc - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(float)[:, None]

    def at(self, frame: pd.DataFrame) -> np.ndarray:
        """The standardised readings of any rows, (unit, reading); dates count in days."""
        owner = f"context {self.name!r}"
        return (self._numbers(column(frame, self.name, owner), owner) - self.center) / self.spread

    def outside(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows lie outside the training range."""
        owner = f"context {self.name!r}"
        values = self._numbers(column(frame, self.name, owner), owner)
        return ((values < self.low) | (values > self.high)).any(axis=1)


def _categorical(values: pd.Series) -> bool:
    """Whether a column holds categories rather than numbers, booleans or dates; text is a category."""
    numeric = pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return True
    if numeric or pd.api.types.is_datetime64_any_dtype(values):
        return False
    kinds = sorted({type(value).__name__ for value in values})
    if kinds == ["str"]:
        return True
    if kinds == ["datetime"] or kinds == ["Timestamp"]:
        raise InputTypeError(f"context {values.name!r} mixes time zones, or holds dates as objects. Convert it with "
                             "pandas.to_datetime(..., utc=True).")
    raise InputTypeError(f"context {values.name!r} holds {', '.join(kinds)} objects such as {values.iloc[0]!r}: need "
                         "numbers, booleans, dates or text.")


def learn(frame: pd.DataFrame, names: Sequence[str], owner: str) -> tuple[Context, ...]:
    """Read several context columns."""
    if not names:
        raise SpecificationError(f"{owner}: name at least one context column.")
    if len(set(names)) < len(names):
        raise SpecificationError(f"{owner}: names a context column twice.")
    return tuple(Context.learn(frame, name, owner) for name in names)


def outside(contexts: Sequence[Context], frame: pd.DataFrame) -> Mapping[str, np.ndarray]:
    """By context column, which rows lie outside the training range."""
    return {context.name: context.outside(frame) for context in contexts if not context.levels}
