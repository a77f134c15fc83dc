"""Integrals over the weights of thousands of small groups under Normal pseudo-data, compiled."""

import numpy as np

from bayes_personal.kernels.compiling import compiled
from bayes_personal.kernels.group_integrals import factor_lanes, set_identity, solve_lower, solve_upper


@compiled
def log_pseudo_integrals(sd, root, curve, pull, each, by_t):
    """Set `each` (tile, lane) to the log integrals of the pseudo-data's likelihood, and `by_t` to their slopes by T.

    They are given up to constants, by sums over each group's rows: `curve` X'WX, (varying, varying, tile, lane), and
    `pull` X'W (response - e), (varying, tile, lane). By Fisher's identity, the slope is E[(pull - curve T z) z'].
    """
    p, lanes = len(root), pull.shape[2]
    t_matrix, z, h = np.zeros((p, p, lanes)), np.empty((p, lanes)), np.empty((p, p, lanes))
    inverse, second, product = np.empty((p, lanes)), np.empty((p, p, lanes)), np.empty((p, p, lanes))
    for t in range(pull.shape[1]):
        at = t if sd.shape[1] > 1 else 0
        for a in range(p):
            for k in range(a + 1):
                for g in range(lanes):
                    t_matrix[a, k, g] = sd[a, at, g] * root[a, k]
        # product = curve T, and h = I + T' product.
        product[:] = 0.0
        for a in range(p):
            for k in range(p):
                for b in range(k, p):
                    for g in range(lanes):
                        product[a, k, g] += curve[a, b, t, g] * t_matrix[b, k, g]
        set_identity(h)
        z[:] = 0.0
        for k in range(p):
            for a in range(k, p):
                for g in range(lanes):
                    z[k, g] += t_matrix[a, k, g] * pull[a, t, g]
                for m in range(k + 1):
                    for g in range(lanes):
                        h[k, m, g] += t_matrix[a, k, g] * product[a, m, g]
        factor_lanes(h)
        solve_lower(h, z)
        for g in range(lanes):
            volume, square = 1.0, 0.0
            for k in range(p):
                volume *= h[k, k, g]
                square += z[k, g] * z[k, g]
            each[t, g] = 0.5 * square - np.log(volume)
        solve_upper(h, z)
        for k in range(p):
            for m in range(p):
                for g in range(lanes):
                    inverse[m, g] = 1.0 if m == k else 0.0
            solve_lower(h, inverse)
            solve_upper(h, inverse)
            for m in range(p):
                for g in range(lanes):
                    second[k, m, g] = inverse[m, g] + z[k, g] * z[m, g]
        for a in range(p):
            for k in range(a + 1):
                for g in range(lanes):
                    by_t[a, k, t, g] = pull[a, t, g] * z[k, g]
                for m in range(p):
                    for g in range(lanes):
                        by_t[a, k, t, g] -= product[a, m, g] * second[m, k, g]
