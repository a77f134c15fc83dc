"""Simulation draws from the generative model: against PyMC's own forward sampling of the program."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from calibration import SETTINGS, z_scores

import bayes_personal as bp
from bayes_personal.families import Bernoulli, Binomial, Poisson
from bayes_personal.model.program import program
from bayes_personal.priors.parts.base import Prior

DRAWS = 400


@pytest.mark.parametrize("prior", [bp.PartialPooling("site", concentration=1.0), bp.LinearVarying("age", on="dose")],
                         ids=repr)
def test_simulate_and_the_program_draw_alike(prior: Prior, frame: pd.DataFrame) -> None:
    model, frame = bp.Model("y ~ dose", prior), frame.iloc[::4]
    bound = model.bind(frame)
    with program(bound):
        names = [each.name for each in bound.parameters] + ["mu", *(f"{term.name}_effect" for term in bound.terms)]
        forward = pm.sample_prior_predictive(DRAWS, var_names=[*names, "y"], random_seed=1)
    values = {name: forward["prior"][name].to_numpy()[0] for name in names}
    simulations = [bp.simulate(model, frame, seed=seed) for seed in range(DRAWS)]
    for term in bound.terms:
        z = np.concatenate([each.values[f"{term.name}_z"].ravel() for each in simulations])
        assert abs(z.mean()) < 4 / np.sqrt(len(z)) and abs(z.var() - 1) < 4 * np.sqrt(2 / len(z))
    pairs = {name: (value, np.array([each.values[name] for each in simulations])) for name, value in values.items()}
    pairs["theta"] = bound.theta(values, bound.features, len(frame)), np.array([each.theta for each in simulations])
    pairs["y"] = forward["prior_predictive"]["y"].to_numpy()[0], np.array([each.outcome for each in simulations])
    for name, (one, other) in pairs.items():
        # A bounded function of each entry about its centre, and of its distance from there: location and spread.
        centre, spread = np.median(one, axis=0), one.std(axis=0) + (one.std(axis=0) == 0)
        for moment in (lambda u: np.tanh(u), lambda u: np.tanh(u) ** 2):
            z = z_scores(moment((one - centre) / spread), moment((other - centre) / spread))
            assert (np.abs(z) < 4).all(), f"{name}: {np.abs(z).max():.1f}"
    # Rows of one group move together: the covariance of two outcomes, and of two coefficients.
    for one, other in (pairs["y"], (pairs["theta"][0][:, 0], pairs["theta"][1][:, 0])):
        products = [np.tanh((each[:, 0] - one[:, 0].mean()) / one[:, 0].std())
                    * np.tanh((each[:, 1] - one[:, 1].mean()) / one[:, 1].std()) for each in (one, other)]
        assert abs(z_scores(*products)) < 4


@pytest.mark.parametrize("family", [bp.Normal(), bp.Normal(sd="se"), Poisson(exposure="time"), Bernoulli(),
                                    Binomial("trials")], ids=repr)
def test_predictors_times_theta_give_the_mean_of_the_outcome(family: bp.Normal, frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.PartialPooling("site", scale=bp.Hyperprior("HalfNormal", sigma=0.3)), family,
                     mean=bp.Hyperprior("Normal", mu=0, sigma=0.5))
    rows = frame.drop(columns="y").assign(time=np.linspace(0.5, 2, len(frame)), trials=np.arange(len(frame)) + 1)
    rows["dose"] = (rows["dose"] - rows["dose"].mean()) / 10
    total, variance = 0.0, 0.0
    for seed in range(60):
        made = bp.simulate(model, rows, seed=seed)
        eta = made.theta["Intercept"] + made.theta["dose"] * rows["dose"]
        if isinstance(family, Poisson):
            mean = spread = rows["time"] * np.exp(eta)
        elif isinstance(family, bp.Normal):
            mean, spread = eta, rows["se"] ** 2 if family.sd else made.values["sigma"] ** 2 + 0 * eta
        else:
            trials, p = rows["trials"] if isinstance(family, Binomial) else 1, 1 / (1 + np.exp(-eta))
            mean, spread = trials * p, trials * p * (1 - p)
        total += ((made.outcome - mean) / np.sqrt(spread)).sum()
        variance += len(rows)
    assert abs(total) < 4 * np.sqrt(variance)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_frame_without_the_outcome_is_enough(name: str) -> None:
    model = SETTINGS[name].model
    rows = SETTINGS[name].frame(np.random.default_rng(1))
    rows = rows.set_axis([f"row {i}" for i in range(len(rows))])
    made = bp.simulate(model, rows, seed=1)
    assert "y" not in rows and list(made.frame.columns) == [*rows.columns, "y"]
    assert made.outcome.index.equals(rows.index) and made.theta.index.equals(rows.index)
    np.testing.assert_array_equal(made.frame["y"], made.outcome)
    # What was simulated can be bound, and holds the hyperparameters of the model by name.
    bound = model.bind(made.frame)
    assert {each.name for each in bound.parameters} <= set(made.values)
    np.testing.assert_array_equal(bound.family.labelled(bound.y), made.outcome)


def test_an_outcome_that_is_there_is_replaced_and_gives_only_its_unit(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.PartialPooling("site"))
    made = bp.simulate(model, frame, seed=1)
    assert (made.outcome != frame["y"]).all()
    # Reflected at its mean, the outcome has the same mean and spread.
    reflected = bp.simulate(model, frame.assign(y=2 * frame["y"].mean() - frame["y"]), seed=1)
    np.testing.assert_allclose(reflected.outcome, made.outcome, rtol=1e-10)
    scaled = bp.simulate(model, frame.assign(y=1000 * frame["y"]), seed=1)
    np.testing.assert_allclose(scaled.outcome, 1000 * made.outcome, rtol=1e-10)
    np.testing.assert_allclose(scaled.theta, 1000 * made.theta, rtol=1e-9, atol=1e-9 * 1000)


def test_seeds(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.PartialPooling("site"))
    assert bp.simulate(model, frame, seed=2).outcome.equals(bp.simulate(model, frame, seed=2).outcome)
    assert (bp.simulate(model, frame, seed=2).outcome != bp.simulate(model, frame, seed=3).outcome).all()


@pytest.mark.parametrize("family", [Poisson(), Bernoulli()], ids=repr)
def test_counts_come_as_whole_numbers(family: bp.Normal, frame: pd.DataFrame) -> None:
    made = bp.simulate(bp.Model("y ~ 1", bp.PartialPooling("site"), family), frame.drop(columns="y"), seed=1)
    np.testing.assert_array_equal(family.outcome(made.outcome, made.frame), made.outcome)
