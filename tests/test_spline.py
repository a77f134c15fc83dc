"""The spline is Wood's penalised natural cubic spline: its penalty, null space, knots and behaviour outside them."""

import numpy as np
import pandas as pd
import pytest
from formulaic.transforms.cubic_spline import natural_cubic_spline

import bayes_personal as bp
from bayes_personal.priors.parts.spline import Spline

VALUES = {
    "even": np.linspace(-2, 3, 60),
    "uneven": np.random.default_rng(1).normal(size=80) ** 3,
    "ties": np.repeat([-1.0, 0.0, 0.5, 2.0, 7.0], [9, 1, 30, 2, 1]),
    "three": np.array([0.0, 1.0, 5.0] * 4),
    "nearly equal": np.array([0.0, 1e-300, 1e-6, 1.0, 1.0 + 1e-6, 1.5, 2.0]),
}


@pytest.fixture(params=VALUES)
def values(request: pytest.FixtureRequest) -> np.ndarray:
    return VALUES[request.param]


def second_derivatives(spline: Spline) -> tuple[np.ndarray, np.ndarray]:
    """f'' of every feature at Gauss-Legendre nodes between the knots, (node, feature), and the nodes' weights."""
    place, weight = np.polynomial.legendre.leggauss(3)
    left, right = spline.knots[:-1, None], spline.knots[1:, None]
    nodes = ((left + right) / 2 + (right - left) / 2 * place).ravel()
    weights = ((right - left) / 2 * weight).ravel()
    # Second differences within one interval are exact for a cubic.
    step = np.repeat((right - left).ravel() / 9, 3)
    around = [spline.at(nodes + shift * step) for shift in (-1, 0, 1)]
    return (around[0] - 2 * around[1] + around[2]) / step[:, None] ** 2, weights


@pytest.mark.parametrize("kind", ["even", "uneven", "ties", "three"])
def test_the_prior_is_the_integrated_squared_second_derivative(kind: str) -> None:
    """Independent weights of one variance: the Gram matrix of f'' is a multiple of the identity."""
    spline = Spline.learn(VALUES[kind], 10)
    curved, weights = second_derivatives(spline)
    penalty = curved.T @ (weights[:, None] * curved)
    size = np.trace(penalty) / spline.size
    np.testing.assert_allclose(penalty / size, np.eye(spline.size), rtol=0, atol=1e-7)


def test_its_covariance_is_an_inverse_of_woods_penalty() -> None:
    """Wood (2017), section 5.3.1: the penalty D' B^-1 D, here by the integral of the cardinal splines' curvature."""
    knots = Spline.learn(VALUES["uneven"], 8).knots
    cardinal = Spline(knots, np.eye(len(knots)))
    curved, weights = second_derivatives(cardinal)
    penalty = curved.T @ (weights[:, None] * curved)
    own = Spline.learn(VALUES["uneven"], 8).directions
    sandwich = penalty @ own @ own.T @ penalty
    np.testing.assert_allclose(sandwich / np.trace(sandwich), penalty / np.trace(penalty), rtol=0, atol=1e-9)


def test_it_is_the_cardinal_natural_spline_of_another_program(values: np.ndarray) -> None:
    """formulaic's `cr`, after mgcv's: values at the knots as coefficients."""
    spline = Spline.learn(values, 10)
    inside = np.linspace(spline.knots[0], spline.knots[-1], 101)
    cardinal = natural_cubic_spline(inside, knots=spline.knots[1:-1], lower_bound=spline.knots[0],
                                    upper_bound=spline.knots[-1])
    expected = np.column_stack(list(cardinal.values())) @ spline.directions
    np.testing.assert_allclose(spline.at(inside), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_straight_lines_are_left_to_the_linear_part(values: np.ndarray) -> None:
    """No feature holds a line: neither constant nor slope can be written in them."""
    spline = Spline.learn(values, 10)
    assert spline.size == len(spline.knots) - 2
    lines = np.column_stack([np.ones(len(spline.knots)), spline.knots])
    np.testing.assert_allclose(lines.T @ spline.directions, 0, atol=1e-6 * np.abs(spline.directions).max())
    assert np.linalg.matrix_rank(np.column_stack([lines, spline.directions])) == len(spline.knots)


def test_mean_square_over_the_training_rows_is_one(values: np.ndarray) -> None:
    assert (Spline.learn(values, 10).at(values) ** 2).sum(axis=1).mean() == pytest.approx(1, abs=1e-10)


def test_beyond_the_outer_knots_it_goes_on_along_a_straight_line(values: np.ndarray) -> None:
    spline = Spline.learn(values, 10)
    for edge, away in ((spline.knots[0], -1.0), (spline.knots[-1], 1.0)):
        at = spline.at(edge + away * np.array([0.0, 1.0, 2.0, 50.0]))
        np.testing.assert_allclose(at[2] - at[0], 2 * (at[1] - at[0]), rtol=1e-9, atol=1e-9 * np.abs(at).max())
        np.testing.assert_allclose(at[3] - at[0], 50 * (at[1] - at[0]), rtol=1e-9, atol=1e-9 * np.abs(at).max())


def test_value_and_slope_go_on_smoothly_at_the_edge() -> None:
    spline, step = Spline.learn(VALUES["even"], 6), 1e-6
    for edge in spline.knots[[0, -1]]:
        before, at, after = spline.at(edge + step * np.array([-1.0, 0.0, 1.0]))
        # The second derivative is zero at the edge, so that the two one-sided slopes differ by terms in step**2.
        np.testing.assert_allclose((after - at) / step, (at - before) / step, rtol=0, atol=1e-8)


def test_a_spline_has_no_more_knots_than_distinct_values() -> None:
    assert len(Spline.learn(VALUES["ties"], 10).knots) == 5
    assert len(Spline.learn(VALUES["even"], 7).knots) == 7


@pytest.mark.parametrize("values", [np.array([0.0, 1.0, 1.0]), np.array([0.0, 1e-300, 1.0]), np.ones(4)],
                         ids=["two", "two and a hair", "one"])
def test_fewer_than_three_distinct_values_do_not_wiggle(values: np.ndarray) -> None:
    spline = Spline.learn(values, 10)
    assert spline.size == 0 and spline.at(values).shape == (len(values), 0)


def test_values_a_hair_apart_stay_finite(values: np.ndarray) -> None:
    spline = Spline.learn(values, 50)
    assert np.isfinite(spline.at(np.linspace(values.min() - 1, values.max() + 1, 500))).all()


def test_more_knots_than_the_curve_needs_change_nothing() -> None:
    """A natural spline on few knots is one on more: the same curve has the same penalty."""
    few = Spline.learn(VALUES["even"], 5)
    more = Spline.learn(VALUES["even"], 9)
    assert set(np.round(few.knots, 12)) <= set(np.round(more.knots, 12))
    curve = few.at(more.knots)[:, 0]
    lines = np.column_stack([np.ones(9), more.knots])
    found = np.linalg.lstsq(np.column_stack([lines, more.directions]), curve)[0]
    grid = np.linspace(-2, 3, 50)
    np.testing.assert_allclose(np.column_stack([np.ones(50), grid]) @ found[:2] + more.at(grid) @ found[2:],
                               few.at(grid)[:, 0], atol=1e-10)


@pytest.mark.parametrize("others", [(), ("age",)])
def test_a_context_of_two_values_is_linear(others: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=20), "treated": np.arange(20) % 2, "age": rng.uniform(20, 60, 20)})
    spline = bp.Model("y ~ 1", bp.LinearVarying("treated", *others, basis="spline")).bind(frame)
    (term,) = spline.terms
    assert tuple(term.splines) == others
    linear = bp.Model("y ~ 1", bp.LinearVarying("treated", *others)).bind(frame)
    count = 1 + len(others)
    np.testing.assert_array_equal(spline.features[0].matrix[:, :count], linear.features[0].matrix)
    values = {each.name: np.ones(each.shape) for each in spline.parameters}
    assert term.scales(values, np)[0].shape[-2] == spline.features[0].matrix.shape[1]
