"""Exponentials and logarithms in compiled loops, beside those of NumPy."""

import numpy as np

from bayes_personal.kernels import elementary
from bayes_personal.kernels.compiling import compiled


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


@compiled
def logarithms_beyond_one(excess, out):
    """log(1 + excess)."""
    for i in range(len(excess)):
        out[i] = elementary.log_beyond_one(1.0 + excess[i], excess[i])


def test_logarithm_near_one() -> None:
    near = np.exp(np.linspace(-700, -1e-9, 20_001))
    excess = np.concatenate([near, -near, np.exp(np.linspace(0, 700, 20_001)), [0.0]])
    excess = excess[excess > -1 + 1e-9]
    out = np.empty(len(excess))
    logarithms_beyond_one(excess, out)
    np.testing.assert_allclose(out, np.log1p(excess), rtol=1e-15)
