"""Integrated leave-one-out against as many refits as there are rows; groups refitted by NUTS against exact sums."""

import numpy as np
import pandas as pd
import pytest
from calibration import assert_healthy
from leave_one_out import ASSUMPTIONS, curve, on_a_grid, refit

import bayes_personal as bp
from bayes_personal.leaving_out.refit import Average
from bayes_personal.samplers.draws import flat

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:loo. Pareto k")]


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_integrated_loo_is_refitting(name: str) -> None:
    prior, personal = ASSUMPTIONS[name]
    posterior = bp.fit(bp.Model("y ~ x", prior), curve(personal=personal), seed=1, progress=False,
                       method=bp.NUTS(draws=4000, tune=500, chains=2))
    assert_healthy(posterior, ess=200, r_hat=1.02)
    found = bp.loo(posterior, progress=False)
    conditional = bp.loo(posterior, kind="conditional", progress=False)
    truth = np.array([refit(posterior, row, bp.NUTS(draws=400, tune=300, chains=2)) for row in range(60)])
    ours, theirs = (each.elpd_i.to_numpy() - truth[:, 0] for each in (found, conditional))
    message = (f"{name}: refits {truth[:, 0].sum():.2f}; integrated {ours.sum():+.2f}, largest {np.abs(ours).max():.3f}"
               f", {(np.abs(ours) > 0.05).sum()} above 0.05; conditional {theirs.sum():+.2f}, largest "
               f"{np.abs(theirs).max():.3f}, {int((conditional.pareto_k > 0.7).sum())} Pareto k above 0.7")
    print(message)
    assert (np.abs(ours) < 0.05 + 4 * truth[:, 1]).all(), message
    assert np.abs(ours).max() < np.abs(theirs).max(), message
    # Where theta leans on many rows, conditioning on it costs little; where it is each row's own, it misleads.
    assert not personal or abs(ours.sum()) < 0.2 * theirs.sum(), message


@pytest.mark.parametrize("family", [bp.Poisson(), bp.Bernoulli()], ids=repr)
def test_every_group_is_refitted_by_nuts(family: bp.families.Family) -> None:
    y = [0, 1, 0, 3, 2, 5, 1, 1, 0, 9, 6, 4] if isinstance(family, bp.Poisson) else [0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0]
    frame = pd.DataFrame({"y": y, "g": np.repeat(list("abcd"), 3), "week": [1, 2, 3] * 4})
    posterior, grid = on_a_grid(family, frame, draws=2000)
    found = bp.loo(posterior, kind="group", by="week", refit=bp.NUTS(draws=1000, target_accept=0.95), progress=False)
    exact = np.array([grid.left_out(np.flatnonzero(frame["week"] == week)) for week in (1, 2, 3)])
    error = found.refits["se"].to_numpy()
    assert (np.abs(found.elpd_i - exact) < 4 * error).all() and (error < 0.05).all(), (found.elpd_i - exact, error)


def test_groups_are_left_out_of_a_mixture() -> None:
    """By refits, beside fits to the other rows that are averaged plainly."""
    rng = np.random.default_rng(5)
    x, first = rng.normal(size=90), rng.random(90) < 0.4
    frame = pd.DataFrame({"y": np.where(first, 1.5, -1.0) * x + 0.5 * rng.normal(size=90), "x": x,
                          "week": np.arange(90) % 3})
    # Hyperpriors of their own: those of a fit to other rows are then the same.
    mean, error = bp.Hyperprior("Normal", mu=0, sigma=2), bp.Hyperprior("HalfNormal", sigma=1)
    model = bp.Model("y ~ x", bp.Mixture(2, mean=mean), bp.Normal(sigma=error))
    method = bp.NUTS(draws=1500, chains=2, target_accept=0.95)
    posterior = bp.fit(model, frame, seed=1, progress=False, method=method)
    assert_healthy(posterior, ess=200, r_hat=1.02)
    found = bp.loo(posterior, kind="group", by="week", refit=method, progress=False)
    assert (found.refits["complaints"] == "").all(), found.refits
    for place, week in enumerate(range(3)):
        left = frame["week"] == week
        rest = bp.fit(model, frame[~left], seed=2, progress=False, method=method)
        draws, bound = flat(rest.tree), rest.bound
        x = np.column_stack([np.ones(left.sum()), frame.loc[left, "x"]])
        branches = bound.branches(draws, bound.features_at(frame[left]), x, np)
        logs = bound.log_likelihood(frame.loc[left, "y"].to_numpy(), np.zeros((len(draws["sigma"]), len(x), 1)),
                                    {"sigma": draws["sigma"][:, None]}, np.ones(len(x)), branches).sum(axis=1)
        average = Average.of(logs, 2)
        away = float(found.elpd_i[place]) - average.log
        allowed = np.hypot(average.error, found.refits["se"].iloc[place])
        assert abs(away) < 4 * allowed < 0.5, (week, away, allowed)
