"""Mixture: every row is of one of K types, each with coefficients of its own, and which of them is summed out.

    y_i ~ sum over k of w_ik Normal(x_i' a_k, sigma)
    a_kj ~ Normal(location_j, 2.5 unit_j),   sigma ~ HalfNormal(sd)
    w_i = g / sum(g),   g_k ~ Gamma(1 / K, 1): w ~ Dirichlet(1 / K, ...)          without contexts, or
    w_i = softmax(b + G c_i),   b_k ~ Normal(0, 1.5),   G_kq ~ Normal(0, 2.5)      with them

The predictors x are centred, so that the intercept is that of an average row; contexts c are standardised.
"""

import numpy as np
import pymc as pm


def model(y, x, K, c=None, *, location, unit, sd):
    with pm.Model() as mixture:
        a = pm.Normal("a", location, 2.5 * np.asarray(unit), shape=(K, x.shape[1]))
        if c is None:
            g = pm.Gamma("g", 1 / K, 1.0, shape=K)
            w = (g / g.sum())[None, :] * np.ones((len(y), 1))
        else:
            b, G = pm.Normal("b", 0.0, np.full(K, 1.5)), pm.Normal("G", 0.0, np.full((K, c.shape[1]), 2.5))
            w = pm.math.softmax(b + c @ G.T, axis=1)
        sigma = pm.HalfNormal("sigma", sd)
        each = pm.Normal.dist(x @ a.T, sigma)
        pm.Mixture("y", w=w, comp_dists=each, observed=y)
    return mixture
