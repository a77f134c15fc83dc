"""Invariant: coefficients differ between environments, and a set of predictors means the same in all of them.

In environments that training saw

    y_i ~ Normal(x_i' theta_e(i), sigma),   theta_e = mu + d_e,   d_ek ~ Normal(0, unit_k overall local_k)
    overall ~ HalfNormal(0.2),   local_k ~ HalfCauchy(1)
    mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

(`model`). In one that nobody has seen, theta is that of a set S of predictors, and 0 for all others, where p(S) weighs

    y_i ~ Normal(x_iS' theta_S, sigma_e(i)),   theta_k ~ Normal(location_k, 2.5 unit_k),   sigma_e ~ HalfNormal(sd)

with one theta for all environments (`one_theta`) against the same with a theta for each: the product over environments
of what `one_theta` says of their rows alone. d is a standard normal times its scale, in which a sampler moves more
easily. The predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, environment, *, location, unit, sd):
    unit, p, count = np.asarray(unit), x.shape[1], len(np.unique(environment))
    with pm.Model() as invariant:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        overall = pm.HalfNormal("overall", 0.2)
        local = pm.HalfCauchy("local", 1.0, shape=p)
        d = pm.Normal("z", shape=(count, p)) * unit * overall * local
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + d[environment])).sum(axis=1), sigma, observed=y)
    return invariant


def one_theta(y, x, environment, *, location, unit, sd):
    with pm.Model() as invariant:
        theta = pm.Normal("theta", location, 2.5 * np.asarray(unit), shape=x.shape[1])
        sigma = pm.HalfNormal("sigma", sd, shape=len(np.unique(environment)))
        pm.Normal("y", (x * theta).sum(axis=1), sigma[environment], observed=y)
    return invariant
