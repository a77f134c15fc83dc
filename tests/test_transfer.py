"""Transfer: it borrows where domains agree, lets go where they do not, and says which."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import conditioned, unsampled
from leave_one_out import prior_of_eta

import bayes_personal as bp
from bayes_personal.errors import InputError, NotFittedError, SpecificationError
from bayes_personal.samplers.draws import flat

MODEL = bp.Model("y ~ x1 + x2", bp.Transfer("domain", "target"))
QUICK = bp.NUTS(draws=500, target_accept=0.99)


def world(seed: int, signs: tuple[int, int, int], target: int = 8) -> tuple[pd.DataFrame, np.ndarray]:
    """Five hundred rows of two sources, eight of a target whose coefficients are theirs but for the signs."""
    rng = np.random.default_rng(seed)
    mu = np.array([0.5, 1.0, -0.7])
    domain = np.array(["north"] * 250 + ["south"] * 250 + ["target"] * target)
    x = np.column_stack([np.ones(len(domain)), rng.normal(size=(len(domain), 2))])
    theta = mu * signs
    y = np.where(domain == "target", x @ theta, x @ mu) + 0.5 * rng.normal(size=len(domain))
    return pd.DataFrame({"x1": x[:, 1], "x2": x[:, 2], "y": y, "domain": domain}), theta


def errors(seed: int, signs: tuple[int, int, int]) -> tuple[float, float]:
    """Distance of the target's coefficients from the truth: with the sources, and without."""
    frame, theta = world(seed, signs)
    alone = frame[frame["domain"] == "target"]
    found = []
    for posterior in (bp.fit(MODEL, frame, seed=seed, progress=False, method=QUICK),
                      bp.fit(bp.Model("y ~ x1 + x2"), alone, seed=seed, progress=False, method=QUICK)):
        told = posterior.diagnostics
        assert told.divergences == 0 and told.r_hat.value < 1.03, told
        found.append(np.linalg.norm(posterior.theta.isel(unit=-1).mean(("chain", "draw")) - theta))
    return found[0], found[1]


@pytest.mark.slow
@pytest.mark.parametrize(("signs", "most"), [((1, 1, 1), 0.5), ((1, -1, 1), 1.05), ((-1, -1, -1), 1.3)])
def test_error_beside_that_of_the_target_alone(signs: tuple[int, int, int], most: float) -> None:
    found = np.median([errors(seed, signs) for seed in range(30)], axis=0)
    print(f"signs {signs}: median error {found[0]:.3f}, of the target alone {found[1]:.3f}, {found[0] / found[1]:.2f}")
    assert found[0] <= most * found[1]


@pytest.mark.slow
def test_agreeing_sources_halve_the_error_and_one_that_is_opposite_costs_nothing() -> None:
    agreeing, opposite = (np.median([errors(seed, signs) for seed in range(3)], axis=0)
                          for signs in ((1, 1, 1), (1, -1, 1)))
    assert agreeing[0] < 0.5 * agreeing[1] and opposite[0] < 1.05 * opposite[1], (agreeing, opposite)


def test_each_coefficient_borrows_for_itself() -> None:
    frame, _ = world(3, (1, -1, 1), target=20)
    share = bp.borrowed(bp.fit(MODEL, frame, seed=1, progress=False))
    assert list(share.index) == ["Intercept", "x1", "x2"] and list(share.columns) == ["mean", "sd", "q5", "q50", "q95"]
    assert share.loc["x1", "q95"] < 0.1 and share.loc["x2", "q50"] > 0.6 and share.loc["Intercept", "q50"] > 0.5


def moved(posterior: bp.Posterior, values: dict, error: np.ndarray, of: np.ndarray) -> np.ndarray:
    """How far each coefficient of the target moves with that of all sources, by the joint normal of all rows' eta."""
    bound = posterior.bound
    term = bound.terms[[one.name.endswith("_target") for one in bound.terms].index(True)]
    covariance = sum(prior_of_eta(bound, one, values) for one in (None, *bound.terms))
    x, result = bound.coefficients.predictors(bound.x, term.positions), []
    for k in range(len(term.positions)):
        answer = covariance @ np.linalg.solve(covariance + np.diag(error**2), np.where(of, 0.0, x[:, k]))
        everywhere = bound.coefficients.predictors(bound.x, bound.everywhere)[of]
        result.append(np.linalg.lstsq(everywhere, answer[of])[0][term.positions[k]])
    return np.array(result)


@pytest.mark.parametrize("more", [None, bp.PartialPooling("domain"), bp.PartialPooling("domain", on="Intercept")],
                         ids=repr)
@pytest.mark.parametrize("target", [6, 40])
def test_the_share_that_is_borrowed_is_how_far_the_target_moves_with_the_sources(more: Any, target: int) -> None:
    frame, _ = world(3, (1, 1, 1), target=target)
    prior = MODEL.prior if more is None else MODEL.prior + more
    posterior = conditioned(bp.Model(MODEL.formula, prior), frame, draws=3)
    of, draws = (frame["domain"] == "target").to_numpy(), flat(posterior.tree)
    wanted = [moved(posterior, {name: value[draw] for name, value in draws.items()},
                    np.full(len(frame), draws["sigma"][draw]), of) for draw in range(6)]
    np.testing.assert_allclose(bp.borrowed(posterior)["mean"], np.mean(wanted, axis=0), rtol=1e-6, atol=1e-8)


def test_beside_a_pooled_domain_a_target_borrows_what_one_like_the_others_would() -> None:
    """Levels of domains with a standard deviation of 5 and an error of 1 in ten rows: sources say next to nothing."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"domain": np.repeat([*(f"s{k}" for k in range(8)), "target"], 10), "sd": 1.0})
    rows["y"] = np.repeat([*rng.normal(0, 5, 8), 9.0], 10) + rng.normal(size=90)

    def near(value: float) -> bp.Hyperprior:
        return bp.Hyperprior("LogNormal", mu=float(np.log(value)), sigma=1e-4)

    prior = bp.Transfer("domain", "target", on="Intercept", overall=near(0.2))
    pooled = prior + bp.PartialPooling("domain", scale=near(5.0))
    alone, beside = (bp.borrowed(conditioned(bp.Model("y ~ 1", each, bp.Normal(sd="sd"), mean=bp.Hyperprior(
        "Normal", mu=0, sigma=100)), rows, draws=40)).loc["Intercept", "q50"] for each in (prior, pooled))
    assert alone > 0.4 and beside == pytest.approx(0.0035, abs=0.0003)


def test_shares_of_a_family_that_does_not_collapse(frame: pd.DataFrame) -> None:
    rows, narrow = frame.assign(y=np.random.default_rng(1).poisson(3, len(frame))), {"sigma": 0.2, "relative": True}
    model = bp.Model("y ~ dose", bp.Transfer("site", "Delft", overall=bp.Hyperprior("HalfNormal", **narrow)),
                     bp.Poisson(), bp.Hyperprior("Normal", **narrow))
    posterior = unsampled(model, rows, draws=10)
    of, draws = (rows["site"] == "Delft").to_numpy(), flat(posterior.tree)
    theta = posterior.theta.to_numpy().reshape(20, -1, 2)
    wanted = [moved(posterior, {name: value[draw] for name, value in draws.items()},
                    np.exp(-0.5 * (theta[draw] * posterior.bound.x).sum(axis=1)), of) for draw in range(20)]
    np.testing.assert_allclose(bp.borrowed(posterior)["mean"], np.mean(wanted, axis=0), rtol=1e-3)


def test_rows_of_other_domains_are_sources_and_so_are_new_ones(frame: pd.DataFrame) -> None:
    posterior = conditioned(bp.Model("y ~ dose", bp.Transfer("site", "Delft")), frame, draws=5)
    rows = pd.DataFrame({"dose": [3.0] * 4, "site": ["Delft", "Cork", "Turku", "Bergen"]})
    theta = bp.predict(posterior, rows, kind="theta").draws.to_numpy()
    np.testing.assert_array_equal(theta[:, :, 1], theta[:, :, 2])
    np.testing.assert_array_equal(theta[:, :, 1], theta[:, :, 3])
    assert (theta[:, :, 0] != theta[:, :, 1]).all()


def test_a_numeric_label_and_sources_that_differ(frame: pd.DataFrame) -> None:
    rows = frame.assign(site=pd.factorize(frame["site"])[0])
    prior = bp.Transfer("site", 2, on="dose") + bp.PartialPooling("site", on="Intercept")
    posterior = bp.fit(bp.Model("y ~ dose", prior), rows, seed=1, progress=False, method=bp.NUTS(draws=50, tune=100))
    assert set(posterior.tree["posterior"].dims) >= {"site", "site_target"}
    assert list(bp.borrowed(posterior).index) == ["dose"]


def test_what_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no row has the target's label 'Corck' in column 'site'. Did you mean 'Cork'"):
        bp.Model("y ~ dose", bp.Transfer("site", "Corck")).bind(frame)
    with pytest.raises(SpecificationError, match="Transfer prior; the model has PartialPooling"):
        bp.borrowed(conditioned(bp.Model("y ~ dose", bp.PartialPooling("site")), frame, draws=5))
    with pytest.raises(NotFittedError, match="DataFrame"):
        bp.borrowed(frame)
