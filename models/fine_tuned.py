"""Fine-tuning: groups lie around a population that may have been estimated before and stands still.

    y_i ~ Normal(x_i' theta_i, sigma)
    theta_i = mu + d_g(i)              where row i is of a group that is tuned
    theta_i = mu                       elsewhere
    d_gk ~ Normal(0, scale_k),         scale_k ~ HalfNormal(unit_k)
    mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

With `frozen`, mu is no variable: this is stage two, given one value of the population from `population.py`. For a
plug-in that is its posterior mean there; for a cut stage two is sampled at every draw, and one draw of each is kept.

d is written as a standard normal times its scale, in which a sampler moves more easily. The predictors x are centred,
so that the intercept is that of an average row. `group` numbers each row's group from 0; -1 is a group that is not
tuned.
"""

import numpy as np
import pymc as pm


def model(y, x, group, *, location, unit, sd, frozen=None):
    unit, p = np.asarray(unit), x.shape[1]
    with pm.Model() as fine_tuned:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p) if frozen is None else frozen
        scale = pm.HalfNormal("scale", unit, shape=p)
        d = scale * pm.Normal("z", shape=(group.max() + 1, p))
        tuned = (group >= 0)[:, None]
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + tuned * d[group])).sum(axis=1), sigma, observed=y)
    return fine_tuned
