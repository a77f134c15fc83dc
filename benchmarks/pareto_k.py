"""Up to which Pareto k can smoothed importance weights be trusted?

Densities whose integral is 1 and whose mean is known, sampled as `Laplace` samples hyperparameters: Neal's funnel in
several dimensions, which no mixture of t's covers from four dimensions on, and log scales that the data do not tell
from zero. Every set of at least 1024 weighted draws with an effective sample size of 400, the least that is trusted,
counts in the row of its k. Columns are root mean squares of errors in standard errors: of the log of the integral, and
of the weighted mean of the first coordinate. Both are near 1 where the weights keep their promise.
"""

from typing import Any

import numpy as np

from bayes_personal.samplers import laplace
from bayes_personal.samplers.importance import Weighted
from bayes_personal.system.running import verb
from benchmarks.measure import from_tests
from benchmarks.tables import options, publish

CASES = (*(("funnel", size) for size in (2, 3, 4, 5)), ("ridges", 4), ("ridges", 10))
BINS = (-np.inf, 0.3, 0.5, 0.6, 0.7, np.inf)
SEEDS, LEAST_DRAWS, LEAST_ESS = 20, 1024, 400
# Mean of the log of a half-normal.
MEANS = {"funnel": 0.0, "ridges": -0.5 * (np.euler_gamma + np.log(2))}


@verb
def weighted_draws(case: str, size: int, seed: int) -> list[Weighted]:
    """All sets of weighted draws that sampling a density makes on its way."""
    made, original = [], Weighted.of

    class Recorded:
        """Weights as they are, on record."""

        @staticmethod
        def of(*arguments: Any) -> Weighted:
            """Weigh draws."""
            made.append(original(*arguments))
            return made[-1]
    target = getattr(from_tests("test_laplace"), case)(size)
    laplace.Weighted, kept = Recorded, laplace.Weighted  # pyright: ignore[reportAttributeAccessIssue]
    try:
        laplace.Laplace().weighted(target, np.random.default_rng(seed))
    finally:
        laplace.Weighted = kept
    return made


def rows(case: str, size: int, seeds: int) -> list[dict[str, Any]]:
    """One density, a row for each range of k."""
    found = []
    for weighted in (each for seed in range(seeds) for each in weighted_draws(case, size, seed)):
        if len(weighted.points) < LEAST_DRAWS or weighted.ess < LEAST_ESS:
            continue
        first, weights = weighted.points[:, 0], weighted.weights
        mean = weights @ first
        error = np.sqrt(weights**2 @ (first - mean) ** 2)
        found.append((weighted.pareto_k, weighted.ess, weighted.log_evidence * np.sqrt(weighted.ess),
                      (mean - MEANS[case]) / error))
    table = []
    k, ess, of_integral, of_mean = np.array(found).reshape(-1, 4).T
    for low, high in zip(BINS[:-1], BINS[1:], strict=True):
        chosen = (k >= low) & (k < high)
        row: dict[str, Any] = {"density": f"{case}({size})", "k from": low if np.isfinite(low) else None,
                               "to": high if np.isfinite(high) else None, "sets": int(chosen.sum())}
        if chosen.any():
            row |= {"ESS": float(ess[chosen].mean()), "integral": float(np.sqrt((of_integral[chosen] ** 2).mean())),
                    "mean": float(np.sqrt((of_mean[chosen] ** 2).mean()))}
        table.append(row)
    return table


if __name__ == "__main__":
    given = options(__doc__, repetitions=None)
    cases, seeds = (CASES[:1], 4) if given.small else (CASES, SEEDS)
    publish("pareto_k", __doc__, {"Densities": [row for case in cases for row in rows(*case, seeds)]}, given.small)
