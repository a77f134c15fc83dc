"""Tree partition: coefficients are constant within boxes of contexts, made by halving; all ways to do so are summed.

    y_i ~ Normal(x_i' theta_leaf(i), sigma)
    a box is halved with probability `split`, along one of its axes alike, at most `depth` times; else it is a leaf
    theta_leaf[k] ~ Normal(mu_k, scale_k),  split ~ Beta(1, 1)
    mu_k ~ Normal(location_k, 2.5 unit_k),  scale_k ~ HalfNormal(unit_k),  sigma ~ HalfNormal(sd)

code(i, axis) = 0 .. 2^depth - 1 is the interval that row i has along an axis that is halved `depth` times; a box whose
rows all have the same codes is a leaf. The rows of a leaf are jointly Normal, their coefficients integrated out. The
predictors x are centred, so that the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, code, depth, *, location, unit, sd):
    axes = code.shape[1]
    with pm.Model() as tree_partition:
        mu = pm.Normal("mu", location, 2.5 * np.asarray(unit), shape=x.shape[1])
        scale = pm.HalfNormal("scale", np.asarray(unit), shape=x.shape[1])
        split = pm.Beta("split", 1.0, 1.0)
        sigma = pm.HalfNormal("sigma", sd)

        def leaf(rows):
            covariance = (x[rows] * scale**2) @ x[rows].T + sigma**2 * np.eye(len(rows))
            return pm.logp(pm.MvNormal.dist(x[rows] @ mu, covariance), y[rows])

        def box(rows, halvings):
            """Log density of the rows of a box whose axes have been halved so often."""
            if len(rows) == 0:
                return 0.0
            if sum(halvings) == depth or len(np.unique(code[rows], axis=0)) == 1:
                return leaf(rows)
            terms = [pm.math.log(1 - split) + leaf(rows)]
            for axis in range(axes):
                upper = code[rows, axis] >> (depth - halvings[axis] - 1) & 1
                deeper = [times + (axis == other) for other, times in enumerate(halvings)]
                terms.append(pm.math.log(split / axes) + box(rows[upper == 0], deeper) + box(rows[upper == 1], deeper))
            return pm.math.logsumexp(pm.math.stack([1.0 * term for term in terms]))

        pm.Potential("y", pm.math.sum(box(np.arange(len(y)), [0] * axes)))
    return tree_partition
