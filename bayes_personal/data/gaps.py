"""Long gaps between values, by a rule that does not depend on their unit."""

from collections.abc import Iterator

import numpy as np

# A long gap is more than `TIMES` times as wide as each of the nearest gaps on one side, of which at least `FEWEST` and
# at most `NEAREST` count, and at least the part `SHARE` of the whole range.
TIMES, FEWEST, NEAREST, SHARE = 10.0, 3, 5, 0.05
# Part of a gap at either end that still counts as near to the values at that end.
EDGE = 0.1
# Number of bins of the range in which large gaps are searched, and of values that are sorted into them at a time.
BINS, TOGETHER = 1000, 8192


def long_gaps(values: np.ndarray) -> np.ndarray:
    """Return the long gaps between distinct values: the values before and after each, (gap, 2).

    A gap is long if it is more than ten times as wide as each of the nearest gaps on one of its sides (five of them, or
    as many as there are, but at least three), and at least a twentieth of the range. Values in clusters have
    long gaps; evenly spaced values, those drawn from one distribution, and doses that double or rise tenfold have none.
    """
    gaps = [gap for place in _open_places(values) if (gap := _long_gap_at(values, place)) is not None]
    return np.array(gaps).reshape(-1, 2)


def _open_places(values: np.ndarray) -> np.ndarray:
    """Return a place in each gap that may be a large enough part of the range; most data have none and need no sort."""
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
    """Return the gap around a place; None if it is not long."""
    below = above = np.empty(0)
    for part in _parts(values):
        below = np.unique(np.concatenate([below, part[part <= place]]))[-NEAREST - 1 :]
        above = np.unique(np.concatenate([above, part[part > place]]))[: NEAREST + 1]
    width = above[0] - below[-1]
    sides = np.diff(below), np.diff(above)
    is_long = any(len(side) >= FEWEST and width > TIMES * side.max() * (1 + 1e-9) for side in sides)
    return (below[-1], above[0]) if is_long and width >= SHARE * np.ptp(values) else None


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the values a part at a time, to avoid a copy of all."""
    for start in range(0, len(values), TOGETHER):
        yield values[start : start + TOGETHER]


def within(gaps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return which values lie in a gap, at least a tenth of its width from either end, (...)."""
    edge = EDGE * (gaps[:, 1] - gaps[:, 0])
    return ((values[..., None] > gaps[:, 0] + edge) & (values[..., None] < gaps[:, 1] - edge)).any(axis=-1)
