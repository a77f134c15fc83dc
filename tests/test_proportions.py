"""Beta, BetaBinomial and ZeroInflatedPoisson: limits, far tails, dispersions that vary, bad outcomes, whole fits."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_personal as bp
from bayes_personal.errors import InputError, InputTypeError, SpecificationError
from bayes_personal.families import Family
from bayes_personal.kernels import likelihoods

NOTHING = np.zeros(0)
VARYING = bp.Varying()


def log_density(family: Family, y: Any, eta: Any, values: dict[str, float], n: Any) -> np.ndarray:
    return family.likelihood(np.asarray(eta)[..., None], values, n, np).log_density(y)


def test_beta_binomial_goes_to_binomial() -> None:
    """log BetaBinomial - log Binomial = (y (y - 1) / p + f (f - 1) / q - n (n - 1)) / (2 a) + O(a^-2), f = n - y."""
    n, eta = np.full(13, 12.0), np.linspace(-3, 3, 13)
    y, p = np.arange(13.0), special.expit(eta)
    expected = (y * (y - 1) / p + (n - y) * (n - y - 1) / (1 - p) - n * (n - 1)) / 2
    for dispersion, precision in ((1e-3, 1e-3), (1e-6, 2e-2)):
        values = {"dispersion": dispersion}
        apart = (log_density(bp.BetaBinomial("n"), y, eta, values, n) - log_density(bp.Binomial("n"), y, eta, {}, n))
        np.testing.assert_allclose(apart, expected * dispersion**2, rtol=precision, atol=1e-10)
    own = np.array([1e18])
    compiled = [likelihoods.log_likelihoods(family.compiled, numbers, y, n, eta[None])
                for family, numbers in ((bp.BetaBinomial("n"), own), (bp.Binomial("n"), NOTHING))]
    np.testing.assert_allclose(*compiled, rtol=1e-13)


def test_beta_binomial_of_one_trial_is_bernoulli_at_any_dispersion() -> None:
    y, eta = np.array([0.0, 1.0, 0.0, 1.0]), np.array([-2.0, 0.5, 30.0, -200.0])
    for dispersion in (1e-3, 0.7, 20.0):
        found = log_density(bp.BetaBinomial("n"), y, eta, {"dispersion": dispersion}, np.ones(4))
        np.testing.assert_allclose(found, log_density(bp.Bernoulli(), y, eta, {}, np.ones(4)), rtol=1e-9)


def test_zero_inflated_poisson_goes_to_poisson() -> None:
    y, eta = np.append(np.zeros(5), np.arange(15.0)), np.linspace(-3, 3, 20)
    found = log_density(bp.ZeroInflatedPoisson(), y, eta, {"zeros": 1e-14}, np.ones(20))
    wanted = log_density(bp.Poisson(), y, eta, {}, np.ones(20))
    # A 0 whose mean is m gains e^m times the share.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14 * np.exp(np.exp(2.0)) + 1e-11)


def test_beta_of_dispersion_root_half_is_uniform_at_the_middle() -> None:
    y = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(log_density(bp.Beta(), y, np.zeros(9), {"dispersion": np.sqrt(0.5)}, 1.0), 0, atol=1e-14)


@pytest.mark.parametrize(("family", "y", "values"), [
    (bp.BetaBinomial("n"), 3.0, {"dispersion": 0.7}), (bp.BetaBinomial("n"), 0.0, {"dispersion": 30.0}),
    (bp.BetaBinomial("n"), 8.0, {"dispersion": 1e-7}), (bp.Beta(), 0.2, {"dispersion": 0.5}),
    (bp.Beta(), 1e-12, {"dispersion": 30.0}), (bp.ZeroInflatedPoisson("n"), 0.0, {"zeros": 0.2}),
    (bp.ZeroInflatedPoisson("n"), 4.0, {"zeros": 1e-12})], ids=repr)
def test_densities_are_finite_wherever_draws_may_go(family: Family, y: float, values: dict[str, float]) -> None:
    eta = np.linspace(-650, 650, 131)
    assert np.isfinite(log_density(family, y, eta, values, 8.0)).all()
    likelihood = family.likelihood(eta[:, None], values, 8.0, np)
    assert np.isfinite(likelihood.score(y)).all() and np.isfinite(likelihood.curvature(y)).all()
    drawn = likelihood.draw(np.random.default_rng(1), eta.shape)
    assert np.isfinite(likelihood.log_density(drawn)).all()


@pytest.mark.parametrize("name", ["BetaBinomial", "Beta"])
def test_where_the_dispersion_varies(name: str) -> None:
    """The density is that of a shared dispersion; slopes are differences; curvatures by log dispersion expected."""
    rng = np.random.default_rng(3)
    shared, varying = ((bp.BetaBinomial("n"), bp.BetaBinomial("n", VARYING)) if name == "BetaBinomial" else
                       (bp.Beta(), bp.Beta(VARYING)))
    centres, scales = np.array([-1.5, 0.0, 2.0, 0.5]), np.array([-2.0, -0.5, -1.0, 0.3])
    eta = np.repeat(np.array([centres, scales]), 20_000, axis=1)
    n = np.full(80_000, 9.0 if name == "BetaBinomial" else 1.0)
    y = varying.likelihood(eta.T, {}, n, np).draw(rng, n.shape)
    whole = likelihoods.log_likelihoods(varying.compiled, NOTHING, y, n, eta)
    score, curvature, positive = likelihoods.slopes(varying.compiled, NOTHING, y, n, eta)
    for k, scale in enumerate(scales):
        part = slice(20_000 * k, 20_000 * k + 50)
        own = np.exp([-2 * scale])
        alone = likelihoods.log_likelihoods(shared.compiled, own, y[part], n[part], eta[:1, part])
        np.testing.assert_allclose(whole[part], alone, rtol=1e-12, atol=1e-12)
    for k in range(2):
        step = 1e-5 * np.eye(2)[:, [k]]
        ends = [likelihoods.log_likelihoods(varying.compiled, NOTHING, y[::200], n[::200], eta[:, ::200] + sign * step)
                for sign in (1, -1)]
        np.testing.assert_allclose(score[k, ::200], (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-4)
    squares = (score[:, None] * score[None])
    for place in ([(1, 1)] if name == "BetaBinomial" else [(0, 0), (0, 1), (1, 1)]):
        each = squares[place].reshape(4, -1)
        error = each.std(axis=1) / np.sqrt(each.shape[1])
        assert (np.abs(each.mean(axis=1) - curvature[place].reshape(4, -1)[:, 0]) < 4 * error).all(), place
    assert (np.linalg.eigvalsh(positive.transpose(2, 0, 1)) > 0).all()


FRAME = pd.DataFrame({"x": np.linspace(-1, 1, 12), "n": 4, "y": np.linspace(0.1, 0.9, 12) ** 2},
                     index=[f"r{k}" for k in range(12)])
TEN = [0.5] * 10


@pytest.mark.parametrize(("family", "changed", "kind", "words"), [
    (bp.Beta(), {"y": [0.0, 1.0, *TEN]}, InputError, ["'y' is 0 or 1 in 2 of 12", "'r0', 'r1'", "BetaBinomial"]),
    (bp.Beta(), {"y": [-0.1, 45.0, *TEN]}, InputError, ["outside of 0 and 1 in 2 of 12", "'r0'", "-0.1"]),
    (bp.Beta(), {"y": [np.nan, 0.2, *TEN]}, InputError, ["missing in 1 of 12", "'r0'"]),
    (bp.Beta(), {"y": 0.5}, InputError, ["0.5 in all 12 rows"]),
    (bp.Beta(), {"y": ["a"] * 12}, InputTypeError, ["a"]),
    (bp.Beta(), {"y": special.expit(FRAME["x"])}, InputError, ["exact linear combination of 'x'"]),
    (bp.BetaBinomial("n"), {"y": [5, *[1] * 11]}, InputError, ["BetaBinomial", "more successes", "1 of 12", "'r0'"]),
    (bp.BetaBinomial("n"), {"y": 1, "n": [0, *[4] * 11]}, InputError, ["BetaBinomial(trials=...)", "'n' is 0 in 1"]),
    (bp.ZeroInflatedPoisson(), {"y": [-1, *[1] * 11]}, InputError, ["ZeroInflatedPoisson", "negative in 1 of 12"]),
    (bp.ZeroInflatedPoisson("n"), {"y": 1, "n": [0, *[4] * 11]}, InputError, ["not positive in 1 of 12"])])
def test_bad_outcomes_are_refused_in_words(family: Family, changed: dict, kind: type, words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        bp.Model("y ~ x", family=family).bind(FRAME.assign(**changed))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_nonsense_is_refused_at_construction() -> None:
    with pytest.raises(SpecificationError, match="BetaBinomial: trials=10 must name the column"):
        bp.BetaBinomial(10)  # pyright: ignore
    for make in (bp.Beta, lambda prior: bp.BetaBinomial("n", prior)):
        with pytest.raises(SpecificationError, match="dispersion=.* can be negative"):
            make(bp.Hyperprior("Normal", sigma=1.0))
        with pytest.raises(SpecificationError, match="dispersion=.* cannot exceed 1"):
            make(bp.Hyperprior("Beta", alpha=1.0, beta=1.0))
    with pytest.raises(SpecificationError, match=r"zeros=.* share between 0 and 1, such as Hyperprior\('Beta'"):
        bp.ZeroInflatedPoisson(zeros=bp.Hyperprior("HalfNormal", sigma=1.0))
