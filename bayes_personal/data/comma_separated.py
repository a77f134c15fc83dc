"""CSV files, which have no types: whether values are numbers, dates or labels is inferred from a whole column."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from bayes_personal.data.columns import is_number
from bayes_personal.errors import InputError, InputWarning, first, warn

# Arrow creates these functions when it is imported, so type checkers do not know them.
pc: Any = pyarrow.compute
# A number with a leading zero before another digit, as in identifiers: "007" is not 7.
PADDED = r"^\s*[+-]?0[0-9]+(\.[0-9]*)?\s*$"
# First bytes of UTF-16.
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SEPARATORS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}


def read_csv(path: Path, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read the rows of a CSV file.

    ISO dates become dates. A column in which any number has a leading zero becomes text, because its values are
    identifiers, and "1", "01" and "001" are three of them.

    Parameters
    ----------
    path
        Path of the file: UTF-8, separated by commas.
    like
        Training rows: labels that read like a training label are that label, and columns that are numeric in training
        are numeric.

    Raises
    ------
    InputError
        A file that is not UTF-8, or not separated by commas.
    pyarrow.ArrowInvalid
        A file that is not a table.
    """
    must_be_commas(path)
    training = {} if like is None else {str(name): like[name] for name in like}
    text = [name for name, values in training.items() if pd.api.types.infer_dtype(values, skipna=True) == "string"]
    table = typed(path, dict.fromkeys(text, pa.string()))
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InputError(f"{str(path)!r}: the text in column {field.name!r} is not UTF-8. Save the file as UTF-8.")
    numeric = [field.name for field in table.schema if pa.types.is_integer(field.type) or
               pa.types.is_floating(field.type)]
    padded = identifiers(path, [name for name in numeric if name not in training or not is_number(training[name])])
    if padded:
        table = typed(path, dict.fromkeys([*text, *padded], pa.string()))
    warn_of_words(path, table)
    frame = table.to_pandas(date_as_object=False)
    for name in frame.columns.intersection(list(training)):
        if pd.api.types.is_string_dtype(frame[name]) and name not in text:
            labels = {str(label): label for label in training[name].unique()}
            frame[name] = frame[name].map(lambda word, labels=labels: labels.get(word, word)).astype(object)
    return frame


def must_be_commas(path: Path) -> None:
    """Refuse other encodings, and other separators, with which Arrow would read a single column."""
    with path.open("rb") as file:
        header = file.readline(2**16)
    if header.startswith(UTF_16) or b"\x00" in header:
        raise InputError(f"{str(path)!r} is not UTF-8: it looks like UTF-16. Save the file as UTF-8.")
    mark = next((separator for separator in SEPARATORS if separator in header), None)
    if mark is not None and b"," not in header:
        raise InputError(f"{str(path)!r} is separated by {SEPARATORS[mark]} ({mark.decode()!r}). Separate its "
                         "columns by commas, and write numbers with a decimal point.")


def warn_of_words(path: Path, table: pa.Table) -> None:
    """Warn of words that mean a missing value in columns of text, because such a word may be meant as a label."""
    text = [name for name, column in zip(table.column_names, table.columns, strict=True)
            if pa.types.is_string(column.type) and column.null_count]
    if not text:
        return
    written = typed(path, dict.fromkeys(table.column_names, pa.string()), words=True)
    for name in text:
        words = pd.unique(written[name].filter(pc.is_null(table[name])).to_pandas()).tolist()
        words = [word for word in words if word]
        if words:
            warn(f"{str(path)!r}: {first(words)} in column {name!r} stands for a missing value. Where it is "
                 "a label, write another.", InputWarning)


def typed(path: Path, types: Mapping[str, pa.DataType], words: bool = False) -> pa.Table:
    """Read the table, with given types for some columns, and for the others the type that all their values have.

    With `words`, text such as "NA" stays text instead of becoming a missing value.
    """
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=not words)
    return pyarrow.csv.read_csv(path, convert_options=options)


def identifiers(path: Path, names: list[str]) -> list[str]:
    """Return the names of those columns, among some columns of numbers, in which any number has a leading zero."""
    if not names:
        return []
    words = typed(path, dict.fromkeys(names, pa.string()))
    return [name for name, column in zip(words.column_names, words.columns, strict=True)
            if name in names and pc.any(pc.match_substring_regex(column, PADDED)).as_py()]
