"""Coverage: where truth and fit share the prior, 90 % intervals of theta hold the truth in 90 % of cases."""

import numpy as np
import pytest
from calibration import SETTINGS, coverage

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SETTINGS)
def test_intervals_of_theta_cover(name: str) -> None:
    setting = SETTINGS[name]
    shares = np.array([coverage(setting, seed) for seed in range(setting.sets)])
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    print(f"{name}: {shares.mean():.3f} +- {error:.3f} over {len(shares)} sets")
    assert 0.85 < shares.mean() < 0.95, f"{name}: coverage {shares.mean():.3f}, standard error {error:.3f}"
