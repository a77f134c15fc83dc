"""Fits of Beta, BetaBinomial, ZeroInflatedPoisson and of other links: health, quadrature, refits, files, simulation."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import special, stats

import bayes_personal as bp
from bayes_personal.families import Family
from bayes_personal.posterior.posterior import Posterior

FAMILIES: dict[str, tuple[Family, str]] = {
    "BetaBinomial": (bp.BetaBinomial("n"), "dispersion"), "Beta": (bp.Beta(), "dispersion"),
    "ZeroInflatedPoisson": (bp.ZeroInflatedPoisson(), "zeros"), "probit": (bp.Bernoulli("probit"), ""),
    "cloglog": (bp.Binomial("n", "cloglog"), "")}
EVERY = pytest.mark.parametrize("name", FAMILIES)


@cache
def frame(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g, x, n = np.resize(list("abcdef"), rows), rng.normal(size=rows), rng.integers(3, 12, rows)
    eta = 0.2 + 0.7 * x + 0.5 * (g == "b") - 0.5 * (g == "d")
    p = special.expit(eta)
    return pd.DataFrame({
        "g": g, "x": x, "n": n, "BetaBinomial": rng.binomial(n, rng.beta(6 * p, 6 * (1 - p))),
        "Beta": rng.beta(15 * p, 15 * (1 - p)), "probit": rng.binomial(1, special.ndtr(eta)),
        "cloglog": rng.binomial(n, -np.expm1(-np.exp(eta - 1))),
        "ZeroInflatedPoisson": np.where(rng.random(rows) < 0.3, 0, rng.poisson(np.exp(eta + 0.5)))})


@cache
def fitted(name: str, method: str = "default") -> Posterior:
    """An intercept alone, whose posterior has two unknowns at most."""
    methods = {"default": None, "NUTS": bp.NUTS(draws=500, tune=500, chains=2, collapse=False), "ADVI": bp.ADVI()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if method == "ADVI" else "error")
        return bp.fit(bp.Model(f"{name} ~ 1", bp.Population(), FAMILIES[name][0]), frame(), seed=1, progress=False,
                      method=methods[method])


def by_quadrature(name: str, without: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Weights of a grid of both unknowns, the grid, and the log evidence of all rows, or all but one."""
    family, own = FAMILIES[name]
    data = frame()
    y, n = data[name].to_numpy(float), data["n"].to_numpy(float) if family.columns else np.ones(len(data))
    location, unit = family.location_scale(y, n)
    mu = np.linspace(location - 2.5 * unit, location + 2.5 * unit, 301)
    second = np.linspace(1e-3, 0.999, 201) if own else np.ones(1)
    logs = stats.norm.logpdf(mu, location, 2.5 * unit)[:, None] + np.zeros(len(second))
    if own:
        logs = logs + (stats.halfnorm.logpdf(second) if own == "dispersion" else stats.beta.logpdf(second, 1, 3))
    for row in range(len(y)):
        if row != without:
            logs = logs + family.likelihood(mu[:, None, None], {own: second}, n[row], np).log_density(y[row])
    return special.softmax(logs), mu[:, None], second, float(special.logsumexp(logs))


@pytest.mark.parametrize("method", ["default", "NUTS"])
@EVERY
def test_the_posterior_is_that_of_quadrature(name: str, method: str) -> None:
    posterior = fitted(name, method)
    assert not [complaint for complaint in posterior.complaints if "R-hat 1.0" not in complaint]
    weight, mu, second, _ = by_quadrature(name)
    draws = posterior.tree["posterior"]
    pairs = [(draws["mu"].sel(coefficient="Intercept"), mu)]
    pairs += [(draws[FAMILIES[name][1]], second)] if FAMILIES[name][1] else []
    for found, grid in pairs:
        expected = (weight * grid).sum()
        variance = (weight * (grid - expected) ** 2).sum()
        # Draws of importance sampling are nearly independent; those of NUTS are not.
        ess = found.size / (1.5 if method == "default" else 6)
        assert abs(float(found.mean()) - expected) < 4 * np.sqrt(variance / ess)
        assert abs(float(found.var()) / variance - 1) < 4 * np.sqrt(2.5 / ess)


@EVERY
def test_rows_left_out_are_those_of_quadrature(name: str) -> None:
    result = bp.loo(fitted(name), seed=1, progress=False)
    *_, whole = by_quadrature(name)
    for row in (0, 17, 41):
        exact = whole - by_quadrature(name, row)[3]
        assert abs(float(result.elpd_i[row]) - exact) < 0.02 + 4 * float(result.mcse) / np.sqrt(60)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BetaBinomial", "Beta", "ZeroInflatedPoisson"])
def test_advi_finds_the_same_place(name: str) -> None:
    weight, mu, *_ = by_quadrature(name)
    expected = (weight * mu).sum()
    sd = np.sqrt((weight * (mu - expected) ** 2).sum())
    found = fitted(name, "ADVI").tree["posterior"]["mu"].sel(coefficient="Intercept")
    assert abs(float(found.mean()) - expected) < sd


@EVERY
def test_saved_predicted_and_simulated(name: str, tmp_path: Path) -> None:
    """What is saved is read again; predictions and PyMC's forward draws are those of the posterior."""
    posterior = fitted(name)
    posterior.save(tmp_path / "saved.nc")
    again = bp.load(tmp_path / "saved.nc")
    new = frame().head(4)
    np.testing.assert_array_equal(again.theta.to_numpy(), posterior.theta.to_numpy())
    assert repr(again) == repr(posterior)
    outcome, mean = (bp.predict(posterior, new, kind=kind, seed=2).draws.stack(s=("chain", "draw"))
                     for kind in ("outcome", "mean"))
    gap = (outcome - mean).transpose("unit", "s").to_numpy()
    assert (np.abs(gap.mean(axis=1)) < 4 * gap.std(axis=1) / np.sqrt(gap.shape[1])).all()
    with posterior.pymc:
        forward = pm.sample_posterior_predictive(posterior.tree, random_seed=3, progressbar=False)
    ours = bp.predict(posterior, frame(), kind="outcome", seed=5).draws.stack(s=("chain", "draw"))
    ours = ours.transpose("unit", "s").to_numpy()
    theirs = forward["posterior_predictive"]["y"].stack(s=("chain", "draw")).transpose("unit", "s").to_numpy()
    for moment in (np.positive, np.square):
        one, other = moment(ours), moment(theirs)
        error = np.sqrt(one.var(axis=1) / one.shape[1] + other.var(axis=1) / other.shape[1])
        assert (np.abs(one.mean(axis=1) - other.mean(axis=1)) < 4.5 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", [bp.Beta(bp.Varying()), bp.BetaBinomial("n", bp.Varying())], ids=repr)
def test_a_dispersion_that_varies_is_healthy(family: Family) -> None:
    prior = bp.PartialPooling("g", on=["Intercept", "log_dispersion"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior = bp.fit(bp.Model(f"{type(family).__name__} ~ x", prior, family), frame(120), seed=1, progress=False)
    assert not posterior.complaints
