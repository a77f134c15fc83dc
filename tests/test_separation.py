"""Predictors that separate outcomes are named, and no others."""

import warnings
from typing import Any

import numpy as np
import pytest

from bayes_personal.errors import InputWarning
from bayes_personal.families import Bernoulli, Binomial
from bayes_personal.families.parts.separation import warn_of_separation


def separated_by(y: Any, x: Any, names: list[str]) -> list[str]:
    """Messages of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_separation(np.asarray(y, float), np.asarray(x, float), names)
    assert all(issubclass(each.category, InputWarning) for each in caught)
    return [str(each.message) for each in caught]


NAMES = ["Intercept", "u", "v"]


def design(*columns: Any) -> np.ndarray:
    return np.column_stack([np.ones(len(columns[0])), *columns])


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_one_predictor_that_separates_is_named(unit: float, shift: float) -> None:
    """With a gap, with a tie at the border (quasi-complete), and no more with one row on the wrong side."""
    u, v = (np.arange(20.0) + shift) * unit, np.tile([0.3, -1.0, 2.0, 0.5], 5)
    above = u > u[9]
    (message,) = separated_by(above, design(u, v), NAMES)
    assert "'u' alone" in message and "'v'" not in message and "prior" in message
    tied = u.copy()
    tied[10] = tied[9]
    (message,) = separated_by(above, design(tied, v), NAMES)
    assert "'u' alone" in message
    above[3] = True
    assert separated_by(above, design(u, v), NAMES) == []


def test_predictors_that_separate_only_together_are_named() -> None:
    u, v, noise = np.random.default_rng(2).normal(size=(3, 60))
    y = u + v > 0.1
    (message,) = separated_by(y, design(noise, u, v), ["Intercept", "noise", "u", "v"])
    assert "separated by 'u', 'v' together" in message
    (message,) = separated_by(y, design(u, u + v, v - u), ["Intercept", "u", "sum", "difference"])
    assert "'sum' alone" in message


def test_predictors_that_separate_each_by_itself_are_all_named() -> None:
    u = np.arange(10.0)
    (message,) = separated_by(u > 4, design(u, -(u**2)), NAMES)
    assert "'u' and by 'v', each alone" in message


def test_a_category_without_a_failure_separates() -> None:
    """Quasi-complete separation as it is met most often: a dummy variable with one outcome only."""
    group, y = np.repeat([0.0, 1.0], [10, 4]), np.array([0, 1] * 5 + [1] * 4)
    other = np.array([3, 1, 2, 5, 4, 4, 1, 2, 3, 5, 1, 2, 3, 4])
    assert "'u' alone" in separated_by(y, design(group, other), NAMES)[0]
    y[-1] = 0
    assert separated_by(y, design(group, other), NAMES) == []


def test_without_an_intercept_the_border_is_at_zero() -> None:
    u = np.array([1.0, 2.0, 3.0, 4.0])
    assert separated_by([0, 0, 1, 1], u[:, None], ["u"]) == []
    assert "'u' alone" in separated_by([0, 0, 1, 1], u[:, None] - 2.5, ["u"])[0]


def test_one_outcome_is_not_called_separation() -> None:
    assert separated_by(np.ones(5), design(np.arange(5.0)), NAMES[:2]) == []


def test_collinear_predictors_are_not_called_separation() -> None:
    u = np.arange(12.0)
    assert separated_by([0, 1] * 6, design(u, 2 * u + 1), NAMES) == []


@pytest.mark.parametrize("seed", range(40))
def test_separation_is_what_turning_a_line_finds(seed: int) -> None:
    """Oracle: two predictors on a grid; every direction in which the order of projections can change is tried."""
    generator = np.random.default_rng(seed)
    points = generator.integers(-2, 3, (9, 2)).astype(float)
    y = generator.integers(0, 2, 9)
    if np.ptp(points, axis=0).min() == 0 or np.ptp(y) == 0:
        return
    steps = (points[:, None] - points[None]).reshape(-1, 2)
    normals = np.concatenate([steps @ [[0.0, 1.0], [-1.0, 0.0]], np.eye(2), [[0.0, 0.0]]])
    normals = np.concatenate([normals, -normals])
    between = (normals[:, None] + 1e-4 * normals[None]).reshape(-1, 2)
    projected = between @ points.T
    low, high = np.where(y == 1, projected, np.inf).min(axis=1), np.where(y == 0, projected, -np.inf).max(axis=1)
    expected = ((low >= high - 1e-12) & (np.ptp(projected, axis=1) > 1e-12)).any()
    assert (separated_by(y, design(*points.T), NAMES) != []) == expected


def test_the_families_with_a_logit_examine_their_predictors() -> None:
    x = design(np.arange(6.0))
    with pytest.warns(InputWarning, match="separated by 'u' alone"):
        Bernoulli().examine(np.array([0, 0, 0, 1, 1, 1.0]), np.ones(6), x, ("Intercept", "u"))
    with pytest.warns(InputWarning, match="separated by 'u' alone"):
        Binomial("n").examine(np.array([0, 0, 0, 2, 5, 5.0]), np.full(6, 5.0), x, ("Intercept", "u"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Binomial("n").examine(np.array([0, 0, 1, 2, 5, 5.0]), np.full(6, 5.0), x, ("Intercept", "u"))


def test_many_rows_are_examined_to_the_last() -> None:
    """A part of the rows answers alone only where it can."""
    u, v = np.random.default_rng(3).normal(size=(2, 20_001))
    y = u > 0.2
    assert len(separated_by(y, design(u, v), NAMES)) == 1
    y[1] = not y[1]
    assert separated_by(y, design(u, v), NAMES) == []
    # A level that only rows have which are not looked at first.
    rare = np.zeros(20_001)
    rare[[1, 2, 5]] = 1.0
    y = v > 0
    y[rare == 1] = True
    (message,) = separated_by(y | (u > 0), design(u, rare), NAMES)
    assert "'v' alone" in message
