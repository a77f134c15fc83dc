"""Linear varying coefficients: every coefficient is linear in context, or linear and a smooth wiggle.

    y_i ~ Normal(x_i' theta_i, sigma),      theta_i[k] = mu_k + A_k' c_i + sum over splines s of wiggle_sk(c_is)
    A[k, q] ~ Normal(0, scale[m(q), k]),    scale[m, k] ~ HalfNormal(unit_k)
    wiggle_sk ~ natural cubic spline,       smooth[s, k] ~ HalfNormal(unit_k)
    mu_k ~ Normal(location_k, 2.5 unit_k),  sigma ~ HalfNormal(sd)

The columns of c are standardised; column q belongs to context m(q) = owner[q], numbered from 0. A spline is a pair: a
column of c and its knots. The log density of wiggle / smooth is minus half its integrated squared second derivative,
in units that give it variance 1 on average over the rows; smooth is thus the wiggle's standard deviation. The
predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def spline(c, knots):
    """The matrix M with wiggle(c) = M s, s the second derivatives at the inner knots, and E with integral s' E s of the
    squared second derivative. The heights at the knots have no straight line in them (Green and Silverman 1994)."""
    h = np.diff(knots)
    n = len(h) - 1
    energy = np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
    bend = np.zeros((n, n + 2))
    for j in range(n):
        bend[j, j : j + 3] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
    height, second = np.linalg.pinv(bend) @ energy, np.eye(n + 2)[:, 1:-1]
    j = np.clip(np.searchsorted(knots, c, side="right") - 1, 0, n)
    right = ((c - knots[j]) / h[j])[:, None]
    left, curve = 1 - right, right * (1 - right) * h[j][:, None] ** 2 / 6
    return (left * height[j] + right * height[j + 1]
            - curve * ((1 + left) * second[j] + (1 + right) * second[j + 1])), energy


def model(y, x, c, owner, *, location, unit, sd, splines=()):
    p = x.shape[1]
    with pm.Model() as linear_varying:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=p)
        scale = pm.HalfNormal("scale", unit, shape=(max(owner) + 1, p))
        A = scale[owner].T * pm.Normal("z", shape=(p, c.shape[1]))
        theta = mu + c @ A.T
        for s, (column, knots) in enumerate(splines):
            matrix, energy = spline(c[:, column], knots)
            variance = np.linalg.inv(energy) / np.mean(np.sum(matrix @ np.linalg.inv(energy) * matrix, axis=1))
            smooth = pm.HalfNormal(f"smooth_{s}", unit, shape=p)
            second = pm.MvNormal(f"second_{s}", np.zeros(len(energy)), variance, shape=(p, len(energy)))
            theta = theta + smooth * (matrix @ second.T)
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * theta).sum(axis=1), sigma, observed=y)
    return linear_varying
