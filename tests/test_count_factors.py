"""Marginal likelihoods of counts and their slopes at any size of the shapes, beside fifty digits of mpmath."""

import numpy as np
import pandas as pd
import pytest
from mpmath import mp, mpf
from scipy import stats

import bayes_personal as bp
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.hyperpriors.conjugate import GammaConjugate
from bayes_personal.kernels import count_factors
from bayes_personal.priors.divisions.segment_counts import CountData

COUNTS = np.array([0.0, 1, 2, 3, 7, 8, 9, 40, 1000, 123_456, 4e6])
SIZES = np.array([1.0, 0.3, 2.5, 0.0, 7, 20, 9, 55, 900, 123_000, 4.1e6])
SCALES = 10.0 ** np.arange(-12, 13)


@pytest.fixture(autouse=True)
def digits():
    """Of the reference: shapes of 1e24 leave 26 of them."""
    with mp.workdps(50):
        yield


def gamma_reference(a, b, y, e):
    """log of the integral of rate^y exp(-rate e) exp(e), and its slopes by log a and log b."""
    value = mp.loggamma(a + y) - mp.loggamma(a) + a * mp.log(b) - (a + y) * mp.log(b + e) + e
    return value, a * (mp.digamma(a + y) - mp.digamma(a) + mp.log(b / (b + e))), a - b * (a + y) / (b + e)


def beta_reference(a, b, s, f):
    """log B(a + s, b + f) - log B(a, b), and its slopes by log a and log b."""
    def log_beta(one, other):
        return mp.loggamma(one) + mp.loggamma(other) - mp.loggamma(one + other)
    both = mp.digamma(a + b) - mp.digamma(a + b + s + f)
    return (log_beta(a + s, b + f) - log_beta(a, b), a * (mp.digamma(a + s) - mp.digamma(a) + both),
            b * (mp.digamma(b + f) - mp.digamma(b) + both))


@pytest.mark.parametrize("mean", [-3.0, 0.1, 2.0])
@pytest.mark.parametrize("kind", ["gamma", "beta"])
def test_factors_and_slopes(kind: str, mean: float) -> None:
    for scale in SCALES:
        log_a = -2 * np.log(scale) + (0 if kind == "gamma" else np.log1p(np.exp(mean)))
        log_b = log_a - mean
        data = (CountData.of_counts(np.ones(1), np.ones(1), np.zeros(1, int), 1) if kind == "gamma"
                else CountData.of_successes(np.ones(1), np.ones(1), np.zeros(1, int), 1))
        numbers = data.at(log_a, log_b).numbers
        out, by_a, by_b = np.empty((3, len(COUNTS)))
        if kind == "gamma":
            count_factors.gamma_factors(numbers, COUNTS, SIZES, len(COUNTS), out)
            count_factors.gamma_slopes(numbers, COUNTS, SIZES, len(COUNTS), by_a, by_b)
        else:
            trials, failures = np.empty(len(COUNTS)), np.round(SIZES)
            count_factors.beta_factors(numbers, COUNTS, failures, trials, len(COUNTS), out)
            count_factors.beta_slopes(numbers, COUNTS, failures, trials, len(COUNTS), by_a, by_b)
        for i, (y, size) in enumerate(zip(COUNTS, SIZES, strict=True)):
            reference = gamma_reference if kind == "gamma" else beta_reference
            wanted = reference(mp.exp(mpf(log_a)), mp.exp(mpf(log_b)), mpf(y), mpf(size if kind == "gamma"
                                                                                    else round(size)))
            # What rounding leaves of numbers as large as the counts.
            error = 1e-13 * (1 + y + size)
            for ours, theirs in zip((out[i], by_a[i], by_b[i]), wanted, strict=True):
                assert abs(ours - float(theirs)) < error + 1e-12 * abs(float(theirs)), (scale, y, size)


def log_evidence_reference(density: DivisionDensity, mean: float, scale: float, rate: float) -> mpf:
    """log p(y) of ordered contexts with a row each, by the plain recursion over where the last segment starts."""
    y, size, poisson = density.bound.y, density.bound.constants, isinstance(density.piece.law, GammaConjugate)
    mu, tau = mpf(mean), mpf(scale)
    a, b = (tau**-2, tau**-2 * mp.exp(-mu)) if poisson else ((1 + mp.exp(mu)) / tau**2, (1 + mp.exp(-mu)) / tau**2)
    stay = [mp.exp(-mpf(rate) * mpf(gap)) for gap in np.diff(density.piece.places)]
    ended = [mpf(1)]
    for e in range(len(y)):
        total = mpf(0)
        for s in range(e + 1):
            rows = range(s, e + 1)
            counts, of_all = mpf(int(sum(y[s : e + 1]))), mp.fsum(mpf(float(size[i])) for i in rows)
            if poisson:
                factor = gamma_reference(a, b, counts, of_all)[0] - of_all + mp.fsum(
                    int(y[i]) * mp.log(mpf(float(size[i]))) - mp.loggamma(int(y[i]) + 1) for i in rows)
            else:
                factor = beta_reference(a, b, counts, of_all - counts)[0] + mp.fsum(
                    mp.log(mp.binomial(int(size[i]), int(y[i]))) for i in rows)
            weight = ended[s] * mp.exp(factor) * mp.fprod(stay[s:e])
            total += weight * (1 - stay[s - 1] if s else 1)
        ended.append(total)
    return mp.log(ended[-1])


def frame() -> pd.DataFrame:
    rng, n = np.random.default_rng(0), 12
    return pd.DataFrame({"t": rng.permutation(n) + rng.uniform(0, 0.5, n), "n": rng.integers(3, 9, n),
                         "e": rng.uniform(1, 3, n), "c": rng.poisson(3, n), "z": rng.integers(0, 2, n),
                         "rare": np.eye(n, dtype=int)[4]}).assign(k=lambda rows: rng.binomial(rows["n"], 0.4))


MODELS = {"Poisson": ("c ~ 1", bp.Poisson("e")), "Binomial": ("k ~ 1", bp.Binomial("n")),
          "Bernoulli": ("z ~ 1", bp.Bernoulli()), "rare": ("rare ~ 1", bp.Poisson())}


@pytest.mark.parametrize("which", MODELS)
def test_log_evidence_at_every_scale(which: str) -> None:
    formula, family = MODELS[which]
    density = DivisionDensity(bp.Model(formula, bp.Partition("t"), family).bind(frame().sort_values("t")))
    mean, rate = 0.4, 0.7
    for scale in SCALES[::3]:
        shapes = density.piece.law.log_shapes(np.array(mean), np.array(scale), np)
        value, gradient = density.log_evidence(np.array([*map(float, shapes), np.log(rate)]))
        assert np.isfinite(gradient).all()
        assert value == pytest.approx(float(log_evidence_reference(density, mean, scale, rate)), rel=1e-8), scale


@pytest.mark.parametrize("prior", [bp.Partition("t"), bp.TreePartition("t", "e")], ids=repr)
@pytest.mark.parametrize("which", ["Poisson", "Binomial"])
def test_segments_of_a_vanishing_scale_are_one_population(prior: bp.priors.Prior, which: str) -> None:
    """Far below any scale of interest too, where shapes are no numbers any more."""
    formula, family = MODELS[which]
    rows = frame()
    density, mean = DivisionDensity(bp.Model(formula, prior, family).bind(rows)), 0.4
    wanted = (stats.poisson(rows["e"] * np.exp(mean)).logpmf(rows["c"]) if which == "Poisson"
              else stats.binom(rows["n"], 1 / (1 + np.exp(-mean))).logpmf(rows["k"])).sum()
    for scale in (1e-7, 1e-20, 1e-154, 1e-170):
        shapes = density.piece.law.log_shapes(np.array(mean), np.array(scale), np)
        value, gradient = density.log_evidence(np.array([*map(float, shapes), 0.0]))
        assert value == pytest.approx(wanted, rel=1e-12)
        # By the logarithm of the scale, and by that of how often contexts are cut.
        np.testing.assert_allclose([gradient[0] + gradient[1], gradient[2]], 0, atol=1e-9)
