"""Fits of divisions under families out of which cells do not integrate: recovery, every verb, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import InputError, SpecificationError

FAMILIES = {"StudentT": bp.StudentT(), "NegativeBinomial": bp.NegativeBinomial(), "Bernoulli": bp.Bernoulli(),
            "Binomial": bp.Binomial("n"), "Poisson": bp.Poisson()}


def world(family: str, seed: int, rows: int = 160, contexts: int = 40) -> tuple[pd.DataFrame, np.ndarray]:
    """Intercept and slope change once, in the middle of the contexts."""
    rng = np.random.default_rng(seed)
    x, n, c = rng.normal(size=rows), rng.integers(2, 9, rows), np.sort(np.arange(rows) % contexts)
    theta = np.array([[0.3, 1.0], [1.8, -0.5]])[(c >= contexts // 2).astype(int)]
    eta = (theta * np.column_stack([np.ones(rows), x])).sum(axis=1)
    chance = 1 / (1 + np.exp(-eta))
    y = {"Poisson": rng.poisson(np.exp(eta)), "Bernoulli": rng.binomial(1, chance), "Binomial": rng.binomial(n, chance),
         "NegativeBinomial": rng.negative_binomial(4, 4 / (4 + np.exp(eta))),
         "StudentT": eta + 0.4 * rng.standard_t(4, size=rows)}[family]
    return pd.DataFrame({"y": y, "x": x, "n": n, "c": c, "b": rng.uniform(size=rows)}), theta


@pytest.mark.parametrize(("prior", "family"), [
    *((bp.Partition("c"), family) for family in FAMILIES),
    *((bp.TreePartition("c", "b", depth=4), family) for family in ("StudentT", "Bernoulli"))], ids=repr)
def test_a_change_is_found_left_out_saved_and_predicted(prior: bp.priors.Prior, family: str, tmp_path: Path) -> None:
    frame, theta = world(family, 1)
    posterior = bp.fit(bp.Model("y ~ x", prior, FAMILIES[family]), frame, seed=1, progress=False)
    assert not posterior.complaints and "importance" in posterior.tree
    plain = bp.fit(bp.Model("y ~ x", family=FAMILIES[family]), frame, seed=1, progress=False)
    errors = [np.sqrt(((each.theta.mean(("chain", "draw")).to_numpy() - theta) ** 2).mean())
              for each in (posterior, plain)]
    assert errors[0] < errors[1]
    left_out = bp.loo(posterior, progress=False)
    # Where divisions are summed out too, k is that of 125 draws.
    assert (left_out.pareto_k > left_out.good_k).sum() <= 1
    assert left_out.elpd > bp.loo(plain, progress=False).elpd + 5
    posterior.save(tmp_path / "divided.nc")
    again, new = bp.load(tmp_path / "divided.nc"), frame.iloc[::9].assign(c=np.linspace(-2, 43, 18))
    one, two = (bp.predict(each, new, seed=1).frame() for each in (posterior, again))
    pd.testing.assert_frame_equal(one, two)
    assert np.isfinite(one.to_numpy(float)).all()
    with pytest.raises(SpecificationError, match="has\\s+no program"):
        posterior.pymc  # noqa: B018


def test_changes_are_shares_of_the_draws() -> None:
    frame, _ = world("Poisson", 2)
    posterior = bp.fit(bp.Model("y ~ x", bp.Partition("c"), bp.Poisson()), frame, seed=1, progress=False)
    found = bp.changes(posterior)
    assert found["probability"].sum() == pytest.approx(float(posterior.tree["posterior"]["changes_c_number"].mean()))
    assert found.loc[found["context"].between(18, 22), "probability"].sum() > 0.9
    levels = posterior.theta.sel(coefficient="x").to_numpy()[0][:, ::4]
    differ = (np.diff(levels, axis=1) != 0).mean(axis=0)
    np.testing.assert_allclose(found["probability"], differ, atol=1e-12)


def test_far_points_are_no_segments() -> None:
    frame, theta = world("StudentT", 3)
    far = np.array([9, 50, 77, 101, 140])
    frame.loc[far, "y"] += [12.0, -15.0, 11.0, 14.0, -13.0]
    posterior = bp.fit(bp.Model("y ~ x", bp.Partition("c"), bp.StudentT()), frame, seed=1, progress=False)
    levels = posterior.theta.sel(coefficient="Intercept").to_numpy()[0]
    context = frame["c"].to_numpy()
    for row in far:
        neighbours = [levels[:, context == context[row] + step][:, 0] != levels[:, row] for step in (-1, 1)]
        assert np.all(neighbours, axis=0).mean() < 0.1
    assert np.sqrt(((posterior.theta.mean(("chain", "draw")).to_numpy() - theta) ** 2).mean()) < 0.2


def test_intervals_hold_theta() -> None:
    """A small slice of `benchmarks/divisions.py`."""
    held = []
    for seed in range(6):
        frame, theta = world("Poisson", 100 + seed, 120, 30)
        rng = np.random.default_rng(seed)
        theta = (np.array([1.0, 0.0]) + np.array([0.6, 0.4]) * rng.normal(size=(3, 2)))[frame["c"].to_numpy() // 10]
        frame["y"] = rng.poisson(np.exp(theta[:, 0] + theta[:, 1] * frame["x"]))
        posterior = bp.fit(bp.Model("y ~ x", bp.Partition("c"), bp.Poisson()), frame, seed=1, progress=False)
        low, high = np.quantile(posterior.theta.to_numpy()[0], [0.05, 0.95], axis=0)
        held.append(((low <= theta) & (theta <= high)).mean())
    assert abs(np.mean(held) - 0.9) < 4 * np.std(held, ddof=1) / np.sqrt(len(held))


def test_what_does_not_fit_is_refused() -> None:
    frame, _ = world("Poisson", 4)
    model = bp.Model("y ~ x", bp.Partition("c"), bp.Poisson())
    for method, words in ((bp.NUTS(), "Use Laplace"), (bp.ADVI(), "summed out")):
        with pytest.raises(SpecificationError, match=words):
            bp.fit(model, frame, method=method, progress=False)
    posterior = bp.fit(model, frame, seed=1, progress=False)
    for wanted in ({"kind": "group", "by": "c"}, {"refit": bp.NUTS()}):
        with pytest.raises(SpecificationError, match="without refits"):
            bp.loo(posterior, progress=False, **wanted)
    many = pd.DataFrame({"y": 1, "x": np.arange(1001.0), "c": np.arange(1001)})
    with pytest.raises(InputError, match="1,000 are the most"):
        model.bind(many)
    bp.Model("y ~ 1", bp.Partition("c"), bp.Poisson()).bind(many)
