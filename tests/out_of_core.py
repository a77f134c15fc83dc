"""A table of every kind of column, and how it is cut into files."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayes_personal.data.moments import SLICE

ROWS = SLICE + 4465
# Where files end, and rows a row group in each.
FILES = ((0, 30_000, 997), (30_000, 30_001, 5), (30_001, ROWS, 20_011))


def save(frame: pd.DataFrame | pa.Table, folder: Path) -> Path:
    """A table as Parquet files of unequal sizes, with row groups of unequal sizes."""
    table = pa.Table.from_pandas(frame, preserve_index=False) if isinstance(frame, pd.DataFrame) else frame
    folder.mkdir()
    for place, (start, stop, size) in enumerate(FILES):
        part = table.slice(start, stop - start)
        if len(part):
            pq.write_table(part, folder / f"part_{place}.parquet", row_group_size=size)
    return folder


def every_kind() -> pd.DataFrame:
    """Numbers far from zero and large, and every kind of column; some levels come in the last file only."""
    rng = np.random.default_rng(8)
    late = np.arange(ROWS) > ROWS - 40
    x, c = 1e8 + 1e8 * rng.normal(size=ROWS), rng.uniform(20, 80, ROWS)
    start = pd.Timestamp("2021-03-01 06:00")
    return pd.DataFrame({
        "y": 1e8 + x * (1 + np.sin(c / 9)) + 1e8 * rng.normal(size=ROWS), "x": x, "z": rng.uniform(1, 9, ROWS), "c": c,
        "near": 1e8 + rng.normal(size=ROWS), "count": rng.integers(0, 40, ROWS).astype("int16"),
        "label": np.where(late, "zeta", rng.choice(["d", "a", "c", "b"], ROWS)),
        "kind": pd.Categorical(np.where(late, "last", rng.choice(["lo", "hi"], ROWS)), ["hi", "lo", "last"]),
        "site": np.where(late, 7, rng.integers(100, 130, ROWS)).astype("int32"),
        "flag": rng.choice([True, False], ROWS), "whole": pd.array(rng.integers(0, 9, ROWS), dtype="Int64"),
        "day": start + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D"),
        "utc": (start + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="h")).tz_localize("UTC"),
        "date": [datetime.date(2020, 1, 1) + datetime.timedelta(int(k)) for k in rng.integers(0, 5, ROWS)],
        "blood pressure": rng.normal(120, 9, ROWS), "a.b": rng.normal(size=ROWS), "se": rng.uniform(1e8, 3e8, ROWS)})
