"""Levels: the distinct values of an outcome that is no number, which a bound model remembers."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from bayes_personal.data.columns import is_number, is_text, must_be_complete, numbers, places
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError, first, shown, warn

# Most levels that are learned from a column: more of them are counts, measurements or names.
MOST = 50
Levels = tuple[str | int | float | bool, ...]


def stated_levels(levels: Any, owner: str) -> Levels | None:
    """Return levels as a user states them, as a tuple; None where they are to be learned."""
    if levels is None:
        return None
    if isinstance(levels, str) or not hasattr(levels, "__iter__"):
        raise SpecificationError(f"{owner}(levels={shown(levels)}): need the levels, two or more, such as "
                                 "levels=['low', 'middle', 'high'].")
    result = tuple(_plain(level) for level in levels)
    wrong = [level for level in result if not isinstance(level, str | int | float | bool)]
    if wrong or len(result) < 2 or len(set(result)) < len(result):
        raise SpecificationError(f"{owner}(levels={shown(levels)}): need two or more different levels, each a text or "
                                 f"a number, such as levels=['low', 'middle', 'high']; got {len(result)}, "
                                 f"{len(set(result))} of them different.")
    return result


def learned_levels(values: pd.Series, role: str, *, ordered: bool) -> Levels:
    """Return the levels of all training outcomes: categories in their order, or sorted values.

    Raises
    ------
    InputError
        One level only, a category without rows, fractional numbers, or very many levels.
    InputTypeError
        Where the order matters, text or categories without one.
    """
    must_be_complete(values, role)
    if isinstance(values.dtype, pd.CategoricalDtype):
        result = _of_categories(values, role, ordered)
    elif is_number(values):
        result = _of_numbers(values, role)
    elif is_text(values) and not ordered:
        result = tuple(sorted(map(str, values.unique())))
    else:
        labels = list(values.unique())
        remedy = (f"State their order, as in levels={[str(label) for label in labels[:3]]!r}, or make it an "
                  "ordered categorical column." if ordered else "Make it text, whole numbers or a categorical column.")
        raise InputTypeError(f"{role}: column {values.name!r} holds {first(labels)}, which have no order. {remedy}")
    if len(result) < 2:
        raise InputError(f"{role}: column {values.name!r} is {first(result)} in all {len(values)} rows: nothing can be "
                         "learned of one level. State the levels that were possible, with levels=.")
    if len(result) > MOST:
        raise InputError(f"{role}: column {values.name!r} has {len(result)} levels, and {MOST} are the most that are "
                         f"learned. {'Take a family of counts or measurements, or make' if ordered else 'Make'} fewer "
                         "levels of them.")
    return result


def _of_categories(values: pd.Series, role: str, ordered: bool) -> Levels:
    categories = values.cat.categories
    if ordered and not values.cat.ordered and len(categories) > 2:
        raise InputTypeError(f"{role}: the categories of column {values.name!r}, {first(list(categories))}, have no "
                             f"order. Give them one with frame[{values.name!r}].cat.set_categories([...], "
                             "ordered=True), lowest first, or state it, as in levels=[...].")
    empty = [category for category in categories if not (values == category).any()]
    if empty:
        raise InputError(f"{role}: no row of column {values.name!r} has the category {first(empty)}, so that its "
                         "probability would rest on the prior. Leave it out with "
                         f"frame[{values.name!r}].cat.remove_unused_categories(), or keep it on purpose, with levels=.")
    return tuple(_plain(category) for category in categories)


def _of_numbers(values: pd.Series, role: str) -> Levels:
    found = np.unique(numbers(values, role))
    if (found != np.floor(found)).any():
        raise InputError(f"{role}: column {values.name!r} holds {found[found != np.floor(found)][0]:g}: levels are "
                         "whole numbers, text or categories. Take a family of measurements, or cut it into levels with "
                         "pandas.cut.")
    between = np.arange(found[0], found[-1] + 1) if found[-1] - found[0] < 2 * len(found) else found
    skipped = [int(number) for number in np.setdiff1d(between, found)]
    if skipped:
        warn(f"{role}: no row of column {values.name!r} is {first(skipped)}, which is taken for no level. Where it "
             "could have been, say so with levels=.", InputWarning)
    return tuple(bool(number) if pd.api.types.is_bool_dtype(values) else int(number) for number in found)


def _plain(level: Hashable) -> Any:
    return level.item() if isinstance(level, np.generic) else level


def level_numbers(values: pd.Series, levels: Levels | None, role: str) -> np.ndarray:
    """Return the place of every row's level, from 0 on, and refuse unseen levels."""
    must_be_complete(values, role)
    if levels is None:
        raise SpecificationError(f"{role}: its levels are not known. State them, as in levels=['low', 'high'].")
    return places(values, levels, role).astype(float)


def labels_of(levels: Levels) -> np.ndarray:
    """Return levels as an array: numbers where all of them are, and objects otherwise."""
    kinds = {type(level) for level in levels}
    return np.array(levels) if len(kinds) == 1 and kinds <= {int, float, bool} else np.array(levels, dtype=object)


def warn_of_empty_levels(outcome: np.ndarray, levels: Levels, role: str, name: str) -> None:
    """Warn of levels that were stated and that no row has."""
    empty = [level for k, level in enumerate(levels) if not (outcome == k).any()]
    if empty:
        warn(f"{role}: no row of column {name!r} has the level {first(empty)}: how likely it is rests on the prior.",
             InputWarning)
