"""Scales that vary: a second linear predictor, under the model's prior or one of its own."""

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pace import cases

import bayes_personal as bp
from bayes_personal.errors import InputTypeError, SpecificationError
from bayes_personal.families.parts.base import Family
from bayes_personal.kernels import likelihoods
from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.posterior.posterior import Posterior

V = bp.Varying
FAMILIES: dict[str, tuple[Family, dict[str, float]]] = {
    "Normal": (bp.Normal(sigma=V()), {}), "StudentT": (bp.StudentT(sigma=V()), {"nu": 3.5}),
    "nearly Normal": (bp.StudentT(sigma=V()), {"nu": 1e8}), "NegativeBinomial": (
        bp.NegativeBinomial("n", dispersion=V()), {}), "Gamma": (bp.Gamma(dispersion=V()), {}),
    "LogNormal": (bp.LogNormal(sigma=V()), {})}
PRIORS = {"groups": bp.PartialPooling("g", on=["Intercept", "log_sigma"]), "linear": bp.LinearVarying("age"),
          "smooth": bp.GaussianProcess("age", on=["Intercept", "log_sigma"])}


@cache
def rows(count: int = 120, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, x, g = rng.uniform(20, 70, count), rng.normal(size=count), np.resize(list("abcdefgh"), count)
    z = (age - 45) / 25
    log_sigma = -0.4 + 0.8 * z + 0.4 * (g < "d")
    mean = 3 + z + (g == "b") + 0.6 * x
    return pd.DataFrame({"age": age, "x": x, "g": g, "n": rng.integers(1, 9, count),
                         "Normal": mean + np.exp(log_sigma) * rng.normal(size=count),
                         "StudentT": mean + np.exp(log_sigma) * rng.standard_t(4, size=count),
                         "LogNormal": np.exp(mean - 1 + np.exp(log_sigma) * rng.normal(size=count)),
                         "Gamma": rng.gamma(np.exp(-2 * log_sigma), np.exp(2 * log_sigma + mean - 1)),
                         "NegativeBinomial": rng.poisson(np.exp(mean - 1) * rng.gamma(
                             np.exp(-2 * log_sigma), np.exp(2 * log_sigma)))})


def model(family: str, prior: str) -> bp.Model:
    kind = FAMILIES[family][0]
    stated: Any = PRIORS[prior]
    name = kind.log_scales(1.0)[0].name
    if getattr(stated, "on", None):
        stated = stated.of(("Intercept", name))
    return bp.Model(f"{family} ~ x", stated, kind)


def two_predictors(family: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, constants and eta."""
    rng = np.random.default_rng(1)
    eta = np.stack([rng.normal(0, 2, 90), rng.normal(0, 1, 90)])
    eta[1, :6] = [-9, -5, -3, 3, 5, 9]
    if family == "NegativeBinomial":
        return np.floor(40 * rng.random(90) ** 3), rng.integers(1, 30, 90).astype(float), eta
    if family in ("Gamma", "LogNormal"):
        return np.exp(eta[0] + rng.normal(0, 1, 90)), np.ones(90), eta
    return eta[0] + rng.standard_t(3, 90), np.ones(90), eta


@pytest.mark.parametrize("name", FAMILIES)
def test_the_compiled_log_likelihood_is_that_of_the_family(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = two_predictors(name)
    own = np.array(family.compiled_numbers(values), float)
    compiled = likelihoods.log_likelihoods(family.compiled, own, y, n, eta)
    distinct, places = np.unique(y, return_inverse=True)
    rest = likelihoods.rests(family.compiled, own, distinct)[places]
    with np.errstate(over="ignore"):
        gap = family.likelihood(eta.T, values, n, np).log_density(y) - compiled - rest
        base = family.likelihood(0 * eta.T, values, n, np).log_density(y)
    constant = base - likelihoods.log_likelihoods(family.compiled, own, y, n, 0 * eta) - rest
    # SciPy's gamma functions of large shapes lose digits.
    np.testing.assert_allclose(gap, constant, rtol=0, atol=1e-6 if name in ("NegativeBinomial", "Gamma") else 1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_slopes(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = two_predictors(name)
    own = np.array(family.compiled_numbers(values), float)
    score, curvature, positive = likelihoods.slopes(family.compiled, own, y, n, eta)
    for k in range(2):
        step = np.zeros((2, 1))
        step[k] = 1e-5
        above, below = (likelihoods.log_likelihoods(family.compiled, own, y, n, eta + sign * step) for sign in (1, -1))
        np.testing.assert_allclose(score[k], (above - below) / 2e-5, rtol=2e-5, atol=2e-5)
    assert (curvature[0, 1] == 0).all() and (positive[[0, 1], [0, 1]] >= 0).all()
    if len(own):
        by_own = likelihoods.own_slopes(family.compiled, own, y, n, eta)
        step = 1e-6 * own
        above, below = (likelihoods.log_likelihoods(family.compiled, own + sign * step, y, n, eta).sum()
                        for sign in (1, -1))
        np.testing.assert_allclose(by_own, (above - below) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["Normal", "StudentT", "NegativeBinomial", "Gamma", "LogNormal"])
def test_the_curvature_by_the_log_scale_is_expected(name: str) -> None:
    """On average over outcomes the square of the slope is the curvature, for counts in about."""
    family, values = FAMILIES[name]
    rng = np.random.default_rng(3)
    eta = np.repeat([[1.5, 2.5, 3.0], [-0.6, 0.4, -0.2]], 40_000, axis=1)
    n, own = np.ones(eta.shape[1]), np.array(family.compiled_numbers(values), float)
    y = family.likelihood(eta.T, values, n, np).draw(rng, n.shape)
    score, curvature, _ = likelihoods.slopes(family.compiled, own, y, n, eta)
    squares, slopes = (score[1] ** 2).reshape(3, -1), score[1].reshape(3, -1)
    assert (np.abs(slopes.mean(axis=1)) < 4 * slopes.std(axis=1) / 200).all()
    error = squares.std(axis=1) / 200
    expected = curvature[1, 1].reshape(3, -1).mean(axis=1)
    bias = 0.5 * expected if name == "NegativeBinomial" else 0.0
    assert (np.abs(squares.mean(axis=1) - expected) < 4 * error + bias).all()


def fitted(family: str, prior: str, **options: Any) -> Posterior:
    return bp.fit(model(family, prior), rows(240), seed=1, progress=False, **options)


PAIRS = [(family, prior) for family in ("Normal", "StudentT", "NegativeBinomial") for prior in PRIORS]
# Pairs of which all parts of the engine are held to refits; others take their groups and their smooth terms alike.
LEFT_OUT = [("Normal", "groups"), ("Normal", "smooth"), ("StudentT", "linear"), ("NegativeBinomial", "linear")]


# Of StudentT under two processes the importance weights may have tails, and NUTS takes over with a warning.
@pytest.mark.parametrize(("family", "prior"), cases(
    [pair for pair in PAIRS if pair != ("StudentT", "smooth")],
    every_run=[("Normal", "groups"), ("Normal", "smooth"), ("StudentT", "linear"), ("NegativeBinomial", "linear")]))
def test_the_default_is_healthy(family: str, prior: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior = fitted(family, prior)
    assert not posterior.complaints


@pytest.mark.parametrize(("family", "prior"), cases(
    [pair for pair in PAIRS if pair != ("StudentT", "smooth")], every_run=[("Normal", "groups")]))
def test_the_default_has_the_posterior_of_nuts(family: str, prior: str) -> None:
    posterior = fitted(family, prior)
    over_all = fitted(family, prior, method=bp.NUTS(draws=700, chains=2, collapse=False, target_accept=0.99))
    assert over_all.diagnostics.divergences <= 1
    places = [3, 40, 77]
    one, other = (posterior_.theta.isel(unit=places).stack(s=("chain", "draw")).to_numpy()
                  for posterior_ in (posterior, over_all))
    ess = 400.0
    for moment in (lambda draws: draws, lambda draws: (draws - draws.mean(axis=-1, keepdims=True)) ** 2):
        first, second = moment(one), moment(other)
        error = np.sqrt((first.var(axis=-1) + second.var(axis=-1)) / ess)
        assert (np.abs(first.mean(axis=-1) - second.mean(axis=-1)) < 4 * error).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_another_unit_of_the_outcome(prior: str) -> None:
    """Changes log sigma by a constant, and nothing else."""
    frame = rows()
    scaled = frame.assign(Normal=1e5 * frame["Normal"])
    one, other = (bp.fit(model("Normal", prior), data, seed=4, method=bp.Laplace(draws=200), progress=False)
                  for data in (frame, scaled))
    theta, other_theta = (each.theta.isel(unit=slice(5)).stack(s=("chain", "draw")).transpose(..., "coefficient")
                          for each in (one, other))
    back = other_theta / [1e5, 1e5, 1.0] - [0, 0, np.log(1e5)]
    # Rounding may let another draw be taken where draws are weighted.
    error = np.sqrt(2 * theta.var("s") / 200)
    assert (np.abs(back.mean("s") - theta.mean("s")) < 4 * error).all()
    evidence, other_evidence = (each.tree["importance"].attrs["log_evidence"] for each in (one, other))
    assert other_evidence == pytest.approx(evidence - 120 * np.log(1e5), abs=0.1)


@pytest.mark.parametrize(("family", "prior"), LEFT_OUT)
def test_rows_are_predicted_as_by_refits(family: str, prior: str) -> None:
    posterior = fitted(family, prior)
    result = bp.loo(posterior, seed=1, progress=False)
    good = np.flatnonzero(result.pareto_k.to_numpy() < 0.5)
    chosen = good[np.argsort(result.elpd_i.to_numpy()[good])[[0, 1, len(good) // 2]]]
    refits = LeaveOutPlan.of(posterior, "unit", None, True).refits(True, np.random.default_rng(2))
    trusted = {row: refit for row in chosen if not (refit := refits.without(np.array([row]))).complaints}
    assert len(trusted) > 1
    for row, refit in trusted.items():
        assert abs(result.elpd_i.to_numpy()[row] - refit.elpd) < 0.1 + 4 * refit.se


def test_a_prior_of_its_own_leaves_the_others_alone() -> None:
    """Where log sigma hardly moves from a known value, the posterior is that of known errors."""
    narrow = bp.Hyperprior("HalfNormal", sigma=1e-4)
    sigma = V(bp.LinearVarying("age", scale=narrow), mean=bp.Hyperprior("Normal", mu=np.log(0.8), sigma=1e-4))
    frame = rows().assign(sd=0.8)
    known = bp.fit(bp.Model("Normal ~ x", bp.GaussianProcess("age"), bp.Normal(sd="sd")), frame, seed=1, progress=False)
    varying = bp.fit(bp.Model("Normal ~ x", bp.GaussianProcess("age"), bp.Normal(sigma=sigma)), frame, seed=1,
                     progress=False)
    assert {"log_sigma_linear_age_scale", "gp_age_scale"} <= set(varying.tree["posterior"].data_vars)
    one, other = (each.theta.isel(unit=slice(9)).stack(s=("chain", "draw")) for each in (known, varying))
    other = other.sel(coefficient=["Intercept", "x"])
    error = np.sqrt((one.var("s") + other.var("s")) / 400)
    assert (np.abs(one.mean("s") - other.mean("s")) < 4 * error).all()
    assert float(bp.loo(known, progress=False).elpd) == pytest.approx(float(bp.loo(varying, progress=False).elpd),
                                                                      abs=0.5)


def test_where_nothing_varies_sigma_is_the_constant_one() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"y": 2 + 0.5 * rng.normal(size=200), "g": np.resize(list("abcdefghij"), 200)})
    constant = bp.fit(bp.Model("y ~ 1", bp.PartialPooling("g")), frame, seed=1, progress=False)
    varying = bp.fit(bp.Model("y ~ 1", bp.PartialPooling("g"), bp.Normal(sigma=V())), frame, seed=1, progress=False)
    sigma = np.exp(varying.theta.sel(coefficient="log_sigma").mean(("chain", "draw")))
    wanted = float(constant.tree["posterior"]["sigma"].mean())
    assert (np.abs(sigma / wanted - 1) < 0.12).all() and varying.complaints == ()
    gap = bp.loo(varying, progress=False).elpd - bp.loo(constant, progress=False).elpd
    assert -4 < gap < 2


@pytest.mark.parametrize(("family", "prior"), cases(
    [("Normal", "smooth"), ("NegativeBinomial", "groups")], every_run=[("Normal", "smooth")]))
def test_what_is_saved_is_read_again(family: str, prior: str, tmp_path: Path) -> None:
    posterior = fitted(family, prior, method=bp.Laplace(draws=100))
    posterior.save(tmp_path / "posterior.nc")
    again = bp.load(tmp_path / "posterior.nc")
    assert again.model == posterior.model
    new = rows().iloc[:7].assign(g=["a", "new", "b", "c", "d", "e", "f"])
    for kind in ("theta", "mean", "outcome"):
        np.testing.assert_array_equal(bp.predict(again, new, kind=kind, seed=3).draws,
                                      bp.predict(posterior, new, kind=kind, seed=3).draws)


@pytest.mark.parametrize(("family", "prior"), [("Normal", "groups"), ("NegativeBinomial", "smooth")])
def test_rows_in_files(family: str, prior: str, tmp_path: Path) -> None:
    frame, method = rows(), bp.Laplace(draws=100)
    frame.to_parquet(tmp_path / "rows.parquet")
    held, stored = (bp.fit(model(family, prior), data, seed=3, method=method, progress=False)
                    for data in (frame, tmp_path / "rows.parquet"))
    new = frame.iloc[:5]
    np.testing.assert_allclose(bp.predict(stored, new, kind="theta").draws, bp.predict(held, new, kind="theta").draws,
                               rtol=1e-5, atol=1e-6)
    one, other = (bp.loo(each, refit=False, progress=False).elpd_i for each in (held, stored))
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("prior", "family", "words"), [
    (bp.Population(), bp.Normal(sigma=V()), "log_sigma does not vary"),
    (bp.PartialPooling("g", on="x"), bp.Normal(sigma=V()), "Name 'log_sigma' in on="),
    (bp.PartialPooling("g"), bp.Normal(sigma=V(bp.Mixture(2))), "made of terms"),
    (bp.PartialPooling("g"), bp.Normal(sigma=V(bp.LinearVarying("age", on="x"))), "without on="),
    (bp.PartialPooling("g"), bp.Normal(sigma=V(bp.LinearVarying("Normal"))), "outcome would explain itself"),
    (bp.Partition("age"), bp.Normal(sigma=V(bp.LinearVarying("age"))), "a sigma a cell"),
])
def test_what_does_not_fit_is_refused(prior: bp.priors.Prior, family: Family, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.fit(bp.Model("Normal ~ x", prior, family), rows(), progress=False)


def test_arguments() -> None:
    with pytest.raises(InputTypeError, match="need a prior"):
        V("age")
    with pytest.raises(SpecificationError, match="must be a Normal hyperprior"):
        V(mean=bp.Hyperprior("HalfNormal", sigma=1))
    with pytest.raises(SpecificationError, match="the mean has a Normal"):
        bp.Model("y ~ x", bp.PartialPooling("g"), bp.Normal(sigma=V()), bp.Hyperprior("Cauchy", beta=1))
    with pytest.raises(SpecificationError, match="states the errors"):
        bp.Normal(sd="se", sigma=V())
    with pytest.raises(SpecificationError, match="Rename that column"):
        bp.Model("Normal ~ log_sigma", bp.PartialPooling("g"), bp.Normal(sigma=V())).bind(rows().rename(
            columns={"x": "log_sigma"}))


def test_the_model_says_what_it_assumes() -> None:
    said = repr(bp.Model("y ~ x", bp.PartialPooling("g"), bp.StudentT(sigma=V(bp.LinearVarying("age")))))
    assert "StudentT(nu, x_i' theta_i, exp(log_sigma_i))" in said and "log_sigma_i = mu[log_sigma] + " in said
    assert "log_sigma_linear_age_scale" in said
