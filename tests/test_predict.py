"""Prediction: known rows, new rows, new groups, unknown labels, new contexts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import unsampled, z_scores

import bayes_personal as bp
from bayes_personal.errors import InputError, InputWarning, NotFittedError, SpecificationError
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.base import Prior

PRIORS = [
    bp.Population(),
    bp.Conditional("site"),
    bp.PartialPooling("site"),
    bp.LinearVarying("age", "sex", basis="spline", df=5),
    bp.GaussianProcess("age", kernel="squared_exponential", on=["weight"]),
    bp.PartialPooling("site", on=["Intercept"]) + bp.GaussianProcess("age", on=["weight"]),
    bp.Conditional("sex", on=["Intercept"]) + bp.PartialPooling("site", on=["weight"]) + bp.LinearVarying("age"),
]


@pytest.fixture(scope="module")
def pooled(frame: pd.DataFrame) -> Posterior:
    return unsampled(bp.Model("y ~ dose", bp.PartialPooling("site")), frame, draws=1000)


@pytest.fixture(scope="module")
def smooth(frame: pd.DataFrame) -> Posterior:
    prior = bp.GaussianProcess("age", kernel="squared_exponential", on=["dose"])
    return unsampled(bp.Model("y ~ dose", prior), frame, draws=20)


def theta(posterior: Posterior, rows: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Draws of theta at `rows`, (draw, unit, coefficient)."""
    draws = bp.predict(posterior, rows, kind="theta", seed=seed).draws.to_numpy()
    return draws.reshape(-1, *draws.shape[2:])


def rows_of(*sites: Any) -> pd.DataFrame:
    return pd.DataFrame({"site": sites, "dose": np.linspace(2, 9, len(sites))})


@pytest.mark.parametrize("shift", [0.0, 2.0**20])
@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_new_frames_are_read_with_the_training_scaling(prior: Prior, shift: float, frame: pd.DataFrame) -> None:
    # Few and unequal rows: their own means and spreads are far from those of the training rows.
    frame = frame.assign(age=frame["age"] + shift, dose=frame["dose"] + shift)
    posterior = unsampled(bp.Model("y ~ scale(dose) + weight", prior), frame, draws=20)
    known = posterior.theta.to_numpy()
    chosen = [35, 2, 20, 21]
    for kind, truth in (("theta", known), ("mean", (known * posterior.bound.x).sum(axis=-1))):
        np.testing.assert_allclose(bp.predict(posterior, kind=kind).draws, truth, rtol=1e-12,
                                   atol=1e-12 * np.abs(truth).max())
        again = bp.predict(posterior, frame.iloc[chosen].drop(columns="y"), kind=kind).draws.to_numpy()
        np.testing.assert_allclose(again, truth[:, :, chosen], rtol=1e-10, atol=1e-10 * np.abs(truth).max())


def test_a_known_group_takes_its_posterior_in_any_row_order(pooled: Posterior, frame: pd.DataFrame) -> None:
    sites = ["Cork", "Aarhus", "Cork", "Espoo"]
    known = pooled.theta.to_numpy().reshape(-1, len(frame), 2)
    first = [int(np.flatnonzero(frame["site"] == site)[0]) for site in sites]
    np.testing.assert_array_equal(theta(pooled, rows_of(*sites)), known[:, first])
    order = [2, 3, 0, 1]
    np.testing.assert_array_equal(theta(pooled, rows_of(*sites).iloc[order], seed=9), known[:, first][:, order])


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [6, 3, 0, 5, 1, 2, 4]])
def test_new_groups_share_a_draw_and_unknown_rows_do_not(pooled: Posterior, order: list[int]) -> None:
    labels = np.array(["new A", "new B", "new A", None, None, "Cork", "new B"], dtype=object)[order]
    rows = rows_of(*labels)
    draws = theta(pooled, rows)
    same = np.array([[(draws[:, i] == draws[:, j]).all() for j in range(7)] for i in range(7)])
    share = np.array([[i == j or (labels[i] is not None and labels[i] == labels[j]) for j in range(7)]
                      for i in range(7)])
    np.testing.assert_array_equal(same, share)
    words = {"new A": "new", "new B": "new", None: "unknown", "Cork": "known"}
    assert list(bp.predict(pooled, rows).frame()["site_status"]) == [words[label] for label in labels]


def test_a_new_group_is_a_draw_from_the_population(pooled: Posterior) -> None:
    rows = rows_of("new A", *(f"new {i}" for i in range(8)), "new A", None)
    draws = theta(pooled, rows)[:, [*range(9), 10]]
    values = {name: each.to_numpy().reshape(len(draws), *each.shape[2:])
              for name, each in pooled.tree["posterior"].data_vars.items()}
    # The intercept that varies is the one at the predictors' mean.
    centred = (draws - values["mu"][:, None]).copy()
    centred[..., 0] += centred[..., 1] * float(pooled.bound.frame["dose"].mean())
    scale = values["site_scale"]
    root = np.linalg.cholesky(values["site_correlation"] * scale[:, :, None] * scale[:, None, :])
    z = np.linalg.solve(root[:, None], centred[..., None])[..., 0]
    assert (np.abs(z.mean(axis=(0, 1))) * np.sqrt(z[..., 0].size) < 4).all(), z.mean(axis=(0, 1))
    for each, size in ((z.reshape(-1, 2), 2), (z.reshape(len(z), -1), z[0].size)):
        found, count = each.T @ each / len(each), len(each)
        error = np.where(np.eye(size, dtype=bool), np.sqrt(2 / count), np.sqrt(1 / count))
        assert (np.abs(found - np.eye(size)) < 4 * error).all(), found


def test_a_new_group_without_pooling_has_the_prior(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.Conditional("site", mean=bp.Hyperprior("Normal", mu=2, sigma=1.5)))
    posterior = unsampled(model, frame, draws=1000)
    draws = theta(posterior, rows_of(*range(8)))
    at_mean = draws[..., 0] + draws[..., 1] * frame["dose"].mean()
    z = (np.concatenate([at_mean, draws[..., 1]], axis=1) - 2) / 1.5
    assert (np.abs(z.mean(axis=0)) * np.sqrt(len(z)) < 4).all()
    assert (np.abs(z.var(axis=0) - 1) < 4 * np.sqrt(2 / len(z))).all()


def test_the_outcome_adds_the_noise_to_the_mean(pooled: Posterior) -> None:
    rows = rows_of("Cork", "Aarhus", "Espoo", *["Delft"] * 5)
    mean = bp.predict(pooled, rows, kind="mean").draws.to_numpy()
    expected = (theta(pooled, rows) * np.column_stack([np.ones(8), rows["dose"]])).sum(axis=-1).reshape(mean.shape)
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    outcome = bp.predict(pooled, rows, kind="outcome", seed=3).draws.to_numpy()
    z = ((outcome - mean) / pooled.tree["posterior"]["sigma"].to_numpy()[..., None]).reshape(-1, 8)
    assert (np.abs(z.mean(axis=0)) * np.sqrt(len(z)) < 4).all()
    assert (np.abs(z.var(axis=0) - 1) < 4 * np.sqrt(2 / len(z))).all()


def test_known_errors_are_the_outcomes_and_not_asked_of_the_mean(frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", bp.PartialPooling("site", on=["Intercept"]), bp.Normal(sd="se"))
    posterior = unsampled(model, frame, draws=1000)
    rows = rows_of("Cork", "Aarhus").assign(se=[0.5, 4.0])
    mean = bp.predict(posterior, rows.drop(columns="se"), kind="mean").draws.to_numpy()
    noise = (bp.predict(posterior, rows, kind="outcome", seed=1).draws.to_numpy() - mean).reshape(-1, 2)
    noise = noise / rows["se"].to_numpy()
    assert (np.abs(noise.var(axis=0) - 1) < 4 * np.sqrt(2 / len(noise))).all()
    with pytest.raises(InputError, match="'se'"):
        bp.predict(posterior, rows.drop(columns="se"), kind="outcome")


def test_seeds(pooled: Posterior) -> None:
    rows = rows_of("new A", "Cork")
    np.testing.assert_array_equal(theta(pooled, rows, seed=4), theta(pooled, rows, seed=4))
    assert (theta(pooled, rows, seed=4)[:, 0] != theta(pooled, rows, seed=5)[:, 0]).all()
    first, second, third = (bp.predict(pooled, rows, kind="outcome", seed=seed).draws for seed in (4, 4, 5))
    assert first.equals(second) and (first != third).all()
    independent = z_scores(theta(pooled, rows, seed=4)[:, 0], theta(pooled, rows, seed=5)[:, 0])
    assert (np.abs(independent) < 4).all(), independent


def test_contexts_outside_the_training_range_are_counted(smooth: Posterior) -> None:
    rows = pd.DataFrame({"dose": 3.0, "age": [50.0, 19.0, 81.0, 60.0, 90.0]}, index=list("abcde"))
    with pytest.warns(InputWarning, match=r"3 of 5 rows have a 'age' outside the training range \(rows 'b', 'c', 'e'"):
        bp.predict(smooth, rows)


@pytest.mark.filterwarnings("error")
def test_contexts_inside_the_training_range_do_not_warn(smooth: Posterior) -> None:
    low, high = smooth.bound.frame["age"].min(), smooth.bound.frame["age"].max()
    bp.predict(smooth, pd.DataFrame({"dose": smooth.bound.frame["dose"].iloc[:2], "age": [low, high]}))


def test_a_declared_category_without_rows_is_empty_and_not_new(frame: pd.DataFrame) -> None:
    levels = [*frame["site"].unique(), "Fulda"]
    training = frame.assign(site=pd.Categorical(frame["site"], categories=levels))
    with pytest.warns(InputWarning, match="Fulda"):
        posterior = unsampled(bp.Model("y ~ dose", bp.PartialPooling("site")), training, draws=20)
    frame_of = bp.predict(posterior, rows_of("Fulda", "Ghent", "Cork", np.nan), kind="theta").frame()
    assert list(frame_of["site_status"].iloc[::2]) == ["empty", "new", "known", "unknown"]


def test_the_index_is_kept(pooled: Posterior, frame: pd.DataFrame) -> None:
    rows = rows_of("Cork", "new A", "Cork").set_axis(["p", "p", "q"])
    assert list(bp.predict(pooled, rows, seed=0).frame().index) == ["p", "p", "q"]
    assert list(bp.predict(pooled, rows, kind="theta", seed=0).frame().index) == ["p"] * 4 + ["q"] * 2
    labelled = frame.set_axis([f"patient {i}" for i in range(len(frame))])
    posterior = unsampled(pooled.model, labelled, draws=20)
    assert bp.predict(posterior).frame().index.equals(labelled.index)


def test_the_frame_summarises_the_draws(pooled: Posterior) -> None:
    prediction = bp.predict(pooled, rows_of("Cork", "new A"), seed=0)
    draws = prediction.draws.to_numpy().reshape(-1, 2)
    table = prediction.frame()
    np.testing.assert_allclose(table["mean"], draws.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(table[["q5", "q50", "q95"]].T, np.quantile(draws, [0.05, 0.5, 0.95], axis=0), rtol=1e-12)


@pytest.mark.parametrize("formula", ["y ~ sex", "y ~ C(sex)", "y ~ dose:sex"])
def test_an_unseen_level_of_a_predictor_is_refused(formula: str, frame: pd.DataFrame) -> None:
    posterior = unsampled(bp.Model(formula, bp.Population()), frame, draws=20)
    rows = pd.DataFrame({"sex": ["male", "other"], "dose": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"'sex'.*'other' in 1 rows"):
        bp.predict(posterior, rows)
    one_level = bp.predict(posterior, rows.iloc[:1]).draws.to_numpy()
    np.testing.assert_array_equal(one_level, bp.predict(posterior, pd.DataFrame(
        {"sex": ["female", "male"], "dose": [3.0, 1.0]})).draws.to_numpy()[..., 1:])


def test_what_cannot_be_predicted_is_refused(pooled: Posterior) -> None:
    with pytest.raises(NotFittedError, match="Model"):
        bp.predict(pooled.model, rows_of("Cork"))
    with pytest.raises(SpecificationError, match="'median'"):
        bp.predict(pooled, rows_of("Cork"), kind="median")
    with pytest.raises(InputError, match="'site'"):
        bp.predict(pooled, pd.DataFrame({"dose": [1.0]}))
    with pytest.raises(InputError, match="'dose' is missing in 1 of 2 rows"):
        bp.predict(pooled, rows_of("Cork", "Cork").assign(dose=[1.0, np.nan]))
