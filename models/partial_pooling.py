"""Partial pooling: every group's intercept and slope are a draw from one population.

    y_i ~ Normal(x_i' (mu + d_g(i)), sigma)
    d_g ~ MvNormal(0, diag(scale) R diag(scale)),   scale_k ~ HalfNormal(unit_k),
    R_12 = 2 r - 1, r ~ Beta(2, 2)
    mu_k ~ Normal(location_k, 2.5 unit_k),          sigma ~ HalfNormal(sd)

The predictors x are centred, so
that the intercept is that of an average row. Beta(2, 2) is LKJ(2) for two coefficients.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def model(y, x, group, *, location, unit, sd):
    p, groups = x.shape[1], group.max() + 1
    with pm.Model() as partial_pooling:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        r = 2 * pm.Beta("partial", 2.0, 2.0, shape=1)[0] - 1
        correlation = pt.stacklists([[1.0, r], [r, 1.0]])
        covariance = scale[:, None] * correlation * scale[None, :]
        effect = pm.MvNormal("effect", np.zeros(p), cov=covariance, shape=(groups, p))
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", pt.sum(x * (mu + effect[group]), axis=1), sigma, observed=y)
    return partial_pooling
