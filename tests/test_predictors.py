"""A row may have several linear predictors: a family reads each, and every coefficient belongs to one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.marginal import given_weights
from bayes_personal.errors import SpecificationError
from bayes_personal.families import Normal
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.formulas.design import Design
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.model.program import program

# The slope of x and the intercept make the mean, and the slope of z makes the logarithm of the error.
PREDICTOR = np.array([0, 0, 1])


@dataclass(frozen=True, repr=False)
class Heteroscedastic(Family):
    """``y_i ~ Normal(eta_i1, exp(eta_i2))``."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ones(len(frame))

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return Normal().outcome(values, frame)

    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        return Normal().location_scale(outcome, constants)

    @property
    def natural(self) -> tuple[str, str]:
        return "mean(y)", "sd(y)"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        return Likelihood(DISTRIBUTIONS["Normal"], {"mu": eta[..., 0], "sigma": xp.exp(eta[..., 1])})

    def story(self) -> tuple[str, ...]:
        return ("y_i ~ Normal(eta_i1, exp(eta_i2))",)


@pytest.fixture
def bind(monkeypatch: pytest.MonkeyPatch) -> Callable[[bp.priors.Prior], BoundModel]:
    """Designs with two predictors, of which the second has no intercept, so that z is not centred."""
    learn = Design.learn

    def two(formula: Any, frame: pd.DataFrame) -> tuple[Design, np.ndarray]:
        design, x = learn(formula, frame)
        return replace(design, predictor=PREDICTOR, center=np.where(PREDICTOR == 0, design.center, 0.0)), x

    def bound(prior: bp.priors.Prior) -> BoundModel:
        rng = np.random.default_rng(1)
        frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=["x", "z", "c"]).assign(g=np.repeat(list("abc"), 10))
        return bp.Model("y ~ x + z", prior, Heteroscedastic()).bind(frame.assign(y=rng.normal(size=30)))

    monkeypatch.setattr(Design, "learn", two)
    return bound


PRIORS = [bp.Population(), bp.PartialPooling("g"), bp.GaussianProcess("c", on="z"), bp.Mixture(2, gate="c"),
          bp.PartialPooling("g", on="Intercept") + bp.LinearVarying("c", on=["x", "z"])]


def log_densities(bound: BoundModel, theta: np.ndarray) -> np.ndarray:
    """log p(y_i | theta_i)."""
    products = theta * bound.x
    return stats.norm.logpdf(bound.y, products[:, :2].sum(axis=1), np.exp(products[:, 2]))


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_every_coefficient_adds_to_its_own_predictor(bind: Callable[..., BoundModel], prior: bp.priors.Prior) -> None:
    """By NumPy and by the program, at a random point."""
    bound = bind(prior)
    model, rng = program(bound), np.random.default_rng(2)
    outputs = [*model.unobserved_value_vars, model.logp(vars=model.observed_RVs, sum=False)[0]]
    point = {name: value + 0.5 * rng.standard_normal(np.shape(value)) for name, value in model.initial_point().items()}
    *computed, by_program = model.compile_fn(outputs, mode="FAST_COMPILE", on_unused_input="ignore")(point)
    values = dict(zip((each.name for each in model.unobserved_value_vars), computed, strict=True))
    (batch,) = bound.rows.batches()
    branches = bound.branches(values, bound.features, bound.x, np)
    if branches is None:
        theta = bound.theta(values, bound.features, 30)
        logs = log_densities(bound, theta)
        np.testing.assert_allclose(bound.eta(values, np), bound.eta_of(theta, bound.x))
    else:
        thetas = [bound.theta(values, bound.features, 30, np.full(30, k)) for k in range(2)]
        logs = np.logaddexp(*(branches[0][:, k] + log_densities(bound, theta) for k, theta in enumerate(thetas)))
    draws = {name: np.asarray(value)[None] for name, value in values.items()}
    np.testing.assert_allclose(given_weights(bound, draws, 1, batch)[0], logs, rtol=1e-10)
    np.testing.assert_allclose(by_program, logs, rtol=1e-8)


def test_simulated_errors_have_their_own_sizes(bind: Callable[..., BoundModel]) -> None:
    bound = bind(bp.Population())
    values = {"mu": np.array([0.5, 2.0, -1.0])}
    rng = np.random.default_rng(3)
    drawn = np.stack([bound.simulated(values, rng)[1] for _ in range(4000)])
    z = (drawn - 0.5 - 2 * bound.x[:, 1]) / np.exp(-bound.x[:, 2])
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4


def test_what_takes_one_predictor_refuses_two(bind: Callable[..., BoundModel]) -> None:
    bound = bind(bp.PartialPooling("g"))
    with pytest.raises(SpecificationError, match="has 2 linear predictors a row"):
        bound.single(bound.eta_of(np.ones((30, 3)), bound.x))
