"""The labels of a context column whose rows fall into groups."""

import warnings
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bayes_personal.data import column
from bayes_personal.errors import InputError, InputWarning, first
from bayes_personal.priors.base import Features


@final
@dataclass(frozen=True, eq=False)
class Levels:
    """The groups of the training rows.

    Attributes
    ----------
    name : of the column
    labels : as they stand in the frame, sorted by their text
    empty : declared categories without training rows
    text : the labels as text, all different
    """

    name: str
    labels: pd.Index
    empty: pd.Index

    @classmethod
    def learn(cls, frame: pd.DataFrame, name: str, owner: str) -> "Levels":
        """Read the labels; a missing one, or a single one for all rows, is an error."""
        values = column(frame, name, owner)
        missing = values.isna().to_numpy()
        if missing.any():
            raise InputError(f"{owner}: {missing.sum()} of {len(values)} labels in column {name!r} are missing (rows "
                             f"{first(values.index[missing])}). Label or drop these rows.")
        labels = pd.Index(sorted(values.unique(), key=lambda label: (str(label), type(label).__name__)))
        if len(labels) < 2:
            raise InputError(f"{owner}: column {name!r} has a single group ({first(labels)}), so that nothing can "
                             "be learned of differences between groups. Use Population().")
        empty = pd.Index([])
        if isinstance(values.dtype, pd.CategoricalDtype):
            empty = values.cat.categories.difference(labels)
            if len(empty):
                warnings.warn(f"{owner}: {len(empty)} categories of {name!r} have no rows and are left out of the "
                              f"fit: {first(empty)}.", InputWarning, stacklevel=2)
        result = cls(name, labels, empty)
        if len(set(map(str, labels))) < len(labels):
            shared = labels[pd.Index(list(map(str, labels))).duplicated(keep=False)]
            warnings.warn(f"{owner}: the labels {first(shared)} of {name!r} differ but read the same; they stay apart.",
                          InputWarning, stacklevel=2)
        return result

    @property
    def text(self) -> tuple[str, ...]:
        """The labels as coordinates; those that would read the same are spelled out."""
        plain = [str(label) for label in self.labels]
        return tuple(repr(label) if plain.count(word) > 1 else word
                     for label, word in zip(self.labels, plain, strict=True))

    def at(self, frame: pd.DataFrame) -> Features:
        """One indicator a row. Rows of one new label share a feature; every missing label has its own."""
        values = column(frame, self.name, f"context {self.name!r}")
        codes = self.labels.get_indexer(pd.Index(values))
        missing = values.isna().to_numpy()
        codes[missing] = -1
        status = np.where(codes >= 0, "known", np.where(missing, "unknown",
                                                        np.where(values.isin(self.empty), "empty", "new")))
        unseen = np.flatnonzero(codes < 0)
        labels = [("unknown", row) if missing[row] else ("label", values.iloc[row]) for row in unseen]
        order = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        codes[unseen] = [len(self.labels) + order[label] for label in labels]
        shape = (len(values), len(self.labels) + len(order))
        matrix = sp.csr_array((np.ones(len(values)), codes, np.arange(len(values) + 1)), shape=shape)
        return Features(matrix, {self.name: status})
