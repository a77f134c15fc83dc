"""Gaussian process: every coefficient is a smooth function of context, with its own length-scales.

    y_i ~ Normal(x_i' theta_i, sigma),      theta_i[k] = mu_k + scale_k f_k(c_i)
    f_k ~ GP(0, kernel(lengthscale_k)),     scale_k ~ HalfNormal(unit_k)
    mu_k ~ Normal(location_k, 2.5 unit_k),  lengthscale_k ~ InverseGamma(alpha, beta),  sigma ~ HalfNormal(sd)

f_k is a sum of cosines with zero slope at the edge of a box of half-width L around the contexts' mid-range: m a context
and their products, those within an ellipse; the constant is left out, for it is mu's. Their squared heights follow the
kernel's spectral density, scaled so that f_k has variance 1 on average over the rows, whatever the length-scale. The
predictors x are centred, so that the intercept is that of an average row. `context` has a column a context; m, L, alpha
and beta have an entry a column.
"""

import numpy as np
import pymc as pm


def model(y, x, context, *, location, unit, sd, m, L, alpha, beta, kernel=pm.gp.cov.Matern52):
    p, q = x.shape[1], context.shape[1]
    order = np.stack(np.meshgrid(*map(np.arange, m)), axis=-1).reshape(-1, q)
    radius = np.sum((order / (np.array(m) - 1)) ** 2, axis=1)
    kept = np.flatnonzero((radius > 0) & (radius <= 1))
    with pm.Model() as gaussian_process:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        lengthscale = pm.InverseGamma("lengthscale", alpha, beta, shape=(p, q))
        z = pm.Normal("z", 0, 1, shape=(len(kept), p))
        eta = 0.0
        for k in range(p):
            gp = pm.gp.HSGP(m=m, L=L, boundary="neumann", cov_func=kernel(q, ls=lengthscale[k]))
            cosines, height = gp.prior_linearized(context)
            cosines, height = cosines[:, kept], height[kept]
            variance = ((cosines * height) ** 2).sum(axis=1).mean()
            f = cosines @ (height * z[:, k]) / pm.math.sqrt(variance)
            eta = eta + x[:, k] * (mu[k] + scale[k] * f)
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", eta, sigma, observed=y)
    return gaussian_process
