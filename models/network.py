"""A network whose edges are linear in a context: one regression a node, on the nodes written before it.

    x_ij ~ Normal(w_ij + sum_{l < j} b_ijl (x_il - mean of x_l), sigma_j)
    theta_ij = (w_ij, b_ij1, ..., b_ij,j-1) = mu_j + A_j c_i
    A_jk ~ Normal(0, scale_jk),                 scale_jk ~ HalfNormal(0.5 unit_jk)
    mu_jk ~ Normal(location_jk, 0.5 unit_jk),   sigma_j ~ HalfNormal(sd_j)

With T = I - b the precision of row i is T' diag(sigma)^-2 T, positive definite whatever b is. Any prior of theta could
stand in the place of the second line. The context c is standardised; unit_jk = sd(x_j) / sd(x_k), sd(x_j) for the
intercept, which is that of an average row.
"""

import numpy as np
import pymc as pm


def model(x, c, *, location, unit, sd):
    rows, nodes = x.shape
    with pm.Model() as network:
        drawn = []
        for j in range(nodes):
            parents = [drawn[k] - x[:, k].mean() for k in range(j)]
            predictors = pm.math.stack([np.ones(rows), *parents], axis=1)
            mu = pm.Normal(f"mu_{j}", location[j], 0.5 * unit[j], shape=j + 1)
            scale = pm.HalfNormal(f"scale_{j}", 0.5 * unit[j], shape=j + 1)
            A = scale * pm.Normal(f"z_{j}", shape=j + 1)
            theta = mu + c[:, None] * A
            sigma = pm.HalfNormal(f"sigma_{j}", sd[j])
            drawn.append(pm.Normal(f"x_{j}", (predictors * theta).sum(axis=1), sigma, observed=x[:, j]))
    return network
