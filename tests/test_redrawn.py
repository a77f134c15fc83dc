"""Weights of very many groups are drawn again whenever they are asked for: the same numbers, from their conditional."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.priors import Prior
from bayes_personal.samplers import redrawn
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.redrawn import Redrawn, all_draws, remainder

GROUPS = 12
rng = np.random.default_rng(0)
FRAME = pd.DataFrame({"g": np.repeat([f"a{i}" for i in range(GROUPS)], 6), "h": np.tile(list("uvw"), 2 * GROUPS),
                      "x": rng.normal(3, 1, 6 * GROUPS)}).sample(frac=1, random_state=1)
FRAME["y"] = rng.normal(size=GROUPS)[FRAME["g"].str[1:].astype(int)] + FRAME["x"] + rng.normal(0, 0.4, len(FRAME))
PRIORS: list[Prior] = [bp.PartialPooling("g"), bp.PartialPooling("g") + bp.PartialPooling("h", on="Intercept"),
                       bp.MetaLearned("g"), bp.Conditional("g")]
METHOD = bp.Laplace(draws=1000, proposals=1024)


@pytest.fixture
def never_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrawn, "STORED", 0)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_it_is_the_conditional_that_is_stored_elsewhere(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same noise the weights are those of `GaussianDensity.drawn`, to rounding."""
    bound = bp.Model("y ~ x", prior).bind(FRAME)
    density, count, rng = GaussianDensity(bound), 5, np.random.default_rng(3)
    values = density.values(rng.normal(0, 0.5, (count, density.size)))
    here = density.arrangement
    z, own = rng.standard_normal((count, here.size)), rng.standard_normal((count, here.varying, 1, here.groups))
    stored = density.drawn(*density.draws(values, count), z, own.copy())
    monkeypatch.setattr(Redrawn, "noise", lambda self, group: own[self.draws, :, 0, group])
    kept = {name: value for name, value in stored.items() if name != "g_z"}
    again = Redrawn(density, {**values, **kept}, 0, np.arange(count), "z")
    np.testing.assert_allclose(again[..., np.array([7, 2, 7]), :], stored["g_z"][:, [7, 2, 7]], rtol=1e-9, atol=1e-12)
    effect = bound.derived({**values, **stored}, np)["g_effect"]
    redrawn_effect = Redrawn(density, {**values, **kept}, 0, np.arange(count), "effect")
    np.testing.assert_allclose(np.asarray(redrawn_effect[np.array([3, 1])]), effect[[3, 1]], rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("never_stored")
def test_numbers_are_the_same_whichever_others_are_asked_for() -> None:
    bound = bp.Model("y ~ x", bp.PartialPooling("g")).bind(FRAME)
    density, count = GaussianDensity(bound), redrawn.TOGETHER + 7
    values = density.values(np.zeros((count, density.size)))
    rest, said = remainder(density, values, count, np.random.default_rng(1))
    whole = Redrawn(density, values | rest, said[redrawn.SEED], np.arange(count), "z")
    everything_at_once = np.asarray(whole)
    draws, groups = np.array([redrawn.TOGETHER + 3, 0, 5]), np.array([4, 4, 1])
    np.testing.assert_array_equal(whole[draws][..., groups, :], everything_at_once[draws][:, groups])
    noise = np.stack([whole.noise(group) for group in range(GROUPS)], axis=1)
    # Standard normal and independent over draws, coefficients and groups: 24 sums of squares and their products.
    flat_noise = noise.reshape(count, -1)
    gram = flat_noise.T @ flat_noise / count
    assert abs(flat_noise.mean(axis=0) * np.sqrt(count)).max() < 4.5
    assert abs((gram - np.eye(2 * GROUPS)) * np.sqrt(count / (1 + np.eye(2 * GROUPS)))).max() < 4.5


@pytest.mark.parametrize("prior", PRIORS[:2], ids=repr)
def test_all_that_is_asked_of_a_posterior(prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bp.Model("y ~ x", prior)
    stored = bp.fit(model, FRAME, seed=1, progress=False, method=METHOD)
    monkeypatch.setattr(redrawn, "STORED", 0)
    again = bp.fit(model, FRAME, seed=1, progress=False, method=METHOD)
    assert not stored.complaints and not again.complaints
    left = set(stored.tree["posterior"].data_vars) - set(again.tree["posterior"].data_vars)
    assert left == {"g_z", "g_effect"} and "g_scale" in again.tree["posterior"]
    # The hyperparameters are the same draws, and so is what depends on them alone.
    assert bp.loo(stored, progress=False).elpd == pytest.approx(bp.loo(again, progress=False).elpd, abs=1e-9)
    one, other = stored.theta_frame(), again.theta_frame()
    # Means of 1000 near-independent draws.
    error = np.hypot(one["sd"], other["sd"]) / np.sqrt(1000)
    assert (abs(one["mean"] - other["mean"]) / error).max() < 4.5
    np.testing.assert_allclose(one["sd"], other["sd"], rtol=0.35)
    theta = again.theta
    np.testing.assert_array_equal(theta.isel(unit=[3, 40], draw=slice(5, 9)).to_numpy(),
                                  theta.to_numpy()[:, 5:9][:, :, [3, 40]])
    new = FRAME.iloc[:6].assign(g=["new", "a1", "new", "a2", "other", "a1"])
    given = FRAME.iloc[6:8].assign(g="new")
    for arguments in ({}, {"given": given}):
        shown = [bp.predict(each, new, kind="theta", seed=2, **arguments).frame() for each in (stored, again)]
        away = (shown[0]["mean"] - shown[1]["mean"]) / (np.hypot(shown[0]["sd"], shown[1]["sd"]) / np.sqrt(300))
        assert abs(away).max() < 4.5, arguments
    again.save(tmp_path / "again.nc")
    loaded = bp.load(tmp_path / "again.nc")
    np.testing.assert_allclose(loaded.theta_frame()["q95"], other["q95"], rtol=1e-9)
    values = all_draws(loaded.bound, loaded.tree)
    assert set(values) == set(flat(stored.tree)) and values["g_effect"].shape == flat(stored.tree)["g_effect"].shape


@pytest.mark.usefixtures("never_stored")
@pytest.mark.filterwarnings("ignore:loo. Pareto k")
def test_a_report_and_a_group_left_out(tmp_path: Path) -> None:
    posterior = bp.fit(bp.Model("y ~ x", bp.PartialPooling("g")), FRAME, seed=1, progress=False, method=METHOD)
    assert np.isfinite(bp.loo(posterior, kind="group", by="g", progress=False).elpd)
    assert np.isfinite(bp.loo(posterior, kind="conditional", progress=False).elpd)
    bp.report(posterior, tmp_path / "page.html")
    assert "g_scale" in (tmp_path / "page.html").read_text()
