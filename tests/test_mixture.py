"""Mixture: types are summed out, have no names, and rows take them with the right probability."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import unsampled
from scipy import special, stats

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.errors import NotFittedError, SpecificationError
from bayes_personal.leaving_out.group_integral import GroupIntegral
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.questions.profile import profiles
from bayes_personal.samplers.draws import flat, tree

PRIORS = [bp.Mixture(3), bp.Mixture(3, gate=["age", "sex"]), bp.Mixture(2, on="dose", gate="age")]


def some(bound: BoundModel, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values = {each.name: each.value(rng.normal(0, 0.7, each.size)) for each in bound.parameters}
    return values if bound.mean is None else values | {bound.mean.name: bound.mean.value(
        rng.normal(0, 0.3, bound.mean.size))}


def by_hand(bound: BoundModel, values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Log probability of each type before the outcome, and theta under each, (unit, type) and (unit, type, 2)."""
    (field,), count = bound.nonlinear, bound.nonlinear[0].branches
    if field.contexts:
        c = np.concatenate([one.at(bound.frame) for one in field.contexts], axis=1)
        logit = values[f"{field.name}_level_gate"] + c @ values[f"{field.name}_slope_gate"].T
    else:
        logit = np.tile(np.log(values[f"{field.name}_gate"]), (len(bound.y), 1))
    shared = bound.centred_mean(values, np) @ bound.coefficients.to_data_units(bound.everywhere)
    theta = np.tile(shared, (count, 1))
    theta[:, field.positions] += (values[f"{field.name}_component"]
                                  @ bound.coefficients.to_data_units(field.positions))
    return logit - special.logsumexp(logit, axis=1, keepdims=True), np.tile(theta, (len(bound.y), 1, 1))


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_types_are_summed_out(frame: pd.DataFrame, prior: bp.Mixture) -> None:
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=20)
    bound, draws = posterior.bound, flat(posterior.tree)
    found = bp.log_likelihood(posterior, kind="conditional", progress=False)["y"].to_numpy().reshape(40, -1)
    for draw in (0, 17, 39):
        gate, theta = by_hand(bound, {name: value[draw] for name, value in draws.items()})
        each = stats.norm.logpdf(bound.y[:, None], (theta * bound.x[:, None]).sum(axis=-1), draws["sigma"][draw])
        np.testing.assert_allclose(found[draw], special.logsumexp(gate + each, axis=1), rtol=1e-10)


@pytest.mark.parametrize("prior", PRIORS[:2], ids=repr)
def test_types_have_no_names(frame: pd.DataFrame, prior: bp.Mixture) -> None:
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=20)
    bound, draws = posterior.bound, flat(posterior.tree)
    field, order = bound.nonlinear[0], np.array([2, 0, 1])
    moved = {name: value[:, order] if name.startswith(field.name) and "type" in str(bound.dims[name]) else value
             for name, value in draws.items() if name not in ("y",) and not name.endswith(("share", "spread"))}
    again = Posterior(posterior.model, bound, tree(bound, moved, 2))
    for kind, name in (("unit", "y_left_out"), ("conditional", "y")):
        np.testing.assert_allclose(bp.log_likelihood(again, kind=kind, progress=False)[name],
                                   bp.log_likelihood(posterior, kind=kind, progress=False)[name], rtol=1e-9)
    for name in (f"{field.name}_share", f"{field.name}_spread"):
        np.testing.assert_allclose(again.tree["posterior"][name], posterior.tree["posterior"][name], rtol=1e-9)
    np.testing.assert_allclose(bp.responsibilities(again), bp.responsibilities(posterior), rtol=0, atol=1e-9)


def test_responsibilities_match_types_that_draws_number_differently(frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.Mixture(2)), frame, draws=20)
    draws = {each.name: flat(posterior.tree)[each.name] for each in posterior.bound.parameters}
    one = {name: np.repeat(value[3:4], 40, axis=0) for name, value in draws.items()}
    mixed = {name: value.copy() for name, value in one.items()}
    for name in ("mixture_component", "mixture_gate"):
        mixed[name][::2] = mixed[name][::2, ::-1]
    bound = posterior.bound
    same, shuffled = (bp.responsibilities(Posterior(posterior.model, bound, tree(bound, each, 2)))
                      for each in (one, mixed))
    np.testing.assert_allclose(shuffled, same, rtol=0, atol=1e-12)
    assert shuffled.index.equals(frame.index) and np.allclose(shuffled.sum(axis=1), 1)
    gate, theta = by_hand(bound, {name: value[0] for name, value in one.items()})
    each = gate + stats.norm.logpdf(bound.y[:, None], (theta * bound.x[:, None]).sum(axis=-1), one["sigma"][0])
    wanted = special.softmax(each, axis=1)
    np.testing.assert_allclose(same, wanted[:, np.argsort(-wanted.sum(axis=0))], rtol=0, atol=1e-12)


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_rows_take_types_with_the_probability_that_they_have(frame: pd.DataFrame, prior: bp.Mixture) -> None:
    """Of training rows given their outcome, of new rows given their context."""
    model = bp.Model("y ~ dose", prior)
    made = unsampled(model, frame, draws=2)
    values = some(made.bound)
    count = 4000
    repeated = {name: np.repeat(np.asarray(value)[None], count, axis=0) for name, value in values.items()}
    posterior = Posterior(model, made.bound, tree(made.bound, repeated, 2))
    gate, theta = by_hand(made.bound, values)
    each = gate + stats.norm.logpdf(made.bound.y[:, None], (theta * made.bound.x[:, None]).sum(axis=-1),
                                    values["sigma"])
    for found, logs in ((posterior.theta, each),
                        (bp.predict(posterior, frame.drop(columns="y"), kind="theta", seed=1).draws, gate)):
        wanted = special.softmax(logs, axis=1)
        drawn = found.to_numpy().reshape(count, len(frame), 2)
        for k in range(prior.components):
            share = (np.abs(drawn - theta[:, k]).max(axis=-1) < 1e-9).mean(axis=0)
            error = np.sqrt(wanted[:, k] * (1 - wanted[:, k]) / count)
            assert (np.abs(share - wanted[:, k]) <= 4.5 * error + 1e-9).all()


def test_theta_and_outcomes_are_the_same_whichever_are_asked_for(frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model("y ~ dose", bp.Mixture(3, gate="age")), frame, draws=50)
    whole = posterior.theta.to_numpy()
    np.testing.assert_array_equal(posterior.theta.isel(unit=[31, 4], draw=[7, 3]), whole[:, [7, 3]][:, :, [31, 4]])
    mean = bp.predict(posterior, kind="mean", seed=0).draws
    np.testing.assert_allclose(mean, (whole * posterior.bound.x).sum(axis=-1), rtol=1e-12)
    outcome = bp.predict(posterior, frame, kind="outcome", seed=5).draws
    np.testing.assert_array_equal(outcome.isel(unit=[31, 4]), outcome.to_numpy()[:, :, [31, 4]])


def test_types_that_a_group_tells_exactly_are_those_of_conditional(frame: pd.DataFrame) -> None:
    """A gate that leaves no doubt, which no sampler reaches, makes the types known groups."""
    mixed = bp.Model("y ~ dose", bp.Mixture(5, gate="site")).bind(frame)
    apart = bp.Model("y ~ dose", bp.Conditional("site")).bind(frame)
    values = some(mixed)
    (field,) = mixed.nonlinear
    effect = np.random.default_rng(2).normal(size=(5, 2)) * apart.coefficients.unit
    c = field.contexts[0].at(frame)
    which = c.argmax(axis=1)
    slope = 1e3 * np.eye(5)
    branches = mixed.branches(values | {"mixture_site_slope_gate": slope, "mixture_site_component": effect,
                                        "mixture_site_level_gate": np.zeros(5)}, mixed.features, mixed.x, np)
    eta = mixed.eta(values, np)
    found = mixed.log_likelihood(mixed.y, eta, {"sigma": np.array(4.0)}, mixed.constants, branches)
    theta = (apart.coefficients.location + effect) @ apart.coefficients.to_data_units(apart.everywhere)
    np.testing.assert_allclose(found, stats.norm.logpdf(mixed.y, (theta[which] * mixed.x).sum(axis=1), 4.0), rtol=1e-9)


def types(seed: int, rows: int = 150) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Two types with opposite slopes, whose shares depend on c."""
    rng = np.random.default_rng(seed)
    c, x = rng.uniform(-2, 2, rows), rng.normal(size=rows)
    z = (rng.random(rows) < special.expit(3 * c)).astype(int)
    theta = np.array([[-1.0, -1.0], [1.0, 1.5]])[z]
    return pd.DataFrame({"x": x, "c": c, "y": theta[:, 0] + theta[:, 1] * x + 0.5 * rng.normal(size=rows)}), theta, z


def test_two_types_are_found_and_said_to_be_found() -> None:
    rows, theta, z = types(0)
    posterior = bp.fit(bp.Model("y ~ x", bp.Mixture(2, gate="c")), rows, seed=1, progress=False,
                       method=bp.NUTS(draws=750, tune=500, chains=2))
    assert not posterior.complaints, posterior.complaints
    found = posterior.theta.mean(("chain", "draw")).to_numpy()
    alone = np.linalg.lstsq(posterior.bound.x, posterior.bound.y)[0]
    assert np.sqrt(np.mean((found - theta) ** 2)) < 0.45 * np.sqrt(np.mean((alone - theta) ** 2))
    share = bp.responsibilities(posterior)
    first = (theta[:, 1] > 0) if theta[share["type 1"] > 0.5, 1].mean() > 0 else (theta[:, 1] < 0)
    assert ((share["type 1"] > 0.5) == first).mean() > 0.85
    # The best that can be said of each row: its types' true probability given all but the parameters.
    elpd = bp.loo(posterior, progress=False)
    plain = bp.loo(bp.fit(bp.Model("y ~ x"), rows, seed=1, progress=False), progress=False)
    assert elpd.elpd > plain.elpd + 30 and float(elpd.pareto_k.max()) < 0.7


def test_what_is_refused(frame: pd.DataFrame) -> None:
    for make, words in ((lambda: bp.Mixture(1), "with one type is Population"),
                        (lambda: bp.Mixture(2, gate="age", concentration=1.0), "Drop one of them"),
                        (lambda: bp.Mixture(2, concentration=-1.0), "concentration=-1"),
                        (lambda: bp.Mixture(2, mean=bp.Hyperprior("Cauchy", beta=1)), "must be a Normal"),
                        (lambda: bp.Model("y ~ dose", bp.Mixture(2) + bp.Mixture(2, gate="age")).bind(frame),
                         "only one summand")):
        with pytest.raises(SpecificationError, match=words):
            make()
    posterior = unsampled(bp.Model("y ~ dose", bp.Mixture(2)), frame, draws=20)
    with pytest.raises(SpecificationError, match="rows choose among alternatives.*refit=bp.NUTS"):
        bp.loo(posterior, kind="group", by="site", progress=False)
    with pytest.raises(SpecificationError, match="the model has Population"):
        bp.responsibilities(unsampled(bp.Model("y ~ dose"), frame, draws=20))
    with pytest.raises(NotFittedError):
        bp.responsibilities(frame)


@pytest.mark.parametrize("prior", [*PRIORS, bp.Repulsive("age", archetypes=2),
                                   bp.Mixture(2) + bp.PartialPooling("site")], ids=repr)
def test_rows_that_are_left_out_together_are_each_of_any_type(frame: pd.DataFrame, prior: bp.priors.Prior) -> None:
    """Given all that a refit samples, rows are independent, and each one's type is summed out."""
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=40)
    sets = [np.flatnonzero(frame["site"] == site) for site in frame["site"].unique()[:3]] + [np.array([5])]
    found = [each for each, _ in GroupIntegral.of_rows(posterior.bound).left_out(flat(posterior.tree), sets)]
    apart = bp.log_likelihood(posterior, kind="conditional", progress=False)["y"].to_numpy().reshape(80, -1)
    for rows, one in zip(sets, found, strict=True):
        np.testing.assert_allclose(one, apart[:, rows].sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize(("gate", "kind", "places"), [
    ("age", "points", 40), (None, "labels", 40), ("sex", "labels", 2)])
def test_rows_with_types_are_shown_row_by_row(frame: pd.DataFrame, gate: str | None, kind: str, places: int) -> None:
    """Two rows of one context may be of two types: a curve through them would say that they are not."""
    posterior = unsampled(bp.Model("y ~ dose", bp.Mixture(2, gate=gate)), frame, draws=20)
    for one in profiles(posterior, None, None):
        assert one.kind == kind and one.total == places and len(one.summary) == places
    assert bp.plot_theta(posterior).axes
