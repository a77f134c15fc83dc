"""Invariant: sets of predictors are weighed as quadrature weighs them, and spurious ones are left out elsewhere."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import plain
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import halfnorm

import bayes_personal as bp
from bayes_personal.errors import InputError, InputWarning, NotFittedError, SpecificationError
from bayes_personal.samplers.normal_sets import NormalSets

GRID = np.exp(np.linspace(np.log(0.05), np.log(12), 90))
MODEL = bp.Model("y ~ x1 + x2", bp.Invariant("env"))


def arjovsky(seed: int, errors: tuple[float, ...] = (0.5, 1.0, 2.0), rows: int = 200, first: str = "a",
             back: float = 1.0) -> pd.DataFrame:
    """x1 causes y, and y causes x2: what x2 says of y depends on the environment (Arjovsky et al. 2019, example 1)."""
    rng, frames = np.random.default_rng(seed), []
    for place, error in enumerate(errors):
        x1 = error * rng.normal(size=rows)
        y = x1 + error * rng.normal(size=rows)
        frames.append(pd.DataFrame({"x1": x1, "x2": back * y + rng.normal(size=rows), "y": y,
                                    "env": chr(ord(first) + place)}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> bp.Posterior:
    return bp.fit(MODEL, arjovsky(1), seed=1, progress=False)


def sets(frame: pd.DataFrame, model: bp.Model = MODEL) -> NormalSets:
    bound = model.bind(frame)
    assert bound.elsewhere is not None
    return NormalSets.of(bound, bound.elsewhere, False)


def test_densities_are_those_of_the_plain_program() -> None:
    """p(y, sigma | S) p(theta | y, sigma, S) is the plain program's joint density at any theta."""
    frame, rng = arjovsky(2, rows=15), np.random.default_rng(3)
    bound, found = MODEL.bind(frame), sets(frame)
    codes, all_of = pd.factorize(frame["env"])[0], bound.coefficients
    x = bound.x - all_of.center
    for place, kept in enumerate(found.sets):
        at = np.flatnonzero(kept)
        program = plain("invariant").one_theta(bound.y, x[:, at], codes, location=all_of.location[at],
                                               unit=all_of.unit[at], sd=bound.y.std())
        wanted = program.compile_logp(mode="FAST_COMPILE")
        for _ in range(3):
            point, theta = rng.normal(0, 0.5, (1, 3)), all_of.location[at] + all_of.unit[at] * rng.normal(size=len(at))
            root, moved = (each[0] for each in found.conditional(place, range(3), point))
            away = root.T @ ((theta - found.mean[at]) / found.sd[at]) - moved
            conditional = -0.5 * away @ away + np.log(np.diag(root)).sum() - np.log(found.sd[at]).sum()
            conditional -= 0.5 * len(at) * np.log(2 * np.pi)
            said = found.log_density(place, range(3), point)[0] + conditional
            logs = point[0] + np.log(found.error)
            assert said == pytest.approx(float(wanted({"theta": theta, "sigma_log__": logs})), abs=1e-8)


def test_probabilities_of_sets_are_those_of_quadrature() -> None:
    frame = arjovsky(4, (0.5, 1.5), rows=8)
    bound, prior = MODEL.bind(frame), bp.Invariant("env", inclusion=0.3)
    all_of, logs = bound.coefficients, []
    x, sd = bound.x - all_of.center, bound.y.std()
    parts = [np.flatnonzero(frame["env"] == label) for label in "ab"]

    def log_integral(rows: list[np.ndarray], at: list[int]) -> float:
        """log of the integral over a grid of log sigma of the marginal density of these rows."""
        place, points = np.concatenate(rows), np.array(list(product(GRID, repeat=len(rows))))
        away = bound.y[place] - x[place][:, at] @ all_of.location[at]
        covariance = (x[place][:, at] * (2.5 * all_of.unit[at]) ** 2) @ x[place][:, at].T
        covariance = covariance + np.repeat(points**2, list(map(len, rows)), axis=1)[:, None, :] * np.eye(len(place))
        weighed = np.linalg.solve(covariance, np.broadcast_to(away, (len(points), len(away)))[..., None])
        logs = -0.5 * weighed[..., 0] @ away
        logs += -0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1] + halfnorm(scale=sd).logpdf(points).sum(axis=1)
        return logsumexp(logs + np.log(points).sum(axis=1)) + len(rows) * np.log(np.log(GRID[1] / GRID[0]))

    for inside in ((), (1,), (2,), (1, 2)):
        at = [0, *inside]
        apart = sum(log_integral([rows], at) for rows in parts)
        logs.append(log_integral(parts, at) - apart + len(inside) * np.log(0.3) + (2 - len(inside)) * np.log(0.7))
    posterior = bp.fit(bp.Model("y ~ x1 + x2", prior), frame, seed=1, progress=False,
                       method=bp.NUTS(draws=50, tune=100))
    table = bp.invariance(posterior, sets=True).sort_values(["x2", "x1"], kind="stable")
    np.testing.assert_allclose(table["probability"], np.exp(logs - logsumexp(logs)), rtol=0.02)
    np.testing.assert_allclose(table["prior"], [0.49, 0.21, 0.21, 0.09])


def test_the_spurious_predictor_is_left_out_and_the_error_elsewhere_is_the_oracles(fitted: bp.Posterior) -> None:
    told = bp.invariance(fitted)
    assert list(told.index) == ["x1", "x2"] and told.loc["x1", "probability"] > 0.99
    assert told.loc["x2", "probability"] < 1e-6 and told.loc["x2", "q95"] == 0
    # What y does to x2 is turned around: who trusted x2 is misled.
    new = arjovsky(5, (3.0,), rows=1000, first="z", back=-1.0)
    error = {}
    for name, posterior in {"invariant": fitted, "pooled": bp.fit(bp.Model("y ~ x1 + x2"), arjovsky(1), seed=1,
                                                                  progress=False)}.items():
        predicted = bp.predict(posterior, new, seed=1).frame()["mean"].to_numpy()
        error[name] = np.sqrt(np.mean((predicted - new["y"]) ** 2))
    oracle = np.sqrt(np.mean((new["x1"] - new["y"]) ** 2))
    assert error["invariant"] < 1.1 * oracle and error["pooled"] > 1.5 * oracle, (error, oracle)


def test_coefficients_elsewhere_are_fitted_without_the_others(fitted: bp.Posterior) -> None:
    """Given that S = {x1}, theta has the moments that weighing by known errors gives, and 0 for x2."""
    frame, draws = arjovsky(1), fitted.tree["posterior"]["env_theta_elsewhere"].to_numpy().reshape(-1, 3)
    draws = draws[draws[:, 1] != 0]
    assert len(draws) > 3900 and (draws[:, 2] == 0).all()
    weight = 1 / frame["env"].map({"a": 0.5, "b": 1.0, "c": 2.0}) ** 2
    x = np.column_stack([np.ones(len(frame)), frame["x1"]])
    covariance = np.linalg.inv(x.T @ (x * weight.to_numpy()[:, None]))
    centre = covariance @ x.T @ (weight * frame["y"])
    assert (np.abs(draws[:, :2].mean(axis=0) - centre) < 0.3 * np.sqrt(np.diag(covariance))).all()
    np.testing.assert_allclose(draws[:, :2].std(axis=0), np.sqrt(np.diag(covariance)), rtol=0.1)


def test_known_environments_have_their_own_coefficients_and_new_ones_share_theirs(fitted: bp.Posterior) -> None:
    rows = pd.DataFrame({"x1": 1.0, "x2": 2.0, "env": ["a", "c", "new", "other", None]})
    theta = bp.predict(fitted, rows, kind="theta", seed=1).draws.to_numpy()
    np.testing.assert_array_equal(theta[:, :, 2], theta[:, :, 3])
    np.testing.assert_array_equal(theta[:, :, 2], theta[:, :, 4])
    # In a known environment x2 tells s^2 / (s^2 + 1) of y.
    assert theta[:, :, 0, 2].mean() == pytest.approx(0.2, abs=0.1)
    assert theta[:, :, 1, 2].mean() == pytest.approx(0.8, abs=0.1)
    # log sigma elsewhere is one more of the three that were seen.
    elsewhere = np.log(fitted.tree["posterior"]["env_sigma_elsewhere"].to_numpy().ravel())
    frame = arjovsky(1)
    seen = np.log((frame["y"] - frame["x1"]).groupby(frame["env"]).std())
    assert elsewhere.mean() == pytest.approx(seen.mean(), abs=0.08)
    assert elsewhere.std() == pytest.approx(seen.std() * np.sqrt(4 / 3), rel=0.08)
    outcome = bp.predict(fitted, rows, kind="outcome", seed=1).draws.to_numpy().reshape(-1, 5)
    error = outcome[:, 2] - (theta[:, :, 2] @ [1.0, 1.0, 2.0]).ravel()
    assert np.median(np.abs(error)) == pytest.approx(np.median(np.abs(np.exp(elsewhere) * np.random.default_rng(1)
                                                                      .standard_normal(len(elsewhere)))), rel=0.1)
    # In a known environment errors have the pooled sigma of the model.
    assert (outcome[:, 0] - (theta[:, :, 0] @ [1.0, 1.0, 2.0]).ravel()).std() == pytest.approx(
        float(fitted.tree["posterior"]["sigma"].mean()), rel=0.05)


def test_one_environment_says_nothing() -> None:
    frame = arjovsky(6, (1.0,), rows=60)
    with pytest.warns(InputWarning, match="all rows are of one environment"):
        posterior = bp.fit(MODEL, frame, seed=1, progress=False)
    with pytest.warns(InputWarning, match="every probability is that of the prior"):
        table = bp.invariance(posterior, sets=True)
    np.testing.assert_allclose(table["probability"], table["prior"], rtol=1e-12)
    np.testing.assert_allclose(table["log_bayes_factor"], 0.0, atol=1e-12)


def test_environments_left_out_are_predicted_as_new_ones(fitted: bp.Posterior) -> None:
    """Against a fit without the environment, whose predictive density is averaged over its own draws."""
    frame = arjovsky(1)
    found = bp.loo(fitted, kind="group", by="env", progress=False)
    rest, out = frame[frame["env"] != "b"], frame[frame["env"] == "b"]
    posterior = bp.fit(MODEL, rest, seed=2, progress=False)
    x, bound = posterior.bound.design.at(out), sets(frame)
    table = bp.invariance(posterior, sets=True)
    logs = []
    for _, row in table[table["probability"] > 1e-4].iterrows():
        place = np.flatnonzero((bound.sets[:, 1:] == row[["x1", "x2"]].to_numpy(bool)).all(axis=1))[0]
        kept = np.flatnonzero(bound.sets[place])
        draws = posterior.tree["posterior"]["env_theta_elsewhere"].to_numpy().reshape(-1, 3)
        draws = draws[((draws != 0) == bound.sets[place]).all(axis=1)]
        if len(draws) < 500:
            continue
        away = out["y"].to_numpy() - draws[:, kept] @ x[:, kept].T
        energy, grid = (away**2).sum(axis=1), np.exp(np.linspace(-1.5, 1.5, 400))
        each = (-len(out) * np.log(grid) - 0.5 * energy[:, None] / grid**2 - 0.5 * len(out) * np.log(2 * np.pi)
                + halfnorm(scale=frame["y"].std(ddof=0)).logpdf(grid) + np.log(grid) + np.log(3 / 399))
        logs.append(np.log(row["probability"]) + logsumexp(each) - np.log(len(draws)))
    # The refit's unit of sigma and its centre differ a little.
    assert found.elpd_i.to_numpy()[1] == pytest.approx(logsumexp(logs), abs=0.5)
    assert list(found.elpd_i["left_out"].to_numpy()) == ["a", "b", "c"]


def test_relabelling_shifting_and_scaling_change_nothing() -> None:
    frame = arjovsky(7, rows=40)
    moved = frame.assign(x1=1e6 * frame["x1"] + 3e7, x2=1e-5 * frame["x2"] - 4, y=1e3 * frame["y"] + 1e5,
                         env=frame["env"].map({"a": "z", "b": "y", "c": "x"})).sample(frac=1, random_state=1)
    one, other = sets(frame), sets(moved)
    logs = [each.log_posterior(each.joint_evidences(range(3), np.random.default_rng(1))) for each in (one, other)]
    np.testing.assert_allclose(logs[0], logs[1], atol=0.02)
    assert [list(each) for each in one.sets] == [list(each) for each in other.sets]
    assert sorted(map(tuple, one.sets[:, 1:])) == sorted(product((False, True), repeat=2))


@pytest.mark.parametrize(("environments", "rows"), [(5, 3), (40, 10)])
def test_evidence_is_found_where_environments_are_small_or_many(environments: int, rows: int) -> None:
    """As many rows as coefficients: some error may be next to nothing. Independent draws agree."""
    frame = arjovsky(9, tuple(np.linspace(0.5, 2, environments)), rows, first="A")
    found = sets(frame)
    values = [found.evidence(3, range(environments), np.random.default_rng(seed)) for seed in range(4)]
    assert all(1 / np.exp(2 * each.log_weights).sum() > 400 for each in values)
    assert np.ptp([each.value for each in values]) < 0.2


def test_evidence_of_an_environment_smaller_than_its_coefficients_is_that_of_quadrature() -> None:
    """One row and three coefficients, two rows and three: theta is integrated in the rows' space, sigma by quad."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(12, 3)), columns=["x1", "x2", "y"]).assign(env=[*"abb", *"c" * 9])
    bound, found = MODEL.bind(frame), sets(frame)
    for place, kept in enumerate(found.sets):
        for e, label in enumerate("ab"):
            rows = (frame["env"] == label).to_numpy()
            x = (bound.x - bound.coefficients.center)[rows][:, kept]
            values, vectors = np.linalg.eigh((x * found.sd[kept] ** 2) @ x.T)
            away = vectors.T @ (bound.y[rows] - x @ found.mean[kept])

            def density(log_sigma: float, values=values, away=away) -> float:
                spread = np.maximum(values, 0) + np.exp(2 * log_sigma)
                prior = halfnorm.logpdf(np.exp(log_sigma), scale=bound.y.std()) + log_sigma
                return np.exp(prior - 0.5 * (np.log(2 * np.pi * spread) + away**2 / spread).sum())

            wanted = np.log(quad(density, -14, 4, epsabs=0, epsrel=1e-9, limit=500, points=[-2.0, 0.0])[0])
            np.testing.assert_allclose(found.separate_evidences[place, e], wanted, atol=1e-5)


@pytest.mark.parametrize("labels", [["new", *"abc" * 9], [*"abc" * 9, "new"], [str(k) for k in range(12)]])
def test_environments_of_one_row_are_fitted_and_left_out(labels: list[str]) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(len(labels), 2)), columns=["x1", "x2"]).assign(env=labels)
    frame["y"] = 1 + 2 * frame["x1"] + 0.3 * rng.normal(size=len(labels))
    for formula in ("y ~ x1 + x2", "y ~ 1"):
        posterior = bp.fit(bp.Model(formula, bp.Invariant("env")), frame, seed=1, progress=False,
                           method=bp.NUTS(draws=50, tune=100, chains=2))
        told = bp.invariance(posterior)
        assert list(told.index) == (["x1", "x2"] if "x1" in formula else [])
        assert np.isfinite(told.to_numpy()).all()
        assert np.isfinite(bp.loo(posterior, kind="group", by="env", progress=False).elpd)


def test_what_was_fitted_is_read_again(fitted: bp.Posterior, tmp_path) -> None:
    fitted.save(tmp_path / "fitted.nc")
    again = bp.load(tmp_path / "fitted.nc")
    pd.testing.assert_frame_equal(bp.invariance(again), bp.invariance(fitted))


def test_known_errors_need_no_sigma() -> None:
    frame = arjovsky(8)
    frame["se"] = frame["env"].map({"a": 0.5, "b": 1.0, "c": 2.0})
    posterior = bp.fit(bp.Model("y ~ x1 + x2", bp.Invariant("env"), bp.Normal(sd="se")), frame, seed=1, progress=False)
    told = bp.invariance(posterior)
    assert told.loc["x1", "probability"] > 0.9 and told.loc["x2", "probability"] < 1e-3
    new = frame.iloc[:3].assign(env="new")
    assert np.isfinite(bp.predict(posterior, new, kind="outcome", seed=1).draws.to_numpy()).all()


def test_what_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match="inclusion=1 must lie between 0 and 1"):
        bp.Invariant("site", inclusion=1)
    with pytest.raises(SpecificationError, match=r"every environment has a scale of its own, so that Varying\(\)"):
        bp.Model("y ~ dose", bp.Invariant("site"), bp.StudentT(sigma=bp.Varying())).bind(frame)
    with pytest.raises(SpecificationError, match=r"nothing but environments varies. Take Invariant\('site'\) alone"):
        bp.Model("y ~ dose", bp.Invariant("site") + bp.GaussianProcess("age")).bind(frame)
    many = frame.assign(**{f"v{k}": np.random.default_rng(k).normal(size=len(frame)) for k in range(13)})
    with pytest.raises(SpecificationError, match="13 predictors have 8192 sets"):
        bp.Model("y ~ " + " + ".join(f"v{k}" for k in range(13)), bp.Invariant("site")).bind(many)
    with pytest.raises(SpecificationError, match="mean=.* must be a Normal hyperprior"):
        bp.Invariant("site", mean=bp.Hyperprior("StudentT", nu=3, mu=0, sigma=1))
    with pytest.raises(InputError, match="missing"):
        bp.Model("y ~ dose", bp.Invariant("site")).bind(frame.assign(site=[None, *frame["site"][1:]]))
    with pytest.raises(NotFittedError, match="DataFrame"):
        bp.invariance(frame)
    with pytest.raises(SpecificationError, match="Invariant prior; the model has Population"):
        bp.invariance(bp.fit(bp.Model("y ~ dose"), frame, seed=1, progress=False, method=bp.NUTS(draws=25, tune=50)))
