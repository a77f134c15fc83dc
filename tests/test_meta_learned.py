"""MetaLearned: what it says of the covariance of tasks, whatever direction its directions point in."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from low_rank import FORMULA, elpd, tasks

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.errors import SpecificationError
from bayes_personal.priors.meta_learned import most_directions


def bind(frame: pd.DataFrame, rank: int | None, formula: str = "y ~ dose + weight", **options: Any) -> BoundModel:
    return bp.Model(formula, bp.MetaLearned("site", rank=rank, **options)).bind(frame)


def some(bound: BoundModel, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {each.name: each.value(rng.normal(0, 0.7, each.size)) for each in bound.parameters}


def likelihood(bound: BoundModel, values: dict[str, Any]) -> float:
    density = GaussianDensity(bound)
    point = density.points(values)
    return density.value(point) - float(density.log_prior(point, values))


def test_what_is_reported_and_what_is_each_tasks_own_make_the_covariance(frame: pd.DataFrame) -> None:
    bound = bind(frame, 2)
    (term,), values = bound.terms, some(bound)
    scale, root = term.scales(values, np)
    loading = values["site_loading"] * values["site_amplitude"] * [1.0, values["site_shrink"][0]]
    shared = (bound.coefficients.unit[:, None] * loading) @ (bound.coefficients.unit[:, None] * loading).T
    np.testing.assert_allclose(term.reported(values, np)["site_shared"], shared, rtol=1e-12)
    np.testing.assert_allclose((scale.T * root) @ (scale.T * root).T, shared + np.diag(values["site_scale"] ** 2),
                               rtol=1e-12)
    assert np.allclose(root, np.tril(root))


def test_loadings_in_data_units(frame: pd.DataFrame) -> None:
    bound = bind(frame, 1, shared=bp.Hyperprior("HalfNormal", sigma=3))
    (term,), values = bound.terms, some(bound)
    loading = values["site_loading"] * values["site_amplitude"]
    np.testing.assert_allclose(term.reported(values, np)["site_shared"], loading @ loading.T, rtol=1e-12)


def test_directions_may_turn_and_change_sign(frame: pd.DataFrame) -> None:
    bound = bind(frame, 2)
    values = some(bound)
    wanted = likelihood(bound, values)
    found = likelihood(bound, values | {"site_loading": values["site_loading"] * [1.0, -1.0]})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    alike = values | {"site_shrink": np.array([1 - 1e-13])}
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    np.testing.assert_allclose(likelihood(bound, alike | {"site_loading": values["site_loading"] @ turn}),
                               likelihood(bound, alike), rtol=0, atol=1e-9)


def test_the_order_of_coefficients_does_not_matter(frame: pd.DataFrame) -> None:
    one, other = bind(frame, 2), bind(frame, 2, "y ~ weight + dose")
    values = some(one)
    order = [one.coefficients.names.index(name) for name in other.coefficients.names]
    moved = values | {name: values[name][order] for name in ("site_scale", "site_loading")}
    before, after = GaussianDensity(one), GaussianDensity(other)
    # The starting points of loadings differ, and so does the sampler's scale: prior densities are of the values.
    np.testing.assert_allclose(after.value(after.points(moved)), before.value(before.points(values)), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("coefficients", "directions"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 3), (10, 6)])
def test_the_most_directions_that_can_be_told(coefficients: int, directions: int) -> None:
    assert most_directions(coefficients) == directions


def test_a_rank_beyond_the_coefficients_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="rank=4 directions of 3 coefficients"):
        bind(frame, 4)
    with pytest.raises(SpecificationError, match="rank=-1"):
        bp.MetaLearned("site", rank=-1)


def test_directions_are_not_diagnosed_and_their_covariance_is() -> None:
    train, _ = tasks(1, count=10)
    posterior = bp.fit(bp.Model(FORMULA, bp.MetaLearned("task", rank=1)), train, seed=1, progress=False,
                       method=bp.NUTS(draws=100, tune=200))
    draws = posterior.tree["posterior"]
    assert draws["task_shared"].dims[2:] == ("task_coefficient", "task_coefficient_other")
    sign = np.array([1, -1, 1, -1])[:, None, None, None]
    posterior.tree["posterior"] = draws.to_dataset().assign(task_loading=draws["task_loading"] * sign)
    assert posterior.diagnostics.r_hat.value < 1.1, "R-hat of what changes sign from chain to chain"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_directions_predict_better_than_coefficients_pooled_apart(seed: int) -> None:
    train, held = tasks(seed)
    found = {}
    for rank in (0, 1, None):
        posterior = bp.fit(bp.Model(FORMULA, bp.MetaLearned("task", rank=rank)), train, seed=seed, progress=False,
                           method=bp.NUTS(chains=2, target_accept=0.98))
        told = posterior.diagnostics
        assert told.divergences == 0 and told.r_hat.value < 1.02 and told.ess_bulk.value > 200, told
        found[rank] = elpd(posterior, held).sum()
    assert found[None] - found[0] > 10, found
    assert found[1] - found[None] < 4, found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_curved_ridge_is_healthy_at_the_defaults(seed: int) -> None:
    """Five numbers fit the three of a covariance of two coefficients: NUTS gets stuck in the tails of the scales."""
    rng = np.random.default_rng(seed)
    g, x = np.arange(400) % 40, rng.normal(size=400)
    eta = 0.3 + 0.5 * rng.normal(size=40)[g] + (0.3 + 0.4 * rng.normal(size=40)[g]) * x
    data = pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "g": g})
    posterior = bp.fit(bp.Model("y ~ x", bp.MetaLearned("g"), bp.Bernoulli()), data, seed=seed, progress=False)
    assert posterior.diagnostics.importance is not None and not posterior.complaints, posterior.complaints
