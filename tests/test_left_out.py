"""Rows and groups left out in earnest: against integrals over a grid, joint densities and fits without them."""

import numpy as np
import pandas as pd
import pytest
from calibration import unsampled
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, poisson
from test_collapsed import marginal

import bayes_personal as bp
from bayes_personal.binding.bound import BoundModel
from bayes_personal.densities.gaussian.collapsed import GaussianDensity
from bayes_personal.densities.gaussian.sufficient import Statistics
from bayes_personal.errors import ConvergenceWarning, InputError, SpecificationError
from bayes_personal.leaving_out import left_out
from bayes_personal.leaving_out.refit import MarginalRefits
from bayes_personal.samplers.laplace import Laplace


def taken(density: GaussianDensity, rows: list[int]) -> Statistics:
    (batch,) = density.bound.rows.batches(len(density.bound.rows))
    return Statistics.of(density.arrangement, [batch.take(np.array(rows))])


@pytest.fixture(scope="module")
def outlying() -> pd.DataFrame:
    """Twenty rows of a straight line, the last of them twelve standard deviations off."""
    rng = np.random.default_rng(3)
    x = np.linspace(-1, 1, 20)
    return pd.DataFrame({"x": x, "y": 1 + 2 * x + rng.normal(0, 0.5, 20) + np.r_[np.zeros(19), 6.0]},
                        index=[f"row {i}" for i in range(20)])


@pytest.fixture(scope="module")
def line(outlying: pd.DataFrame) -> BoundModel:
    return bp.Model("y ~ x").bind(outlying)


@pytest.mark.parametrize("rows", [[3], [19], [0, 5, 7]], ids=["typical", "an outlier", "several"])
def test_a_refit_is_the_integral_over_the_hyperparameter(line: BoundModel, rows: list[int]) -> None:
    density = GaussianDensity(line)
    rest = GaussianDensity(line, density.statistics - taken(density, rows))
    grid = np.linspace(-4, 3, 4001)[:, None]
    exact = logsumexp(density.each_value(grid)) - logsumexp(rest.each_value(grid))
    found = MarginalRefits(density, np.random.default_rng(1), None, {}, 0).without(taken(density, rows))
    assert found.se < 0.03 and abs(found.elpd - exact) < 4 * found.se + 1e-3
    # The average over what the other rows say is in its tail for the outlier, and says so.
    assert (found.ess < 1000) == (rows == [19])


def test_the_sums_without_some_rows_are_those_of_the_others(frame: pd.DataFrame) -> None:
    bound = bp.Model("y ~ dose", bp.PartialPooling("site") + bp.LinearVarying("age")).bind(frame)
    density, some = GaussianDensity(bound), [1, 4, 30]
    found = density.statistics - taken(density, some)
    wanted = taken(density, [row for row in range(len(frame)) if row not in some])
    for one, other in zip(found.matrices, wanted.matrices, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    np.testing.assert_allclose([found.square, found.count, found.log_error],
                               [wanted.square, wanted.count, wanted.log_error], atol=1e-10)
    parts = [Statistics.of(density.arrangement, bound.rows.batches(size)) for size in (7, 40)]
    np.testing.assert_allclose(parts[0].gram, parts[1].gram, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prior", [bp.PartialPooling("site"), bp.Conditional("site"), bp.GaussianProcess("age"),
                                   bp.PartialPooling("sex") + bp.PartialPooling("site", on="dose")], ids=repr)
@pytest.mark.parametrize("by", ["site", "sex"])
def test_a_group_left_out_has_the_joint_density_of_its_rows(frame: pd.DataFrame, prior: bp.priors.Prior,
                                                            by: str) -> None:
    bound = bp.Model("y ~ dose", prior).bind(frame)
    density = GaussianDensity(bound)
    points = np.random.default_rng(2).normal(0, 0.5, (2, density.size))
    parts = list(left_out.groups(density, density.values(points), left_out.removals_by(density, by), lambda done: None))
    labels = frame[by].unique()
    assert [int(part.places[0]) for part in parts] == list(range(len(labels)))
    for draw, point in enumerate(points):
        mean, covariance, *_ = marginal(bound, density.values(point))
        for part, label in zip(parts, labels, strict=True):
            own = (frame[by] == label).to_numpy()
            gain = np.linalg.solve(covariance[np.ix_(~own, ~own)], covariance[np.ix_(~own, own)]).T
            exact = multivariate_normal.logpdf(
                bound.y[own], mean[own] + gain @ (bound.y - mean)[~own],
                covariance[np.ix_(own, own)] - gain @ covariance[np.ix_(~own, own)])
            np.testing.assert_allclose(part.densities[draw, 0], exact, rtol=1e-8, atol=1e-8)


def test_leaving_out_groups_of_one_row_is_leaving_out_rows(frame: pd.DataFrame) -> None:
    rows = frame.assign(patient=[f"p{i}" for i in range(len(frame))])
    posterior = bp.fit(bp.Model("y ~ dose", bp.PartialPooling("site")), rows, seed=1, method=Laplace(), progress=False)
    unit = bp.loo(posterior, refit=False, progress=False)
    group = bp.loo(posterior, kind="group", by="patient", refit=False, progress=False)
    np.testing.assert_allclose(group.elpd_i, unit.elpd_i, atol=1e-8)
    np.testing.assert_allclose(group.pareto_k, unit.pareto_k, atol=1e-5)
    assert group.conditioning == "group" and list(group.elpd_i["left_out"][:2]) == ["p0", "p1"]


def test_new_groups_are_harder_than_new_rows_of_known_groups() -> None:
    sleep = bp.load_dataset("sleepstudy")
    posterior = bp.fit(bp.Model("reaction ~ days", bp.PartialPooling("subject")), sleep, seed=1, method=Laplace(),
                       progress=False)
    group = bp.loo(posterior, kind="group", by="subject", seed=1, progress=False)
    assert group.n_data_points == 18 and group.elpd < bp.loo(posterior, progress=False).elpd - 20
    pooled = bp.fit(bp.Model("reaction ~ days"), sleep, seed=1, method=Laplace(), progress=False)
    # Without a model of groups their rows are taken for independent, which they are not.
    assert bp.loo(pooled, kind="group", by="subject", seed=1, progress=False).elpd < group.elpd


def test_rows_with_a_high_pareto_k_are_refitted(outlying: pd.DataFrame, line: BoundModel) -> None:
    posterior = bp.fit(bp.Model("y ~ x"), outlying, seed=1, method=Laplace(), progress=False)
    with pytest.warns(ConvergenceWarning, match="in 1 of 20 rows \\('row 19'\\)"):
        before = bp.loo(posterior, refit=False, progress=False)
    assert before.pareto_k[19] > before.good_k and len(before.refits) == 0
    found = bp.loo(posterior, seed=1, progress=False)
    density = GaussianDensity(line)
    grid = np.linspace(-4, 3, 4001)[:, None]
    rest = GaussianDensity(line, density.statistics - taken(density, [19]))
    exact = logsumexp(density.each_value(grid)) - logsumexp(rest.each_value(grid))
    (row,) = found.refits.itertuples()
    assert row.Index == "row 19" and row.pareto_k == float(before.pareto_k[19])
    assert abs(row.elpd - exact) < 4 * row.se < 0.15 and abs(row.elpd_before - exact) > 2 * abs(row.elpd - exact)
    assert found.elpd_i[19] == row.elpd and found.pareto_k[19] == 0 and "1 refitted exactly" in str(found)
    np.testing.assert_allclose(found.elpd_i[:19], before.elpd_i[:19])
    assert found.elpd == pytest.approx(float(found.elpd_i.sum()))


def test_such_refits_can_be_sampled_by_nuts(outlying: pd.DataFrame, line: BoundModel) -> None:
    posterior = bp.fit(bp.Model("y ~ x"), outlying, seed=1, method=Laplace(), progress=False)
    with pytest.warns(ConvergenceWarning, match="1 of 1 refits \\('row 19'\\) rest on few effective draws"):
        found = bp.loo(posterior, refit=bp.NUTS(), progress=False)
    density = GaussianDensity(line)
    grid = np.linspace(-4, 3, 4001)[:, None]
    rest = GaussianDensity(line, density.statistics - taken(density, [19]))
    exact = logsumexp(density.each_value(grid)) - logsumexp(rest.each_value(grid))
    (row,) = found.refits.itertuples()
    assert row.Index == "row 19" and row.complaints == "" and abs(row.elpd - exact) < 4 * row.se < 1
    assert abs(row.elpd_before - exact) > 2 * abs(row.elpd - exact)


def test_what_cannot_be_left_out(outlying: pd.DataFrame) -> None:
    rows = outlying.assign(g=["a", None, *"b" * 18])
    posterior = bp.fit(bp.Model("y ~ x"), rows, seed=1, method=Laplace(), progress=False)
    for options in ({"kind": "group"}, {"by": "g"}, {"refit": 1}):
        with pytest.raises(SpecificationError):
            bp.loo(posterior, progress=False, **options)
    with pytest.raises(InputError, match="1 labels are missing \\(rows 'row 1'\\)"):
        bp.loo(posterior, kind="group", by="g", progress=False)
    with pytest.raises(InputError, match="no such column"):
        bp.loo(posterior, kind="group", by="h", progress=False)


@pytest.mark.parametrize("prior", [bp.Population(), bp.Contextualized("c", hidden=2)], ids=["mean", "network"])
def test_rows_that_share_all_there_is_have_nothing_to_integrate_out(prior: bp.priors.Prior) -> None:
    """Their cost is then that of a density for each draw, and every draw is used."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=30), "c": rng.normal(size=30), "y": rng.poisson(3, 30)})
    posterior = unsampled(bp.Model("y ~ x", prior, bp.Poisson()), frame, 60)
    found = bp.log_likelihood(posterior, progress=False)["y_left_out"].to_numpy()
    rate = np.exp((posterior.theta.to_numpy() * posterior.bound.x).sum(axis=-1))
    np.testing.assert_allclose(found, poisson.logpmf(frame["y"], rate), rtol=1e-9)
