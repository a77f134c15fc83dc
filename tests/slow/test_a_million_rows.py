"""A million rows of a thousand groups: estimates of every theta and leave-one-out of every row, in bounded memory."""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp

pytestmark = pytest.mark.slow
ROWS, GROUPS = 1_000_000, 1000


def peak_and_elpd() -> tuple[float, float, int]:
    """Peak memory of this process in GB, the elpd a row, and how many rows of theta there are."""
    rng = np.random.default_rng(0)
    group, x = rng.integers(0, GROUPS, ROWS), rng.normal(size=(ROWS, 2))
    theta = np.array([1.0, 0.5, -0.3]) + rng.normal(size=(GROUPS, 3)) * [1.0, 0.5, 0.3]
    y = theta[group, 0] + (theta[group, 1:] * x).sum(axis=1) + rng.normal(size=ROWS)
    frame = pd.DataFrame({"y": y, "a": x[:, 0], "b": x[:, 1], "group": group})
    posterior = bp.fit(bp.Model("y ~ a + b", bp.PartialPooling("group")), frame, seed=1, progress=False)
    estimates = len(posterior.theta_frame())
    found = bp.loo(posterior, progress=False)
    assert not (found.pareto_k > found.good_k).any()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, found.elpd / ROWS, estimates


def test_memory_is_bounded() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        peak, elpd, estimates = pool.submit(peak_and_elpd).result()
    assert peak < 3, f"peak {peak:.2f} GB"
    assert estimates == 3 * ROWS
    # Errors have standard deviation 1, and to learn three coefficients costs 3 / 2 a group.
    expected = -0.5 * np.log(2 * np.pi) - 0.5 - 1.5 * GROUPS / ROWS
    assert abs(elpd - expected) < 4 * np.sqrt(0.5 / ROWS)
