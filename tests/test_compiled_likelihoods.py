"""The compiled log likelihoods are those of the families, with their slopes."""

from collections.abc import Mapping

import numpy as np
import pytest
from levels import log_ordered
from mpmath import mp, mpf
from scipy.special import roots_hermitenorm

import bayes_personal as bp
from bayes_personal.families.parts.base import Family
from bayes_personal.kernels import likelihoods

FAMILIES = {"Bernoulli": (bp.Bernoulli(), {}), "Binomial": (bp.Binomial("n"), {}), "Poisson": (bp.Poisson("n"), {}),
            "probit": (bp.Binomial("n", "probit"), {}), "cloglog": (bp.Binomial("n", "cloglog"), {}),
            "BetaBinomial": (bp.BetaBinomial("n"), {"dispersion": 0.7}),
            "nearly Binomial": (bp.BetaBinomial("n"), {"dispersion": 1e-6}), "Beta": (bp.Beta(), {"dispersion": 0.4}),
            "ZeroInflatedPoisson": (bp.ZeroInflatedPoisson("n"), {"zeros": 0.3}),
            "NegativeBinomial": (bp.NegativeBinomial("n"), {"dispersion": 0.7}),
            "nearly Poisson": (bp.NegativeBinomial("n"), {"dispersion": 1e-6}),
            "StudentT": (bp.StudentT(), {"nu": 3.5, "sigma": 1.8}),
            "nearly Normal": (bp.StudentT(), {"nu": 1e9, "sigma": 0.3}),
            "Gamma": (bp.Gamma(), {"dispersion": 0.7}), "narrow Gamma": (bp.Gamma(), {"dispersion": 1e-3}),
            "LogNormal": (bp.LogNormal(), {"sigma": 0.7}),
            "ordered logit": (bp.Cumulative(levels=range(4)), {"gap_1": 0.7, "gap_2": 1.2}),
            "ordered probit": (bp.Cumulative("probit", levels=range(4)), {"gap_1": 0.7, "gap_2": 1.2})}


def rows(family: Family) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, constants, eta."""
    rng = np.random.default_rng(1)
    eta = np.concatenate([rng.normal(0, 2, 60), [-30.0, 0.0, 5.0, 30.0]])
    n = rng.integers(1, 30, 64).astype(float)
    if isinstance(family, bp.Bernoulli | bp.StudentT | bp.Gamma | bp.LogNormal | bp.Beta | bp.Cumulative):
        n = np.ones(64)
    if isinstance(family, bp.Gamma | bp.LogNormal):
        return np.exp(eta + rng.normal(0, 1, 64)), n, eta
    if isinstance(family, bp.Beta):
        return rng.beta(0.8, 0.8, 64), n, eta
    if isinstance(family, bp.StudentT):
        return eta + rng.standard_t(3, 64), n, eta
    if isinstance(family, bp.Cumulative):
        return np.floor(4 * rng.random(64)), n, eta
    upper = n if isinstance(family, bp.Bernoulli | bp.Binomial | bp.BetaBinomial) else np.full(64, 40.0)
    y = np.floor(rng.random(64) * (upper + 1))
    if isinstance(family, bp.ZeroInflatedPoisson):
        # Beside a mean of e^30 nothing else would be seen in sums.
        return y * (rng.random(64) < 0.5), n, np.minimum(eta, 5.0)
    return y, n, eta


def own_of(family: Family, values: Mapping[str, float]) -> np.ndarray:
    return np.array(family.compiled_numbers(values), float)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_density(name: str) -> None:
    """Apart from what does not depend on eta, and that apart from what does not depend on hyperparameters either."""
    family, values = FAMILIES[name]
    y, n, eta = rows(family)
    own, code = own_of(family, values), family.compiled
    compiled = likelihoods.log_likelihoods(code, own, y, n, eta[None])
    exact = family.likelihood(eta[:, None], values, n, np).log_density(y)
    at_zero = family.likelihood(0 * eta[:, None], values, n, np).log_density(y)
    difference = compiled - likelihoods.log_likelihoods(code, own, y, n, 0 * eta[None])
    np.testing.assert_allclose(difference, exact - at_zero, rtol=1e-9, atol=1e-8)
    if not values:
        assert likelihoods.rest(code, own, y, np.ones(64)) == (0.0, pytest.approx([]))
        return
    other = {key: 1.7 * value for key, value in values.items()}
    change = [compiled.sum() + likelihoods.rest(code, own, y, np.ones(64))[0],
              likelihoods.log_likelihoods(code, own_of(family, other), y, n, eta[None]).sum()
              + likelihoods.rest(code, own_of(family, other), y, np.ones(64))[0]]
    other_exact = family.likelihood(eta[:, None], other, n, np).log_density(y)
    assert change[1] - change[0] == pytest.approx(other_exact.sum() - exact.sum(), rel=1e-8, abs=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_far_out(name: str) -> None:
    """Beyond what an exponential reaches no outcome becomes likelier, and slopes are finite."""
    family, values = FAMILIES[name]
    y, n, _ = rows(family)
    for eta in (np.linspace(650, 2000, 64), np.linspace(-2000, -650, 64)):
        heights = [likelihoods.log_likelihoods(family.compiled, own_of(family, values), y, n, shift * eta[None])
                   for shift in (1.0, 1.1)]
        assert np.isfinite(heights).all() and (heights[1] <= heights[0] + 1e-9).all()
        score, curvature, positive = likelihoods.slopes(family.compiled, own_of(family, values), y, n, eta[None])
        assert np.isfinite([score[0], curvature[0, 0], positive[0, 0]]).all()
        assert (positive >= 0).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_slopes(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = rows(family)
    own = own_of(family, values)
    code = family.compiled
    score, curvature, positive = likelihoods.slopes(code, own, y, n, eta[None])
    likelihood = family.likelihood(eta[:, None], values, n, np)
    np.testing.assert_allclose(score[0], likelihood.score(y), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(curvature[0, 0], likelihood.curvature(y), rtol=1e-11, atol=1e-13)
    assert (positive >= 0).all()
    if isinstance(family, bp.StudentT):
        # The expectation of the precision, given the residual (Lange, Little and Taylor 1989).
        nu, sigma = values["nu"], values["sigma"]
        np.testing.assert_allclose(positive[0, 0], (nu + 1) / (nu * sigma**2 + (y - eta) ** 2), rtol=1e-12)
        assert (curvature < 0).any() == (name == "StudentT")
    elif isinstance(family, bp.BetaBinomial | bp.ZeroInflatedPoisson):
        assert (positive >= curvature - 1e-13).all() and (positive > curvature + 0.1).any()
        if name == "nearly Binomial":
            np.testing.assert_allclose(positive[0, 0, np.abs(eta) < 10], curvature[0, 0, np.abs(eta) < 10], rtol=1e-4)
    elif isinstance(family, bp.Beta):
        # The expectation, of which the difference of the two has none.
        apart = np.array([likelihoods.slopes(code, own, each, n, eta[None])[1] - positive
                          for each in likelihood.draw(np.random.default_rng(2), (4000, 64))])[:, 0, 0]
        near = np.abs(eta) < 3
        error = apart.std(axis=0)[near] / np.sqrt(4000)
        assert (np.abs(apart.mean(axis=0)[near]) <= 4 * error + 1e-12).all()
        assert (positive > 0).all() and (curvature < 0).any()
    else:
        np.testing.assert_allclose(positive, curvature, rtol=1e-15)


def in_many_digits(name: str, own: list[mpf], y: np.ndarray, n: np.ndarray, eta: np.ndarray) -> mpf:
    """The part of log p(y | eta) that depends on eta or hyperparameters."""
    total = mpf(0)
    for outcome, constant, place in zip(*(map(mpf, each) for each in (y, n, eta)), strict=True):
        if name in ("NegativeBinomial", "nearly Poisson"):
            a = own[0]
            total += (outcome * place - (outcome + a) * mp.log(1 + constant * mp.exp(place) / a)
                      + mp.loggamma(outcome + a) - mp.loggamma(a) - outcome * mp.log(a))
        elif "Gamma" in name:
            a, r = own[0], mp.log(outcome) - place
            total += a * mp.log(a) - a - mp.loggamma(a) + a * (r - mp.exp(r) + 1)
        elif name == "LogNormal":
            total -= mp.log(own[0]) + ((mp.log(outcome) - place) / own[0]) ** 2 / 2
        elif name == "ZeroInflatedPoisson":
            (a,), mean = own, constant * mp.exp(place)
            total += outcome * place - mean + mp.log(1 - a) if outcome > 0 else mp.log(a + (1 - a) * mp.exp(-mean))
        elif name in ("Beta", "BetaBinomial", "nearly Binomial"):
            (a,) = own
            shapes = [a / (1 + mp.exp(-place)), a / (1 + mp.exp(place))]
            if name == "Beta":
                total += mp.loggamma(a) + mp.log(outcome) + mp.log(1 - outcome) + sum(
                    (shape - 1) * mp.log(part) - mp.loggamma(shape)
                    for shape, part in zip(shapes, (outcome, 1 - outcome), strict=True))
                continue
            total += mp.loggamma(a) - mp.loggamma(a + constant) + sum(
                mp.loggamma(shape + part) - mp.loggamma(shape)
                for shape, part in zip(shapes, (outcome, constant - outcome), strict=True))
        elif name in ("ordered logit", "ordered probit"):
            total += log_ordered(name.split()[1], [mpf(0), *own], outcome, place)
        else:
            a, b = own
            total += (mp.loggamma((a + 1) / 2) - mp.loggamma(a / 2) - mp.log(mp.pi * a) / 2 - mp.log(b)
                      - (a + 1) / 2 * mp.log(1 + ((outcome - place) / b) ** 2 / a))
    return total


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name][1]])
def test_slopes_by_hyperparameters(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = rows(family)
    own, code = own_of(family, values), family.compiled
    value = likelihoods.log_likelihoods(code, own, y, n, eta[None]).sum()
    constant, by_constant = likelihoods.rest(code, own, y, np.ones(64))
    by_own = own * (likelihoods.own_slopes(code, own, y, n, eta[None]) + by_constant)
    with mp.workdps(60):
        many = [mpf(number) for number in own]
        assert value + constant == pytest.approx(float(in_many_digits(name, many, y, n, eta)), rel=1e-11)
        for k, number in enumerate(many):
            step = mpf(10) ** -20
            above, below = ([*many[:k], number * (1 + sign * step), *many[k + 1 :]] for sign in (1, -1))
            slope = (in_many_digits(name, above, y, n, eta) - in_many_digits(name, below, y, n, eta)) / (2 * step)
            assert by_own[k] == pytest.approx(float(slope), rel=1e-7, abs=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_constant_of_zero_takes_a_row_out(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = rows(family)
    y, n = np.where(np.arange(64) < 30, y, 0.0), np.where(np.arange(64) < 30, n, 0.0)
    own, code = own_of(family, values), family.compiled
    assert not likelihoods.log_likelihoods(code, own, y, n, eta[None])[30:].any()
    score, curvature, positive = likelihoods.slopes(code, own, y, n, eta[None])
    assert not score[0, 30:].any() and not curvature[0, 0, 30:].any() and not positive[0, 0, 30:].any()
    np.testing.assert_allclose(likelihoods.own_slopes(code, own, y, n, eta[None]),
                               likelihoods.own_slopes(code, own, y[:30], n[:30], eta[None, :30]), rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_averages(name: str) -> None:
    family, values = FAMILIES[name]
    y, n, eta = rows(family)
    own, sd = own_of(family, values), np.linspace(0.0, 1.0, 64)
    nodes, weights = roots_hermitenorm(7)
    averages = likelihoods.average_slopes(family.compiled, own, y, n, eta[None], sd[None, None], nodes[None],
                                          weights / weights.sum())
    parts = [likelihoods.slopes(family.compiled, own, y, n, eta[None] + sd * node) for node in nodes]
    for average, part in zip(averages, zip(*parts, strict=True), strict=True):
        wanted = np.tensordot(weights / weights.sum(), np.array(part), 1)
        np.testing.assert_allclose(average, wanted, rtol=1e-10, atol=1e-12 * np.abs(wanted).max())
