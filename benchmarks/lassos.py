"""Networks by lassos, whose rows are weighted by how near they are in context: what `networks` compares with.

All take rows (row, node), the contexts of these, and contexts at which they return partial correlations, (context,
pair), pairs in the order of `numpy.tril_indices`. Nodes are standardised first. Bandwidths and penalties are those
under which rows left out, a quarter at a time, are likeliest by the network at the nearest of 15 contexts.
"""

import warnings
from collections.abc import Iterator
from itertools import product

import numpy as np

BANDWIDTHS = (0.08, 0.15, 0.25, 0.4, 0.8, 2.0)
PENALTIES = np.geomspace(0.3, 0.005, 9)
FOLDS, PLACES = 4, 15


def standardised(x: np.ndarray) -> np.ndarray:
    """Return nodes with means of 0 and standard deviations of 1."""
    return (x - x.mean(axis=0)) / x.std(axis=0)


def of_pairs(matrices: np.ndarray) -> np.ndarray:
    """Return what stands below the diagonals, (..., pair)."""
    later, earlier = np.tril_indices(matrices.shape[-1], -1)
    return matrices[..., later, earlier]


def moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and covariance."""
    weights = weights / weights.sum()
    centred = x - weights @ x
    return weights @ x, (centred * weights[:, None]).T @ centred


def nearness(c: np.ndarray, place: float, bandwidth: float) -> np.ndarray:
    """Return weights of rows by how near their contexts are to a place."""
    return np.exp(-(((c - place) / bandwidth) ** 2) / 2)


def held_out(x: np.ndarray, c: np.ndarray, bandwidth: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, of each fold and place, the covariance there without the fold, and the fold's rows nearest to it."""
    fold = np.random.default_rng(0).permutation(len(c)) % FOLDS
    places = np.linspace(c.min(), c.max(), PLACES)
    nearest = np.abs(c[:, None] - places).argmin(axis=1)
    for left_out, (k, place) in product(range(FOLDS), enumerate(places)):
        kept, asked = fold != left_out, (fold == left_out) & (nearest == k)
        if asked.any():
            mean, covariance = moments(x[kept], nearness(c[kept], place, bandwidth))
            yield covariance, x[asked] - mean


def precision(covariance: np.ndarray, penalty: float) -> np.ndarray | None:
    """Return the precision matrix by the graphical lasso; None where its steps lead nowhere."""
    from sklearn.covariance import graphical_lasso

    try:
        return graphical_lasso(covariance, penalty, max_iter=100)[1]
    except FloatingPointError:
        return None


def partial(precision: np.ndarray) -> np.ndarray:
    """Return the partial correlations of a precision matrix, (pair,)."""
    root = np.sqrt(np.diagonal(precision))
    return of_pairs(-precision / np.outer(root, root))


def log_density(precision: np.ndarray | None, rows: np.ndarray) -> float:
    """Return twice the log density of centred rows, up to a constant."""
    if precision is None:
        return -np.inf
    return float(len(rows) * np.linalg.slogdet(precision)[1] - ((rows @ precision) * rows).sum())


def kernel_graphical_lasso(x: np.ndarray, c: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return estimates by a graphical lasso of the weighted covariance at each context."""
    warnings.simplefilter("ignore")
    x = standardised(x)
    found = {(bandwidth, penalty): sum(log_density(precision(covariance, penalty), rows)
                                       for covariance, rows in held_out(x, c, bandwidth))
             for bandwidth, penalty in product(BANDWIDTHS, PENALTIES)}
    bandwidth, penalty = max(found, key=found.__getitem__)
    there = [precision(moments(x, nearness(c, place, bandwidth))[1], penalty) for place in at]
    return np.stack([partial(np.eye(x.shape[1]) if each is None else each) for each in there])


def regressions(covariance: np.ndarray) -> np.ndarray:
    """Return the lasso of every node on all others at every penalty, (penalty, node, node)."""
    from sklearn.linear_model import lasso_path

    nodes = len(covariance)
    # As many rows as there are nodes, with this covariance about 0.
    rows = np.linalg.cholesky(covariance + 1e-9 * np.eye(nodes)).T * np.sqrt(nodes)
    result = np.zeros((len(PENALTIES), nodes, nodes))
    for node in range(nodes):
        others = np.arange(nodes) != node
        result[:, node, others] = lasso_path(np.asfortranarray(rows[:, others]), rows[:, node], alphas=PENALTIES)[1].T
    return result


def squared_errors(x: np.ndarray, c: np.ndarray, bandwidth: float) -> np.ndarray:
    """Return the summed squares of what nodes of rows left out differ from their regressions, (penalty, node)."""
    return sum((((rows - rows @ regressions(covariance).mT) ** 2).sum(axis=1)
                for covariance, rows in held_out(x, c, bandwidth)), np.zeros((len(PENALTIES), x.shape[1])))


def kernel_nodewise_lasso(x: np.ndarray, c: np.ndarray, at: np.ndarray, both: bool) -> np.ndarray:
    """Return estimates by weighted lassos of every node on all others, averages of both directions of an edge.

    Parameters
    ----------
    both
        Whether an edge has to be in both regressions, or in one.
    """
    warnings.simplefilter("ignore")
    x = standardised(x)
    found = {bandwidth: squared_errors(x, c, bandwidth) for bandwidth in BANDWIDTHS}
    bandwidth = min(found, key=lambda one: np.log(found[one].min(axis=0)).sum())
    chosen, nodes = found[bandwidth].argmin(axis=0), np.arange(x.shape[1])
    result = []
    for place in at:
        covariance = moments(x, nearness(c, place, bandwidth))[1]
        b = regressions(covariance)[chosen, nodes]
        residual = np.eye(len(nodes)) - b
        error = np.sqrt(np.einsum("jk,kl,jl->j", residual, covariance, residual))
        directed = b * error / error[:, None]
        drawn = (b != 0) & (b != 0).T if both else np.ones(b.shape, bool)
        result.append(of_pairs(np.where(drawn, (directed + directed.T) / 2, 0.0)))
    return np.stack(result)


def one_graphical_lasso(x: np.ndarray, c: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return estimates by one graphical lasso of all rows, its penalty by cross-validation."""
    from sklearn.covariance import GraphicalLassoCV

    warnings.simplefilter("ignore")
    return np.tile(partial(GraphicalLassoCV(cv=FOLDS).fit(standardised(x)).precision_), (len(at), 1))


def graphical_lasso_a_group(x: np.ndarray, c: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return estimates by a graphical lasso of each group's rows."""
    return np.concatenate([one_graphical_lasso(x[c == group], c, at[:1]) for group in at])


def graphical_lasso_a_cluster(x: np.ndarray, c: np.ndarray, at: np.ndarray, clusters: int) -> np.ndarray:
    """Return estimates by a graphical lasso of the rows of each cluster that k-means finds, for the rows themselves."""
    from sklearn.cluster import KMeans

    warnings.simplefilter("ignore")
    cluster = KMeans(clusters, n_init=10, random_state=0).fit_predict(standardised(x))
    return np.concatenate([one_graphical_lasso(x[cluster == k], c, at[:1]) for k in range(clusters)])[cluster]
