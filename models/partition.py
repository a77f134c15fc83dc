"""Partition: coefficients are constant between changes along an ordered context; all ways to cut it are summed.

    y_i ~ Normal(x_i' theta_segment(i), sigma)
    changes ~ a Poisson process along the context, `expected` of them from the first context to the last
    theta_segment[k] ~ Normal(mu_k, scale_k),  for k in `on`;  theta[k] = mu_k for the others
    mu_k ~ Normal(location_k, 2.5 unit_k),  scale_k ~ HalfNormal(unit_k),  sigma ~ HalfNormal(sd)
    expected ~ HalfCauchy(1)

t are the T distinct contexts in order, place(i) = 0 .. T - 1 which of them is that of row i. There is a change between
two neighbours with probability 1 - exp(-expected gap / range), and the rows of a segment are jointly Normal, their
coefficients integrated out. The predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, place, t, on, *, location, unit, sd):
    gaps = np.diff(t) / (t[-1] - t[0])
    with pm.Model() as partition:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=x.shape[1])
        scale = pm.HalfNormal("scale", np.asarray(unit)[on], shape=len(on))
        expected = pm.HalfCauchy("expected", 1.0)
        sigma = pm.HalfNormal("sigma", sd)

        def segment(first, last):
            rows = (first <= place) & (place <= last)
            own = x[rows][:, on]
            covariance = (own * scale**2) @ own.T + sigma**2 * np.eye(rows.sum())
            return pm.logp(pm.MvNormal.dist(x[rows] @ mu, covariance), y[rows])

        # Density of the rows up to each context, where a segment ends there.
        ended = []
        for last in range(len(t)):
            terms = []
            for first in range(last + 1):
                stay = -(expected * gaps[first:last]).sum()
                change = ended[first - 1] + pm.math.log(1 - pm.math.exp(-expected * gaps[first - 1])) if first else 0.0
                terms.append(change + stay + segment(first, last))
            ended.append(pm.math.logsumexp(pm.math.stack(terms)))
        pm.Potential("y", ended[-1].squeeze())
    return partition
