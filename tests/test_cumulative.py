"""Ordered levels: what is learned of them, the published estimate, two levels, posteriors by quadrature, refusals."""

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from levels import wine
from scipy import optimize, special, stats

import bayes_personal as bp
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.kernels import likelihoods

LABELS = ["never", "sometimes", "often", "always"]


def graded(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Answers of eight groups."""
    rng = np.random.default_rng(seed)
    x, site = rng.normal(size=rows), rng.integers(0, 8, rows)
    latent = 1.0 + 0.8 * x + rng.normal(0, 0.7, 8)[site] + rng.logistic(size=rows)
    places = np.digitize(latent, [0.0, 1.0, 2.5])
    return pd.DataFrame({"x": x, "site": [f"s{k}" for k in site],
                         "answer": pd.Categorical.from_codes(places, LABELS, ordered=True)})


def test_the_published_maximum_of_the_likelihood() -> None:
    """Of `clm` in R's ordinal: thresholds, coefficients and log likelihood."""
    bound = bp.Model("rating ~ temp + contact", family=bp.Cumulative()).bind(wine())
    assert bound.family.labels == (1, 2, 3, 4, 5)

    def deviance(point: np.ndarray) -> float:
        values = {"mu": point[:3] @ np.linalg.inv(bound.coefficients.to_data_units(bound.everywhere)),
                  **{f"gap_{k}": np.exp(gap) for k, gap in enumerate(point[3:], 1)}}
        eta = bound.eta({"mu_centered": values["mu"]}, np)
        return -bound.log_likelihood(bound.y, eta, bound.family_values(values, 0), bound.constants, None).sum()

    found = optimize.minimize(deviance, np.zeros(6), method="BFGS", options={"gtol": 1e-8})
    values: dict[str, Any] = {f"gap_{k}": np.exp(gap) for k, gap in enumerate(found.x[3:], 1)}
    thresholds = bound.family.reported(values, found.x[0], np)["threshold"]
    np.testing.assert_allclose(thresholds, [-1.344, 1.251, 3.467, 5.006], atol=6e-4)
    np.testing.assert_allclose(found.x[1:3], [2.503, 1.528], atol=6e-4)
    assert -found.fun == pytest.approx(-86.49, abs=5e-3)


def test_two_levels_are_yes_and_no() -> None:
    """The same location, unit, density and compiled slopes as those of a Bernoulli family."""
    frame = graded().assign(answer=lambda rows: (rows["answer"] > "sometimes").astype(int))
    ordered, plain = (bp.Model("answer ~ x", family=family).bind(frame)
                      for family in (bp.Cumulative(), bp.Bernoulli()))
    np.testing.assert_array_equal(ordered.y, plain.y)
    np.testing.assert_allclose(ordered.coefficients.location, plain.coefficients.location, atol=1e-15)
    np.testing.assert_allclose(ordered.coefficients.unit, plain.coefficients.unit)
    eta = np.linspace(-40, 40, len(frame))
    wanted = plain.family.likelihood(eta[:, None], {}, plain.constants, np).log_density(plain.y)
    found = ordered.family.likelihood(eta[:, None], {}, ordered.constants, np)
    np.testing.assert_allclose(found.log_density(plain.y), wanted, rtol=1e-12, atol=1e-14)
    for one, other in zip(*(likelihoods.slopes(bound.family.compiled, np.zeros(0), bound.y, bound.constants, eta[None])
                            for bound in (ordered, plain)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("levels", [2, 3, 10])
def test_all_levels_are_equally_likely_at_the_median_of_the_prior(link: str, levels: int) -> None:
    family = bp.Cumulative(link, levels=range(levels))
    location, _ = family.location_scale(np.zeros(1), np.ones(1))
    values = {each.name: each.unit for each in family.parameters(1.0)}
    shares = family.likelihood(np.array([[location]]), values, np.ones(1), np).shares()
    np.testing.assert_allclose(shares, 1 / levels, rtol=1e-12)


def quadrature(y: np.ndarray) -> tuple[dict[str, tuple[float, float]], np.ndarray]:
    """Mean and sd of intercept and gap of three levels without predictors, and log p(y_i | other rows)."""
    mu, log_gap = np.meshgrid(np.linspace(-2.5, 5, 401), np.linspace(-3, 3, 401), indexing="ij")
    gap = np.exp(log_gap)
    prior = (stats.norm.logpdf(mu, special.logit(2 / 3), 2.5)
             + stats.norm.logpdf(log_gap, np.log(special.logit(2 / 3) - special.logit(1 / 3)), 1.0))
    each = np.log([special.expit(-mu), special.expit(gap - mu) - special.expit(-mu), special.expit(mu - gap)])
    total = prior + sum(each[level] for level in y)
    weight = special.softmax(total)
    assert max(weight[[0, -1]].max(), weight[:, [0, -1]].max()) < 1e-9
    moments = {}
    for name, values in (("mu", mu), ("gap_1", gap)):
        mean = (weight * values).sum()
        moments[name] = (mean, np.sqrt((weight * (values - mean) ** 2).sum()))
    left_out = np.array([special.logsumexp(total) - special.logsumexp(total - each[level]) for level in range(3)])
    return moments, left_out[y]


@pytest.mark.parametrize("method", [bp.Laplace(), bp.NUTS(draws=400, tune=400, chains=2, collapse=False)], ids=str)
def test_the_posterior_and_leave_one_out_by_quadrature(method: Any) -> None:
    y = np.repeat([0, 1, 2], [5, 9, 11])
    posterior = bp.fit(bp.Model("y ~ 1", family=bp.Cumulative()), pd.DataFrame({"y": y}), seed=1, progress=False,
                       method=method)
    found = posterior.diagnostics
    if isinstance(method, bp.Laplace):
        assert not posterior.complaints
    else:
        assert found.divergences == 0 and found.r_hat.value < 1.05 and found.ess_bulk.value > 150, found
    moments, left_out = quadrature(y)
    draws = posterior.tree["posterior"]
    intercept = draws["mu"][..., 0]
    np.testing.assert_allclose(draws["threshold"], np.stack([-intercept, draws["gap_1"] - intercept], axis=-1),
                               atol=1e-12)
    assert draws["threshold"].cut.to_numpy().tolist() == ["0|1", "1|2"]
    for name, (mean, sd) in moments.items():
        one = draws[name].squeeze("coefficient") if name == "mu" else draws[name]
        z_mean = (float(one.mean()) - mean) / float(az.mcse(one, method="mean"))
        z_sd = (float(one.std()) - sd) / float(az.mcse(one, method="sd"))
        assert abs(z_mean) < 4 and abs(z_sd) < 4, (name, z_mean, z_sd)
    elpd = bp.loo(posterior, progress=False)
    # Rows of one level have one elpd, so that its Monte Carlo error does not average out.
    assert abs(elpd.elpd - left_out.sum()) < 4 * elpd.mcse + 1e-6


@pytest.mark.slow
def test_fits_with_groups_agree() -> None:
    """By importance sampling, and roughly by a variational approximation, which finds means."""
    model = bp.Model("answer ~ x", bp.PartialPooling("site", on=["Intercept"]), bp.Cumulative("probit"))
    exact, rough = (bp.fit(model, graded(), seed=1, progress=False, method=method)
                    for method in (bp.Laplace(fallback=False), bp.ADVI(draws=200, max_iterations=4000)))
    assert not exact.complaints
    for name in ("gap_1", "gap_2", "threshold", "mu"):
        one, other = (each.tree["posterior"][name] for each in (exact, rough))
        assert (np.abs(one.mean(("chain", "draw")) - other.mean(("chain", "draw"))) < 0.6 * one.std()).all(), name


def test_levels_are_remembered_by_saved_posteriors_and_in_files(tmp_path: Any) -> None:
    frame = graded()
    model = bp.Model("answer ~ x", bp.PartialPooling("site"), bp.Cumulative())
    posterior = bp.fit(model, frame, seed=1, progress=False)
    posterior.save(tmp_path / "answers.nc")
    loaded = bp.load(tmp_path / "answers.nc")
    assert loaded.bound.family.labels == tuple(LABELS) and loaded.model == model
    np.testing.assert_array_equal(loaded.tree["posterior"]["threshold"], posterior.tree["posterior"]["threshold"])
    frame.iloc[np.argsort(frame["answer"].cat.codes)].to_parquet(tmp_path / "answers.parquet")
    bound = model.bind(tmp_path / "answers.parquet")
    assert bound.family.labels == tuple(LABELS) and bound.coefficients.location[0] == pytest.approx(np.log(3))


def test_forward_draws_are_those_of_the_program() -> None:
    """Shares of levels that PyMC draws from the prior, and those of `simulate`."""
    frame, model = graded(40), bp.Model("answer ~ x", bp.PartialPooling("site"), bp.Cumulative(levels=LABELS))
    program = model.pymc(frame)
    with program:
        drawn = pm.draw(program["y"], 400, random_seed=1)
    outcomes = [bp.simulate(model, frame, seed=seed).frame["answer"] for seed in range(400)]
    simulated = np.stack([answers.map(LABELS.index) for answers in outcomes])
    for level in range(4):
        one, other = (drawn == level).mean(axis=1), (simulated == level).mean(axis=1)
        error = np.sqrt((one.var() + other.var()) / 400)
        assert abs(one.mean() - other.mean()) < 4 * error


def frame_of(y: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": y, "x": np.arange(6.0)}, index=[f"r{k}" for k in range(6)])


@pytest.mark.parametrize(("family", "y", "kind", "words"), [
    (bp.Cumulative(), ["low", "high"] * 3, InputTypeError, ["'y'", "no order", "levels=["]),
    (bp.Cumulative(), pd.Categorical(["a", "b", "c"] * 2), InputTypeError, ["no order", "ordered=True"]),
    (bp.Cumulative(), [3] * 6, InputError, ["3 in all 6 rows", "levels="]),
    (bp.Cumulative(), [0, 1, 1.5] * 2, InputError, ["1.5", "whole numbers"]),
    (bp.Cumulative(), [0, 1, None] * 2, InputError, ["missing in 2 of 6", "'r2'"]),
    (bp.Cumulative(), pd.Categorical(["a", "b"] * 3, ["a", "b", "c"], ordered=True), InputError,
     ["'c'", "remove_unused_categories", "levels="]),
    (bp.Cumulative(levels=["low", "high"]), ["low", "high", "middle"] * 2, InputError,
     ["'middle' in 2 rows", "Allowed"]),
])
def test_bad_outcomes_are_refused_in_words(family: Any, y: Any, kind: type, words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        bp.Model("y ~ x", family=family).bind(frame_of(y))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_many_whole_numbers_are_no_levels() -> None:
    with pytest.raises(InputError, match="60 levels, and 50 are the most"):
        bp.Model("y ~ 1", family=bp.Cumulative()).bind(pd.DataFrame({"y": np.arange(60)}))


@pytest.mark.parametrize(("y", "words"), [([1, 2, 4] * 2, "no row of column 'y' is 3"), ([1, 2, 3] * 2, "")])
def test_a_skipped_number_is_told(y: list[int], words: str) -> None:
    model = bp.Model("y ~ 1", family=bp.Cumulative())
    if words:
        with pytest.warns(InputWarning, match=words):
            assert model.bind(frame_of(y)).family.labels == (1, 2, 4)
    else:
        model.bind(frame_of(y))
    with pytest.warns(InputWarning, match="has the level 5"):
        bp.Model("y ~ 1", family=bp.Cumulative(levels=[1, 2, 3, 4, 5])).bind(frame_of([1, 2, 3, 4, 4, 4]))


@pytest.mark.parametrize(("make", "words"), [
    (lambda: bp.Cumulative("cauchit"), "link='cauchit'"), (lambda: bp.Cumulative(levels=["a"]), "two or more"),
    (lambda: bp.Cumulative(levels=["a", "a"]), "different"), (lambda: bp.Cumulative(levels="abc"), "such as levels="),
    (lambda: bp.Cumulative(gap=bp.Hyperprior("Normal", sigma=1)), "gap=.* can be negative")])
def test_nonsense_is_refused_at_construction(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        make()
