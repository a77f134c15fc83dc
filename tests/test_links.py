"""Probit and complementary log-log links: far tails, limits, a published estimate, and what refuses them."""

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.kernels import likelihoods

OTHER = ("probit", "cloglog")
NOTHING = np.zeros(0)


def log_chance(link: str, success: bool, eta: Any) -> Any:
    """In many digits."""
    if link == "cloglog":
        return mp.log(-mp.expm1(-mp.exp(eta))) if success else -mp.exp(eta)
    return mp.log(mp.erfc((-eta if success else eta) / mp.sqrt(2)) / 2)


@pytest.mark.parametrize("success", [False, True])
@pytest.mark.parametrize("link", OTHER)
def test_far_tails(link: Any, success: bool) -> None:
    """Both densities and their slopes, against many digits, to where float64 or the mean e^eta ends."""
    far = [-600.0, -60.0, -38.0, -20.001, -19.999, -1e-9, 0.0, 1e-9]
    eta = np.array([*far, *np.linspace(-9, 6, 31), *([20.001, 30.0, 37.0] if link == "probit" else [])])
    y, one = np.full(len(eta), float(success)), np.ones(len(eta))
    family = bp.Bernoulli(link)
    compiled = likelihoods.log_likelihoods(family.compiled, NOTHING, y, one, eta[None])
    score, curvature, positive = (each.ravel() for each in likelihoods.slopes(family.compiled, NOTHING, y, one,
                                                                              eta[None]))
    plain = family.likelihood(eta[:, None], {}, one, np)
    with mp.workdps(700):
        step, exact = mpf(10) ** -60, []
        for place in map(mpf, eta.tolist()):
            below, at, above = (log_chance(link, success, place + shift) for shift in (-step, 0, step))
            exact.append([float(at), float((above - below) / (2 * step)), float((2 * at - above - below) / step**2)])
    for found, wanted, precision in zip((compiled, score, curvature), np.array(exact).T, (1e-13, 1e-13, 1e-10),
                                        strict=True):
        np.testing.assert_allclose(found, wanted, rtol=precision, atol=1e-300)
    np.testing.assert_allclose(plain.log_density(y), np.array(exact)[:, 0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(plain.score(y), np.array(exact)[:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(plain.curvature(y), np.array(exact)[:, 2], rtol=1e-9, atol=1e-12)
    assert (positive == curvature).all() and (positive >= 0).all()


@pytest.mark.parametrize("link", ["logit", *OTHER])
def test_binomial_of_one_trial_is_bernoulli(link: Any) -> None:
    y, eta, one = np.array([0.0, 1.0, 1.0, 0.0]), np.array([-3.0, 0.4, 3.0, 30.0]), np.ones(4)
    families = (bp.Bernoulli(link), bp.Binomial("n", link))
    plain = [family.likelihood(eta[:, None], {}, one, np) for family in families]
    np.testing.assert_allclose(plain[0].log_density(y), plain[1].log_density(y), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plain[0].score(y), plain[1].score(y), rtol=1e-12, atol=1e-12)
    compiled = [likelihoods.log_likelihoods(family.compiled, NOTHING, y, one, eta[None]) for family in families]
    np.testing.assert_allclose(*compiled, rtol=1e-14)


def test_cloglog_is_whether_a_poisson_count_is_above_0() -> None:
    eta = np.linspace(-20, 3, 24)[:, None]
    of_counts = bp.Poisson().likelihood(eta, {}, 1.0, np).log_density(0.0)
    np.testing.assert_allclose(bp.Bernoulli("cloglog").likelihood(eta, {}, 1.0, np).log_density(0.0), of_counts,
                               rtol=1e-13)


@pytest.mark.parametrize(("link", "estimates"), [
    ("logit", (-60.717, 34.270)), ("probit", (-34.935, 19.728)), ("cloglog", (-39.572, 22.041))])
def test_beetles(link: Any, estimates: tuple[float, float]) -> None:
    """Maximum likelihood by these slopes: Dobson (2002), An Introduction to Generalized Linear Models, section 7.3.1.

    Beetles killed by carbon disulphide at eight log doses: Bliss (1935), doi:10.1111/j.1744-7348.1935.tb07713.x.
    """
    dose = np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839])
    beetles = np.array([59.0, 60, 62, 56, 63, 59, 62, 60])
    killed = np.array([6.0, 13, 18, 28, 52, 53, 61, 60])
    x = np.column_stack([np.ones(8), dose - dose.mean()])
    coefficients = np.zeros(2)
    for _ in range(30):
        score, curvature, _ = likelihoods.slopes(bp.Binomial("n", link).compiled, NOTHING, killed, beetles,
                                                 (x @ coefficients)[None])
        coefficients += np.linalg.solve((x.T * curvature[0, 0]) @ x, x.T @ score[0])
    found = coefficients[0] - coefficients[1] * dose.mean(), coefficients[1]
    np.testing.assert_allclose(found, estimates, atol=6e-4)


@pytest.mark.parametrize("link", OTHER)
def test_natural_units_say_the_same_of_probabilities(link: Any) -> None:
    """At the expected location the probability is 1/2, and one natural unit has the slope of the logit's."""
    family = bp.Bernoulli(link)
    location, unit = family.location_scale(np.zeros(1), np.ones(1))
    below, at, above = (float(family.likelihood(np.array([location + step * unit]), {}, 1.0, np).mean())
                        for step in (-1e-4, 0.0, 1e-4))
    assert at == pytest.approx(0.5, abs=1e-15) and (above - below) / 2e-4 == pytest.approx(0.25, rel=1e-6)
    words = {"sqrt": np.sqrt, "log": np.log, "pi": np.pi}
    assert (eval(family.natural[0], words), eval(family.natural[1], words)) == pytest.approx((location, unit))


@pytest.mark.parametrize("link", OTHER)
def test_what_takes_log_odds_refuses_other_links(link: Any) -> None:
    """Pairs of nodes interact in log odds."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.integers(0, 2, 40), "b": rng.integers(0, 2, 40)})
    network = bp.Network("y + b ~ 1", family=bp.Bernoulli(link), parents="others")
    posterior = bp.fit(network, frame, seed=1, progress=False)
    with pytest.raises(SpecificationError, match=r"with the logit link.*kind='directed'"):
        bp.network(posterior, kind="interaction")
    with pytest.raises(SpecificationError, match="link='identity' must be 'logit', 'probit' or 'cloglog'"):
        bp.Bernoulli(cast(Any, "identity"))
    with pytest.raises(SpecificationError, match="link=None must be"):
        bp.Binomial("n", cast(Any, None))
