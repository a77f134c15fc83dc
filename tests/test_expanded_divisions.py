"""Divisions under families out of which cells do not integrate: by enumeration, with quadrature of each cell."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pace import cases
from partitions import Enumerated
from scipy.special import logsumexp
from test_tree_partition import trees

import bayes_personal as bp
from bayes_personal.densities.cell_likelihoods import CellLikelihoods, Hyper
from bayes_personal.densities.divided_left_out import DividedLeftOut
from bayes_personal.densities.expanded_divisions import CorrectedDraws, Division, ExpandedDivisions
from bayes_personal.samplers.expanding import at_point

CONTEXTS, DRAWS = 9, 4000
FAMILIES = {"poisson": bp.Poisson(), "poisson with exposure": bp.Poisson(exposure="m"), "bernoulli": bp.Bernoulli(),
            "binomial": bp.Binomial("m"), "negative binomial": bp.NegativeBinomial(), "student": bp.StudentT()}
# Nodes of the trapezoidal rule along each whitened coefficient.
GRID = np.linspace(-7, 7, 141)


def rows_of(name: str, seed: int = 3) -> pd.DataFrame:
    """Rows at contexts in no order, some at the same, with a level and a slope that change once."""
    rng = np.random.default_rng(seed)
    c = np.concatenate([np.arange(CONTEXTS), [2, 6, 6]]).astype(float)
    x, m = rng.normal(size=len(c)), rng.integers(1, 6, len(c))
    eta = np.where(c < 4, 0.4 + 0.8 * x, 1.6 - 0.5 * x)
    chance = 1 / (1 + np.exp(1 - eta))
    y = {"poisson": rng.poisson(np.exp(eta)), "poisson with exposure": rng.poisson(m * np.exp(eta)),
         "bernoulli": rng.binomial(1, chance), "binomial": rng.binomial(m, chance),
         "negative binomial": rng.negative_binomial(2, 2 / (2 + np.exp(eta))),
         "student": 3 * eta + 0.4 * rng.standard_t(3, size=len(c))}[name]
    if name == "student":
        y[7] += 12
    return pd.DataFrame({"y": y, "x": x, "c": c, "m": m}).sample(frac=1, random_state=1)


def by_quadrature(density: ExpandedDivisions, hyper: Hyper) -> Callable:
    """Of the trapezoidal rule over both coefficients: log density, mean and covariance of some rows."""
    bound = density.bound
    values = bound.family_values(density.values(POINT(density.size)[None]), axes=3)
    z = np.stack(np.meshgrid(GRID, GRID, indexing="ij"))
    theta = np.moveaxis(hyper.mean[:, None, None] + hyper.scale[:, None, None] * z, 0, -1)
    weight = -0.5 * (z**2).sum(axis=0) - np.log(2 * np.pi) + 2 * np.log(GRID[1] - GRID[0])
    x = density.likelihoods.x.T
    each = [bound.family.likelihood((theta @ own)[..., None, None], values, bound.constants[i : i + 1],
                                    np).log_density(bound.y[i : i + 1]).reshape(weight.shape)
            for i, own in enumerate(x)]

    def segment(inside: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        logs = weight + sum((each[i] for i in np.flatnonzero(inside)), np.zeros(weight.shape))
        total = logsumexp(logs)
        share = np.exp(logs - total)
        mean = np.einsum("ab,abk->k", share, theta)
        gap = theta - mean
        return float(total), mean, np.einsum("ab,abk,abl->kl", share, gap, gap)
    return segment


def POINT(size: int) -> np.ndarray:  # noqa: N802
    """A point of the hyperparameters that is not the one where cells were expanded."""
    return np.linspace(-0.3, 0.4, size)


@cache
def case(name: str) -> tuple[ExpandedDivisions, Enumerated, CorrectedDraws]:
    """The density, the enumeration and draws at one point."""
    model = bp.Model("y ~ x", bp.Partition("c", shortest=1), family=FAMILIES[name])
    bound = model.bind(rows_of(name))
    density = at_point(bound, np.zeros(sum(parameter.size for parameter in bound.hyperparameters)))
    _, hyper = density.hyper(POINT(density.size))
    assert bound.division is not None
    sums = bound.division.sums
    hazards = 1 - np.exp(sums.changes(hyper.last).log_stay)
    places = sums.cell(bound.features[0].matrix)
    enumerated = Enumerated(places, hazards, by_quadrature(density, hyper), 1)
    draws = density.each_corrected(np.tile(POINT(density.size), (DRAWS, 1)), np.random.default_rng(5))
    return density, enumerated, draws


@pytest.mark.parametrize("name", cases(FAMILIES, every_run=["poisson", "student"]))
def test_weighted_draws_are_those_of_all_partitions(name: str) -> None:
    density, enumerated, draws = case(name)
    log_prior, _ = density.hyper(POINT(density.size))
    weights = np.exp(draws.log_densities - log_prior - enumerated.log_evidence)
    assert weights.sum() ** 2 / (weights**2).sum() > 0.6 * DRAWS
    z = [(weights.mean() - 1) / (weights.std() / np.sqrt(DRAWS))]
    starts = np.zeros((DRAWS, CONTEXTS))
    theta = np.empty((DRAWS, CONTEXTS, 2))
    for k, ((division, _), own) in enumerate(zip(draws.drawn, draws.theta, strict=True)):
        starts[k, division] = 1
        theta[k] = np.repeat(own, np.diff(np.append(division, CONTEXTS)), axis=0)
    mean, covariance = enumerated.coefficients
    for found, exact in ((starts[:, 1:], enumerated.change_probability[1:]), (theta, mean),
                         ((theta - mean) ** 2, np.einsum("tkk->tk", covariance))):
        terms = weights.reshape(-1, *(1,) * (found.ndim - 1)) * (found - exact)
        z.extend((terms.mean(axis=0) / (terms.std(axis=0) / np.sqrt(DRAWS))).ravel())
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_is_that_of_the_value(name: str) -> None:
    density = case(name)[0]
    point = POINT(density.size)
    _, hyper = density.hyper(point)
    rng = np.random.default_rng(0)
    density = density.with_moments(density.eta_of(*density.draw(hyper, 20, rng)))
    value, gradient = density.log_density(point)
    steps = 1e-5 * np.eye(density.size)
    numeric = [(density.value(point + step) - density.value(point - step)) / 2e-5 for step in steps]
    assert value == pytest.approx(density.value(point), abs=1e-9)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


def test_an_expansion_touches_the_likelihood_of_its_cell() -> None:
    density = case("poisson")[0]
    of_cells, hyper = density.bound.once(CellLikelihoods), density.at
    _, x, y, n = of_cells.data
    rows = of_cells.listed.rows
    for cell in (0, 7, 20, 44):
        inside = slice(rows.start[cell], rows.stop[cell])
        mode = hyper.mean + hyper.scale * density.modes(hyper, np.array([cell]))[0]
        h, b, c = density.statistics[:3, cell], density.statistics[3:5, cell], density.statistics[5, cell]
        curve, offset = np.array([[h[0], h[1]], [h[1], h[2]]]), mode - hyper.mean
        eta = mode @ x[:, inside]
        likelihood = (y[inside] * eta - n[inside] * np.exp(eta)).sum()
        assert c + b @ offset - 0.5 * offset @ curve @ offset == pytest.approx(likelihood, abs=1e-3)
        score = x[:, inside] @ (y[inside] - n[inside] * np.exp(eta))
        np.testing.assert_allclose(b - curve @ offset, score, atol=0.02)


@pytest.mark.parametrize("name", cases(["poisson", "bernoulli", "student"], every_run=["poisson"]))
def test_rows_are_left_out_of_every_segment(name: str) -> None:
    density, enumerated, _ = case(name)
    segments = list(enumerated.whole)
    points = np.tile(POINT(density.size), (len(segments), 1))
    values = density.values(points)
    mean = values[density.parameters[0].name]
    divisions = [np.unique([0, s, *([e + 1] if e + 1 < CONTEXTS else [])]) for s, e in segments]
    drawn = [Division(each, np.zeros(len(each), int)) for each in divisions]
    values |= density.latent(drawn, [np.tile(mean[0], (len(each), 1)) for each in divisions], mean)
    found = DividedLeftOut(density.bound, values, len(segments)).all_rows.left_out
    for draw, (s, e) in enumerate(segments):
        for row in np.flatnonzero((enumerated.places >= s) & (enumerated.places <= e)):
            exact = enumerated.whole[s, e][0] - enumerated.of(s, e, int(row))[0]
            # Seven nodes along each coefficient.
            assert found[draw, row] == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("name", ["poisson", "bernoulli", "student"])
def test_rows_are_left_out_of_all_partitions(name: str) -> None:
    density, enumerated, draws = case(name)
    values = density.values(draws.points[:1])
    values |= density.latent(draws.drawn[:1], draws.theta[:1], values[density.parameters[0].name])
    found = DividedLeftOut(density.bound, values, 1).few(np.arange(12))[0]
    # Divisions have the probabilities of parabolas, each calibrated to a few hundredths.
    np.testing.assert_allclose(found, enumerated.left_out, atol=0.06)


def test_trees_are_weighted_to_the_sum_over_all_trees() -> None:
    frame = rows_of("poisson").assign(b=lambda frame: np.random.default_rng(4).uniform(size=len(frame))).iloc[:8]
    bound = bp.Model("y ~ x", bp.TreePartition("c", "b", depth=2), bp.Poisson()).bind(frame)
    density = at_point(bound, np.zeros(sum(parameter.size for parameter in bound.hyperparameters)))
    point = POINT(density.size)
    log_prior, hyper = density.hyper(point)
    leaf, piece = by_quadrature(density, hyper), bound.division
    assert piece is not None
    split = float(density.values(point[None])[piece.frequency][0])
    every = trees(piece.codes, 2, split)
    inside = [[np.isin(np.arange(8), rows) for rows in leaves] for _, leaves in every]
    logs = np.array([np.log(prior) + sum(leaf(mask)[0] for mask in masks)
                     for (prior, _), masks in zip(every, inside, strict=True)])
    mean = np.zeros((8, 2))
    for share, masks in zip(np.exp(logs - logsumexp(logs)), inside, strict=True):
        for mask in masks:
            mean[mask] += share * leaf(mask)[1]
    draws = density.each_corrected(np.tile(point, (DRAWS, 1)), np.random.default_rng(2))
    weights = np.exp(draws.log_densities - log_prior - logsumexp(logs))
    values = density.values(draws.points)
    values |= density.latent(draws.drawn, draws.theta, values[density.parameters[0].name])
    theta = values[density.parameters[0].name][:, None] + piece.deviation(values, bound.features[0].matrix, np)
    terms = np.concatenate([weights[:, None] - 1, (weights[:, None, None] * (theta - mean)).reshape(DRAWS, -1)], axis=1)
    assert np.abs(terms.mean(axis=0) / (terms.std(axis=0) / np.sqrt(DRAWS))).max() < 4
    assert weights.sum() ** 2 / (weights**2).sum() > 0.6 * DRAWS
