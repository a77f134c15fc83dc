"""Weights that the data pin down are moved themselves: another way to move in, the same model."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal import bound as bounds


@pytest.fixture
def events() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(2, 3, 60), "age": rng.uniform(20, 70, 60)})
    return frame.assign(y=rng.poisson(np.exp(5 + 0.1 * frame["x"] + 0.02 * (frame["age"] - 45))))


MODEL = bp.Model("y ~ x", prior=bp.LinearVarying("age"), family=bp.Poisson())


def test_counts_by_the_hundred_pin_down_and_few_do_not(events: pd.DataFrame) -> None:
    assert MODEL.bind(events).pinned == {"linear_age"}
    assert not MODEL.bind(events.assign(y=events["y"] // 30)).pinned
    assert not bp.Model("y ~ x", prior=bp.LinearVarying("age", basis="spline"), family=bp.Poisson()).bind(events).pinned


def test_it_is_the_same_density(events: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = MODEL.pymc(events)
    monkeypatch.setattr(bounds, "PINNED", np.inf)
    bound, free = MODEL.bind(events), MODEL.pymc(events)
    one, other = (program.compile_logp(mode="FAST_COMPILE") for program in (pinned, free))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        point = {name: rng.normal(0, 0.5, np.shape(value)) for name, value in free.initial_point().items()}
        scale = np.exp(point["linear_age_scale_log__"])
        moved = {name: value for name, value in point.items() if name != "linear_age_z"}
        moved["linear_age_weight_standardised__"] = point["linear_age_z"] * scale
        # d weight / d z, in natural units.
        np.testing.assert_allclose(one(moved) + np.log(scale).sum(), other(point), rtol=1e-10)
    assert set(moved) == set(pinned.initial_point()) and bound.terms[0].one_weight_a_scale


def test_simulated_and_fitted_trees_hold_every_variable(events: pd.DataFrame) -> None:
    model = bp.Model("y ~ x", prior=bp.LinearVarying("age"))
    frame = pd.concat([events] * 60, ignore_index=True).assign(y=lambda d: d["x"] + 0.01 * d["age"] * d["x"])
    frame["y"] += np.random.default_rng(1).normal(0, 1, len(frame))
    posterior = bp.fit(model, frame, seed=1, progress=False, method=bp.Laplace(proposals=1024))
    named = {variable.name for variable in (*posterior.pymc.free_RVs, *posterior.pymc.deterministics)}
    assert posterior.bound.pinned and named == set(posterior.tree["posterior"].data_vars)
    assert "linear_age_weight" in {variable.name for variable in posterior.pymc.free_RVs}


@pytest.mark.parametrize(("mean", "warned"), [
    (bp.Hyperprior("Normal", sigma=1e-3), True), (bp.Hyperprior("Normal", sigma=0.01, relative=True), True),
    (bp.Hyperprior("Normal", sigma=100.0), False), (None, False)])
def test_a_process_beside_a_pinned_mean_has_no_constant_and_says_so(frame: pd.DataFrame, mean, warned: bool) -> None:
    options = {} if mean is None else {"mean": mean}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bp.Model("y ~ 1", bp.PartialPooling("site"), **options).bind(frame)
        assert not said
        model = bp.Model("y ~ 1", bp.GaussianProcess("age"), **options)
        model.bind(frame)
    assert len(said) == warned and "without the constant, which is mu's" in repr(model)
    for words in ("the mean of 'Intercept'", "GaussianProcess('age') has no constant", "Widen"):
        assert not warned or words in str(said[0].message)
