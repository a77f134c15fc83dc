"""Likelihoods of cells integrated over the coefficients that their rows share, by a few weighted draws, compiled.

With theta = mean + D z, z ~ Normal(0, 1), a cell's likelihood is estimated without bias by

    I = average over draws z_j ~ q of  Normal(z_j | 0, 1) prod_i p(y_i | x_i'theta_j) / q(z_j),

and the cell's coefficients are one of the draws, taken in proportion to its term. Weights that have the estimate as a
factor are exact for the coefficients too (Andrieu and Roberts 2009, doi:10.1214/07-AOS574). q is a multivariate t
around the mode, whose spread is that of the curvature there, and a share of the prior. Draws come in pairs that mirror
each other at the centre of their part: what the likelihood has of a skew then cancels.
"""

import numpy as np

from bayes_personal.kernels.compiling import compiled, inlined
from bayes_personal.kernels.elementary import HALF_LOG_2PI, exp_of, log_of
from bayes_personal.kernels.expansions import climb, workplace
from bayes_personal.kernels.likelihoods import STRIP, add_log_likelihoods, fold

# Degrees of freedom of the t, and pairs of draws of it and of the prior.
DEGREES, PAIRS, OF_PRIOR = 5.0, 14, 2


@inlined
def log_likelihood(code, own, x, y, n, low, high, theta, eta, out, factor):
    """Return the sum of l over rows from `low` to before `high`."""
    total = 0.0
    for at in range(low, high, STRIP):
        count = min(STRIP, high - at)
        for i in range(count):
            eta[0, i], out[i], factor[i] = 0.0, 0.0, 1.0
        for a in range(len(theta)):
            for i in range(count):
                eta[0, i] += x[a, at + i] * theta[a]
        add_log_likelihoods(code, own, y, n, at, eta, 0, count, out, factor)
        fold(code, count, out, factor)
        for i in range(count):
            total += out[i]
    return total


@compiled
def log_integrals(code, own, x, y, n, start, stop, mean, scale, noise, stretch, chosen, z_start, log_constant):
    """Return the log of the estimate of each cell's integral, (cell,), and coefficients of each, (cell, p).

    Parameters
    ----------
    start, stop : the rows of each cell
    noise : standard normal numbers, (cell, pair, p)
    stretch : factors by which a t is wider than a normal, (cell, PAIRS)
    chosen : uniform numbers, (cell,)
    z_start : where the search for each mode starts, (cell, p)
    log_constant : log of the constant of the density of the t
    """
    p, cells, pairs = len(x), len(start), noise.shape[1]
    result, theta = np.zeros(cells), np.empty((cells, p))
    room, step, last = workplace(p), np.zeros(p), np.zeros(p)
    whitened, lower, z = np.zeros((p, p)), np.zeros((p, p)), np.zeros(p)
    eta, out, factor = np.empty((1, STRIP)), np.empty(STRIP), np.ones(STRIP)
    draws, terms, at, direction = np.empty((2 * pairs, p)), np.empty(2 * pairs), np.empty(p), np.empty(p)
    log_share, log_rest = np.log(PAIRS / pairs), np.log(max(pairs - PAIRS, 1e-300) / pairs)
    for k in range(cells):
        z[:] = z_start[k]
        climb(code, own, x, y, n, start[k], stop[k], mean, scale, z, room, whitened, lower, step, last)
        log_root = 0.0
        for a in range(p):
            z[a] += step[a]
            log_root += np.log(lower[a, a])
        top = -np.inf
        for j in range(pairs):
            for a in range(p):
                direction[a] = noise[k, j, a]
            if j < PAIRS:
                # lower'^-1 noise.
                for a in range(p - 1, -1, -1):
                    for b in range(a + 1, p):
                        direction[a] -= lower[b, a] * direction[b]
                    direction[a] /= lower[a, a]
                for a in range(p):
                    direction[a] *= stretch[k, j]
            for side in range(2):
                m, square, distance = 2 * j + side, 0.0, 0.0
                for a in range(p):
                    centre = z[a] if j < PAIRS else 0.0
                    draws[m, a] = centre + direction[a] if side == 0 else centre - direction[a]
                    square += draws[m, a] ** 2
                    at[a] = mean[a] + scale[a] * draws[m, a]
                for a in range(p):
                    along = 0.0
                    for b in range(a, p):
                        along += lower[b, a] * (draws[m, b] - z[b])
                    distance += along * along
                log_prior = -0.5 * square - p * HALF_LOG_2PI
                log_t = log_constant + log_root - 0.5 * (DEGREES + p) * np.log(1.0 + distance / DEGREES)
                low, high = log_share + log_t, log_rest + log_prior
                larger = max(low, high)
                log_q = larger + np.log(np.exp(low - larger) + np.exp(high - larger))
                value = log_likelihood(code, own, x, y, n, start[k], stop[k], at, eta, out, factor)
                terms[m] = value + log_prior - log_q
                top = max(top, terms[m])
        total = 0.0
        for m in range(2 * pairs):
            terms[m] = exp_of(terms[m] - top)
            total += terms[m]
        result[k] = top + log_of(total / (2 * pairs))
        remainder, pick = chosen[k] * total, 2 * pairs - 1
        for m in range(2 * pairs):
            remainder -= terms[m]
            if remainder < 0.0:
                pick = m
                break
        for a in range(p):
            theta[k, a] = mean[a] + scale[a] * draws[pick, a]
    return result, theta
