"""Tables of results as Markdown and CSV, with the machine that they were made on."""

import argparse
import csv
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("bayes-personal", "numpy", "scipy", "numba", "pymc", "pytensor", "nutpie", "arviz", "pandas", "pyarrow",
            "bambi", "statsmodels", "gpboost", "mgwr", "scikit-learn")
Row = Mapping[str, Any]


def options(description: str, parts: Sequence[str] = (), repetitions: int | None = 3) -> argparse.Namespace:
    """What the command line says: sizes, repetitions where a benchmark has any, and of one in parts those to run."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="sizes that run in a minute; prints and writes no table")
    if repetitions:
        parser.add_argument("--repetitions", type=int, metavar="N",
                            help=f"fresh processes, or data sets, for each measurement; {repetitions} unless told")
    if parts:
        parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(parts)}; all unless named")
    given = parser.parse_args()
    if parts and (unknown := set(given.parts) - set(parts)):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    if repetitions:
        given.repetitions = given.repetitions or (1 if given.small else repetitions)
    return given


def machine() -> list[str]:
    """Processor, memory, versions and the day."""
    # The libraries whose threads and kernels are looked up have to be loaded.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_info

    model = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    blas = sorted({f"{one['internal_api']} {one['version']} ({one.get('architecture', 'unknown')})"
                   for one in threadpool_info() if one["user_api"] == "blas"})
    return [f"{date.today().isoformat()}; {model}, {os.cpu_count()} cores, {memory:.0f} GiB; "
            f"{platform.system()}, Python {platform.python_version()}; {', '.join(blas)}, one thread.",
            ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed(name))) + "."]


def installed(name: str) -> str | None:
    """Version of a package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def shown(value: Any) -> str:
    """A value as a reader wants it: three digits that count."""
    if value is None:
        return ""
    if isinstance(value, str | int):
        return f"{value:,}" if isinstance(value, int) else value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: Sequence[Row]) -> str:
    """Rows with the same or fewer columns as the first, as a table."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([shown(row.get(name)) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def publish(name: str, description: str, tables: Mapping[str, Sequence[Row]], small: bool) -> None:
    """Print the tables, and unless they are of a small run keep them: one Markdown file, and a CSV file for each.

    Parameters
    ----------
    description
        Of the benchmark: its first line is the title.
    tables
        Rows by the title of their table; the first one's CSV file has the benchmark's own name.
    """
    title, _, text = description.strip().partition("\n")
    parts = [f"# {title.rstrip('.')}", text.strip(), *machine()]
    for heading, rows in tables.items():
        parts += [f"## {heading}", markdown(rows)]
    document = "\n\n".join(part for part in parts if part) + "\n"
    print(document)
    if small:
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(document, encoding="utf-8")
    for place, (heading, rows) in enumerate(tables.items()):
        stem = name if place == 0 else f"{name}_{heading.lower().replace(' ', '_')}"
        with (RESULTS / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
