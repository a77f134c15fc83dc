"""COMPLEMENTARY_LOG_LOG: l = y log(1 - e^-m) - (n - y) m, m = e^eta, of n trials; the rest is log (n choose y).

With g = m / (e^m - 1) the slopes are y g - (n - y) m and y g (g + m - 1) + (n - y) m. Where m is small, what cancels is
the series of elementary functions of m.
"""

from bayes_personal.kernels.compiling import spliced
from bayes_personal.kernels.elementary import HIGHEST, exp_of, log_beyond_one, log_of, rate, share_of_decay

# Up to this m series are used.
NEAR = 0.5


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        reached = HIGHEST if eta[0, begin + i] > HIGHEST else eta[0, begin + i]
        m = exp_of(reached)
        e, share = exp_of(-m), share_of_decay(m if m < NEAR else NEAR)
        log_chance = reached + log_of(share) if m < NEAR else log_beyond_one(1.0 - e, -e)
        out[i] += y[at + i] * log_chance - (n[at + i] - y[at + i]) * m


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    for i in range(count):
        m, failures = rate(1.0, eta[0, begin + i]), n[at + i] - y[at + i]
        near, e = m if m < NEAR else NEAR, exp_of(-m)
        share = share_of_decay(near)
        # m beyond 700 times e^-m is 0.
        g = e / share if m < NEAR else (m if m < HIGHEST else HIGHEST) * e / (1.0 - e)
        # (m e^m - e^m + 1) / m^2, all terms of whose series are positive.
        q = 12 / 6227020800 + near * (13 / 87178291200)
        q = 10 / 39916800 + near * (11 / 479001600 + near * q)
        q = 8 / 362880 + near * (9 / 3628800 + near * q)
        q = 6 / 5040 + near * (7 / 40320 + near * q)
        q = 4 / 120 + near * (5 / 720 + near * q)
        q = 2 / 6 + near * (3 / 24 + near * q)
        q = 1 / 2 + near * q
        excess = near * q * e / share if m < NEAR else g + m - 1.0
        # Far out g is 0, and what it multiplies at most as large as float64 holds.
        score[0, i] = y[at + i] * g - failures * m
        curvature[0, 0, i] = y[at + i] * g * excess + failures * m
        positive[0, 0, i] = curvature[0, 0, i]
