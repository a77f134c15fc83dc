"""Draws of the weights of thousands of small groups given all else, in the terms of `group_integrals`."""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.elementary import HALF_LOG_2PI
from bayes_personal.kernels.group_integrals import (
    ROWS,
    add_rows,
    set_mode,
    solve_upper,
    tallest,
)


@compiled
def draw_weights(code, own, y, n, x, starts, sd, root, e, response, precision, normal, spread, log_uniform, lengths,
                 degrees, share, constant, log_integral, result, largest):
    """Draw whitened weights of all groups given all else, by chains of independence Metropolis steps.

    Candidates are t's around the mode and, in a share of the steps, draws of the prior, by which the ratio of the
    density to that of the candidates is bounded (Tierney 1994, doi:10.1214/aos/1176325750). With a largest ratio M
    relative to the integral a chain forgets its start by a factor 1 - 1/M a step.

    ============  ==============================  =================================================================
    normal        (step, varying, tile, lane)     standard normal noise
    spread        (step, tile, lane)              factor of the noise, which makes a t of it; 0 for draws of the prior
    log_uniform   (step, tile, lane)              logs of uniform noise
    lengths       (tile,)                         number of steps
    degrees, share, constant                      degrees of freedom; share of the prior; log constant of the t
    log_integral  (tile, lane)                    log I_g
    result        (varying, tile, lane)           set to the draws
    largest       (tile, lane)                    raised to the log of the largest ratio, relative to I_g
    ============  ==============================  =================================================================
    """
    p, q, lanes = len(root), len(e), e.shape[2]
    c = np.empty((p, q, tallest(starts), lanes))
    z, h, eta = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((q, ROWS * lanes))
    out, factor, product = np.empty(ROWS * lanes), np.empty(ROWS * lanes), np.empty(lanes)
    node, distance, height = np.empty((p, lanes)), np.empty((p, lanes)), np.empty(lanes)
    near, whole, volume, ratio = np.empty(lanes), np.empty(lanes), np.empty(lanes), np.empty(lanes)
    log_share, log_rest, half = np.log(share), np.log(1.0 - share), HALF_LOG_2PI * p
    for t in range(len(starts) - 1):
        start, rows = starts[t], starts[t + 1] - starts[t]
        set_mode(code, own, y, n, x, e, t, start, rows, sd, root, response, precision, c, z, h)
        volume[:] = constant
        for k in range(p):
            for g in range(lanes):
                volume[g] += np.log(h[k, k, g])
        for m in range(lengths[t]):
            for k in range(p):
                for g in range(lanes):
                    node[k, g] = normal[m, k, t, g] * spread[m, t, g]
            solve_upper(h, node)
            for k in range(p):
                for g in range(lanes):
                    node[k, g] = z[k, g] + node[k, g] if spread[m, t, g] > 0.0 else normal[m, k, t, g]
            near[:], whole[:] = 0.0, 0.0
            for k in range(p):
                for g in range(lanes):
                    distance[k, g] = 0.0
                    whole[g] += node[k, g] * node[k, g]
                for r in range(k, p):
                    for g in range(lanes):
                        distance[k, g] += h[r, k, g] * (node[r, g] - z[r, g])
                for g in range(lanes):
                    near[g] += distance[k, g] * distance[k, g]
            for g in range(lanes):
                of_t = log_rest + volume[g] - 0.5 * (degrees + p) * np.log(1.0 + near[g] / degrees)
                of_prior = log_share - 0.5 * whole[g] - half
                higher, lower = max(of_t, of_prior), min(of_t, of_prior)
                ratio[g] = -0.5 * whole[g] - half - higher - np.log(1.0 + np.exp(lower - higher))
            add_rows(code, own, y, n, e, c, start, rows, node, eta, out, factor, product, ratio)
            for g in range(lanes):
                largest[t, g] = max(largest[t, g], ratio[g] - log_integral[t, g])
                if m == 0 or log_uniform[m, t, g] < ratio[g] - height[g]:
                    height[g] = ratio[g]
                    for k in range(p):
                        result[k, t, g] = node[k, g]
