"""Invariant under other families than the Normal one: evidence of sets by quadrature, and spurious predictors."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from pace import cases
from scipy.special import logsumexp
from scipy.stats import bernoulli, poisson, t
from scipy.stats import norm as normal

import bayes_personal as bp
from bayes_personal.samplers.normal_sets import NormalSets
from bayes_personal.samplers.sampled_sets import SampledSets

FAMILIES = {"yes": bp.Bernoulli(), "count": bp.Poisson(), "measure": bp.StudentT(), "clustered": bp.NegativeBinomial()}


@cache
def frame(rows: int) -> pd.DataFrame:
    """x causes every outcome, each of which causes a predictor of its own, differently in each environment."""
    rng, frames = np.random.default_rng(1), []
    for place, spread in enumerate((0.5, 1.0, 2.0)):
        x = spread * rng.normal(size=rows)
        eta, turned = 0.3 + 1.2 * x, place - 0.8
        part = pd.DataFrame({"x": x, "yes": (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int),
                             "count": rng.poisson(np.exp(0.5 * eta)), "measure": eta + 0.7 * rng.standard_t(4, rows),
                             "clustered": rng.poisson(np.exp(0.5 * eta) * rng.gamma(4, 0.25, rows)),
                             "env": "abc"[place]})
        frames.append(part.assign(**{f"effect_{name}": turned * part[name] + rng.normal(size=rows)
                                     for name in FAMILIES}))
    return pd.concat(frames, ignore_index=True)


def sets(formula: str, rows: pd.DataFrame, family: bp.families.Family) -> SampledSets:
    bound = bp.Model(formula, bp.Invariant("env"), family).bind(rows)
    assert bound.elsewhere is not None
    return SampledSets.of(bound, bound.elsewhere, False)


def test_a_normal_family_has_the_evidence_that_is_exact() -> None:
    bound = bp.Model("measure ~ x + effect_measure", bp.Invariant("env")).bind(frame(20))
    assert bound.elsewhere is not None
    exact, sampled = (kind.of(bound, bound.elsewhere, False) for kind in (NormalSets, SampledSets))
    rng = np.random.default_rng(2)
    for place in range(4):
        for environments in ((0,), (2,), (0, 1, 2)):
            found, wanted = (each.evidence(place, environments, rng) for each in (sampled, exact))
            # The mean of n effective weights has a variance of about 1 / n; one environment has a quadrature instead.
            by_draws = (found, wanted) if len(environments) > 1 else (found,)
            error = np.sqrt(sum(np.exp(2 * each.log_weights).sum() for each in by_draws))
            assert abs(found.value - wanted.value) < 4 * error < 0.3


@pytest.mark.parametrize(("outcome", "logs"), [
    ("yes", lambda y, eta: bernoulli.logpmf(y, 1 / (1 + np.exp(-eta)))),
    ("count", lambda y, eta: poisson.logpmf(y, np.exp(eta)))])
def test_evidence_is_that_of_quadrature(outcome: str, logs) -> None:
    rows = frame(8)
    found, rng = sets(f"{outcome} ~ x", rows, FAMILIES[outcome]), np.random.default_rng(3)
    x, codes = rows["x"].to_numpy() - rows["x"].mean(), pd.factorize(rows["env"])[0]
    nodes = np.array(list(product(np.linspace(-8, 8, 161), repeat=2)))
    for place, members in enumerate(([0], [0, 1])):
        for environments in ((0,), (0, 1, 2)):
            here = np.isin(codes, environments)
            theta = found.mean[members] + found.sd[members] * nodes[:, : len(members)]
            eta = theta @ np.column_stack([np.ones(here.sum()), x[here]])[:, members].T
            heights = logs(rows[outcome].to_numpy()[here], eta).sum(axis=1) + normal.logpdf(nodes).sum(axis=1)
            wanted = logsumexp(heights) + 2 * np.log(0.1)
            evidence = found.evidence(place, environments, rng)
            error = np.sqrt(np.exp(2 * evidence.log_weights).sum())
            assert abs(evidence.value - wanted) < 4 * error < 0.3
            assert abs(found.approximate(place, environments) - wanted) < 0.5


def test_slopes_are_those_of_differences() -> None:
    found = sets("measure ~ x", frame(8), bp.StudentT())
    density, rng = found.density(1, (0, 2)), np.random.default_rng(4)
    point = 0.3 * rng.normal(size=6)
    value, slope = density(point)
    assert value == pytest.approx(found.log_density(1, (0, 2), point[None])[0])
    for k, axis in enumerate(np.eye(6)):
        assert slope[k] == pytest.approx((density(point + 1e-5 * axis)[0] - density(point - 1e-5 * axis)[0]) / 2e-5,
                                         rel=1e-5, abs=1e-5)
    # The likelihood, apart from what is known of its unknowns.
    moved = found.log_density(1, (0,), np.array([[0.1, 0.2, 0.0, 0.0], [0.1, 0.4, 0.0, 0.0]]))
    rows = frame(8).query("env == 'a'")
    eta = [found.mean[0] + found.sd[0] * 0.1 + (found.mean[1] + found.sd[1] * at) * (rows["x"] - frame(8)["x"].mean())
           for at in (0.2, 0.4)]
    sigma, nu = (float(each.unit) for each in found.own)
    wanted = [t.logpdf(rows["measure"], nu, each, sigma).sum() - at**2 / 2 for each, at in zip(eta, (0.2, 0.4),
                                                                                            strict=True)]
    assert moved[1] - moved[0] == pytest.approx(wanted[1] - wanted[0], rel=1e-9)


@pytest.mark.parametrize("outcome", cases(FAMILIES, every_run=["count"]))
def test_spurious_predictors_are_left_out(outcome: str) -> None:
    rows, family = frame(150), FAMILIES[outcome]
    posterior = bp.fit(bp.Model(f"{outcome} ~ x + effect_{outcome}", bp.Invariant("env"), family), rows, seed=1,
                       progress=False)
    assert not posterior.complaints
    told = bp.invariance(posterior)
    assert told.loc["x", "probability"] > 0.9 and told.loc[f"effect_{outcome}", "probability"] < 1e-3
    slope = 1.2 if outcome in ("yes", "measure") else 0.6
    assert abs(told.loc["x", "mean"] - slope) < 4 * told.loc["x", "sd"]
    new = rows.iloc[:40].assign(env="new", **{f"effect_{outcome}": 50.0})
    drawn = bp.predict(posterior, new, kind="outcome", seed=1).draws
    seen = bp.predict(posterior, new.assign(**{f"effect_{outcome}": 0.0}), kind="outcome", seed=1).draws
    # What is left out changes nothing, but in the few draws in which it is not.
    assert float((drawn == seen).mean()) > 0.99
    for parameter in posterior.bound.family_parameters:
        assert f"env_{parameter.name}_elsewhere" in posterior.tree["posterior"]
    assert np.isfinite(bp.loo(posterior, kind="group", by="env", progress=False).elpd)
