"""The laws of all models for every prior, family and method that may fit together.

``pytest -m slow tests/test_laws.py`` checks all of them at three seeds, which takes two hours; without ``-m slow`` one
seed of a part that has every prior, every family and every method.
"""

import itertools

import numpy as np
import pytest
from pace import cases
from test_combinations import FAMILIES, FITTING, OPTIONS, PRIORS, formula, rows

import bayes_personal as bp
from bayes_personal.densities.expanded_divisions import expands
from bayes_personal.densities.integrated import integrated
from bayes_personal.densities.linearised.linearised_density import linearises
from bayes_personal.errors import SpecificationError
from bayes_personal.testing import QUICK, check_model, simulated

METHODS = {"nuts": QUICK, "laplace": bp.Laplace(draws=60, fallback=False),
           "advi": bp.ADVI(draws=60, max_iterations=3000)}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def model_of(prior: str, family: str) -> bp.Model:
    return bp.Model(formula(PRIORS[prior], FAMILIES[family]), PRIORS[prior], FAMILIES[family])


def may_fit(prior: str, family: str, method: str) -> bool:
    """Whether a method takes such a model."""
    model = model_of(prior, family)
    bound = model.bind(simulated(model, rows(48), 1)[0])
    if method == "laplace":
        return integrated(bound) is not None or linearises(bound) or expands(bound)
    if expands(bound):
        return False
    if method == "advi":
        return bound.division is None and bound.second_stage is None
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("prior", "family"), FITTING)
def test_laws(prior: str, family: str, method: str, seed: int) -> None:
    if not may_fit(prior, family, method):
        model = model_of(prior, family)
        with pytest.raises(SpecificationError):
            bp.fit(model, simulated(model, rows(48), seed)[0], seed=seed, method=METHODS[method], progress=False)
        return
    # The program does not depend on the method.
    compiled = method == "nuts" and seed == 1
    try:
        check_model(model_of(prior, family), rows(48), method=METHODS[method], seed=seed, compiled=compiled)
    except SpecificationError as refusal:
        assert method == "laplace" and ("Use NUTS" in str(refusal) or "no other sampler" in str(refusal))
        pytest.skip("importance sampling refuses, and says so")


# Priors under which no Normal family lets all but hyperparameters integrate out.
EXPLICIT = ("Mixture", "Repulsive", "Contextualized")
# Priors whose densities take longest, of which `Laplace` asks for many more.
DEAR = ("TotalVariation", "DistanceRegularized", "Partition", "TreePartition")


def part() -> list[tuple[str, str, str]]:
    """Every prior once at its defaults, with the Normal family, and every other family once."""
    methods = itertools.cycle(["nuts", "laplace"])
    result = [(prior, "Normal", "advi" if prior in EXPLICIT else "nuts" if prior in DEAR else next(methods))
              for prior in PRIORS if prior not in OPTIONS]
    others = [family for family in FAMILIES if family != "Normal"]
    return [*result, ("Partition", "Poisson", "nuts"), *(("Population", family, "nuts") for family in others)]


# Parts that compile or walk for long wait.
LONG = [("Population", family, "nuts") for family in FAMILIES if family not in ("Gamma", "Poisson", "Weibull")]
LONG += [("Mixture", "Normal", "advi"), ("Repulsive", "Normal", "advi"), ("TotalVariation", "Normal", "nuts")]


def test_the_part_has_everything() -> None:
    tried = part()
    assert {prior for prior, *_ in tried} == set(PRIORS) - set(OPTIONS)
    assert {family for _, family, _ in tried} == set(FAMILIES)
    assert {method for *_, method in tried} == set(METHODS)


@pytest.mark.parametrize(("prior", "family", "method"), cases(part(), [each for each in part() if each not in LONG]))
def test_laws_of_a_part(prior: str, family: str, method: str) -> None:
    # The programs of all pairs are compiled by tests/test_combinations.py.
    check_model(model_of(prior, family), rows(48), method=METHODS[method], seed=1, compiled=False)


# Hyperparameters at whose lower end a prior is the population's. Types and archetypes are no deviations from a mean,
# and `Conditional` and `Sparse` have none.
SCALES = {"PartialPooling": ["site_scale"], "MetaLearned": ["site_scale", "site_amplitude"],
          "Transfer": ["site_target_overall"], "FineTuned": ["site_scale"], "plug-in": ["site_scale"],
          "target": ["site_tuned_scale"], "Invariant": ["site_overall"], "GaussianProcess": ["gp_age_scale"],
          "LinearVarying": ["linear_age_arm_scale", "linear_age_arm_smooth"], "TotalVariation": ["steps_age_scale"],
          "horseshoe": ["steps_age_scale"], "DistanceRegularized": ["near_age_arm_scale"],
          "unsquared": ["near_age_scale"], "Contextualized": ["network_age_arm_scale"],
          "Partition": ["changes_age_scale"], "TreePartition": ["tree_age_arm_scale"]}


def test_every_prior_has_its_limit() -> None:
    assert set(PRIORS) - set(SCALES) == {"Population", "Conditional", "Mixture", "Repulsive", "Sparse"}


@pytest.mark.parametrize(("prior", "family"), [pair for pair in FITTING if pair[0] in SCALES])
def test_without_a_scale_it_is_the_population(prior: str, family: str) -> None:
    """To nine digits of the log likelihood: given all parameters, and with all but hyperparameters integrated out."""
    model = model_of(prior, family)
    data, values = simulated(model, rows(48), 3)
    plain = bp.Model(model.formula, bp.Population(), model.family).bind(data)
    small = {name: 1e-12 * value if name in SCALES[prior] else np.asarray(value) for name, value in values.items()}
    bound = model.bind(data)
    assert set(SCALES[prior]) <= {each.name for each in bound.parameters}
    for function in bound.gaussian_functions:
        small[f"{function.name}_deviation"] = 1e-12 * values[f"{function.name}_deviation"]
    if bound.division is None:
        theta = bound.theta(small | bound.derived(small, np), bound.features, len(bound.rows))
        eta = bound.eta_of(theta, bound.x)
        found = bound.log_likelihood(bound.y, eta, bound.family_values(small, 0), bound.constants, None)
        wanted = plain.log_likelihood(plain.y, plain.eta(small, np), plain.family_values(small, 0), plain.constants,
                                      None)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    density = integrated(bound)
    if density is None:
        return
    if bound.division is not None:
        # The mean is one of its hyperparameters; far from what all rows say no number is finite.
        small["mu"] = small[bound.mean.name] = density.pooled[0] + 0.5 * density.pooled[1]
    many = {each.name: np.asarray(small[each.name], float)[None] for each in density.parameters}
    point = density.points(many)
    evidence = density.value(point[0]) - density.log_prior(point, density.values(point))[0]
    if bound.division is not None:
        eta = plain.eta(small, np)
        wanted = plain.log_likelihood(plain.y, eta, plain.family_values(small, 0), plain.constants, None).sum()
    else:
        simple = integrated(plain)
        assert simple is not None
        at = simple.points({each.name: many[each.name] for each in simple.parameters})
        wanted = simple.value(at[0]) - simple.log_prior(at, simple.values(at))[0]
    assert evidence == pytest.approx(wanted, rel=1e-7)
