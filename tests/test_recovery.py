"""Truths that a prior is made for are found: what varies, with which context, and how smoothly."""

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp

QUICK = bp.Laplace(proposals=1024)


def posterior_of(frame: pd.DataFrame, prior) -> bp.Posterior:
    posterior = bp.fit(bp.Model("y ~ x", prior), frame, seed=1, progress=False, method=QUICK)
    assert not posterior.complaints, posterior.complaints
    return posterior


def slope(posterior: bp.Posterior) -> pd.DataFrame:
    theta = posterior.theta_frame()
    return theta[theta["coefficient"] == "x"]


@pytest.fixture(scope="module")
def waves() -> pd.DataFrame:
    """The slope is a wave in a, the intercept a line in a; b has nothing to do with either."""
    rng = np.random.default_rng(4)
    a, b, x = rng.uniform(-2, 2, 160), rng.uniform(-2, 2, 160), rng.normal(size=160)
    return pd.DataFrame({"a": a, "b": b, "x": x, "slope": np.sin(3 * a),
                         "y": 0.8 * a + np.sin(3 * a) * x + rng.normal(0, 0.4, 160)})


def test_each_coefficient_has_its_own_smoothness(waves: pd.DataFrame) -> None:
    posterior = posterior_of(waves, bp.GaussianProcess("a"))
    length = posterior.tree["posterior"]["gp_a_lengthscale"].mean(("chain", "draw")).to_numpy()[:, 0]
    assert length[0] > 2 * length[1], length
    found = slope(posterior)
    # One slope for all would miss by the standard deviation of the truth.
    assert np.sqrt(np.mean((found["mean"] - waves["slope"]) ** 2)) < waves["slope"].std() / 3
    inside = ((found["q5"] < waves["slope"]) & (waves["slope"] < found["q95"])).mean()
    # A wave of this length has about ten independent stretches: two standard errors below 90 %.
    assert inside > 0.9 - 2 * np.sqrt(0.9 * 0.1 / 10), inside


def test_a_context_that_does_not_matter_is_switched_off(waves: pd.DataFrame) -> None:
    posterior = posterior_of(waves, bp.GaussianProcess("a", "b", kernel="squared_exponential", on=["x"])
                             + bp.LinearVarying("a", on="Intercept"))
    length = posterior.tree["posterior"]["gp_a_b_lengthscale"].to_numpy()[0, :, 0]
    # Where b has twice the range of its length-scale, theta hardly moves with it.
    assert (length[:, 1] > 2 * length[:, 0]).mean() > 0.95
    assert np.median(length[:, 1]) > 2.0, np.median(length, axis=0)
    there = [bp.predict(posterior, waves.assign(b=b), kind="theta").draws.sel(coefficient="x").mean(("chain", "draw"))
             for b in (-1.5, 1.5)]
    assert np.abs(there[0] - there[1]).max() < 0.5


def test_a_line_is_found_by_what_is_linear(waves: pd.DataFrame) -> None:
    line = waves.assign(y=lambda d: 1 + d["a"] * d["x"] + np.random.default_rng(1).normal(0, 0.4, len(d)))
    table = bp.compare({"linear": bp.LinearVarying("a"), "constant": bp.Population(), "other": bp.LinearVarying("b")},
                       "y ~ x", line, seed=1, method=QUICK, progress=False)
    assert table.index[0] == "linear" and set(table["verdict"].iloc[1:]) == {"worse"}
