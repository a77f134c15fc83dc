"""Tables in files: those that a person gives, and those that a command writes."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

import bayes_personal as bp
from bayes_personal.cli.screen import say
from bayes_personal.data.columns import unit_labels
from bayes_personal.data.comma_separated import read_csv
from bayes_personal.errors import InputError, did_you_mean
from bayes_personal.system.writing import must_be_writable, write_whole


def read(source: str, like: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read a dataset by name or a file by its suffix; labels in a CSV file are read as in the training rows `like`."""
    names, name = list(bp.datasets()["name"]), source.removeprefix("dataset:")
    if source != name or source in names:
        return bp.load_dataset(name)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"There is no file and no dataset {source!r}. {did_you_mean(source, names)}")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return read_csv(path, like)
    except pa.ArrowInvalid as error:
        raise InputError(f"{source!r} cannot be read as {path.suffix}: {error}") from error
    raise InputError(f"{source!r} ends in {path.suffix or 'no suffix'}: need a .csv or .parquet file.")


def check_out(out: Path | None, *suffixes: str) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if out is None:
        return
    if out.suffix not in suffixes:
        raise InputError(f"--out {str(out)!r} must end in {' or '.join(suffixes)}.")
    must_be_writable(out)


def write(frame: pd.DataFrame, out: Path | None, label: str) -> None:
    """Write a table, its index as the column `label`."""
    if out is None:
        return
    table = frame.set_axis(unit_labels(frame.index)).rename_axis(label).reset_index()
    content = table.to_csv(index=False).encode() if out.suffix == ".csv" else table.to_parquet(index=False)
    write_whole(out, content)
    say(f"Written: {out}", "green")
