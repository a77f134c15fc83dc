"""Distance-regularised: contexts that are near to each other have similar coefficients, as a Gaussian Markov field.

    y_i ~ Normal(x_i' theta_place(i), sigma)
    theta[., k] ~ MvNormal(mu_k, scale_k^2 / v Q^-1),  Q = anchor I + sum_ij w_ij (e_i - e_j)(e_i - e_j)'
    w_ij = d / (n (D_ij + 0.01 d)),  D_ij^2 = sum_m metric_m (c_im - c_jm)^2,  over neighbours ij
    power 1:  w_ij / local_ij in the place of w_ij,  local_ij ~ Gamma((p + 1) / 2, (p + 1) / 2)
    mu_k ~ Normal(location_k, 2.5 unit_k),  scale_k ~ HalfNormal(unit_k),  sigma ~ HalfNormal(sd)
    anchor ~ LogNormal(-3, 2.5),  metric ~ Dirichlet(1, ..., 1)

c are the distinct contexts, standardised, and place(i) says which of them row i has. i and j are neighbours if one is
among the `neighbors` nearest of the other. d is the mean of D_ij over neighbours, n how many a context has on average.
v is the variance over the rows of a field with precision Q (all local scales 1), about its mean over the rows. The
predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, place, c, *, location, unit, sd, neighbors, power=2):
    unit, p, T = np.asarray(unit), x.shape[1], len(c)
    apart = ((c[:, None] - c[None, :]) ** 2).sum(axis=-1)
    near = np.argsort(np.argsort(apart, axis=1), axis=1) <= neighbors
    pairs = [(i, j) for i in range(T) for j in range(i) if near[i, j] or near[j, i]]
    ends = np.zeros((len(pairs), T))
    for e, (i, j) in enumerate(pairs):
        ends[e, i], ends[e, j] = 1, -1
    # Not Python's floats, which PyTensor would round to single precision.
    half = np.float64(p + 1) / 2
    n, rows = 2 * len(pairs) / T, np.bincount(place) / len(place)
    with pm.Model() as distance_regularized:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        anchor = pm.LogNormal("anchor", -3, np.float64(2.5))
        metric = pm.Dirichlet("metric", np.ones(c.shape[1])) if c.shape[1] > 1 else np.ones(1)
        D = pm.math.sqrt(pm.math.dot((ends @ c) ** 2, metric))
        w = D.mean() / (n * (D + 0.01 * D.mean()))
        Q = anchor * np.eye(T) + pm.math.dot(ends.T * w, ends)
        covariance = pm.math.matrix_inverse(Q)
        v = (covariance.diagonal() * rows).sum() - pm.math.dot(rows, pm.math.dot(covariance, rows))
        if power == 1:
            local = pm.Gamma("local", half, half, shape=len(pairs))
            Q = anchor * np.eye(T) + pm.math.dot(ends.T * (w / local), ends)
        theta = [pm.MvNormal(f"theta_{k}", mu[k] * np.ones(T), tau=Q * v / scale[k] ** 2) for k in range(p)]
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", sum(x[:, k] * theta[k][place] for k in range(p)), sigma, observed=y)
    return distance_regularized
