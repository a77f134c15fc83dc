"""Contextualized: coefficients are a neural network of context, or a choice by one among K archetypes.

    y_i ~ Normal(x_i' (mu + f(c_i)), sigma)
    h(c) = tanh(steepness / sqrt(q) W1' c + 1.5 b),   steepness ~ HalfNormal(3),   W1, b, W2 ~ Normal(0, 1)
    f(c) = scale * W2' h(c) / sqrt(H),   scale_k ~ HalfNormal(unit_k)                             or, of K archetypes,
    f(c) = softmax(sharpness W2' h(c) / sqrt(H))' (scale * a),   a ~ Normal(0, 1),   sharpness ~ HalfNormal(5)
    mu_k ~ Normal(location_k, 2.5 unit_k),   sigma ~ HalfNormal(sd)

The q contexts, one a column of c unless they are categories, are standardised. The predictors x are centred, so that
the intercept is that of an average row.
"""

import numpy as np
import pymc as pm


def model(y, x, c, q, H, K=None, *, location, unit, sd):
    unit, p = np.asarray(unit), x.shape[1]
    with pm.Model() as contextualized:
        mu = pm.Normal("mu", location, 2.5 * unit, shape=p)
        scale = pm.HalfNormal("scale", unit, shape=p)
        steepness = pm.HalfNormal("steepness", np.float64(3.0))
        W1 = pm.Normal("W1", shape=(c.shape[1], H))
        b = pm.Normal("b", shape=H)
        W2 = pm.Normal("W2", shape=(H, K or p))
        f = pm.math.tanh(steepness / np.sqrt(q) * (c @ W1) + 1.5 * b) @ W2 / np.sqrt(H)
        if K is not None:
            sharpness, a = pm.HalfNormal("sharpness", np.float64(5.0)), pm.Normal("a", shape=(K, p))
            f = pm.math.softmax(sharpness * f, axis=1) @ a
        sigma = pm.HalfNormal("sigma", sd)
        pm.Normal("y", (x * (mu + scale * f)).sum(axis=1), sigma, observed=y)
    return contextualized
