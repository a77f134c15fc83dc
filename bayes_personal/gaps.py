"""Long gaps between values, by a rule that knows no scale."""

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
    if not _has_room(values):
        return np.empty((0, 2))
    values = np.unique(values)
    if len(values) < FEWEST + 2:
        return np.empty((0, 2))
    widths, reach = np.diff(values), values[-1] - values[0]
    found = []
    for k in np.flatnonzero(widths >= SHARE * reach):
        sides = (widths[max(k - NEAREST, 0) : k], widths[k + 1 : k + 1 + NEAREST])
        if any(len(side) >= FEWEST and widths[k] > TIMES * side.max() * (1 + 1e-9) for side in sides):
            found.append((values[k], values[k + 1]))
    return np.array(found).reshape(-1, 2)


def _has_room(values: np.ndarray) -> bool:
    """Whether some gap may be large enough a part of the range: most values have none, and need no sorting."""
    low, reach = values.min(), np.ptp(values)
    if not reach > 0:
        return False
    occupied = np.zeros(BINS + 1, bool)
    for start in range(0, len(values), TOGETHER):
        occupied[((values[start : start + TOGETHER] - low) / reach * BINS).astype(int)] = True
    return bool(np.diff(np.flatnonzero(occupied)).max() >= SHARE * BINS - 1)


def within(gaps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which values lie in one of the gaps, a tenth of it or more from either end, (...)."""
    edge = EDGE * (gaps[:, 1] - gaps[:, 0])
    return ((values[..., None] > gaps[:, 0] + edge) & (values[..., None] < gaps[:, 1] - edge)).any(axis=-1)
