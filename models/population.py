"""Population: one parameter vector fits all.

    y_i ~ Normal(x_i' mu, sigma),   mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

The predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, *, location, unit, sd):
    with pm.Model() as population:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=x.shape[1])
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", x @ mu, sigma, observed=y)
    return population
