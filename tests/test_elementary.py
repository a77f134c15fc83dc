"""Exponentials, logarithms and gamma functions in compiled loops, beside those of NumPy and SciPy."""

import numpy as np
from scipy.special import digamma, gammaln

from bayes_personal.inference import elementary
from bayes_personal.inference.machine import compiled


@compiled
def exponentials_and_logarithms(x, y, exponentials, logarithms):
    """exp(x) and log(y), by the loops that use the processor's vectors."""
    for i in range(len(x)):
        exponentials[i] = elementary.exp_of(x[i])
    for i in range(len(y)):
        logarithms[i] = elementary.log_of(y[i])


def test_exponential_and_logarithm() -> None:
    x = np.concatenate([np.linspace(-700, 700, 100_001), [0.0, -1e-9, 1e-300, -np.inf, -1e9, np.nan]])
    y = np.concatenate([np.exp(np.linspace(-700, 700, 100_001)), np.linspace(0.4, 2.5, 100_001), [1.0]])
    exponentials, logarithms = np.empty(len(x)), np.empty(len(y))
    exponentials_and_logarithms(x, y, exponentials, logarithms)
    np.testing.assert_allclose(exponentials[:-3], np.exp(x[:-3]), rtol=1e-15)
    assert exponentials[-3] == exponentials[-2] < 1e-307 and np.isnan(exponentials[-1])
    np.testing.assert_allclose(logarithms, np.log(y), rtol=1e-15)


def test_gamma() -> None:
    x = np.concatenate([np.exp(np.linspace(-18, 18, 20_001)), np.arange(1.0, 20), [8 - 1e-12]])
    out, slope = np.zeros(len(x)), np.ones(len(x))
    elementary.add_log_gammas(1.0, 0.0, x, len(x), out)
    np.testing.assert_allclose(out, gammaln(x), rtol=1e-13, atol=1e-13)
    elementary.add_digammas(-2.0, 0.5, x, len(x), slope)
    np.testing.assert_allclose(slope, 1 - 2 * digamma(x + 0.5), rtol=1e-13, atol=1e-13)
    rate = x * np.random.default_rng(0).uniform(0.5, 2, len(x))
    elementary.log_gammas_less(0.3, 0.2, x, rate, len(x), out)
    z, w = x + 0.3, rate + 0.2
    np.testing.assert_allclose(out, gammaln(z) - z * np.log(w) + w, rtol=1e-13, atol=1e-6)
    small = z < 1e3
    np.testing.assert_allclose(out[small], (gammaln(z) - z * np.log(w) + w)[small], rtol=1e-12, atol=1e-11)
