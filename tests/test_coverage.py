"""Calibration on a few simulated sets; `slow/test_calibration.py` has enough of them for every prior."""

import numpy as np
from calibration import SETTINGS, calibrated, healthy


def test_intervals_of_groups_cover() -> None:
    found = [calibrated(SETTINGS[name], seed) for name in ("Conditional", "PartialPooling") for seed in range(100, 103)]
    assert all(healthy(each.posterior) for each in found)
    # Intervals of one set are right or wrong together: the sets are what is independent.
    shares = np.array([each.held for each in found])
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    assert abs(shares.mean() - 0.9) < 4 * error, (shares, error)
