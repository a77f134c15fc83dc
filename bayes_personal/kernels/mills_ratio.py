"""Mills' ratio of the normal distribution, (1 - Phi(x)) / phi(x), compiled: it has its digits in the far tail."""

from bayes_personal.kernels.compiling import inlined


@inlined
def mills_ratio(x):
    """Return (1 - Phi(x)) / phi(x) for x from 0 on.

    (1 + x) times the ratio is smooth in t = (x - 5) / (x + 5): a polynomial of degree 23, from Chebyshev's, is exact to
    a few 1e-16 (Shepherd and Laframboise 1981, doi:10.1090/S0025-5718-1981-0595058-X).
    """
    t = (x - 5.0) / (x + 5.0)
    q = -7.073898575561589e-10 + t * -9.564832934712551e-10
    q = 9.092476134019147e-09 + t * (1.1032071151574336e-08 + t * q)
    q = -6.588974491108954e-08 + t * (-7.758520236786343e-08 + t * q)
    q = 3.2054316652589574e-07 + t * (4.91996233147834e-07 + t * q)
    q = -1.7633239265736746e-07 + t * (-3.277287633208865e-06 + t * q)
    q = -2.480583845192319e-05 + t * (2.270961270923768e-05 + t * q)
    q = 0.00045704392357953655 + t * (-0.0001343742785571135 + t * q)
    q = -0.004201290329187307 + t * (1.9530638370790786e-05 + t * q)
    q = -0.03802659218584139 + t * (0.01634823128102938 + t * q)
    q = -0.0661776007790963 + t * (0.0615050458401865 + t * q)
    q = 0.07778159886873769 + t * (0.0250721793016388 + t * q)
    q = 1.1568486282918946 + t * (-0.22948753825211315 + t * q)
    return q / (1.0 + x)
