"""Sparse: its scales, its limits, where the intercept stands, what it adds to, and what it finds among many predictors.

tests/test_sparse.py is of sparse matrices.
"""

import numpy as np
import pandas as pd
import pytest
from calibration import assert_healthy
from conftest import split, width
from test_collapsed import STEP, dense
from test_limits import given

import bayes_personal as bp
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.pages.plots import profiles
from bayes_personal.testing import QUICK

FORMULA = "y ~ dose + weight + height"


def many(predictors: int, seed: int, rows: int = 200) -> tuple[pd.DataFrame, str, np.ndarray]:
    """Predictors of which three matter, whose zero is far from their means; the formula and the coefficients."""
    rng = np.random.default_rng(seed)
    x, b = rng.normal(3, 2, (rows, predictors)), np.zeros(predictors)
    b[:3] = 1.0, -0.6, 0.3
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(predictors)])
    formula = "y ~ " + " + ".join(frame.columns)
    return frame.assign(y=5 + x @ b + rng.normal(0, 1.5, rows)), formula, b


def test_a_coefficient_that_is_let_go_of_has_the_slab_and_others_follow_their_local_scale(frame: pd.DataFrame) -> None:
    relative = bp.Model(FORMULA, bp.Sparse()).bind(frame)
    values = {"sparse_overall": np.array(0.01), "sparse_slab": np.array(0.7), "sparse_local": np.array([1e9, 1.0, 7.0])}
    scale, root = relative.terms[0].scales(values, np)
    assert root is None and scale.shape == (1, 4)
    wanted = [0.0, 0.7, *(1 / np.hypot(1 / 0.7, [1 / 0.01, 1 / 0.07]))]
    np.testing.assert_allclose(scale[0] / relative.coefficients.unit, wanted, rtol=1e-12)
    own = bp.Sparse(overall=bp.Hyperprior("HalfCauchy", beta=0.05), slab=bp.Hyperprior("HalfNormal", sigma=1.0))
    absolute, _ = bp.Model(FORMULA, own).bind(frame).terms[0].scales(values, np)
    np.testing.assert_allclose(absolute[0], wanted, rtol=1e-12)


@pytest.mark.parametrize(("overall", "other"), [
    (1e-9, bp.Model("y ~ 1")), (1e9, bp.Model(FORMULA, mean=bp.Hyperprior("Normal", sigma=2.5, relative=True)))])
def test_a_small_overall_scale_leaves_the_intercept_and_a_large_one_the_population(
        frame: pd.DataFrame, overall: float, other: bp.Model) -> None:
    """A slab of 2.5 natural units is the hyperprior that the population mean has by default."""
    bound, plain = bp.Model(FORMULA, bp.Sparse()).bind(frame), other.bind(frame)
    found, theta = given(bound, {"sparse_overall": overall, "sparse_slab": 2.5, "sparse_local": np.ones(3),
                                 "sigma": 4.0})
    wanted, same = given(plain, {"sigma": 4.0})
    same = np.pad(same, ((0, 0), (0, 4 - same.shape[1])))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(theta / bound.coefficients.unit, same / bound.coefficients.unit, rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", [bp.Sparse(), bp.Sparse(on="weight")], ids=repr)
def test_neither_zero_nor_unit_of_predictor_and_outcome_matter(frame: pd.DataFrame, prior: bp.Sparse) -> None:
    moved = frame.assign(weight=1e3 * frame["weight"] - 5e5, dose=frame["dose"] + 400, y=20 * frame["y"] + 3000)
    here, there = (GaussianDensity(bp.Model(FORMULA, prior).bind(each)) for each in (frame, moved))
    for point in np.random.default_rng(4).normal(0, 0.7, (5, here.size)):
        value = there.log_density(point)[0] + len(frame) * np.log(20)
        np.testing.assert_allclose(value, here.log_density(point)[0], rtol=1e-9)


@pytest.mark.parametrize(("prior", "kept"), [
    (bp.Sparse(), ["Intercept"]), (bp.Sparse(on=["dose", "height"]), ["Intercept", "weight"]),
    (bp.Conditional("site", on="Intercept") + bp.Sparse(on="dose"), ["weight", "height"]),
    (bp.GaussianProcess("age") + bp.Sparse(), ["Intercept"])], ids=repr)
def test_all_other_coefficients_keep_their_mean(frame: pd.DataFrame, prior: bp.priors.Prior, kept: list[str]) -> None:
    """theta gives the eta of the weights, and the density without these is that of a dense covariance matrix."""
    bound = bp.Model(FORMULA, prior).bind(frame)
    assert bound.mean is not None and [bound.coefficients.names[k] for k in bound.shared] == kept
    wanted = bound.coefficients.location * [name not in kept for name in bound.coefficients.names]
    np.testing.assert_array_equal(bound.fixed_mean, wanted)
    point = np.random.default_rng(5).normal(0, 0.7, width(bound))
    values, _ = split(bound, point)
    theta = bound.theta(values | bound.derived(values, np), bound.features, len(frame))
    np.testing.assert_allclose(bound.eta_of(theta, bound.x), bound.eta(values, np), rtol=1e-10)
    density = GaussianDensity(bound)
    value, gradient = density.log_density(point[: density.size])
    steps = point[: density.size] + STEP * 1j * np.eye(density.size)
    np.testing.assert_allclose(value, dense(density, point[: density.size]), rtol=1e-10)
    np.testing.assert_allclose(gradient, [dense(density, step).imag / STEP for step in steps], rtol=1e-7, atol=1e-7)


def test_without_an_intercept_all_coefficients_are_sparse(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ 0 + dose + weight", bp.Sparse())
    assert model.bind(frame).mean is None and "mu" not in model.bind(frame).dims
    with pytest.raises(SpecificationError, match="no coefficient has a common mean. Leave it out"):
        bp.Model(model.formula, bp.Sparse(), mean=bp.Hyperprior("Normal", sigma=1)).bind(frame)


@pytest.mark.parametrize("predictors", [20, pytest.param(50, marks=pytest.mark.slow)])
def test_the_three_predictors_that_matter_are_found(predictors: int) -> None:
    """Errors of all others are half of those of least squares, and the three are not shrunk for it."""
    data, formula, b = many(predictors, 1)
    posterior = bp.fit(bp.Model(formula, bp.Sparse()), data, seed=1, progress=False)
    assert_healthy(posterior)
    theta = posterior.theta.isel(unit=0).to_numpy().reshape(-1, 1 + predictors)
    found = theta.mean(axis=0)[1:]
    x = np.column_stack([np.ones(len(data)), data[[f"x{k}" for k in range(predictors)]]])
    squares = np.linalg.lstsq(x, data["y"])[0][1:]
    assert np.linalg.norm(found[3:]) < 0.5 * np.linalg.norm(squares[3:])
    assert (np.abs(found[:3] - squares[:3]) < theta.std(axis=0)[1:4]).all()
    inside = (np.quantile(theta[:, 1:], 0.05, axis=0) < b) & (b < np.quantile(theta[:, 1:], 0.95, axis=0))
    assert inside.sum() >= 0.8 * predictors


def test_only_what_varies_is_plotted_against_a_context(frame: pd.DataFrame) -> None:
    prior = bp.GaussianProcess("age", on="dose") + bp.Sparse(on=["weight", "height"])
    posterior = bp.fit(bp.Model(FORMULA, prior), frame, seed=1, progress=False, method=QUICK)
    assert [(each.coefficient, each.kind) for each in profiles(posterior, None, None)] == [("dose", "curve")]
    assert [each.kind for each in profiles(posterior, "weight", None)] == ["constant"]


def test_what_is_refused(frame: pd.DataFrame) -> None:
    def bind(formula: str, prior: bp.priors.Prior) -> None:
        bp.Model(formula, prior).bind(frame)

    for refused, words in {
            (lambda: bp.Sparse(on=["Intercept", "dose"]), r"Sparse\(on=\['Intercept', 'dose'\]\): .* keeps mu"),
            (lambda: bp.Sparse(slab=bp.Hyperprior("Normal", sigma=1)), "slab=.* can be negative"),
            (lambda: bp.Sparse(overall=0.1), "overall=0.1 must be a hyperprior"),
            (lambda: bind("y ~ 1", bp.Sparse()), "no predictor, .* or use Population"),
            (lambda: bind("y ~ dose", bp.Sparse(on="weight")), "no coefficient 'weight'"),
            (lambda: bind(FORMULA, bp.Sparse(on="dose") + bp.Sparse(on="weight")), "State one .* in on="),
            (lambda: bind(FORMULA, bp.Sparse() + bp.Conditional("site", on="dose")), "carry the whole of 'dose'")}:
        with pytest.raises(SpecificationError, match=words):
            refused()
