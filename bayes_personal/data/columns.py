"""Frames of all supported libraries, and their columns: looked up by name, checked, read as numbers."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from bayes_personal.errors import InputError, InputTypeError, InputWarning, did_you_mean, first, shown, warn

# Largest absolute value: products of two natural units beyond it overflow float64.
LARGEST = 1e75
# Least spread relative to the largest value: below it, rounding leaves fewer than four digits of the differences.
RESOLUTION = 2.0**-40


def table(frame: Any) -> pd.DataFrame:
    """Return a pandas, polars or Arrow frame as pandas, with its columns and index unchanged.

    Later changes of the frame do not reach the result. Columns of objects, of Arrow or of nullable text take
    pandas' own dtype.
    """
    if isinstance(frame, pd.DataFrame):
        result = frame
    else:
        try:
            native = nw.from_native(frame)
        except TypeError as error:
            raise InputTypeError(f"Need a pandas, polars or Arrow frame; got {type(frame).__name__}.") from error
        result = (native.collect() if isinstance(native, nw.LazyFrame) else native).to_pandas()
    if result.columns.nlevels > 1:
        raise InputError(f"The frame's columns have {result.columns.nlevels} levels: flatten them, for example with "
                         "frame.columns = ['_'.join(map(str, names)) for names in frame.columns].")
    repeated = list(result.columns[result.columns.duplicated()])
    if repeated:
        raise InputError(f"The frame has more than one column named {first(repeated)}: rename or drop all but one.")
    if len(result) == 0:
        raise InputError("The frame has 0 rows.")
    return plain(result)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose columns have pandas' own dtypes; later changes of `frame` do not reach it."""
    result = frame.copy(deep=False)
    for name, dtype in result.dtypes.items():
        if isinstance(dtype, pd.ArrowDtype):
            result[name] = pa.array(result[name]).to_pandas().set_axis(result.index)
        elif isinstance(dtype, pd.StringDtype):
            # formulaic mistakes other dtypes of text for numbers.
            result[name] = result[name].astype("str")
    return result.infer_objects()


def column(frame: pd.DataFrame, name: str, role: str) -> pd.Series:
    """Return a column by its name, or raise an error that lists the columns."""
    must_have(frame.columns, name, role, frame.index.names)
    return frame[name]


def must_have(columns: pd.Index, name: str, role: str, levels: Sequence[Hashable] = ()) -> None:
    """Refuse a name that is not among a frame's columns; `levels` are the names of its index."""
    if not isinstance(name, str):
        raise InputTypeError(f"{role}: a column's name must be text; got {shown(name)}.")
    if name not in columns:
        index = "Its index is called so: make it a column with frame.reset_index(). " if name in levels else ""
        raise InputError(f"{role}: the frame has no column {name!r}. {index}{did_you_mean(name, columns)}")


def numbers(series: pd.Series, role: str) -> np.ndarray:
    """Return a column of finite numbers as float64."""
    name = series.name
    if series.dtype == np.float64 and isinstance(series.dtype, np.dtype) and are_fine(series.to_numpy()):
        return series.to_numpy()
    must_be_complete(series, role)
    if not is_number(series):
        bad = np.isnan(np.asarray(pd.to_numeric(series.astype(str), errors="coerce"))) & series.notna().to_numpy()
        row = int(np.argmax(bad | (series.notna().to_numpy() & ~bad.any())))
        raise InputTypeError(f"{role}: column {name!r} holds {series.dtype} values such as {series.iloc[row]!r} (row "
                             f"{first(series.index[[row]])}), not real numbers. Convert it first, for example with "
                             "pandas.to_numeric.")
    if pd.api.types.is_integer_dtype(series) and ((series > 2**53) | (series < -(2**53))).any():
        beyond = (series > 2**53) | (series < -(2**53))
        raise InputError(f"{role}: column {name!r} holds integers beyond 2**53, which float64 cannot tell apart, "
                         f"in {beyond.sum()} rows ({first(series.index[beyond])}). Rescale it.")
    values = series.to_numpy(dtype=float)
    must_be_finite(values, series.index, f"{role}: column {name!r}")
    return values


def are_fine(values: np.ndarray) -> bool:
    """Return whether float64 values and their squares are finite."""
    return len(values) > 0 and bool(-LARGEST <= values.min() and values.max() <= LARGEST)


def must_be_finite(values: np.ndarray, index: pd.Index, label: str) -> None:
    """Refuse infinities, and values whose squares overflow float64."""
    if are_fine(values):
        return
    infinite, large = np.isinf(values), np.abs(values) > LARGEST
    if infinite.any():
        raise InputError(f"{label} is infinite in {infinite.sum()} of {len(values)} rows ({first(index[infinite])}). "
                         "Remove or cap these values.")
    if large.any():
        raise InputError(f"{label} is beyond {LARGEST:g} in {large.sum()} of {len(values)} rows "
                         f"({first(index[large])}). Rescale it.")


def must_be_complete(series: pd.Series, role: str) -> None:
    """Refuse missing values: rows are never dropped silently."""
    missing = series.isna().to_numpy()
    if missing.any():
        raise InputError(f"{role}: column {series.name!r} is missing in {missing.sum()} of {len(series)} rows "
                         f"({first(series.index[missing])}). Impute them, or drop them with "
                         f"frame.dropna(subset=[{series.name!r}]).")


def is_number(series: pd.Series) -> bool:
    """Return whether a column holds real numbers or booleans."""
    return (pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series)) and not (
        pd.api.types.is_complex_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype))


def is_text(series: pd.Series) -> bool:
    """Return whether a column holds only text."""
    return isinstance(series.dtype, pd.StringDtype)


def must_not_read_as_numbers(series: pd.Series, role: str) -> None:
    """Refuse text that is a number in every row: it would silently be treated as a category."""
    if not is_text(series):
        return
    distinct = series.drop_duplicates()
    if not np.isnan(pd.to_numeric(distinct.str.replace(",", "."), errors="coerce")).any():
        raise InputTypeError(f"{role}: column {series.name!r} holds text such as {series.iloc[0]!r} (row "
                             f"{first(series.index[[0]])}) that reads as a number. Convert it with pandas.to_numeric, "
                             f"or, where it labels categories, with frame[{series.name!r}].astype('category').")


def must_not_read_as_dates(series: pd.Series, role: str) -> None:
    """Refuse text that is a date in every row: each day would silently be a category of its own."""
    if is_text(series) and series.drop_duplicates().str.match(r"\d{4}-\d\d-\d\d").all():
        raise InputTypeError(f"{role}: column {series.name!r} holds text such as {series.iloc[0]!r} (row "
                             f"{first(series.index[[0]])}) that reads as a date. Convert it with pandas.to_datetime, "
                             f"or, where it labels categories, with frame[{series.name!r}].astype('category').")


def without_unused(series: pd.Series, role: str) -> pd.Series:
    """Return a categorical column without unused categories, and warn of these."""
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return series
    result = series.cat.remove_unused_categories()
    unused = [category for category in series.cat.categories if category not in result.cat.categories]
    if unused:
        warn(f"{role}: {len(unused)} categories of {series.name!r} have no rows and are left out of the "
             f"fit: {first(unused)}.", InputWarning)
    return result


def places(values: pd.Series, levels: Sequence[Hashable], role: str) -> np.ndarray:
    """Return the position of every row's level among the levels of training; refuse other levels.

    Equal values of several types are one level: 1, 1.0 and True.
    """
    training = pd.Index(list(levels), dtype=object, tupleize_cols=False)
    try:
        if isinstance(values.dtype, pd.CategoricalDtype):
            categories = pd.Index(values.cat.categories, dtype=object, tupleize_cols=False)
            codes = np.append(training.get_indexer(categories), -1)[values.cat.codes]
        else:
            # Converted to objects, because pandas has its own rules to compare columns and levels of different dtypes.
            codes = training.get_indexer(pd.Index(values, dtype=object, tupleize_cols=False))
    except TypeError as error:
        raise InputTypeError(f"{role}: column {values.name!r} holds values that cannot be compared with the levels of "
                             f"training, {first(levels)}: {error}. Convert it first.") from error
    unseen = codes < 0
    if unseen.any():
        labels = values[unseen].unique()
        kinds = {str(level): type(level).__name__ for level in levels}
        twins = [label for label in labels if str(label) in kinds]
        of_type = (f" {first(twins[:1])} is of type {type(twins[0]).__name__}, and the level that reads the same is of "
                   f"type {kinds[str(twins[0])]}: convert the column." if twins else "")
        raise InputError(f"{role}: column {values.name!r} has the level {first(labels)} in {unseen.sum()} rows "
                         f"({first(values.index[unseen])}), not seen in training. Allowed: {first(levels, 20)}."
                         f"{of_type}")
    return codes


def spelled(labels: Iterable[Hashable]) -> tuple[str, ...]:
    """Return labels as distinct texts: labels that would read the same are spelled by their repr."""
    labels = tuple(labels)
    count = Counter(map(str, labels))
    return tuple(repr(label) if count[str(label)] > 1 else str(label) for label in labels)


def unit_labels(index: pd.Index) -> np.ndarray:
    """Return the index of a frame as labels of its units, one a row, for selection in xarray and storage in NetCDF.

    Numbers, booleans, dates without a time zone and text are unchanged, even if repeated: ``sel(unit=label)`` then
    gives all rows of that label. The labels of a MultiIndex are its levels as text, joined by a comma and a space;
    labels of any other kind are converted to text. Different labels that would read the same are then spelled by
    their repr.
    """
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in "biufM":
        return index.to_numpy()
    plain_index = index if isinstance(index, pd.MultiIndex) else index.astype(object).infer_objects()
    if isinstance(plain_index.dtype, np.dtype) and plain_index.dtype.kind in "biufM":
        return plain_index.to_numpy()
    labels = plain_index.to_list()
    if not all(isinstance(label, str) for label in labels):
        text = {label: ", ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in labels}
        count = Counter(text.values())
        labels = [text[label] if count[text[label]] == 1 else repr(label) for label in labels]
    return np.array(labels, dtype=object)


def must_resolve(spread: float, low: float, high: float, label: str) -> None:
    """Refuse values from `low` to `high` whose differences float64 cannot distinguish from rounding."""
    if not spread > max(1 / LARGEST, RESOLUTION * max(abs(low), abs(high))):
        raise InputError(f"{label} runs from {low!s} to {high!s}: float64 cannot resolve so narrow a range. Subtract a "
                         "constant from it, or rescale it.")
