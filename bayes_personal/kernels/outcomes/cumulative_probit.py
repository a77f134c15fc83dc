"""CUMULATIVE_PROBIT: l = log(Phi(c_(y+1) - eta) - Phi(c_y - eta)); y counts levels from 0, and n is 1.

Below the lowest level c is minus infinity, above the highest infinity. `own` are the cuts c_2, c_3, ..., and c_1 is 0.
There is no rest, and the log likelihood is concave.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.elementary import HALF_LOG_2PI, exp_of, log_of
from bayes_personal.kernels.mills_ratio import mills_ratio


@inlined
def ends(own, k, eta):
    """Return the interval (-u, v) whose probability is that of level k, with v <= u, and whether it was mirrored.

    A u of infinity is returned as u = |v|, with a share of 0 of the end at -u in place of 1.
    """
    lower = (own[k - 2] if k > 1 else 0.0) - eta
    upper = (own[k - 1] if 0 < k <= len(own) else 0.0) - eta
    lowest, highest = k == 0, k > len(own)
    mirrored = highest or (not lowest and lower + upper > 0)
    u, v = (upper, -lower) if mirrored else (-lower, upper)
    share = 0.0 if lowest or highest else 1.0
    return (u if share else abs(v)), v, share, mirrored


@inlined
def densities(u, v, share):
    """Return the densities at v and at -u, over the probability between them, and the log of that probability."""
    w = abs(v)
    decay = share * exp_of(-0.5 * (u - w) * (u + w))
    at_v, at_u = mills_ratio(w), mills_ratio(u) * decay
    log_density = -0.5 * w * w - HALF_LOG_2PI
    density = exp_of(log_density)
    # In the tail the density is a factor of both ends; otherwise the two tails are taken from 1.
    probability = at_v - at_u if v <= 0 else 1.0 - density * (at_v + at_u)
    q = (1.0 if v <= 0 else density) / probability
    return q, q * decay, log_of(probability) + (log_density if v <= 0 else 0.0)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        u, v, share, _ = ends(own, int(y[at + i]), eta[0, begin + i])
        out[i] += n[at + i] * densities(u, v, share)[2]


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        u, v, share, mirrored = ends(own, int(y[at + i]), eta[0, begin + i])
        at_v, at_u, _ = densities(u, v, share)
        score[0, i] = n[at + i] * (at_v - at_u if mirrored else at_u - at_v)
        curvature[0, 0, i] = n[at + i] * ((at_v - at_u) ** 2 + u * at_u + v * at_v)
        positive[0, 0, i] = curvature[0, 0, i] if curvature[0, 0, i] > 0 else 0.0


@spliced
def add_own_slopes(own, y, n, at, eta, begin, count, weights, out):
    for i in range(count):
        k = int(y[at + i])
        u, v, share, mirrored = ends(own, k, eta[0, begin + i])
        at_v, at_u, _ = densities(u, v, share)
        if k > 1:
            out[k - 2] -= n[at + i] * weights[i] * (at_v if mirrored else at_u)
        if 0 < k <= len(own):
            out[k - 1] += n[at + i] * weights[i] * (at_u if mirrored else at_v)
