"""Sparse factors of the precision of a field on a graph, beside those of the dense matrix."""

import numpy as np
import pytest

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
