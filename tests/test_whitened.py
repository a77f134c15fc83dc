"""Weights are moved on a scale that follows what the rows tell of them: another way to move in, the same model."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from conftest import explicit
from pace import cases

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.families import Family
from bayes_personal.priors import Prior
from bayes_personal.samplers import whitened as module
from bayes_personal.samplers.information import Information
from bayes_personal.samplers.whitened import Whitened, whitened_program

rng = np.random.default_rng(4)
ROWS = 40
FRAME = pd.DataFrame({"x": rng.normal(5, 2, ROWS), "g": rng.integers(0, 5, ROWS), "h": rng.integers(0, 3, ROWS),
                      "age": rng.uniform(20, 70, ROWS), "trials": rng.integers(20, 60, ROWS),
                      "sd": rng.uniform(1, 2, ROWS)})
ETA = 1 + 0.3 * (FRAME["x"] - 5) + rng.normal(0, 0.5, 5)[FRAME["g"]] + rng.normal(0, 0.5, 3)[FRAME["h"]]
FRAME = FRAME.assign(measure=ETA + rng.normal(0, 0.3, ROWS), yes=(rng.logistic(ETA) > 0).astype(int),
                     hits=rng.binomial(FRAME["trials"], 1 / (1 + np.exp(-ETA))), deaths=rng.poisson(np.exp(ETA)))

CASES: dict[str, tuple[str, Prior, Family]] = {
    "slopes": ("deaths ~ x", bp.PartialPooling("g"), bp.Poisson()),
    "crossed": ("hits ~ x", bp.PartialPooling("g") + bp.PartialPooling("h"), bp.Binomial("trials")),
    "linear": ("deaths ~ x", bp.PartialPooling("g", on="Intercept") + bp.LinearVarying("age"), bp.NegativeBinomial()),
    "smooth": ("yes ~ x", bp.GaussianProcess("age", on="x"), bp.Bernoulli()),
    "apart": ("yes ~ x", bp.Conditional("g"), bp.Bernoulli()),
    "directions": ("measure ~ x", bp.MetaLearned("g"), bp.StudentT()),
    "common": ("deaths ~ x", bp.Population(), bp.NegativeBinomial()),
    "errors known": ("measure ~ x", bp.PartialPooling("g") + bp.PartialPooling("h"), bp.Normal(sd="sd")),
}


def change(name: str) -> Whitened:
    formula, prior, family = CASES[name]
    bound = bp.Model(formula, prior=prior, family=family).bind(FRAME)
    information = Information.of(bound)
    assert information is not None
    return Whitened(bound, information)


def point(bound: BoundModel, values: dict[str, np.ndarray]) -> np.ndarray:
    """The sampler's point of the explicit program at values, as `conftest.split` reads it."""
    hyper = [each.point(values[each.name]) for each in (*bound.parameters, *([bound.mean] if bound.mean else []))]
    return np.concatenate([*hyper, *(values[f"{term.name}_z"].ravel() for term in bound.terms)])


def of_u(whitened: Whitened) -> Callable[[np.ndarray], float]:
    """The log density of the program of u."""
    found = whitened_program(whitened).compile_logp(mode="FAST_COMPILE")
    return lambda u: float(found({"u": u}))


SAME = [*((name, 8) for name in CASES), ("slopes", 1), ("crossed", 1)]


@pytest.mark.parametrize(("name", "widest"), cases(SAME, every_run=[pair for pair in SAME if pair != ("crossed", 8)]))
def test_it_is_the_same_density(name: str, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WIDEST", widest)
    whitened = change(name)
    bound, one, other = whitened.bound, of_u(whitened), explicit(whitened.bound)

    def moved(u: np.ndarray) -> np.ndarray:
        return point(bound, whitened.values(u, np)[0])

    constants, step = [], 1e-5
    for seed in range(3):
        u = np.random.default_rng(seed).normal(0, 0.7, whitened.size)
        jacobian = [(moved(u + step * axis) - moved(u - step * axis)) / (2 * step) for axis in np.eye(len(u))]
        constants.append(one(u) - other(moved(u)) - np.linalg.slogdet(np.array(jacobian))[1])
    np.testing.assert_allclose(constants, constants[0], rtol=0, atol=1e-6)


def test_where_errors_are_normal_the_weights_are_standard_normals() -> None:
    whitened = change("errors known")
    one, here = of_u(whitened), whitened.arrangement
    assert here.groups and here.size
    rng = np.random.default_rng(1)
    at_mode, elsewhere = [], []
    away = np.where(np.arange(whitened.size) < whitened.hyper + here.size, rng.normal(0, 1, whitened.size), 0.0)
    for _ in range(4):
        u = rng.normal(0, 2, whitened.size)
        u[: whitened.hyper] = 0
        at_mode.append(one(u) + u @ u / 2)
        # The eliminated groups' are, whatever all else is.
        u[: whitened.hyper + here.size] = 0
        elsewhere.append(one(away + u) + u @ u / 2)
    np.testing.assert_allclose(at_mode, at_mode[0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(elsewhere, elsewhere[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in CASES if name != "errors known"])
def test_the_parabolas_touch_at_the_mode(name: str) -> None:
    """There the density of u is flat, and falls off like a standard normal's."""
    whitened = change(name)
    one = of_u(whitened)
    middle = one(np.zeros(whitened.size))
    for axis in np.eye(whitened.size)[whitened.hyper :]:
        up, down = one(0.1 * axis) - middle, one(-0.1 * axis) - middle
        assert abs(up - down) / 0.2 < 0.2, axis.argmax()
        assert 0.5 < -(up + down) / 0.01 < 2, axis.argmax()


def test_models_with_fields_are_moved_as_they_are() -> None:
    assert Information.of(bp.Model("deaths ~ x", bp.Mixture(2), family=bp.Poisson()).bind(FRAME)) is None


def test_counts_of_any_size_find_the_mode() -> None:
    """Weighted least squares from the counts themselves, not from where eta is expected: no step is too long."""
    for size in (1e-2, 1.0, 1e3, 1e6):
        frame = FRAME.assign(deaths=np.random.default_rng(2).poisson(size * np.exp(3 * ETA)))
        if not frame["deaths"].any():
            continue
        bound = bp.Model("deaths ~ x", bp.PartialPooling("g"), bp.Poisson()).bind(frame)
        found = Information.of(bound)
        assert found is not None and np.isfinite(found.factor.mean).all()
        u = np.zeros(Whitened(bound, found).size)
        values, _ = Whitened(bound, found).values(u, np)
        # The equation that the likeliest mean solves, but for its prior's pull.
        eta = bound.single(bound.eta(values, np))
        score = (frame["deaths"] - np.exp(eta)).sum() / np.sqrt(frame["deaths"].sum())
        assert abs(score) < 1, (size, score)
