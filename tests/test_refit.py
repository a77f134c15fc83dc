"""Refits without rows or groups, of models whose weights do not integrate out: against sums over a grid."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from calibration import unsampled
from leave_one_out import Grid, on_a_grid
from scipy.stats import norm

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.division_density import DivisionDensity
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError
from bayes_personal.leaving_out.question import LeaveOutPlan
from bayes_personal.leaving_out.refit import MarginalRefits, Refit
from bayes_personal.posterior.posterior import Posterior
from bayes_personal.samplers.laplace import Laplace

# The last row but one is far off what its group and the others say; two columns cut across the groups.
FRAME = pd.DataFrame({"y": [0, 1, 2, 1, 2, 1, 1, 0, 2, 1, 40, 2], "g": np.repeat(list("abcd"), 3),
                      "week": [1, 2, 3] * 4, "place": ["here"] * 12})
OUTLIER = 10


def exact_draws(self: bp.NUTS, bound: BoundModel, seed: int, progress: bool) -> xr.DataTree:
    """A sampler that draws from the grid, and compiles nothing."""
    return Grid(bound).sample(self.chains, self.draws, np.random.default_rng(seed))


def stuck(self: bp.NUTS, bound: BoundModel, seed: int, progress: bool) -> xr.DataTree:
    """Chains that each stay near where they begin, and say that they diverge."""
    found = Grid(bound).sample(self.chains, self.draws, np.random.default_rng(seed))
    shift = xr.DataArray(np.linspace(-1, 1, self.chains), dims="chain")
    diverging = xr.Dataset({"diverging": (("chain", "draw"), np.ones((self.chains, self.draws), bool))})
    moved = found["posterior"].to_dataset()
    return xr.DataTree.from_dict({"posterior": moved.assign(mu=moved["mu"] + shift), "sample_stats": diverging})


@pytest.fixture(scope="module")
def counts() -> tuple[Posterior, Grid]:
    return on_a_grid(bp.Poisson(), FRAME, draws=2000)


def chains_of(values: np.ndarray) -> xr.DataTree:
    return xr.DataTree.from_dict({"posterior": xr.Dataset({"theta": (("chain", "draw"), values)})})


@pytest.mark.parametrize("y", [0.5, 4.0, 8.0])
def test_the_bridge_spans_posteriors_that_hardly_meet(y: float) -> None:
    # theta ~ Normal(0, 1) given the rest, y ~ Normal(theta, 1): given y theta ~ Normal(y / 2, 1 / 2).
    rng = np.random.default_rng(4)
    rest, everything = rng.normal(size=(4, 1000)), rng.normal(y / 2, np.sqrt(0.5), (2, 600))
    logs, others = norm.logpdf(y, rest.ravel(), 1), norm.logpdf(y, everything.ravel(), 1)
    exact = norm.logpdf(y, 0, np.sqrt(2))
    bridged = Refit.bridged(logs, chains_of(rest), others, 2)
    average = Refit.averaged(logs, chains_of(rest))
    assert abs(bridged.elpd - exact) < 4 * bridged.se and bridged.se < average.se
    assert bridged.se < {0.5: 0.02, 4.0: 0.04, 8.0: 0.2}[y]
    # At y = 8 the average rests on the few largest of 4000 draws, and says so.
    assert (average.ess < 100) == (y == 8.0) and (bridged.ess > average.ess) == (y > 0.5)
    assert abs(average.elpd - exact) < 4 * average.se or average.ess < 20


def test_a_refit_counts_correlated_draws_for_less() -> None:
    rng = np.random.default_rng(1)
    independent = rng.normal(size=(4, 1000))
    sticky = np.repeat(rng.normal(size=(4, 100)), 10, axis=1)
    few, many = (Refit.averaged(norm.logpdf(each).ravel(), chains_of(each)) for each in (sticky, independent))
    assert 2.5 < few.se / many.se < 4 and few.ess < 0.2 * many.ess


def test_a_row_with_a_high_pareto_k_is_refitted_by_nuts(counts: tuple[Posterior, Grid]) -> None:
    posterior, grid = counts
    with pytest.warns(ConvergenceWarning, match="in 1 of 12 rows \\(10\\).*refit=True"):
        before = bp.loo(posterior, refit=False, progress=False)
    found = bp.loo(posterior, refit=bp.NUTS(draws=500, tune=500), progress=False)
    (row,) = found.refits.itertuples()
    assert row.Index == OUTLIER and row.pareto_k == float(before.pareto_k[OUTLIER]) > before.good_k
    exact = grid.left_out(OUTLIER)
    assert abs(row.elpd - exact) < 4 * row.se < 0.5 and row.elpd_before - exact > 0.5
    assert found.elpd_i[OUTLIER] == row.elpd and found.pareto_k[OUTLIER] == 0
    rest = np.arange(12) != OUTLIER
    np.testing.assert_array_equal(found.elpd_i[rest], before.elpd_i[rest])


def test_groups_without_weights_of_their_own_are_refitted_one_by_one(
        counts: tuple[Posterior, Grid], monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, grid = counts
    monkeypatch.setattr(bp.NUTS, "sample", exact_draws)
    found = bp.loo(posterior, kind="group", by="week", refit=bp.NUTS(draws=1000), progress=False)
    exact = np.array([grid.left_out(np.flatnonzero(FRAME["week"] == week)) for week in (1, 2, 3)])
    assert list(found.refits.index) == [1, 2, 3] == [int(label) for label in found.elpd_i["left_out"]]
    error = found.refits["se"].to_numpy()
    assert (np.abs(found.elpd_i - exact) < 4 * error).all() and (error < 0.1).all(), (found.elpd_i - exact, error)
    assert (found.pareto_k == 0).all() and found.elpd == pytest.approx(float(found.elpd_i.sum()))


def test_a_group_with_a_high_pareto_k_is_refitted(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, grid = on_a_grid(bp.Poisson(), FRAME.assign(y=[0, 1, 2, 1, 2, 1, 1, 0, 2, 20, 24, 18]), draws=2000)
    monkeypatch.setattr(bp.NUTS, "sample", exact_draws)
    found = bp.loo(posterior, kind="group", by="g", refit=bp.NUTS(draws=1000), progress=False)
    (row,) = found.refits.itertuples()
    exact = grid.left_out(np.arange(9, 12))
    assert row.Index == "d" and row.elpd_before - exact > 0.5 and abs(row.elpd - exact) < 4 * row.se < 0.3
    assert float(found.elpd_i[3]) == row.elpd and (found.pareto_k <= found.good_k).all()


def test_draws_that_are_not_the_posterior_do_not_count(counts: tuple[Posterior, Grid],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, _ = counts
    tree = posterior.tree.copy()
    tree["variational"] = xr.DataTree(xr.Dataset(attrs={"pareto_k": 2.0, "converged": 1, "iterations": 9}))
    rng, method = np.random.default_rng(1), bp.NUTS()
    for draws, bridged in ((posterior, True), (Posterior(posterior.model, posterior.bound, tree), False)):
        refits = LeaveOutPlan.of(draws, "unit", None, method).refits(method, rng)
        assert bool(refits.values) == bridged


def test_draws_of_refits_that_are_not_to_be_trusted(counts: tuple[Posterior, Grid],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bp.NUTS, "sample", stuck)
    with pytest.warns(ConvergenceWarning) as said:
        found = bp.loo(counts[0], kind="group", by="week", refit=bp.NUTS(draws=100), progress=False)
    words = " ".join(str(each.message) for each in said)
    assert "the draws of 3 of 3 refits are not to be trusted, the first that without 1: 400 divergences" in words
    assert found.refits["complaints"].str.contains("R-hat").all()


def test_what_cannot_be_refitted(counts: tuple[Posterior, Grid], frame: pd.DataFrame) -> None:
    posterior, method = counts[0], bp.NUTS()
    for words, options in {
            "True, False or a sampler": {"refit": bp.Laplace()},
            "does not know the row's own theta_i": {"kind": "conditional", "refit": method},
            "no part of PartialPooling.*gives the groups of 'week' weights.*refit=bp.NUTS":
                {"kind": "group", "by": "week", "refit": False}}.items():
        with pytest.raises(SpecificationError, match=words):
            bp.loo(posterior, progress=False, **options)
    with pytest.raises(InputError, match="all rows have the label 'here'"):
        bp.loo(posterior, kind="group", by="place", refit=method, progress=False)
    collapsing = unsampled(bp.Model("y ~ dose"), frame, draws=50)
    for refused in (bp.NUTS(collapse=False), bp.NUTS(sampler="pymc")):
        with pytest.raises(SpecificationError, match="Drop collapse=False"):
            bp.loo(collapsing, refit=refused, progress=False)
    heavy = unsampled(bp.Model("y ~ dose", family=bp.StudentT()), frame, draws=50)
    with pytest.raises(SpecificationError, match="the weights of StudentT"):
        bp.loo(heavy, kind="group", by="site", refit=False, progress=False)


def test_proposals_where_densities_vanish_have_no_part_in_a_refit() -> None:
    """Importance sampling tries points far out; beyond where a density is 0 its logarithm says nothing."""
    rows = pd.DataFrame({"y": np.random.default_rng(5).normal(size=10), "c": np.arange(10.0)})
    density = DivisionDensity(bp.Model("y ~ 1", bp.TreePartition("c")).bind(rows))
    (batch,) = density.bound.rows.batches()
    rest = density.without(density.contribution(batch, np.array([3])))
    found = Laplace().weighted(rest, np.random.default_rng(1))
    far = np.full((1, density.size), -900.0)
    with np.errstate(all="ignore"):
        assert density.each_value(far)[0] == rest.each_value(far)[0] == -np.inf
    more = replace(found, points=np.concatenate([far, found.points]), weights=np.append(0.0, found.weights),
                   log_densities=np.append(-np.inf, found.log_densities))
    refits = MarginalRefits(density, np.random.default_rng(1), None, {}, 1)
    wanted, got = refits.weighted(rest, found), refits.weighted(rest, more)
    assert np.isfinite(got.elpd) and got == wanted
