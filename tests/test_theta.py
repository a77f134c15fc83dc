"""theta, means and outcomes are computed where they are asked for: the same numbers, and nothing that was not asked."""

import copy
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from calibration import unsampled

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.data.rows import BATCH
from bayes_personal.posterior.lazy import DRAWS, ROWS
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.base import Prior
from bayes_personal.samplers.draws import flat

PRIORS = [
    bp.Population(),
    bp.Conditional("site"),
    bp.PartialPooling("site", on=["Intercept"]) + bp.GaussianProcess("age", on=["dose"]),
    bp.PartialPooling("sex") + bp.LinearVarying("age", "height", basis="spline", df=4, on=["dose"]),
]


@pytest.fixture(scope="module")
def posterior(frame: pd.DataFrame) -> Posterior:
    return unsampled(bp.Model("y ~ dose + weight", PRIORS[2]), frame, draws=30)


def eager(posterior: Posterior) -> xr.DataArray:
    """theta of all rows and draws at once."""
    bound, sizes = posterior.bound, posterior.tree["posterior"].sizes
    theta = bound.theta(flat(posterior.tree), bound.features, len(bound.y))
    return xr.DataArray(theta.reshape(sizes["chain"], sizes["draw"], *theta.shape[1:]), name="theta",
                        dims=("chain", "draw", "unit", "coefficient"), coords=posterior.theta.coords)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """How many draws and rows theta is computed at, call by call."""
    calls: list[tuple[int, int]] = []
    plain = BoundModel.theta

    def counted(self: BoundModel, values, features, rows: int, labels=None) -> np.ndarray:
        result = plain(self, values, features, rows, labels)
        calls.append(result.shape[:2])
        return result

    monkeypatch.setattr(BoundModel, "theta", counted)
    yield calls


INDEXING: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "all": lambda theta: theta,
    "a row": lambda theta: theta.isel(unit=7),
    "the last row": lambda theta: theta[:, :, -1],
    "a number": lambda theta: theta[1, 3, 5, 0],
    "rows in another order, repeated": lambda theta: theta.isel(unit=[5, 3, 39, 5, -2]),
    "rows in their order, repeated": lambda theta: theta.isel(unit=[3, 3, 5, 39]),
    "as many draws, repeated": lambda theta: theta.isel(draw=np.arange(30) // 2),
    "a slice backwards": lambda theta: theta.isel(unit=slice(30, 4, -5)),
    "draws backwards": lambda theta: theta[:, ::-1],
    "no row": lambda theta: theta.isel(unit=[]),
    "no draw": lambda theta: theta.isel(draw=slice(0, 0)),
    "rows by a mask": lambda theta: theta.isel(unit=np.arange(40) % 3 == 0),
    "outer": lambda theta: theta.isel(chain=[1, 0], draw=[20, 2, 2], unit=[30, 1], coefficient=[2, 0]),
    "outer, mixed": lambda theta: theta.isel(draw=slice(None, None, 7), unit=[8, 0], coefficient=1),
    "by label": lambda theta: theta.sel(coefficient="dose", unit=slice(3, 6)),
    "labels": lambda theta: theta.sel(coefficient=["weight", "Intercept"]),
    "vectorised": lambda theta: theta.isel(draw=xr.DataArray([4, 9, 4], dims="pair"),
                                           unit=xr.DataArray([1, 39, 0], dims="pair")),
    "vectorised in two dimensions": lambda theta: theta.isel(unit=xr.DataArray([[3, 2], [1, 1]], dims=("a", "b"))),
    "twice": lambda theta: theta.isel(unit=slice(10, 30)).isel(unit=[3, 0], draw=slice(5)).sel(coefficient="weight"),
    "vectorised, then outer": lambda theta: theta.isel(unit=xr.DataArray([9, 3, 5], dims="pair")).isel(pair=[2, 0]),
    "averaged": lambda theta: theta.mean("draw"),
    "transposed": lambda theta: theta.transpose("unit", ...).isel(unit=[4, 1]),
    "stacked": lambda theta: theta.stack(s=("chain", "draw")).isel(unit=2),
    "subtracted": lambda theta: theta - theta.mean("unit"),
    "grouped": lambda theta: theta.groupby(theta["unit"] % 4).mean(),
}


@pytest.mark.parametrize("how", INDEXING)
def test_it_is_indexed_as_an_array_in_memory(posterior: Posterior, how: str) -> None:
    found, wanted = INDEXING[how](posterior.theta), INDEXING[how](eager(posterior))
    xr.testing.assert_allclose(found, wanted, rtol=1e-13)
    assert found.dims == wanted.dims and found.dtype == wanted.dtype
    assert set(found.coords) == set(wanted.coords)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_frames_and_arrays_are_those_of_all_at_once(prior: Prior, frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose + weight", prior), frame.set_axis([f"p{i}" for i in range(40)]), draws=30)
    theta = eager(posterior)
    np.testing.assert_allclose(posterior.theta, theta, rtol=1e-13)
    mean = (theta * xr.DataArray(posterior.bound.x, dims=("unit", "coefficient"))).sum("coefficient")
    for table, draws in ((posterior.theta_frame(), theta), (bp.predict(posterior, kind="theta").frame(), theta),
                         (bp.predict(posterior).frame(), mean)):
        values = draws.to_numpy().reshape(60, -1)
        quantiles = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
        wanted = np.column_stack([values.mean(axis=0), values.std(axis=0, ddof=1), *quantiles])
        np.testing.assert_allclose(table[["mean", "sd", "q5", "q50", "q95"]], wanted, rtol=1e-12, atol=1e-11)
        assert list(table.index) == list(np.repeat(posterior.bound.rows.index, draws.size // 60 // 40))
        if "coefficient" in draws.dims:
            assert list(table["coefficient"]) == ["Intercept", "dose", "weight"] * 40


def test_only_what_is_asked_for_is_computed(posterior: Posterior, computed: list[tuple[int, int]]) -> None:
    theta = posterior.theta
    few = theta.isel(unit=[31, 5], draw=slice(4)).sel(coefficient="dose")
    assert "values with dtype=float64" in repr(theta) and "values with dtype=float64" in repr(few)
    theta._repr_html_()
    assert theta.copy().sizes == theta.sizes and not computed
    few.to_numpy()
    assert computed == [(8, 2)]
    computed.clear()
    theta.isel(chain=1, draw=7).max().item()
    assert computed == [(1, 40)]
    computed.clear()
    prediction = bp.predict(posterior, posterior.bound.frame.iloc[:30])
    assert not computed
    repr(prediction)
    assert computed == [(60, 10)]


def test_rows_of_one_group_are_summarised_once(frame: pd.DataFrame, computed: list[tuple[int, int]]) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.PartialPooling("site")), frame, draws=30)
    table = posterior.theta_frame()
    assert computed == [(60, 5)]
    mean = posterior.theta.mean(("chain", "draw")).to_numpy().ravel()
    np.testing.assert_allclose(table["mean"], mean, rtol=1e-12)
    assert table[table["coefficient"] == "dose"]["mean"].nunique() == 5


@pytest.fixture(scope="module")
def large() -> Posterior:
    """A million rows and two hundred thousand draws: theta would take 3 TB."""
    rng, rows, draws = np.random.default_rng(1), 1_000_000, 100_000
    frame = pd.DataFrame({"y": rng.normal(size=rows), "x": rng.normal(size=rows), "g": rng.integers(0, 3, rows)})
    small = unsampled(bp.Model("y ~ x", bp.PartialPooling("g")), frame, draws=10)
    kept = small.tree["posterior"].to_dataset()[["mu", "g_effect", "sigma"]]
    tiled = kept.isel(draw=np.arange(draws) % 10).assign_coords(draw=np.arange(draws))
    return replace(small, tree=xr.DataTree.from_dict({"posterior": tiled}))


def test_a_theta_larger_than_any_memory_is_there(large: Posterior) -> None:
    kept, row = large.tree["posterior"].to_dataset().isel(draw=[99_999, 5]), 987_654
    effect = kept["g_effect"].to_numpy()[:, :, large.bound.frame["g"].iloc[row]]
    theta = kept["mu"].to_numpy() + effect
    mean = theta @ large.bound.x[row]
    assert large.theta.nbytes > 3e12
    for array, wanted in ((large.theta, theta), (bp.predict(large, kind="theta").draws, theta),
                          (bp.predict(large, kind="mean").draws, mean)):
        found = array.isel(draw=[99_999, 5], unit=row)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    outcome = bp.predict(large, kind="outcome", seed=1).draws.isel(draw=[99_999, 5], unit=row)
    assert (np.abs(outcome - mean) < 6 * kept["sigma"]).all() and (outcome != mean).all()


def test_memory_does_not_grow_with_draws_times_rows() -> None:
    rng, rows = np.random.default_rng(1), 20_000
    frame = pd.DataFrame({"y": rng.normal(size=rows), "x": rng.normal(size=rows), "g": rng.integers(0, 50, rows)})
    posterior = unsampled(bp.Model("y ~ x", bp.PartialPooling("g")), frame, draws=250)
    for kind in ("theta", "mean", "outcome"):
        prediction = bp.predict(posterior, kind=kind, seed=1)
        tracemalloc.start()
        prediction.frame()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # All draws take 80 MB, and twice that for theta; those of one batch of rows 33 MB and more on their way.
        assert peak < 40e6, (kind, peak)


def test_rows_in_files_are_as_good_as_rows_in_memory(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(1), 2 * BATCH + 1000
    frame = pd.DataFrame({"y": rng.normal(size=rows), "x": rng.normal(size=rows), "c": rng.uniform(size=rows),
                          "g": rng.integers(0, 50, rows)})
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=7001)
    held = unsampled(bp.Model("y ~ x", bp.PartialPooling("g") + bp.GaussianProcess("c", on=["x"])), frame, draws=5)
    stored = replace(held, bound=held.model.bind(tmp_path / "rows.parquet"))
    assert stored.theta.sizes == held.theta.sizes
    at = {"unit": [rows - 1, 70, BATCH, 70], "draw": [4, 0]}
    np.testing.assert_allclose(stored.theta.isel(at), held.theta.isel(at), rtol=1e-9)
    for kind in ("theta", "mean", "outcome"):
        one, other = (bp.predict(each, kind=kind, seed=1).frame() for each in (stored, held))
        pd.testing.assert_frame_equal(one, other, rtol=1e-9, check_index_type=False)
    for figure, other in ((bp.plot_theta(stored), bp.plot_theta(held)),
                          (bp.plot_predictive(stored, draws=3, seed=1), bp.plot_predictive(held, draws=3, seed=1))):
        for ax, other_ax in zip(figure.axes, other.axes, strict=True):
            for line, other_line in zip(ax.lines, other_ax.lines, strict=True):
                np.testing.assert_allclose(line.get_xydata(), other_line.get_xydata(), rtol=1e-6)


@pytest.fixture(scope="module")
def noisy(frame: pd.DataFrame) -> Posterior:
    """More draws and rows than make one block of noise, of a family whose draws are made by rejection."""
    many = pd.concat([frame] * 4, ignore_index=True).assign(n=lambda all_of: np.arange(len(all_of)) % 5)
    model = bp.Model("n ~ dose", bp.PartialPooling("site") + bp.GaussianProcess("age", on=["dose"]), bp.Poisson())
    posterior = unsampled(model, many, draws=DRAWS // 2 + 40)
    # Rates near those of the data, so that outcomes stay countable.
    posterior.tree["posterior"]["mu"][:] *= [1, 0]
    for name in ("site_effect", "gp_age_effect"):
        posterior.tree["posterior"][name][:] *= 0.1
    assert len(many) > 2 * ROWS and posterior.theta.sizes["draw"] * 2 > DRAWS
    return posterior


def test_outcomes_are_the_same_whatever_is_asked_for(noisy: Posterior) -> None:
    prediction = bp.predict(noisy, kind="outcome")
    whole = prediction.draws.to_numpy()
    assert np.unique(whole).size > 5
    for one in ({"unit": 70}, {"unit": [150, 3, 150]}, {"draw": slice(3, 9)}, {"chain": 1, "draw": [500, 0]},
                {"draw": slice(None, None, -1)}, {"unit": slice(60, 70), "draw": slice(500, 520)}):
        kept = prediction.draws.isel(one)
        np.testing.assert_array_equal(kept, xr.DataArray(whole, dims=("chain", "draw", "unit")).isel(one))
    values = whole.reshape(-1, whole.shape[-1])
    np.testing.assert_array_equal(prediction.frame()["mean"], values.mean(axis=0))
    np.testing.assert_array_equal(prediction.frame()["q95"], np.quantile(values, 0.95, axis=0))
    np.testing.assert_array_equal(copy.deepcopy(prediction.draws), whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(prediction.draws)), whole)


def test_outcomes_of_training_rows_are_those_of_the_same_frame(noisy: Posterior) -> None:
    one, other = (bp.predict(noisy, frame, kind="outcome", seed=5).draws for frame in (None, noisy.bound.frame))
    np.testing.assert_array_equal(one, other)
    assert not one.equals(bp.predict(noisy, kind="outcome", seed=6).draws)
    assert not one.equals(bp.predict(noisy, kind="outcome").draws)


def test_noise_differs_between_blocks(frame: pd.DataFrame) -> None:
    """Were a block's random numbers those of another, rows or draws far apart would be equal."""
    many = pd.concat([frame] * 4, ignore_index=True)
    posterior = unsampled(bp.Model("y ~ 1", bp.Population()), many, draws=DRAWS)
    outcome = bp.predict(posterior, kind="outcome", seed=2).draws
    mean = bp.predict(posterior, kind="mean").draws
    z = ((outcome - mean) / posterior.tree["posterior"]["sigma"]).to_numpy().reshape(-1, len(many))
    blocks = [z[start : start + DRAWS, row : row + ROWS][:, :20].ravel()
              for start in (0, DRAWS) for row in (0, ROWS, 2 * ROWS)]
    correlation = np.corrcoef(blocks)
    assert (np.abs(correlation - np.eye(len(blocks))) < 5 / np.sqrt(blocks[0].size)).all()
    # 2 DRAWS x 160 standard normals: their mean, variance and tails.
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    beyond = (np.abs(z) > 1.959964).mean()
    assert abs(beyond - 0.05) < 4 * np.sqrt(0.05 * 0.95 / z.size)


def test_a_new_group_has_one_effect_wherever_it_is_asked(frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.PartialPooling("site")), frame, draws=30)
    rows = pd.DataFrame({"site": ["new A", "Cork", None, "new B", "new A"], "dose": 1.0})
    draws = bp.predict(posterior, rows, kind="theta").draws
    np.testing.assert_array_equal(draws.isel(unit=0), draws.isel(unit=4))
    np.testing.assert_array_equal(draws.isel(unit=[4, 2]), draws.to_numpy()[:, :, [4, 2]])
    table = bp.predict(posterior, rows, kind="theta", seed=3).frame()
    again = bp.predict(posterior, rows, kind="theta", seed=3).draws.mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(table["mean"], again.ravel(), rtol=1e-12)
