"""ADVI against posteriors that are known exactly: a Gaussian fit to a Gaussian posterior has a closed form."""

from itertools import count

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from pytensor.compile.sharedvalue import shared
from scipy.stats import multivariate_normal

import bayes_personal as bp
from bayes_personal.errors import SpecificationError
from bayes_personal.model.program import program
from bayes_personal.posterior.diagnostics import UNCALIBRATED
from bayes_personal.samplers.advi import ADVI, NARROW, _falls, _pareto_k, _start, _values

# Distance to the optimum that a stopped optimiser may keep, in posterior standard deviations and in nats.
STOPPED, NATS = 0.1, 0.03
RATIOS = 4510

SLEEP = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
SHORT = ADVI(max_iterations=500)


@pytest.fixture(scope="module")
def regression() -> tuple[bp.Model, pd.DataFrame]:
    """An intercept and a slope whose predictor is left uncentred, with known errors."""
    rng = np.random.default_rng(5)
    x = rng.uniform(1, 4, 40)
    frame = pd.DataFrame({"one": 1.0, "x": x, "se": 0.5, "y": 2 - x + 0.5 * rng.normal(size=40)})
    return bp.Model("y ~ 0 + one + x", family=bp.Normal(sd="se")), frame


@pytest.fixture(scope="module")
def exact(regression: tuple[bp.Model, pd.DataFrame]) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and precision of the regression's posterior, and its log evidence."""
    model, frame = regression
    bound = model.bind(frame)
    assert bound.mean is not None and bound.mean.name == "mu"
    prior = np.broadcast_to(bound.mean.arguments["sigma"], 2)
    location = np.broadcast_to(bound.mean.arguments["mu"], 2)
    x, error = bound.x, frame["se"].to_numpy()
    precision = np.diag(prior**-2.0) + (x.T / error**2) @ x
    mean = np.linalg.solve(precision, location / prior**2 + (x.T / error**2) @ bound.y)
    evidence = multivariate_normal(x @ location, (x * prior**2) @ x.T + np.diag(error**2)).logpdf(bound.y)
    return mean, precision, float(evidence)


@pytest.fixture(scope="module", params=["mean-field", "full-rank"])
def fitted(request: pytest.FixtureRequest, regression: tuple[bp.Model, pd.DataFrame]) -> tuple[str, bp.Posterior]:
    method = ADVI(request.param, draws=4000)
    return request.param, bp.fit(*regression, seed=1, method=method, progress=False)


@pytest.fixture(scope="module")
def short() -> bp.Posterior:
    return bp.fit(SLEEP, bp.load_dataset("sleepstudy"), seed=1, method=SHORT, progress=False)


def test_gaussian_posterior(fitted: tuple[str, bp.Posterior], exact: tuple[np.ndarray, np.ndarray, float]) -> None:
    """Full rank is the posterior; mean-field has its mean, and one over its precisions as variances."""
    kind, posterior = fitted
    mean, precision, _ = exact
    covariance = np.linalg.inv(precision) if kind == "full-rank" else np.diag(1 / np.diag(precision))
    draws = posterior.tree["posterior"]["mu"].to_numpy()[0]
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(axis=0) - mean) / sd < STOPPED + 4 / np.sqrt(4000)).all()
    assert (np.abs(draws.std(axis=0) / sd - 1) < STOPPED + 4 / np.sqrt(8000)).all()
    correlation = covariance[0, 1] / sd.prod()
    error = (1 - correlation**2) * 4 / np.sqrt(4000)
    assert abs(np.corrcoef(draws.T)[0, 1] - correlation) < error + STOPPED * (1 - correlation**2)


def test_evidence_lower_bound(fitted: tuple[str, bp.Posterior],
                              exact: tuple[np.ndarray, np.ndarray, float]) -> None:
    """The bound lies below the log evidence by the divergence of the fit, which is nothing at full rank."""
    kind, posterior = fitted
    _, precision, evidence = exact
    divergence = 0.0
    if kind == "mean-field":
        divergence = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
        assert divergence > 0.5
    # The log ratio of two Gaussians with correlation r between has variance r^2 where one is the mean-field fit.
    error = 4 / np.sqrt(RATIOS) if kind == "mean-field" else 0.01
    assert abs(posterior.tree["variational"].attrs["elbo"] - (evidence - divergence)) < error + NATS


def test_pareto_k_tells_the_better_fit(fitted: tuple[str, bp.Posterior],
                                       exact: tuple[np.ndarray, np.ndarray, float]) -> None:
    """Mean-field under a correlation r has k = |r|: along the longest axis q has 1 - |r| of the variance of p."""
    kind, posterior = fitted
    found = posterior.diagnostics.variational
    assert found is not None and found.converged
    calibration = UNCALIBRATED
    if kind == "full-rank":
        assert found.pareto_k < 0.7 and posterior.complaints == (calibration,)
    else:
        covariance = np.linalg.inv(exact[1])
        correlation = abs(covariance[0, 1]) / np.sqrt(np.diag(covariance).prod())
        tail = 3 * np.sqrt(RATIOS)
        assert correlation > 0.9 and abs(found.pareto_k - correlation) < 4 * (1 + correlation) / np.sqrt(tail)
        assert posterior.complaints[0] == calibration
    assert calibration in repr(posterior)


def test_pareto_k_of_a_known_tail() -> None:
    """Ratios U^-k have shape k; their inverses are bounded."""
    log_ratios = np.random.default_rng(1).exponential(0.8, 100_000)
    assert abs(_pareto_k(-log_ratios) - 0.8) < 4 * 1.8 / np.sqrt(3 * np.sqrt(100_000))
    assert _pareto_k(log_ratios) < 0


def test_loss_falls(fitted: tuple[str, bp.Posterior]) -> None:
    loss = fitted[1].tree["variational"]["loss"].to_numpy()
    assert loss.shape == (fitted[1].tree["variational"].attrs["iterations"],)
    assert loss[:100].mean() > loss[-1000:].mean() + 10 and np.isfinite(loss).all()


def test_population_agrees_with_nuts() -> None:
    """Where the posterior is nearly Gaussian on the sampler's scale, the means are those of the posterior."""
    model, frame = bp.Model("reaction ~ days"), bp.load_dataset("sleepstudy")
    fitted = bp.fit(model, frame, seed=1, method=ADVI(tolerance=0.05), progress=False)
    sampled = bp.fit(model, frame, seed=1, method=bp.NUTS(chains=2), progress=False)
    assert not sampled.complaints and fitted.diagnostics.variational.converged
    error = 4 * np.sqrt(1 / 1000 + 1 / sampled.diagnostics.ess_bulk.value)
    for name in ("mu", "sigma"):
        found, truth = (each.tree["posterior"][name] for each in (fitted, sampled))
        distance = abs(found.mean(("chain", "draw")) - truth.mean(("chain", "draw"))) / truth.std(("chain", "draw"))
        assert (distance < STOPPED + error).all(), (name, distance)


def test_same_tree_as_nuts(short: bp.Posterior) -> None:
    nuts = bp.fit(SLEEP, short.bound.frame, seed=1, method=bp.NUTS(draws=10, tune=10, chains=1), progress=False)
    found, expected = short.tree["posterior"].to_dataset(), nuts.tree["posterior"].to_dataset()
    assert set(found.data_vars) == set(expected.data_vars)
    for name in expected.data_vars:
        assert found[name].dims == expected[name].dims, name
        assert found[name].isel(draw=0).shape == expected[name].isel(draw=0).shape, name
    labels = found["subject_effect"].isel(draw=0, drop=True).coords
    xr.testing.assert_equal(labels.to_dataset(), expected["subject_effect"].isel(draw=0, drop=True).coords.to_dataset())
    assert found.attrs["inference_library"] == "pymc" and found.attrs["method"] == "ADVI"
    assert found.sizes["chain"] == 1 and found.sizes["draw"] == 1000
    assert np.isfinite(short.theta.to_numpy()).all()


def test_cut_short(short: bp.Posterior) -> None:
    attributes = short.tree["variational"].attrs
    assert attributes["iterations"] == 500 and not attributes["converged"]
    assert np.isfinite(attributes["pareto_k"])
    assert any("did not converge in 500 iterations" in words for words in short.complaints)


def test_the_seed_decides(short: bp.Posterior) -> None:
    frame = short.bound.frame
    again, other = (bp.fit(SLEEP, frame, seed=seed, method=SHORT, progress=False) for seed in (1, 2))
    first, second, third = (each.tree["posterior"]["sigma"].to_numpy() for each in (short, again, other))
    # Compiled code from a cache may differ in the last digit.
    np.testing.assert_allclose(first, second, rtol=1e-8)
    assert not np.isclose(first, third).any()
    losses, again_losses, other_losses = (each.tree["variational"]["loss"].to_numpy() for each in (short, again, other))
    np.testing.assert_allclose(losses, again_losses, rtol=1e-8)
    assert not np.isclose(losses, other_losses).all()


def test_a_loss_that_is_not_finite(regression: tuple[bp.Model, pd.DataFrame]) -> None:
    with pytest.raises(SpecificationError, match="Lower learning_rate"):
        bp.fit(*regression, seed=1, method=ADVI(learning_rate=1e200), progress=False)


def test_few_losses_prove_no_level() -> None:
    losses = np.random.default_rng(1).normal(size=(2, 20_000))
    assert _falls(*losses[:, :200], 0.02) and not _falls(*losses, 0.02)
    assert _falls(losses[0] + 0.2, losses[1], 0.02) and not _falls(losses[0] - 0.2, losses[1], 0.02)


def test_a_slow_drift_is_not_mistaken_for_a_level() -> None:
    """The loss falls by 3 standard deviations of its noise with a time constant of 10 first blocks."""
    rng, steps = np.random.default_rng(1), count()
    losses, settled = ADVI()._settle(lambda: 3 * np.exp(-next(steps) / 20_000) + rng.normal(), [], 2000, 0,
                                     lambda done: None)
    assert settled and 3 * np.exp(-len(losses) / 20_000) < 0.1


def test_the_fit_is_the_average_of_the_last_iterates() -> None:
    rng, steps, parameter = np.random.default_rng(1), count(), shared(np.zeros(2))

    def step() -> float:
        parameter.set_value(np.array([2.0, -1.0]) + (-1) ** next(steps))
        return rng.normal()

    losses, settled = ADVI()._settle(step, [parameter], 2000, 0, lambda done: None)
    assert settled and len(losses) < 100_000
    np.testing.assert_allclose(parameter.get_value(), [2.0, -1.0], atol=1e-12)


def test_the_fit_is_judged_at_rest() -> None:
    """log q - log p is that of the fit: the optimiser does not move while it is drawn."""
    rng, rate, rates = np.random.default_rng(1), shared(1.0), []

    def step() -> float:
        rates.append(float(rate.get_value()))
        return rng.normal()

    losses, ratios, converged = ADVI()._optimise(step, rate, [shared(np.zeros(2))], False)
    assert converged and set(rates[-len(ratios):]) == {0.0} and rates[-len(ratios) - 1] > 0
    # The second stage has a quarter of the first one's rate, and converges where it is no better.
    assert sum(each > 0 for each in rates) == len(losses)
    assert set(rates) == {0.0, ADVI().learning_rate, ADVI().learning_rate / 4}


@pytest.mark.parametrize("arguments", [
    {"covariance": "diagonal"}, {"draws": 3}, {"max_iterations": 0}, {"tolerance": 0.0}, {"tolerance": 0.5},
    {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"batch": 0}])
def test_bad_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(SpecificationError, match=next(iter(arguments))):
        ADVI(**arguments)


@pytest.mark.parametrize("model", [
    bp.Model("y ~ dose", bp.PartialPooling("site") + bp.GaussianProcess("age"), bp.Normal(sd="se")),
    bp.Model("y ~ dose", bp.Mixture(2, gate="age"))], ids=lambda model: repr(model.prior))
def test_the_likelihood_of_a_batch_stands_for_that_of_all_rows(frame: pd.DataFrame, model: bp.Model) -> None:
    """On average over batches, at one point."""
    bound = model.bind(frame)
    everything, some = program(bound), program(bound, batch=8)
    point = {name: value + 0.1 for name, value in everything.initial_point().items()}
    whole = float(everything.compile_logp(mode="FAST_COMPILE")(point))
    part = some.compile_logp(mode="FAST_COMPILE")
    found = np.array([float(part(point)) for _ in range(1500)])
    assert found.std() > 0 and abs(found.mean() - whole) < 4 * found.std() / np.sqrt(1500)


def test_types_and_hidden_units_do_not_start_alike(frame: pd.DataFrame) -> None:
    bound = bp.Model("y ~ dose", bp.Mixture(3) + bp.PartialPooling("site")).bind(frame)
    start = _start(bound, program(bound), np.random.default_rng(1))
    assert len(np.unique(start["start"]["mixture_component"], axis=0)) == 3
    assert set(start["start"]) == {"mixture_component", "mixture_gate"}, "groups start in the middle"
    assert all((sd == NARROW).all() for sd in start["start_sigma"].values())


@pytest.mark.slow
def test_batches_find_the_same_fit(regression: tuple[bp.Model, pd.DataFrame]) -> None:
    """Pareto k is that of the density of all rows; a batch that holds all rows is no batch."""
    model, rows = regression
    whole, part, same = (bp.fit(model, rows, seed=1, method=ADVI(batch=batch), progress=False)
                         for batch in (None, len(rows) // 2, len(rows)))
    pd.testing.assert_frame_equal(whole.theta_frame(), same.theta_frame())
    one, other = (each.theta_frame() for each in (whole, part))
    assert (np.abs(one["mean"] - other["mean"]) < 0.5 * one["sd"]).all()
    assert part.tree["variational"].attrs["pareto_k"] < 0.7
    elbo = [each.tree["variational"].attrs["elbo"] for each in (whole, part)]
    assert abs(elbo[0] - elbo[1]) < 1.0


def test_points_of_a_field_become_its_values(frame: pd.DataFrame) -> None:
    """Those that the program computes from the same whitened noise."""
    bound = bp.Model("y ~ dose", bp.DistanceRegularized("age")).bind(frame)
    with program(bound) as model:
        (group,) = pm.MeanField().groups
        computed = model.compile_fn(model.unobserved_value_vars, mode="FAST_COMPILE", on_unused_input="ignore")
    points = np.random.default_rng(1).normal(size=(3, group.ddim))
    values = _values(bound, model, group.ordering, points)
    for draw, point in enumerate(points):
        start = {name: point[entries].reshape(shape) for name, entries, shape, _ in group.ordering.values()}
        for variable, value in zip(model.unobserved_value_vars, computed(start), strict=True):
            if variable.name in values:
                np.testing.assert_allclose(values[variable.name][draw], value, rtol=1e-9)
    assert "near_age_deviation" in values
