"""Every segment, box, group and node of a network has a sigma of its own."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from pace import cases
from scipy.stats import ks_2samp, multivariate_normal, norm

import bayes_personal as bp
from bayes_personal.cli.values import parse
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.densities.shared_division_density import SharedDivisionDensity
from bayes_personal.errors import BayesPersonalError, InputError, SpecificationError
from bayes_personal.hyperpriors.conjugate import NormalGammaConjugate
from bayes_personal.testing import check_density

VARYING = bp.Normal(sigma=bp.Varying())
PRIORS = [bp.Partition("t"), bp.Partition("t", on=["Intercept", "log_sigma"]), bp.Partition("t", on="log_sigma"),
          bp.TreePartition("t", "u")]


def series(contexts: int = 60, seed: int = 4) -> pd.DataFrame:
    """The noise grows fourfold after a third, and nothing else changes."""
    rng = np.random.default_rng(seed)
    t = np.arange(contexts)
    x = rng.normal(size=contexts)
    sigma = np.where(t < contexts // 3, 0.4, 1.6)
    return pd.DataFrame({"y": 2 + 0.5 * x + sigma * rng.normal(size=contexts), "x": x, "t": t,
                         "u": rng.uniform(size=contexts), "g": np.resize(list("abcde"), contexts)})


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
def test_gradient(prior: bp.priors.Prior) -> None:
    density = marginal_density(bp.Model("y ~ x", prior, VARYING).bind(series()))
    assert density is not None
    check_density(density)


def test_a_scale_that_hardly_varies_is_that_of_all_rows() -> None:
    """The evidence is then that of the constant sigma."""
    frame = series(30)
    varying = marginal_density(bp.Model("y ~ x", bp.Partition("t"), VARYING).bind(frame))
    constant = marginal_density(bp.Model("y ~ x", bp.Partition("t")).bind(frame))
    assert varying is not None and constant is not None
    sigma, scale = 0.8, np.array([0.7, 0.3])
    own = {"mu_centered": np.array([[2.1, 0.4, np.log(sigma)]]), "changes_t_expected": np.array([2.0]),
           "changes_t_scale": np.array([[*scale, 1e-5]])}
    shared = {"mu_centered": np.array([[2.1, 0.4]]), "changes_t_expected": np.array([2.0]), "sigma": np.array([sigma]),
              "changes_t_scale": scale[None]}
    one, other = (each.log_evidence(each.arguments(values, 1)[0])[0]
                  for each, values in ((varying, own), (constant, shared)))
    assert one == pytest.approx(other, abs=1e-6)


def test_deviations_have_about_the_scale_they_say() -> None:
    rng = np.random.default_rng(1)
    drawn = NormalGammaConjugate().deviations(0.0, np.array([0.6, 0.25]), (40_000, 2), rng)
    assert drawn[:, 1].std() == pytest.approx(0.25, rel=0.1) and drawn[:, 1].mean() == pytest.approx(0.25**2, abs=0.02)
    z = drawn[:, 0] / np.exp(drawn[:, 1]) / 0.6
    assert abs(z.std() - 1) < 4 / np.sqrt(80_000)


@pytest.fixture(scope="module")
def posterior() -> bp.Posterior:
    return bp.fit(bp.Model("y ~ x", bp.Partition("t"), VARYING), series(), seed=1, progress=False)


def test_a_change_of_variance_alone_is_found(posterior: bp.Posterior) -> None:
    assert posterior.complaints == ()
    found = bp.changes(posterior)
    assert found.loc[found["context"].between(16, 23), "probability"].sum() > 0.9
    sigma = np.exp(posterior.theta.sel(coefficient="log_sigma")).stack(s=("chain", "draw")).to_numpy()
    for place, truth in ((5, 0.4), (50, 1.6)):
        low, high = np.quantile(sigma[place], [0.005, 0.995])
        assert low < truth < high and high / low < 6
    constant = bp.fit(bp.Model("y ~ x", bp.Partition("t")), series(), seed=1, progress=False)
    assert bp.loo(posterior, progress=False).elpd > bp.loo(constant, progress=False).elpd + 5


def test_left_out_rows_are_ratios_of_evidences(posterior: bp.Posterior) -> None:
    frame = series()
    density = marginal_density(posterior.bound)
    assert density is not None
    values = {name: posterior.tree["posterior"][name].to_numpy()[0, :2] for name in (
        "mu_centered", "changes_t_scale", "changes_t_expected")}
    found = density.leave_one_out(values, 2, next(iter(posterior.bound.rows.batches())))
    points, whole = density.points(values), density.each_value(density.points(values))
    for row in (0, 19, 20, 59):
        without = density.without(np.arange(len(frame)) == row).each_value(points)
        np.testing.assert_allclose(found[:, row], whole - without, rtol=0, atol=1e-8)


def test_prediction_beyond_and_between(posterior: bp.Posterior, tmp_path: Path) -> None:
    new = pd.DataFrame({"t": [5.5, 19.5, 70.0], "x": 0.0, "u": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn, theta = (bp.predict(posterior, new, kind=kind, seed=3).draws for kind in ("outcome", "theta"))
    z = (drawn - theta.sel(coefficient="Intercept")) / np.exp(theta.sel(coefficient="log_sigma"))
    count = drawn.sizes["chain"] * drawn.sizes["draw"]
    assert (np.abs(z.mean(("chain", "draw"))) < 4 / np.sqrt(count)).all()
    assert (np.abs(z.var(("chain", "draw")) - 1) < 4 * np.sqrt(2 / count)).all()
    posterior.save(tmp_path / "posterior.nc")
    again = bp.load(tmp_path / "posterior.nc")
    np.testing.assert_array_equal(again.theta.isel(unit=[0, 30]), posterior.theta.isel(unit=[0, 30]))


def test_the_program_draws_forward(posterior: bp.Posterior) -> None:
    """Outcomes as simulations have them: quartiles of the size of outcomes, for moments do not exist."""
    drawn = pm.sample_prior_predictive(150, model=posterior.pymc, random_seed=2)["prior_predictive"]["y"].to_numpy()
    simulated = np.array([bp.simulate(posterior.model, series(), seed=seed).frame["y"] for seed in range(150)])
    one, other = (np.log(np.median(np.abs(each.reshape(150, -1) - 2), axis=1)) for each in (drawn, simulated))
    assert np.isfinite(drawn).all() and ks_2samp(one, other).pvalue > 1e-4


def test_a_scale_that_is_not_named_is_refused() -> None:
    with pytest.raises(SpecificationError, match="Name 'log_sigma' in on="):
        bp.fit(bp.Model("y ~ x", bp.Partition("t", on="x"), VARYING), series(), progress=False)
    for prior, words in ((bp.Invariant("g"), r"Varying\(\) is not needed"), 
                         (bp.FineTuned("g"), "whose scale does not vary")):
        with pytest.raises(SpecificationError, match=words):
            bp.fit(bp.Model("y ~ x", prior, VARYING), series(), progress=False)


def test_a_group_without_errors_is_refused() -> None:
    frame = series().assign(y=lambda rows: np.where(rows["g"] == "c", 2.0, rows["y"]))
    with pytest.raises(InputError, match="their sigma would be 0"):
        bp.fit(bp.Model("y ~ x", bp.PartialPooling("g"), VARYING), frame, progress=False)


def test_a_group_is_predicted_as_by_a_fit_without_it() -> None:
    """All of its rows together, by the coefficients and the sigma of a group that nobody has seen."""
    frame, model = series(120).assign(g=np.resize(list("abcdefghij"), 120)), bp.Model("y ~ 1", bp.PartialPooling("g"),
                                                                                    VARYING)
    posterior = bp.fit(model, frame, seed=1, progress=False)
    found, out = bp.loo(posterior, kind="group", by="g", progress=False), (frame["g"] == "c").to_numpy()
    without = bp.fit(model, frame[~out], seed=2, progress=False)
    assert not posterior.complaints and not without.complaints
    theta = bp.predict(without, frame[out], kind="theta", seed=3).draws.to_numpy()[0]
    densities = norm.logpdf(frame["y"][out], theta[..., 0], np.exp(theta[..., 1])).sum(axis=1)
    relative = np.exp(densities - densities.max())
    wanted, error = densities.max() + np.log(relative.mean()), relative.std() / relative.mean() / np.sqrt(len(relative))
    # Weights of draws that have seen the group have an error of about that size too.
    assert abs(found.elpd_i.to_numpy()[2] - wanted) < 4 * np.sqrt(2) * error < 1, (wanted, error)


def test_what_varies_otherwise_is_said() -> None:
    """Sigma that is stated to vary along x, and varies between groups."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"x": rng.normal(size=300), "g": np.resize(list("abcdef"), 300)})
    frame["y"] = frame["x"] + np.where(frame["g"] < "d", 0.3, 2.0) * rng.normal(size=300)
    right, wrong = bp.Normal(sigma=bp.Varying()), bp.Normal(sigma=bp.Varying(bp.LinearVarying("x")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        good, bad = (bp.fit(bp.Model("y ~ x", bp.PartialPooling("g"), family), frame, seed=1, progress=False)
                     for family in (right, wrong))
    assert good.misfit == "" and "Sigma varies otherwise than its prior says" in bad.misfit


def test_the_command_line_reads_it() -> None:
    assert parse("family", "Normal(sigma=Varying(LinearVarying('t')))") == bp.Normal(
        sigma=bp.Varying(bp.LinearVarying("t")))


def nodes(rows: int = 240, seed: int = 2) -> pd.DataFrame:
    """Errors of b are three times as large in the later half, and in odd groups."""
    rng = np.random.default_rng(seed)
    t = np.repeat(np.arange(rows // 6), 6)
    g = np.resize(np.arange(12), rows)
    a = rng.normal(size=rows)
    b = 0.8 * a + np.where(t < rows // 12, 0.4, 1.2) * np.where(g % 2, 1.6, 0.6) * rng.normal(size=rows)
    return pd.DataFrame({"a": a, "b": b, "d": 0.5 * b + rng.normal(size=rows), "t": t, "g": [f"g{k}" for k in g]})


def test_shared_cuts_of_nodes_with_scales_of_their_own() -> None:
    """The joint gradient is that of differences, also beside a node whose sigma is one."""
    for family in (VARYING, {"a": bp.Normal(), "b": VARYING, "d": VARYING}):
        bounds = bp.Network("a + b + d ~ 1", bp.Partition("t"), family).bind(nodes(60))
        joint = SharedDivisionDensity.of(list(bounds.values()))
        point = 0.3 * np.random.default_rng(5).normal(size=joint.size)
        value, gradient = joint.log_density(point)
        assert np.isfinite(value)
        for k in range(joint.size):
            step = 1e-5 * np.eye(joint.size)[k]
            slope = (joint.value(point + step) - joint.value(point - step)) / 2e-5
            assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("prior", cases([bp.PartialPooling("g"), bp.Partition("t")],
                                        every_run=[bp.PartialPooling("g")]), ids=repr)
def test_networks_read_the_errors_of_every_row(prior: bp.priors.Prior) -> None:
    """The density of whole rows is that of the covariance that is read, and its error varies."""
    frame = nodes()
    posterior = bp.fit(bp.Network("a + b + d ~ 1", prior, VARYING), frame, seed=1,
                       method=bp.NUTS(draws=150, chains=2), progress=False)
    new = frame.iloc[[0, 7, 200, 233]]
    read = bp.network(posterior, at=new[["t", "g"]], kind="covariance").to_numpy()
    mean = bp.predict(posterior, new, kind="mean").draws.to_numpy()
    values = posterior.nodes["b"].theta.isel(unit=[0, 7, 200, 233]).to_numpy()
    draw = 0, 11
    for row, place in enumerate([0, 7, 200, 233]):
        logs = 0.0
        for node, parents in (("a", []), ("b", ["a"]), ("d", ["a", "b"])):
            theta = posterior.nodes[node].theta.isel(chain=0, draw=11, unit=place)
            fitted = float(theta.sel(coefficient="Intercept")) + sum(
                float(theta.sel(coefficient=parent)) * frame[parent].iloc[place] for parent in parents)
            sigma = float(np.exp(theta.sel(coefficient="log_sigma")))
            logs += -0.5 * ((frame[node].iloc[place] - fitted) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
        whole = multivariate_normal(mean[draw][row], read[draw][row]).logpdf(frame[["a", "b", "d"]].iloc[place])
        assert whole == pytest.approx(logs, abs=1e-8)
    spread = np.exp(values[..., -1]).mean(axis=(0, 1))
    if isinstance(prior, bp.Partition):
        assert spread[2:].mean() > 1.3 * spread[:2].mean()
    assert np.isfinite(bp.loo(posterior, progress=False).elpd)
    assert (bp.predict(posterior, new, kind="outcome", nodes={"a": 0.5}, seed=1).draws.sel(node="a") == 0.5).all()


POOLED = bp.PartialPooling("g")


@pytest.mark.parametrize("prior", cases(
    [POOLED, bp.GaussianProcess("u"), bp.Partition("t"), bp.Mixture(2), bp.LinearVarying("u"), bp.TotalVariation("g4"),
     bp.DistanceRegularized("u"), bp.Contextualized("u", hidden=3)],
    every_run=[bp.Partition("t"), bp.LinearVarying("u")]), ids=lambda prior: type(prior).__name__)
def test_every_verb_answers_or_says_why_not(prior: bp.priors.Prior) -> None:
    frame = series().assign(g4=lambda rows: rows["t"] // 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = bp.fit(bp.Model("y ~ x", prior, VARYING), frame, seed=1, progress=False,
                           method=bp.NUTS(draws=40, tune=60, chains=2))
        new = frame.iloc[:4]
        for kind in ("theta", "mean", "outcome"):
            assert np.isfinite(bp.predict(posterior, new, kind=kind, seed=1).draws).all()
        assert "log_sigma" in posterior.theta["coefficient"] and "log_sigma" in repr(posterior.model)
        for verb in (lambda: bp.log_likelihood(posterior), lambda: bp.borrowed(posterior),
                     lambda: bp.loo(posterior, refit=False, progress=False),
                     lambda: bp.loo(posterior, kind="group", by="g", refit=False, progress=False),
                     lambda: bp.plot_theta(posterior), lambda: bp.plot_predictive(posterior),
                     lambda: posterior.residual_check):
            try:
                verb()
            except BayesPersonalError as error:
                assert len(str(error)) > 30
