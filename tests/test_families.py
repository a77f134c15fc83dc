"""Every family is scipy's distribution, with and without PyMC; bad outcomes are refused; separation is seen."""

import importlib
import pkgutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from inspect import isabstract
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytensor
import pytest
from levels import ordered
from references import Inflated, cloglog, probit
from scipy import special, stats

import bayes_personal as bp
from bayes_personal import families
from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import InputError, InputTypeError, InputWarning, SpecificationError
from bayes_personal.families import (
    Bernoulli,
    Beta,
    BetaBinomial,
    Binomial,
    Categorical,
    Cumulative,
    Family,
    Gamma,
    LogNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Weibull,
    ZeroInflatedPoisson,
)
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.model.program import program

ROWS = 12
rng = np.random.default_rng(3)
FRAME = pd.DataFrame({
    "x": rng.normal(size=ROWS), "measure": rng.normal(100, 5, ROWS), "error": rng.uniform(0.5, 3, ROWS),
    "yes": [0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0], "trials": rng.integers(1, 9, ROWS),
    "years": rng.uniform(0.1, 30, ROWS)}, index=[f"r{i}" for i in range(ROWS)])
FRAME["grade"] = np.arange(ROWS) % 4
FRAME["choice"] = ["tea", "coffee", "tea"] * 4
FRAME["hits"], FRAME["deaths"] = FRAME["trials"] // 2, rng.poisson(2 * FRAME["years"])
FRAME["cost"] = rng.gamma(2.0, 40.0, ROWS)
FRAME["share"] = np.linspace(0.03, 0.9, ROWS)
FRAME["seen"] = np.where(np.arange(ROWS) % 3 == 0, 0, FRAME["deaths"])


# Family, outcome, hyperparameters, and scipy's distribution given eta and the known constants.
SCIPY: dict[str, tuple[Family, str, dict[str, float], Callable[..., Any]]] = {
    "Normal": (Normal(), "measure", {"sigma": 2.0}, lambda eta, known, sigma: stats.norm(eta, sigma)),
    "Normal, known errors": (Normal(sd="error"), "measure", {}, lambda eta, known: stats.norm(eta, known)),
    "StudentT": (StudentT(), "measure", {"sigma": 2.0, "nu": 5.0},
                 lambda eta, known, sigma, nu: stats.t(nu, eta, sigma)),
    "Bernoulli": (Bernoulli(), "yes", {}, lambda eta, known: stats.bernoulli(special.expit(eta))),
    "Binomial": (Binomial("trials"), "hits", {}, lambda eta, known: stats.binom(known, special.expit(eta))),
    "Bernoulli, probit": (Bernoulli("probit"), "yes", {}, probit),
    "Bernoulli, cloglog": (Bernoulli("cloglog"), "yes", {}, cloglog),
    "Binomial, probit": (Binomial("trials", "probit"), "hits", {}, probit),
    "Binomial, cloglog": (Binomial("trials", "cloglog"), "hits", {}, cloglog),
    "BetaBinomial": (
        BetaBinomial("trials"), "hits", {"dispersion": 0.7}, lambda eta, known, dispersion: stats.betabinom(
            known, special.expit(eta) / dispersion**2, special.expit(-eta) / dispersion**2)),
    "Beta": (Beta(), "share", {"dispersion": 0.3}, lambda eta, known, dispersion: stats.beta(
        special.expit(eta) / dispersion**2, special.expit(-eta) / dispersion**2)),
    "ZeroInflatedPoisson": (ZeroInflatedPoisson("years"), "seen", {"zeros": 0.3},
                            lambda eta, known, zeros: Inflated(known * np.exp(eta), zeros)),
    "Poisson": (Poisson(), "deaths", {}, lambda eta, known: stats.poisson(np.exp(eta))),
    "Poisson, exposure": (Poisson("years"), "deaths", {}, lambda eta, known: stats.poisson(known * np.exp(eta))),
    "NegativeBinomial": (
        NegativeBinomial("years"), "deaths", {"dispersion": 0.7},
        lambda eta, known, dispersion: stats.nbinom(dispersion**-2, 1 / (1 + dispersion**2 * known * np.exp(eta)))),
    "Gamma": (Gamma(), "cost", {"dispersion": 0.7},
              lambda eta, known, dispersion: stats.gamma(dispersion**-2, scale=dispersion**2 * np.exp(eta))),
    "LogNormal": (LogNormal(), "cost", {"sigma": 0.7},
                  lambda eta, known, sigma: stats.lognorm(sigma, scale=np.exp(eta))),
    "Weibull": (Weibull(), "cost", {"shape": 1.6},
                lambda eta, known, shape: stats.weibull_min(shape, scale=np.exp(eta))),
    "Cumulative": (Cumulative(levels=range(4)), "grade", {"gap_1": 0.7, "gap_2": 1.2},
                   lambda eta, known, gap_1, gap_2: ordered(stats.logistic, eta, [0, gap_1, gap_1 + gap_2])),
    "Categorical": (Categorical(levels=["tea", "coffee"]), "choice", {},
                    lambda eta, known: stats.bernoulli(special.expit(eta))),
    "Cumulative, probit": (Cumulative("probit", levels=range(4)), "grade", {"gap_1": 0.7, "gap_2": 1.2},
                           lambda eta, known, gap_1, gap_2: ordered(stats.norm, eta, [0, gap_1, gap_1 + gap_2])),
}
EVERY = pytest.mark.parametrize("row", SCIPY)


def bind(row: str) -> BoundModel:
    family, outcome, *_ = SCIPY[row]
    return bp.Model(f"{outcome} ~ x", family=family).bind(FRAME)


def test_every_family_file_has_its_row_against_scipy() -> None:
    found = set()
    for module in pkgutil.iter_modules(families.__path__, f"{families.__name__}."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {kind for kind in members if isinstance(kind, type) and issubclass(kind, Family)
                  and kind.__module__ == module.name and not isabstract(kind)}
    missing = found - {type(family) for family, *_ in SCIPY.values()}
    assert not missing, f"no row against scipy: {sorted(f'{kind.__module__}.{kind.__name__}' for kind in missing)}"
    assert not found - {getattr(families, name) for name in families.__all__}, "not exported"


def log_density(family: Family, y: Any, eta: Any, values: dict[str, Any], constants: Any) -> np.ndarray:
    return family.likelihood(np.asarray(eta)[..., None], values, constants, np).log_density(y)


@EVERY
def test_log_density_and_mean_are_those_of_scipy(row: str) -> None:
    family, _, values, twin = SCIPY[row]
    bound = bind(row)
    for spread in (0.0, 0.5, 3.0):
        eta = bound.coefficients.location[0] + spread * bound.unit * FRAME["x"].to_numpy()
        its = twin(eta, bound.constants, **values)
        expected = its.logpmf(bound.y) if hasattr(its.dist, "pmf") else its.logpdf(bound.y)
        likelihood = family.likelihood(eta[..., None], values, bound.constants, np)
        np.testing.assert_allclose(likelihood.log_density(bound.y), expected, rtol=1e-11)
        np.testing.assert_allclose(likelihood.mean(), its.mean(), rtol=1e-12)


@EVERY
def test_score_and_curvature_are_derivatives_by_eta(row: str) -> None:
    """By central differences of the log density of SciPy, and those of a family without derivatives of its own."""
    family, _, values, twin = SCIPY[row]
    bound = bind(row)
    eta = bound.coefficients.location[0] + bound.unit * FRAME["x"].to_numpy()
    likelihood, step = family.likelihood(eta[..., None], values, bound.constants, np), 1e-4 * bound.unit

    def log_density(eta: np.ndarray) -> np.ndarray:
        its = twin(eta, bound.constants, **values)
        return its.logpmf(bound.y) if hasattr(its.dist, "pmf") else its.logpdf(bound.y)

    below, at, above = map(log_density, (eta - step, eta, eta + step))
    scale = np.abs(likelihood.curvature(bound.y)).max()
    np.testing.assert_allclose(likelihood.score(bound.y), (above - below) / (2 * step), atol=1e-6 * scale * bound.unit)
    np.testing.assert_allclose(likelihood.curvature(bound.y), -(above - 2 * at + below) / step**2, atol=1e-4 * scale)
    plain = Likelihood(replace(likelihood.law, derivatives=None), likelihood.arguments)
    with pytest.raises(SpecificationError, match="does not say its derivatives"):
        plain.score(bound.y)


@EVERY
def test_draws_have_the_moments_of_scipy(row: str) -> None:
    family, _, values, twin = SCIPY[row]
    bound = bind(row)
    eta = np.broadcast_to(bound.coefficients.location[0] + bound.unit * FRAME["x"].to_numpy(), (20_000, ROWS))
    its = twin(eta[0], bound.constants, **values)
    drawn = family.likelihood(eta[..., None], values, bound.constants, np).draw(np.random.default_rng(1), eta.shape)
    assert drawn.shape == eta.shape
    for sample, expected in ((drawn, its.mean()), ((drawn - its.mean()) ** 2, its.var())):
        z = (sample.mean(axis=0) - expected) / (sample.std(axis=0, ddof=1) / np.sqrt(len(sample)))
        assert (np.abs(z) < 4).all(), z


@cache
def compiled(row: str) -> tuple[BoundModel, Any, Callable[..., Any]]:
    """The explicit program: log density of each outcome, joint log density, its gradient."""
    bound = bind(row)
    model = program(bound)
    (outcome,) = model.logp(vars=[model["y"]], sum=False)
    # PyTensor's rewrites as for sampling, but interpreted: compiling would take longer than all these tests.
    mode = pytensor.compile.Mode(linker="py", optimizer="fast_run")
    return bound, model, model.compile_fn([outcome, model.logp(), model.dlogp()], inputs=model.value_vars,
                                          on_unused_input="ignore", mode=mode)


def random_points(model: Any, sd: float, count: int) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(11)
    return [{name: generator.normal(0, sd, np.shape(value)) for name, value in model.initial_point().items()}
            for _ in range(count)]


@EVERY
def test_the_explicit_program_states_the_same_likelihood(row: str) -> None:
    bound, model, function = compiled(row)
    for point in random_points(model, 0.5, 5):
        values = {each.name: each.value(np.ravel(point[model.rvs_to_values[model[each.name]].name]))
                  for each in (bound.mean, *bound.parameters) if each is not None}
        ours = bound.family.likelihood(bound.eta(values, np), values, bound.constants, np).log_density(bound.y)
        np.testing.assert_allclose(function(point)[0], ours, rtol=1e-8, atol=1e-8)


@EVERY
def test_nuts_can_start_anywhere(row: str) -> None:
    _, model, function = compiled(row)
    for point in (model.initial_point(), *random_points(model, 1.0, 20), *random_points(model, 10.0, 20)):
        _, value, gradient = function(point)
        assert np.isfinite(value) and np.isfinite(gradient).all(), (point, value, gradient)


@EVERY
def test_the_story_states_every_hyperparameter(row: str) -> None:
    family, outcome, values, _ = SCIPY[row]
    story = repr(bp.Model(f"{outcome} ~ x", family=family))
    assert all(f"{name} ~ " in story for name in values) and "x_i' theta_i" in story
    assert all(f"{column}_i" in story for column in family.columns)
    assert {each.name for each in family.parameters(1.0)} == set(values)


def test_repr_is_the_statement() -> None:
    for family in (StudentT(), Bernoulli(), Binomial("trials"), Poisson(exposure="years"),
                   BetaBinomial("trials"), Beta(), Binomial("trials", "probit"),
                   ZeroInflatedPoisson(zeros=bp.Hyperprior("Beta", alpha=1.0, beta=9.0)),
                   NegativeBinomial("years", bp.Hyperprior("Exponential", scale=2.0))):
        assert eval(repr(family), vars(families) | {"Hyperprior": bp.Hyperprior}) == family
    assert repr(Poisson()) == "Poisson()"


def test_student_t_goes_to_normal() -> None:
    """log t - log Normal = (z^4 - 2 z^2 - 1) / (4 nu) + O(nu^-2)."""
    z, nu = np.linspace(-5, 5, 21), 1e5
    values = {"sigma": 3.0, "nu": nu}
    difference = (log_density(StudentT(), 3 * z, np.zeros(21), values, np.ones(21))
                  - log_density(Normal(), 3 * z, np.zeros(21), values, np.ones(21)))
    np.testing.assert_allclose(difference, (z**4 - 2 * z**2 - 1) / (4 * nu), rtol=0, atol=1e-6)


def test_binomial_of_one_trial_is_bernoulli() -> None:
    y, eta = np.array([0.0, 1.0, 1.0, 0.0]), np.array([-3.0, 0.4, 30.0, 30.0])
    np.testing.assert_allclose(log_density(Binomial("n"), y, eta, {}, np.ones(4)),
                               log_density(Bernoulli(), y, eta, {}, np.ones(4)), rtol=1e-12, atol=1e-12)


def test_negative_binomial_goes_to_poisson() -> None:
    y, eta, known = np.arange(20.0), np.linspace(-1, 3, 20), np.linspace(0.5, 2, 20)
    np.testing.assert_allclose(log_density(NegativeBinomial("e"), y, eta, {"dispersion": 1e-7}, known),
                               log_density(Poisson("e"), y, eta, {}, known), rtol=0, atol=1e-9)


def test_locations_and_units() -> None:
    """Where the intercept's hyperprior is centred, and what one natural unit is."""
    assert bind("Bernoulli").coefficients.location[0] == 0 and bind("Bernoulli").unit == 1
    assert bind("Binomial").coefficients.location[0] == 0 and bind("Binomial").unit == 1
    for row in ("Poisson, exposure", "NegativeBinomial"):
        rate = FRAME["deaths"].sum() / FRAME["years"].sum()
        assert bind(row).coefficients.location[0] == pytest.approx(np.log(rate)) and bind(row).unit == 1
    for row in ("Gamma", "Weibull"):
        assert bind(row).coefficients.location[0] == pytest.approx(np.log(FRAME["cost"].mean())) and bind(row).unit == 1
    logs = np.log(FRAME["cost"].to_numpy())
    assert bind("LogNormal").coefficients.location[0] == pytest.approx(logs.mean())
    assert bind("LogNormal").unit == pytest.approx(logs.std())
    y = np.array([1.0, 2.0, 3.0, 4.0, 1e9])
    assert StudentT().location_scale(y, np.ones(5)) == pytest.approx((3.0, 1.482602218505602))
    mostly_equal = np.array([1.0, 1.0, 1.0, 1.0, 6.0])
    assert StudentT().location_scale(mostly_equal, np.ones(5)) == pytest.approx((1.0, 2.0))
    assert np.isfinite(Poisson().location_scale(np.zeros(5), np.ones(5))[0])


def test_hyperpriors_that_are_given_are_used() -> None:
    given = bp.Hyperprior("Exponential", scale=3.0)
    for family, name in ((StudentT(sigma=given), "sigma"), (StudentT(nu=given), "nu"),
                         (NegativeBinomial(dispersion=given), "dispersion"), (Gamma(dispersion=given), "dispersion"),
                         (LogNormal(sigma=given), "sigma"), (Weibull(shape=given), "shape")):
        (found,) = (each for each in family.parameters(2.0) if each.name == name)
        assert found.distribution == "Exponential" and dict(found.arguments) == {"scale": 3.0}
        assert f"{name} ~ Exponential(3)" in family.story()


BERNOULLI, BINOMIAL, POISSON, NEGATIVE = Bernoulli(), Binomial("trials"), Poisson("years"), NegativeBinomial("years")
TEN = [0] * (ROWS - 2)


@pytest.mark.parametrize(("family", "changed", "kind", "words"), [
    (BERNOULLI, {"y": ["yes", "no"] * 6}, InputTypeError, ["'y'", "'yes', 'no'", "0 and 1"]),
    (BERNOULLI, {"y": pd.Categorical(["yes", "no"] * 6)}, InputTypeError, ["'yes', 'no'"]),
    (BERNOULLI, {"y": [1, 2] * 6}, InputError, ["'y'", "values 1, 2", "6 of 12 rows", "'r1', 'r3', 'r5', ..."]),
    (BERNOULLI, {"y": [0, 1, 0.5] * 4}, InputError, ["0.0, 0.5, 1.0", "4 of 12 rows", "'r2'", "Binomial"]),
    (BERNOULLI, {"y": [Decimal(0), Decimal(1)] * 6}, InputTypeError, ["Decimal"]),
    (BERNOULLI, {"y": [0j, 1j] * 6}, InputTypeError, ["complex128"]),
    (BERNOULLI, {"y": [0, None] * 6}, InputError, ["missing in 6 of 12", "'r1'"]),
    (BINOMIAL, {"y": [9, 99, *TEN]}, InputError, ["more successes", "2 of 12", "'r0', 'r1'", "9 of 2", "swapped"]),
    (BINOMIAL, {"y": [-1, 1, *TEN]}, InputError, ["negative in 1 of 12", "'r0'", "-1"]),
    (BINOMIAL, {"y": [0.5, 1, *TEN]}, InputError, ["fractional", "'r0'", "trials"]),
    (BINOMIAL, {"y": 0, "trials": [0, 1, *[1] * 10]}, InputError, ["'trials' is 0 in 1 of 12", "'r0'"]),
    (BINOMIAL, {"y": 0, "trials": [1.5, 1, *[1] * 10]}, InputError, ["'trials' is fractional", "'r0'"]),
    (BINOMIAL, {"y": 0, "trials": [None, 1, *[1] * 10]}, InputError, ["'trials' is missing in 1 of 12", "'r0'"]),
    (BINOMIAL, {"y": 0, "trials": ["5"] * 12}, InputTypeError, ["'trials'", "'5'"]),
    (Binomial("trails"), {"y": 0}, InputError, ["no column 'trails'", "mean 'trials'"]),
    *[(family, changed, kind, words) for family in (POISSON, NEGATIVE) for changed, kind, words in [
        ({"y": [1, -3, *TEN]}, InputError, ["'y' is negative in 1 of 12", "'r1'", "-3"]),
        ({"y": [1, 2.5, *TEN]}, InputError, ["'y' is fractional in 1 of 12", "'r1'", "2.5", "exposure"]),
        ({"y": [1, 2**53 + 1, *TEN]}, InputError, ["beyond 2**53", "'r1'"]),
        ({"y": [1, 1e17, *TEN]}, InputError, ["beyond 2**53", "'r1'"]),
        ({"y": [1, np.inf, *TEN]}, InputError, ["infinite in 1 of 12", "'r1'"]),
        ({"y": [1, None, *TEN]}, InputError, ["missing in 1 of 12", "'r1'"]),
        ({"y": ["1,5"] * 12}, InputTypeError, ["'1,5'"]),
        ({"y": [Decimal(1)] * 12}, InputTypeError, ["Decimal"]),
        ({"y": 1, "years": [0, -1, *[1] * 10]}, InputError, ["'years' is not positive in 2 of 12", "'r0', 'r1'"]),
        ({"y": 1, "years": [np.nan, *[1] * 11]}, InputError, ["'years' is missing in 1 of 12"])]],
    *[(family, changed, kind, words) for family in (Gamma(), LogNormal(), Weibull()) for changed, kind, words in [
        ({"y": [1, -3, *[1] * 10]}, InputError, ["'y' is negative in 1 of 12", "'r1'", "-3", "positive"]),
        ({"y": [1, 0, *[1] * 10]}, InputError, ["'y' is 0 in 1 of 12", "'r1'", "lower=0"]),
        ({"y": [1, None, *[1] * 10]}, InputError, ["missing in 1 of 12", "'r1'"]),
        ({"y": [True, False] * 6}, InputTypeError, ["true or false"]),
        ({"y": ["1,5"] * 12}, InputTypeError, ["'1,5'"])]],
    (LogNormal(), {"y": 3.0}, InputError, ["logarithm", "in all 12 rows", "zero variance"]),
    (StudentT(), {"y": 3.0}, InputError, ["is 3 in all 12 rows", "zero variance"]),
    (StudentT(), {"y": [1, np.nan, *TEN]}, InputError, ["missing in 1 of 12", "'r1'"]),
])
def test_bad_input_is_refused_in_words(family: Family, changed: dict, kind: type, words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        bp.Model("y ~ x", family=family).bind(FRAME.assign(**changed))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Binomial(10), "trials=10 must name the column"), (lambda: Poisson(2.0), "exposure=2.0 must name"),
    (lambda: NegativeBinomial(2), "exposure=2 must name"),
    (lambda: NegativeBinomial(dispersion=bp.Hyperprior("Normal", sigma=1)), "dispersion=.* can be negative"),
    (lambda: StudentT(nu=bp.Hyperprior("Normal", sigma=1)), "nu=.* can be negative"),
    (lambda: StudentT(sigma=bp.Hyperprior("Normal", sigma=1)), "sigma=.* can be negative"),
    (lambda: Gamma(bp.Hyperprior("Normal", sigma=1)), "dispersion=.* can be negative"),
    (lambda: LogNormal(bp.Hyperprior("Normal", sigma=1)), "sigma=.* can be negative"),
    (lambda: Weibull(bp.Hyperprior("Normal", sigma=1)), "shape=.* can be negative")])
def test_nonsense_is_refused_at_construction(make: Callable[[], Family], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        make()


@pytest.mark.parametrize("dtype", ["bool", "boolean", "int8", "uint8", "Int64", "Float32", "float32", "bool[pyarrow]"])
def test_every_way_to_write_0_and_1_is_accepted(dtype: str) -> None:
    for family in (BERNOULLI, BINOMIAL, POISSON, NEGATIVE):
        y = bp.Model("y ~ x", family=family).bind(FRAME.assign(y=FRAME["yes"].astype(dtype))).y
        assert y.dtype == float and y.tolist() == FRAME["yes"].tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "Int64", "Float32"])
def test_nullable_trials_are_accepted(dtype: str) -> None:
    frame = FRAME.assign(trials=FRAME["trials"].astype(dtype))
    assert bp.Model("hits ~ x", family=BINOMIAL).bind(frame).constants.tolist() == FRAME["trials"].tolist()


@pytest.mark.parametrize(("family", "changed", "words"), [
    (BERNOULLI, {"y": 0}, "'y' is 0 in all 12 rows"), (BERNOULLI, {"y": True}, "'y' is 1 in all 12 rows"),
    (BINOMIAL, {"y": 0}, "no success"), (BINOMIAL, {"y": FRAME["trials"]}, "no failure"),
    (POISSON, {"y": 0}, "0 in all 12 rows"), (NEGATIVE, {"y": 0}, "0 in all 12 rows")])
def test_outcomes_all_at_the_edge_run_with_a_warning(family: Family, changed: dict, words: str) -> None:
    with pytest.warns(InputWarning, match=words) as caught:
        bound = bp.Model("y ~ x", family=family).bind(FRAME.assign(**changed))
    assert len(caught) == 1 and "prior" in str(caught[0].message)
    values = {"dispersion": np.array(1.0)}
    likelihood = family.likelihood(np.full((ROWS, 1), bound.coefficients.location[0]), values, bound.constants, np)
    assert np.isfinite(likelihood.log_density(bound.y)).all()


def test_ordinary_outcomes_run_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row in SCIPY:
            bind(row)


def test_nuts_on_the_explicit_program_finds_the_posterior_of_counts() -> None:
    """Coal mining disasters against the posterior by quadrature over intercept and slope."""
    coal = bp.load_dataset("coal")
    posterior = bp.fit(bp.Model("disasters ~ year", family=Poisson()), coal, seed=1, progress=False,
                       method=bp.NUTS(draws=300, tune=300, chains=2))
    found = posterior.diagnostics
    assert found.divergences == 0 and found.r_hat.value < 1.05 and found.ess_bulk.value > 100, found
    y, year = coal["disasters"].to_numpy(), coal["year"].to_numpy(float)
    centred, location, unit = year - year.mean(), np.log(y.mean()), 1 / year.std()
    intercept, slope = np.meshgrid(np.linspace(-0.6, 1.2, 401), np.linspace(-0.035, 0.0, 401), indexing="ij")
    log_posterior = stats.norm.logpdf(intercept, location, 2.5) + stats.norm.logpdf(slope, 0, 2.5 * unit)
    for count, at in zip(y, centred, strict=True):
        log_posterior += stats.poisson.logpmf(count, np.exp(intercept + slope * at))
    weight = special.softmax(log_posterior)
    assert weight[[0, -1]].max() < 1e-12 and weight[:, [0, -1]].max() < 1e-12
    at_zero = intercept - slope * year.mean()
    draws = posterior.tree["posterior"]["mu"]
    for name, exact in (("Intercept", at_zero), ("year", slope)):
        expected = (weight * exact).sum()
        variance = (weight * (exact - expected) ** 2).sum()
        one = draws.sel(coefficient=name)
        z_mean = (float(one.mean()) - expected) / float(az.mcse(one, method="mean"))
        z_sd = (float(one.std()) - np.sqrt(variance)) / float(az.mcse(one, method="sd"))
        assert abs(z_mean) < 4 and abs(z_sd) < 4, (name, z_mean, z_sd)
    rate = np.exp(draws.sel(coefficient="Intercept") + draws.sel(coefficient="year") * 1851.0)
    assert rate.shape == (2, 300) and 2.5 < float(rate.mean()) < 5
