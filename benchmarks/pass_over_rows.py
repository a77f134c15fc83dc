"""One pass over rows in a file: the statistics that everything else is computed from.

10 million rows of four columns, as an Arrow file (memory-mapped, in the page cache) and as Parquet, and one million
rows in memory. `reading` sums every column and does nothing else. `binding` is what the model learns of all rows
first, scalings and ranges; `statistics` makes Z'Z and Z'y, Z with K columns. A product of matrices takes N K (K + 1)
operations for that; `floor` is how long these last at the speed of a large product on one core, measured in the same
process. Times are processor seconds.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.linalg.blas import dgemm

from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from benchmarks.gradient import weights
from benchmarks.measure import Stopwatch, fresh, medians, peak, ratio
from benchmarks.simulated import CASES
from benchmarks.tables import options, publish

ROWS, IN_MEMORY, BLOCK = 10_000_000, 1_000_000, 500_000
FORMATS = ("arrow", "parquet")


def write(folder: Path, rows: int) -> None:
    """The same rows in both formats, a block at a time."""
    made = pa.Table.from_pandas(CASES["smooth"].frame(min(BLOCK, rows)), preserve_index=False)
    with (pa.OSFile(str(folder / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, made.schema) as arrow,
          pq.ParquetWriter(folder / "rows.parquet", made.schema, compression="zstd") as parquet):
        for start in range(0, rows, len(made)):
            # Every block differs from the others, or compression would find the repetition.
            noise = np.random.default_rng(start).normal(size=len(made))
            block = made.set_column(0, "y", pa.array(made["y"].to_numpy() + noise)).slice(0, rows - start)
            arrow.write_table(block, max_chunksize=65_536)
            parquet.write_table(block)


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a file, as it holds them."""
    if path.suffix == ".parquet":
        yield from pq.ParquetFile(path).iter_batches(65_536)
    else:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for place in range(reader.num_record_batches):
                yield reader.get_batch(place)


def read(path: str) -> float:
    """Processor seconds of reading every number once."""
    with Stopwatch() as watch:
        total = sum(float(column.to_numpy(zero_copy_only=False).sum()) for batch in batches(Path(path))
                    for column in batch.columns)
    assert np.isfinite(total)
    return watch.cpu


def speed() -> float:
    """Operations a second of a matrix product on one core, the best of five."""
    a = np.asfortranarray(np.random.default_rng(1).normal(size=(2000, 2000)))
    seconds = []
    for _ in range(5):
        with Stopwatch() as watch:
            dgemm(1.0, a, a)
        seconds.append(watch.cpu)
    return 2 * 2000**3 / min(seconds)


def gather(source: str | int) -> dict[str, Any]:
    """What one pass costs, over the rows of a file or over so many rows in memory."""
    case = CASES["smooth"]
    few = case.model.bind(case.frame(1000))
    _ = GaussianDensity(few).statistics
    data = case.frame(source) if isinstance(source, int) else source
    before = peak()
    with Stopwatch() as binding:
        bound = case.model.bind(data)
    with Stopwatch() as gathering:
        _ = GaussianDensity(bound).statistics
    memory, operations, count, k = peak(), speed(), len(bound.rows), weights(bound)
    floor = count * k * (k + 1) / operations
    return {"rows": count, "weights K": k, "binding, s": binding.cpu, "statistics, s": gathering.cpu,
            "wall of both, s": binding.wall + gathering.wall, "matrix product, GFLOP/s": operations / 1e9,
            "floor, s": floor, "statistics, times floor": ratio(gathering.cpu, floor),
            "peak before, MB": before, "peak, MB": memory}


def table(rows: int, in_memory: int, repetitions: int) -> list[dict[str, Any]]:
    """Every source of rows."""
    result = [{"source": "memory", "repetitions": repetitions, "reading, s": None}
              | medians([fresh(gather, in_memory) for _ in range(repetitions)])]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        for kind in FORMATS:
            path = str(Path(folder, f"rows.{kind}"))
            alone = medians([{"reading, s": fresh(read, path)} for _ in range(repetitions)])
            found = medians([fresh(gather, path) for _ in range(repetitions)])
            result.append({"source": kind, "repetitions": repetitions} | alone | found)
    return result


if __name__ == "__main__":
    given = options(__doc__)
    sizes = (40_000, 10_000) if given.small else (ROWS, IN_MEMORY)
    publish("pass_over_rows", __doc__, {"Passes": table(*sizes, given.repetitions)}, given.small)
