"""Calibration: where truth and fit share the prior, intervals of theta cover, and ranks of the truth are uniform."""

import numpy as np
import pytest
from calibration import SETTINGS, calibrated, healthy, unevenness
from scipy import stats

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SETTINGS)
def test_a_posterior_is_calibrated(name: str) -> None:
    setting = SETTINGS[name]
    found = [calibrated(setting, seed) for seed in range(setting.sets)]
    # They are counted in: what most users would report is calibrated only if the sampler fails rarely.
    ill = [seed for seed, each in enumerate(found) if not healthy(each.posterior)]
    assert len(ill) <= len(found) / 50, ill
    shares = np.array([each.held for each in found])
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    p = unevenness([each.ranks for each in found])
    worst = min(p, key=p.__getitem__)
    print(f"{name}: {shares.mean():.3f} +- {error:.3f} over {len(shares)} sets; {worst}: p {p[worst]:.2g} of {len(p)}")
    assert 0.85 < shares.mean() < 0.95, f"{name}: coverage {shares.mean():.3f}, standard error {error:.3f}"
    # As improbable as z = 4.
    assert p[worst] > 2 * stats.norm.sf(4) / len(p), (worst, p[worst])
