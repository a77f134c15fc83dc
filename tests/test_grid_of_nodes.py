"""Likelihoods on a grid of nodes are those node by node, and a finer rule may be a polynomial."""

import numba
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayes_personal as bp
from bayes_personal.densities.linearised.corrected import Corrected
from bayes_personal.densities.linearised.eliminated import nodes
from bayes_personal.densities.linearised.remainder import FARTHEST, Remainder, draws_for
from bayes_personal.kernels.codes import Bernoulli, Binomial, Code, NegativeBinomial, Poisson, StudentT
from bayes_personal.kernels.compiling import OPTIONS
from bayes_personal.kernels.grid_of_nodes import add_on_grid, order_of, set_inverse, set_node
from bayes_personal.kernels.group_integrals import LANES, ROWS, add_rows
from bayes_personal.samplers import corrected
from bayes_personal.samplers.joint_proposals import proposals
from bayes_personal.samplers.linearising import linearised

CODES = [Bernoulli, Binomial, Poisson, NegativeBinomial, StudentT]


@numba.njit(**OPTIONS)
def both(code, own, y, n, e, c, rows, z, h, nodes):
    """Log likelihoods at all nodes by either way, (node, lane) each, and whether the grid could be taken."""
    inverse, node = np.empty(h.shape), np.empty(z.shape)
    set_inverse(h, inverse)
    by_grid, by_node = np.zeros((nodes.shape[1], z.shape[1])), np.zeros((nodes.shape[1], z.shape[1]))
    fine = add_on_grid(code, own, y, n, e, c, 0, rows, z, inverse, nodes, by_grid)
    size = ROWS * z.shape[1]
    eta, out, factor, product = np.empty((1, size)), np.empty(size), np.empty(size), np.empty(z.shape[1])
    for j in range(nodes.shape[1]):
        set_node(nodes, j, z, inverse, node)
        add_rows(code, own, y, n, e, c, 0, rows, node, eta, out, factor, product, by_node[j])
    return fine, by_grid, by_node


def tile(code: type[Code], varying: int, rows: int, reach: float, order: int) -> tuple:
    """Some groups side by side, of which some rows are empty."""
    rng = np.random.default_rng(10 * CODES.index(code) + varying)
    n = np.where(rng.random((rows, LANES)) < 0.8, 1.0, 0.0)
    y = np.where(n > 0, {Bernoulli: rng.random(n.shape) < 0.5, StudentT: 5 * rng.normal(size=n.shape)}.get(
        code, rng.integers(0, 9, n.shape)), 0.0)
    n = n * (9.0 if code is Binomial else 1.0)
    h = np.zeros((varying, varying, LANES))
    for k in range(varying):
        h[k, : k + 1] = 0.3 * rng.normal(size=(k + 1, LANES))
        h[k, k] = rng.uniform(1, 3, LANES)
    c = reach * rng.normal(size=(varying, 1, rows, LANES)) * (n > 0)
    return (code(), np.array([2.5, 1.5]), y.ravel(), n.ravel(), rng.normal(size=(1, rows, LANES)), c, rows,
            rng.normal(size=(varying, LANES)), h, nodes(order, varying)[0])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("varying", [1, 2, 3])
@pytest.mark.parametrize(("rows", "reach"), [(1, 0.5), (20, 0.5), (1100, 0.5), (40, 12.0)])
def test_the_grid_gives_what_its_nodes_give(code: type[Code], varying: int, rows: int, reach: float) -> None:
    # From some rows or some distance on, factors are folded before the last row.
    fine, by_grid, by_node = both(*tile(code, varying, rows, reach, 4))
    assert fine
    assert_allclose(by_grid, by_node, rtol=1e-11, atol=1e-9 * np.sqrt(rows))


def test_the_unit_of_a_measured_outcome_does_not_matter() -> None:
    fine, by_grid, by_node = both(*tile(StudentT, 2, 40, 1e6, 4))
    assert fine
    assert_allclose(by_grid, by_node, rtol=1e-11)


def test_nodes_that_are_too_far_are_left_to_the_slow_way() -> None:
    for distance in (1e3, np.inf, np.nan):
        arguments = list(tile(Poisson, 2, 5, 0.5, 4))
        arguments[5][1, 0, 3, 7] = distance
        fine, by_grid, _ = both(*arguments)
        assert not fine and not by_grid.any()


@pytest.mark.parametrize(("order", "size"), [(1, 1), (4, 1), (1, 2), (4, 2), (3, 4)])
def test_the_order_of_a_grid_is_read_off_its_nodes(order: int, size: int) -> None:
    assert order_of.py_func(nodes(order, size)[0]) == order


def test_a_quadratic_is_found_and_ends_far_out() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.normal(3, 0.1, 80), rng.normal(size=80), np.full(80, 2.0)])

    def function(at: np.ndarray) -> np.ndarray:
        return 1 + 7 * at[:, 0] ** 2 - at[:, 0] * at[:, 1] + 0.2 * at[:, 1]

    remainder = Remainder.fitted(11, points[:60], function(points[:60]))
    assert_allclose(remainder.at(points[60:]), function(points[60:]), rtol=1e-9)
    centre, scale = points[:60].mean(axis=0), points[:60].std(axis=0)
    assert_allclose(remainder.at((centre + 1e3 * scale)[None]), remainder.at((centre + FARTHEST * scale)[None]))


def test_a_polynomial_stands_for_a_finer_rule_over_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    g, x = np.arange(6000) % 600, rng.normal(size=6000)
    eta = 0.8 * rng.normal(size=600)[g] + (0.5 + 0.5 * rng.normal(size=600)[g]) * x
    data = pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "g": [f"g{each}" for each in g]})
    bound = bp.Model("y ~ x", bp.PartialPooling("g"), bp.Bernoulli()).bind(data)
    density, _ = linearised(bound, np.random.default_rng(5))
    target = Corrected(density, 3)
    proposal = proposals(density, np.random.default_rng(6))
    points = proposal.draw(512, np.random.default_rng(7))
    settled = corrected.settled(target, points, proposal.log_density(points), np.random.default_rng(8))
    assert settled.target.order == 3 and settled.target.remainder is not None
    assert settled.rule_error <= corrected.SETTLED
    drawn = settled.weighted.resample(40, np.random.default_rng(9))
    exact = Corrected(density, 11).each_value(drawn)
    gap = settled.target.each_value(drawn) - exact
    assert gap.std() < 1.5 * corrected.SETTLED
    coarse = target.each_value(drawn) - exact
    assert coarse.std() > 3 * gap.std()
    # Where no polynomial is near enough, the finer rule is taken at all draws.
    monkeypatch.setattr(corrected, "HALF_SETTLED", 0.0)
    settled = corrected.settled(target, points, proposal.log_density(points), np.random.default_rng(8))
    assert settled.target.order > 3 and settled.target.remainder is None
    assert settled.rule_error <= corrected.SETTLED
    assert draws_for(2) == 24
