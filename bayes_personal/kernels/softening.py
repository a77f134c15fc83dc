"""A change of variable by which the density of a small scale has no wall."""

import numpy as np

from bayes_personal.kernels.compiling import compiled

# log(log(2)), so that 0 stays where it is; and where exp(v) is lost beside 1.
LOG_LOG_2, SMALL = -0.36651292058166435, -37.0


@compiled
def soften(v, centre, chosen, point, by_v, by_v_of_log):
    """Set the point at v, its slope by v and the slope of that slope's log, (size,); return the sum of these logs.

    A `chosen` entry is ``centre + log(log(1 + exp(v)) / log(2))``, any other ``centre + v``.
    """
    total = 0.0
    for k in range(len(v)):
        if not chosen[k]:
            point[k], by_v[k], by_v_of_log[k] = centre[k] + v[k], 1.0, 0.0
            continue
        soft = np.log1p(np.exp(-abs(v[k]))) + max(v[k], 0.0)
        log_soft = v[k] if v[k] < SMALL else np.log(soft)
        log_share = v[k] - soft
        point[k] = centre[k] + log_soft - LOG_LOG_2
        by_v[k] = np.exp(log_share - log_soft)
        by_v_of_log[k] = 1.0 - np.exp(log_share) - by_v[k]
        total += log_share - log_soft
    return total
