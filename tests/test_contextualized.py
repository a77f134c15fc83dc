"""Contextualized: a function of context whatever its hidden units are called, and what only its last layer learns."""

from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import unsampled

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.arrangement import collapses
from bayes_personal.errors import SpecificationError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.draws import flat, tree

PRIORS = [bp.Contextualized("age", "sex", hidden=5),
          bp.Contextualized("age", "height", hidden=4, archetypes=3, on="dose"),
          bp.Contextualized("age", "sex", hidden=6, network="last-layer")]


def bind(frame: pd.DataFrame, prior: bp.Contextualized) -> BoundModel:
    return bp.Model("y ~ dose", prior).bind(frame)


def some(bound: BoundModel) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {each.name: each.value(rng.normal(0, 0.7, each.size)) for each in bound.parameters}


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_a_new_row_with_the_context_of_a_training_row_has_its_theta(frame: pd.DataFrame,
                                                                    prior: bp.Contextualized) -> None:
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=10)
    again = bp.predict(posterior, frame.drop(columns="y").iloc[[31, 4]], kind="theta").draws
    np.testing.assert_allclose(again, posterior.theta.isel(unit=[31, 4]), rtol=1e-12)


def test_hidden_units_and_archetypes_have_no_names(frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose", PRIORS[1]), frame, draws=10)
    bound, draws = posterior.bound, flat(posterior.tree)
    name = bound.nonlinear[0].name
    hidden, types, sign = np.array([3, 1, 0, 2]), np.array([2, 0, 1]), np.array([1, -1, 1, -1])
    moved = {each.name: draws[each.name] for each in (*bound.parameters, bound.mean)}
    moved[f"{name}_first_layer"] = (moved[f"{name}_first_layer"] * sign)[:, :, hidden]
    moved[f"{name}_offset_layer"] = (moved[f"{name}_offset_layer"] * sign)[:, hidden]
    moved[f"{name}_second_layer"] = (moved[f"{name}_second_layer"] * sign[:, None])[:, hidden][:, :, types]
    moved[f"{name}_component"] = moved[f"{name}_component"][:, types]
    again = Posterior(posterior.model, bound, tree(bound, moved, 2))
    np.testing.assert_allclose(again.theta, posterior.theta, rtol=1e-9)
    np.testing.assert_allclose(again.tree["posterior"][f"{name}_followed"],
                               posterior.tree["posterior"][f"{name}_followed"], rtol=0, atol=1e-9)
    assert again.diagnostics.r_hat.where.split("[")[0] in {f"{name}_followed", f"{name}_scale", f"{name}_steepness",
                                                            f"{name}_sharpness", "sigma", "mu"}


def test_what_is_followed_is_what_the_network_adds_at_training_rows(frame: pd.DataFrame) -> None:
    bound = bind(frame, PRIORS[0])
    (field,), values = bound.nonlinear, some(bound)
    whole = field.deviation(values, bound.features[0].matrix, np)
    rows = np.unique(np.linspace(0, 39, 12).astype(int))
    np.testing.assert_allclose(field.reported(values, np)[f"{field.name}_followed"], whole[rows], rtol=1e-12)


@pytest.mark.parametrize("archetypes", [None, 3])
def test_a_flat_network_is_population(frame: pd.DataFrame, archetypes: int | None) -> None:
    """Of no slope it is one value for all, which is part of the mean; of no scale it is nothing."""
    bound = bind(frame, bp.Contextualized("age", hidden=4, archetypes=archetypes))
    (field,), values = bound.nonlinear, some(bound)
    flat_one = field.deviation(values | {f"{field.name}_steepness": np.array(1e-12)}, bound.features[0].matrix, np)
    np.testing.assert_allclose(flat_one, np.broadcast_to(flat_one[0], flat_one.shape), rtol=1e-9)
    nothing = field.deviation(values | {f"{field.name}_scale": np.zeros(2)}, bound.features[0].matrix, np)
    np.testing.assert_array_equal(nothing, 0)


def test_the_prior_of_theta_does_not_grow_with_hidden_units(frame: pd.DataFrame) -> None:
    """Its variance over weights is scale squared times that of a hidden unit, E tanh^2, whatever their number."""
    spread = {}
    for hidden in (2, 64):
        bound = bind(frame, bp.Contextualized("age", hidden=hidden))
        (field,), rng = bound.nonlinear, np.random.default_rng(1)
        draws = {each.name: np.stack([each.draw(rng) for _ in range(4000)]) for each in field.parameters()}
        draws[f"{field.name}_scale"] = np.ones((4000, 2))
        square = (field.deviation(draws, bound.features[0].matrix[:1], np) ** 2).mean(axis=(1, 2))
        spread[hidden] = square.mean(), square.std(ddof=1) / np.sqrt(len(square))
    (few, error), (many, other) = spread[2], spread[64]
    assert abs(many - few) < 4 * np.hypot(error, other) and error < 0.05 * few, spread


def test_archetypes_are_averaged(frame: pd.DataFrame) -> None:
    bound = bind(frame, PRIORS[1])
    (field,), values = bound.nonlinear, some(bound)
    each = values[f"{field.name}_component"] * values[f"{field.name}_scale"]
    found = field.deviation(values, bound.features[0].matrix, np)
    assert (found >= each.min(axis=0) - 1e-12).all() and (found <= each.max(axis=0) + 1e-12).all()


def test_the_last_layer_is_linear_collapses_and_keeps_its_seed(frame: pd.DataFrame) -> None:
    bound = bind(frame, PRIORS[2])
    assert collapses(bound) and not bound.nonlinear
    (one,), (other,) = bound.features, bind(frame.iloc[::-1], PRIORS[2]).features
    np.testing.assert_allclose(other.matrix[::-1], one.matrix, rtol=1e-12)
    turned = bind(frame, bp.Contextualized("age", "sex", hidden=6, network="last-layer", seed=1))
    assert np.abs(turned.features[0].matrix - one.matrix).max() > 0.1 and np.abs(one.matrix).max() <= 1


def interaction(seed: int, rows: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    """A slope whose wave along one context depends on another; three contexts are noise."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(-1, 1, (rows, 5)), rng.normal(size=rows)
    theta = np.column_stack([0.5 * c[:, 1], np.sin(np.pi * c[:, 0]) * np.where(c[:, 1] > 0, 1.0, -0.3)])
    y = theta[:, 0] + theta[:, 1] * x + 0.4 * rng.normal(size=rows)
    return pd.DataFrame(c, columns=list("abcde")).assign(x=x, y=y), theta


def scored(posterior: Posterior, seed: int) -> tuple[float, float]:
    """Root mean square error of theta at new contexts, and how often 90 % intervals hold it."""
    rows, truth = interaction(seed + 1000)
    draws = bp.predict(posterior, rows, kind="theta").draws.to_numpy().reshape(-1, len(rows), 2)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    error = np.sqrt(np.mean((draws.mean(axis=0) - truth) ** 2))
    return float(error), float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.slow
def test_interactions_are_found_and_intervals_cover() -> None:
    found, smooth = [], []
    quick = bp.NUTS(draws=500, tune=500, chains=2)
    for seed in range(20):
        rows, _ = interaction(seed)
        network = bp.fit(bp.Model("y ~ x", bp.Contextualized(*"abcde", hidden=12)), rows, seed=seed, progress=False,
                         method=quick)
        told = network.diagnostics
        assert told.divergences < 10 and told.r_hat.value < 1.15, told
        linear = bp.fit(bp.Model("y ~ x", bp.LinearVarying(*"abcde")), rows, seed=seed, progress=False)
        found.append((*scored(network, seed), scored(linear, seed)[0]))
        if seed < 3:
            additive = bp.Model("y ~ x", reduce(add, [bp.GaussianProcess(context) for context in "abcde"]))
            smooth.append(scored(bp.fit(additive, rows, seed=seed, progress=False, method=quick), seed)[0])
    error, cover, linear_error = np.mean(found, axis=0)
    at_first, smooth_error = np.mean([each[0] for each in found[:3]]), np.mean(smooth)
    print(f"network: error {error:.3f}, coverage {cover:.3f}; linear: error {linear_error:.3f}; "
          f"in three sets network {at_first:.3f}, smooth {smooth_error:.3f}")
    assert error < 0.7 * linear_error and at_first < 0.7 * smooth_error and 0.80 < cover < 0.95


def test_the_last_layer_fits_and_predicts() -> None:
    rows, _ = interaction(0)
    prior = bp.Contextualized("a", "b", network="last-layer", hidden=100)
    posterior = bp.fit(bp.Model("y ~ x", prior), rows, seed=1, progress=False, method=bp.NUTS(draws=500))
    assert not posterior.complaints, posterior.complaints
    linear = bp.fit(bp.Model("y ~ x", bp.LinearVarying("a", "b")), rows, seed=1, progress=False,
                    method=bp.NUTS(draws=500))
    error, cover = scored(posterior, 0)
    assert error < 0.7 * scored(linear, 0)[0] and cover > 0.75
    assert bp.loo(posterior, progress=False).elpd > bp.loo(linear, progress=False).elpd + 20


def test_what_is_refused(frame: pd.DataFrame, tmp_path: Any) -> None:
    for make, words in ((lambda: bp.Contextualized("age", hidden=0), "hidden=0"),
                        (lambda: bp.Contextualized("age", archetypes=1), "archetypes=1"),
                        (lambda: bp.Contextualized("age", archetypes=2, network="last-layer"), "leave out network"),
                        (lambda: bp.Contextualized("age", network="deep"), "'bayesian' or 'last-layer'"),
                        (lambda: bind(frame, bp.Contextualized()), "at least one context")):
        with pytest.raises(SpecificationError, match=words):
            make()
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(SpecificationError, match="in files"):
        bp.fit(bp.Model("y ~ dose", PRIORS[0]), tmp_path / "rows.parquet", progress=False)
