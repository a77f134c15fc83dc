"""Scales and shapes that vary where outcomes may not have been seen exactly."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
from mpmath import mp, mpf
from pace import cases
from scipy import stats
from test_censoring import ABOVE, BELOW, OWN, SCIPY, SEEN, in_many_digits, rows

import bayes_personal as bp
from bayes_personal.errors import InputError, SpecificationError
from bayes_personal.families.parts.base import Family
from bayes_personal.kernels import likelihoods
from bayes_personal.leaving_out.question import LeaveOutPlan

V, NONE = bp.Varying, np.zeros(0)
KINDS: dict[str, Callable[..., Family]] = {
    "Normal": lambda **how: bp.Normal(sigma=V(), **how), "LogNormal": lambda **how: bp.LogNormal(sigma=V(), **how),
    "Gamma": lambda **how: bp.Gamma(V(), **how), "Weibull": lambda **how: bp.Weibull(shape=V(), **how)}


def two_predictors(name: str, own: float, count: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, what was seen of them, and eta, whose second row says the family's own number."""
    y, n, eta = rows(name, own, count)
    return y, n, np.stack([eta, np.full(count, np.log(own))])


@pytest.mark.parametrize(("name", "own"), [(name, own) for name in KINDS for own in OWN[name]])
def test_log_likelihoods_and_slopes_in_many_digits(name: str, own: float) -> None:
    y, n, eta = two_predictors(name, own)
    code = KINDS[name](event="seen").compiled
    value = likelihoods.log_likelihoods(code, NONE, y, n, eta)
    score, curvature, positive = likelihoods.slopes(code, NONE, y, n, eta)
    assert np.array_equal(curvature, positive)
    lowest, highest = np.linalg.eigvalsh(positive.transpose(2, 0, 1)).T
    assert (lowest >= -1e-15 * highest).all()
    # The shape of a Weibull is one over a scale.
    sign = -1 if name == "Weibull" else 1
    with mp.workdps(60):
        h = mpf(10) ** -14
        for i in range(len(y)):
            def at(by_eta: Any, by_u: Any, i: int = i) -> mpf:
                own = mp.exp((mpf(eta[1, i]) + by_u) * (-2 if name == "Gamma" else 1))
                return in_many_digits(name, own, y[i], n[i], mpf(eta[0, i]) + by_eta)

            here, by_eta, by_u = at(0, 0), (at(h, 0) - at(-h, 0)) / (2 * h), (at(0, h) - at(0, -h)) / (2 * h)
            of_eta, of_u = (-(at(*step) - 2 * here + at(*(-each for each in step))) / h**2 for step in ((h, 0), (0, h)))
            mixed = -(at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h**2) - sign * by_eta
            of_u -= sign * by_u
            if name == "Gamma":
                of_u, bound = max(of_u, 0), mp.sqrt(of_eta * max(of_u, 0))
                mixed = min(max(mixed, -bound), bound)
            for found, exact in ((value[i], here), (score[0, i], by_eta), (score[1, i], by_u),
                                 (curvature[0, 0, i], of_eta), (curvature[0, 1, i], mixed), (curvature[1, 1, i], of_u)):
                assert found == pytest.approx(float(exact), rel=1e-10, abs=1e-10), (i, n[i])


@pytest.mark.parametrize("name", KINDS)
def test_the_curvature_is_expected(name: str) -> None:
    """On average over outcomes, censored at some bound, products of slopes are the curvature."""
    family, rng = KINDS[name](event="seen"), np.random.default_rng(3)
    eta = np.repeat([[1.0], [0.4]], 60_000, axis=1)
    count = eta.shape[1]
    y = family.likelihood(eta.T, {}, np.full(count, SEEN), np).draw(rng, (count,))
    bound = float(np.quantile(y, 0.4))
    score, curvature, _ = likelihoods.slopes(family.compiled, NONE, np.minimum(y, bound),
                                             np.where(y > bound, ABOVE, SEEN), eta)
    assert (np.abs(score.mean(axis=1)) < 4 * score.std(axis=1) / np.sqrt(count)).all()
    gap = np.einsum("jn,kn->jkn", score, score) - curvature
    if name == "Gamma":
        # What both predictors have in common is bounded.
        gap[[0, 1], [1, 0]] = 0.0
    assert (np.abs(gap.mean(axis=-1)) <= 4 * gap.std(axis=-1) / np.sqrt(count)).all()


@pytest.mark.parametrize("name", KINDS)
def test_rows_taken_out_and_rows_far_out(name: str) -> None:
    y, n, eta = two_predictors(name, OWN[name][0], 24)
    code = KINDS[name](event="seen").compiled
    out = np.zeros(24)
    assert not likelihoods.log_likelihoods(code, NONE, out, out, eta).any()
    assert not any(each.any() for each in likelihoods.slopes(code, NONE, out, out, eta))
    for far in (-2000.0, -30.0, 0.0, 30.0, 2000.0):
        for scale in (-2000.0, -60.0, -5.0, 5.0, 60.0, 2000.0):
            moved = np.stack([eta[0] + far, np.full(24, scale)])
            assert np.isfinite(likelihoods.log_likelihoods(code, NONE, y, n, moved)).all()
            assert all(np.isfinite(each).all() for each in likelihoods.slopes(code, NONE, y, n, moved))


@pytest.mark.parametrize("name", KINDS)
def test_the_family_and_its_program_say_the_same_as_scipy(name: str) -> None:
    own = OWN[name][-1]
    y, n, eta = two_predictors(name, own, 40)
    eta[1] += np.linspace(-0.5, 0.5, 40)
    family, its = KINDS[name](event="seen"), SCIPY[name](eta[0], np.exp(eta[1]))
    found = family.likelihood(eta.T, {}, n, np).log_density(y)
    with np.errstate(divide="ignore"):
        wanted = np.select([n == SEEN, n == ABOVE, n == BELOW], [its.logpdf(y), its.logsf(y), its.logcdf(y)], np.nan)
    exact = np.isfinite(wanted) & (wanted > -600)
    assert exact.sum() > 10
    np.testing.assert_allclose(found[exact], wanted[exact], rtol=1e-10, atol=1e-10)
    # The compiled log likelihood differs by what no linear predictor changes.
    gap = found - likelihoods.log_likelihoods(family.compiled, NONE, y, n, eta)
    np.testing.assert_allclose(gap, np.where((n == SEEN) & (name != "Normal"), -np.log(np.abs(y)), 0.0), rtol=1e-10,
                               atol=1e-8)

    both = pytensor.tensor.dmatrix("eta")
    variable = family.likelihood(both, {}, n, pytensor.tensor)
    logp = pm.logp(variable.law.of_pymc.dist(**variable.arguments), y)
    mode = pytensor.compile.Mode(linker="py", optimizer="fast_run")
    logs, slopes = pytensor.function([both], [logp, pytensor.grad(logp.sum(), both)], mode=mode)(eta.T)
    np.testing.assert_allclose(logs, found, rtol=1e-12)
    np.testing.assert_allclose(slopes.T, likelihoods.slopes(family.compiled, NONE, y, n, eta)[0], rtol=1e-9, atol=1e-9)


SHAPES = dict(zip("abcdef", np.linspace(-0.1, 0.9, 6), strict=True))


@cache
def watched(count: int = 240) -> pd.DataFrame:
    """Times of six groups of shapes from 0.9 to 2.5, watched for a while, and their logarithms."""
    rng = np.random.default_rng(5)
    group, x = np.resize(list(SHAPES), count), rng.normal(size=count)
    effect = dict(zip(SHAPES, rng.normal(0, 0.4, 6), strict=True))
    eta = 1 + np.array([effect[each] for each in group])
    end = np.exp(eta) * rng.weibull(1.0, count) ** np.exp([-SHAPES[each] for each in group])
    until = rng.exponential(9.0, count)
    seen = (end <= until).astype(int)
    t = np.minimum(end, until)
    low = np.floor(end)
    return pd.DataFrame({"group": group, "x": x, "t": t, "seen": seen, "log_t": np.log(t),
                         "low": np.where(end > 6, 6.0, low), "high": np.where(end > 6, np.inf, low + 1.0),
                         "middle": np.minimum(low + 0.5, 6.0)})


ALONE = bp.Conditional("group", mean=bp.Hyperprior("Normal", mu=1.0, sigma=0.7))


def model(name: str, prior: bp.priors.Prior = ALONE) -> bp.Model:
    return bp.Model(f"{'log_t' if name == 'Normal' else 't'} ~ 1", prior, KINDS[name](event="seen"))


@cache
def fitted(name: str, prior: bp.priors.Prior = ALONE) -> bp.Posterior:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bp.fit(model(name, prior), watched(), seed=1, progress=False)


# Each family compiles for some twenty seconds.
FITTED = cases(KINDS, every_run=["Weibull"])


@pytest.mark.parametrize("name", FITTED)
def test_fits_are_healthy_and_rows_are_predicted_as_by_refits(name: str) -> None:
    posterior = fitted(name)
    assert not posterior.complaints and "importance" in posterior.tree
    result = bp.loo(posterior, refit=False, progress=False)
    refits = LeaveOutPlan.of(posterior, "unit", None, True).refits(True, np.random.default_rng(2))
    for row in (int(np.flatnonzero(posterior.bound.constants == ABOVE)[0]), int(np.argmin(result.elpd_i.to_numpy()))):
        assert result.pareto_k.to_numpy()[row] < 0.5
        refit = refits.without(np.array([row]))
        assert abs(result.elpd_i.to_numpy()[row] - refit.elpd) < 0.05 + 4 * refit.se


def test_shapes_are_recovered() -> None:
    theta = fitted("Weibull").theta.isel(unit=range(6)).sel(coefficient="log_shape")
    z = (theta.mean(("chain", "draw")).to_numpy() - list(SHAPES.values())) / theta.std(("chain", "draw")).to_numpy()
    assert (np.abs(z) < 3).all() and (z**2).sum() < stats.chi2(6).isf(1e-3)
    assert np.corrcoef(theta.mean(("chain", "draw")), list(SHAPES.values()))[0, 1] > 0.8


@pytest.mark.parametrize("name", FITTED)
def test_the_default_has_the_posterior_of_a_grid(name: str) -> None:
    """Of groups that share nothing each has a posterior of two numbers."""
    posterior, frame = fitted(name), watched()
    eta, u = np.meshgrid(np.linspace(-1, 4, 201), np.linspace(-2, 2, 201), indexing="ij")
    ess = posterior.tree["importance"].attrs["ess"]
    for group in "af":
        part = frame[frame["group"] == group]
        y, seen = part["log_t" if name == "Normal" else "t"].to_numpy(), part["seen"].to_numpy() == 1
        its = SCIPY[name](eta[..., None], np.exp(u)[..., None])
        logs = (np.where(seen, its.logpdf(y), its.logsf(y)).sum(axis=-1) + stats.norm(1, 0.7).logpdf(eta)
                + stats.norm(1, 0.7).logpdf(u))
        mass = np.exp(logs - logs.max())
        theta = posterior.theta.isel(unit=int(part.index[0])).stack(s=("chain", "draw")).to_numpy()
        for values, draws in zip((eta, u), theta, strict=True):
            mean = (mass * values).sum() / mass.sum()
            square = (mass * (values - mean) ** 2).sum() / mass.sum()
            assert abs(draws.mean() - mean) < 4 * draws.std() / np.sqrt(min(ess, draws.size))
            squares = (draws - mean) ** 2
            assert abs(squares.mean() - square) < 4 * squares.std() / np.sqrt(min(ess, draws.size))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_pooled_groups_are_predicted_as_by_refits(name: str) -> None:
    posterior = fitted(name, bp.PartialPooling("group"))
    assert not posterior.complaints
    result = bp.loo(posterior, kind="group", by="group", refit=False, progress=False)
    assert result.pareto_k.to_numpy()[2] < 0.7
    refits = LeaveOutPlan.of(posterior, "group", "group", True).refits(True, np.random.default_rng(2))
    refit = refits.without(np.flatnonzero(watched()["group"] == "c"))
    assert abs(result.elpd_i.to_numpy()[2] - refit.elpd) < 0.15 + 4 * refit.se


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_methods_agree(name: str) -> None:
    posterior, pooled = fitted(name, bp.PartialPooling("group")), model(name, bp.PartialPooling("group"))
    other = bp.fit(pooled, watched(), seed=2, progress=False,
                   method=bp.NUTS(draws=1000, tune=700, chains=2, target_accept=0.99))
    assert not other.complaints
    # Both have several hundred independent draws.
    one, two = (each.theta.isel(unit=range(6)).stack(s=("chain", "draw")).to_numpy() for each in (posterior, other))
    error = np.sqrt((one.var(axis=-1) + two.var(axis=-1)) / 400)
    assert (np.abs(one.mean(axis=-1) - two.mean(axis=-1)) < 4 * error).all()
    quick = bp.fit(pooled, watched(), seed=2, progress=False, method=bp.ADVI())
    gap = quick.theta.isel(unit=range(6)).mean(("chain", "draw")).to_numpy() - one.mean(axis=-1)
    assert (np.abs(gap) < one.std(axis=-1)).all()


def test_predictions_simulations_and_files(tmp_path: Path) -> None:
    posterior = fitted("Weibull")
    new = watched()[["group"]].head(6)
    drawn = bp.predict(posterior, new, kind="outcome", seed=1).draws.to_numpy()
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()
    # Where their parameters are those of the same draw, times are uniform on the scale of their distribution.
    uniform = stats.weibull_min(np.exp(theta[..., 1]), scale=np.exp(theta[..., 0])).cdf(drawn)
    assert all(stats.kstest(uniform[..., k].ravel(), "uniform").pvalue > 1e-5 for k in (0, 5))
    posterior.save(tmp_path / "times.nc")
    loaded = bp.load(tmp_path / "times.nc")
    assert loaded.model == posterior.model and np.array_equal(loaded.bound.constants, posterior.bound.constants)
    np.testing.assert_array_equal(bp.predict(loaded, new, kind="outcome", seed=1).draws, drawn)
    made = bp.simulate(posterior.model, watched(), seed=3).frame
    assert (made["seen"] == 1).all() and (posterior.model.bind(made).constants == SEEN).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_density_of_the_generative_program(name: str) -> None:
    """Outcomes have the density of scipy, given what groups have."""
    frame = watched().head(24)
    program = model(name).pymc(frame)
    mode = pytensor.compile.Mode(linker="py", optimizer="fast_compile")
    point = {"group_z": np.random.default_rng(1).normal(size=(6, 2))}
    (effects,) = program.compile_fn(program.replace_rvs_by_values([program["group_effect"]]), mode=mode)(point)
    # Effects are deviations from the mean of 1.
    eta, u = 1 + np.resize(effects, (24, 2)).T
    found = program.compile_logp(program.observed_RVs, mode=mode)(point)
    y, its = frame["log_t" if name == "Normal" else "t"].to_numpy(), SCIPY[name](eta, np.exp(u))
    assert found == pytest.approx(np.where(frame["seen"] == 1, its.logpdf(y), its.logsf(y)).sum(), rel=1e-10)


@pytest.mark.parametrize(("prior", "family", "words"), [
    (bp.Population(), bp.Weibull(shape=V()), "log_shape does not vary"),
    (bp.PartialPooling("group", on="x"), bp.Weibull(shape=V(), event="seen"), "Name 'log_shape' in on="),
    (bp.PartialPooling("group", on="x"), bp.Normal(sigma=V(), event="seen"), "Name 'log_sigma' in on="),
    (bp.PartialPooling("group"), bp.Weibull(shape=V(bp.Mixture(2))), "made of terms"),
    (bp.Partition("x"), bp.Normal(sigma=V(), event="seen"), "with one linear predictor"),
    (bp.Partition("x"), bp.Weibull(shape=V()), "with one linear predictor")])
def test_what_does_not_fit_is_refused(prior: bp.priors.Prior, family: Family, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        bp.fit(bp.Model("t ~ x", prior, family), watched(), progress=False)


def test_bad_input_in_words() -> None:
    with pytest.raises(InputError, match="no column 'sen'.*mean 'seen'"):
        bp.Model("t ~ x", bp.PartialPooling("group"), bp.Weibull(shape=V(), event="sen")).bind(watched())
    with pytest.raises(InputError, match="no column 'ages'"):
        bp.Model("t ~ x", bp.Population(), bp.Weibull(V(bp.LinearVarying("ages")), event="seen")).bind(watched())
    with pytest.raises(SpecificationError, match="shape=.* can be negative"):
        bp.Weibull(bp.Hyperprior("Normal", sigma=1))


def test_the_model_says_what_it_assumes() -> None:
    said = repr(bp.Model("t ~ x", bp.PartialPooling("group"), bp.Weibull(V(bp.LinearVarying("x")), event="seen")))
    assert "Weibull(exp(log_shape_i), exp(x_i' theta_i))" in said and "log_shape_i = mu[log_shape] + " in said
    assert "where seen_i = 0 that it is larger" in said
    assert "known of y_i: low_i <= y_i <= high_i" in repr(bp.Normal(sigma=V(), lower="low", upper="high").story())
