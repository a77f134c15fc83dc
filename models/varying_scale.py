"""A scale that varies: every group has coefficients and a log standard deviation of its own, which are correlated.

    y_i ~ Normal(x_i' b_i, exp(s_i)),              (b_i, s_i) = mu + d_g(i)
    d_g ~ MvNormal(0, diag(scale) R diag(scale)),  scale_k ~ HalfNormal(unit_k),   R ~ LKJ(2)
    mu_k ~ Normal(location_k, 2.5 unit_k),         mu_s ~ Normal(log sd(y), 2.5)

The log standard deviation s is the last coefficient, and its unit is 0.5. The predictors x are
centred, so that the intercept is that of an average row. `group` numbers each row's group from 0.
"""

import numpy as np
import pymc as pm


def model(y, x, group, *, location, unit, sd):
    location, width, unit = np.append(location, np.log(sd)), np.append(2.5 * unit, 2.5), np.append(unit, 0.5)
    groups, p = group.max() + 1, x.shape[1] + 1
    with pm.Model() as varying_scale:
        mu = pm.Normal("mu", location, width, shape=p)
        root, _, _ = pm.LKJCholeskyCov("root", eta=2.0, n=p, sd_dist=pm.HalfNormal.dist(unit, shape=p))
        theta = (mu + pm.Normal("z", shape=(groups, p)) @ root.T)[group]
        pm.Normal("y", (x * theta[:, :-1]).sum(axis=1), pm.math.exp(theta[:, -1]), observed=y)
    return varying_scale
