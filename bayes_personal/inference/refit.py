"""Exact leave-out: the posterior without some rows, by taking their sums away, and what it predicts for them."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from bayes_personal.inference.collapsed import Collapsed
from bayes_personal.inference.importance import Weighted
from bayes_personal.inference.laplace import Laplace
from bayes_personal.inference.nuts import NUTS
from bayes_personal.inference.statistics import Statistics


@final
@dataclass(frozen=True)
class Refit:
    """log p(what is left out | the rest).

    Attributes
    ----------
    elpd : its estimate
    se : Monte Carlo error
    ess : effective sample size of the average over the posterior without the rows; small where they are in its tail
    """

    elpd: float
    se: float
    ess: float


@final
@dataclass(frozen=True, eq=False)
class Refitter:
    """Refits of a model whose weights integrate out.

    Attributes
    ----------
    density : the model with all rows
    rng : for the importance samples
    """

    density: Collapsed
    rng: np.random.Generator

    @cached_property
    def everything(self) -> Weighted:
        """The evidence of all rows."""
        return self.sampled(self.density)

    def sampled(self, density: Collapsed) -> Weighted:
        """The hyperparameters' posterior: by importance, or else by NUTS, as the log evidence then says with NaN."""
        found = Laplace().weighted(density, self.rng)
        if found.trusted:
            return found
        points, _ = NUTS().walk(density, int(self.rng.integers(2**31)), progress=False)
        return Weighted(points, np.full(len(points), 1 / len(points)), found.pareto_k, len(points), np.nan, np.inf)

    def without(self, sums: Statistics) -> Refit:
        """Leave out the rows that have these sums.

        Two estimates: the average of p(y_out | rest, phi) over the posterior given the rest, and the ratio of the
        evidences with and without, which holds where what is left out is in the tail of what the rest predict. That
        with the smaller error is taken.
        """
        rest = Collapsed(self.density.bound, self.density.statistics - sums)
        if rest.size == 0:
            none = np.zeros(0)
            return Refit(self.density.value(none) - rest.value(none), 0.0, np.inf)
        found = self.sampled(rest)
        logs = self.density.each_value(found.points) - rest.each_value(found.points)
        highest = logs.max()
        parts = found.weights * np.exp(logs - highest)
        mean = parts.sum()
        ess = float(mean**2 / (parts**2).sum())
        se = float(np.sqrt(((parts - found.weights * mean) ** 2).sum()) / mean)
        average = Refit(float(highest + np.log(mean)), se, ess)
        if not np.isfinite(found.log_evidence_se) or not np.isfinite(self.everything.log_evidence_se):
            return average
        ratio_se = float(np.hypot(found.log_evidence_se, self.everything.log_evidence_se))
        if se <= ratio_se:
            return average
        return Refit(self.everything.log_evidence - found.log_evidence, ratio_se, ess)
