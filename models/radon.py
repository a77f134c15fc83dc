"""Radon in the houses of Minnesota: counties differ in their level and in what the first floor takes off it.

    log_radon_i ~ Normal(a_j(i) + b_j(i) floor_i + gamma uranium_i, sigma)
    (a_j, b_j) ~ MvNormal((alpha, beta), diag(scale) R diag(scale)),   scale_k ~ HalfNormal(unit_k)
    R_12 = 2 partial - 1,  partial ~ Beta(2, 2), which is R ~ LKJ(2)
    alpha, beta, gamma ~ Normal(location_k, 2.5 unit_k),               sigma ~ HalfNormal(sd)

Uranium is the same for all houses of a county, so that it explains part of the differences between counties. Floor and
uranium are centred: alpha is the level of an average house. `county` numbers each house's county from 0.
"""

import numpy as np
import pymc as pm


def model(log_radon, floor, uranium, county):
    x = np.column_stack([np.ones(len(floor)), floor - floor.mean(), uranium - uranium.mean()])
    sd = log_radon.std()
    unit = sd / np.array([1, floor.std(), uranium.std()])
    with pm.Model() as radon:
        mu = pm.Normal("mu", np.array([log_radon.mean(), 0, 0]), 2.5 * unit, shape=3)
        scale = pm.HalfNormal("scale", unit[:2], shape=2)
        partial = pm.Beta("partial", 2, 2)
        z = pm.Normal("z", shape=(county.max() + 1, 2))
        r = 2 * partial - 1
        level = scale[0] * z[:, 0]
        slope = scale[1] * (r * z[:, 0] + pm.math.sqrt(1 - r**2) * z[:, 1])
        sigma = pm.HalfNormal("sigma", sd)
        # What the counties' own houses say: level of an average house, and effect of the first floor.
        pm.Deterministic("county", pm.math.stack([mu[0] + level, mu[1] + slope], axis=1))
        pm.Normal("y", x @ mu + level[county] + slope[county] * x[:, 1], sigma, observed=log_radon)
    return radon
