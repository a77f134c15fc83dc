"""New groups from a few rows: the exact conditional of every draw, and the posterior of a fit to all rows."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from calibration import conditioned, unsampled, z_scores
from low_rank import FORMULA, tasks
from scipy import stats
from scipy.special import logsumexp, softmax

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError
from bayes_personal.questions.few_shot import FewShot, branched
from bayes_personal.samplers.draws import flat

PRIORS = [bp.MetaLearned("site", rank=1), bp.PartialPooling("site"), bp.PartialPooling("site", on="dose"),
          bp.Conditional("site"), bp.MetaLearned("site", rank=0) + bp.GaussianProcess("age", on="Intercept")]


def new_rows(**more: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"y": [118.0, 131.0, 122.0, 140.0, 151.0], "dose": [4.0, 9.0, 6.0, 11.0, 3.0],
                          "age": [30.0, 41.0, 55.0, 62.0, 47.0], "se": [1.0, 2.0, 1.5, 3.0, 2.5],
                          "site": ["Turku", "Turku", "Turku", "Vaasa", "Vaasa"]})
    return frame.assign(**more)


@pytest.mark.parametrize("family", [bp.Normal(), bp.Normal(sd="se")], ids=repr)
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_every_draw_has_the_exact_conditional(frame: pd.DataFrame, prior: Any, family: Any) -> None:
    """Against the joint normal of the new rows' outcomes and their group's weights, written out."""
    posterior, rows = conditioned(bp.Model("y ~ dose", prior, family), frame, draws=3), new_rows()
    few, values = FewShot.of(posterior.bound, rows), flat(posterior.tree)
    term = few.terms[0]
    effect = values[f"{term.name}_effect"]
    nothing = {**values, f"{term.name}_effect": np.concatenate([effect, np.zeros((6, 2, effect.shape[2]))], axis=1)}
    theta = few.bound.theta(nothing, few.bound.features_at(rows), 5)
    scale, root = term.scales(values, np)
    for place in range(2):
        of = (rows["site"] == ["Turku", "Vaasa"][place]).to_numpy()
        found = few.group_weights(values, term.size - 2 + place, np.random.default_rng(1))
        x = posterior.bound.coefficients.predictors(few.x[of], term.positions)
        for draw in range(6):
            # Conditional has the same scale, a constant, at every draw.
            own = x * scale[min(draw, len(scale) - 1)] @ (np.eye(x.shape[1]) if root is None else root[draw])
            error = rows["se"][of] if family.sd else np.full(of.sum(), values["sigma"][draw])
            covariance, mean = own @ own.T + np.diag(error**2), (theta[draw, of] * few.x[of]).sum(axis=1)
            gain = own.T @ np.linalg.inv(covariance)
            np.testing.assert_allclose(found.means[draw, 0], gain @ (few.y[of] - mean), rtol=0, atol=1e-8)
            np.testing.assert_allclose(np.linalg.inv(found.lower[draw] @ found.lower[draw].T),
                                       np.eye(x.shape[1]) - gain @ own, rtol=0, atol=1e-8)
            np.testing.assert_allclose(found.log_evidence[draw],
                                       stats.multivariate_normal(mean, covariance).logpdf(few.y[of]), rtol=0, atol=1e-8)


CHOICES = [bp.PartialPooling("site", on="Intercept") + bp.Mixture(2, on="dose"),
           bp.PartialPooling("site") + bp.Repulsive("age", archetypes=3),
           bp.PartialPooling("site", on="Intercept") + bp.Mixture(3, gate="age", on=["Intercept", "dose"])]


def enumerated(few: FewShot, values: dict, draw: int, site: str) -> tuple[np.ndarray, np.ndarray]:
    """Of all ways in which a new group's rows choose their alternatives, at one draw: log p(rows, choices), and the
    mean of the group's whitened weights."""
    term, of = few.terms[0], (few.rows["site"] == site).to_numpy()
    count, features, x = int(of.sum()), few.bound.features_at(few.rows[of]), few.x[of]
    effect = values[f"{term.name}_effect"]
    nothing = np.zeros((len(effect), 2, effect.shape[2]))
    complete = {**values, f"{term.name}_effect": np.concatenate([effect, nothing], axis=1)}
    scale, root = term.scales(values, np)
    own = few.bound.coefficients.predictors(x, term.positions) * scale[draw]
    own = own if root is None else own @ root[draw]
    covariance = own @ own.T + np.eye(count) * values["sigma"][draw] ** 2
    gate, logs, means = few.bound.branches(values, features, x, np)[0][draw], [], []
    for choice in product(range(gate.shape[1]), repeat=count):
        theta = few.bound.theta(complete, features, count, np.broadcast_to(choice, (len(effect), count)))[draw]
        eta = (theta * x).sum(axis=1)
        logs.append(stats.multivariate_normal(eta, covariance).logpdf(few.y[of]) + gate[range(count), choice].sum())
        means.append(own.T @ np.linalg.solve(covariance, few.y[of] - eta))
    return np.array(logs), np.array(means)


@pytest.mark.parametrize("prior", CHOICES, ids=repr)
def test_rows_that_choose_are_enumerated(frame: pd.DataFrame, prior: Any) -> None:
    posterior = unsampled(bp.Model("y ~ dose", prior), frame, draws=2)
    few, values = FewShot.of(posterior.bound, new_rows()), flat(posterior.tree)
    for place, site in enumerate(["Turku", "Vaasa"]):
        found = few.group_weights(values, few.size - 2 + place, np.random.default_rng(1))
        for draw in range(4):
            logs, means = enumerated(few, values, draw, site)
            np.testing.assert_allclose(found.log_evidence[draw], logsumexp(logs), rtol=1e-10)
            np.testing.assert_allclose(softmax(found.log_weights[draw]) @ found.means[draw], softmax(logs) @ means,
                                       rtol=1e-7, atol=1e-8)


def test_of_too_many_choices_some_are_followed_without_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Averages over repetitions of the evidence, and of the evidence times the mean, are those of all choices."""
    rng = np.random.default_rng(5)
    rows = (rng.normal(size=6), rng.normal(size=(6, 1)), np.log([0.4, 0.6]) * np.ones((6, 1)), rng.normal(size=(6, 2)))
    repeated = [np.repeat(each[None], 4000, axis=0) for each in rows]
    means, logs = (each[0] for each in branched(*(each[:1] for each in repeated), rng))
    assert len(logs) == 2**6
    monkeypatch.setattr("bayes_personal.questions.few_shot.MOST", 4)
    some, some_logs = branched(*repeated, rng)
    assert some_logs.shape == (4000, 4)
    weights = np.exp(some_logs - logsumexp(logs))
    mean = (weights * some[..., 0]).sum(axis=1), softmax(logs) @ means[:, 0]
    for each, exact in ((weights.sum(axis=1), 1.0), mean):
        assert each.std() > 0.01 and abs(each.mean() - exact) < 4 * each.std() / np.sqrt(4000)


def test_draws_and_groups_are_weighed_by_the_choices(frame: pd.DataFrame) -> None:
    """Against all draws, weighed by hand: two rows that say either a high level and a falling line or the reverse."""
    sure = bp.Hyperprior("LogNormal", mu=0.7, sigma=0.05)
    prior = bp.PartialPooling("g", on="Intercept", scale=sure) + bp.Mixture(2, on="x", concentration=20.0)
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"x": rng.normal(size=40), "g": np.repeat(list("abcd"), 10)})
    rows["y"] = 1.2 * rows["x"] * np.where(np.arange(40) % 2, 1, -1) + rng.normal(size=40)
    model = bp.Model("y ~ x", prior, bp.Normal(sigma=bp.Hyperprior("LogNormal", mu=-0.7, sigma=0.05)),
                     mean=bp.Hyperprior("Normal", mu=0.0, sigma=0.1))
    posterior = unsampled(model, rows, draws=1000)
    draws = posterior.tree["posterior"]
    draws["mixture_component"] = draws["mixture_component"].copy(
        data=np.array([-1.2, 1.2])[:, None] + 0.1 * rng.normal(size=(2, 1000, 2, 1)))
    given = pd.DataFrame({"x": [1.0, 1.0], "g": ["n", "n"], "y": [2.2, 2.3]})
    new = pd.DataFrame({"x": [0.0], "g": ["n"]})
    found = bp.predict(posterior, new, given=given, kind="theta", seed=3).draws.sel(coefficient="Intercept").to_numpy()
    values = flat(posterior.tree)
    # The level z of the group on a grid, and both choices of each row, at each draw.
    z = np.linspace(-6, 6, 241)
    level = values["mu"][:, 0, None] + values["g_scale"].reshape(-1, 1) * z
    share = values["mixture_gate"] / values["mixture_gate"].sum(axis=1, keepdims=True)
    weight = stats.norm.pdf(z) * np.ones_like(level)
    for y in given["y"]:
        eta = level[:, :, None] + values["mixture_component"][:, None, :, 0] * 1.0
        weight *= (share[:, None] * stats.norm.pdf(y, eta, values["sigma"][:, None, None])).sum(axis=-1)
    mean = (weight * level).sum() / weight.sum()
    sd = np.sqrt((weight * (level - mean) ** 2).sum() / weight.sum())
    each = weight.sum(axis=1)
    effective = each.sum() ** 2 / (each**2).sum()
    assert effective > 400
    assert abs(found.mean() - mean) < 4 * sd / np.sqrt(400) and abs(found.std() / sd - 1) < 4 / np.sqrt(800)
    # Neither choice is out of the question: with a single slope the standard deviation would be that of the error.
    assert sd > 0.6


def test_given_rows_at_contexts_of_a_field_that_training_never_saw(frame: pd.DataFrame) -> None:
    """The field is drawn there first, given that at its neighbours, and what the rows say of it stays with it."""
    narrow = {"scale": bp.Hyperprior("LogNormal", mu=0.0, sigma=0.05)}
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"c": np.tile([1.0, 2, 3, 4], 6), "g": np.repeat(list("abcdef"), 4)})
    rows["y"] = rows["c"] + np.repeat(rng.normal(size=6), 4) + 0.3 * rng.normal(size=24)
    prior = bp.PartialPooling("g", **narrow) + bp.DistanceRegularized(
        "c", **narrow, anchor=bp.Hyperprior("LogNormal", mu=0.0, sigma=0.05))
    model = bp.Model("y ~ 1", prior, bp.Normal(sigma=bp.Hyperprior("LogNormal", mu=-1.0, sigma=0.05)),
                     mean=bp.Hyperprior("Normal", mu=0.0, sigma=0.05))
    posterior = with_latent(unsampled(model, rows, draws=2000))
    given = pd.DataFrame({"c": [2.5, 2.5, 2.0], "g": "n", "y": [1.5, 1.2, 0.5]})
    new = pd.DataFrame({"c": [2.5, 2.0, 2.5], "g": ["n", "n", "a"]})
    found = bp.predict(posterior, new, given=given, kind="theta", seed=1).draws.to_numpy().reshape(-1, 3)
    # Draws of all four numbers from the prior that the draws state, and then weighed by the given outcomes.
    values = flat(posterior.tree)
    (field,) = posterior.bound.gaussian_functions
    reading = field.contexts[0].at(pd.DataFrame({"c": [2.5]}))
    at = field.elsewhere(values, reading, np.random.default_rng(7))[:, 0, 0]
    own = values["g_scale"].ravel() * np.random.default_rng(8).standard_normal(4000)
    mu, known = values["mu"].ravel(), values[f"{field.name}_deviation"][:, 1, 0]
    theta = np.stack([mu + own + at, mu + own + known, mu + at + values["g_effect"][:, 0, 0]], axis=1)
    logs = sum(stats.norm.logpdf(y, theta[:, place], values["sigma"].ravel())
               for y, place in zip(given["y"], (0, 0, 1), strict=True))
    weight = softmax(logs)
    mean = weight @ theta
    sd = np.sqrt(weight @ (theta - mean) ** 2)
    error = sd * np.sqrt((weight**2).sum() + 1 / 400)
    assert (weight**2).sum() < 1 / 100
    assert (np.abs(found.mean(axis=0) - mean) < 4 * error).all(), (found.mean(axis=0), mean, error)


def with_latent(posterior: bp.Posterior) -> bp.Posterior:
    """With a field's values at the training contexts, drawn from their prior."""
    draws, (field,) = posterior.tree["posterior"].to_dataset(), posterior.bound.gaussian_functions
    shape = (2, draws.sizes["draw"], len(field.points), len(field.positions))
    z = np.random.default_rng(9).standard_normal(shape).reshape(-1, *shape[2:])
    for name, value in field.colored(flat(posterior.tree), z, np).items():
        draws[name] = (("chain", "draw", *field.latent[name]), value.reshape(*shape[:2], *value.shape[1:]))
    return bp.Posterior(posterior.model, posterior.bound, xr.DataTree.from_dict({"posterior": draws}))


@pytest.mark.parametrize("y", [[300.0], [300.0, 300.0], [300.0, 300.0, 300.0]])
def test_given_outcomes_may_be_equal(y: list[float], frame: pd.DataFrame) -> None:
    posterior = conditioned(bp.Model("y ~ dose", bp.PartialPooling("site"), bp.Normal(sd="se")), frame, draws=3)
    rows = new_rows().iloc[: len(y)].assign(y=y)
    np.testing.assert_array_equal(FewShot.of(posterior.bound, rows).y, y)


def test_a_new_source_beside_a_transfer_is_a_new_group(frame: pd.DataFrame) -> None:
    """The term of the target has nothing of its own for sources, new ones included."""
    posterior = conditioned(bp.Model("y ~ dose", bp.Transfer("site", "Delft") + bp.PartialPooling("site")), frame, 3)
    few, values = FewShot.of(posterior.bound, new_rows()), flat(posterior.tree)
    alone = FewShot.of(bp.Model("y ~ dose", bp.PartialPooling("site")).bind(frame), new_rows())
    for code in (few.size - 2, few.size - 1):
        found, wanted = (each.group_weights(values, code, np.random.default_rng(1)) for each in (few, alone))
        np.testing.assert_allclose(found.log_evidence, wanted.log_evidence, rtol=1e-10)


def test_few_draws_are_refused(learned: bp.Posterior) -> None:
    train, held = tasks(0)
    short = bp.Posterior(learned.model, learned.bound, learned.tree.isel(chain=[0], draw=slice(10)))
    with pytest.raises(SpecificationError, match="has 10 draws in all; .* takes 25"):
        bp.predict(short, held.iloc[-1:], given=train[train["task"] >= "t28"])


@pytest.fixture(scope="module")
def learned() -> bp.Posterior:
    train, _ = tasks(0)
    return bp.fit(bp.Model(FORMULA, bp.MetaLearned("task", rank=1)), train[train["task"] < "t28"], seed=1,
                  progress=False)


def test_it_is_the_posterior_of_a_fit_to_all_rows(learned: bp.Posterior) -> None:
    train, held = tasks(0)
    given = train[train["task"] >= "t28"]
    whole = bp.fit(learned.model, train, seed=2, progress=False)
    at = pd.concat([held[held["task"] >= "t28"].iloc[::4], held.iloc[:2]])
    one, other = (bp.predict(posterior, at, kind="theta", seed=1, **more).draws.to_numpy().reshape(-1, len(at), 6)
                  for posterior, more in ((learned, {"given": given}), (whole, {})))
    # Draws of a chain, and resampled ones, are worth fewer independent ones.
    assert np.abs(z_scores(one, other)).max() < 4 * np.sqrt(len(one) / 1000)
    np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.1)


def test_given_groups_are_known_and_others_stay_new(learned: bp.Posterior) -> None:
    train, held = tasks(0)
    given = train[train["task"] == "t29"]
    rows = held[held["task"] >= "t28"].iloc[::2]
    found = bp.predict(learned, rows, given=given, seed=1).frame()
    assert list(found["task_status"]) == ["new", "new", "known", "known"]
    assert found["sd"].iloc[2:].max() < 0.6 * found["sd"].iloc[:2].min()
    assert found.equals(bp.predict(learned, rows, given=given, seed=1).frame())


def test_order_of_given_rows_does_not_matter(learned: bp.Posterior) -> None:
    train, held = tasks(0)
    given, rows = train[train["task"] >= "t28"], held[held["task"] >= "t28"]
    one, other = (bp.predict(learned, rows, given=given.iloc[order], seed=1).draws.to_numpy()
                  for order in (slice(None), [0, 1, 2, 3, 7, 6, 5, 4]))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shift", [3, 40])
def test_rows_that_change_everything_are_said_to(learned: bp.Posterior, shift: float) -> None:
    train, held = tasks(0)
    given = train[train["task"] >= "t28"]
    with pytest.warns(ConvergenceWarning, match="effective draws .* Fit a frame that has these"):
        bp.predict(learned, held.iloc[-1:], given=given.assign(y=given["y"] + shift), seed=1)


@pytest.mark.parametrize(("prior", "family", "more", "error", "words"), [
    (bp.PartialPooling("site"), bp.Normal(), {"site": "Cork"}, SpecificationError, "groups are none"),
    (bp.GaussianProcess("age"), bp.Normal(), {}, SpecificationError, "groups are none"),
    (bp.PartialPooling("site") + bp.PartialPooling("sex", on="dose"), bp.Normal(), {"sex": "x"}, SpecificationError,
     "site, sex"),
    (bp.PartialPooling("site"), bp.Normal(), {"site": ["Turku", None, "Turku", "Cork", "Cork"]}, InputError,
     r"3 of 5 rows .*\(rows 1, 3, 4\)")])
def test_what_cannot_be_given(frame: pd.DataFrame, prior: Any, family: Any, more: dict, error: type[Exception],
                              words: str) -> None:
    posterior = conditioned(bp.Model("y ~ dose", prior), frame, draws=3)
    posterior = bp.Posterior(posterior.model, bp.Model("y ~ dose", prior, family).bind(frame), posterior.tree)
    with pytest.raises(error, match=words):
        bp.predict(posterior, frame, given=new_rows(**more))


def test_rows_that_choose_under_another_family_cannot_be_given(frame: pd.DataFrame) -> None:
    bound = bp.Model("y ~ dose", bp.PartialPooling("site") + bp.Mixture(2), bp.StudentT()).bind(frame)
    with pytest.raises(SpecificationError, match="Normal with one sigma; got StudentT"):
        FewShot.of(bound, new_rows())
