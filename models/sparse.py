"""Sparse: of many coefficients most are near zero, and a few are as large as their data say.

    y_i ~ Normal(mu + x_i' b, sigma),       b_k ~ Normal(0, scale_k)
    scale_k = slab_k wide_k / sqrt(slab_k^2 + wide_k^2),   slab_k = unit_k slab,   wide_k = unit_k overall local_k
    overall ~ HalfCauchy(0.05),   local_k ~ HalfCauchy(1),   slab ~ LogNormal(0, 0.5)
    mu ~ Normal(location, 2.5 unit),   sigma ~ HalfNormal(sd)

b is written as a standard normal times its scale, in which a sampler moves more easily. The predictors x are centred,
so that the intercept mu is that of an average row. The first column of x, all ones, is the intercept's, as are the
first entries of `location` and `unit`: the scale of b there is 0.
"""

import numpy as np
import pymc as pm


def model(y, x, *, location, unit, sd):
    unit, p = np.asarray(unit), x.shape[1]
    with pm.Model() as sparse:
        mu = pm.Normal("mu", location[0], 2.5 * unit[0])
        overall = pm.HalfCauchy("overall", 0.05)
        slab = unit[1:] * pm.LogNormal("slab", 0.0, 0.5)
        wide = unit[1:] * overall * pm.HalfCauchy("local", 1.0, shape=p - 1)
        scale = pm.math.concatenate([[0.0], slab * wide / pm.math.sqrt(slab**2 + wide**2)])
        b = pm.Normal("z", shape=p) * scale
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", mu + x @ b, sigma, observed=y)
    return sparse
