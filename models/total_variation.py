"""Total variation: along an ordered context the coefficients are a random walk, most of whose steps are small.

    y_i ~ Normal(x_i' theta_place(i), sigma)
    theta_t[k] = theta_(t-1)[k] + step_tk,  the mean of theta over the rows being mu
    laplace:    step_tk ~ Laplace(0, b_k),  b_k = scale_k / sqrt(2 v),  drawn as Normal(0, sqrt(2 local_tk) b_k),
                local_tk ~ Exponential(1)
    horseshoe:  step_tk ~ Normal(0, scale_k local_tk / sqrt((T - 1)^2 + local_tk^2)),  local_tk ~ HalfCauchy(1)
    mu_k ~ Normal(location_k, 2.5 unit_k),  scale_k ~ HalfNormal(unit_k),  sigma ~ HalfNormal(sd)

place(i) = 0 .. T - 1 is the rank of the row's context among the T distinct ones. v is the variance of a walk of unit
steps about its mean over the rows, averaged over the rows: scale_k is then the standard deviation of theta[k] over
them. Steps are written as standard normals times their scale. The predictors x are centred, so that the intercept is
that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, place, *, location, unit, sd, increments="laplace"):
    unit, p, last = np.asarray(unit), x.shape[1], place.max()
    # The covariance of two rows' walks of unit steps is the number of steps that both have made.
    both = np.minimum.outer(place, place)
    v = place.mean() - both.mean()
    with pm.Model() as total_variation:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        if increments == "laplace":
            local = pm.Exponential("local", 1.0, shape=(last, p))
            width = pm.math.sqrt(2 * local) * scale / np.sqrt(2 * v)
        else:
            local = pm.HalfCauchy("local", 1.0, shape=(last, p))
            width = scale * local / pm.math.sqrt(last**2 + local**2)
        step = width * pm.Normal("z", shape=(last, p))
        walk = pm.math.concatenate([np.zeros((1, p)), step.cumsum(axis=0)])[place]
        theta = mu + walk - walk.mean(axis=0)
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * theta).sum(axis=1), sigma, observed=y)
    return total_variation
