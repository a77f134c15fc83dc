"""New groups from a few rows: the exact conditional of every draw, and the posterior of a fit to all rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import conditioned, z_scores
from low_rank import FORMULA, tasks
from scipy import stats

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError
from bayes_personal.few_shot import FewShot
from bayes_personal.inference.draws import flat

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
    term = few.term
    effect = values[f"{term.name}_effect"]
    nothing = {**values, f"{term.name}_effect": np.concatenate([effect, np.zeros((6, 2, effect.shape[2]))], axis=1)}
    theta = few.bound.theta(nothing, few.bound.features_at(rows), 5)
    scale, root = term.scales(values, np)
    for place in range(2):
        of = (rows["site"] == ["Turku", "Vaasa"][place]).to_numpy()
        found = few.own(values, term.size - 2 + place)
        x = posterior.bound.coefficients.predictors(few.x[of], term.positions)
        for draw in range(6):
            # Conditional has the same scale, a constant, at every draw.
            own = x * scale[min(draw, len(scale) - 1)] @ (np.eye(x.shape[1]) if root is None else root[draw])
            error = rows["se"][of] if family.sd else np.full(of.sum(), values["sigma"][draw])
            covariance, mean = own @ own.T + np.diag(error**2), (theta[draw, of] * few.x[of]).sum(axis=1)
            gain = own.T @ np.linalg.inv(covariance)
            np.testing.assert_allclose(found.mean[draw], gain @ (few.y[of] - mean), rtol=0, atol=1e-8)
            np.testing.assert_allclose(np.linalg.inv(found.lower[draw] @ found.lower[draw].T),
                                       np.eye(x.shape[1]) - gain @ own, rtol=0, atol=1e-8)
            np.testing.assert_allclose(found.log_evidence[draw],
                                       stats.multivariate_normal(mean, covariance).logpdf(few.y[of]), rtol=0, atol=1e-8)


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
    (bp.PartialPooling("site"), bp.StudentT(), {}, SpecificationError, "Normal family"),
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
