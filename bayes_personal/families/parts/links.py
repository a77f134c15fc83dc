"""Links: how the linear predictor of a family of yes and no becomes a probability."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np
from scipy import special

from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS, Distribution
from bayes_personal.kernels import codes

Name = Literal["logit", "probit", "cloglog"]
# Largest size of eta, and largest log of a mean, that densities are computed at; no outcome is likelier beyond.
FARTHEST, HIGHEST = np.float64(1e100), 700.0
# From this size of eta on the curvature of the log of a tail is taken from its asymptotic series, as a difference would
# lose its digits; the coefficients of the series.
FAR, ODD = 20.0, np.cumprod([1.0, -3.0, -5.0, -7.0, -9.0, -11.0, -13.0, -15.0])


class Link(ABC):
    """A probability as a function of the linear predictor, held as its log odds, which keep the digits of both tails.

    The natural unit of a linear predictor is the one whose slope at the probability 1/2 is that of the log odds, so
    that relative hyperpriors say the same of probabilities under every link.
    """

    code: codes.Code
    # Where eta is expected, the natural unit, and both in words.
    location: float
    unit: float
    natural: tuple[str, str]

    @abstractmethod
    def log_odds(self, eta: Any, xp: Any) -> Any:
        """Return log(p / (1 - p))."""

    @abstractmethod
    def derivatives(self, y: Any, n: Any, logit_p: Any) -> tuple[Any, Any]:
        """Return the first two derivatives of log p(y | eta) by eta, of y successes in n trials."""

    @final
    def bernoulli(self) -> Distribution:
        """Return the distribution of one trial, whose derivatives are by eta."""
        return replace(DISTRIBUTIONS["Bernoulli"], derivatives=lambda y, logit_p: self.derivatives(y, 1, logit_p))

    @final
    def binomial(self) -> Distribution:
        """Return the distribution of successes in several trials, whose derivatives are by eta."""
        return replace(DISTRIBUTIONS["Binomial"], derivatives=self.derivatives)


@final
class Probit(Link):
    """``p = F(eta)``, F the distribution function of a standard Normal."""

    code = codes.Probit()
    location, unit = 0.0, float(np.sqrt(np.pi / 8))
    natural = "0", "sqrt(pi / 8)"

    def log_odds(self, eta: Any, xp: Any) -> Any:
        if xp is np:
            eta = np.clip(eta, -FARTHEST, FARTHEST)
            return special.log_ndtr(eta) - special.log_ndtr(-eta)
        # The log odds are an odd function. That of a size has a gradient everywhere, at 0 too.
        above = eta > 0
        size = xp.minimum(xp.where(above, eta, -eta), FARTHEST) / np.sqrt(2.0)
        odds = xp.log1p(-xp.erfc(size) / 2) - xp.log(xp.erfcx(size) / 2) + size**2
        return xp.where(above, odds, -odds)

    def derivatives(self, y: Any, n: Any, logit_p: Any) -> tuple[Any, Any]:
        above, size = np.asarray(logit_p) > 0, -special.ndtri_exp(-np.logaddexp(0.0, np.abs(logit_p)))
        log_density = -0.5 * size**2 - 0.5 * np.log(2 * np.pi)
        likely, surprising = (np.exp(log_density - special.log_ndtr(place)) for place in (size, -size))
        w = np.maximum(size, FAR) ** -2.0
        series = np.polynomial.polynomial.polyval(w, ODD)
        steep = np.where(size > FAR, series / (1 - w * series) ** 2, surprising * (surprising - size))
        expected, others = np.where(above, y, n - y), np.where(above, n - y, y)
        slope = expected * likely - others * surprising
        return np.where(above, slope, -slope), -expected * likely * (likely + size) - others * steep


@final
class ComplementaryLogLog(Link):
    """``p = 1 - exp(-exp(eta))``: whether a Poisson count of mean exp(eta) is above 0."""

    code = codes.ComplementaryLogLog()
    location, unit = float(np.log(np.log(2))), float(1 / np.log(4))
    natural = "log(log(2))", "1 / log(4)"

    def log_odds(self, eta: Any, xp: Any) -> Any:
        mean, small = xp.exp(xp.minimum(eta, HIGHEST)), eta < 0
        # Neither branch is computed where its argument would be out of range, or its gradient no number.
        near, far = xp.where(small, xp.exp(xp.maximum(eta, -30.0)), 1.0), xp.where(small, 1.0, mean)
        low = eta + mean + xp.log(-xp.expm1(-near) / near)
        return xp.where(small, low, far + xp.log1p(-xp.exp(-far)))

    def derivatives(self, y: Any, n: Any, logit_p: Any) -> tuple[Any, Any]:
        mean = np.logaddexp(0.0, logit_p)
        g = 1 / special.exprel(mean)
        # Of a small mean the difference would have lost its digits.
        excess = np.where(mean < 1e-3, mean / 2 + mean**2 / 12, g + mean - 1)
        return y * g - (n - y) * mean, -y * g * excess - (n - y) * mean


LINKS: dict[str, Link | None] = {"logit": None, "probit": Probit(), "cloglog": ComplementaryLogLog()}
