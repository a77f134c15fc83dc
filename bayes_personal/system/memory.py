"""Memory: what is about to be asked for against what the machine has left, before anything is made."""

import sys
from pathlib import Path

from bayes_personal.errors import SpecificationError

# Windows has no limits of this kind.
if sys.platform != "win32":
    import resource

# Levels beyond which one coefficient for each, estimated together with all others, takes hours whatever the memory.
MOST_LEVELS = 5000
# Arrays as large as the coded rows, and as their products, that exist at a time.
COPIES = 4


def available() -> float:
    """Bytes that this process can still get: of the machine, of its control group, of its own limit."""
    limits = [float("inf")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines() if ":" in line)
        limits.append(1024 * float(fields["MemAvailable"].split()[0]))
    group = Path("/sys/fs/cgroup")
    most, used = group / "memory.max", group / "memory.current"
    if most.exists() and used.exists() and most.read_text().strip() != "max":
        limits.append(float(most.read_text()) - float(used.read_text()))
    if sys.platform != "win32":
        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space != resource.RLIM_INFINITY:
            taken = Path("/proc/self/statm")
            pages = int(taken.read_text().split()[0]) if taken.exists() else 0
            limits.append(float(space - pages * resource.getpagesize()))
    return max(min(limits), 0.0)


def must_fit(size: float, what: str, remedy: str) -> None:
    """Refuse what takes more bytes than there are."""
    free = available()
    if size > free:
        raise SpecificationError(f"{what} takes about {gigabytes(size)} of memory, and {gigabytes(free)} are free. "
                                 f"{remedy}")


def must_be_few(levels: int, rows: int, what: str, remedy: str) -> None:
    """Refuse a column whose levels each get a column of their own, where these are too many."""
    size = 8.0 * COPIES * (rows * levels + levels**2)
    if levels > MOST_LEVELS:
        raise SpecificationError(f"{what} has {levels:,} levels, each with a coefficient of its own, for which about "
                                 f"{gigabytes(size)} of memory are needed; at most {MOST_LEVELS:,} are estimated "
                                 f"together. {remedy}")
    must_fit(size, f"{what} has {levels:,} levels: coding {rows:,} rows by them", remedy)


def gigabytes(size: float) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
