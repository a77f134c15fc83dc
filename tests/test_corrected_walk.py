"""A walk under families that are not Normal: Gibbs draws are those of the model, and healthy at the defaults."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base.array import array_stats
from calibration import assert_healthy
from pace import cases

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.linearised.chains import linear_predictors
from bayes_personal.densities.linearised.linearised_density import LinearisedDensity
from bayes_personal.hyperpriors.distributions import DISTRIBUTIONS
from bayes_personal.samplers.corrected_walk import CorrectedWalk, walks_under_pseudo_data

MEAN = bp.Hyperprior("Normal", mu=0.0, sigma=0.5)
SCALE = bp.Hyperprior("LogNormal", mu=-1.0, sigma=0.5)
FAMILIES: dict[str, Any] = {
    "StudentT": bp.StudentT(sigma=bp.Hyperprior("LogNormal", mu=0.0, sigma=0.4)),
    "NegativeBinomial": bp.NegativeBinomial(),
    "Cumulative": bp.Cumulative(levels=range(3)), "Beta": bp.Beta(), "Bernoulli": bp.Bernoulli(), "Gamma": bp.Gamma(),
    "ZeroInflatedPoisson": bp.ZeroInflatedPoisson(), "Weibull": bp.Weibull()}
OUTCOMES: dict[str, list[float]] = {
    "StudentT": [0.3, -0.2, 0.1, 4.0, 1.1, 1.4, 0.9, 0.2], "NegativeBinomial": [0, 1, 0, 2, 7, 3, 1, 2],
    "Cumulative": [0, 1, 0, 1, 2, 2, 1, 2], "Beta": [0.1, 0.8, 0.3, 0.5, 0.9, 0.4, 0.6, 0.7],
    "Bernoulli": [0, 0, 0, 1, 1, 1, 1, 0], "Gamma": [0.1, 2.0, 0.3, 3.0, 0.5, 1.5, 4.0, 0.8],
    "ZeroInflatedPoisson": [0, 1, 0, 2, 4, 3, 0, 2], "Weibull": [0.5, 1.0, 0.3, 1.5, 2.5, 2.0, 1.2, 0.8]}


def few(family: str) -> pd.DataFrame:
    """Eight rows at four contexts."""
    x = np.array([0.5, -1.0, 1.2, 0.1, -0.4, 0.9, -0.8, 0.3])
    return pd.DataFrame({"c": np.arange(8) // 2, "x": x, "y": OUTCOMES[family]})


def at_prior(bound: BoundModel, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw all unknowns from their prior, many times."""
    values: dict[str, np.ndarray] = {
        each.name: np.asarray(DISTRIBUTIONS[each.distribution].draw(rng, (count, *each.shape), **each.arguments), float)
        for each in bound.hyperparameters}
    (walk,) = bound.terms
    return values | {f"{walk.name}_z": rng.standard_normal((count, *walk.scales(values, np)[0].shape[1:]))}


def numbers(bound: BoundModel, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the unknowns as columns: logarithms of positive ones, the mean, and the linear predictors."""
    count = len(next(iter(values.values())))
    parts = [np.log(values[each.name]) if each.support != "real" else values[each.name]
             for each in bound.hyperparameters]
    return np.hstack([part.reshape(count, -1) for part in (*parts, linear_predictors(bound, values, count))])


def under_wrong_pseudo_data(bound: BoundModel, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two chains, whose pseudo-data lie too high and say too much: all that is right comes from the corrections."""
    density = CorrectedWalk.of(bound, rng).density
    wrong = replace(density.pseudo, response=density.pseudo.response + 0.7 * bound.predictor_units[:, None],
                    precision=2 * density.pseudo.precision)
    model, chains = CorrectedWalk(LinearisedDensity(bound, wrong, np.zeros(0))), []
    for _ in range(2):
        state = model.start(rng)
        model.walk(state, model.rising(500), True, 500, rng)
        chains.append(model.walk(state, np.ones(8000), False, 2, rng))
    return model.values(tuple(np.concatenate(part) for part in zip(*chains, strict=True)))


@pytest.mark.parametrize("increments", ["laplace", "horseshoe"])
@pytest.mark.parametrize("family", cases(FAMILIES, every_run=["StudentT", "Cumulative"]))
def test_draws_have_the_moments_of_weighted_draws_of_the_prior(family: str, increments: Any) -> None:
    """First and second moments of everything, of eight rows."""
    on = None if increments == "laplace" else "x"
    model = bp.Model("y ~ x", bp.TotalVariation("c", increments, on, SCALE), FAMILIES[family], MEAN)
    bound, rng, count = model.bind(few(family)), np.random.default_rng(1), 100_000
    assert walks_under_pseudo_data(bound)
    values = at_prior(bound, count, rng)
    eta = linear_predictors(bound, values, count)
    likelihood = bound.family.likelihood(eta.transpose(0, 2, 1), bound.family_values(values, axes=1), bound.constants,
                                         np)
    logs = likelihood.log_density(bound.y).sum(axis=-1)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    assert 1 / (weights**2).sum() > 1000
    draws = under_wrong_pseudo_data(bound, rng)
    theirs, ours = numbers(bound, values), numbers(bound, draws)
    centre = weights @ theirs
    spread = np.sqrt(weights @ (theirs - centre) ** 2)
    theirs, ours = (theirs - centre) / spread, (ours - centre) / spread
    scores = []
    for power in (1, 2):
        chains = (ours**power).reshape(2, -1, ours.shape[1])
        own = np.array([array_stats.mcse(column, method="mean") for column in np.moveaxis(chains, -1, 0)], float)
        wanted = weights @ theirs**power
        error = np.sqrt(weights**2 @ (theirs**power - wanted) ** 2)
        scores.append((chains.mean(axis=(0, 1)) - wanted) / np.hypot(own, error))
    assert np.abs(scores).max() < 4, np.round(scores, 1)


def world(family: str, places: int = 40, seed: int = 1) -> pd.DataFrame:
    """A level that jumps, and a slope that stays."""
    rng, c = np.random.default_rng(seed), np.arange(places)
    x = rng.normal(size=places)
    eta = np.where(c < 0.4 * places, -0.5, 1.0) + 0.4 * x
    y = {"Cumulative": lambda: np.digitize(eta + rng.logistic(size=places), [-0.5, 1.0]),
         "StudentT": lambda: eta + 0.5 * rng.standard_t(3, places)}[family]()
    return pd.DataFrame({"c": c, "x": x, "y": y})


def test_a_fit_at_the_defaults_is_healthy_is_kept_and_is_left_out(tmp_path: Path) -> None:
    model, frame = bp.Model("y ~ x", bp.TotalVariation("c"), FAMILIES["Cumulative"]), world("Cumulative")
    posterior = bp.fit(model, frame, seed=1, progress=False)
    assert posterior.tree["posterior"].attrs["engine"] == CorrectedWalk.engine
    assert_healthy(posterior, ess=600)
    posterior.save(tmp_path / "posterior.nc")
    again = bp.load(tmp_path / "posterior.nc")
    assert str(again.diagnostics) == str(posterior.diagnostics)
    before, after = (bp.predict(each, frame.iloc[:5], seed=1).frame() for each in (posterior, again))
    pd.testing.assert_frame_equal(before, after)
    result = bp.loo(posterior, progress=False)
    assert np.isfinite(result.elpd) and not result.complaints, result.complaints


@pytest.mark.slow
def test_draws_do_not_depend_on_how_pseudo_data_were_made() -> None:
    """Chains under pseudo-data of other seeds, and the same of NUTS over every step."""
    model, frame = bp.Model("y ~ x", bp.TotalVariation("c"), FAMILIES["StudentT"]), world("StudentT", 15)
    explicit = bp.NUTS(draws=3000, collapse=False, target_accept=0.98)
    fits = [bp.fit(model, frame, seed=1, progress=False), bp.fit(model, frame, seed=2, progress=False),
            bp.fit(model, frame, seed=3, progress=False, method=explicit)]
    moments = []
    for posterior in fits:
        tree = posterior.tree["posterior"]
        columns = np.concatenate([np.asarray(tree[name]).reshape(tree.sizes["chain"], tree.sizes["draw"], -1)
                                  for name in ("mu", "sigma", "nu", "steps_c_scale", "steps_c_effect")], axis=-1)
        columns[..., 2:6] = np.log(columns[..., 2:6])
        error = [array_stats.mcse(column, method="mean") for column in np.moveaxis(columns, -1, 0)]
        moments.append((columns.mean(axis=(0, 1)), np.array(error, float)))
    for mean, error in moments[1:]:
        assert np.abs((mean - moments[0][0]) / np.hypot(error, moments[0][1])).max() < 4
