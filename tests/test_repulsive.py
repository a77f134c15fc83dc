"""Repulsive: archetypes keep apart by a density whose normaliser is exact, and context chooses by a learned metric."""

import json
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
from calibration import unsampled, z_scores
from conftest import explicit, width
from scipy import stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.hyperpriors.determinantal import LONGEST, MOST, STRONGEST, Determinantal
from bayes_personal.model.program import program
from bayes_personal.model.specification import decode, encode


def some(bound: BoundModel, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {each.name: each.value(rng.normal(0, 0.7, each.size))
            for each in (*bound.parameters, *([bound.mean] if bound.mean else []))}


def root_mean_square(points: np.ndarray) -> np.ndarray:
    """Distances between points (..., point, coordinate), (..., pair)."""
    one, other = np.triu_indices(points.shape[-2], 1)
    return np.sqrt(((points[..., one, :] - points[..., other, :]) ** 2).mean(axis=-1))


@pytest.mark.parametrize("strength", [0.5, STRONGEST])
@pytest.mark.parametrize(("count", "dimensions", "length"), [
    (2, 1, 1.0), (3, 3, 0.6), (4, 2, 0.3), (4, 10, 0.8), (6, 3, 0.6), (8, 5, 0.4)])
def test_the_normaliser_is_the_expected_determinant(count: int, dimensions: int, length: float,
                                                    strength: float) -> None:
    points = np.random.default_rng(1).normal(size=(40_000, count, dimensions))
    # The kernel point by point, as it is written in the docstring.
    square = ((points[:, :, None, :] - points[:, None, :, :]) ** 2).sum(axis=-1)
    matrix = strength * np.exp(-square / (2 * dimensions * length**2))
    matrix[:, range(count), range(count)] = 1
    found = np.linalg.det(matrix)
    repelled = Determinantal(("length",), count, dimensions, strength)
    expected = np.exp(repelled.log_normaliser(np.array(length), np))
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(len(found))
    np.testing.assert_allclose(repelled.log_determinant(points[:100], np.array(length), np), np.log(found[:100]),
                               rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dimensions", [1, 3, 30])
@pytest.mark.parametrize("count", [5, MOST])
def test_the_normaliser_keeps_its_digits_at_the_ends_of_its_ranges(count: int, dimensions: int) -> None:
    """Against rings of Gaussian integrals, summed with more digits: their terms alternate in sign."""
    for length in (1e-3, LONGEST):
        rings, found = [np.longdouble(1)], [np.longdouble(1)]
        for m in range(2, count + 1):
            bent = 1 + (2 - 2 * np.cos(2 * np.pi * np.arange(m) / m)) / (dimensions * np.longdouble(length) ** 2)
            rings.append(np.longdouble(STRONGEST) ** m * bent.prod() ** (-np.longdouble(dimensions) / 2))
        for k in range(1, count + 1):
            found.append(sum((-1) ** m * rings[m] * found[k - m - 1] for m in range(k)) / k)
        expected = np.log(found[-1]) + np.log(np.arange(1, count + 1)).sum()
        exact = Determinantal(("length",), count, dimensions, STRONGEST).log_normaliser(np.array(length), np)
        assert abs(float(exact - expected)) < 1e-7


@pytest.mark.parametrize("dimensions", [1, 2, 7, 40])
def test_a_length_means_the_same_in_every_dimension_and_stops_at_its_bound(dimensions: int) -> None:
    """Two points at a distance of so much a coordinate are so much less dense, whatever the number of coordinates."""
    repelled = Determinantal(("length",), 2, dimensions, 0.8)
    points = np.stack([np.zeros(dimensions), np.full(dimensions, 0.9)])
    found = repelled.log_determinant(points, np.array(0.6), np)
    np.testing.assert_allclose(found, np.log(1 - 0.8**2 * np.exp(-(0.9**2) / 0.6**2)), rtol=1e-12)
    longest, beyond = (repelled.log_ratio(points, (np.array(length),), np) for length in (LONGEST, 7.0))
    assert longest == beyond != repelled.log_ratio(points, (np.array(0.9),), np)


@pytest.mark.parametrize(("count", "dimensions", "length"), [(4, 2, 0.6), (3, 1, 1.0)])
def test_draws_are_those_of_the_density(count: int, dimensions: int, length: float) -> None:
    """Against independent points, weighted by the density's ratio to theirs."""
    rng = np.random.default_rng(2)
    repelled = Determinantal(("length",), count, dimensions, STRONGEST)
    drawn = np.stack([repelled.draw(rng, (np.array(length),), lambda tried: rng.normal(size=(tried, count, dimensions)))
                      for _ in range(4000)])
    points = rng.normal(size=(100_000, count, dimensions))
    weight = np.exp(repelled.log_ratio(points, (np.array(length),), np))
    for statistic in (lambda a: root_mean_square(a).min(axis=-1), lambda a: root_mean_square(a).max(axis=-1),
                      lambda a: a[:, 0, 0] ** 2, lambda a: a[:, 0, 0] * a[:, 1, 0]):
        expected = (weight * statistic(points)).mean() / weight.mean()
        error = (weight * (statistic(points) - expected)).std() / np.sqrt(len(points)) / weight.mean()
        found = statistic(drawn)
        assert abs(found.mean() - expected) < 4 * np.hypot(error, found.std() / np.sqrt(len(found)))


def test_simulate_and_the_program_draw_alike(frame: pd.DataFrame) -> None:
    model, rows, count = bp.Model("y ~ dose", bp.Repulsive("age", "sex", archetypes=3)), frame.iloc[::4], 400
    bound = model.bind(rows)
    names = [*(each.name for each in bound.parameters), "repulsive_age_sex_separation", "repulsive_age_sex_share"]
    with program(bound):
        forward = pm.sample_prior_predictive(count, var_names=[*names, "y"], random_seed=1,
                                             compile_kwargs={"mode": "FAST_COMPILE"})
    made = [bp.simulate(model, rows, seed=seed) for seed in range(count)]
    pairs = {name: (forward["prior"][name].to_numpy()[0], np.array([one.values[name] for one in made]))
             for name in names}
    pairs["y"] = forward["prior_predictive"]["y"].to_numpy()[0], np.array([one.outcome for one in made])
    for name, (one, other) in pairs.items():
        centre, spread = np.median(one, axis=0), one.std(axis=0)
        for moment in (np.tanh, lambda u: np.tanh(u) ** 2):
            z = z_scores(moment((one - centre) / spread), moment((other - centre) / spread))
            assert (np.abs(z) < 4.5).all(), f"{name}: {np.abs(z).max():.1f}"


def test_archetypes_keep_apart_the_more_the_stronger_they_repel(frame: pd.DataFrame) -> None:
    found = {}
    for strength in (0.0, 0.5, STRONGEST):
        (field,) = bp.Model("y ~ dose", bp.Repulsive("age", strength=strength)).bind(frame).nonlinear
        parameters, rng, made = field.parameters(), np.random.default_rng(4), []
        for _ in range(4000):
            values: dict[str, Any] = {}
            for each in parameters:
                values[each.name] = each.draw(rng, values)
            made.append(root_mean_square(values["repulsive_age_component"]).min())
        found[strength] = np.array(made)
    # Of independent ones a quarter have two archetypes this close; of repelled ones fewer.
    close = np.quantile(found[0.0], 0.25)
    for weaker, stronger in ((0.0, 0.5), (0.5, STRONGEST)):
        assert z_scores(found[stronger], found[weaker]) > 4
        assert z_scores(1.0 * (found[weaker] < close), 1.0 * (found[stronger] < close)) > 4


@pytest.mark.parametrize("strength", [0.0, 1e-9])
def test_without_repulsion_it_is_the_gated_mixture(frame: pd.DataFrame, strength: float) -> None:
    """The density of archetypes, gate and outcome given mean, scale and metric is that of `Mixture`."""
    level, spread = 1.7, 2.3
    repelled = bp.Model("y ~ dose", bp.Repulsive("age", "sex", archetypes=3, strength=strength)).bind(frame)
    mean = bp.Hyperprior("Normal", mu=level, sigma=spread)
    mixed = bp.Model("y ~ dose", bp.Mixture(3, gate=["age", "sex"], mean=mean)).bind(frame)
    assert ("repulsive_age_sex_length" in {each.name for each in repelled.parameters}) == (strength > 0)
    values = some(repelled) | {"mu_centered": np.full(2, level), "repulsive_age_sex_scale": np.full(2, spread),
                               "repulsive_age_sex_metric": np.full(2, 2.5)}
    own = {"mixture_age_sex_component": spread * values["repulsive_age_sex_component"], "sigma": values["sigma"],
           "mixture_age_sex_level_gate": values["repulsive_age_sex_level_gate"],
           "mixture_age_sex_slope_gate": 2.5 * values["repulsive_age_sex_slope_gate"]}
    conditional = []
    for bound, given in ((repelled, values), (mixed, own)):
        total = bound.log_likelihood(bound.y, bound.eta(given, np), {"sigma": given["sigma"]}, bound.constants,
                                     bound.branches(given, bound.features, bound.x, np)).sum()
        for each in bound.parameters:
            if each.name.endswith(("component", "gate")):
                total += stats.norm.logpdf(given[each.name], each.arguments["mu"], each.arguments["sigma"]).sum()
                if each.joint is not None:
                    total += each.joint.log_ratio(given[each.name], (given["repulsive_age_sex_length"],), np)
        conditional.append(total)
    # The two count archetypes and slopes in other units.
    jacobian = 3 * 2 * np.log(spread) + 3 * 3 * np.log(2.5)
    np.testing.assert_allclose(conditional[0] - jacobian, conditional[1], rtol=0, atol=1e-8)


def test_one_archetype_is_population(frame: pd.DataFrame) -> None:
    alone, plain = (bp.Model("y ~ dose", prior).bind(frame)
                    for prior in (bp.Repulsive("age", archetypes=1), bp.Population()))
    one, other = GaussianDensity(alone), GaussianDensity(plain)
    for point in np.random.default_rng(0).normal(size=(3, one.size)):
        assert one.log_density(point)[0] == other.log_density(point)[0]
    posterior = bp.fit(bp.Model("y ~ dose", bp.Repulsive("age", archetypes=1)), frame, seed=1, progress=False)
    assert np.ptp(posterior.theta.to_numpy(), axis=2).max() == 0
    assert "theta_i = mu\n" in repr(posterior.model)


def test_log_odds_vary_as_the_metric_says(frame: pd.DataFrame) -> None:
    """The variance of g_k(c) - g_k(c') is D(c, c')^2, the sum of metric^2 times squared differences."""
    bound = bp.Model("y ~ dose", bp.Repulsive("age", "sex", archetypes=2)).bind(frame)
    (field,), rng, count = bound.nonlinear, np.random.default_rng(1), 4000
    values = {each.name: np.array([each.draw(rng, {"repulsive_age_sex_length": np.array(0.5)}) for _ in range(count)])
              for each in field.parameters()}
    values["repulsive_age_sex_metric"] = np.broadcast_to([0.4, 1.3], (count, 2))
    c = field.at(frame).matrix
    gate = field.log_gate(values, c, np)
    # The log odds of one archetype against the other: a difference of two independent g.
    odds = gate[..., 0] - gate[..., 1]
    for i, j in ((0, 1), (2, 30), (5, 17)):
        distance = 0.4**2 * (c[i, 0] - c[j, 0]) ** 2 + 1.3**2 * ((c[i, 1:] - c[j, 1:]) ** 2).sum()
        found = (odds[:, i] - odds[:, j]) ** 2
        assert abs(found.mean() - 2 * distance) < 4 * found.std() / np.sqrt(count)


def test_what_is_reported_needs_no_names(frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.Repulsive("age", archetypes=3)), frame, draws=20)
    (field,), draws = posterior.bound.nonlinear, posterior.tree["posterior"]
    values = {each.name: draws[each.name].to_numpy()[1, 7] for each in field.parameters()}
    order = np.array([2, 0, 1])
    moved = {name: value[order] if name.endswith(("component", "gate")) else value for name, value in values.items()}
    share = np.exp(field.log_gate(values, np.zeros((1, 1)), np))[0]
    each = field.deviation(values, None, np)[0]
    expected = {"share": np.sort(share)[::-1], "separation": root_mean_square(values["repulsive_age_component"]).min(),
                "spread": np.sqrt(np.cov(each.T, aweights=share, ddof=0).diagonal())}
    for name, value in expected.items():
        for found in (field.reported(values, np), field.reported(moved, np)):
            np.testing.assert_allclose(found[f"repulsive_age_{name}"], value, rtol=1e-9)
        np.testing.assert_allclose(draws[f"repulsive_age_{name}"][1, 7], value, rtol=1e-9)


def test_units_do_not_matter(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.Repulsive("age", archetypes=3))
    other = frame.assign(y=1e6 * frame["y"] + 7, dose=1e-3 * frame["dose"] - 2, age=365 * frame["age"])
    before, after = model.bind(frame), model.bind(other)
    plain, moved = explicit(before), explicit(after)
    for u in np.random.default_rng(10).normal(0, 0.7, (5, width(before))):
        np.testing.assert_allclose(moved(u) + len(frame) * np.log(1e6), plain(u), rtol=1e-8)


def test_a_model_is_written_and_read() -> None:
    for prior in (bp.Repulsive("age"), bp.Repulsive("age", "sex", archetypes=2, strength=0.5, on=["dose"])):
        assert decode(json.loads(json.dumps(encode(prior)))) == prior
        assert eval(repr(prior), {"Repulsive": bp.Repulsive}) == prior


def test_a_smooth_part_adds(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.Repulsive("age", on="dose") + bp.GaussianProcess("age"))
    made = bp.simulate(model, frame, seed=1)
    bound = model.bind(made.frame)
    values = {name: np.asarray(value) for name, value in made.values.items()}
    archetypes, smooth = bound.nonlinear[0], bound.terms[0]
    jumps = archetypes.deviation(values, bound.features[1].matrix, np)[0, :, 0]
    base = values["mu"] + bound.features[0].times(values[f"{smooth.name}_effect"], np)
    rest = made.theta.to_numpy() - base
    # What is left is one of the archetypes: in the slope, and in the intercept by way of the predictors' means.
    nearest = np.abs(rest[:, 1, None] - jumps).argmin(axis=1)
    np.testing.assert_allclose(rest[:, 1], jumps[nearest], rtol=1e-9)
    np.testing.assert_allclose(rest[:, 0], 0, atol=1e-9)
    assert len(set(nearest)) > 1
    posterior = unsampled(model, made.frame, draws=20)
    assert np.isfinite(bp.log_likelihood(posterior, progress=False)["y_left_out"]).all()


def test_what_is_refused(frame: pd.DataFrame) -> None:
    for make, words in ((lambda: bp.Repulsive("age", archetypes=9), "archetypes=9 are too many"),
                        (lambda: bp.Repulsive("age", archetypes=0), "archetypes=0 must be a whole number, 1 or more"),
                        (lambda: bp.Repulsive("age", strength=1.0), "strength=1.0 must be a number from 0"),
                        (lambda: bp.Repulsive("age", strength=float("nan")), "strength=nan"),
                        (lambda: bp.Repulsive("age", length=bp.Hyperprior("Normal", sigma=1)), "length=.* be negative"),
                        (lambda: bp.Repulsive("age", metric=2.0), "metric=2.0 must be a hyperprior"),
                        (lambda: bp.Model("y ~ dose", bp.Repulsive()).bind(frame), "at least one context"),
                        (lambda: bp.Model("y ~ dose", bp.Repulsive("age", on="weight")).bind(frame), "no coefficient"),
                        (lambda: bp.Model("y ~ dose", bp.Repulsive("age") + bp.Mixture(2)).bind(frame),
                         "only one summand")):
        with pytest.raises(SpecificationError, match=words):
            make()
    for count in (1, 4):
        with pytest.raises(InputError, match="nothing can vary"):
            bp.Model("y ~ dose", bp.Repulsive("age", archetypes=count)).bind(frame.assign(age=50.0))


def regimes(seed: int, rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    """Three regimes along a context; the middle one is narrow, and its coefficients have the opposite signs."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(-1, 1, rows), rng.normal(size=(rows, 2))
    theta = np.array([[0.5, 1.2, -0.8], [-0.5, -1.2, 0.8], [1.0, 0.6, -1.4]])[np.digitize(c, [-0.2, 0.2])]
    y = theta[:, 0] + (theta[:, 1:] * x).sum(axis=1) + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"y": y, "a": x[:, 0], "b": x[:, 1], "c": c}), theta


@pytest.mark.slow
def test_adjacent_opposite_regimes_are_found() -> None:
    rows, theta = regimes(2)
    errors = {}
    for prior, method in ((bp.Repulsive("c"), bp.NUTS(draws=200, tune=300, chains=2, target_accept=0.95)),
                          (bp.GaussianProcess("c"), bp.Laplace())):
        posterior = bp.fit(bp.Model("y ~ a + b", prior), rows, seed=1, progress=False, method=method)
        # Archetypes have no names: whether chains agree shows in theta.
        if isinstance(method, bp.NUTS):
            assert float(az.rhat(posterior.theta.to_dataset())["theta"].max()) < 1.05
        found = posterior.theta.mean(("chain", "draw")).to_numpy()
        errors[prior] = np.sqrt(np.mean((found - theta) ** 2))
    repelled, smooth = errors.values()
    assert repelled < 0.75 * smooth, errors
