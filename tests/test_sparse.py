"""Sparse factors of the precision of a field on a graph, beside those of the dense matrix."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

import bayes_personal as bp
from bayes_personal.densities.field.field_density import FieldDensity
from bayes_personal.densities.integrated import marginal_density
from bayes_personal.kernels.sparse import Pattern, factorize, order
from bayes_personal.priors.parts import graph


@pytest.mark.parametrize("varying", [1, 2, 3])
def test_a_sparse_factor_and_its_inverse_are_those_of_the_dense_matrix(varying: int) -> None:
    rng = np.random.default_rng(varying)
    places = rng.normal(size=(40, 2))
    places = places[order(40, graph.edges(places, 4))]
    edges = graph.edges(places, 4)
    weight, noise = rng.uniform(0.5, 2, (len(edges), varying)), rng.normal(size=(40, varying, varying))
    own = noise @ noise.mT
    wanted = np.zeros((40, varying, 40, varying))
    wanted[np.arange(40), :, np.arange(40)] = own
    for (i, j), each in zip(edges, weight, strict=True):
        for a in range(varying):
            wanted[i, a, j, a], wanted[j, a, i, a] = -each[a], -each[a]
            wanted[i, a, i, a] += each[a]
            wanted[j, a, j, a] += each[a]
    own = wanted[np.arange(40), :, np.arange(40)]
    pattern = Pattern.of(40, edges, varying)
    lower = pattern.matrix(own, -weight)
    assert len(lower) < (40 * varying) ** 2 / 3
    assert factorize(pattern.start, pattern.rows, lower)
    inverse = np.linalg.inv(wanted.reshape(40 * varying, -1)).reshape(wanted.shape)
    found_own, found_pairs = pattern.inverse(lower)
    np.testing.assert_allclose(found_own, inverse[np.arange(40), :, np.arange(40)], rtol=0, atol=1e-12)
    for (i, j), each in zip(edges, found_pairs, strict=True):
        np.testing.assert_allclose(each, np.diag(inverse[i, :, j]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pattern.log_determinant(lower), np.linalg.slogdet(wanted.reshape(40 * varying, -1))[1])
    assert not factorize(pattern.start, pattern.rows, pattern.matrix(-own, -weight))


def test_thousands_of_contexts_have_the_density_that_scipys_sparse_factors_give() -> None:
    rng = np.random.default_rng(9)
    frame = pd.DataFrame(rng.normal(size=(1200, 4)), columns=["a", "b", "x", "y"])
    bound = bp.Model("y ~ x", bp.DistanceRegularized("a", "b")).bind(frame)
    (field,), density = bound.nonlinear, marginal_density(bound)
    assert isinstance(density, FieldDensity)
    values = density.values(np.zeros(density.size))
    scale, unit = values[f"{field.name}_scale"], bound.coefficients.unit
    weight = field.weights(field.metric(values, np), np)
    joined = sp.coo_array((weight, tuple(field.edges.T)), shape=(1200, 1200))
    joined = joined + joined.T
    q = sp.csc_array(sp.diags_array(values[f"{field.name}_anchor"] + joined.sum(axis=1)) - joined)
    own = splu(q.tocsc())
    covariance = own.solve(np.eye(1200))
    variance = np.diag(covariance).mean() - covariance.mean()
    x = bound.coefficients.predictors(bound.x, bound.everywhere)[np.argsort(bound.features[0].matrix[:, 0])]
    residual = (bound.y - bound.coefficients.location[0])[np.argsort(bound.features[0].matrix[:, 0])]
    loads = sp.hstack([sp.diags_array(x[:, 0]), sp.diags_array(x[:, 1]), sp.csc_array(x)]).tocsc()
    prior = sp.block_diag([q * variance / scale[0] ** 2, q * variance / scale[1] ** 2,
                           sp.diags_array((2.5 * unit) ** -2.0)]).tocsc()
    sigma = float(values["sigma"])
    factor = splu((prior + loads.T @ loads / sigma**2).tocsc())

    def log_determinant(found: Any) -> float:
        return float(np.log(np.abs(found.U.diagonal())).sum())

    determinant = (log_determinant(factor) - 2 * log_determinant(own) - 1200 * np.log(variance**2 / np.prod(scale) ** 2)
                   + 2 * np.log(2.5 * unit).sum())
    fit = loads.T @ residual / sigma**2
    wanted = -0.5 * (determinant + residual @ residual / sigma**2 - fit @ factor.solve(fit)) - 1200 * np.log(
        np.sqrt(2 * np.pi) * sigma) + density.log_prior(np.zeros(density.size), values)
    np.testing.assert_allclose(density.value(np.zeros(density.size)), wanted, rtol=1e-10)
