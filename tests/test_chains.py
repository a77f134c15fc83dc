"""Fields and walks under families that are not Normal: densities that are exact whatever the pseudo-data are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.field.field_density import FieldDensity
from bayes_personal.densities.linearised.chains import chain_moments, chained, linear_predictors
from bayes_personal.densities.linearised.corrected_chain import TURNS, CorrectedChain, turned
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.densities.linearised.pseudo_data import PseudoData
from bayes_personal.densities.linearised.row_likelihoods import RowLikelihoods
from bayes_personal.samplers.laplace import Laplace
from bayes_personal.samplers.linearising import own_at
from bayes_personal.samplers.walk_sampling import WalkSampling

PRIORS = {"walk": bp.TotalVariation("c"), "horseshoe": bp.TotalVariation("c", "horseshoe", on="x"),
          "field": bp.DistanceRegularized("c")}


def world(places: int, rows: int, seed: int = 0) -> pd.DataFrame:
    rng, c = np.random.default_rng(seed), np.repeat(np.arange(places), rows)
    x = rng.normal(0.5, 1.0, len(c))
    eta = np.where(c < 0.5 * places, 0.3, 1.2) + 0.4 * x
    return pd.DataFrame({"c": c, "x": x, "y": rng.poisson(np.exp(eta)), "yes": rng.random(len(c)) < 0.6})


def corrected(bound: BoundModel, shift: float) -> CorrectedChain:
    """The density under pseudo-data that touch the likelihoods at some eta."""
    rows = bound.once(RowLikelihoods)
    own = own_at(bound, np.zeros(sum(parameter.size for parameter in bound.parameters)))
    pseudo = PseudoData.touching(rows, rows.row_estimates(own) + shift, own)
    return CorrectedChain(LinearisedDensity(bound, pseudo, np.zeros(0)))


def standardised(bound: BoundModel, values: Mapping[str, Any]) -> np.ndarray:
    """Mean, and steps or field, as standard normals of their priors, (draw, weight)."""
    mean = bound.mean
    assert mean is not None
    of_mean = (values[mean.name] - mean.arguments["mu"]) / mean.arguments["sigma"]
    if bound.terms:
        z = values[f"{bound.terms[0].name}_z"]
    else:
        (field,) = bound.gaussian_functions
        root, step = field.root(values, np)
        z = np.linalg.solve(root, values[f"{field.name}_deviation"] / step[:, None])
    return np.hstack([of_mean.reshape(len(z), -1), z.reshape(len(z), -1)])


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("family", [bp.Poisson(), bp.NegativeBinomial()], ids=repr)
def test_the_density_is_that_of_the_model_whatever_the_pseudo_data(name: str, family: Any) -> None:
    """log p(y, phi, w) by its parts, and the Jacobian of w(u) by differences, which are exact: w is affine in u."""
    bound = bp.Model("y ~ x", PRIORS[name], family).bind(world(4, 3))
    assert chained(bound)
    target, rng = corrected(bound, 0.4), np.random.default_rng(1)
    point, u = rng.normal(0, 0.5, target.density.size), rng.standard_normal(target.weights)
    values = target.density.values(np.tile(point, (target.weights + 1, 1)))
    moved = np.vstack([np.zeros(target.weights), np.eye(target.weights)])
    z = standardised(bound, values | target.chain.drawn(values, len(moved), moved))
    jacobian = z[1:] - z[0]
    # A walk is drawn from as many numbers at its last place as at the others, of which some are not needed.
    log_volume = 0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1]
    one = {key: value[:1] for key, value in values.items()}
    wanted, rest = [], target.density.log_prior(point[None], one)[0]
    for each in turned(u[None])[0]:
        drawn = one | target.chain.drawn(one, 1, each[None])
        log_likelihood = bound.family.likelihood(
            linear_predictors(bound, drawn, 1)[0].T, bound.family_values(drawn, axes=1), bound.constants,
            np).log_density(bound.y).sum()
        white = standardised(bound, drawn)[0]
        wanted.append(rest + log_likelihood - 0.5 * (white @ white) - 0.5 * len(white) * np.log(2 * np.pi))
    needed = np.linalg.norm(jacobian, axis=1) > 0
    spare = -0.5 * (turned(u[None])[0][:, ~needed] ** 2).sum(axis=1) - 0.5 * (~needed).sum() * np.log(2 * np.pi)
    found = target.each_value(np.append(point, u)[None])[0]
    average = np.logaddexp.reduce(np.array(wanted) + spare) - np.log(2 * TURNS) + log_volume
    np.testing.assert_allclose(found, average, rtol=0, atol=1e-7)


def test_eta_given_pseudo_data_has_the_moments_of_draws() -> None:
    bound = bp.Model("y ~ x", PRIORS["field"], bp.Poisson()).bind(world(5, 2))
    target, rng = corrected(bound, 0.0), np.random.default_rng(2)
    chain = target.chain
    assert isinstance(chain, FieldDensity)
    values = target.density.values(np.tile(rng.normal(0, 0.5, target.density.size), (4000, 1)))
    mean, root = chain_moments(bound, values | chain.draw_rest(values, 4000, rng), 4000)
    batch = next(chain.bound.rows.batches())
    fit, variance = chain.moments({key: value[:1] for key, value in values.items()}, 1, batch)
    offset = bound.coefficients.predictors(bound.x, bound.everywhere) @ chain.arrangement.centre
    sd = batch.constants * np.sqrt(variance[0])
    assert np.abs((mean[0] - offset - batch.constants * fit[0]) / sd).max() * np.sqrt(4000) < 4
    assert np.abs(root[0, 0] / sd - 1).max() * np.sqrt(2 * 4000) < 4


def test_a_field_of_counts_has_the_same_evidence_under_other_pseudo_data() -> None:
    bound = bp.Model("y ~ 1", PRIORS["field"], bp.Poisson()).bind(world(30, 1))
    fits = [Laplace(fallback=False).sample(bound, seed, False)["importance"].attrs for seed in (1, 2)]
    assert min(each["ess"] for each in fits) > 400
    error = np.hypot(*(each["log_evidence_se"] for each in fits))
    assert abs(fits[0]["log_evidence"] - fits[1]["log_evidence"]) < 4 * error


def monte_carlo_errors(draws: np.ndarray) -> np.ndarray:
    """Monte Carlo errors of the means of draws (chain, draw, entry)."""
    errors: list[Any] = [array_stats.mcse(draws[..., k], method="mean") for k in range(draws.shape[2])]
    return np.array(errors, float)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walk", "field"])
@pytest.mark.parametrize(("formula", "family"), [("y ~ x", bp.Poisson()), ("yes ~ x", bp.Bernoulli())])
def test_draws_are_those_of_the_explicit_program(name: str, formula: str, family: Any) -> None:
    model, frame = bp.Model(formula, PRIORS[name], family), world(10, 3, seed=4)
    fast = bp.fit(model, frame, seed=1, progress=False)
    assert "pseudo-data" in fast.tree["posterior"].attrs["engine"] and not fast.diagnostics.complaints
    explicit = bp.fit(model, frame, seed=2, progress=False,
                      method=bp.NUTS(draws=2000, collapse=False, target_accept=0.98))
    scores = {}
    assert fast.bound.mean is not None
    for parameter in (*fast.bound.parameters, fast.bound.mean):
        each = [np.asarray(posterior.tree["posterior"][parameter.name]) for posterior in (fast, explicit)]
        each = [np.log(draws) if parameter.support == "positive" else draws for draws in each]
        each = [draws.reshape(*draws.shape[:2], -1) for draws in each]
        errors = [monte_carlo_errors(draws) for draws in each]
        gap = each[0].mean(axis=(0, 1)) - each[1].mean(axis=(0, 1))
        scores[parameter.name] = float(np.abs(gap / np.hypot(*errors)).max())
    assert max(scores.values()) < 4, scores


def test_a_walk_of_counts_is_fitted_by_default_and_left_out() -> None:
    frame = world(40, 2, seed=5)
    posterior = bp.fit(bp.Model("y ~ x", PRIORS["walk"], bp.Poisson()), frame, seed=1, progress=False,
                       method=WalkSampling(draws=500, thin=1))
    assert not posterior.diagnostics.complaints, posterior.diagnostics
    assert "pseudo-data" in posterior.tree["posterior"].attrs["engine"]
    result = bp.loo(posterior)
    assert np.isfinite(result.elpd)


def test_which_models_are_chains() -> None:
    frame = world(5, 3)
    assert not chained(bp.Model("y ~ x", PRIORS["walk"]).bind(frame))
    both = bp.Model("y ~ x", PRIORS["walk"] + PRIORS["field"], bp.Poisson()).bind(frame)
    assert not chained(both)
