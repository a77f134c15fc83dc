"""Partial pooling: every group's coefficients are a draw from one population.

    y_i ~ Normal(x_i' (mu + d_g(i)), sigma)
    d_g ~ MvNormal(0, diag(scale) R diag(scale)),   scale_k ~ HalfNormal(unit_k),   R ~ LKJ(2)
    mu_k ~ Normal(location_k, 2.5 unit_k),          sigma ~ HalfNormal(sd)

Without correlations R is the identity. d_g is written as a standard normal times the root of its covariance, in which a
sampler moves more easily. The predictors x are centred, so that the intercept is that of an average row. `group`
numbers each row's group from 0.
"""

import numpy as np
import pymc as pm


def model(y, x, group, *, location, unit, sd, correlated=True):
    unit = np.asarray(unit)
    groups, p = group.max() + 1, x.shape[1]
    with pm.Model() as partial_pooling:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        if correlated:
            root, _, _ = pm.LKJCholeskyCov("root", eta=2.0, n=p, sd_dist=pm.HalfNormal.dist(unit, shape=p))
        else:
            root = pm.math.diag(pm.HalfNormal("scale", unit, shape=p))
        d = pm.Normal("z", shape=(groups, p)) @ root.T
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + d[group])).sum(axis=1), sigma, observed=y)
    return partial_pooling
