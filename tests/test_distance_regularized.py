"""DistanceRegularized: its density in closed form, its limits, its predictions and its metric."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import z_scores
from scipy import integrate, stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.field.field_density import FieldDensity
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.samplers.draws import flat, tree

QUICK = bp.Laplace(draws=200)


def rows(count: int = 60, seed: int = 4) -> pd.DataFrame:
    """Rows some of which share the context a, and all differ in b."""
    rng = np.random.default_rng(seed)
    a, b, x = rng.integers(0, count // 3, count), rng.normal(5, 3, count), rng.normal(3, 2, count)
    y = 10 + np.sin(a / 3) + (1 + 0.2 * b) * x + rng.normal(0, 0.5, count)
    return pd.DataFrame({"a": a, "b": b, "x": x, "y": y, "se": rng.uniform(1, 2, count)})


MODELS = {
    "learned": bp.Model("y ~ x", bp.DistanceRegularized("a", "b")),
    "one context": bp.Model("y ~ x", bp.DistanceRegularized("a"), bp.Normal(sd="se")),
    "all pairs, given": bp.Model(
        "y ~ x", bp.DistanceRegularized("a", "b", metric=[[1, 0.1], [0.1, 1]], neighbors=None)),
    "unsquared": bp.Model("y ~ x", bp.DistanceRegularized("a", "b", power=1, neighbors=3)),
    "a slope": bp.Model("y ~ x", bp.DistanceRegularized("a", "b", on="x", neighbors=4)),
}
EVERY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def dense_field(bound: BoundModel, values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of all pairs of distinct contexts, Q, and covariances of the field's coefficients, by loops."""
    (field,) = bound.nonlinear
    points, name, prior = field.points, field.name, field.prior
    spread = np.concatenate([one.spread for one in field.contexts])
    given = np.eye(len(spread)) if prior.metric == "learned" else np.array(prior.metric) * np.outer(spread, spread)
    count, metric = len(points), given.copy()
    distance, plain = np.zeros((2, count, count))
    if field.learned:
        share = float(values[f"{name}_share"][0])
        metric = np.diag([share, 1 - share])
    for i in range(count):
        for j in range(count):
            gap = points[i] - points[j]
            distance[i, j], plain[i, j] = np.sqrt(gap @ metric @ gap), np.sqrt(gap @ given @ gap)
    nearest = np.argsort(np.argsort(plain, axis=1), axis=1) <= (prior.neighbors or count)
    near = (nearest | nearest.T) & ~np.eye(count, dtype=bool)
    mean, each = distance[near].mean(), near.sum() / count
    weight = np.where(near, mean / (each * (distance + 0.01 * mean)), 0.0)

    def precision(weight: np.ndarray) -> np.ndarray:
        return np.diag(values[f"{name}_anchor"] + weight.sum(axis=1)) - weight

    flat = np.linalg.inv(precision(weight))
    share = np.bincount(bound.features[0].matrix[:, 0].astype(int)) / len(bound.y)
    variance = share @ np.diag(flat) - share @ flat @ share
    if prior.power == 1:
        lower = np.array(np.nonzero(np.tril(near))).T
        assert lower.tolist() == field.edges.tolist()
        for (i, j), local in zip(lower, values[f"{name}_local"], strict=True):
            weight[i, j] = weight[j, i] = weight[i, j] / local
    q = precision(weight)
    return weight, q, np.array([scale**2 / variance * np.linalg.inv(q) for scale in values[f"{name}_scale"]])


def dense(bound: BoundModel, values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Residuals, their covariance given the hyperparameters, the errors' variances, and what field and mean add."""
    (field,) = bound.nonlinear
    covariances, at = dense_field(bound, values)[2], bound.features[0].matrix[:, 0].astype(int)
    x = bound.coefficients.predictors(bound.x, bound.everywhere)
    own = bound.coefficients.predictors(bound.x, field.positions)
    signal = (x * bound.mean.arguments["sigma"] ** 2) @ x.T
    for k, covariance in enumerate(covariances):
        signal += np.outer(own[:, k], own[:, k]) * covariance[at][:, at]
    error = np.full(len(x), values.get("sigma", 1.0) ** 2) * bound.constants**2
    return bound.y - x @ np.broadcast_to(bound.mean.arguments["mu"], x.shape[1]), signal + np.diag(error), error, signal


def points(density: FieldDensity, count: int = 3) -> list[np.ndarray]:
    """Points of the sampler's scale."""
    rng = np.random.default_rng(2)
    return [0.7 * rng.normal(size=density.size) for _ in range(count)]


@EVERY
def test_the_density_is_that_of_the_dense_closed_form(model: bp.Model) -> None:
    bound = model.bind(rows())
    density = marginal_density(bound)
    assert isinstance(density, FieldDensity)
    for point in points(density):
        values = density.values(point)
        residual, covariance, _, _ = dense(bound, values)
        wanted = stats.multivariate_normal.logpdf(residual, cov=covariance) + density.log_prior(point, values)
        np.testing.assert_allclose(density.value(point), wanted, rtol=0, atol=1e-8)


@EVERY
def test_the_gradient_is_that_of_differences(model: bp.Model) -> None:
    density = FieldDensity(model.bind(rows()))
    for point in points(density):
        value, slope = density.log_density(point)
        step = 1e-5 * np.eye(density.size)
        wanted = [(density.value(point + each) - density.value(point - each)) / 2e-5 for each in step]
        assert value == density.value(point)
        np.testing.assert_allclose(slope, wanted, rtol=0, atol=1e-6)


def test_where_digits_are_lost_there_is_no_density() -> None:
    """Squares of the outcome in units of a tiny error cancel: what is left of them must not look like a peak."""
    density = FieldDensity(MODELS["learned"].bind(rows()))
    highest = max(density.value(point) for point in points(density, 20))
    for point in points(density, 20):
        point[:2] -= 8
        point[-1] = -20
        assert density.value(point) < highest - 100 and not density.log_density(point)[1].any()


def test_a_metric_at_the_edge_of_its_simplex_has_a_density() -> None:
    """A share whose log-odds are 50 is rounded to 1, and the other reading's weight to 0."""
    density = FieldDensity(MODELS["learned"].bind(rows()))
    share = next(one for one in density.parameters if one.name.endswith("_share"))
    for odds in (-50.0, 50.0):
        moved = np.array([odds])
        found = share.log_density(share.value(moved), moved)
        np.testing.assert_allclose(found, stats.logistic.logpdf(odds), rtol=1e-12)
        point = np.array([0.0, 0.0, 0.0, odds, 0.0])
        value, slope = density.log_density(point)
        assert np.isfinite(value)
        # All that still changes is the density of the log-odds themselves.
        np.testing.assert_allclose(slope[3], -np.sign(odds), rtol=1e-3)


@pytest.mark.parametrize("column", ["a", "b", "x", "y"])
def test_the_density_is_the_same_in_other_units(column: str) -> None:
    model, frame = MODELS["learned"], rows()
    before = FieldDensity(model.bind(frame))
    after = FieldDensity(model.bind(frame.assign(**{column: 1e-3 * (frame[column] + 1e3)})))
    constant = len(frame) * np.log(1e-3) * (column == "y")
    for point in points(before):
        np.testing.assert_allclose(after.value(point) + constant, before.value(point), rtol=1e-8)


@EVERY
def test_leaving_a_row_out_is_exact(model: bp.Model) -> None:
    bound = model.bind(rows())
    density = FieldDensity(bound)
    (point,) = points(density, 1)
    values = {name: np.asarray(value)[None] for name, value in density.values(point).items()}
    residual, covariance, _, _ = dense(bound, density.values(point))
    precision = np.linalg.inv(covariance)
    sd = 1 / np.sqrt(np.diag(precision))
    wanted = stats.norm.logpdf(precision @ residual * sd**2, 0, sd)
    (batch,) = bound.rows.batches()
    np.testing.assert_allclose(density.leave_one_out(values, 1, batch)[0], wanted, rtol=0, atol=1e-8)
    without = density.without(density.contribution(batch, np.array([7])))
    np.testing.assert_allclose(density.value(point) - without.value(point), wanted[7], rtol=0, atol=1e-8)


@pytest.mark.parametrize("model", [MODELS["learned"], MODELS["unsquared"], MODELS["a slope"]], ids=repr)
def test_quadrature_leaves_a_row_out_as_exactly(model: bp.Model) -> None:
    """What is done under other families: for Normal outcomes the line's integral is the exact one, at any draw."""
    posterior, _ = at_point(model, rows(30), 3)
    bound, values = posterior.bound, flat(posterior.tree)
    (batch,) = bound.rows.batches()
    ((found_rows, found),) = LineIntegral(bound).leave_one_out(values)
    wanted = FieldDensity(bound).leave_one_out(values, 6, batch)[:, found_rows]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def at_point(model: bp.Model, frame: pd.DataFrame, draws: int) -> tuple[bp.Posterior, dict[str, Any]]:
    """Draws of field and mean from their conditional at one point of the hyperparameters, two chains."""
    bound = model.bind(frame)
    density = FieldDensity(bound)
    (point,) = points(density, 1)
    values = {name: np.repeat(np.asarray(value)[None], 2 * draws, axis=0)
              for name, value in density.values(point).items()}
    values |= density.draw_rest(values, 2 * draws, np.random.default_rng(3))
    return bp.Posterior(model, bound, tree(bound, values, 2)), density.values(point)


@EVERY
def test_field_and_mean_are_drawn_from_their_conditional(model: bp.Model) -> None:
    posterior, values = at_point(model, rows(), 4000)
    bound = posterior.bound
    residual, covariance, _, signal = dense(bound, values)
    gain = np.linalg.solve(covariance, signal).T
    eta = (posterior.theta.to_numpy() * bound.x).sum(axis=-1).reshape(8000, -1)
    conditional = signal - gain @ signal
    mean, sd = bound.y - residual + gain @ residual, np.sqrt(np.diag(conditional))
    assert np.abs((eta.mean(axis=0) - mean) / sd * np.sqrt(8000)).max() < 4
    standard = (eta - mean) / sd
    correlation = conditional / np.outer(sd, sd)
    error = np.sqrt((1 + correlation**2) / 8000)
    assert np.abs((standard.T @ standard / 8000 - correlation) / error).max() < 5.5


def test_rows_of_one_context_share_their_coefficients() -> None:
    posterior, _ = at_point(MODELS["one context"], rows(), 10)
    theta, a = posterior.theta.to_numpy(), rows()["a"].to_numpy()
    for label in np.unique(a):
        assert np.ptp(theta[:, :, a == label], axis=2).max() == 0
    assert np.ptp(theta, axis=2).min() > 0


@pytest.mark.parametrize("model", [MODELS["learned"], MODELS["all pairs, given"], MODELS["unsquared"]], ids=repr)
def test_a_new_context_that_equals_an_old_one_has_its_theta(model: bp.Model) -> None:
    posterior, _ = at_point(model, rows(), 10)
    old = rows().iloc[[3, 17, 41]]
    new = pd.concat([old.iloc[:1].assign(b=99.0), old, old.assign(b=old["b"] + 1e-9)])
    with pytest.warns(UserWarning, match="outside the training range"):
        theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()
    wanted = posterior.theta.isel(unit=[3, 17, 41]).to_numpy()
    np.testing.assert_array_equal(theta[:, :, 1:4], wanted)
    # There is no gap between the same and nearly the same.
    np.testing.assert_allclose(theta[:, :, 4:], wanted, rtol=0, atol=2e-2)
    assert np.abs(theta[:, :, :1] - wanted[:, :, :1]).max() > 0.1


def test_a_new_context_follows_the_conditional_of_the_field_with_one_more_place() -> None:
    model, frame = MODELS["learned"], rows()
    posterior, values = at_point(model, frame, 5000)
    (field,) = posterior.bound.nonlinear
    new = pd.DataFrame({"a": [4.0], "b": [5.5], "x": [1.0]})
    theta = bp.predict(posterior, new, kind="theta", seed=2).draws.to_numpy().reshape(10000, 2)
    at = np.array([one.at(new)[0, 0] for one in field.contexts])
    share = float(values[f"{field.name}_share"][0])

    def distance(one: np.ndarray, other: np.ndarray) -> Any:
        return np.sqrt(((one - other) ** 2) @ [share, 1 - share])

    mean = distance(*field.points[field.edges.T]).mean()
    nearest = np.argsort(((field.points - at) ** 2).sum(axis=1))[:6]
    weight = mean / (2 * len(field.edges) / len(field.points) * distance(field.points[nearest], at))
    precision = values[f"{field.name}_anchor"] + weight.sum()
    flat = dense_field(posterior.bound, values)
    step = np.sqrt(flat[2][:, 0, 0] / np.linalg.inv(flat[1])[0, 0])
    draws = posterior.tree["posterior"].to_dataset()
    deviation = draws[f"{field.name}_deviation"].to_numpy().reshape(10000, -1, 2)
    centre = (weight[:, None] * deviation[:, nearest]).sum(axis=1) / precision
    change = posterior.bound.coefficients.to_data_units(field.positions)
    left = (theta - draws["mu"].to_numpy().reshape(10000, 2)) @ np.linalg.inv(change) - centre
    standard = left / (step / np.sqrt(precision))
    assert np.abs(standard.mean(axis=0)).max() < 4 / np.sqrt(10000)
    assert np.abs(standard.var(axis=0) - 1).max() < 4 * np.sqrt(2 / 10000)


def test_the_scale_is_the_standard_deviation_over_the_rows() -> None:
    bound = MODELS["learned"].bind(rows())
    (field,) = bound.nonlinear
    at = bound.features[0].matrix[:, 0].astype(int)
    for anchor, share in ((1e-3, 0.02), (0.1, 0.5), (30.0, 0.9)):
        values = {f"{field.name}_anchor": np.float64(anchor), f"{field.name}_share": np.array([share]),
                  f"{field.name}_scale": np.array([0.7, 2.0])}
        root, step = field.root(values, np)
        over_rows = root[at] - root[at].mean(axis=0)
        np.testing.assert_allclose(step * np.sqrt((over_rows**2).sum(axis=1).mean()), [0.7, 2.0], rtol=1e-9)


def test_a_large_anchor_leaves_contexts_to_themselves_and_a_small_one_ties_neighbours() -> None:
    (field,) = MODELS["learned"].bind(rows()).nonlinear

    def correlation(anchor: float) -> np.ndarray:
        covariance = np.linalg.inv(field.precision(np.float64(anchor), field.weights(np.full(2, 0.5), np), np))
        sd = np.sqrt(np.diag(covariance))
        return (covariance / np.outer(sd, sd))[*field.edges.T]

    assert correlation(1e4).max() < 1e-2 and correlation(1e-5).min() > 0.99
    assert (np.diff([correlation(anchor) for anchor in (0.01, 0.1, 1.0)], axis=0) < 0).all()


def test_a_local_scale_integrated_out_leaves_a_laplace_difference() -> None:
    """Of two contexts, which are one edge: variance 1 / w, as the anchor goes to zero."""
    frame = pd.DataFrame({"a": [0.0, 1.0, 1.0], "y": [1.0, 2.0, 4.0]})
    (field,) = bp.Model("y ~ 1", bp.DistanceRegularized("a", power=1)).bind(frame).nonlinear
    local = next(one for one in field.parameters() if one.name.endswith("_local"))
    plain, moved, gaps = field.weights(np.ones(1), np)[0], np.linspace(-40, 8, 20001), np.array([0.1, 0.7, 2.0])
    prior = DISTRIBUTIONS[local.distribution].log_density(np.exp(moved), **local.arguments) + moved
    found = []
    for weight in plain / np.exp(moved):
        covariance = np.linalg.inv(field.precision(np.float64(1e-9 * weight), np.array([weight]), np))
        found.append(stats.norm.pdf(gaps, 0, np.sqrt([1, -1] @ covariance @ [1, -1])))
    density = integrate.trapezoid(np.exp(prior)[:, None] * found, moved, axis=0)
    np.testing.assert_allclose(density, stats.laplace.pdf(gaps, 0, 1 / np.sqrt(2 * plain)), rtol=1e-3)


@pytest.mark.parametrize("relevant", ["a", "b"])
def test_a_context_that_does_not_matter_is_switched_off(relevant: str) -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"a": rng.uniform(-2, 2, 150), "b": rng.uniform(-2, 2, 150), "x": rng.normal(size=150)})
    frame["y"] = 1.5 * np.sin(2 * frame[relevant]) + frame["x"] + 0.3 * rng.normal(size=150)
    posterior = bp.fit(bp.Model("y ~ x", bp.DistanceRegularized("a", "b", on="Intercept")), frame, seed=1, method=QUICK,
                       progress=False)
    metric = posterior.tree["posterior"]["near_a_b_metric"]
    # Half of the distance is due to each before the outcome is seen.
    assert float(metric.sel(near_a_b_reading=relevant).mean()) > 0.95
    assert metric.sel(near_a_b_reading=relevant).quantile(0.05) > 0.9
    np.testing.assert_allclose(metric.sum("near_a_b_reading"), 1.0, rtol=1e-12)


@pytest.mark.slow
def test_laplace_and_nuts_agree() -> None:
    model, frame = MODELS["learned"], rows()
    one = bp.fit(model, frame, seed=1, method=bp.Laplace(draws=1000), progress=False)
    other = bp.fit(model, frame, seed=1, method=bp.NUTS(draws=300, chains=2), progress=False)
    assert not one.complaints
    for name in ("near_a_b_scale", "near_a_b_anchor", "near_a_b_metric", "sigma"):
        first, second = (np.log(each.tree["posterior"][name].to_numpy()) for each in (one, other))
        # Draws of the one are resampled, and those of the other correlate: about half and a third of them count.
        z = z_scores(first.reshape(1000, -1)[::2], second.reshape(600, -1)[::3])
        assert np.abs(z).max() < 4, (name, z)


def test_it_is_saved_and_read_with_its_draws(tmp_path: Path) -> None:
    method = bp.Laplace(draws=200, proposals=1024)
    posterior = bp.fit(MODELS["all pairs, given"], rows(24), seed=1, method=method, progress=False)
    posterior.save(tmp_path / "near.nc")
    again = bp.load(tmp_path / "near.nc")
    assert repr(again.model) == repr(posterior.model)
    new = rows(24).iloc[:6].assign(b=lambda old: (old["b"] + 5) / 2)
    one, other = (bp.predict(each, new, kind="theta", seed=1).draws.to_numpy() for each in (posterior, again))
    np.testing.assert_array_equal(one, other)
    pointwise = bp.log_likelihood(again, progress=False)["y_left_out"].to_numpy()
    assert np.isfinite(pointwise).all()


def test_beside_other_summands_it_is_sampled_as_it_is_stated() -> None:
    model = bp.Model("y ~ x", bp.DistanceRegularized("a", on="x") + bp.PartialPooling("s", on="Intercept"))
    frame = rows(24).assign(s=list("uvwx") * 6)
    bound = model.bind(frame)
    assert marginal_density(bound) is None
    program = model.pymc(frame)
    assert np.isfinite(program.compile_logp(mode="FAST_COMPILE")(program.initial_point()))
    with pytest.raises(SpecificationError, match="Use NUTS"):
        bp.fit(model, frame, method=bp.Laplace(), progress=False)


WRONG = {
    "no context": (lambda: bp.DistanceRegularized(), ["at least one context"]),
    "another power": (lambda: bp.DistanceRegularized("a", power=3), ["power=3", "2", "1"]),
    "no neighbours": (lambda: bp.DistanceRegularized("a", neighbors=0), ["neighbors=0", "1 or more"]),
    "another name": (lambda: bp.DistanceRegularized("a", metric="euclid"), ["'euclid'", "'learned'"]),
    "no square": (lambda: bp.DistanceRegularized("a", metric=[[1, 0]]), ["[[1, 0]]", "positive definite"]),
    "asymmetric": (lambda: bp.DistanceRegularized("a", "b", metric=[[1, 0.5], [0, 1]]), ["symmetric"]),
    "indefinite": (lambda: bp.DistanceRegularized("a", "b", metric=[[1, 2], [2, 1]]), ["eigenvalue -1"]),
    "too small": (lambda: bp.DistanceRegularized("a", "b", metric=[[1]]), ["1 rows", "2 readings, a, b"]),
    "too many": (lambda: bp.DistanceRegularized("b", neighbors=None), ["300", "200", "neighbors"]),
    "too many scales": (lambda: bp.DistanceRegularized("a", "b", power=1, neighbors=20), ["2,000", "power=2"]),
    "no concentration": (lambda: bp.DistanceRegularized("a", concentration=0), ["concentration=0", "positive"]),
    "a negative anchor": (lambda: bp.DistanceRegularized("a", anchor=bp.Hyperprior("Normal", sigma=1)), ["anchor"]),
}


@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_in_words(make: Any, words: list[str]) -> None:
    with pytest.raises((SpecificationError, InputError)) as caught:
        bp.Model("y ~ x", make()).bind(rows(300))
    for word in words:
        assert word in str(caught.value)
