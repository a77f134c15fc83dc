"""Smoothly varying coefficients: the collapsed Gaussian process against the plain program under nutpie.

Three coefficients, each its own function of one context, as 72 weights and 7 hyperparameters. ESS is bulk, the least
over hyperparameters (`hyper`) and over three coefficients at 25 fixed rows (`theta`); `CPU` and `wall` are of the
whole fit and leave out what compiles, which has its own column. Times are medians; `z` are differences of posterior
means in Monte Carlo errors, over the draws of all repetitions, and `sd ratio` those of posterior standard deviations.
Draws of `Laplace` are resampled by importance weights, whose own effective sample size is that of Kish; `a CPU s`
counts the smaller of both. Where its diagnostics refuse the weights it hands over to NUTS, in so many repetitions as
the column says.
"""

from benchmarks.race import race
from benchmarks.tables import options, publish

SIZES, SMALL = [(1000, 3), (10_000, 1), (100_000, 0)], [(200, 1)]

if __name__ == "__main__":
    given = options(__doc__)
    publish("smooth", __doc__, race("smooth", SMALL if given.small else SIZES, given.repetitions, {}), given.small)
