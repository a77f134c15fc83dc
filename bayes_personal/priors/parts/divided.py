"""Fields that are constant within the cells of a division of contexts, all of which are summed out."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.priors.parts.base import Coefficients, Function


class Division(Function):
    """A field that is constant within the cells of a random division of contexts, which nobody has seen.

    Given its hyperparameters all divisions, and what their cells have of their own, are summed out of the likelihood.
    Draws of them (`latent`) follow from the posterior of the hyperparameters.

    Attributes
    ----------
    law : how what cells have of their own is distributed
    frequency : name of the hyperparameter that says how many cells to expect
    """

    law: Conjugate

    @property
    def alone(self) -> str:
        return ("divisions of contexts are summed out only where nothing else varies; TotalVariation(order) goes with "
                "other summands")

    @property
    @abstractmethod
    def frequency(self) -> str: ...

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Standard deviations of what cells have of their own, (..., varying)."""
        return values[f"{self.name}_scale"]

    @abstractmethod
    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        """What the sums over divisions take of its frequency, (...)."""

    @abstractmethod
    def cells(self, values: Mapping[str, Any]) -> Any:
        """About how many cells to expect, (...)."""

    def fresh(self, values: Mapping[str, Any], draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What cells without data have of their own, one for each of some draws, (cell, varying)."""
        mean = 0.0 if self.law.several else values["mu"][draw]
        return self.law.deviations(mean, self.scale(values)[draw], (len(draw), len(self.positions)), rng)

    @abstractmethod
    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """One draw of `latent` from the prior, for rows with these features."""


def must_integrate_out(owner: str, coefficients: Coefficients) -> Conjugate:
    """How what cells share integrates out of the family, or an error that says which families do."""
    found = coefficients.conjugate
    if found is None:
        raise SpecificationError(f"{owner}: what the rows of a cell share integrates out of Normal, Poisson, Bernoulli "
                                 "and Binomial families. For another family use a prior that fits every one, such as "
                                 "TotalVariation(order), GaussianProcess(*context) or Contextualized(*context).")
    if not found.several and coefficients.names != ("Intercept",):
        raise SpecificationError(f"{owner}: with counts, cells share a rate or probability, and the formula must be "
                                 f"'outcome ~ 1'; it has the coefficients {', '.join(coefficients.names)}. Drop the "
                                 "predictors, or use TotalVariation(order) or GaussianProcess(*context).")
    return found


def law_in_words(scale: str, conjugate: Conjugate | None) -> str:
    """What cells have of their own under a family, or under each where none is known, as a line of the story."""
    if conjugate is not None:
        return conjugate.words(scale)
    return "; ".join(f"{Conjugate(kind).words(scale)} ({family})" for kind, family in (
        ("normal", "Normal"), ("gamma", "Poisson"), ("beta", "Bernoulli, Binomial")))
