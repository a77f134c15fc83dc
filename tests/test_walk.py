"""A walk that integrates out place by place: the same density as all weights at once, and Gibbs draws of its scales."""


from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from calibration import assert_healthy
from pace import cases

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.walk.walk_density import WalkDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.walk_sampling import WalkSampling

Increments = Literal["laplace", "horseshoe"]


def world(places: int, rows: int, seed: int = 0) -> pd.DataFrame:
    """An intercept and a slope that jump, and a predictor whose coefficient stays."""
    rng, c = np.random.default_rng(seed), np.repeat(np.arange(places), rows)
    x, w = rng.normal(1.0, 1.0, (2, len(c)))
    theta = np.where(c < 0.4 * places, 0.0, 1.5), np.where(c < 0.7 * places, 1.0, -0.5)
    y = theta[0] + theta[1] * x + 0.5 * w + 0.5 * rng.normal(size=len(c))
    frame = pd.DataFrame({"c": c, "x": x, "w": w, "y": y, "se": rng.uniform(0.3, 0.6, len(c))})
    return frame.sample(frac=1, random_state=1, ignore_index=True)


MODELS = {
    "everything walks": bp.Model("y ~ x + w", bp.TotalVariation("c")),
    "only a constant": bp.Model("y ~ 1", bp.TotalVariation("c", "horseshoe")),
    "the intercept stays": bp.Model("y ~ x + w", bp.TotalVariation("c", on="x")),
    "a slope stays, errors are known": bp.Model("y ~ x + w", bp.TotalVariation("c", "horseshoe", ["Intercept", "w"]),
                                                bp.Normal(sd="se")),
    "no intercept, a narrow mean": bp.Model("y ~ 0 + x + w", bp.TotalVariation("c", on="w"),
                                            mean=bp.Hyperprior("Normal", mu=0.3, sigma=0.05)),
}


@pytest.fixture(params=MODELS)
def densities(request: pytest.FixtureRequest) -> tuple[GaussianDensity, WalkDensity]:
    bound = MODELS[request.param].bind(world(9, 3))
    walk = marginal_density(bound)
    assert isinstance(walk, WalkDensity)
    return GaussianDensity(bound), walk


def test_the_density_and_its_gradient_are_those_of_all_weights_at_once(densities: tuple) -> None:
    dense, walk = densities
    for u in np.random.default_rng(1).normal(0, 1.0, (5, dense.size)):
        value, gradient = dense.log_density(u)
        found, slopes = walk.log_density(u)
        np.testing.assert_allclose([found, walk.value(u)], value, rtol=0, atol=1e-8)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-8, atol=1e-8)


def test_rows_left_out_are_those_of_all_weights_at_once(densities: tuple) -> None:
    dense, walk = densities
    u = np.random.default_rng(2).normal(0, 0.7, (3, dense.size))
    values, batch = dense.values(u), next(dense.bound.rows.batches())
    for found, wanted in zip(walk.left_out_and_in(values, 3)(batch), dense.left_out_and_in(values, 3)(batch),
                             strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8)
    rows = np.array([0, 5, 6])
    without, wanted = (each.without(each.contribution(batch, rows)) for each in (walk, dense))
    np.testing.assert_allclose(without.each_value(u), wanted.each_value(u), rtol=0, atol=1e-8)
    log_all = dense.each_value(u)
    np.testing.assert_allclose(walk.log_repeated(values, u, log_all, walk.contribution(batch, rows)),
                               dense.log_repeated(values, u, log_all, dense.contribution(batch, rows)), atol=1e-8)


def test_the_walk_and_the_mean_are_drawn_with_the_moments_of_all_weights_at_once(densities: tuple) -> None:
    """z of means, variances and covariances of two samples below 4.5, of several hundred."""
    dense, walk = densities
    count = 8000
    values = dense.values(np.tile(np.random.default_rng(3).normal(0, 0.5, dense.size), (count, 1)))
    draws = [each.draw_rest(values, count, np.random.default_rng(seed)) for seed, each in enumerate((dense, walk))]
    assert draws[0].keys() == draws[1].keys()
    samples = [np.hstack([one[name].reshape(count, -1) for name in sorted(one)]) for one in draws]
    centre, spread = samples[0].mean(axis=0), samples[0].std(axis=0)
    first, second = ((sample - centre) / spread for sample in samples)
    assert np.abs(second.mean(axis=0)).max() * np.sqrt(count / 2) < 4.5
    pairs = first[:, :, None] * first[:, None], second[:, :, None] * second[:, None]
    errors = np.sqrt(sum(pair.var(axis=0) for pair in pairs) / count)
    assert (np.abs(pairs[0].mean(axis=0) - pairs[1].mean(axis=0)) / errors).max() < 4.5


def monte_carlo_errors(values: np.ndarray) -> np.ndarray:
    """Monte Carlo errors of the means of draws (chain, draw, entry)."""
    errors: list[Any] = [array_stats.mcse(values[..., k], method="mean") for k in range(values.shape[2])]
    return np.array(errors, float)


def compared(posterior: bp.Posterior, bound: BoundModel, increments: str) -> np.ndarray:
    """z of the differences of the means of all hyperparameters on the sampler's scale, between Gibbs draws and
    importance sampling of the density with all weights at once."""
    density = GaussianDensity(bound)
    weighted = Laplace(proposals=65536).weighted(density, np.random.default_rng(1))
    assert weighted.trusted and weighted.ess > 3000, (increments, weighted.problem)
    draws = posterior.tree["posterior"]
    points = density.points({each.name: draws[each.name].to_numpy().reshape(-1, *each.shape)
                             for each in bound.parameters})
    chains = points.reshape(draws.sizes["chain"], -1, density.size)
    result = []
    for values, theirs in ((chains, weighted.points), (chains**2, weighted.points**2)):
        mean = weighted.weights @ theirs
        error = np.sqrt(weighted.weights @ (theirs - mean) ** 2 / weighted.ess)
        own = monte_carlo_errors(values)
        result.append((values.mean(axis=(0, 1)) - mean) / np.hypot(error, own))
    return np.array(result)


@pytest.mark.parametrize("increments", cases(["laplace", "horseshoe"], every_run=["horseshoe"]))
def test_gibbs_draws_have_the_moments_of_importance_sampling(increments: Increments) -> None:
    """First and second moments, three steps of two coefficients: nine hyperparameters."""
    model, frame = bp.Model("y ~ x", bp.TotalVariation("c", increments)), world(4, 8, seed=5)
    posterior = bp.fit(model, frame, seed=1, progress=False, method=WalkSampling(draws=5000, thin=1))
    assert not posterior.diagnostics.complaints
    assert np.abs(compared(posterior, posterior.bound, increments)).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("increments", ["laplace", "horseshoe"])
def test_gibbs_draws_are_those_of_the_explicit_program(increments: Increments) -> None:
    model, frame = bp.Model("y ~ x", bp.TotalVariation("c", increments)), world(12, 2, seed=2)
    gibbs = bp.fit(model, frame, seed=1, progress=False)
    explicit = bp.fit(model, frame, seed=1, progress=False,
                      method=bp.NUTS(draws=4000, collapse=False, target_accept=0.99))
    assert not gibbs.diagnostics.complaints and explicit.diagnostics.divergences < 5
    scores = {}
    for name in ("mu", "sigma", "steps_c_scale", "steps_c_local", "steps_c_effect"):
        each = [np.asarray(posterior.tree["posterior"][name]) for posterior in (gibbs, explicit)]
        each = [np.log(draws) if name.endswith(("scale", "local")) else draws for draws in each]
        flat = [draws.reshape(*draws.shape[:2], -1) for draws in each]
        error = np.hypot(*map(monte_carlo_errors, flat))
        scores[name] = np.abs(flat[0].mean(axis=(0, 1)) - flat[1].mean(axis=(0, 1))) / error
    assert max(each.max() for each in scores.values()) < 4, scores


def test_many_contexts_fit_by_default_and_jumps_move_between_neighbours() -> None:
    """A horseshoe of 120 contexts, at two of which a jump could be: chains agree on where."""
    frame = world(120, 1, seed=3)
    posterior = bp.fit(bp.Model("y ~ x", bp.TotalVariation("c", "horseshoe")), frame, seed=1, progress=False,
                       method=WalkSampling(draws=500, thin=2))
    assert "Gibbs" in posterior.tree["posterior"].attrs["engine"]
    assert_healthy(posterior, ess=200)


def test_what_gibbs_refuses() -> None:
    frame = world(4, 3)
    with pytest.raises(SpecificationError, match=r"Gibbs\(.*or a TotalVariation, with rows.*NUTS"):
        bp.fit(bp.Model("y ~ x"), frame, method=bp.Gibbs(), progress=False)
    with pytest.raises(SpecificationError, match="draws=3 must be"):
        bp.Gibbs(draws=3)
    bound = bp.Model("y ~ x", bp.TotalVariation("c") + bp.PartialPooling("w")).bind(
        frame.assign(w=lambda frame: frame["w"].round(0).astype(str)))
    assert isinstance(marginal_density(bound), GaussianDensity)
