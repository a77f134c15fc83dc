"""Population: one parameter vector fits all."""

from dataclasses import dataclass
from typing import final

import pandas as pd

from bayes_personal.priors.parts.base import Prior
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.pieces import Term


@final
@dataclass(frozen=True, repr=False)
class Population(Prior):
    """Every sample has the same parameters.

    Generative story: ``theta_i = mu``.

    Right when nothing varies. Fails when anything does: an effect that changes sign averages to nothing.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Term, ...]:
        return ()

    @property
    def deviation(self) -> str:
        return ""

    def story(self) -> tuple[str, ...]:
        return ()
