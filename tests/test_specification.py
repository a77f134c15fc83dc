"""The engine's density is that of the plain programs in models/, at random points, Jacobian included."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp

MODELS = Path(__file__).parents[1] / "models"


def plain_program(stem: str):
    spec = importlib.util.spec_from_file_location(stem, MODELS / f"{stem}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model


@pytest.fixture
def sleep() -> pd.DataFrame:
    return bp.load_dataset("sleepstudy")


def constants(sleep: pd.DataFrame) -> dict:
    y, x = sleep["reaction"].to_numpy(), sleep["days"].to_numpy(float)
    return {"location": [y.mean(), 0.0], "unit": np.array([y.std(), y.std() / x.std()]), "sd": y.std()}


def centred(sleep: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    days = sleep["days"].to_numpy(float)
    return sleep["reaction"].to_numpy(), np.column_stack([np.ones(len(days)), days - days.mean()])


def random_points(program, count: int = 20):
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield {name: rng.normal(0, 0.7, np.shape(value)) for name, value in program.initial_point().items()}


def test_population(sleep: pd.DataFrame) -> None:
    known = constants(sleep)
    engine = bp.Model("reaction ~ days").pymc(sleep)
    spec = plain_program("population")(*centred(sleep), **known)
    engine_logp, spec_logp = engine.compile_logp(), spec.compile_logp()
    for u in random_points(engine):
        natural = {"mu": known["location"] + known["unit"] * u["mu_centered_standardised__"],
                   "sigma_log__": u["sigma_log__"] + np.log(known["sd"])}
        np.testing.assert_allclose(engine_logp(u), spec_logp(natural) + np.log(known["unit"]).sum(), rtol=0, atol=1e-8)


def test_partial_pooling(sleep: pd.DataFrame) -> None:
    known, codes = constants(sleep), pd.factorize(sleep["subject"], sort=True)[0]
    engine = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject")).pymc(sleep)
    spec = plain_program("partial_pooling")(*centred(sleep), codes, **known)
    engine_logp, spec_logp = engine.compile_logp(), spec.compile_logp()
    for u in random_points(engine):
        r = np.tanh(u["subject_partial_logodds__"][0] / 2)
        scale = known["unit"] * np.exp(u["subject_scale_log__"])
        root = scale[:, None] * np.linalg.cholesky([[1, r], [r, 1]])
        natural = {"mu": known["location"] + known["unit"] * u["mu_centered_standardised__"],
                   "sigma_log__": u["sigma_log__"] + np.log(known["sd"]), "scale_log__": np.log(scale),
                   "partial_logodds__": u["subject_partial_logodds__"], "effect": u["subject_z"] @ root.T}
        jacobian = np.log(known["unit"]).sum() + len(u["subject_z"]) * np.log(np.diag(root)).sum()
        np.testing.assert_allclose(engine_logp(u), spec_logp(natural) + jacobian, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1e6, 1e-6])
@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_units_do_not_matter(sleep: pd.DataFrame, shift: float, scale: float) -> None:
    """Shifted and scaled outcome and predictor give the same log density, up to the constant n log(scale)."""
    model = bp.Model("reaction ~ days", prior=bp.PartialPooling("subject"))
    plain = model.pymc(sleep).compile_logp()
    changed_program = model.pymc(sleep.assign(reaction=sleep["reaction"] * scale + shift * scale,
                                              days=sleep["days"] / scale + shift / scale))
    changed = changed_program.compile_logp()
    for u in random_points(changed_program):
        np.testing.assert_allclose(changed(u) + len(sleep) * np.log(scale), plain(u), rtol=1e-6)
