"""Every gate of the engine for families that are not Normal refuses, says why, and NUTS takes over."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_personal as bp
from bayes_personal.errors import ConvergenceWarning, SpecificationError
from bayes_personal.samplers import corrected, group_weights, laplace, nuts
from bayes_personal.samplers.linearising import linearised
from bayes_personal.samplers.route import route

POOLED = bp.PartialPooling("g")


def outliers(rows: int = 2, degrees: float = 2.0) -> pd.DataFrame:
    """A few measurements with heavy-tailed errors in each of 60 groups."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(60), rows)
    return pd.DataFrame({"g": g, "y": 3 * rng.normal(size=60)[g] + rng.standard_t(degrees, len(g))})


def test_a_coarse_rule_is_refused_and_a_fine_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bp.Model("y ~ 1", POOLED, bp.StudentT())
    posterior = bp.fit(model, outliers(), seed=1, method=bp.Laplace(fallback=False), progress=False)
    assert 0 < posterior.diagnostics.importance.rule_error < corrected.SETTLED
    assert "groups integrated with an error of 0.0" in str(posterior.diagnostics)
    monkeypatch.setattr(corrected, "ORDERS", (6,))
    with pytest.raises(SpecificationError, match=r"^Laplace: the integrals over the weights of groups have an error"):
        bp.fit(model, outliers(), seed=1, method=bp.Laplace(fallback=False), progress=False)


def test_integrands_with_several_peaks_are_refused() -> None:
    """Cauchy errors, of which a few a group give its weights several modes, which no rule around one of them sees."""
    with pytest.raises(SpecificationError, match=r"have an error of .* with 31 nodes along each weight"):
        bp.fit(bp.Model("y ~ 1", POOLED, bp.StudentT()), outliers(4, 1.0), seed=1, method=bp.Laplace(fallback=False),
               progress=False)


def test_chains_that_do_not_forget_their_start_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_weights, "LONGEST", 3)
    with pytest.raises(SpecificationError, match="candidates whose density is .* times too small"):
        bp.fit(bp.Model("y ~ 1", POOLED, bp.StudentT()), outliers(), seed=1, method=bp.Laplace(fallback=False),
               progress=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_posteriors_with_several_modes_are_refused(seed: int) -> None:
    """Cauchy errors of a few rows, which a curve goes through or leaves aside."""
    rng = np.random.default_rng(1)
    c = rng.uniform(0, 10, 40)
    data = pd.DataFrame({"c": c, "y": 3 * np.sin(c) + rng.standard_t(1, 40)})
    with pytest.raises(SpecificationError, match=r"^Laplace: Pareto k is"):
        bp.fit(bp.Model("y ~ 1", bp.GaussianProcess("c"), bp.StudentT()), data, seed=seed,
               method=bp.Laplace(fallback=False), progress=False)


def test_ratios_without_a_variance_are_refused() -> None:
    """Pseudo-data that are far from what the rows say, of too great a precision."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"c": rng.uniform(size=80), "y": rng.poisson(3, 80)})
    bound = bp.Model("y ~ 1", bp.GaussianProcess("c"), bp.Poisson()).bind(data)
    density, _ = linearised(bound, np.random.default_rng(2))
    pseudo = replace(density.pseudo, response=density.pseudo.response + 1.0, precision=4 * density.pseudo.precision)
    sample = corrected.corrected(replace(density, pseudo=pseudo), 1024, 1, np.random.default_rng(2))
    assert not sample.trusted and "Pareto k" in sample.problem
    assert corrected.corrected(density, 1024, 1, np.random.default_rng(2)).trusted


def test_nuts_takes_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrected, "ORDERS", (4,))
    monkeypatch.setattr(corrected, "SETTLED", -1.0)
    data = pd.DataFrame({"y": [0, 2, 1, 3, 0, 5, 2, 2], "g": list("aabbccdd")})
    with pytest.warns(ConvergenceWarning, match="NUTS takes over"):
        posterior = bp.fit(bp.Model("y ~ 1", POOLED, bp.Poisson()), data, seed=1, method=bp.Laplace(draws=200),
                           progress=False)
    assert "correction" not in posterior.tree and "importance" not in posterior.tree
    assert "diverging" in posterior.tree["sample_stats"]


def test_nuts_over_hyperparameters_is_corrected_and_diagnosed() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(20), 8)
    data = pd.DataFrame({"g": g, "y": rng.poisson(np.exp(0.5 + 0.6 * rng.normal(size=20)[g]))})
    posterior = bp.fit(bp.Model("y ~ 1", POOLED, bp.Poisson()), data, seed=1, method=bp.NUTS(draws=500), progress=False)
    diagnostics = posterior.diagnostics
    assert diagnostics.chains == 4 and diagnostics.r_hat is not None and diagnostics.correction is not None
    assert diagnostics.correction.ess > 400 and not diagnostics.complaints
    reference = bp.fit(bp.Model("y ~ 1", POOLED, bp.Poisson()), data, seed=2, progress=False)
    walked, weighted = (each.tree["posterior"]["mu"].to_numpy().ravel() for each in (posterior, reference))
    error = np.hypot(walked.std() / np.sqrt(diagnostics.ess_bulk.value),
                     weighted.std() / np.sqrt(reference.diagnostics.importance.ess))
    assert abs(walked.mean() - weighted.mean()) < 4 * error


def test_the_default_method() -> None:
    """Importance sampling for a few hyperparameters, Gibbs for a walk or types, NUTS for all else."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"t": np.arange(60), "c": rng.uniform(size=60), "y": rng.poisson(3, 60)})
    for prior, expected in ((bp.GaussianProcess("c"), bp.Laplace), (bp.TotalVariation("t"), bp.Gibbs),
                            (bp.TotalVariation("t") + bp.GaussianProcess("c"), bp.NUTS),
                            (bp.DistanceRegularized("c"), bp.Laplace), (bp.DistanceRegularized("c", power=1), bp.NUTS),
                            (bp.Mixture(2, gate="c"), bp.Gibbs)):
        assert isinstance(route(bp.Model("y ~ 1", prior, bp.Poisson()).bind(data)).method, expected)
    assert isinstance(route(bp.Model("y ~ 1", bp.GaussianProcess("c")).bind(data)).method, bp.NUTS)


def steep() -> tuple[bp.Model, pd.DataFrame]:
    """Counts from none to millions, whose slope changes with a context."""
    rng = np.random.default_rng(5)
    c, x = rng.uniform(-5, 5, 90), rng.normal(size=90)
    mean = np.exp(-0.3 + (0.3 + 2.0 * c) * x + 0.3 * c)
    data = pd.DataFrame({"c": c, "x": x, "y": rng.negative_binomial(1, 1 / (1 + mean))})
    prior = bp.LinearVarying("c", scale=bp.Hyperprior("HalfNormal", sigma=1))
    return bp.Model("y ~ x", prior, bp.NegativeBinomial(), bp.Hyperprior("Normal", mu=0, sigma=1)), data


def test_counts_of_all_sizes() -> None:
    model, data = steep()
    posterior = bp.fit(model, data, seed=1, method=bp.Laplace(fallback=False), progress=False)
    assert not posterior.complaints
    slope = posterior.theta.sel(coefficient="x")
    change = (slope.isel(unit=data["c"].argmax()) - slope.isel(unit=data["c"].argmin())) / np.ptp(data["c"])
    assert abs(change.mean() - 2.0) < 4 * change.std()


def test_rows_that_no_pseudo_data_stand_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_finite(*_: object) -> None:
        raise FloatingPointError("the precision of the weights is not finite")

    monkeypatch.setattr(laplace, "linearised", not_finite)
    model, data = steep()
    with pytest.raises(SpecificationError, match="no pseudo-data stand for the rows: the precision"):
        bp.fit(model, data, seed=1, method=bp.Laplace(fallback=False), progress=False)


def test_nuts_walks_over_everything_where_no_pseudo_data_stand_for_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_finite(*_: object) -> None:
        raise FloatingPointError("the precision of the weights is not finite")

    monkeypatch.setattr(nuts, "linearised", not_finite)
    data = pd.DataFrame({"y": [0, 2, 1, 3, 0, 5, 2, 2], "g": list("aabbccdd")})
    posterior = bp.fit(bp.Model("y ~ 1", POOLED, bp.Poisson()), data, seed=1, progress=False,
                       method=bp.NUTS(draws=100, tune=100, chains=2))
    assert "could not be corrected: no pseudo-data stand for the rows" in posterior.diagnostics.engine
