"""Variances of many rows by what the matrices of all draws have in common."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import bayes_personal as bp
from bayes_personal.densities.gaussian import collapsed
from bayes_personal.densities.gaussian.spanned import FARTHEST, Spanned, spanning
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.families import Family
from bayes_personal.leaving_out.question import LeaveOutPlan


def frame(family: str, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    c, x = rng.uniform(0, 10, rows), rng.normal(size=rows)
    eta = np.sin(c) + np.sin(0.6 * c) * x
    y = {"Normal": eta + rng.normal(size=rows), "Bernoulli": rng.uniform(size=rows) < 1 / (1 + np.exp(-eta)),
         "Poisson": rng.poisson(np.exp(eta))}[family]
    return pd.DataFrame({"y": np.asarray(y, float), "x": x, "c": c})


def test_a_span_holds_all_vectors_within_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 7)) @ rng.normal(size=(7, 60)) + 1e-6 * rng.normal(size=(40, 60))
    directions = spanning(vectors, 1e-3, 20)
    assert directions is not None and len(directions) == 7
    assert_allclose(directions @ directions.T, np.eye(7), atol=1e-12)
    residuals = vectors - vectors @ directions.T @ directions
    assert np.linalg.norm(residuals, axis=1).max() <= 1e-3
    assert spanning(vectors, 1e-3, 6) is None
    assert spanning(vectors, 1e-9, 20) is None


def test_variances_are_off_by_the_tolerance_at_most() -> None:
    rng = np.random.default_rng(1)
    # Draws of a few hyperparameters, as of a posterior: log scales of two blocks of weights, and the error.
    z, logs = rng.normal(size=(300, 30)), 0.2 * rng.normal(size=(50, 3))
    turns = []
    for scale, other, error in np.exp(logs):
        prior = np.diag(np.repeat([1 / scale**2, 1 / other**2], 15))
        turns.append(np.linalg.inv(np.linalg.cholesky(prior + 100 * z.T @ z / 300 / error**2)).T)
    span = Spanned.of(turns)
    assert span is not None and span.coefficients.shape[0] < 15
    exact = np.array([((z @ turn) ** 2).sum(axis=1) for turn in turns])
    error = np.abs(span.variances(z) - exact) / exact.mean(axis=0)
    assert 1e-7 < error.max() <= FARTHEST


def test_draws_without_anything_in_common_are_left_alone() -> None:
    rng = np.random.default_rng(2)
    assert Spanned.of([np.tril(rng.normal(size=(30, 30))) + 5 * np.eye(30) for _ in range(20)]) is None
    assert Spanned.of([np.eye(3)] * 20) is None


@pytest.mark.parametrize("family", ["Normal", "Bernoulli", "Poisson"])
def test_leaving_out_many_rows_is_as_leaving_out_few(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = bp.GaussianProcess("c")
    model = bp.Model("y ~ x", prior, getattr(bp, family)())
    posterior = bp.fit(model, frame(family, 3000), seed=1, method=bp.Laplace(draws=400), progress=False)
    many = bp.loo(posterior, refit=False, seed=1, progress=False)
    assert 4 * many.n_samples <= 3000
    monkeypatch.setattr(collapsed, "MANY_ROWS", 10**9)
    few = bp.loo(posterior, refit=False, seed=2, progress=False)
    # All rows together, whatever the signs, are off by a small part of the Monte Carlo error.
    assert 0 < np.abs(many.elpd_i - few.elpd_i).sum() < 0.1 * many.mcse
    assert_allclose(many.pareto_k, few.pareto_k, atol=0.02)


@pytest.mark.parametrize("family", [bp.Bernoulli(), bp.Poisson(), bp.StudentT()])
def test_fewer_nodes_are_taken_where_they_are_enough(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame("Normal" if isinstance(family, bp.StudentT) else type(family).__name__, 200)
    posterior = bp.fit(bp.Model("y ~ x", bp.GaussianProcess("c"), family), rows, seed=1,
                       method=bp.Laplace(draws=300), progress=False)
    plan = LeaveOutPlan.of(posterior, "unit", None, False)
    assert marginal_density(posterior.bound) is None and plan.approximated is not None
    ((_, quick),) = plan.approximated.parts()
    monkeypatch.setattr("bayes_personal.densities.linearised.left_out.FEWER_NODES", ())
    ((_, slow),) = replace(plan.approximated).parts()
    assert_allclose(quick.moved, slow.moved)
    for side, exact in zip(quick[:2], slow[:2], strict=True):
        assert 0 < np.abs(side - exact).max() < 1e-4
