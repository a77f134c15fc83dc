"""Tails of the standard normal distribution, as far out as float64 reaches.

With Q(t) the probability beyond t and f the density, Mills' ratio is M(t) = Q(t) / f(t). From 0 on, (t + 1) M(t) is a
polynomial of v = (t - 4) / (t + 4): that of degree 25 through the Chebyshev nodes is exact to rounding. A probability
follows as M f, and its logarithm as log M - t^2/2 - log(2 pi)/2, which no t is too large for.
"""

from bayes_personal.kernels.compiling import inlined
from bayes_personal.kernels.elementary import HALF_LOG_2PI, exp_of, log_beyond_one, log_of

# From this t on the asymptotic series is used where a difference would lose its digits; eight terms are then exact.
FAR = 20.0
# Largest t, whose square is a number.
FARTHEST = 1e100


@inlined
def mills_ratio(t):
    """Return M(t) for t from 0 on."""
    v = (t - 4.0) / (t + 4.0)
    q = 4.5048582892252513e-10 + v * 5.202016936582969e-10
    q = -4.946772485089893e-09 + v * q
    q = -6.577270844412554e-09 + v * q
    q = 2.2665244887729327e-08 + v * q
    q = 5.081753236610078e-08 + v * q
    q = -5.9176471926713914e-08 + v * q
    q = -2.8698921161192715e-07 + v * q
    q = 1.1381516028497087e-08 + v * q
    q = 1.3908196174637467e-06 + v * q
    q = 1.0096399962127908e-06 + v * q
    q = -6.553390599426187e-06 + v * q
    q = -8.601651640082263e-06 + v * q
    q = 3.415882965473892e-05 + v * q
    q = 5.3265566703279293e-05 + v * q
    q = -0.00022021557997499815 + v * q
    q = -0.00023670147484589974 + v * q
    q = 0.001741848774490837 + v * q
    q = -0.0007159509407866192 + v * q
    q = -0.012539103620477497 + v * q
    q = 0.04495912907955541 + v * q
    q = -0.08070800967904801 + v * q
    q = 0.07169048120135671 + v * q
    q = 0.035091880234747914 + v * q
    q = -0.24239967052180733 + v * q
    q = 1.1832619145678034 + v * q
    return q / (t + 1.0)


@inlined
def log_tail(t, ratio):
    """Return log Q(t) for t from 0 on, from M(t)."""
    return log_of(ratio) - 0.5 * t * t - HALF_LOG_2PI


@inlined
def density_at(t):
    """Return f(t)."""
    return exp_of(-0.5 * t * t - HALF_LOG_2PI)


@inlined
def log_other_side(t, ratio):
    """Return log(1 - Q(t)) for t from 0 on, from M(t)."""
    beyond = ratio * density_at(t)
    return log_beyond_one(1.0 - beyond, -beyond)


@inlined
def tail_curvature(t, ratio):
    """Return minus the second derivative of log Q(t) for t from 0 on, from M(t): (1/M) (1/M - t)."""
    near = (1.0 / ratio - t) / ratio
    w = 1.0 / (t * t) if t > FAR else 0.0
    # M = (1 - w r) / t: then (1/M) (1/M - t) = r / (1 - w r)^2.
    r = 1.0 - w * (3.0 - w * (15.0 - w * (105.0 - w * (945.0 - w * (10395.0 - w * (135135.0 - w * 2027025.0))))))
    rest = 1.0 - w * r
    return r / (rest * rest) if t > FAR else near
