"""The collapsed density against the explicit program, and against dense algebra that integrates by itself."""

import numpy as np
import pandas as pd
import pytest
from conftest import affine, explicit, split, weights_given, width

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import collapses
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.priors.parts.base import Prior

STEP = 1e-30
PRIORS = [
    bp.Population(),
    bp.Conditional("site"),
    bp.Conditional("site", on="dose", mean=bp.Hyperprior("Normal", mu=0.4, sigma=1.3)),
    bp.PartialPooling("site"),
    bp.PartialPooling("site", on=["Intercept", "dose"], concentration=1.0, scale=bp.Hyperprior("HalfNormal", sigma=5)),
    bp.LinearVarying("age", "sex"),
    bp.LinearVarying("age", "height", basis="spline", df=6, on="dose", smooth=bp.Hyperprior("Exponential", scale=0.5)),
    bp.GaussianProcess("age"),
    bp.TotalVariation("age", on=["Intercept", "dose"]) + bp.PartialPooling("site"),
    bp.GaussianProcess("age", kernel="squared_exponential", on=["dose", "weight"],
                       lengthscale=bp.Hyperprior("LogNormal", mu=3, sigma=0.5)),
    bp.PartialPooling("site", on=["Intercept"]) + bp.GaussianProcess("age", kernel="matern32", on=["dose"]),
    bp.Conditional("sex", on=["Intercept"]) + bp.PartialPooling("site", on=["dose"]) + bp.LinearVarying("age"),
    bp.PartialPooling("site") + bp.PartialPooling("sex", on=["Intercept", "weight"]) + bp.LinearVarying("age"),
    bp.PartialPooling("site", on="dose") + bp.PartialPooling("sex"),
]
FAMILIES = [bp.Normal(), bp.Normal(sd="se"), bp.Normal(sigma=bp.Hyperprior("Gamma", alpha=2, beta=0.5))]
MEAN = bp.Hyperprior("Normal", mu=1.5, sigma=30)
MODELS = [bp.Model("y ~ dose + weight", prior=prior, family=family) for prior in PRIORS for family in FAMILIES[:2]]


@pytest.fixture(params=MODELS, ids=lambda model: f"{model.prior!r}, {model.family!r}")
def bound(request: pytest.FixtureRequest, frame: pd.DataFrame) -> BoundModel:
    return request.param.bind(frame)


def marginal(bound: BoundModel, values: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of y given the hyperparameters, A, and the variances of the errors."""
    offset, loading = affine(bound, values)
    error = (bound.constants * values.get("sigma", 1.0)) ** 2
    return offset, loading @ loading.T + np.diag(error), loading, error


def normal_log_density(y: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Analytic in all its arguments, so that complex steps pass through."""
    residual = y - mean
    sign, determinant = np.linalg.slogdet(covariance)
    return -0.5 * (residual @ np.linalg.solve(covariance, residual) + np.log(sign) + determinant
                   + len(y) * np.log(2 * np.pi))


def conditional(bound: BoundModel, values: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of z given y and the hyperparameters, through the covariance of y."""
    offset, covariance, loading, _ = marginal(bound, values)
    gain = np.linalg.solve(covariance, loading).T
    return gain @ (bound.y - offset), np.eye(loading.shape[1]) - gain @ loading


def dense(density: GaussianDensity, point: np.ndarray) -> np.ndarray:
    """The collapsed log density at one point by N x N matrices."""
    values = density.values(point)
    mean, covariance, *_ = marginal(density.bound, values)
    return normal_log_density(density.bound.y, mean, covariance) + density.log_prior(point, values)


def assert_equals_explicit(bound: BoundModel, points: int = 5) -> None:
    """p(y, phi) p(z | y, phi) = p(y, z, phi)."""
    density, program, rng = GaussianDensity(bound), explicit(bound), np.random.default_rng(3)
    for _ in range(points):
        u = rng.normal(0, 0.7, width(bound))
        values, _ = split(bound, u)
        jacobian, parts = 0.0, []
        if bound.mean:
            # The program's sampler moves the mean in natural units; z is in units of the mean's own prior.
            width_of_prior = bound.mean.arguments["sigma"] * np.ones(bound.mean.size)
            parts.append((values[bound.mean.name] - bound.mean.arguments["mu"]) / width_of_prior)
            jacobian = np.log(bound.mean.unit / width_of_prior).sum()
        z = np.concatenate([*parts, *(values[f"{term.name}_z"].ravel() for term in bound.terms)])
        mean, precision = weights_given(bound, values)
        posterior = 0.5 * (np.linalg.slogdet(precision)[1] - len(z) * np.log(2 * np.pi)
                           - (z - mean) @ precision @ (z - mean))
        collapsed, _ = density.log_density(u[: density.size])
        np.testing.assert_allclose(collapsed + posterior + jacobian, program(u), rtol=0, atol=1e-9)


def test_it_is_the_explicit_program_with_the_weights_integrated_out(bound: BoundModel) -> None:
    assert collapses(bound)
    assert_equals_explicit(bound)


@pytest.mark.parametrize("formula", ["y ~ dose", "y ~ 0 + dose + weight", "log(y) ~ dose", "y ~ C(sex) * dose"])
@pytest.mark.parametrize("prior", [bp.PartialPooling("site"), bp.Conditional("site", mean=MEAN),
                                   bp.GaussianProcess("age")], ids=repr)
def test_so_it_is_for_other_formulas_and_the_users_own_mean(frame: pd.DataFrame, formula: str, prior: Prior) -> None:
    own = {} if prior.replaces_mean else {"mean": MEAN}
    assert_equals_explicit(bp.Model(formula, prior=prior, family=FAMILIES[2], **own).bind(frame), points=2)


def test_a_mean_that_nothing_has_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="no coefficient has a common mean"):
        bp.Model("y ~ dose", prior=bp.Conditional("site"), mean=MEAN).bind(frame)


def test_its_value_and_gradient_are_exact(bound: BoundModel) -> None:
    """A complex step through the dense density has no truncation error."""
    density, rng = GaussianDensity(bound), np.random.default_rng(5)
    for _ in range(3):
        point = rng.normal(0, 0.7, density.size)
        value, gradient = density.log_density(point)
        exact = np.array([dense(density, point + STEP * 1j * step).imag / STEP for step in np.eye(density.size)])
        np.testing.assert_allclose(value, dense(density, point), rtol=0, atol=1e-9)
        assert gradient.shape == (density.size,)
        np.testing.assert_allclose(gradient, exact, rtol=1e-8, atol=1e-8)


def test_its_gradient_agrees_with_central_differences(bound: BoundModel) -> None:
    density, rng, h = GaussianDensity(bound), np.random.default_rng(6), 1e-5
    point = rng.normal(0, 0.7, density.size)
    numeric = [(density.log_density(point + step)[0] - density.log_density(point - step)[0]) / (2 * h)
               for step in h * np.eye(density.size)]
    np.testing.assert_allclose(density.log_density(point)[1], numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kept", [0, 2**24])
def test_leaving_out_some_rows_at_a_time_needs_no_more_than_them(bound: BoundModel, kept: int,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    density, rng = GaussianDensity(bound), np.random.default_rng(8)
    values = density.values(rng.normal(0, 0.7, (3, density.size)))
    (everything,) = bound.rows.batches()
    together = density.left_out_and_in(values, 3)(everything)
    monkeypatch.setattr("bayes_personal.densities.gaussian.collapsed.KEPT", kept)
    left_out_and_in = density.left_out_and_in(values, 3)
    parts = zip(*map(left_out_and_in, bound.rows.batches(7)), strict=True)
    for found, wanted in zip(map(np.hstack, parts), together, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_leave_one_out_is_the_density_of_the_row_left_out(bound: BoundModel) -> None:
    density, rng = GaussianDensity(bound), np.random.default_rng(8)
    values = density.values(rng.normal(0, 0.7, (2, density.size)))
    found = np.hstack([density.leave_one_out(values, 2, batch) for batch in bound.rows.batches(17)])
    assert found.shape == (2, len(bound.y))
    for draw in range(2):
        one = {name: value[draw] for name, value in values.items()}
        mean, covariance, *_ = marginal(bound, one)
        for row in range(0, len(bound.y), 3):
            rest = np.arange(len(bound.y)) != row
            gain = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, row])
            variance = covariance[row, row] - gain @ covariance[rest, row]
            residual = bound.y[row] - mean[row] - gain @ (bound.y[rest] - mean[rest])
            wanted = -0.5 * (residual**2 / variance + np.log(2 * np.pi * variance))
            np.testing.assert_allclose(found[draw, row], wanted, rtol=0, atol=1e-8)


def test_draws_of_the_weights_have_the_moments_of_their_conditional(bound: BoundModel) -> None:
    density, rng, count = GaussianDensity(bound), np.random.default_rng(11), 400
    point = rng.normal(0, 0.7, density.size)
    values = {name: np.repeat(value[None], count, axis=0) for name, value in density.values(point).items()}
    drawn, parts = density.draw_rest(values, count, rng), []
    if bound.mean:
        parts.append((drawn[bound.mean.name] - bound.mean.arguments["mu"]) / bound.mean.arguments["sigma"])
    z = np.hstack([*parts, *(drawn[f"{term.name}_z"].reshape(count, -1) for term in bound.terms)])
    mean, covariance = conditional(bound, density.values(point))
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (z - mean).T)
    # Means of standard normals have sd 1 / sqrt(count); so have products of two, and squares sqrt(2) times that.
    assert np.abs(whitened.mean(axis=1) * np.sqrt(count)).max() < 4
    moments = (whitened @ whitened.T / count - np.eye(len(mean))) * np.sqrt(count)
    assert np.abs(np.diag(moments)).max() / np.sqrt(2) < 4
    # Of thousands of pairs some pass 4 by chance: their sum of squares is held to its chi-squared.
    pairs = moments[np.tril_indices(len(mean), -1)]
    assert abs((pairs**2).sum() - len(pairs)) / np.sqrt(2 * len(pairs)) < 4


def test_without_hyperparameters_the_posterior_is_exact(frame: pd.DataFrame) -> None:
    """Known errors, one mean: independent draws from weighted least squares with a prior."""
    model = bp.Model("y ~ dose", family=bp.Normal(sd="se"), mean=bp.Hyperprior("Normal", mu=2.0, sigma=50.0))
    bound = model.bind(frame)
    assert GaussianDensity(bound).size == 0
    assert_equals_explicit(bound)
    draws = bp.fit(model, frame, seed=4, progress=False, method=bp.NUTS(draws=2000, chains=2)).tree["posterior"]
    found = draws["mu_centered"].to_numpy().reshape(-1, 2)
    x, weight = bound.x - bound.coefficients.center, frame["se"].to_numpy() ** -2
    precision = x.T @ (weight[:, None] * x) + np.eye(2) / 50**2
    mean = np.linalg.solve(precision, x.T @ (weight * bound.y) + 2.0 / 50**2)
    whitened = (found - mean) @ np.linalg.cholesky(precision)
    assert np.abs(whitened.mean(axis=0) * np.sqrt(len(found))).max() < 4
    moments = (whitened.T @ whitened / len(found) - np.eye(2)) * np.sqrt(len(found)) / np.sqrt([[2, 1], [1, 2]])
    assert np.abs(moments).max() < 4


def test_only_gaussian_models_collapse(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", mean=bp.Hyperprior("StudentT", nu=3, mu=0.0, sigma=2.5, relative=True))
    assert not collapses(model.bind(frame))
