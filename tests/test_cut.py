"""The cut of FineTuned under families that are not Normal: what is drawn at every draw of the population."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logsumexp

import bayes_personal as bp
from bayes_personal.densities.linearised.given_population import GivenPopulation
from bayes_personal.errors import ConvergenceWarning, SpecificationError
from bayes_personal.samplers import corrected_second_stage
from bayes_personal.samplers.change import Change, Pairs, Standard, of_populations
from bayes_personal.samplers.corrected_second_stage import CorrectedSecondStage
from bayes_personal.samplers.draws import flat
from bayes_personal.samplers.linearising import linearised

LAPLACE = bp.Laplace(draws=4000)
GRID = np.linspace(-12, 12, 4801)


def counts(seed: int = 3, rows: int = 30) -> pd.DataFrame:
    """Counts of six sites."""
    rng = np.random.default_rng(seed)
    site, x = np.arange(rows) % 6, rng.normal(size=rows)
    eta = 0.4 + np.array([0.0, 0.5, -0.6, 0.9, -0.2, 0.3])[site] + 0.3 * x
    return pd.DataFrame({"y": rng.poisson(np.exp(eta)), "x": x, "site": np.array(list("abcdef"))[site]})


def by_quadrature(posterior_bound: Any, mu: np.ndarray, scale: float, log_p: Any) -> float:
    """log p(y | mu, scale) where the intercept of every group, or of every target, is tuned."""
    bound = posterior_bound
    matrix: Any = bound.features[0].matrix
    indicators = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    eta = bound.coefficients.predictors(bound.x, bound.everywhere) @ mu
    z, step = GRID, GRID[1] - GRID[0]
    result = log_p(bound.y, eta)[indicators.sum(axis=1) == 0].sum()
    for column in indicators.T.astype(bool):
        logs = log_p(bound.y[column][:, None], eta[column][:, None] + scale * z).sum(axis=0)
        result += logsumexp(logs + stats.norm.logpdf(z)) + np.log(step)
    return float(result)


@pytest.mark.parametrize("target", [None, ["a", "d"]])
@pytest.mark.parametrize("family", [bp.Poisson(), bp.NegativeBinomial()], ids=repr)
def test_the_density_given_the_population_is_that_of_integrated_groups(family: Any, target: Any) -> None:
    data = counts()
    bound = bp.Model("y ~ x", bp.FineTuned("site", on="Intercept", target=target), family).bind(data)
    rng = np.random.default_rng(1)
    (term,), start = bound.terms, bound.coefficients.location
    density, _ = linearised(replace(bound, population=start), rng)
    population = start + 0.5 * bound.coefficients.unit * rng.normal(size=(4, 2))
    values = {each.name: np.array([each.draw(rng) for _ in range(4)]) for each in bound.parameters}
    points = density.points(values)
    found = GivenPopulation(density).each_value(points, population, 41)
    wanted = density.log_prior(points, values)
    for k, mu in enumerate(population):
        def log_p(y: Any, eta: Any, k: int = k) -> Any:
            if "dispersion" not in values:
                return stats.poisson.logpmf(y, np.exp(eta))
            size = values["dispersion"][k] ** -2
            return stats.nbinom.logpmf(y, size, size / (size + np.exp(eta)))
        wanted[k] += by_quadrature(bound, mu, values[f"{term.name}_scale"][k, 0], log_p)
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_at_the_mean_of_the_population_pseudo_data_add_nothing() -> None:
    bound = bp.Model("y ~ x", bp.FineTuned("site"), bp.Poisson()).bind(counts())
    rng = np.random.default_rng(2)
    population = bound.coefficients.location + 0.1 * bound.coefficients.unit * rng.normal(size=(50, 2))
    stage = CorrectedSecondStage.of(bound, population, rng)
    points = rng.normal(size=(6, stage.centre.size))
    table = stage.table(points, np.zeros(6))
    found = table.first_stage.log_densities(stage.under_pseudo_data.whiten(stage.mean))[0]
    exact = stage.given.each_value(points, np.repeat(stage.mean, 6, axis=0), 4)
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    pairs = table.first_stage.log_densities(stage.whitened)
    logs = stage.log_ratios(table, np.array([3]), np.array([2]), 4)
    exact = stage.given.each_value(points[2:3], population[3:4], 4)
    np.testing.assert_allclose(logs, exact - pairs[3, 2], atol=1e-8)


def test_a_change_is_learned_in_both_and_is_none_at_the_mean_of_the_population() -> None:
    rng = np.random.default_rng(4)
    points, whitened = rng.normal(3, 0.4, (4000, 2)), rng.normal(-1, 0.05, (4000, 2))
    population = Standard(np.full(2, -1.0), np.full(2, 0.05))
    (a, b), (f, g) = population.of(whitened).T, ((points - 3) / 0.4).T
    inside = (np.abs(f) < 2.5) & (np.abs(g) < 2.5)
    points, whitened, lacking = points[inside], whitened[inside], (a * (0.3 - 0.2 * f * g) + 0.1 * a * b * g)[inside]
    lacking[0] = -np.inf
    change = Change.fitted(Pairs(points, whitened, lacking), population)
    found = (of_populations(whitened, population) * change.by_products(points)).sum(axis=1)
    assert np.abs(found - lacking)[1:].max() < 0.02 and not of_populations(population.centre[None], population).any()


def test_what_was_learned_is_in_the_weights_and_not_in_what_chains_correct() -> None:
    """The density under which proposals are chosen changes, and that which chains reach does not."""
    bound = bp.Model("y ~ x", bp.FineTuned("site"), bp.Gamma()).bind(counts().assign(y=lambda rows: rows["y"] + 0.5))
    rng = np.random.default_rng(2)
    population = bound.coefficients.location + 0.3 * bound.coefficients.unit * rng.normal(size=(60, 2))
    plain = CorrectedSecondStage.of(bound, population, rng)
    points = 0.5 * rng.normal(size=(50, plain.centre.size))
    table = plain.table(points, np.zeros(50))
    stage = plain.learned(table, plain.ratios(table, rng), 1)
    changed = stage.table(points, np.zeros(50))
    draws, places = np.arange(50), rng.integers(0, 50, 50)
    both = [each.log_ratios(one, draws, places, 4) + one.log_weights(each.whitened, each.products)[draws, places]
            for each, one in ((plain, table), (stage, changed))]
    np.testing.assert_allclose(*both, rtol=1e-9)
    left = [each.log_ratios(one, draws, each.ratios(one, rng).chosen[:50, 0], 4).std()
            for each, one in ((plain, table), (stage, changed))]
    assert left[1] < 0.7 * left[0]


@pytest.mark.parametrize("target", [None, ["Delft", "Cork"]])
def test_a_normal_family_has_the_numbers_of_its_exact_cut(frame: pd.DataFrame, target: Any) -> None:
    """A Normal of which every outcome was seen, and could have been censored, is drawn as families are that do not
    integrate out."""
    data, prior = frame.assign(seen=1), bp.FineTuned("site", on=["Intercept", "dose"], target=target)
    exact, found = (bp.fit(bp.Model("y ~ dose", prior, family), data, seed=seed, method=LAPLACE, progress=False)
                    for seed, family in enumerate((bp.Normal(), bp.Normal(event="seen"))))
    assert not exact.complaints and not found.complaints, found.complaints
    assert "pseudo-data" in found.diagnostics.engine and "pseudo-data" not in exact.diagnostics.engine
    (term,) = exact.bound.terms
    for name in ("sigma", f"{term.name}_scale", f"{term.name}_effect", "mu"):
        pair = [flat(each.tree)[name].reshape(4000, -1) for each in (found, exact)]
        if name.endswith("scale"):
            pair = [np.log(each) for each in pair]
        share = 1 / 4000 + 1 / min(each.diagnostics.importance.ess for each in (found, exact))
        for power in (1, 2):
            centre = pair[1].mean(axis=0)
            one, other = ((each - centre) ** power for each in pair)
            z = (one.mean(axis=0) - other.mean(axis=0)) / np.sqrt((one.var(axis=0) + other.var(axis=0)) * share)
            assert (np.abs(z) < 4).all(), (name, power, z)


BINARY = pd.DataFrame({"site": np.repeat(["source", "a", "b", "c"], [10, 12, 8, 9])})
BINARY["y"] = np.random.default_rng(5).binomial(
    1, expit(BINARY["site"].map({"source": -0.3, "a": 1.8, "b": -1.5, "c": 0.4})))
FEW = BINARY[["site"]].assign(y=np.random.default_rng(6).poisson(np.exp(
    BINARY["site"].map({"source": 0.2, "a": 1.2, "b": -0.6, "c": 0.6}))))


@pytest.mark.parametrize(("family", "data"), [(bp.Poisson(), FEW), (bp.Bernoulli(), BINARY)],
                         ids=["Poisson", "Bernoulli"])
def test_all_else_has_its_posterior_given_each_draw_of_the_population(family: Any, data: pd.DataFrame) -> None:
    """By brute force: a grid of the only scale, and the offset of every target on another one. The source says so
    little of mu that it matters which draw that is."""
    prior = bp.FineTuned("site", target=["a", "b", "c"], scale=bp.Hyperprior("HalfNormal", sigma=1.5))
    model = bp.Model("y ~ 1", prior, family, bp.Hyperprior("Normal", sigma=2))
    posterior = bp.fit(model, data, seed=1, method=LAPLACE, progress=False)
    assert not posterior.complaints, posterior.complaints
    draws = flat(posterior.tree)
    mu, tau, offset = draws["mu"][:, 0], draws["site_tuned_scale"][:, 0], draws["site_tuned_effect"][:, :, 0]
    some = slice(0, 4000, 4)
    mu, tau, offset = mu[some], tau[some], offset[some]
    scales, d = np.linspace(0.005, 8, 400), np.linspace(-10, 10, 801)
    log_p = stats.poisson.logpmf if isinstance(family, bp.Poisson) else stats.bernoulli.logpmf
    mean = np.exp if isinstance(family, bp.Poisson) else expit
    log_prior = stats.norm.logpdf(d, 0, scales[:, None])
    expected = {name: np.empty((len(mu), 2)) for name in ("tau", "a", "b", "c")}
    for k, one in enumerate(mu):
        joint, each = stats.halfnorm.logpdf(scales, scale=1.5), {}
        for site in "abc":
            y = data["y"][data["site"] == site].to_numpy()
            rows = log_p(y[:, None], mean(one + d)).sum(axis=0)
            terms = np.exp(rows - rows.max() + log_prior)
            total = terms.sum(axis=1)
            each[site] = terms @ np.column_stack([d, d**2]) / total[:, None]
            joint = joint + np.log(total)
        share = np.exp(joint - logsumexp(joint))
        expected["tau"][k] = share @ scales, share @ scales**2
        for site in "abc":
            expected[site][k] = share @ each[site]
    assert posterior.diagnostics.importance is not None
    inflated = np.sqrt(1 + len(mu) / posterior.diagnostics.importance.ess)
    moved = (mu - mu.mean()) / mu.std()
    assert expected["a"][:, 0].std() > 0.2
    for name, found in {"tau": tau, **dict(zip("abc", offset.T, strict=True))}.items():
        first, second = expected[name].T
        residual = (found - first) / np.sqrt(second - first**2)
        for each in (residual, residual * moved, residual**2 - 1):
            z = each.mean() / (each.std() * inflated / np.sqrt(len(mu)))
            assert abs(z) < 4, (name, z)


def test_a_chain_accepts_by_the_rows_own_likelihoods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among equally likely candidates it ends at each in proportion to the exact density, whatever they were chosen
    by."""
    bound = bp.Model("y ~ 1", bp.FineTuned("site"), bp.Poisson()).bind(counts())
    rng = np.random.default_rng(2)
    stage = CorrectedSecondStage.of(bound, np.repeat(bound.coefficients.location[None], 3000, axis=0), rng)
    points = np.array([[-1.0], [-0.3], [0.4]])
    table = stage.table(points, np.zeros(3))
    logs = np.array([0.0, 0.5, -0.4])
    monkeypatch.setattr(CorrectedSecondStage, "log_ratios", lambda self, table, draws, places, order: logs[places])
    ends = stage.chains(table, rng.integers(0, 3, (3000, 30)), 4, rng)
    wanted = 3000 * np.exp(logs - logsumexp(logs))
    assert stats.chisquare(np.bincount(ends, minlength=3), wanted).pvalue > 1e-4


@pytest.mark.parametrize("options", [{}, {"on": "x", "target": ["a", "d"]}])
def test_it_is_saved_and_predicts_known_groups_and_new_ones(tmp_path: Path, options: dict[str, Any]) -> None:
    data, prior = counts(), bp.FineTuned("site", **options)
    posterior = bp.fit(bp.Model("y ~ x", prior, bp.Poisson()), data, seed=1, method=bp.Laplace(draws=400),
                       progress=False)
    posterior.save(tmp_path / "cut.nc")
    again = bp.load(tmp_path / "cut.nc")
    assert str(again.diagnostics) == str(posterior.diagnostics) and "steps at each draw" in str(again.diagnostics)
    np.testing.assert_array_equal(again.theta.to_numpy(), posterior.theta.to_numpy())
    new = pd.DataFrame({"x": 0.5, "site": ["a", "b", "z"]})
    theta = bp.predict(posterior, new, kind="theta", seed=1).draws.to_numpy()[0]
    known = posterior.theta.isel(unit=[0, 1]).to_numpy()[0]
    np.testing.assert_allclose(theta[:, :2], known, rtol=1e-12)
    draws = flat(posterior.tree)
    apart = np.abs(theta - draws["mu"][:, None]).max(axis=0) > 1e-9
    tuned = [False, True] if options else [True, True]
    np.testing.assert_array_equal(apart, [tuned, [False] * 2, [False] * 2] if options else [tuned] * 3)
    with pytest.raises(SpecificationError, match="loo reweights draws of a joint posterior"):
        bp.loo(posterior, progress=False)
    assert posterior.pymc.free_RVs


def test_what_is_told_where_draws_cannot_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrected_second_stage, "LONGEST", 2)
    monkeypatch.setattr(corrected_second_stage, "SETTLED", 0.0)
    monkeypatch.setattr(corrected_second_stage, "ORDERS", ())
    monkeypatch.setattr(corrected_second_stage, "may_be_drawn", lambda ratio: False)
    model = bp.Model("y ~ x", bp.FineTuned("site"), bp.Poisson())
    with pytest.warns(ConvergenceWarning, match=r"integrals .* error of .*; chains of 2 steps do not forget .* Take"):
        bp.fit(model, counts(), seed=1, method=bp.Laplace(draws=100), progress=False)


def test_a_family_with_a_scale_that_varies_is_refused() -> None:
    for family in (bp.NegativeBinomial(dispersion=bp.Varying()), bp.Normal(sigma=bp.Varying())):
        with pytest.raises(SpecificationError, match="one linear predictor, .* freeze='plug-in' or freeze=None"):
            bp.Model("y ~ x", bp.FineTuned("site"), family).bind(counts())
        bp.Model("y ~ x", bp.FineTuned("site", freeze="plug-in"), family).bind(counts())
