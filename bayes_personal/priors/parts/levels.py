"""A context column whose rows fall into groups: its labels, and terms that give each group its own weights."""

import datetime
import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bayes_personal.data.columns import column, spelled, without_unused
from bayes_personal.errors import InputError, InputTypeError, InputWarning, did_you_mean, first, shown, warn
from bayes_personal.priors.parts.base import variable
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.pieces import Term
from bayes_personal.system.arguments import nested

Label = str | int | float | bool | datetime.date | tuple[Hashable, ...]


@final
@dataclass(frozen=True, eq=False)
class Levels:
    """The groups of the training rows.

    Attributes
    ----------
    name : name of the column
    labels : labels as the frame holds them, sorted by their text
    empty : declared categories without training rows
    """

    name: str
    labels: pd.Index
    empty: pd.Index

    @classmethod
    def learn(cls, frame: pd.DataFrame, name: str, owner: str, fewest: int = 2) -> "Levels":
        """Read the labels; a missing label, or fewer than `fewest` labels, is an error."""
        parts = re.split("[/:]", name)
        if name not in frame.columns and len(parts) == 2 and set(parts) <= set(frame.columns):
            raise InputError(f"{owner}: the frame has no column {name!r}. For labels of {parts[1]!r} within each "
                             f"{parts[0]!r}, {nested(*parts)}.")
        values = column(frame, name, owner)
        missing = values.isna().to_numpy()
        if missing.any():
            raise InputError(f"{owner}: {missing.sum()} of {len(values)} labels in column {name!r} are missing (rows "
                             f"{first(values.index[missing])}). Label or drop these rows.")
        kept = without_unused(values, owner)
        _must_label(kept, owner)
        labels = _index(sorted(kept.unique(), key=lambda label: (str(label), type(label).__name__)))
        if len(labels) < fewest:
            raise InputError(f"{owner}: column {name!r} has a single group ({first(labels)}), so that nothing can "
                             "be learned of differences between groups. Use Population().")
        empty = pd.Index([])
        if isinstance(values.dtype, pd.CategoricalDtype):
            empty = _index([label for label in values.cat.categories if label not in kept.cat.categories])
        result = cls(name, labels, empty)
        plain = pd.Index([str(label) for label in labels])
        if plain.has_duplicates:
            warn(f"{owner}: the labels {first(labels[plain.duplicated(keep=False)])} of {name!r} differ but "
                 "read the same; they stay apart.", InputWarning)
        return result

    def place(self, label: Hashable, owner: str) -> int:
        """Return the place of a label among the training labels; a label that no row has is an error."""
        (place,) = self._objects.get_indexer(_index([label]).astype(object))
        if place < 0:
            raise InputError(f"{owner}: no row has the target's label {label!r} in column {self.name!r}. "
                             f"{did_you_mean(str(label), self.text)}")
        return int(place)

    @property
    def text(self) -> tuple[str, ...]:
        """The labels as coordinates; labels that would read the same are spelled out."""
        return spelled(self.labels)

    def at(self, frame: pd.DataFrame) -> Features:
        """Return an indicator for each row. Rows of one new label share a feature; each missing label has its own.

        Warns of new labels that read like a training label of another type, 1 and "1".
        """
        values = column(frame, self.name, f"context {self.name!r}")
        codes = self._alike(values)
        if codes is not None and (codes >= 0).all():
            return Features(_indicators(codes, len(self.labels)), {self.name: np.full(len(codes), "known")})
        missing = values.isna().to_numpy()
        _must_label(values[~missing], f"context {self.name!r}")
        if isinstance(self.labels, pd.DatetimeIndex) and pd.api.types.is_datetime64_any_dtype(values):
            if (self.labels.tz is None) != (values.dt.tz is None):
                raise InputTypeError(f"context {self.name!r} holds dates of time zone {values.dt.tz}; the training "
                                     f"rows' had {self.labels.tz}. Use dt.tz_localize.")
        codes = self._objects.get_indexer(_index(values.astype(object)))
        codes[missing] = -1
        status = np.where(codes >= 0, "known", np.where(missing, "unknown",
                                                        np.where(values.isin(self.empty), "empty", "new")))
        self._warn_of_types(values[status == "new"])
        unseen = np.flatnonzero(codes < 0)
        labels = [("unknown", row) if missing[row] else ("label", values.iloc[row]) for row in unseen]
        order = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        codes[unseen] = [len(self.labels) + order[label] for label in labels]
        return Features(_indicators(codes, len(self.labels) + len(order)), {self.name: status})

    def extended(self, frame: pd.DataFrame) -> "Levels":
        """Return the levels with the new labels of a frame appended to the training labels."""
        values = column(frame, self.name, f"context {self.name!r}")
        codes, place = self.at(frame).matrix.indices, len(self.labels)
        new = [values.iloc[np.flatnonzero(codes == code)[0]] for code in np.unique(codes[codes >= place])]
        return Levels(self.name, _index([*self.labels, *new]), self.empty)

    @cached_property
    def _objects(self) -> pd.Index:
        """The labels as objects, because booleans beside missing values may have become 1.0 and 0.0."""
        return self.labels.astype(object)

    def _alike(self, values: pd.Series) -> np.ndarray | None:
        """Return the codes of labels of the training labels' type, -1 for new labels; None for other types."""
        if isinstance(values.dtype, pd.CategoricalDtype):
            of_categories = self._alike(pd.Series(values.cat.categories))
            return None if of_categories is None else np.append(of_categories, -1)[values.cat.codes]
        dtypes = values.dtype, self.labels.dtype
        integers = all(isinstance(dtype, np.dtype) and dtype.kind in "iu" for dtype in dtypes)
        if integers or (values.dtype == self.labels.dtype and values.dtype != object):
            return self.labels.get_indexer(_index(values))
        return None

    def _warn_of_types(self, values: pd.Series) -> None:
        """Warn of new labels that read like a training label of another type."""
        distinct = values.drop_duplicates()
        alike = values[values.isin(distinct[_read_alike(distinct, self.labels)])]
        if len(alike):
            warn(f"context {self.name!r}: the labels {first(alike.unique())} in {len(alike)} rows read like "
                 f"training labels, which were of another type, such as {first(self.labels[:1])}; they count "
                 "as new groups. Convert the column if they are not.", InputWarning)


def _read_alike(new: pd.Series, labels: pd.Index) -> np.ndarray:
    """Return whether each new label reads like one of the training labels that is of another type.

    Text reads like a number or a date, also where it is spelled differently: "01" like 1, "2024-01-01" like that day.
    """
    result = new.astype(str).isin(set(map(str, labels))).to_numpy(copy=True)
    for of_text, opposite in ((True, [label for label in labels if not isinstance(label, str)]),
                              (False, [label for label in labels if isinstance(label, str)])):
        places = np.flatnonzero([isinstance(label, str) == of_text for label in new])
        for reading in (_numbers, _dates):
            trained = reading(pd.Series(opposite, dtype=object)).dropna()
            result[places] |= reading(new.iloc[places]).isin(trained).to_numpy()
    return result


def _numbers(labels: pd.Series) -> pd.Series:
    return pd.to_numeric(labels.astype(str), errors="coerce")


def _dates(labels: pd.Series) -> pd.Series:
    """Return labels as dates, without their time zone; numbers are none."""
    text = labels.astype(str).where(labels.astype(str).str.match(r"\d{4}-\d\d-\d\d"))
    return pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)


def as_labels(owner: str, target: Any) -> Any:
    """Return the target that a user gave in plain objects: one label as it is, several labels (a list, array, column
    or set) as a tuple, and None as None."""
    if isinstance(target, set | frozenset):
        target = sorted(target, key=str)
    if isinstance(target, np.ndarray | pd.Index | pd.Series | pd.api.extensions.ExtensionArray):
        target = [target.item()] if target.ndim == 0 else pd.Series(target).to_list()
    if isinstance(target, list | tuple):
        target = tuple(plain_label(label) for label in target)
    try:
        hash(target)
    except TypeError as error:
        raise InputTypeError(f"{owner}: target={shown(target)} holds what cannot be a label. Give the label of a "
                             "group, or several in a list.") from error
    return plain_label(target)


def plain_label(label: Any) -> Any:
    """Return an equal label that has no NumPy type."""
    if isinstance(label, np.datetime64):
        return pd.Timestamp(label)
    return label.item() if isinstance(label, np.generic) else label


class Grouped(Term):
    """A term with one feature for each group, which is 1 in the rows of that group."""

    levels: Levels

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        return {variable(self.levels.name): self.levels.text}

    @property
    def size(self) -> int:
        return len(self.levels.labels)

    @property
    def grouped(self) -> bool:
        return True

    def at(self, frame: pd.DataFrame) -> Features:
        return self.levels.at(frame)


def examine_groups(term: Grouped, frame: pd.DataFrame, errors: bool) -> None:
    """Warn of groups too few or too small to show how much groups differ, and refuse them where nothing shows it.

    `errors` says whether the family has parameters of its own, which are learned from the same rows.
    """
    owner, name, rows = term.prior.owner, term.levels.name, np.bincount(term.at(frame).matrix.indices)
    single, pooled = int((rows == 1).sum()), term.prior_mean is None
    if term.excludes_others:
        return
    if errors and pooled and single == len(rows) and len(term.positions) > 1:
        raise InputError(f"{owner}: each of the {single} groups of {name!r} has a single row, and "
                         f"{len(term.positions)} coefficients vary between groups: nothing tells their scales from the "
                         "errors. Let one coefficient vary, as with on='Intercept', or state the errors, as with "
                         "Normal(sd=...).")
    if errors and 2 * single > len(rows):
        reason = ("only rows that share a group tell errors from differences of groups, so that the prior of the scale "
                  "decides much" if pooled else "their parameters are learned from one row, and from the prior")
        warn(f"{owner}: {single} of {len(rows)} groups of {name!r} have a single row; {reason}.", InputWarning)
    elif pooled and len(rows) == 2:
        warn(f"{owner}: {name!r} has two groups, whose one difference says little of a scale: the prior of the "
             "scale decides much.", InputWarning)


def _indicators(codes: np.ndarray, size: int) -> sp.csr_array:
    """Return a matrix with a single 1 in each row, in the column that its code gives, (unit, size)."""
    return sp.csr_array((np.ones(len(codes)), codes, np.arange(len(codes) + 1)), shape=(len(codes), size))


def _index(labels: Any) -> pd.Index:
    """Return an index of labels of any kind, in which a tuple is one entry."""
    return pd.Index(labels, tupleize_cols=False)


def _must_label(values: pd.Series, owner: str) -> None:
    """Refuse labels that cannot be told apart by value, such as lists."""
    for place, label in enumerate(values if pd.api.types.is_object_dtype(values) else ()):
        if not isinstance(label, Hashable):
            raise InputTypeError(f"{owner}: column {values.name!r} holds {type(label).__name__} values such as "
                                 f"{label!r} (row {first(values.index[[place]])}), which cannot label groups. "
                                 "Convert them to text.")

