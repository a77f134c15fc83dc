"""Categories without an order: densities, the published estimate, posteriors by quadrature, copies, refusals."""

from collections.abc import Callable
from functools import cache
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from levels import alligators
from scipy import optimize, special, stats

import bayes_personal as bp
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.kernels import likelihoods
from bayes_personal.posterior.posterior import Posterior

LEVELS = ["walk", "bus", "car"]


def ways(rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """Ways to work of eight towns, where the dearer a car is to park the fewer drive."""
    rng = np.random.default_rng(seed)
    price, town = rng.normal(3, 1, rows), rng.integers(0, 8, rows)
    own = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.5]], 8)[town]
    eta = np.column_stack([np.zeros(rows), 0.2 + own[:, 0], 2.4 - 0.8 * price + own[:, 1]])
    places = (rng.random(rows)[:, None] > special.softmax(eta, axis=1).cumsum(axis=1)).sum(axis=1)
    return pd.DataFrame({"price": price, "town": [f"t{k}" for k in town],
                         "way": pd.Categorical.from_codes(places, LEVELS)})


@cache
def fitted() -> Posterior:
    model = bp.Model("way ~ price", bp.PartialPooling("town", on="Intercept"), bp.Categorical())
    return bp.fit(model, ways(), seed=1, progress=False)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_log_density_and_its_slopes(count: int) -> None:
    """Those of SciPy's softmax, compiled too; slopes by differences, near and far out."""
    rng = np.random.default_rng(count)
    eta, y = rng.normal(0, 3, (40, count)), rng.integers(0, count + 1, 40).astype(float)
    eta[:4] *= 600 / np.abs(eta[:4]).max()
    family = bp.Categorical(levels=range(count + 1))
    exact = special.log_softmax(np.column_stack([np.zeros(40), eta]), axis=1)
    likelihood = family.likelihood(eta, {}, np.ones(40), np)
    np.testing.assert_allclose(likelihood.log_density(y), exact[np.arange(40), y.astype(int)], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(likelihood.shares(), np.exp(exact), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(likelihood.mean(), np.exp(exact) @ np.arange(count + 1), rtol=1e-12)
    code, own, n, rows = family.compiled, np.zeros(0), np.ones(40), np.ascontiguousarray(eta.T)
    np.testing.assert_allclose(likelihoods.log_likelihoods(code, own, y, n, rows), likelihood.log_density(y),
                               rtol=1e-12, atol=1e-14)
    score, curvature, positive = likelihoods.slopes(code, own, y, n, rows)
    np.testing.assert_array_equal(curvature, positive)
    assert np.isfinite(score).all() and (np.linalg.eigvalsh(curvature.transpose(2, 0, 1)) > -1e-15).all()
    for k in range(count):
        step = 1e-5 * np.eye(count)[:, [k]]
        low, high = (likelihoods.log_likelihoods(code, own, y, n, rows + sign * step) for sign in (-1, 1))
        np.testing.assert_allclose(score[k], (high - low) / 2e-5, atol=1e-8)
        low, high = (likelihoods.slopes(code, own, y, n, rows + sign * step)[0] for sign in (-1, 1))
        np.testing.assert_allclose(curvature[k], (low - high) / 2e-5, atol=1e-9)


def test_draws_are_in_proportion() -> None:
    eta, family = np.array([[0.5, -1.0, 1.2]]), bp.Categorical(levels=range(4))
    likelihood = family.likelihood(np.broadcast_to(eta, (40_000, 3)), {}, np.ones(1), np)
    counts = np.bincount(likelihood.draw(np.random.default_rng(1), (40_000,)).astype(int), minlength=4)
    assert stats.chisquare(counts, 40_000 * special.softmax([0.0, 0.5, -1.0, 1.2])).pvalue > 6e-5


def test_the_published_maximum_of_the_likelihood() -> None:
    """Agresti (2013), table 8.2: food of alligators by their size and lake, fish the reference."""
    frame = alligators()
    assert len(frame) == 219
    bound = bp.Model("food ~ small + hancock + oklawaha + trafford", family=bp.Categorical(
        levels=["fish", "invertebrates", "reptiles", "birds", "other"])).bind(frame)

    def deviance(point: np.ndarray) -> float:
        eta = bound.eta({"mu_centered": point}, np)
        return -bound.log_likelihood(bound.y, eta, {}, bound.constants, None).sum()

    found = optimize.minimize(deviance, np.zeros(20), method="BFGS", options={"gtol": 1e-7})
    estimates = found.x @ bound.coefficients.to_data_units(bound.everywhere)
    np.testing.assert_allclose(estimates.reshape(4, 5), [
        [-1.55, 1.46, -1.66, 0.94, 1.12], [-3.31, -0.35, 1.24, 2.46, 2.94], [-2.09, -0.63, 0.70, -0.65, 1.09],
        [-1.90, 0.33, 0.83, 0.01, 1.52]], atol=0.0051)


def test_two_categories_are_yes_and_no() -> None:
    """The same location, unit, density and compiled slopes as those of a Bernoulli family."""
    frame = ways().assign(way=lambda rows: np.where(rows["way"] == "car", "car", "other"))
    one, other = (bp.Model("way ~ price", bp.PartialPooling("town"), family).bind(data) for family, data in (
        (bp.Categorical(levels=["other", "car"]), frame), (bp.Bernoulli(), frame.assign(way=frame["way"] == "car"))))
    assert one.coefficients.names == ("car: Intercept", "car: price")
    np.testing.assert_array_equal(one.y, other.y)
    for name in ("location", "unit", "center"):
        np.testing.assert_array_equal(*(getattr(each.coefficients, name) for each in (one, other)))
    np.testing.assert_array_equal(*(each.coefficients.to_data_units(each.everywhere) for each in (one, other)))
    eta = np.linspace(-40, 40, len(frame))
    densities = [each.family.likelihood(eta[:, None], {}, each.constants, np).log_density(each.y)
                 for each in (one, other)]
    np.testing.assert_allclose(*densities, rtol=1e-12, atol=1e-14)
    for found, wanted in zip(*(likelihoods.slopes(each.family.compiled, np.zeros(0), each.y, each.constants, eta[None])
                               for each in (one, other)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-15)


def test_every_category_has_a_copy_of_every_coefficient() -> None:
    bound = bp.Model("way ~ price", bp.PartialPooling("town"), bp.Categorical()).bind(ways())
    names = ("bus: Intercept", "bus: price", "car: Intercept", "car: price")
    assert bound.coefficients.names == names and bound.family.labels == tuple(LEVELS)
    assert bound.coefficients.linear_predictors == 2 and bound.x.shape == (160, 4)
    np.testing.assert_array_equal(bound.x[:, :2], bound.x[:, 2:])
    values = {"mu_centered": np.array([0.3, -0.2, 1.1, 0.4]),
              "town_scale": np.ones(4), "town_partial": np.full(6, 0.5), "town_z": np.zeros((8, 4))}
    mean = bound.x[:, 1] - bound.x[:, 1].mean()
    np.testing.assert_allclose(bound.eta(values, np), np.column_stack([0.3 - 0.2 * mean, 1.1 + 0.4 * mean]))
    theta = bound.theta(values | bound.derived(values, np), bound.features, 160)
    np.testing.assert_allclose(bound.eta_of(theta, bound.x), bound.eta(values, np), rtol=1e-12)


@pytest.mark.parametrize(("on", "wanted"), [
    ("price", [1, 3]), ("car: price", [3]), (["Intercept", "car: price"], [0, 2, 3]), (["bus: Intercept", "price"],
                                                                                       [0, 1, 3])])
def test_on_names_one_copy_or_all(on: Any, wanted: list[int]) -> None:
    bound = bp.Model("way ~ price", bp.PartialPooling("town", on=on), bp.Categorical()).bind(ways())
    (term,) = bound.terms
    assert term.positions.tolist() == wanted
    # Predictors are centred where the intercept of their own category varies too.
    x = bound.coefficients.predictors(bound.x, term.positions)
    for place, k in enumerate(wanted):
        centred = k % 2 == 1 and k - 1 in wanted
        assert x[:, place].mean() == pytest.approx(0.0 if centred else bound.x[:, k].mean(), abs=1e-12)
    effect = np.random.default_rng(1).normal(size=(8, len(wanted)))
    moved = effect @ bound.coefficients.to_data_units(term.positions)
    rows = pd.factorize(bound.frame["town"], sort=True)[0]
    for copy in (0, 1):
        own = [place for place, k in enumerate(wanted) if k // 2 == copy]
        found = (bound.x[:, term.positions[own]] * moved[rows][:, own]).sum(axis=1)
        np.testing.assert_allclose(found, (x[:, own] * effect[rows][:, own]).sum(axis=1), atol=1e-12)


def test_an_unknown_name_of_a_coefficient_is_refused() -> None:
    with pytest.raises(SpecificationError, match="no coefficient 'walk: price'"):
        bp.Model("way ~ price", bp.PartialPooling("town", on="walk: price"), bp.Categorical()).bind(ways())


def quadrature(y: np.ndarray) -> tuple[list[tuple[float, float]], np.ndarray]:
    """Mean and sd of two intercepts without predictors, and log p(y_i | other rows)."""
    line = np.linspace(-5, 5, 401)
    eta = np.stack([np.zeros((401, 401)), *np.meshgrid(line, line, indexing="ij")])
    each = special.log_softmax(eta, axis=0)
    total = stats.norm.logpdf(eta[1], 0, 2.5) + stats.norm.logpdf(eta[2], 0, 2.5) + sum(each[level] for level in y)
    weight = special.softmax(total)
    moments = []
    for values in eta[1:]:
        mean = (weight * values).sum()
        moments.append((mean, np.sqrt((weight * (values - mean) ** 2).sum())))
    left_out = np.array([special.logsumexp(total) - special.logsumexp(total - each[level]) for level in range(3)])
    return moments, left_out[y]


@pytest.mark.parametrize("method", [bp.Laplace(), bp.NUTS(draws=400, tune=400, chains=2, collapse=False)], ids=str)
def test_the_posterior_and_leave_one_out_by_quadrature(method: Any) -> None:
    y = np.repeat([0, 1, 2], [9, 4, 14])
    posterior = bp.fit(bp.Model("y ~ 1", family=bp.Categorical()), pd.DataFrame({"y": y}), seed=1, progress=False,
                       method=method)
    found = posterior.diagnostics
    if isinstance(method, bp.Laplace):
        assert not posterior.complaints
    else:
        assert found.divergences == 0 and found.r_hat.value < 1.05 and found.ess_bulk.value > 150, found
    moments, left_out = quadrature(y)
    for k, (mean, sd) in enumerate(moments):
        one = posterior.tree["posterior"]["mu"].isel(coefficient=k, drop=True)
        z_mean = (float(one.mean()) - mean) / float(az.mcse(one, method="mean"))
        z_sd = (float(one.std()) - sd) / float(az.mcse(one, method="sd"))
        assert abs(z_mean) < 4 and abs(z_sd) < 4, (k, z_mean, z_sd)
    elpd = bp.loo(posterior, progress=False)
    assert abs(elpd.elpd - left_out.sum()) < 4 * elpd.mcse + 1e-6


def test_the_default_is_healthy_and_finds_what_made_the_data() -> None:
    posterior = fitted()
    assert not posterior.complaints and "pseudo-data" in posterior.diagnostics.engine
    slope = posterior.tree["posterior"]["mu"].sel(coefficient="car: price")
    assert abs(float(slope.mean()) + 0.8) < 3 * float(slope.std())
    assert not bp.loo(posterior, progress=False).warning


@pytest.mark.slow
@pytest.mark.parametrize("prior", [bp.PartialPooling("town", on="Intercept"), bp.GaussianProcess("price")])
def test_the_default_has_the_posterior_of_nuts(prior: Any) -> None:
    """Over all unknowns, by the program as PyMC states it."""
    model = bp.Model("way ~ price" if prior.columns == ("town",) else "way ~ 1", prior, bp.Categorical())
    frame = ways()
    default = bp.fit(model, frame, seed=1, progress=False)
    over_all = bp.fit(model, frame, seed=1, progress=False, method=bp.NUTS(draws=700, chains=2, collapse=False,
                                                                           target_accept=0.97))
    found = over_all.diagnostics
    assert not default.complaints and found.divergences == 0 and found.r_hat.value < 1.03, found
    places = [3, 40, 77]
    one, other = (each.theta.isel(unit=places) for each in (default, over_all))
    for name in one.coefficient.to_numpy():
        for place in range(3):
            draws = [each.sel(coefficient=name).isel(unit=place) for each in (one, other)]
            for method in ("mean", "sd"):
                error = np.hypot(*(float(az.mcse(each, method=method)) for each in draws))
                first, second = (float(each.mean() if method == "mean" else each.std()) for each in draws)
                assert abs(first - second) < 4 * error, (name, place, method, first, second, error)


@pytest.mark.slow
def test_whole_towns_are_predicted_as_by_fits_without_them() -> None:
    frame, found = ways(), bp.loo(fitted(), kind="group", by="town", progress=False)
    for place, town in list(enumerate(frame["town"].unique()))[:3]:
        out = frame["town"] == town
        without = bp.fit(fitted().model, frame[~out], seed=2, progress=False)
        theta = bp.predict(without, frame[out], kind="theta", seed=3).draws
        bound = fitted().bound
        each = bound.family.likelihood(bound.eta_of(theta.to_numpy().reshape(-1, *theta.shape[2:]), bound.x[out]), {},
                                       np.ones(1), np).log_density(bound.y[out]).sum(axis=1)
        relative = np.exp(each - each.max())
        wanted, error = each.max() + np.log(relative.mean()), relative.std() / relative.mean() / np.sqrt(len(each))
        # Importance weights of a town's own draws have an error of about that size too.
        assert abs(found.elpd_i.to_numpy()[place] - wanted) < 4 * np.sqrt(2) * error, (town, wanted, error)


def test_probabilities_and_drawn_labels() -> None:
    posterior, new = fitted(), ways().iloc[:4].assign(town=["t0", "t1", "elsewhere", None])
    shares = bp.predict(posterior, new, kind="mean", seed=1)
    assert shares.draws.dims == ("chain", "draw", "unit", "level") and shares.draws.level.to_numpy().tolist() == LEVELS
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws
    x, first = new["price"].to_numpy(), np.zeros(theta.shape[:-1])
    eta = [theta.sel(coefficient=f"{level}: Intercept") + theta.sel(coefficient=f"{level}: price") * x
           for level in LEVELS[1:]]
    np.testing.assert_allclose(shares.draws, special.softmax(np.stack([first, *eta], axis=-1), axis=-1), rtol=1e-9)
    assert len(shares.frame()) == 12
    outcomes = bp.predict(posterior, new, kind="outcome", seed=1)
    labels, wanted = outcomes.draws.to_numpy(), shares.draws.mean(("chain", "draw")).to_numpy()
    assert set(np.unique(labels)) == set(LEVELS)
    for place, level in enumerate(LEVELS):
        share = (labels == level).mean(axis=(0, 1))
        error = np.sqrt(wanted[:, place] * (1 - wanted[:, place]) / labels[..., 0].size)
        assert (np.abs(share - wanted[:, place]) < 4 * error).all()
        np.testing.assert_allclose(outcomes.frame()[level], share)
    figure = bp.plot_shares(posterior)
    assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == LEVELS
    assert len(bp.plot_theta(posterior).axes) >= 2


def test_categories_are_remembered_by_saved_posteriors_and_in_files(tmp_path: Any) -> None:
    posterior, frame = fitted(), ways()
    posterior.save(tmp_path / "ways.nc")
    loaded = bp.load(tmp_path / "ways.nc")
    assert loaded.model == posterior.model and loaded.bound.family.labels == tuple(LEVELS)
    for kind in ("theta", "mean", "outcome"):
        one, other = (bp.predict(each, frame.iloc[:5], kind=kind, seed=2).draws for each in (posterior, loaded))
        np.testing.assert_array_equal(one, other)
    frame.to_parquet(tmp_path / "ways.parquet")
    held, stored = (bp.fit(posterior.model, data, seed=3, method=bp.Laplace(draws=100), progress=False)
                    for data in (frame, tmp_path / "ways.parquet"))
    np.testing.assert_allclose(*(bp.predict(each, frame.iloc[:5], kind="theta").draws for each in (held, stored)),
                               rtol=1e-5, atol=1e-6)


def test_forward_draws_are_those_of_the_program() -> None:
    """Shares of categories that PyMC draws from the prior, and those of `simulate`."""
    frame, model = ways(40), bp.Model("way ~ price", bp.PartialPooling("town"), bp.Categorical(levels=LEVELS))
    with model.pymc(frame) as program:
        drawn = pm.draw(program["y"], 400, random_seed=1, mode="FAST_COMPILE")
    outcomes = [bp.simulate(model, frame, seed=seed).frame["way"] for seed in range(400)]
    simulated = np.stack([answers.map(LEVELS.index) for answers in outcomes])
    for level in range(3):
        one, other = (drawn == level).mean(axis=1), (simulated == level).mean(axis=1)
        assert abs(one.mean() - other.mean()) < 4 * np.sqrt((one.var() + other.var()) / 400)


def frame_of(y: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": y, "x": [0.0, 2.0, 1.0, 3.0, 5.0, 4.0], "g": list("aabbcc")},
                        index=[f"r{k}" for k in range(6)])


@pytest.mark.parametrize(("family", "y", "kind", "words"), [
    (bp.Categorical(), ["red"] * 6, InputError, ["'y'", "'red' in all 6 rows", "levels="]),
    (bp.Categorical(), ["red", None, "blue"] * 2, InputError, ["missing in 2 of 6", "'r1'"]),
    (bp.Categorical(), [0.5, 1, 2] * 2, InputError, ["0.5", "whole numbers, text or categories"]),
    (bp.Categorical(), pd.Categorical(["a", "b"] * 3, categories=["a", "b", "c"]), InputError, ["category 'c'"]),
    (bp.Categorical(), [("a",), ("b",), ("c",)] * 2, InputTypeError, ["Make it text"]),
    (bp.Categorical(levels=["red", "blue"]), ["red", "blue", "green"] * 2, InputError, ["'green' in 2 rows", "'r2'"]),
])
def test_bad_outcomes_are_refused_in_words(family: Any, y: Any, kind: type, words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        bp.Model("y ~ x", family=family).bind(frame_of(y))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_levels_are_sorted_labels_or_as_stated() -> None:
    for y, levels in ((["b", "a", "c"] * 2, ("a", "b", "c")), ([10, 9, 11] * 2, (9, 10, 11)),
                      (pd.Categorical(["b", "a", "c"] * 2, categories=["c", "a", "b"]), ("c", "a", "b"))):
        assert bp.Model("y ~ 1", family=bp.Categorical()).bind(frame_of(y)).family.labels == levels
    stated = bp.Categorical(levels=["c", "a", "b", "d"])
    with pytest.warns(InputWarning, match="has the level 'd'"):
        assert bp.Model("y ~ 1", family=stated).bind(frame_of(["b", "a", "c"] * 2)).coefficients.names == (
            "a: Intercept", "b: Intercept", "d: Intercept")
    with pytest.warns(InputWarning, match="rows of 'c' and all others are separated by 'x' alone"):
        bp.Model("y ~ x", family=bp.Categorical()).bind(frame_of(["a", "b", "b", "a", "c", "c"]))
    with pytest.raises(SpecificationError, match="State them"):
        bp.simulate(bp.Model("y ~ x", family=bp.Categorical()), frame_of(range(6)).drop(columns="y"), seed=1)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: bp.Categorical(levels=["a"]), "two or more"), (lambda: bp.Categorical(levels=["a", "a"]), "different"),
    (lambda: bp.Categorical(levels="abc"), "such as levels="),
    (lambda: bp.Network("a + b ~ 1", family={"a": bp.Categorical()}), "levels, and the nodes of a network are numb")])
def test_nonsense_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        make()
