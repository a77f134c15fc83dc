"""Categories without an order: a multinomial logit whose coefficients differ between groups.

    y_i ~ Categorical(p_i),                        p_ik = exp(eta_ik) / sum_j exp(eta_ij),       eta_i0 = 0
    eta_ik = x_i' theta_g(i)[k] of every category k but the first,                               theta_g = mu + d_g
    d_g ~ MvNormal(0, diag(scale) R diag(scale)),  scale ~ HalfNormal(unit),                     R ~ LKJ(2)
    mu ~ Normal(location, 2.5 unit)

Every category but the first has its own copy of all coefficients, and the groups' effects on all of them are
correlated. `y` numbers the categories from 0, and `group` each row's group; `location` and `unit` are those of one
copy. The predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, group, categories, *, location, unit):
    groups, p, copies = group.max() + 1, x.shape[1], categories - 1
    location, unit = np.tile(location, copies), np.tile(unit, copies)
    with pm.Model() as categorical:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=copies * p)
        scale = pm.HalfNormal.dist(unit, shape=copies * p)
        root, _, _ = pm.LKJCholeskyCov("root", eta=2.0, n=copies * p, sd_dist=scale)
        theta = mu + pm.Normal("z", shape=(groups, copies * p)) @ root.T
        eta = (x[:, None, :] * theta[group].reshape((-1, copies, p))).sum(axis=2)
        pm.Categorical("y", logit_p=pm.math.concatenate([np.zeros((len(x), 1)), eta], axis=1), observed=y)
    return categorical
