"""Transfer: it borrows where domains agree, lets go where they do not, and says which."""

import numpy as np
import pandas as pd
import pytest
from calibration import conditioned, unsampled

import bayes_personal as bp
from bayes_personal.errors import InputError, NotFittedError, SpecificationError

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


def test_agreeing_sources_halve_the_error_and_one_that_is_opposite_costs_nothing() -> None:
    agreeing, opposite = (np.median([errors(seed, signs) for seed in range(5)], axis=0)
                          for signs in ((1, 1, 1), (1, -1, 1)))
    assert agreeing[0] < 0.5 * agreeing[1] and opposite[0] < 1.05 * opposite[1], (agreeing, opposite)


def test_each_coefficient_borrows_for_itself() -> None:
    frame, _ = world(3, (1, -1, 1), target=20)
    share = bp.borrowed(bp.fit(MODEL, frame, seed=1, progress=False))
    assert list(share.index) == ["Intercept", "x1", "x2"] and list(share.columns) == ["mean", "sd", "q5", "q50", "q95"]
    assert share.loc["x1", "q95"] < 0.1 and share.loc["x2", "q50"] > 0.6 and share.loc["Intercept", "q50"] > 0.6


def test_the_share_that_is_borrowed_is_how_far_the_mean_moves_with_the_sources() -> None:
    """Given scales and sigma, the target's mean is linear in the sources': its slope is the share."""
    frame, _ = world(3, (1, 1, 1), target=6)
    posterior = conditioned(MODEL, frame, draws=5)
    of = (frame["domain"] == "target").to_numpy()
    x = posterior.bound.coefficients.predictors(posterior.bound.x[of], np.arange(3))
    draws, wanted = posterior.tree["posterior"], []
    for chain in range(2):
        for draw in range(5):
            at = draws.isel(chain=chain, draw=draw)
            precision = x.T @ x / float(at["sigma"]) ** 2
            scale = at["domain_target_scale"].to_numpy()
            wanted.append(np.diag(np.linalg.inv(precision + np.diag(scale**-2)) @ np.diag(scale**-2)))
    np.testing.assert_allclose(bp.borrowed(posterior)["mean"], np.mean(wanted, axis=0), rtol=1e-5)


def test_shares_of_a_family_that_does_not_collapse(frame: pd.DataFrame) -> None:
    rows, narrow = frame.assign(y=np.random.default_rng(1).poisson(3, len(frame))), {"sigma": 0.2, "relative": True}
    model = bp.Model("y ~ dose", bp.Transfer("site", "Delft", overall=bp.Hyperprior("HalfNormal", **narrow)),
                     bp.Poisson(), bp.Hyperprior("Normal", **narrow))
    posterior = unsampled(model, rows, draws=20)
    share = bp.borrowed(posterior)
    of, draws = (rows["site"] == "Delft").to_numpy(), posterior.tree["posterior"]
    theta = posterior.theta.to_numpy()[:, :, of].reshape(40, -1, 2)
    x, plain = posterior.bound.coefficients.predictors(posterior.bound.x[of], np.arange(2)), posterior.bound.x[of]
    wanted = []
    for draw in range(40):
        rate = np.exp((theta[draw] * plain).sum(axis=1))
        precision = (x.T * rate) @ x
        scale = draws["site_target_scale"].to_numpy().reshape(40, 2)[draw]
        wanted.append(np.diag(np.linalg.inv(np.eye(2) + np.diag(scale**2) @ precision)))
    np.testing.assert_allclose(share["mean"], np.mean(wanted, axis=0), rtol=1e-3)


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
