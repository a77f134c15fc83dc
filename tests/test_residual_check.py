"""Errors that differ between groups or along a context are complained of, and errors of one size are not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import MisfitWarning
from bayes_personal.posterior.residual_check import ROWS, Axis, ResidualCheck, p_values_among, rows_to_check

METHOD = bp.Laplace(draws=500)


def grouped(seed: int, sizes: tuple[float, float] = (1.0, 1.0), groups: int = 40, rows: int = 12) -> pd.DataFrame:
    """Slopes and intercepts of their own, and errors of one size in even groups and of another in odd ones."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(groups), rows), rng.normal(size=groups * rows)
    slope, intercept = rng.normal(1, 0.5, groups), rng.normal(0, 0.5, groups)
    error = np.where(g % 2, sizes[1], sizes[0]) * rng.normal(size=len(g))
    return pd.DataFrame({"y": intercept[g] + slope[g] * x + error, "x": x, "g": g.astype(str)})


def checked(frame: pd.DataFrame, prior: bp.priors.Prior | None = None, formula: str = "y ~ x",
            family: bp.families.Family | None = None) -> ResidualCheck:
    model = bp.Model(formula, prior or bp.PartialPooling("g"), family or bp.Normal())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = bp.fit(model, frame, seed=1, progress=False, method=METHOD)
    assert not posterior.complaints and posterior.residual_check is not None
    return posterior.residual_check


def fired(seeds: range, sizes: tuple[float, float]) -> int:
    return sum(bool(checked(grouped(seed, sizes)).words) for seed in seeds)


def test_errors_that_differ_are_said_to_in_every_place(tmp_path) -> None:
    frame = grouped(0, (0.3, 2.0))
    model = bp.Model("y ~ x", bp.PartialPooling("g"))
    with pytest.warns(MisfitWarning, match=r"errors differ in size along 'g' \(p = 0.002\).*one sigma for all rows"):
        posterior = bp.fit(model, frame, seed=1, progress=False, method=METHOD)
    # Errors differ in fact: the noisy groups are the odd ones, and the sizes are about theirs.
    large, small = (posterior.misfit.split("square ")[1].split(". ")[0].split(", "))
    assert int(large.split("'")[1]) % 2 == 1 and int(small.split("'")[1]) % 2 == 0
    assert float(large.split()[0]) > 1.5 and float(small.split()[0]) < 1
    assert "diagnostics: no complaint\nMISFIT: errors differ" in repr(posterior)
    posterior.save(tmp_path / "saved.nc")
    assert bp.load(tmp_path / "saved.nc").misfit == posterior.misfit
    page = bp.report(posterior, tmp_path / "page.html", seed=1).read_text()
    assert "What the data say against the model: errors differ in size along" in page


def test_a_few_sets_are_told_apart() -> None:
    assert fired(range(10, 15), (0.3, 2.0)) == 5
    # Under a chance of 5 % three or more of ten have a probability of 1.2 %.
    assert fired(range(20, 30), (1.0, 1.0)) <= 2


@pytest.mark.slow
def test_the_chance_of_a_false_alarm_is_held_and_large_differences_are_found() -> None:
    assert fired(range(200), (1.0, 1.0)) <= 17
    assert fired(range(200, 240), (0.3, 2.0)) >= 38


def test_errors_that_grow_along_a_context_are_found() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"t": rng.uniform(0, 10, 150)})
    error = rng.normal(size=150)
    prior, formula = bp.LinearVarying("t"), "y ~ 1"
    found = checked(frame.assign(y=frame.t + (0.2 + 0.2 * frame.t) * error), prior, formula)
    assert found.column == "t" and found.p_value < 0.01 and "from 7." in found.words.split("square")[1].split(",")[0]
    hump = checked(frame.assign(y=frame.t + np.where(np.abs(frame.t - 5) < 2, 2.0, 0.4) * error), prior, formula)
    assert hump.p_value < 0.01
    assert checked(frame.assign(y=frame.t + error), prior, formula).p_value > 0.05


def test_heavy_tails_in_all_groups_are_no_difference_between_them() -> None:
    rng = np.random.default_rng(4)
    frame = grouped(4)
    frame["y"] += 3 * rng.standard_t(2, len(frame))
    assert checked(frame).p_value > 0.05
    assert checked(grouped(5, (0.3, 2.0)), formula="y ~ x").p_value < 0.01


def test_known_errors_are_divided_out() -> None:
    frame = grouped(6, (0.3, 2.0))
    known = np.where(frame["g"].astype(int) % 2, 2.0, 0.3)
    assert checked(frame.assign(se=known), family=bp.Normal(sd="se")).p_value > 0.05
    wrong = checked(frame.assign(se=1.0), family=bp.Normal(sd="se"))
    assert wrong.p_value < 0.01 and "Correct the standard errors" in wrong.words


def test_dates_are_an_axis_whatever_their_time_zone() -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=5), name="day").repeat(20)
    plain, zoned = (Axis.of(each) for each in (days, days.dt.tz_localize("UTC")))
    np.testing.assert_array_equal(plain.directions, zoned.directions)
    np.testing.assert_array_equal(plain.directions, Axis.of(pd.Series(range(5)).repeat(20)).directions)


def test_nothing_is_compared_where_nothing_can_be() -> None:
    frame = grouped(7, groups=5)
    posterior = bp.fit(bp.Model("y ~ x"), frame, seed=1, progress=False, method=METHOD)
    assert not posterior.complaints and posterior.residual_check is None and posterior.misfit == ""
    hasty = bp.fit(bp.Model("y ~ x", bp.PartialPooling("g")), frame, seed=1, progress=False,
                   method=bp.NUTS(draws=25, tune=25, chains=2))
    assert hasty.complaints and hasty.residual_check is None
    assert not bp.Poisson().additive


def test_p_values_are_uniform_by_chance() -> None:
    """Of scores that are permuted at random themselves, with two columns: as often below a level as it says."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"g": rng.integers(0, 6, 60).astype(str), "t": rng.normal(size=60)})
    axes = [axis for axis in (Axis.of(frame["g"]), Axis.of(frame["t"])) if axis]
    every = rng.chisquare(1, 60)
    every -= every.mean()
    chance, found = (np.stack([axis.statistic(rng.permuted(np.tile(every, (size, 1)), axis=1)) for axis in axes], 1)
                     for size in (999, 2000))
    for level in (0.05, 0.5):
        share = (p_values_among(chance, found) <= level).mean(axis=0)
        assert (np.abs(share - level) < 4 * np.sqrt(level * (1 - level) * (1 / 999 + 1 / 2000))).all()


def test_of_many_rows_some_of_every_group_are_looked_at() -> None:
    for groups, rows in ((20, 1000), (3000, 5)):
        frame = grouped(9, groups=groups, rows=rows)
        bound = bp.Model("y ~ x", bp.PartialPooling("g")).bind(frame)
        wanted = rows_to_check(bound, np.random.default_rng(0))
        assert len(wanted) == ROWS and (np.diff(wanted) > 0).all()
        sizes = frame.iloc[wanted].groupby("g").size()
        assert len(sizes) == min(groups, 1000) and sizes.min() >= 5
