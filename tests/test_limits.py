"""What each prior becomes at its limits, what must not matter, and what a sum of priors means."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Silent, explicit, split, width
from scipy import special, stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.priors.parts.base import Prior

STEP = 1e-30
PRIORS = [bp.Population(), bp.Conditional("site"), bp.PartialPooling("site"),
          bp.LinearVarying("age", "sex", basis="spline", df=6), bp.GaussianProcess("age"),
          bp.MetaLearned("site", rank=2), bp.Transfer("site", "Delft"), bp.FineTuned("site"),
          bp.FineTuned("site", target="Delft", freeze=None),
          bp.TotalVariation("age"), bp.TotalVariation("height", "horseshoe", on="dose"),
          bp.PartialPooling("site", on="dose") + bp.GaussianProcess("age", on="Intercept")]


def given(bound: BoundModel, values: Mapping[str, Any]) -> tuple[float, np.ndarray]:
    """log p(y | phi), and the posterior means of theta given phi, (unit, coefficient)."""
    density = GaussianDensity(bound)
    values = {name: np.asarray(value, float) for name, value in values.items()}
    point = np.concatenate([one.point(values[one.name]) for one in bound.parameters])
    value, _ = density.log_density(point)
    once = density.draw_rest({name: value[None] for name, value in values.items()}, 1, Silent())
    weights = {name: value[0] for name, value in once.items()}
    complete = values | weights
    theta = bound.theta(complete | bound.derived(complete, np), bound.features, len(bound.y))
    return value - float(density.log_prior(point, values)), theta


def bind(frame: pd.DataFrame, prior: Prior) -> BoundModel:
    return bp.Model("y ~ dose", prior=prior).bind(frame)


def in_units(bound: BoundModel, theta: np.ndarray) -> np.ndarray:
    return theta / bound.coefficients.unit


def test_partial_pooling_of_equal_groups_is_population(frame: pd.DataFrame) -> None:
    pooled, alone = bind(frame, bp.PartialPooling("site")), bind(frame, bp.Population())
    scale = 1e-9 * pooled.coefficients.unit
    found, theta = given(pooled, {"site_scale": scale, "site_partial": [0.8], "sigma": 4.0})
    wanted, common = given(alone, {"sigma": 4.0})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(in_units(pooled, theta), in_units(alone, common), rtol=0, atol=1e-6)


def test_partial_pooling_of_unlike_groups_is_conditional(frame: pd.DataFrame) -> None:
    """Both are then each group's own least squares."""
    wide = bp.Hyperprior("Normal", sigma=1e4, relative=True)
    pooled, apart = bind(frame, bp.PartialPooling("site")), bind(frame, bp.Conditional("site", mean=wide))
    _, theta = given(pooled, {"site_scale": 1e4 * pooled.coefficients.unit, "site_partial": [0.5], "sigma": 4.0})
    _, own = given(apart, {"sigma": 4.0})
    squares = np.empty_like(own)
    for label in frame["site"].unique():
        rows = (frame["site"] == label).to_numpy()
        squares[rows] = np.linalg.lstsq(pooled.x[rows], pooled.y[rows])[0]
    np.testing.assert_allclose(in_units(pooled, theta), in_units(pooled, own), rtol=0, atol=1e-6)
    np.testing.assert_allclose(in_units(pooled, own), in_units(pooled, squares), rtol=0, atol=1e-6)


def test_tasks_without_directions_are_pooled_coefficient_by_coefficient(frame: pd.DataFrame) -> None:
    """At rank 0, and where the directions have no length, MetaLearned is PartialPooling whose correlations are 0."""
    pooled, scale = bind(frame, bp.PartialPooling("site")), np.array([3.0, 0.7])
    wanted, theta = given(pooled, {"site_scale": scale, "site_partial": [0.5], "sigma": 4.0})
    alone, turned = bind(frame, bp.MetaLearned("site", rank=0)), bind(frame, bp.MetaLearned("site", rank=2))
    apart = bind(frame, bp.PartialPooling("site", correlated=False))
    for bound, more in ((alone, {}), (apart, {}), (turned, {"site_amplitude": 1e-9, "site_shrink": [0.5],
                                               "site_loading": [[1.0, -2.0], [0.5, 1.0]]})):
        found, own = given(bound, {"site_scale": scale, "sigma": 4.0} | more)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
        np.testing.assert_allclose(in_units(pooled, own), in_units(pooled, theta), rtol=0, atol=1e-6)


def test_tasks_with_as_many_directions_as_coefficients_are_pooled_as_groups_are(frame: pd.DataFrame) -> None:
    bound, pooled = bind(frame, bp.MetaLearned("site", rank=2)), bind(frame, bp.PartialPooling("site"))
    loading = np.array([[1.0, 0.0], [-0.8, 0.6]])
    found, _ = given(bound, {"site_scale": 1e-9 * bound.coefficients.unit, "site_amplitude": 0.4,
                             "site_shrink": [1 - 1e-12], "site_loading": loading, "sigma": 4.0})
    # The correlation is -0.8, of which the partial variable on (0, 1) is 0.1.
    wanted, _ = given(pooled, {"site_scale": 0.4 * bound.coefficients.unit, "site_partial": [0.1], "sigma": 4.0})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_a_target_like_its_sources_is_population_and_one_unlike_them_stands_alone(frame: pd.DataFrame) -> None:
    bound, alone = bind(frame, bp.Transfer("site", "Delft")), bind(frame, bp.Population())
    of = (frame["site"] == "Delft").to_numpy()
    found, theta = given(bound, {"site_target_overall": 1e-9, "site_target_local": [1.0, 1.0], "sigma": 4.0})
    wanted, common = given(alone, {"sigma": 4.0})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(in_units(bound, theta), in_units(alone, common), rtol=0, atol=1e-6)
    _, theta = given(bound, {"site_target_overall": 1e5, "site_target_local": [1.0, 1.0], "sigma": 4.0})
    np.testing.assert_allclose(in_units(bound, theta[of]),
                               in_units(bound, np.broadcast_to(np.linalg.lstsq(bound.x[of], bound.y[of])[0], (8, 2))),
                               rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", [bp.TotalVariation("age"), bp.TotalVariation("age", "horseshoe")], ids=repr)
def test_a_walk_without_steps_is_population_and_one_of_long_steps_keeps_contexts_apart(frame: pd.DataFrame,
                                                                                       prior: Prior) -> None:
    decade = 20 * (frame["age"] // 20)
    bound, alone = bind(frame.assign(age=decade), prior), bind(frame, bp.Population())
    last = decade.nunique() - 1
    local = np.full((last, 2), 1.0 if prior == bp.TotalVariation("age") else last)
    found, theta = given(bound, {"steps_age_scale": 1e-9 * bound.coefficients.unit, "steps_age_local": local,
                                 "sigma": 4.0})
    wanted, common = given(alone, {"sigma": 4.0})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(in_units(bound, theta), in_units(alone, common), rtol=0, atol=1e-6)
    wide = bp.Hyperprior("Normal", sigma=1e4, relative=True)
    bound = bp.Model("y ~ dose", prior, mean=wide).bind(frame.assign(age=decade))
    _, theta = given(bound, {"steps_age_scale": 1e5 * bound.coefficients.unit, "steps_age_local": local, "sigma": 4.0})
    apart = bind(frame.assign(age=decade.astype(str) + " years"), bp.Conditional("age", mean=wide))
    _, own = given(apart, {"sigma": 4.0})
    np.testing.assert_allclose(in_units(bound, theta), in_units(bound, own), rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", [bp.TotalVariation("age"), bp.TotalVariation("age", on="dose")], ids=repr)
def test_a_walk_of_laplace_increments_has_the_standard_deviation_it_states(frame: pd.DataFrame, prior: Prior) -> None:
    """Mean prior variance over the rows is scale squared; an Exponential local scale has mean 1."""
    bound = bind(frame, prior)
    (term,), (features,) = bound.terms, bound.features
    stated = np.array([3.0, 0.7])[term.positions]
    scale, _ = term.scales({"steps_age_scale": stated, "steps_age_local": np.ones((39, len(stated)))}, np)
    np.testing.assert_allclose((np.asarray(features.matrix) ** 2 @ scale**2).mean(axis=0), stated**2, rtol=1e-12)


def test_a_gaussian_process_of_long_length_scale_is_linear_in_its_slowest_cosine(frame: pd.DataFrame) -> None:
    """A squared-exponential process keeps one cosine: over contexts that lie evenly about their middle, a sine.

    It is LinearVarying in that sine, which bends away from a straight line by a few percent.
    """
    age = np.linspace(20, 80, len(frame))
    frame = frame.assign(age=np.random.default_rng(1).permutation(age))
    process = bind(frame, bp.GaussianProcess("age", kernel="squared_exponential"))
    (box,), (term,) = process.terms[0].boxes, process.terms
    frame["sine"] = np.sin(np.pi / (2 * box.length) * (frame["age"] - 50) / term.contexts[0].spread)
    assert np.corrcoef(frame["sine"], frame["age"])[0, 1] > 0.999
    linear, scale = bind(frame, bp.LinearVarying("sine")), [5.0, 1.5]
    long = np.full((2, 1), 60.0 * 30)
    found, theta = given(process, {"gp_age_scale": scale, "gp_age_lengthscale": long, "sigma": 4.0})
    wanted, straight = given(linear, {"linear_sine_scale": [scale], "sigma": 4.0})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(in_units(process, theta), in_units(linear, straight), rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", [bp.GaussianProcess("age"), bp.GaussianProcess("age", kernel="matern32")], ids=repr)
def test_a_smooth_coefficient_has_the_standard_deviation_it_states(frame: pd.DataFrame, prior: Prior) -> None:
    """Mean prior variance over the rows is scale squared at any length-scale."""
    bound = bind(frame, prior)
    (term,), (features,) = bound.terms, bound.features
    for lengthscale in (0.5, 10.0, 1e4):
        scale, _ = term.scales({"gp_age_scale": np.array([3.0, 0.7]),
                                "gp_age_lengthscale": np.full((2, 1), lengthscale)}, np)
        variance = (np.asarray(features.matrix) ** 2 @ scale**2).mean(axis=0)
        np.testing.assert_allclose(variance, [9.0, 0.49], rtol=1e-12)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_the_order_of_rows_does_not_matter(frame: pd.DataFrame, prior: Prior) -> None:
    order = np.random.default_rng(2).permutation(len(frame))
    before, after = bind(frame, prior), bind(frame.iloc[order], prior)
    plain, moved = explicit(before), explicit(after)
    for u in np.random.default_rng(3).normal(0, 0.7, (3, width(before))):
        np.testing.assert_allclose(moved(u), plain(u), rtol=0, atol=1e-8)
        point = u[: GaussianDensity(before).size]
        one, other = (GaussianDensity(each).log_density(point)[0] for each in (after, before))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)
        thetas = []
        for bound in (before, after):
            values, _ = split(bound, u)
            thetas.append(bound.theta(values | bound.derived(values, np), bound.features, len(bound.y)))
        np.testing.assert_allclose(thetas[1], thetas[0][order], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prior", [bp.Conditional("site"), bp.PartialPooling("site")], ids=repr)
@pytest.mark.parametrize("label", [lambda site: site[::-1], lambda site: len(site) * 100 + ord(site[0])],
                         ids=["spelled backwards", "numbers"])
def test_the_names_of_groups_do_not_matter(frame: pd.DataFrame, prior: Prior, label: Any) -> None:
    before, after = bind(frame, prior), bind(frame.assign(site=frame["site"].map(label)), prior)
    (old,), (new,) = before.terms, after.terms
    order = [list(old.levels.labels.map(label)).index(name) for name in new.levels.labels]
    assert order != sorted(order)
    density, relabelled = explicit(before), explicit(after)
    groups, varying = len(order), len(old.positions)
    for u in np.random.default_rng(4).normal(0, 0.7, (3, width(before))):
        moved = u.copy()
        moved[-groups * varying :] = u[-groups * varying :].reshape(groups, varying)[order].ravel()
        np.testing.assert_allclose(relabelled(moved), density(u), rtol=0, atol=1e-8)
        point = u[: GaussianDensity(before).size]
        one, other = (GaussianDensity(each).log_density(point)[0] for each in (after, before))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


def test_a_sum_of_priors_is_the_sum_of_their_deviations(frame: pd.DataFrame) -> None:
    """Written by hand: y is Normal with the covariances of mean, groups, slope in age, and error added up."""
    bound = bind(frame, bp.PartialPooling("site") + bp.LinearVarying("age", on="dose"))
    scale, r, slope, sigma = np.array([6.0, 0.9]), 0.3, 1.2, 4.0
    found, _ = given(bound, {"site_scale": scale, "site_partial": [(r + 1) / 2], "linear_age_scale": [[slope]],
                             "sigma": sigma})
    y, dose, age = (frame[name].to_numpy() for name in ("y", "dose", "age"))
    x = np.column_stack([np.ones(len(y)), dose - dose.mean()])
    c = (age - age.mean()) / age.std()
    prior = 2.5 * np.array([y.std(), y.std() / dose.std()])
    between = np.outer(scale, scale) * [[1, r], [r, 1]]
    same = (frame["site"].to_numpy()[:, None] == frame["site"].to_numpy()[None, :])
    # Alone among the coefficients of its term, dose is not centred: theta_i[dose] moves, the intercept at 0 does not.
    moved = slope * c * dose
    covariance = (x * prior**2 @ x.T + same * (x @ between @ x.T) + np.outer(moved, moved) + sigma**2 * np.eye(len(y)))
    wanted = stats.multivariate_normal(np.full(len(y), y.mean()), covariance).logpdf(y)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8)


def exchangeable(frame: pd.DataFrame, coefficients: int, concentration: float = 2.0) -> Any:
    formula = {2: "y ~ dose", 3: "y ~ dose + weight"}[coefficients]
    (term,) = bp.Model(formula, prior=bp.PartialPooling("site", concentration=concentration)).bind(frame).terms
    return term


def correlations(term: Any, partial: np.ndarray) -> np.ndarray:
    """R at values (..., pair) of the partial correlations."""
    scale = np.ones((*partial.shape[:-1], len(term.positions)))
    root = term.scales({"site_scale": scale, "site_partial": partial}, np)[1]
    return root @ root.mT


@pytest.mark.parametrize("coefficients", [2, 3])
def test_the_root_is_of_a_correlation_matrix(frame: pd.DataFrame, coefficients: int) -> None:
    term = exchangeable(frame, coefficients)
    pairs = coefficients * (coefficients - 1) // 2
    partial = np.random.default_rng(5).uniform(0, 1, (200, pairs))
    root = term.scales({"site_scale": np.ones((200, coefficients)), "site_partial": partial}, np)[1]
    assert (np.triu(root, 1) == 0).all() and (np.diagonal(root, axis1=1, axis2=2) > 0).all()
    r = correlations(term, partial)
    np.testing.assert_allclose(np.diagonal(r, axis1=1, axis2=2), 1.0, rtol=0, atol=1e-12)
    # The first column holds plain correlations.
    np.testing.assert_allclose(r[:, 1, 0], 2 * partial[:, 0] - 1, rtol=0, atol=1e-12)
    assert (np.linalg.eigvalsh(r) > 0).all()


@pytest.mark.parametrize("concentration", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("coefficients", [2, 3])
def test_correlations_have_the_lkj_density(frame: pd.DataFrame, coefficients: int, concentration: float) -> None:
    """p(R) = det(R)^(eta - 1) / c, c of Lewandowski, Kurowicka and Joe (2009)."""
    term, rng = exchangeable(frame, coefficients, concentration), np.random.default_rng(6)
    partial_prior = term.parameters()[1]
    k, size = np.arange(1, coefficients), coefficients
    shape = concentration + (size - k - 1) / 2
    log_c = ((2 * concentration - 2 + size - k) * (size - k) * np.log(2)).sum()
    log_c += ((size - k) * special.betaln(shape, shape)).sum()
    for _ in range(10):
        moved = rng.normal(0, 1, partial_prior.size)
        partial = partial_prior.value(moved)
        steps = partial_prior.value(moved + STEP * 1j * np.eye(partial_prior.size))
        lower = np.tril_indices(size, -1)
        r = correlations(term, partial)
        _, jacobian = np.linalg.slogdet(correlations(term, steps)[:, lower[0], lower[1]].imag / STEP)
        found = partial_prior.log_density(partial, moved) - jacobian
        wanted = (concentration - 1) * np.linalg.slogdet(r)[1] - log_c
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_each_of_three_correlations_has_the_beta_marginal_of_lkj(frame: pd.DataFrame) -> None:
    term, rng, count = exchangeable(frame, 3), np.random.default_rng(7), 4000
    partial = np.array([term.parameters()[1].draw(rng) for _ in range(count)])
    r = correlations(term, partial)
    marginal = stats.beta(2.5, 2.5, loc=-1, scale=2)
    for i, j in ((1, 0), (2, 0), (2, 1)):
        draws = r[:, i, j]
        assert abs(draws.mean()) / (marginal.std() / np.sqrt(count)) < 4
        assert stats.kstest(draws, marginal.cdf).pvalue > 1e-4
    # Exchangeable, so that products of different correlations have the same mean zero.
    product = r[:, 1, 0] * r[:, 2, 0]
    assert abs(product.mean()) / (product.std() / np.sqrt(count)) < 4
