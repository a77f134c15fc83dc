"""Meta-learned: tasks differ in a few directions B, which all of them teach, and a little in everything else.

    y_i ~ Normal(x_i' (mu + B z_j(i) + scale * e_j(i)), sigma)
    z_j ~ Normal(0, I),   e_j ~ Normal(0, I),   scale_k ~ HalfNormal(unit_k)
    B_kl ~ Normal(0, unit_k amplitude_l),   amplitude_1 ~ HalfNormal(1)
    amplitude_l = amplitude_(l-1) shrink_(l-1),   shrink_l ~ Beta(1, 1)
    mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

z_j and e_j are summed out: d_j = B z_j + scale * e_j ~ MvNormal(0, B B' + diag(scale^2)). The predictors x are centred,
so that the intercept is that of an average row. `task` numbers each row's task from 0.
"""

import numpy as np
import pymc as pm


def model(y, x, task, rank, *, location, unit, sd):
    unit, tasks, p = np.asarray(unit), task.max() + 1, x.shape[1]
    with pm.Model() as meta_learned:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        amplitude = pm.HalfNormal("amplitude", 1.0)
        shrink = pm.Beta("shrink", 1.0, 1.0, shape=rank - 1)
        steps = [amplitude]
        for direction in range(1, rank):
            steps.append(steps[-1] * shrink[direction - 1])
        B = unit[:, None] * pm.Normal("loading", shape=(p, rank)) * pm.math.stack(steps)
        d = pm.MvNormal("d", np.zeros(p), B @ B.T + np.eye(p) * scale**2, shape=(tasks, p))
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + d[task])).sum(axis=1), sigma, observed=y)
    return meta_learned
