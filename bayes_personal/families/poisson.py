"""Poisson: counts of independent events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from bayes_personal.arguments import column_name
from bayes_personal.conjugate import Conjugate
from bayes_personal.families.base import Family
from bayes_personal.families.counts import events, exposures, log_rate
from bayes_personal.parameter import Parameter


@final
@dataclass(frozen=True, repr=False)
class Poisson(Family):
    """Counts of independent events.

    Generative story: ``y_i ~ Poisson(exposure_i exp(x_i' theta_i))``. A coefficient is the log of the factor by which
    the rate changes for one unit of its predictor.

    Right for events that come independently of one another, rare against what could occur. Fails where counts vary
    more than their mean, as most do: intervals then come out too narrow; use NegativeBinomial.

    Parameters
    ----------
    exposure
        Column of what the counts are counts per: person-years, area, hours, in any positive unit; rates are per that
        unit. By default 1 for every row.

    Raises
    ------
    SpecificationError
        An exposure that does not name a column.
    InputError
        Counts that are negative, fractional or beyond 2**53; an exposure that is not positive, or missing.
    InputTypeError
        Counts or exposures that are not numbers.

    Warns
    -----
    InputWarning
        All counts are 0: the posterior is proper, but rests on the prior.

    References
    ----------
    McCullagh and Nelder (1989), Generalized Linear Models, chapter 6, doi:10.1007/978-1-4899-3242-6.
    """

    exposure: str | None = None

    def __post_init__(self) -> None:
        column_name("Poisson", exposure=self.exposure)

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.exposure is None else (self.exposure,)

    @property
    def conjugate(self) -> Conjugate:
        return Conjugate("gamma")

    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        return events(values, "outcome of a Poisson family")

    def known(self, frame: pd.DataFrame) -> np.ndarray:
        return exposures(self.exposure, frame, "Poisson")

    def location_scale(self, outcome: np.ndarray, known: np.ndarray) -> tuple[float, float]:
        return log_rate(outcome, known), 1.0

    @property
    def natural(self) -> tuple[str, str]:
        return "log of the mean rate", "1"

    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        return ()

    def likelihood(self, eta: Any, values: Mapping[str, Any], known: Any, xp: Any) -> tuple[str, dict[str, Any]]:
        return "Poisson", {"mu": known * xp.exp(eta)}

    def story(self) -> tuple[str, ...]:
        rate = "" if self.exposure is None else f"{self.exposure}_i "
        return (f"y_i ~ Poisson({rate}exp(x_i' theta_i))",)
