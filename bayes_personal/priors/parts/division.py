"""Divisions of contexts into cells, whose rows share what is summed or integrated out."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.priors.parts.pieces import Function


class Division(Function):
    """A function that is constant within the cells of a random division of contexts, which nobody has seen.

    Given its hyperparameters, all divisions and the deviations of their cells are summed out of the likelihood. Draws
    of both (`latent`) are made after the hyperparameters.

    Attributes
    ----------
    law : distribution of the deviations of cells
    """

    law: Conjugate

    @property
    def integrates_out(self) -> bool:
        """Whether what cells have of their own integrates out of the family exactly."""
        return self.law == self.coefficients.conjugate

    @property
    def excludes_others(self) -> str:
        return ("divisions of contexts are summed out only where nothing else varies; TotalVariation(order) goes with "
                "other summands")

    @property
    @abstractmethod
    def frequency(self) -> str:
        """Name of the hyperparameter that sets the expected number of cells."""

    @property
    def ordered(self) -> pd.Series | None:
        """The distinct training contexts in order, indexed by their first rows, where cells are segments; else None."""
        return None

    @property
    @abstractmethod
    def sums(self) -> Any:
        """The sums over divisions, a `DivisionSums` of `priors.divisions`."""

    @abstractmethod
    def sampled(self, drawn: Sequence[Any], levels: np.ndarray) -> dict[str, np.ndarray]:
        """Return `latent` and other reported variables, from divisions as `sums` draws them and the levels of all their
        cells in sequence, (cell, varying)."""

    def drawn(self, latent: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the divisions of draws of `latent`, as `sums` draws them; called where `sums` are not exact."""
        raise SpecificationError(f"{self.prior.owner}: its sums are not exact, and it does not say how to read draws")

    def membership(self, values: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
        """Return the cell that each row with these features is in, its place in `level`, (..., unit); of a division
        whose sums are exact nobody asks."""
        raise SpecificationError(f"{self.prior.owner}: its sums are not exact, and it does not say which cell rows are "
                                 "in")

    def level(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the deviations of cells, (..., cell, varying), at draws of `latent`."""
        return values[f"{self.name}_level"]

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Return the standard deviations of the deviations of cells, (..., varying)."""
        return values[f"{self.name}_scale"]

    @abstractmethod
    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        """Return the argument that the sums over divisions take for the frequency of cuts, (...)."""

    @abstractmethod
    def cells(self, values: Mapping[str, Any]) -> Any:
        """Return about the expected number of cells, (...), which sets the units of the mean's sampler only."""

    def fresh(self, values: Mapping[str, Any], draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the deviations of cells without data, one cell for each entry of `draw`, (cell, varying)."""
        mean = 0.0 if self.law.several_coefficients else values["mu"][draw]
        return self.law.deviations(mean, self.scale(values)[draw], (len(draw), len(self.positions)), rng)

    @abstractmethod
    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """Draw `latent` once from the prior, for rows with these features."""
