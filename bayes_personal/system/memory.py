"""Memory: checks that a request fits into the machine's free memory before any array is allocated."""

import sys
from pathlib import Path

from bayes_personal.errors import SpecificationError

# Windows has no limits of this kind.
if sys.platform != "win32":
    import resource

# Above this number of levels, estimating a coefficient for each of them jointly takes hours, whatever the memory.
MOST_LEVELS = 5000
# Number of arrays, each as large as the coded rows or their products, that exist at the same time.
COPIES = 4


def available() -> float:
    """Return the bytes this process can still get, under the limits of the machine, control group and process."""
    limits = [float("inf")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines() if ":" in line)
        limits.append(1024 * float(fields["MemAvailable"].split()[0]))
    group = Path("/sys/fs/cgroup")
    limit, usage = group / "memory.max", group / "memory.current"
    if limit.exists() and usage.exists() and limit.read_text().strip() != "max":
        limits.append(float(limit.read_text()) - float(usage.read_text()))
    if sys.platform != "win32":
        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space != resource.RLIM_INFINITY:
            process = Path("/proc/self/statm")
            pages = int(process.read_text().split()[0]) if process.exists() else 0
            limits.append(float(space - pages * resource.getpagesize()))
    return max(min(limits), 0.0)


def must_fit(size: float, task: str, remedy: str) -> None:
    """Refuse a task that takes more bytes than are free."""
    free = available()
    if size > free:
        raise SpecificationError(f"{task} takes about {gigabytes(size)} of memory, and {gigabytes(free)} are free. "
                                 f"{remedy}")


def must_be_few(levels: int, rows: int, column: str, remedy: str) -> None:
    """Refuse a column with too many levels, where each level is coded as a separate column."""
    size = 8.0 * COPIES * (rows * levels + levels**2)
    if levels > MOST_LEVELS:
        raise SpecificationError(f"{column} has {levels:,} levels, each with a coefficient of its own, for which about "
                                 f"{gigabytes(size)} of memory are needed; at most {MOST_LEVELS:,} are estimated "
                                 f"together. {remedy}")
    must_fit(size, f"{column} has {levels:,} levels: coding {rows:,} rows by them", remedy)


def gigabytes(size: float) -> str:
    """Spell a number of bytes."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
