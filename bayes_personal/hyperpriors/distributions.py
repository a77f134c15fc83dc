"""Distributions in NumPy under PyMC's names: log density, draws, and the roles of their parameters.

The collapsed engine, simulation and LOO evaluate densities without compilation. Densities of continuous
distributions use analytic operations only, so that a complex step gives their exact derivative.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from bayes_personal.hyperpriors import proportions

Role = Literal["location", "scale", "rate", "shape", "log-location", "known"]
Support = Literal["real", "positive", "unit interval", "count"]


@dataclass(frozen=True)
class Distribution:
    """One distribution.

    Attributes
    ----------
    name : name of the distribution
    roles : how each parameter changes with the unit of measurement
    support : set of possible values
    log_density : (value, **parameters) -> array
    draw : (generator, shape, **parameters) -> array
    mean : (**parameters) -> array; only for likelihoods
    derivatives : (value, **parameters) -> first and second derivative of the log density by the location, or by its
        logarithm where it is positive; only for likelihoods
    pymc : PyMC's class of the distribution, or its name; by default the class of the same name
    light_tailed : whether the density of large values falls off at least like an exponential function
    shares : (**parameters) -> probabilities of the values 0, 1, ... along one more axis; only for levels
    log_survival : (value, **parameters) -> log P(larger); only for likelihoods of continuous outcomes
    """

    name: str
    roles: Mapping[str, Role]
    support: Support
    log_density: Callable[..., Any]
    draw: Callable[..., Any]
    mean: Callable[..., Any] | None = None
    derivatives: Callable[..., tuple[Any, Any]] | None = None
    pymc: Any = None
    light_tailed: bool = False
    shares: Callable[..., Any] | None = None
    log_survival: Callable[..., Any] | None = None

    @property
    def of_pymc(self) -> Any:
        """PyMC's class of the distribution."""
        import pymc

        return getattr(pymc, self.pymc or self.name) if isinstance(self.pymc, str | None) else self.pymc


def _student_t(x: Any, nu: Any, mu: Any, sigma: Any) -> Any:
    z = (x - mu) / sigma
    constant = special.loggamma((nu + 1) / 2) - special.loggamma(nu / 2) - 0.5 * np.log(np.pi * nu)
    return constant - np.log(sigma) - (nu + 1) / 2 * np.log1p(z * z / nu)


def _normal(x: Any, mu: Any, sigma: Any) -> Any:
    z = (x - mu) / sigma
    return -0.5 * z * z - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def _laplace(x: Any, mu: Any, b: Any) -> Any:
    z = (x - mu) / b
    return -np.sqrt(z * z) - np.log(2 * b)


def _gamma(x: Any, alpha: Any, beta: Any) -> Any:
    return alpha * np.log(beta) - special.loggamma(alpha) + (alpha - 1) * np.log(x) - beta * x


def _inverse_gamma(x: Any, alpha: Any, beta: Any) -> Any:
    return alpha * np.log(beta) - special.loggamma(alpha) - (alpha + 1) * np.log(x) - beta / x


def _beta(x: Any, alpha: Any, beta: Any) -> Any:
    constant = special.loggamma(alpha + beta) - special.loggamma(alpha) - special.loggamma(beta)
    return constant + (alpha - 1) * np.log(x) + (beta - 1) * np.log1p(-x)


def _bernoulli(y: Any, logit_p: Any) -> Any:
    return y * logit_p - np.logaddexp(0, logit_p)


def _binomial(y: Any, n: Any, logit_p: Any) -> Any:
    choose = special.gammaln(n + 1) - special.gammaln(y + 1) - special.gammaln(n - y + 1)
    return choose + y * logit_p - n * np.logaddexp(0, logit_p)


def _poisson(y: Any, mu: Any) -> Any:
    return special.xlogy(y, mu) - mu - special.gammaln(y + 1)


def _negative_binomial(y: Any, mu: Any, alpha: Any) -> Any:
    # A difference of gammaln(y + alpha) and gammaln(alpha) would lose its digits where alpha is large.
    choose = -np.log(y + alpha) - special.betaln(y + 1, alpha)
    return choose - alpha * np.log1p(mu / alpha) + special.xlogy(y, mu / (mu + alpha))


def _capped(mu: Any) -> Any:
    """Return rates that NumPy can draw counts from: it refuses rates above 1e15."""
    return np.minimum(mu, 1e15)


def _student_t_derivatives(x: Any, nu: Any, mu: Any, sigma: Any) -> tuple[Any, Any]:
    error, width = x - mu, nu * sigma**2
    denominator = width + error**2
    return (nu + 1) * error / denominator, (nu + 1) * (error**2 - width) / denominator**2


def _binomial_derivatives(y: Any, n: Any, logit_p: Any) -> tuple[Any, Any]:
    p = special.expit(logit_p)
    return y - n * p, -n * p * (1 - p) + 0 * y


def _negative_binomial_derivatives(y: Any, mu: Any, alpha: Any) -> tuple[Any, Any]:
    share = alpha / (mu + alpha)
    return (y - mu) * share, -(y + alpha) * share * mu / (mu + alpha)


DISTRIBUTIONS: dict[str, Distribution] = {law.name: law for law in (
    Distribution(
        "Normal", {"mu": "location", "sigma": "scale"}, "real", _normal,
        lambda rng, shape, mu, sigma: rng.normal(mu, sigma, shape), lambda mu, sigma: mu + 0 * sigma,
        lambda x, mu, sigma: ((x - mu) / sigma**2, -1 / sigma**2 + 0 * (x - mu)),
        log_survival=lambda x, mu, sigma: special.log_ndtr((mu - x) / sigma)),
    Distribution(
        "StudentT", {"nu": "shape", "mu": "location", "sigma": "scale"}, "real", _student_t,
        lambda rng, shape, nu, mu, sigma: mu + sigma * rng.standard_t(nu, shape),
        lambda nu, mu, sigma: mu + 0 * sigma, _student_t_derivatives,
        log_survival=lambda x, nu, mu, sigma: np.log(special.stdtr(nu, (mu - x) / sigma))),
    Distribution(
        "Cauchy", {"alpha": "location", "beta": "scale"}, "real",
        lambda x, alpha, beta: _student_t(x, 1.0, alpha, beta),
        lambda rng, shape, alpha, beta: alpha + beta * rng.standard_cauchy(shape)),
    Distribution(
        "Laplace", {"mu": "location", "b": "scale"}, "real", _laplace,
        lambda rng, shape, mu, b: rng.laplace(mu, b, shape)),
    Distribution(
        "HalfNormal", {"sigma": "scale"}, "positive", lambda x, sigma: np.log(2) + _normal(x, 0.0, sigma),
        lambda rng, shape, sigma: np.abs(rng.normal(0.0, sigma, shape)), light_tailed=True),
    Distribution(
        "HalfStudentT", {"nu": "shape", "sigma": "scale"}, "positive",
        lambda x, nu, sigma: np.log(2) + _student_t(x, nu, 0.0, sigma),
        lambda rng, shape, nu, sigma: np.abs(sigma * rng.standard_t(nu, shape))),
    Distribution(
        "HalfCauchy", {"beta": "scale"}, "positive", lambda x, beta: np.log(2) + _student_t(x, 1.0, 0.0, beta),
        lambda rng, shape, beta: np.abs(beta * rng.standard_cauchy(shape))),
    Distribution(
        "Exponential", {"scale": "scale"}, "positive", lambda x, scale: -x / scale - np.log(scale),
        lambda rng, shape, scale: rng.exponential(scale, shape), light_tailed=True),
    Distribution(
        "Gamma", {"alpha": "shape", "beta": "rate"}, "positive", _gamma,
        lambda rng, shape, alpha, beta: rng.gamma(alpha, 1 / beta, shape), lambda alpha, beta: alpha / beta,
        lambda x, alpha, beta: (beta * x - alpha, -beta * x), light_tailed=True,
        log_survival=lambda x, alpha, beta: np.log(special.gammaincc(alpha, beta * x))),
    Distribution(
        "InverseGamma", {"alpha": "shape", "beta": "scale"}, "positive", _inverse_gamma,
        lambda rng, shape, alpha, beta: beta / rng.gamma(alpha, 1.0, shape)),
    Distribution(
        "LogNormal", {"mu": "log-location", "sigma": "shape"}, "positive",
        lambda x, mu, sigma: _normal(np.log(x), mu, sigma) - np.log(x),
        lambda rng, shape, mu, sigma: rng.lognormal(mu, sigma, shape), lambda mu, sigma: np.exp(mu + 0.5 * sigma**2),
        lambda x, mu, sigma: ((np.log(x) - mu) / sigma**2, -1 / sigma**2 + 0 * (x - mu)),
        log_survival=lambda x, mu, sigma: special.log_ndtr((mu - np.log(x)) / sigma)),
    Distribution(
        "Beta", {"alpha": "shape", "beta": "shape"}, "unit interval", _beta,
        proportions.draw_beta, lambda alpha, beta: alpha / (alpha + beta), proportions.beta_derivatives),
    Distribution(
        "Bernoulli", {"logit_p": "location"}, "count", _bernoulli,
        lambda rng, shape, logit_p: rng.binomial(1, special.expit(logit_p), shape),
        lambda logit_p: special.expit(logit_p), lambda y, logit_p: _binomial_derivatives(y, 1, logit_p)),
    Distribution(
        "Binomial", {"n": "known", "logit_p": "location"}, "count", _binomial,
        lambda rng, shape, n, logit_p: rng.binomial(np.asarray(n, int), special.expit(logit_p), shape),
        lambda n, logit_p: n * special.expit(logit_p), _binomial_derivatives),
    Distribution(
        "Poisson", {"mu": "location"}, "count", _poisson, lambda rng, shape, mu: rng.poisson(_capped(mu), shape),
        lambda mu: mu, lambda y, mu: (y - mu, -mu + 0 * y)),
    Distribution(
        "NegativeBinomial", {"mu": "location", "alpha": "shape"}, "count", _negative_binomial,
        lambda rng, shape, mu, alpha: rng.poisson(_capped(mu * rng.gamma(alpha, 1 / alpha, shape))),
        lambda mu, alpha: mu + 0 * alpha, _negative_binomial_derivatives),
    Distribution(
        "BetaBinomial", {"alpha": "shape", "beta": "shape", "n": "known"}, "count", proportions.beta_binomial,
        proportions.draw_beta_binomial, lambda alpha, beta, n: n * alpha / (alpha + beta),
        proportions.beta_binomial_derivatives),
    Distribution(
        "ZeroInflatedPoisson", {"psi": "shape", "mu": "location"}, "count", proportions.zero_inflated_poisson,
        lambda rng, shape, psi, mu: np.where(rng.random(shape) < psi, rng.poisson(_capped(mu), shape), 0),
        lambda psi, mu: psi * mu, proportions.zero_inflated_poisson_derivatives),
)}
