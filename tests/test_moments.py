"""Moments of rows that come in parts: those of all rows, to the last digits, whatever the parts."""

import numpy as np
import pytest

from bayes_personal.data.moments import SLICE, Moments

ROWS = 3 * SLICE + 17
KINDS = {
    "far away": lambda rng: 1e8 + rng.normal(size=(ROWS, 3)),
    "large": lambda rng: 1e8 + 1e8 * rng.normal(size=(ROWS, 3)),
    "a trend": lambda rng: np.linspace(0, 1e6, ROWS)[:, None] + rng.normal(size=(ROWS, 3)),
    "the first far from all others": lambda rng: np.vstack([[1e9] * 3, rng.normal(size=(ROWS - 1, 3))]),
    "huge": lambda rng: 1e70 * rng.normal(size=(ROWS, 3)),
}


def exact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean products of distances from it, in extended precision."""
    wide = values.astype(np.longdouble)
    mean = wide.mean(axis=0)
    return mean, (wide - mean).T @ (wide - mean) / len(values)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_exact(kind: str, order: str) -> None:
    values = np.asarray(KINDS[kind](np.random.default_rng(1)), order=order)
    found, (mean, gram) = Moments.of(values), exact(values)
    spread = np.sqrt(np.diag(gram)).astype(float)
    np.testing.assert_allclose(found.mean, mean.astype(float), rtol=1e-15, atol=1e-12 * spread.max())
    np.testing.assert_allclose(found.gram(found.mean), gram.astype(float), rtol=1e-12, atol=1e-12 * spread.max() ** 2)
    np.testing.assert_array_equal([found.low, found.high], [values.min(axis=0), values.max(axis=0)])


def test_parts_add_up_in_any_order_and_of_any_size() -> None:
    values = KINDS["a trend"](np.random.default_rng(2))[:5000]
    whole = Moments.of(values)
    cuts = [0, 1, 2, 700, 701, 4000, 5000]
    parts = [Moments.of(values[a:b], whole.origin) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    for chosen in (parts, parts[::-1]):
        total = chosen[0]
        for part in chosen[1:]:
            total += part
        assert total.count == 5000
        np.testing.assert_allclose(total.mean, whole.mean, rtol=1e-13)
        np.testing.assert_allclose(total.products, whole.products, rtol=1e-12)


def test_spread_is_about_any_centre() -> None:
    values = np.random.default_rng(3).normal(5, 2, 4000)
    found = Moments.of(values)
    np.testing.assert_allclose(found.spread_about(np.zeros(1))[0], np.sqrt(np.mean(values**2)), rtol=1e-13)
    np.testing.assert_allclose(found.spread_about(found.mean)[0], values.std(), rtol=1e-13)
