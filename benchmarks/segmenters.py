"""One series segmented by ruptures or Rbeast, in an environment of its own.

`python segmenters.py ROWS.npz ANSWER.npz PEER` reads y and the standard deviation of its errors, and writes the level
of every row, how many changes there are, and the seconds of the fit.
"""

import sys
import time

import numpy as np


def ruptures(y: np.ndarray, error: float) -> tuple[np.ndarray, float]:
    """Least squares with the penalty of BIC a change, the errors' standard deviation known."""
    from ruptures import KernelCPD

    ends = KernelCPD(kernel="linear", min_size=1).fit(y[:, None]).predict(pen=2 * error**2 * np.log(len(y)))
    parts = np.split(y, ends[:-1])
    return np.concatenate([np.full(len(part), part.mean()) for part in parts]), len(ends) - 1


def rbeast(y: np.ndarray, error: float) -> tuple[np.ndarray, float]:
    """Steps without a season, averaged over their number and places by reversible jumps."""
    import Rbeast

    found = Rbeast.beast(y, season="none", torder_minmax=[0, 0], tcp_minmax=[0, 50], mcmc_seed=1,
                         print_progress=False, print_options=False, quiet=True)
    return np.ravel(found.trend.Y), float(np.ravel(found.trend.ncp)[0])


if __name__ == "__main__":
    with np.load(sys.argv[1]) as rows:
        y, error = rows["y"], float(rows["error"])
    segment = {"ruptures": ruptures, "Rbeast": rbeast}[sys.argv[3]]
    # Its imports and whatever it prepares once.
    segment(y[:100].copy(), error)
    wall, cpu = time.perf_counter(), time.process_time()
    level, changes = segment(y, error)
    np.savez(sys.argv[2], level=level, changes=changes, seconds=[time.perf_counter() - wall, time.process_time() - cpu])
