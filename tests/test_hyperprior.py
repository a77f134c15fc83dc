"""A hyperprior is the same distribution in every unit, and refuses nonsense when it is written down."""

import numpy as np
import pymc as pm
import pytest

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperprior import ROLES, Hyperprior


def example(distribution: str, *, relative: bool) -> Hyperprior:
    return Hyperprior(distribution, relative=relative, **{name: 1.7 for name in ROLES[distribution]})


@pytest.mark.parametrize("distribution", ROLES)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_change_of_unit_is_a_change_of_variable(distribution: str, unit: float) -> None:
    """The density of a relative hyperprior at location + unit * v is its density at v, divided by the unit."""
    prior, v = example(distribution, relative=True), np.array([0.4, 1.3, 2.9])
    location = 5 * unit if not prior.positive else 0.0
    kind = getattr(pm, distribution)
    scaled = pm.logp(kind.dist(**prior.arguments(location, unit)), location + unit * v).eval()
    standard = pm.logp(kind.dist(**prior.arguments(0.0, 1.0)), v).eval()
    np.testing.assert_allclose(scaled + np.log(unit), standard, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("distribution", ROLES)
def test_the_sampler_sees_the_same_density_in_every_unit(distribution: str) -> None:
    prior, values = example(distribution, relative=True), []
    for unit in (1e-6, 1.0, 1e6):
        with pm.Model() as model:
            prior.declare("scale", location=3 * unit, unit=unit)
        point = {name: np.float64(0.37) for name in model.initial_point()}
        values.append(float(model.compile_logp()(point)))
    np.testing.assert_allclose(values, values[1], rtol=1e-9)


@pytest.mark.parametrize("distribution", ROLES)
def test_the_sampler_samples_the_declared_distribution(distribution: str) -> None:
    """Jacobian included: the density on the sampler's scale is the declared one times |d value / d unconstrained|."""
    prior, unit, location, u, h = example(distribution, relative=False), 4.0, 2.0, 0.3, 1e-6
    with pm.Model() as model:
        variable = prior.declare("x", location=location, unit=unit)
    (name,) = model.initial_point()
    transform = model.rvs_to_transforms[variable]
    value = [float(transform.backward(np.float64(v)).eval()) if hasattr(transform.backward(np.float64(v)), "eval")
             else float(transform.backward(np.float64(v))) for v in (u - h, u, u + h)]
    density = pm.logp(getattr(pm, distribution).dist(**prior.arguments(location, unit)), value[1]).eval()
    expected = density + np.log((value[2] - value[0]) / (2 * h))
    np.testing.assert_allclose(model.compile_logp()({name: np.float64(u)}), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("distribution", "parameters", "words"), [
    ("HalfNorml", {"sigma": 1.0}, "Did you mean 'HalfNormal'"),
    ("HalfNormal", {"sigma": -1.0}, "finite and positive"),
    ("HalfNormal", {"sigma": 0.0}, "finite and positive"),
    ("Normal", {"sigma": float("nan")}, "finite and positive"),
    ("Normal", {}, "takes mu, sigma"),
    ("HalfCauchy", {"sigma": 1.0}, "takes beta"),
])
def test_nonsense_is_refused_at_construction(distribution: str, parameters: dict, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        Hyperprior(distribution, **parameters)


def test_repr_is_the_statement() -> None:
    prior = Hyperprior("HalfCauchy", beta=5)
    assert repr(prior) == "Hyperprior('HalfCauchy', beta=5)"
    assert eval(repr(prior)) == prior
    assert Hyperprior("Normal", sigma=2, relative=True).words("mean(y)", "sd(y)") == "Normal(mean(y), 2 sd(y))"
