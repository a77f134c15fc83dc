"""A hyperprior is the same distribution in every unit, on the sampler's scale too, and refuses nonsense."""

import numpy as np
import pymc as pm
import pytest
from conftest import SUFFIX

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.hyperprior import ROLES, Hyperprior
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.model.program import declare

STEP = 1e-30
# A share between 0 and 1 has no unit.
WITH_UNITS = [name for name in ROLES if name != "Beta"]
# PyMC adds log 2 of a half-t in single precision, which is 1.9e-9 too much: a constant, of no consequence to draws.
HALF_T = 2e-9
PARTIAL = Parameter("x", "Beta", {"alpha": np.array([2.5, 2.0]), "beta": np.array([2.5, 2.0])}, np.zeros(2), np.ones(2))


def example(distribution: str, *, relative: bool) -> Hyperprior:
    return Hyperprior(distribution, relative=relative, **{name: 1.7 for name in ROLES[distribution]})


def on_the_samplers_scale(parameter: Parameter, moved: np.ndarray) -> float:
    """PyMC's log density of the declared variable at the sampler's point."""
    with pm.Model() as model:
        declare(parameter, ())
    value = moved.reshape(parameter.shape)
    return float(model.compile_logp(mode="FAST_COMPILE")({parameter.name + SUFFIX[parameter.support]: value}))


@pytest.mark.parametrize("distribution", WITH_UNITS)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_change_of_unit_is_a_change_of_variable(distribution: str, unit: float) -> None:
    """The density of a relative hyperprior at location + unit * v is its density at v, divided by the unit."""
    prior, v = example(distribution, relative=True), np.array([0.4, 1.3, 2.9])
    location = 5 * unit if not prior.positive else 0.0
    kind = getattr(pm, distribution)
    scaled = pm.logp(kind.dist(**prior.arguments(location, unit)), location + unit * v).eval(mode="FAST_COMPILE")
    standard = pm.logp(kind.dist(**prior.arguments(0.0, 1.0)), v).eval(mode="FAST_COMPILE")
    np.testing.assert_allclose(scaled + np.log(unit), standard, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("distribution", WITH_UNITS)
def test_the_sampler_sees_the_same_density_in_every_unit(distribution: str) -> None:
    prior, moved = example(distribution, relative=True), np.array([0.37])
    values = [on_the_samplers_scale(prior.bind("x", 3 * unit, unit), moved) for unit in (1e-6, 1.0, 1e6)]
    np.testing.assert_allclose(values, values[1], rtol=1e-9)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("distribution", ROLES)
def test_program_and_parameter_agree_and_sample_the_declared_distribution(distribution: str, relative: bool) -> None:
    """The density on the sampler's scale is PyMC's own of the value, times |d value / d moved|."""
    unit, location = np.array([4.0, 0.3]), np.array([2.0, -1.0])
    if distribution == "Beta":
        parameter = PARTIAL
    else:
        parameter = example(distribution, relative=relative).bind("x", location, unit)
    moved = np.array([0.3, -0.8])
    value = parameter.value(moved)
    density = pm.logp(getattr(pm, distribution).dist(**parameter.arguments, shape=2), value)
    steps = parameter.value(moved + STEP * 1j * np.eye(2))
    expected = density.eval(mode="FAST_COMPILE").sum() + np.log(np.diag(steps.imag) / STEP).sum()
    np.testing.assert_allclose(on_the_samplers_scale(parameter, moved), expected, rtol=0, atol=1e-9)
    tolerance = 2 * HALF_T if distribution in ("HalfCauchy", "HalfStudentT") else 1e-9
    np.testing.assert_allclose(parameter.log_density(value, moved), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("distribution", ROLES)
def test_point_undoes_value(distribution: str) -> None:
    shape = (2, 3)
    parameter = PARTIAL if distribution == "Beta" else example(distribution, relative=True).bind(
        "x", np.full(shape, 7.0), np.arange(1.0, 7.0).reshape(shape))
    moved = np.random.default_rng(1).normal(size=(5, 4, parameter.size))
    value = parameter.value(moved)
    assert value.shape == (5, 4, *parameter.shape)
    np.testing.assert_allclose(parameter.point(value), moved, rtol=1e-12, atol=1e-12)
    assert parameter.log_density(value, moved).shape == (5, 4)


def test_a_draw_has_the_shape_of_the_parameter_and_its_units() -> None:
    parameter = Hyperprior("HalfNormal", sigma=1.0, relative=True).bind("x", 0.0, np.full(20000, 50.0))
    draws = parameter.draw(np.random.default_rng(2))
    assert draws.shape == (20000,)
    mean, sd = 50 * np.sqrt(2 / np.pi), 50 * np.sqrt(1 - 2 / np.pi)
    assert abs(draws.mean() - mean) / (sd / np.sqrt(20000)) < 4


@pytest.mark.parametrize(("distribution", "parameters", "words"), [
    ("HalfNorml", {"sigma": 1.0}, "Did you mean 'HalfNormal'"),
    ("HalfNormal", {"sigma": -1.0}, "finite and positive"),
    ("HalfNormal", {"sigma": 0.0}, "finite and positive"),
    ("Normal", {"sigma": float("nan")}, "finite and positive"),
    ("Normal", {}, "takes mu, sigma"),
    ("HalfCauchy", {"sigma": 1.0}, "takes beta"),
    ("Beta", {"alpha": 1.0, "beta": 1.0, "relative": True}, "has no unit to be relative to"),
])
def test_nonsense_is_refused_at_construction(distribution: str, parameters: dict, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        Hyperprior(distribution, **parameters)


def test_the_docstring_and_the_error_say_which_parameters_are_taken() -> None:
    said = " ".join(str(Hyperprior.__doc__).split())
    for distribution, roles in ROLES.items():
        assert f"{distribution}({', '.join(roles)})" in said
    with pytest.raises(SpecificationError, match="takes scale; got lam. Convert .* lam of an Exponential is 1 / scale"):
        Hyperprior("Exponential", lam=1)


def test_repr_is_the_statement() -> None:
    prior = Hyperprior("HalfCauchy", beta=5)
    assert repr(prior) == "Hyperprior('HalfCauchy', beta=5)"
    assert eval(repr(prior)) == prior
    assert Hyperprior("Normal", sigma=2, relative=True).words("mean(y)", "sd(y)") == "Normal(mean(y), 2 sd(y))"
    assert (Hyperprior("LogNormal", mu=0.7, sigma=0.3, relative=True).words(unit="sd(y)")
            == "LogNormal(log(sd(y)) + 0.7, 0.3)")
