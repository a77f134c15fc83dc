"""BETA_BINOMIAL_VARYING: that of BETA_BINOMIAL with a = e^-2u, u a second linear predictor.

In place of the curvature by u stands the expected one: with h(x, k) the sum over j < k of (x / (x + j))^2, it is
4 (E[h(a p, y) + h(a q, n - y)] - h(a, n)), an expectation over all outcomes of a row.
"""

from bayes_personal.kernels.compiling import inlined, spliced
from bayes_personal.kernels.count_factors import ratio_slope
from bayes_personal.kernels.elementary import exp_of
from bayes_personal.kernels.outcomes.beta_binomial import chances, excess, log_likelihood, placed
from bayes_personal.kernels.varying_scales import apart

# Largest logarithms of a dispersion in either direction: shapes are then numbers that are not subnormal.
LOWEST, HIGHEST = -300.0, 40.0
# Largest number of trials that the expected curvature is summed over, least chance in it, and the precision for a trial
# from which its limit is taken, as the difference would lose its digits.
MOST, RAREST, PRECISE = 1000, 1e-17, 1e4


@inlined
def precision(u):
    """Return a."""
    return exp_of(-2.0 * (LOWEST if u < LOWEST else (HIGHEST if u > HIGHEST else u)))


@inlined
def expected_curvature(a, p, q, n):
    """Return the expected curvature by u."""
    if n < 2 or a > PRECISE * n:
        return 2.0 * n * (n - 1.0) / (a * a) if n > 1 else 0.0
    trials = int(min(n, MOST))
    x, z = a * max(p, RAREST), a * max(q, RAREST)
    start, of_all = int(trials * p), 0.0
    successes, failures = 0.0, 0.0
    for j in range(trials):
        of_all += (a / (a + j)) ** 2
        if j < start:
            successes += (x / (x + j)) ** 2
        if j < trials - start:
            failures += (z / (z + j)) ** 2
    # Relative to the chance of `start` successes, one more or less at a time.
    total, mass = successes + failures, 1.0
    chance, up, down = 1.0, successes, failures
    for k in range(start, trials):
        chance *= (trials - k) / (k + 1.0) * ((x + k) / (z + trials - k - 1.0))
        up, down = up + (x / (x + k)) ** 2, down - (z / (z + trials - k - 1.0)) ** 2
        total, mass = total + chance * (up + down), mass + chance
    chance, up, down = 1.0, successes, failures
    for k in range(start, 0, -1):
        chance *= k / (trials - k + 1.0) * ((z + trials - k) / (x + k - 1.0))
        up, down = up - (x / (x + k - 1.0)) ** 2, down + (z / (z + trials - k)) ** 2
        total, mass = total + chance * (up + down), mass + chance
    return max(4.0 * (total / mass - of_all), 0.0)


@spliced
def add_log_likelihoods(own, y, n, at, eta, begin, count, out, factor):
    for i in range(count):
        out[i] += log_likelihood(precision(eta[1, begin + i]), y[at + i], n[at + i], eta[0, begin + i])


@spliced
def set_slopes(own, y, n, at, eta, begin, count, score, curvature, positive):
    apart(count, curvature, positive)
    for i in range(count):
        a = precision(eta[1, begin + i])
        p, q = chances(placed(eta[0, begin + i]))
        trials, failed = n[at + i], n[at + i] - y[at + i]
        up, down = ratio_slope(a * p, y[at + i]), ratio_slope(a * q, failed)
        successes, failures = a * p * up, a * q * down
        score[0, i] = q * successes - p * failures
        score[1, i] = -2.0 * (successes + failures - a * ratio_slope(a, trials))
        positive[0, 0, i] = p * q * (successes + failures)
        curvature[0, 0, i] = positive[0, 0, i] - q * q * excess(a * p, y[at + i], up) - p * p * excess(a * q, failed,
                                                                                                       down)
        curvature[1, 1, i] = positive[1, 1, i] = expected_curvature(a, p, q, trials)
