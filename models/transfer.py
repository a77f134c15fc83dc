"""Transfer: what the target has beside the sources is small, coefficient by coefficient, unless its data object.

    y_i ~ Normal(x_i' theta_i, sigma)
    theta_i = mu                  in the rows of the sources
    theta_i = mu + d              in the rows of the target
    d_k ~ Normal(0, unit_k overall local_k),   overall ~ HalfCauchy(0.1),   local_k ~ HalfCauchy(1)
    mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

d is written as a standard normal times its scale, in which a sampler moves more easily. The predictors x are centred,
so that the intercept is that of an average row. `target` is 1 in the rows of the target and 0 in others.
"""

import numpy as np
import pymc as pm


def model(y, x, target, *, location, unit, sd):
    unit, p = np.asarray(unit), x.shape[1]
    with pm.Model() as transfer:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        overall = pm.HalfCauchy("overall", 0.1)
        local = pm.HalfCauchy("local", 1.0, shape=p)
        d = pm.Normal("z", shape=p) * unit * overall * local
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + target[:, None] * d)).sum(axis=1), sigma, observed=y)
    return transfer
