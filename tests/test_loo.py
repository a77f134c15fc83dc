"""Leave-one-out with theta_i integrated out: against refits, exact sums, and itself by other algebra."""

from importlib import import_module
from types import SimpleNamespace

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from calibration import assert_healthy, conditioned, unsampled
from leave_one_out import ASSUMPTIONS, curve, left_out, on_a_grid, prior_of_eta, refit, whole

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.errors import ConvergenceWarning, NotFittedError, SpecificationError
from bayes_personal.families import Bernoulli, Family, Poisson
from bayes_personal.leaving_out.elpd import remedy
from bayes_personal.leaving_out.line_integral import LineIntegral
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.priors.parts.base import Prior
from bayes_personal.samplers.draws import flat


def by_lines(bound: BoundModel, draws: dict) -> np.ndarray:
    """log p(y_i | y_-i, all but one direction of the weights) of all rows, (draw, unit)."""
    result = np.empty((len(next(iter(draws.values()))), len(bound.rows)))
    for rows, densities in LineIntegral(bound).leave_one_out(draws):
        result[:, rows] = densities
    return result


def arviz_loo(posterior: Posterior, kind: str = "unit", reff: float | None = None) -> az.ELPDData:
    """What ArviZ makes of the log densities."""
    values = bp.log_likelihood(posterior, kind=kind, progress=False)
    kept = posterior.tree["posterior"].to_dataset().isel(draw=values["draw"].to_numpy())
    return az.loo(xr.DataTree.from_dict({"posterior": kept, "log_likelihood": values}), pointwise=True, reff=reff)


def r_eff(posterior: Posterior) -> float:
    """Effective draws of the hyperparameters over draws."""
    kept = posterior.tree["posterior"].to_dataset()[[each.name for each in posterior.bound.parameters]]
    ess = az.ess(kept, method="mean")
    each = np.concatenate([ess[name].to_numpy().ravel() for name in ess.data_vars])
    return each.mean() / (kept.sizes["chain"] * kept.sizes["draw"])


METHOD = bp.NUTS(draws=500, tune=300, chains=2)
pytestmark = pytest.mark.filterwarnings("ignore:loo. Pareto k", "ignore:Estimated shape parameter")


@pytest.fixture(scope="module", params=ASSUMPTIONS)
def curved(request: pytest.FixtureRequest) -> Posterior:
    prior, personal = ASSUMPTIONS[request.param]
    posterior = bp.fit(bp.Model("y ~ x", prior), curve(personal=personal), seed=1, method=METHOD, progress=False)
    assert_healthy(posterior, ess=150, r_hat=1.03)
    return posterior


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return bp.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def pooled(sleep: pd.DataFrame) -> Posterior:
    model = bp.Model("reaction ~ days", bp.PartialPooling("subject"))
    return bp.fit(model, sleep, seed=1, method=bp.NUTS(draws=250, tune=250, chains=2), progress=False)


def test_integrated_loo_is_refitting(curved: Posterior) -> None:
    found = bp.loo(curved, progress=False)
    conditional = bp.loo(curved, kind="conditional", progress=False)
    # Where the two answers differ most, one of them is wrong.
    rows = np.argsort(-np.abs(found.elpd_i.to_numpy() - conditional.elpd_i.to_numpy()))[:3]
    truth = np.array([refit(curved, int(row), bp.NUTS(draws=200, tune=200, chains=2)) for row in rows])
    ours, theirs = (each.elpd_i.to_numpy()[rows] - truth[:, 0] for each in (found, conditional))
    message = f"integrated {np.round(ours, 3)}, conditional {np.round(theirs, 3)}, error {np.round(truth[:, 1], 3)}"
    assert (np.abs(ours) < 0.05 + 4 * truth[:, 1]).all(), message
    # Where theta leans on many rows, conditioning on it costs less than these few draws can tell.
    personal = len(curved.bound.terms) > 1
    assert not personal or np.abs(ours).sum() < 0.5 * np.abs(theirs).sum(), message


@pytest.mark.parametrize(("prior", "place"), [
    (bp.Population(), None), (bp.LinearVarying("age", "sex"), None), (bp.GaussianProcess("age", on="dose"), None),
    (bp.Conditional("site"), 0), (bp.PartialPooling("site"), 0), (bp.PartialPooling("site", on="dose"), 0),
    (bp.LinearVarying("age") + bp.PartialPooling("sex") + bp.PartialPooling("site", on="dose"), 2)], ids=str)
def test_lines_are_exact_for_known_normal_errors(prior: Prior, place: int | None, frame: pd.DataFrame) -> None:
    # The weights that a line moves: of the term with most groups; all of them where there are no groups.
    posterior = conditioned(bp.Model("y ~ dose", prior, bp.Normal(sd="se")), frame, draws=2)
    bound, draws = posterior.bound, flat(posterior.tree)
    found = by_lines(bound, draws)
    moved = (None, *bound.terms) if place is None else (bound.terms[place],)
    for draw in range(4):
        values = {name: value[draw] for name, value in draws.items()}
        covariance = sum(prior_of_eta(bound, term, values) for term in moved)
        still = values | {f"{term.name}_z": 0 * values[f"{term.name}_z"] for term in moved if term}
        if place is None:
            still[bound.mean.name] = bound.mean.arguments["mu"]
        eta = bound.single(bound.eta(still, np))
        exact = [left_out(bound, values, eta, covariance, row) for row in range(len(frame))]
        np.testing.assert_allclose(found[draw], exact, rtol=1e-6, atol=1e-6)
        if place is None or len(bound.shared) == 0:
            everything = GaussianDensity(bound).leave_one_out(
                {name: value[[draw]] for name, value in draws.items()}, 1, whole(bound))[0]
            np.testing.assert_allclose(everything, exact, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("prior", [bp.Population(), bp.Conditional("site"), bp.PartialPooling("site")], ids=repr)
def test_lines_agree_with_the_exact_formula_for_an_unknown_error(prior: Prior, frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", prior)
    posterior = bp.fit(model, frame, seed=1, method=bp.NUTS(draws=400, tune=200, chains=2), progress=False)
    draws, count = flat(posterior.tree), 800
    exact = np.exp(-GaussianDensity(posterior.bound).leave_one_out(draws, count, whole(posterior.bound)))
    line = np.exp(-by_lines(posterior.bound, draws))
    # What a line fixes is drawn given the hyperparameters, independently from draw to draw, and 1 / p(y_i | y_-i, phi)
    # is the mean over it of 1 / p(y_i | y_-i, phi, what is fixed).
    difference = line - exact
    z = difference.mean(axis=0) / difference.std(axis=0, ddof=1) * np.sqrt(count)
    heavy = np.sort(line, axis=0)[-8:].sum(axis=0) / line.sum(axis=0) > 0.1
    assert heavy.mean() < 0.25, heavy.mean()
    assert (np.abs(z[~heavy]) < 4).all(), np.abs(z[~heavy]).max()


@pytest.mark.parametrize("family", [Poisson(), Poisson(exposure="time"), Bernoulli()], ids=repr)
def test_counts_with_groups_against_exact_sums(family: Family) -> None:
    y = [0, 1, 0, 3, 2, 5, 1, 1, 0, 9, 6, 4] if isinstance(family, Poisson) else [0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0]
    frame = pd.DataFrame({"y": y, "g": np.repeat(list("abcd"), 3), "time": [1.0, 0.5, 2.0] * 4})
    posterior, grid = on_a_grid(family, frame, draws=2000)
    exact = np.array([grid.left_out(row) for row in range(len(frame))])
    found = bp.loo(posterior, progress=False)
    error = found.elpd_i.to_numpy() - exact
    assert (found.pareto_k < 0.7).all() and (np.abs(error) < 0.05).all(), np.round(error, 3)
    conditional = bp.loo(posterior, kind="conditional", progress=False)
    assert abs(error.sum()) < abs(conditional.elpd - exact.sum()), (error.sum(), conditional.elpd - exact.sum())


def test_a_row_alone_in_its_group_against_exact_sums() -> None:
    frame = pd.DataFrame({"y": [0, 4, 1, 2, 7, 0, 3, 1], "g": list("abcdefgh")})
    posterior, grid = on_a_grid(Poisson(), frame, draws=2000)
    exact = np.array([grid.left_out(row) for row in range(len(frame))])
    error = bp.loo(posterior, progress=False).elpd_i.to_numpy() - exact
    optimism = bp.loo(posterior, kind="conditional", progress=False).elpd_i.to_numpy() - exact
    message = f"integrated {np.round(error, 3)}, conditional {np.round(optimism, 3)}"
    assert (np.abs(error) < 0.05).all() and optimism.sum() > 4 * abs(error.sum()), message


def test_a_row_that_no_weight_moves_keeps_its_density() -> None:
    frame = pd.DataFrame({"y": [0, 2, 1, 3, 0, 5], "x": [0.0, 1, 2, 0, 1, 2], "g": list("aaabbb")})
    posterior = unsampled(bp.Model("y ~ 0 + x", bp.PartialPooling("g"), Poisson()), frame, draws=30)
    unit, conditional = (bp.loo(posterior, kind=kind, progress=False) for kind in ("unit", "conditional"))
    np.testing.assert_allclose(unit.elpd_i[[0, 3]], [-1.0, -1.0 - np.log(6)], atol=1e-10)
    assert np.isfinite(unit.elpd_i).all() and (unit.elpd_i[1:3] != conditional.elpd_i[1:3]).all()


@pytest.mark.parametrize("prior", [bp.Population(), bp.Conditional("site")], ids=repr)
def test_without_hyperparameters_there_is_nothing_to_reweight(prior: Prior, frame: pd.DataFrame) -> None:
    model = bp.Model("y ~ dose", prior, bp.Normal(sd="se"))
    posterior = bp.fit(model, frame, seed=1, method=bp.NUTS(draws=50, chains=2), progress=False)
    bound, found = posterior.bound, bp.loo(posterior, progress=False)
    centre = bound.coefficients.predictors(bound.x, bound.everywhere) @ bound.coefficients.location
    covariance = prior_of_eta(bound, bound.terms[0] if bound.terms else None, {})
    exact = [left_out(bound, {}, centre, covariance, row) for row in range(len(frame))]
    np.testing.assert_allclose(found.elpd_i, exact, rtol=1e-9)
    assert found.elpd == pytest.approx(sum(exact), abs=1e-8) and (found.pareto_k < 0.7).all()
    assert arviz_loo(posterior).elpd == pytest.approx(sum(exact), abs=1e-8)


def test_it_says_what_it_conditions_on(pooled: Posterior) -> None:
    conditional = bp.loo(pooled, kind="conditional", progress=False)
    assert conditional.conditioning == "conditional" and "CONDITIONAL" in str(conditional)
    default = bp.loo(pooled, progress=False)
    assert default.conditioning == "unit" and "integrated out" in str(default) and "CONDITIONAL" not in str(default)
    assert default.elpd != conditional.elpd and repr(default) == str(default)


@pytest.mark.parametrize(("shape", "every"), [(20.0, False), (1.0, True)], ids=["heavy tails", "all on one draw"])
def test_rows_with_a_high_pareto_k_are_counted(shape: float, every: bool, frame: pd.DataFrame) -> None:
    rows = frame.set_axis([f"patient {i}" for i in range(len(frame))])
    sigma = bp.Hyperprior("Gamma", alpha=shape, beta=shape / 4)
    posterior = conditioned(bp.Model("y ~ dose", bp.PartialPooling("site"), bp.Normal(sigma=sigma)), rows, draws=100)
    with pytest.warns(ConvergenceWarning) as said:
        found = bp.loo(posterior, refit=False, progress=False)
    high = ~(found.pareto_k <= found.good_k).to_numpy()
    (warning,) = [str(each.message) for each in said if each.category is ConvergenceWarning]
    assert high.any() and f"in {high.sum()} of 40 rows ('{rows.index[high][0]}'" in warning
    assert found.pareto_k.notnull().all() and high.all() == every


@pytest.mark.parametrize(("prior", "family", "words"), [
    (bp.Population(), bp.Normal(), "such as StudentT"), (bp.Population(), bp.Normal(sd="se"), None),
    (bp.Population(), bp.Poisson(), "such as NegativeBinomial"), (bp.Population(), bp.Bernoulli(), None),
    (bp.Partition("age"), bp.Poisson(), None), (bp.Partition("age"), bp.Normal(), None)], ids=str)
def test_the_family_that_is_advised_is_one_that_can_be_taken(prior: Prior, family: Family, words: str | None,
                                                             frame: pd.DataFrame) -> None:
    bound = bp.Model("few ~ 1", prior, family).bind(frame.assign(few=np.arange(len(frame)) % 2))
    asked = SimpleNamespace(posterior=SimpleNamespace(bound=bound), kind="unit", density=object(),
                            approximated=None, noun="rows")
    said = remedy(False, asked)
    assert said.startswith("refit=True") and (words in said if words else "family" not in said)


def test_there_is_an_end_to_refitting(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of the prior are poor ones of the posterior: every row would be refitted."""
    for module in ("elpd", "estimates"):
        monkeypatch.setattr(import_module(f"bayes_personal.leaving_out.{module}"), "MOST_REFITS", 2)
    sigma = bp.Hyperprior("Gamma", alpha=1.0, beta=0.25)
    posterior = conditioned(bp.Model("y ~ dose", bp.PartialPooling("site"), bp.Normal(sigma=sigma)), frame, draws=100)
    with pytest.warns(ConvergenceWarning, match="in 40 of 40 rows .* More than 2 are not refitted: the posterior"):
        found = bp.loo(posterior, progress=False)
    assert found.refits.empty and "more than 2 rows" in found.complaints[-1]


@pytest.mark.parametrize("kind", ["unit", "conditional"])
def test_arviz_finds_the_same(pooled: Posterior, kind: str) -> None:
    found = bp.loo(pooled, kind=kind, refit=False, progress=False)
    again = arviz_loo(pooled, kind, r_eff(pooled))
    assert again.elpd == pytest.approx(found.elpd, abs=1e-9) and again.se == pytest.approx(found.se, abs=1e-9)
    np.testing.assert_allclose(again.pareto_k, found.pareto_k, atol=1e-9)


def test_draws_that_follow_each_other_count_for_less(pooled: Posterior) -> None:
    """The same draws in the order of sigma: the tail that is smoothed is as long as effective draws say."""
    tree = xr.DataTree.from_dict({name: each.to_dataset() for name, each in pooled.tree.children.items()
                                  if name == "observed_data"})
    draws = pooled.tree["posterior"].to_dataset()
    sorted_draws = [draws.sel(chain=chain).isel(draw=np.argsort(draws["sigma"].sel(chain=chain).to_numpy()))
                    .assign_coords(draw=draws["draw"]) for chain in draws["chain"]]
    tree["posterior"] = xr.DataTree(xr.concat(sorted_draws, "chain").assign_attrs(draws.attrs))
    slow = Posterior(pooled.model, pooled.bound, tree)
    assert r_eff(slow) < 0.95 * min(r_eff(pooled), 1.0)
    found = bp.loo(slow, refit=False, progress=False)
    again, wrong = (arviz_loo(slow, "unit", share) for share in (r_eff(slow), 1.0))
    np.testing.assert_allclose(again.pareto_k, found.pareto_k, atol=1e-9)
    assert np.abs(wrong.pareto_k - found.pareto_k).max() > 1e-3


def test_conditional_is_the_density_given_theta(pooled: Posterior) -> None:
    found = bp.log_likelihood(pooled, kind="conditional", progress=False)
    theta, days = pooled.theta.to_numpy(), pooled.bound.frame["days"].to_numpy()
    sigma = pooled.tree["posterior"]["sigma"].to_numpy()[..., None]
    residual = pooled.bound.y - theta[..., 0] - theta[..., 1] * days
    expected = -0.5 * (residual / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found["y"], expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["unit", "conditional"])
@pytest.mark.parametrize("family", [bp.Normal(), bp.Normal(sd="se")], ids=repr)
def test_another_unit_of_the_outcome(kind: str, family: bp.Normal, frame: pd.DataFrame) -> None:
    # The same draws in both units, so that nothing but the unit differs.
    factor, model = 1e-3, bp.Model("y ~ dose", bp.PartialPooling("site"), family)
    found = [bp.loo(conditioned(model, rows, draws=100), kind=kind, refit=False, progress=False)
             for rows in (frame, frame.assign(y=factor * frame["y"], se=factor * frame["se"]))]
    np.testing.assert_allclose(found[1].elpd_i, found[0].elpd_i - np.log(factor), rtol=1e-8)
    assert found[1].elpd == pytest.approx(found[0].elpd - len(frame) * np.log(factor), rel=1e-8)
    np.testing.assert_allclose(found[1].pareto_k, found[0].pareto_k, atol=1e-6)


def test_thinned_draws_give_the_same_within_monte_carlo_error(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"y": [0, 1, 0, 3, 2, 5, 1, 1, 0, 9, 6, 4], "g": np.repeat(list("abcd"), 3)})
    posterior, grid = on_a_grid(Poisson(), frame, draws=1000)
    exact = np.array([grid.left_out(row) for row in range(len(frame))])
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", 0.0)
    monkeypatch.setattr("bayes_personal.leaving_out.estimates.LARGEST_SHARE", np.inf)
    found = bp.loo(posterior, progress=False)
    values = bp.log_likelihood(posterior, progress=False)["y_left_out"]
    assert values.sizes["draw"] == 125 and list(values["draw"][:3]) == [0, 8, 16]
    ratio = np.exp(-values.to_numpy().reshape(-1, len(exact)))
    error = ratio.std(axis=0) / ratio.mean(axis=0) / np.sqrt(len(ratio))
    assert (np.abs(found.elpd_i - exact) < 4 * error).all()
    assert arviz_loo(posterior).elpd == pytest.approx(found.elpd, abs=0.01)


def test_where_weights_integrate_out_rows_of_too_many_draws_are_thinned(pooled: Posterior,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    every = bp.log_likelihood(pooled, progress=False)["y_left_out"]
    density = marginal_density(pooled.bound)
    assert density is not None
    monkeypatch.setattr("bayes_personal.leaving_out.question.BUDGET", density.leave_one_out_work * 250)
    some = bp.log_likelihood(pooled, progress=False)["y_left_out"]
    assert every.sizes["draw"] * every.sizes["chain"] == 500
    assert list(some["draw"][:3]) == [0, 2, 4]
    np.testing.assert_array_equal(some, every.sel(draw=some["draw"]))


def test_what_has_no_answer_is_refused(pooled: Posterior) -> None:
    with pytest.raises(NotFittedError, match="Model"):
        bp.loo(pooled.model)
    with pytest.raises(SpecificationError, match="'groups'"):
        bp.loo(pooled, kind="groups")
