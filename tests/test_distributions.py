"""Every distribution is scipy's and PyMC's: density, mean, draws; and a complex step through it is its derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest
from scipy import special, stats

from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS


class Inflated:
    """A Poisson distribution with probability psi, and 0 otherwise."""

    def __init__(self, psi: float, mu: float) -> None:
        self.psi, self.counts = psi, stats.poisson(mu)

    def logpmf(self, y: np.ndarray) -> np.ndarray:
        return np.log(self.psi * self.counts.pmf(y) + (1 - self.psi) * (y == 0))

    def cdf(self, y: np.ndarray) -> np.ndarray:
        return 1 - self.psi * self.counts.sf(y)

    def ppf(self, q: np.ndarray) -> np.ndarray:
        return np.maximum(self.counts.ppf(np.maximum(q - (1 - self.psi), 0) / self.psi), 0)

    def mean(self) -> float:
        return self.psi * self.counts.mean()


# Two settings of the parameters, and the same distribution in scipy.
SCIPY: dict[str, tuple[tuple[dict[str, float], ...], Callable[..., Any]]] = {
    "Normal": (({"mu": 1.0, "sigma": 2.0}, {"mu": -300.0, "sigma": 0.1}), lambda mu, sigma: stats.norm(mu, sigma)),
    "StudentT": (({"nu": 3.0, "mu": 1.0, "sigma": 2.0}, {"nu": 40.0, "mu": -3.0, "sigma": 0.5}),
                 lambda nu, mu, sigma: stats.t(nu, mu, sigma)),
    "Cauchy": (({"alpha": 1.0, "beta": 2.0}, {"alpha": -3.0, "beta": 0.1}),
               lambda alpha, beta: stats.cauchy(alpha, beta)),
    "Laplace": (({"mu": 1.0, "b": 2.0}, {"mu": -3.0, "b": 0.1}), lambda mu, b: stats.laplace(mu, b)),
    "HalfNormal": (({"sigma": 2.0}, {"sigma": 0.1}), lambda sigma: stats.halfnorm(scale=sigma)),
    "HalfStudentT": (({"nu": 3.0, "sigma": 2.0}, {"nu": 0.7, "sigma": 0.1}),
                     lambda nu, sigma: stats.abs(sigma * stats.make_distribution(stats.t)(df=nu))),
    "HalfCauchy": (({"beta": 2.0}, {"beta": 0.1}), lambda beta: stats.halfcauchy(scale=beta)),
    "Exponential": (({"scale": 2.0}, {"scale": 0.1}), lambda scale: stats.expon(scale=scale)),
    "Gamma": (({"alpha": 2.0, "beta": 0.1}, {"alpha": 0.6, "beta": 7.0}),
              lambda alpha, beta: stats.gamma(alpha, scale=1 / beta)),
    "InverseGamma": (({"alpha": 3.0, "beta": 2.0}, {"alpha": 0.6, "beta": 7.0}),
                     lambda alpha, beta: stats.invgamma(alpha, scale=beta)),
    "LogNormal": (({"mu": 1.0, "sigma": 0.5}, {"mu": -3.0, "sigma": 2.0}),
                  lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu))),
    "Beta": (({"alpha": 2.0, "beta": 3.0}, {"alpha": 0.6, "beta": 12.0}), lambda alpha, beta: stats.beta(alpha, beta)),
    "Bernoulli": (({"logit_p": 0.4}, {"logit_p": -3.0}), lambda logit_p: stats.bernoulli(special.expit(logit_p))),
    "Binomial": (({"n": 12.0, "logit_p": 0.4}, {"n": 40.0, "logit_p": -3.0}),
                 lambda n, logit_p: stats.binom(n, special.expit(logit_p))),
    "Poisson": (({"mu": 3.0}, {"mu": 0.2}), lambda mu: stats.poisson(mu)),
    "NegativeBinomial": (({"mu": 3.0, "alpha": 2.0}, {"mu": 20.0, "alpha": 0.5}),
                         lambda mu, alpha: stats.nbinom(alpha, alpha / (alpha + mu))),
    "BetaBinomial": (({"alpha": 2.0, "beta": 3.0, "n": 12.0}, {"alpha": 0.6, "beta": 12.0, "n": 40.0}),
                     lambda alpha, beta, n: stats.betabinom(int(n), alpha, beta)),
    "ZeroInflatedPoisson": (({"psi": 0.7, "mu": 3.0}, {"psi": 0.2, "mu": 0.5}), lambda psi, mu: Inflated(psi, mu)),
}
CASES = [pytest.param(name, parameters, twin(**parameters), id=f"{name}-{number}")
         for name, (settings, twin) in SCIPY.items() for number, parameters in enumerate(settings)]
CONTINUOUS = [case for case in CASES if DISTRIBUTIONS[case.values[0]].support != "count"]


def values(twin: Any) -> np.ndarray:
    """From one tail to the other, off the median, where a Laplace density has a kink."""
    quantile = twin.ppf if hasattr(twin, "ppf") else twin.icdf
    return np.unique(quantile(np.array([1e-4, 0.05, 0.3, 0.45, 0.8, 0.99, 0.9999])))


def log_density(name: str, x: Any, parameters: dict[str, Any]) -> Any:
    return DISTRIBUTIONS[name].log_density(x, **parameters)


def test_every_distribution_has_its_row_against_scipy() -> None:
    assert set(SCIPY) == set(DISTRIBUTIONS), f"without a row: {set(DISTRIBUTIONS) ^ set(SCIPY)}"
    assert all(set(setting) == set(DISTRIBUTIONS[name].roles) for name, (settings, _) in SCIPY.items()
               for setting in settings)


@pytest.mark.parametrize(("name", "parameters", "twin"), CASES)
def test_log_density_is_that_of_scipy(name: str, parameters: dict[str, float], twin: Any) -> None:
    x = values(twin)
    expected = twin.logpmf(x) if DISTRIBUTIONS[name].support == "count" else twin.logpdf(x)
    np.testing.assert_allclose(log_density(name, x, parameters), expected, rtol=1e-11, atol=1e-12)


def test_log_density_is_that_of_pymc() -> None:
    """Under the same names of parameters; PyMC's own expressions, one function for all of them."""
    ours, theirs = [], []
    for name, parameters, twin in (case.values for case in CASES):
        x = values(twin)
        ours.append(log_density(name, x, parameters))
        # PyTensor would keep Python floats in float32 where they happen to fit.
        exact = {key: np.float64(value) for key, value in parameters.items()}
        theirs.append(pm.logp(getattr(pm, name).dist(**exact), x))
    # Interpreted: compiling these few numbers would take longer than all other tests of this file.
    compiled = pytensor.function([], theirs, mode=pytensor.compile.Mode(linker="py", optimizer="fast_compile"))
    for case, mine, its in zip(CASES, ours, compiled(), strict=True):
        # PyMC has the log 2 of its HalfStudentT in float32.
        np.testing.assert_allclose(mine, its, rtol=1e-10, atol=1e-8, err_msg=str(case.id))


@pytest.mark.parametrize(("name", "parameters", "twin"), CASES)
def test_draws_are_those_of_scipy(name: str, parameters: dict[str, float], twin: Any) -> None:
    """Kolmogorov and Smirnov's test, or chi-square for counts; 6.3e-5 is two-sided z = 4."""
    draws = DISTRIBUTIONS[name].draw(np.random.default_rng(5), (20_000,), **parameters)
    assert draws.shape == (20_000,)
    if DISTRIBUTIONS[name].support != "count":
        assert stats.kstest(draws, twin.cdf).pvalue > 6.3e-5
        return
    cut = np.unique(np.maximum(twin.ppf(np.linspace(0.05, 0.95, 10)), 0))
    expected = np.diff(np.concatenate([[0.0], twin.cdf(cut), [1.0]])) * len(draws)
    observed = np.bincount(np.searchsorted(cut, draws), minlength=len(expected))
    keep = expected > 5
    assert observed[~keep].sum() <= 40 and keep.sum() > 1
    assert stats.chisquare(observed[keep], expected[keep] * observed[keep].sum() / expected[keep].sum()
                           ).pvalue > 6.3e-5
    assert (draws == np.round(draws)).all() and (draws >= 0).all()


@pytest.mark.parametrize(("name", "parameters", "twin"),
                         [case for case in CASES if DISTRIBUTIONS[case.values[0]].mean is not None])
def test_mean_is_that_of_scipy(name: str, parameters: dict[str, float], twin: Any) -> None:
    mean = DISTRIBUTIONS[name].mean
    assert mean is not None
    np.testing.assert_allclose(mean(**parameters), twin.mean(), rtol=1e-12)


def test_likelihoods_have_a_mean() -> None:
    """Every distribution of counts is a likelihood, and so are these two."""
    with_mean = {name for name, kind in DISTRIBUTIONS.items() if kind.mean is not None}
    assert with_mean >= {name for name, kind in DISTRIBUTIONS.items() if kind.support == "count"} | {
        "Normal", "StudentT"}


@pytest.mark.parametrize(("name", "parameters", "twin"), CONTINUOUS)
def test_a_complex_step_is_the_derivative(name: str, parameters: dict[str, float], twin: Any) -> None:
    """In the value and in every parameter, against central differences of the density itself."""
    x = values(twin)[1:-1]
    for what in ("value", *parameters):
        def at(step: Any, what: str = what) -> Any:
            moved = {key: value + step * abs(value) * (key == what) for key, value in parameters.items()}
            return log_density(name, x + step * np.abs(x) * (what == "value"), moved)
        exact, h = at(1e-30j).imag / 1e-30, 1e-3
        # Richardson's combination of two steps: the error is of the order h^4.
        wide, narrow = ((at(s) - at(-s)) / (2 * s) for s in (h, h / 2))
        np.testing.assert_allclose(exact, (4 * narrow - wide) / 3, rtol=1e-6, atol=1e-6, err_msg=what)


def test_negative_binomial_keeps_its_digits_near_poisson() -> None:
    """log NB - log Poisson = ((y - mu)^2 - y) / (2 alpha) + O(alpha^-2)."""
    y, mu, alpha = np.arange(30.0), 7.0, 1e6
    difference = log_density("NegativeBinomial", y, {"mu": mu, "alpha": alpha}) - stats.poisson.logpmf(y, mu)
    np.testing.assert_allclose(difference, ((y - mu) ** 2 - y) / (2 * alpha), rtol=0, atol=1e-8)
    limit = log_density("NegativeBinomial", y, {"mu": mu, "alpha": 1e14})
    np.testing.assert_allclose(limit, stats.poisson.logpmf(y, mu), rtol=0, atol=1e-10)


@pytest.mark.parametrize("logit", [-800.0, -40.0, 40.0, 800.0])
def test_probabilities_that_round_to_0_or_1_keep_their_logarithm(logit: float) -> None:
    assert log_density("Bernoulli", 0.0, {"logit_p": logit}) == pytest.approx(-max(logit, 0.0), abs=1e-12)
    assert log_density("Binomial", 0.0, {"n": 5.0, "logit_p": logit}) == pytest.approx(-5 * max(logit, 0.0), abs=1e-12)


@pytest.mark.parametrize(("name", "parameters"), [
    ("Poisson", {"mu": 1e300}), ("NegativeBinomial", {"mu": 1e300, "alpha": 1e-3}),
    ("NegativeBinomial", {"mu": 1.0, "alpha": 1e14})])
def test_extreme_rates_can_be_drawn(name: str, parameters: dict[str, float]) -> None:
    draws = DISTRIBUTIONS[name].draw(np.random.default_rng(1), (100,), **parameters)
    assert np.isfinite(draws).all() and (draws >= 0).all()
