"""Conditional: every group has its own parameters, and nothing is learned of one group from another.

    y_i ~ Normal(x_i' theta_g(i), sigma)
    theta_g[k] ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

The predictors x are centred, so that the intercept is that of an average row. `group` numbers each row's group from 0.
"""

import numpy as np
import pymc as pm


def model(y, x, group, *, location, unit, sd):
    groups, p = group.max() + 1, x.shape[1]
    with pm.Model() as conditional:
        theta = pm.Normal("theta", location, 2.5 * np.asarray(unit), shape=(groups, p))
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * theta[group]).sum(axis=1), sigma, observed=y)
    return conditional
