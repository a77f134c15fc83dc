"""Models with more weights than rows, whose density factors a matrix of rows: the same numbers as by sums over rows."""

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.densities.gaussian.arrangement import collapses
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.rows import Rows
from bayes_personal.densities.gaussian.scaling import Scaling
from bayes_personal.densities.linearised.pseudo_data import PseudoData
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods

ROWS = 110
SMOOTH = bp.GaussianProcess("a", "b")
# Coefficients that correlate, within blocks of a term that is not eliminated, and known errors.
CASES = {"smooth": ("y ~ x", SMOOTH, bp.Normal()), "known errors": ("y ~ x", SMOOTH, bp.Normal(sd="error")),
         "with a line": ("y ~ x", SMOOTH + bp.LinearVarying("a"), bp.Normal()),
         "a part": ("y ~ x", SMOOTH + bp.GaussianProcess("b", on="Intercept"), bp.Normal())}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    a, b, x = rng.uniform(-1, 1, (3, ROWS))
    y = np.sin(3 * a) + b * x + 0.3 * rng.normal(size=ROWS)
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "error": rng.uniform(0.2, 0.5, ROWS),
                         "n": rng.poisson(np.exp(y))})


def both(case: str) -> tuple[GaussianDensity, GaussianDensity]:
    """Return the density by rows, and the one by sums."""
    formula, prior, family = CASES[case]
    by_rows = GaussianDensity(bp.Model(formula, prior, family).bind(frame()))
    assert isinstance(by_rows.data, Rows)
    return by_rows, GaussianDensity(by_rows.bound, by_rows.statistics)


def points(density: GaussianDensity) -> np.ndarray:
    return 0.7 * np.random.default_rng(2).normal(size=(4, density.size))


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient(case: str) -> None:
    by_rows, by_sums = both(case)
    for point in points(by_rows):
        value, gradient = by_rows.log_density(point)
        wanted, wanted_gradient = by_sums.log_density(point)
        assert value == pytest.approx(wanted, abs=1e-8) and by_rows.value(point) == value
        np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_rows_left_out_and_repeated(case: str) -> None:
    by_rows, by_sums = both(case)
    many = points(by_rows)
    values, (batch,) = by_rows.values(many), by_rows.bound.rows.batches()
    found, wanted = (density.projection(values, len(many)).densities(batch) for density in (by_rows, by_sums))
    np.testing.assert_allclose(found.left_out, wanted.left_out, atol=1e-7)
    np.testing.assert_allclose(found.left_in, wanted.left_in, atol=1e-7)
    left_out = np.array([3, 40])
    some, of_sums = (density.contribution(batch, left_out) for density in (by_rows, by_sums))
    np.testing.assert_allclose(by_rows.each_value_without(many, some), by_sums.each_value_without(many, of_sums),
                               atol=1e-7)
    np.testing.assert_allclose(by_rows.without(some).each_value(many), by_sums.without(of_sums).each_value(many),
                               atol=1e-7)
    logs = by_rows.each_value(many)
    np.testing.assert_allclose(by_rows.log_repeated(values, many, logs, some),
                               by_sums.log_repeated(values, many, logs, of_sums), atol=1e-7)
    # Leaving out by the density without a row is leaving out by its leverage.
    without = by_rows.each_value_without(many, by_rows.contribution(batch, np.array([7])))
    np.testing.assert_allclose(logs - without, found.left_out[:, 7], atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_weights_have_the_same_distribution(case: str) -> None:
    """Mean, covariance and volume; two roots of one covariance differ by a rotation."""
    by_rows, by_sums = both(case)
    values, size = by_rows.values(points(by_rows)[:1]), by_rows.arrangement.size
    scaling, s = by_rows.draws(values, 1)
    same = Scaling(*(np.repeat(each, size + 1, axis=0) for each in scaling)), np.repeat(s, size + 1)
    u = np.vstack([np.zeros(size), np.eye(size)])
    (z, log_volumes), (wanted, wanted_volumes) = (density.placed(*same, u) for density in (by_rows, by_sums))
    np.testing.assert_allclose(log_volumes, wanted_volumes, atol=1e-8)
    np.testing.assert_allclose(z[0], wanted[0], atol=1e-8)
    root, wanted_root = z[1:] - z[0], wanted[1:] - wanted[0]
    np.testing.assert_allclose(root.T @ root, wanted_root.T @ wanted_root, atol=1e-8)


def test_equal_draws_share_a_factor() -> None:
    """The order in which draws are made, by hyperparameters, changes none of them."""
    for density in both("with a line"):
        chosen = np.array([2, 0, 2, 1, 0])
        values = {name: value[chosen] for name, value in density.values(points(density)).items()}
        noise = np.random.default_rng(3).standard_normal((len(chosen), density.arrangement.size))
        together = density.drawn(*density.draws(values, len(chosen)), noise.copy(), np.empty((len(chosen), 1, 1, 0)))
        for draw in range(len(chosen)):
            alone = {name: value[draw : draw + 1] for name, value in values.items()}
            single = density.drawn(*density.draws(alone, 1), noise[draw : draw + 1].copy(), np.empty((1, 1, 1, 0)))
            for name, value in single.items():
                np.testing.assert_array_equal(together[name][draw], value[0])


def test_pseudo_data_by_rows() -> None:
    """The density under pseudo-observations of counts."""
    bound = bp.Model("n ~ x", SMOOTH, bp.Poisson()).bind(frame())
    pseudo = PseudoData.touching(bound.once(RowLikelihoods), np.full((1, ROWS), 0.3), np.zeros(0))
    density = pseudo.gaussian(bound)
    assert isinstance(density.data, Rows)
    by_sums = GaussianDensity(density.bound, density.statistics)
    for point in points(density):
        assert density.log_density(point)[0] == pytest.approx(by_sums.log_density(point)[0], abs=1e-8)
        np.testing.assert_allclose(density.log_density(point)[1], by_sums.log_density(point)[1], atol=1e-7)


def test_more_weights_than_any_density_by_sums_takes() -> None:
    """Ten coefficients over a map have 1230 weights; a matrix of the rows is factored."""
    rng = np.random.default_rng(4)
    data = frame().assign(**{f"z{k}": rng.normal(size=ROWS) for k in range(8)})
    model = bp.Model("y ~ x + " + " + ".join(f"z{k}" for k in range(8)), SMOOTH)
    density = GaussianDensity(model.bind(data))
    assert density.arrangement.size > 1000 and density.arrangement.rank == ROWS
    assert np.isfinite(density.value(np.zeros(density.size)))
    assert collapses(model.bind(data))


def test_a_map_is_fitted_by_default() -> None:
    """By importance sampling, and the posterior is that of NUTS."""
    model, data = bp.Model("y ~ x", SMOOTH), frame()
    posterior = bp.fit(model, data, seed=1, progress=False)
    assert not posterior.diagnostics.complaints and "importance" in posterior.tree
    walked = bp.fit(model, data, seed=2, method=bp.NUTS(draws=300, chains=2), progress=False)
    for name in ("gp_a_b_scale", "sigma"):
        by_importance, by_walk = (np.log(each.tree["posterior"][name].to_numpy()).reshape(-1, *each.tree[
            "posterior"][name].shape[2:]) for each in (posterior, walked))
        error = np.hypot(by_importance.std(axis=0) / 400**0.5, by_walk.std(axis=0) / 400**0.5)
        assert (np.abs(by_importance.mean(axis=0) - by_walk.mean(axis=0)) < 4 * error).all()
