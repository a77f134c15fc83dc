"""Long gaps between values, by a rule that knows no scale."""

from collections.abc import Iterator

import numpy as np

# A long gap is so many times as wide as any of the nearest gaps on one side, of which there are at least `FEWEST` and
# at most `NEAREST`, and so large a part of the whole range.
TIMES, FEWEST, NEAREST, SHARE = 10.0, 3, 5, 0.05
# Part of a gap, at either end, that still counts as near to the values there.
EDGE = 0.1
# Parts of the range by which values without large gaps are known, and values that are put into them together.
BINS, TOGETHER = 1000, 8192


def long_gaps(values: np.ndarray) -> np.ndarray:
    """Where distinct values have long gaps: the values before and after each, (gap, 2).

    A gap is long where it is more than ten times as wide as each of the nearest gaps on one of its sides, five of them
    where there are as many and never fewer than three, and at least a twentieth of the range. Values in clusters have
    long gaps; evenly spaced values, those drawn from one distribution, and doses that double or rise tenfold have none.
    """
    found = [gap for place in _open_places(values) if (gap := _long_gap_at(values, place)) is not None]
    return np.array(found).reshape(-1, 2)


def _open_places(values: np.ndarray) -> np.ndarray:
    """A place in each gap that may be large enough a part of the range: most values have none, and need no sorting."""
    low, reach = values.min(), np.ptp(values)
    if not reach > 0:
        return np.empty(0)
    occupied = np.zeros(BINS + 1, bool)
    for part in _parts(values):
        occupied[((part - low) / reach * BINS).astype(int)] = True
    bins = np.flatnonzero(occupied)
    wide = np.flatnonzero(np.diff(bins) >= SHARE * BINS - 1)
    return low + (bins[wide] + 1 + bins[wide + 1]) / 2 / BINS * reach


def _long_gap_at(values: np.ndarray, place: float) -> tuple[float, float] | None:
    """The gap around a place; None where it is not long."""
    below = above = np.empty(0)
    for part in _parts(values):
        below = np.unique(np.concatenate([below, part[part <= place]]))[-NEAREST - 1 :]
        above = np.unique(np.concatenate([above, part[part > place]]))[: NEAREST + 1]
    width = above[0] - below[-1]
    sides = np.diff(below), np.diff(above)
    beside = any(len(side) >= FEWEST and width > TIMES * side.max() * (1 + 1e-9) for side in sides)
    return (below[-1], above[0]) if beside and width >= SHARE * np.ptp(values) else None


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """The values, some at a time, so that no copy of all is made."""
    for start in range(0, len(values), TOGETHER):
        yield values[start : start + TOGETHER]


def within(gaps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values lie in one of the gaps, a tenth of it or more from either end, (...)."""
    edge = EDGE * (gaps[:, 1] - gaps[:, 0])
    return ((values[..., None] > gaps[:, 0] + edge) & (values[..., None] < gaps[:, 1] - edge)).any(axis=-1)
