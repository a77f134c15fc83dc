"""TotalVariation: its joint mode is the fused lasso, it samples, it smooths steps, and it predicts between contexts."""

import numpy as np
import pandas as pd
import pytest
from calibration import assert_healthy, conditioned
from conftest import Silent
from scipy import integrate, optimize, stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS

LAPLACE, HORSESHOE = bp.TotalVariation("c"), bp.TotalVariation("c", "horseshoe")


def world(seed: int, places: int = 100, rows: int = 1, sd: float = 0.5) -> tuple[pd.DataFrame, np.ndarray]:
    """An intercept that jumps by 1.5 after 40 % of the contexts, a slope that jumps by -1.5 after 70 %."""
    rng, c = np.random.default_rng(seed), np.repeat(np.arange(places), rows)
    x = rng.normal(size=len(c))
    theta = np.column_stack([np.where(c < 0.4 * places, 0.0, 1.5), np.where(c < 0.7 * places, 1.0, -0.5)])
    return pd.DataFrame({"c": c, "x": x, "y": theta[:, 0] + theta[:, 1] * x + sd * rng.normal(size=len(c))}), theta


def series(increments: bp.TotalVariation = LAPLACE, places: int = 30) -> BoundModel:
    """An intercept of known error 0.5 and unpenalised mean, one row at each context but the last, which has two."""
    rng, c = np.random.default_rng(8), np.minimum(np.arange(places + 1), places - 1.0) ** 2
    y = np.where(np.arange(places + 1) < 12, 1.0, 3.0) + 0.5 * rng.normal(size=places + 1)
    flat = bp.Hyperprior("Normal", sigma=1e4, relative=True)
    frame = pd.DataFrame({"c": c, "y": y, "se": 0.5})
    return bp.Model("y ~ 1", increments, bp.Normal(sd="se"), flat).bind(frame)


def integrated(bound: BoundModel, scale: float, what: object) -> np.ndarray:
    """Integrals of `what` (standard deviation of an increment) over the local scales, at every place."""
    (term,) = bound.terms
    local = term.parameters()[1]
    moved = np.linspace(-60, 60, 24001)
    value = np.broadcast_to(np.exp(moved)[:, None, None], (len(moved), *local.shape))
    prior = DISTRIBUTIONS[local.distribution].log_density(value, **local.arguments) + moved[:, None, None]
    sd, _ = term.scales({f"{term.name}_scale": np.full(1, scale), local.name: value}, np)
    return integrate.trapezoid(np.exp(prior) * what(sd), moved, axis=0)[:, 0]


def laplace_width(bound: BoundModel, scale: float) -> float:
    """b, by hand: a walk of Laplace(0, b) increments has standard deviation `scale` over the rows."""
    place = np.unique(bound.frame["c"], return_inverse=True)[1]
    walk = (place[:, None] > np.arange(place.max())) - (place[:, None] > np.arange(place.max())).mean(axis=0)
    return float(scale / np.sqrt(2 * (walk**2).sum(axis=1).mean()))


def test_local_scales_integrated_out_leave_laplace_increments() -> None:
    bound, scale = series(), 0.8
    increments = np.random.default_rng(1).laplace(0, 0.4, bound.terms[0].size)
    found = integrated(bound, scale, lambda sd: stats.norm.pdf(increments[:, None], 0, sd))
    wanted = stats.laplace.pdf(increments, 0, laplace_width(bound, scale))
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_the_increments_are_the_differences_of_theta_between_neighbours() -> None:
    bound = series()
    increments = np.random.default_rng(2).normal(size=(bound.terms[0].size, 1))
    theta = bound.theta({"mu": np.array([2.5]), "steps_c_effect": increments}, bound.features, len(bound.y))[:, 0]
    np.testing.assert_allclose(np.diff(theta), [*increments[:, 0], 0.0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(theta.mean(), 2.5, rtol=1e-12)


def fused_lasso(y: np.ndarray, weight: np.ndarray, penalty: float) -> np.ndarray:
    """argmin of sum weight (y - theta)^2 / 2 + penalty sum |differences of theta|, by its dual, which is convex.

    theta = y - D'u / weight, where u minimises sum (y weight - D'u)^2 / (2 weight) between -penalty and penalty.
    """
    difference, root = np.diff(np.eye(len(y)), axis=0), np.sqrt(weight)
    dual = optimize.lsq_linear(difference.T / root[:, None], y * root, (-penalty, penalty), tol=1e-14, max_iter=500)
    return y - difference.T @ dual.x / weight


def test_the_joint_mode_is_the_fused_lasso() -> None:
    """Of the joint density of theta itself, with Laplace increments: the local scales integrated out, not maximised.

    The mode is climbed by expectation-maximisation on the package's own density: given increments d, the mean of
    1 / sd^2 over the local scales is 1 / (b |d|), and given these the mode of the weights is their conditional mean.
    """
    bound, scale, sigma = series(), 0.5, 0.5
    b, density, term = laplace_width(bound, scale), GaussianDensity(bound), bound.terms[0]
    increments = np.ones((term.size, 1))
    for _ in range(3000):
        # sd^2 = 2 b^2 local = b |d|
        values = {"steps_c_scale": np.full((1, 1), scale),
                  "steps_c_local": np.maximum(np.abs(increments), 1e-13)[None] / (2 * b)}
        values |= density.draw_rest(values, 1, Silent())
        increments = bound.derived(values, np)["steps_c_effect"][0]
    mode = bound.theta(values | bound.derived(values, np), bound.features, len(bound.y))[0, :, 0]
    y = bound.y.copy()
    pair, weight = y[-2:].mean(), np.ones(term.size + 1)
    weight[-1] = 2
    lasso = fused_lasso(np.append(y[:-2], pair), weight / sigma**2, 1 / b)
    np.testing.assert_allclose(mode[:-1], lasso, rtol=0, atol=1e-4)
    jumps = np.abs(np.diff(lasso)) > 1e-6
    assert 1 <= jumps.sum() < 10 and (np.abs(np.diff(mode[:-1])) > 1e-6).tolist() == jumps.tolist()


def large_jumps(prior: bp.TotalVariation, places: int) -> float:
    """How many increments beyond `scale` a coefficient is expected to have."""
    scale = 0.7
    return float(integrated(series(prior, places), scale, lambda sd: 2 * stats.norm.sf(scale / sd)).sum())


def test_the_denser_the_contexts_the_fewer_large_jumps_have_laplace_increments_but_not_the_horseshoe() -> None:
    few, many = 25, 250
    assert 0.2 < large_jumps(HORSESHOE, few) < 0.5
    np.testing.assert_allclose(large_jumps(HORSESHOE, many), large_jumps(HORSESHOE, few), rtol=0.05)
    assert large_jumps(LAPLACE, many) < 0.05 * large_jumps(LAPLACE, few)


@pytest.mark.parametrize("prior", [LAPLACE, HORSESHOE], ids=repr)
def test_only_the_order_of_contexts_matters_and_not_its_direction(prior: bp.TotalVariation) -> None:
    frame, _ = world(1, places=12, rows=2)
    model = bp.Model("y ~ x", prior)
    plain, bent, turned = (GaussianDensity(model.bind(frame.assign(c=c))) for c in (
        frame["c"], np.exp(frame["c"] / 3.0), pd.Timestamp("2020-01-01") - pd.to_timedelta(frame["c"], unit="D")))
    for u in np.random.default_rng(3).normal(0, 0.7, (5, plain.size)):
        value = plain.log_density(u)[0]
        np.testing.assert_allclose(bent.log_density(u)[0], value, rtol=0, atol=1e-9)
        moved = u.copy()
        moved[2:-1] = u[2:-1].reshape(-1, 2)[::-1].ravel()
        np.testing.assert_allclose(turned.log_density(moved)[0], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("prior", [LAPLACE, HORSESHOE], ids=repr)
def test_prediction_between_and_beyond_the_contexts(prior: bp.TotalVariation) -> None:
    frame, _ = world(2, places=10)
    frame = frame.sample(frac=1, random_state=1).assign(c=lambda frame: 3.0 * frame["c"])
    posterior = conditioned(bp.Model("y ~ x", prior), frame, draws=20)
    new = pd.DataFrame({"x": 0.3, "c": [-5.0, 0.0, 2.9, 3.0, 4.0, 26.9, 27.0, 1e6]})
    with pytest.warns(bp.errors.InputWarning, match="2 of 8 rows have a 'c' outside the training range"):
        theta = bp.predict(posterior, new, kind="theta").draws.to_numpy()
    trained = posterior.theta.to_numpy()[:, :, np.argsort(frame["c"].to_numpy())]
    np.testing.assert_array_equal(theta, trained[:, :, [0, 0, 0, 1, 1, 8, 9, 9]])
    assert (theta[:, :, 0] != theta[:, :, 3]).all()


def test_dates_name_the_places() -> None:
    frame, _ = world(3, places=5, rows=2)
    days = frame.assign(c=pd.Timestamp("2021-03-01") + pd.to_timedelta(frame["c"], unit="D"))
    (term,) = bp.Model("y ~ x", bp.TotalVariation("c", on="x")).bind(days).terms
    assert term.features == {"steps_c_place": tuple(f"2021-03-0{day} 00:00:00" for day in (2, 3, 4, 5))}
    assert [each.shape for each in term.parameters()] == [(1,), (4, 1)]


@pytest.mark.slow
def test_laplace_increments_sample_well_along_a_hundred_contexts() -> None:
    frame, _ = world(5)
    posterior = bp.fit(bp.Model("y ~ x", bp.TotalVariation("c", on="Intercept")), frame, seed=1, progress=False)
    assert posterior.tree["posterior"].attrs["collapsed"] == 1
    assert_healthy(posterior)


@pytest.mark.slow
@pytest.mark.parametrize("prior", [LAPLACE, HORSESHOE], ids=repr)
def test_two_coefficients_along_a_hundred_contexts(prior: bp.TotalVariation) -> None:
    frame, theta = world(1)
    posterior = bp.fit(bp.Model("y ~ x", prior), frame, seed=1, progress=False)
    assert_healthy(posterior)
    error = np.sqrt(((posterior.theta.mean(("chain", "draw")) - theta) ** 2).mean("unit"))
    assert (error < 0.35 * theta.std(axis=0)).all()


@pytest.mark.parametrize(("prior", "factor"), [
    (LAPLACE, 3.0), pytest.param(HORSESHOE, 2.0, marks=pytest.mark.slow)], ids=repr)
def test_steps_are_recovered(prior: bp.TotalVariation, factor: float) -> None:
    """Errors are a fraction of Population's, and within a factor of those of least squares that knows the contexts."""
    model, found, alone, oracle = bp.Model("y ~ x", prior), [], [], []
    for seed in range(3):
        frame, theta = world(10 + seed, places=40, rows=3)
        posterior = bp.fit(model, frame, seed=seed, progress=False, method=bp.NUTS(draws=500, chains=2))
        assert posterior.diagnostics.divergences == 0
        pooled = bp.fit(bp.Model("y ~ x"), frame, seed=seed, progress=False, method=bp.NUTS(draws=200, chains=2))
        x = np.column_stack([np.ones(len(frame)), frame["x"]])
        parts = (frame["c"].to_numpy()[:, None] >= [0, 16, 28]).astype(float)
        known = np.column_stack([parts[:, 0], parts[:, 1], x[:, 1], parts[:, 2] * x[:, 1]])
        a, jump, b, bend = np.linalg.lstsq(known, frame["y"].to_numpy())[0]
        best = np.column_stack([a + jump * parts[:, 1], b + bend * parts[:, 2]])
        for errors, estimate in ((found, posterior.theta.mean(("chain", "draw"))),
                                 (alone, pooled.theta.mean(("chain", "draw"))), (oracle, best)):
            errors.append(((np.asarray(estimate) - theta) ** 2).mean())
    rmse, population, least = (float(np.sqrt(np.mean(each))) for each in (found, alone, oracle))
    print(f"{prior}: {rmse:.3f}, Population {population:.3f}, known contexts {least:.3f}")
    assert rmse < population / 3 and rmse < factor * least, (rmse, population, least)


def test_what_is_refused() -> None:
    frame, _ = world(4, places=501)
    model = bp.Model("y ~ x", LAPLACE)
    with pytest.raises(InputError, match="context 'c' is 3 in all 501 rows"):
        model.bind(frame.assign(c=3))
    with pytest.raises(InputError, match="'c' is missing in 1 of 501 rows"):
        model.bind(frame.assign(c=[np.nan, *range(500)]))
    with pytest.raises(SpecificationError, match="'c' is categorical.*PartialPooling"):
        model.bind(frame.assign(c=frame["c"].map(lambda c: f"s{c % 3}")))
    with pytest.raises(SpecificationError, match="increments='normal' must be 'laplace' or 'horseshoe'"):
        bp.TotalVariation("c", "normal")
    with pytest.raises(SpecificationError, match="can be negative"):
        bp.TotalVariation("c", scale=bp.Hyperprior("Normal", sigma=1))
    with pytest.raises(SpecificationError, match="no coefficient 'z'"):
        bp.Model("y ~ x", bp.TotalVariation("c", on="z")).bind(frame.iloc[:100])
