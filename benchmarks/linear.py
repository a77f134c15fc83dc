"""Linearly varying coefficients: the collapsed model against the plain program under nutpie.

Three coefficients, each linear in five contexts, as 18 weights and 16 hyperparameters. Columns as in `smooth`.
"""

from benchmarks.race import race
from benchmarks.tables import options, publish

SIZES, SMALL = [(1000, 3), (20_000, 1)], [(200, 1)]

if __name__ == "__main__":
    given = options(__doc__)
    publish("linear", __doc__, race("linear", SMALL if given.small else SIZES, given.repetitions, {}), given.small)
