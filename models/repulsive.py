"""Repulsive: every row is of one of K archetypes, which keep apart; which of them is summed out.

    y_i ~ sum over k of w_ik Normal(x_i' (mu + scale * a_k), sigma)
    w_i = softmax(b + G (metric * c_i)),   b_k ~ Normal(0, 1.5),   G_kq ~ Normal(0, 1),   metric_m ~ HalfNormal(2.5)
    a ~ Normal(a; 0, 1) det M / E det M,   M_kl = strength exp(-|a_k - a_l|^2 / (2 p length^2)),   M_kk = 1
    mu_j ~ Normal(location_j, 2.5 unit_j),   scale_j ~ LogNormal(log unit_j + 0.7, 0.3)
    sigma ~ HalfNormal(sd),   length ~ LogNormal(-0.5, 0.5), above 1 counted as 1

The predictors x are centred, so that the intercept is that of an average row; contexts c are standardised, and owner
says of which context each column of c is. A determinant is a signed sum over permutations. In it a ring of m archetypes
has the expectation strength^m det(I + L / (p length^2))^(-p / 2), an integral of Gaussians: L is the Laplacian of the
ring, with the eigenvalues 2 - 2 cos(2 pi j / m). Archetype 1 is in a ring of m with (K - 1) ... (K - m + 1) choices.
"""

import numpy as np
import pymc as pm


def expected_determinant(K, p, strength, length):
    ring = [1.0]
    for m in range(2, K + 1):
        eigenvalues = 2 - 2 * np.cos(2 * np.pi * np.arange(m) / m)
        ring.append(strength**m * pm.math.prod(1 + eigenvalues / (p * length**2)) ** (-p / 2))
    found = [1.0]
    for k in range(1, K + 1):
        choices = np.cumprod([1.0, *range(k - 1, 0, -1)])
        found.append(sum((-1) ** (m - 1) * choices[m - 1] * ring[m - 1] * found[k - m] for m in range(1, k + 1)))
    return found[K]


def model(y, x, K, c, owner, strength=0.99, *, location, unit, sd):
    p = x.shape[1]

    def repelled(a, length, base):
        length = pm.math.minimum(length, 1.0)
        square = ((a[:, None, :] - a[None, :, :]) ** 2).sum(axis=-1)
        M = strength * pm.math.exp(-square / (2 * p * length**2)) + (1 - strength) * np.eye(K)
        ratio = pm.math.log(pm.math.det(M)) - pm.math.log(expected_determinant(K, p, strength, length))
        return pm.logp(pm.Normal.dist(), a).sum() + ratio

    with pm.Model() as repulsive:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit))
        scale = pm.LogNormal("scale", np.log(unit) + 0.7, np.float64(0.3))
        length = pm.LogNormal("length", -0.5, np.float64(0.5))
        a = pm.CustomDist("a", length, np.zeros((K, p)), logp=repelled, signature="(),(k,p)->(k,p)")
        b, G = pm.Normal("b", 0.0, np.full(K, 1.5)), pm.Normal("G", shape=(K, c.shape[1]))
        metric = pm.HalfNormal("metric", np.full(max(owner) + 1, 2.5))
        w = pm.math.softmax(b + c @ (metric[owner] * G).T, axis=1)
        each = pm.Normal.dist(x @ (mu + scale * a).T, pm.HalfNormal("sigma", sd))
        pm.Mixture("y", w=w, comp_dists=each, observed=y)
    return repulsive
