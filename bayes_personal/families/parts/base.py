"""The base class of families: p(y_i | eta_i), eta_i = x_i' theta_i. A family never sees the context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self, final

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError
from bayes_personal.families.parts.levels import Levels, labels_of
from bayes_personal.families.parts.likelihood import Likelihood
from bayes_personal.families.parts.varying import LogScale
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.kernels.codes import SEEN, Code
from bayes_personal.system.arguments import call_of


class Family(ABC):
    """A likelihood. Its columns are known constants of each row: standard errors, trials, exposure."""

    def __repr__(self) -> str:
        return call_of(self)

    def __post_init__(self) -> None:
        """Refuse arguments that do not suit the family; most families have none."""
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the frame that the family reads besides the outcome; most families read none."""
        return ()

    @property
    def gaussian(self) -> bool:
        """Whether y_i given eta_i is ``Normal(eta_i, sigma known_i)``, so that Gaussian weights integrate out."""
        return False

    @property
    def normal(self) -> bool:
        """Whether y_i given its linear predictors is Normal around the first of them, whatever its error."""
        return self.gaussian

    @property
    def binary(self) -> bool:
        """Whether outcomes are yes or no."""
        return False

    @property
    def error_parameter(self) -> str | None:
        """The name of the hyperparameter sigma of a Gaussian family; None where the constants are the errors."""
        return None

    @property
    def additive(self) -> bool:
        """Whether all errors ``(y_i - eta_i) / known_i`` have one distribution, by which rows can be compared; or,
        where the scale has a linear predictor of its own, all errors over that scale."""
        return False

    @property
    def conjugate(self) -> Conjugate | None:
        """The distribution under which coefficients shared by rows integrate out; None where there is none."""
        return None

    @property
    def compiled(self) -> Code | None:
        """The code of log p(y | eta) in `kernels.likelihoods`; None where it is not compiled."""
        return None

    def compiled_numbers(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what the compiled log p(y | eta) takes of the family's own hyperparameters, number by number."""
        return ()

    def log_scales(self, unit: float) -> tuple[LogScale, ...]:
        """Return the linear predictors that rows have beside the first one, where 1 natural unit of the outcome is
        `unit`."""
        return ()

    @property
    def each_with_coefficients(self) -> tuple[str, ...]:
        """What rows have a linear predictor of, each with a copy of every coefficient; most families have a single
        linear predictor, and no name for it."""
        return ()

    @property
    def heavier(self) -> str:
        """The name of a family with heavier tails, which may suit outlying outcomes; empty where there is none."""
        return ""

    @property
    def labels(self) -> Levels | None:
        """The levels of an outcome that is no number, which stand for 0, 1, ...; None of numbers."""
        return None

    @property
    def ordered(self) -> bool:
        """Whether an outcome's levels have an order."""
        return self.labels is not None

    @final
    def labelled(self, outcome: np.ndarray) -> np.ndarray:
        """Return outcomes as a user knows them: levels by their labels, and numbers as they are."""
        return outcome if self.labels is None else labels_of(self.labels)[outcome.astype(int)]

    @final
    def numbered(self, outcome: np.ndarray) -> np.ndarray:
        """Return outcomes as numbers, the inverse of `labelled`."""
        if self.labels is None:
            return outcome
        return pd.Index(labels_of(self.labels)).get_indexer(pd.Index(outcome.ravel())).reshape(outcome.shape)

    @final
    def must_be_numeric(self, owner: str) -> None:
        """Refuse a family of levels where outcomes explain each other as numbers."""
        if self.remembers or self.labels is not None:
            raise SpecificationError(f"{owner}: the outcomes of {self!r} are levels, and the nodes of a network are "
                                     "numbers, which explain each other. Take Bernoulli or Normal nodes, or a Model.")

    @property
    def remembers(self) -> bool:
        """Whether there is something that the family has yet to learn of all training outcomes."""
        return False

    def learned(self, values: pd.Series) -> Self:
        """Return the family with what it remembers of all training outcomes; most families remember nothing."""
        return self

    def reported(self, values: Mapping[str, Any], intercept: Any, xp: Any) -> dict[str, Any]:
        """Return what follows from the family's own hyperparameters and the population mean of the intercept."""
        return {}

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The labelled dimensions of what is reported, by its name."""
        return {}

    @abstractmethod
    def outcome(self, values: pd.Series, frame: pd.DataFrame) -> np.ndarray:
        """Return the outcome as numbers, or raise an error that explains why it does not suit this family.

        The frame may be a part of the rows.
        """

    def examine_outcome(self, outcome: np.ndarray, constants: np.ndarray, name: str) -> None:
        """Warn where the outcome of all rows, the column `name`, leaves the posterior to the prior, or refuse it; most
        families accept all outcomes."""
        return None

    @abstractmethod
    def constants(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the known constant of each row, checked, (unit,); ones where the family has none."""

    def ends(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the time until which every row was seen, and whether it ended then; most families see all ends."""
        return outcome, np.ones(len(outcome), bool)

    def seen(self, constants: np.ndarray) -> np.ndarray:
        """Return the code of what was seen of every outcome, `SEEN` where it was seen exactly, as in most families."""
        return np.full(len(constants), SEEN)

    def uncensored(self, outcome: pd.Series) -> dict[str, np.ndarray]:
        """Return the columns that say what was seen of outcomes, of rows where all were; most families have none."""
        return {}

    def examine(self, outcome: np.ndarray, constants: np.ndarray, x: np.ndarray, names: tuple[str, ...]) -> None:
        """Warn where outcome and predictors leave the posterior to the prior; most families never warn."""
        return None

    def must_add_up(self, constants: np.ndarray, index: pd.Index, unit: float) -> None:
        """Refuse known constants too extreme for sums over rows; most families accept all constants.

        `unit` is the natural unit of the outcome.
        """
        return None

    def examine_within(self, outcome: np.ndarray, x: np.ndarray, groups: np.ndarray, groups_in_words: str) -> None:
        """Refuse predictors that explain the outcome exactly within groups; most families accept them."""
        return None

    @abstractmethod
    def location_scale(self, outcome: np.ndarray, constants: np.ndarray) -> tuple[float, float]:
        """Return the expected location of eta and the natural unit of its variation, on the scale of the link."""

    @property
    @abstractmethod
    def natural(self) -> tuple[str, str]:
        """`location_scale` in words."""

    @abstractmethod
    def parameters(self, unit: float) -> tuple[Parameter, ...]:
        """Return the family's own hyperparameters, such as sigma, where 1 natural unit of the outcome is `unit`."""

    @abstractmethod
    def likelihood(self, eta: Any, values: Mapping[str, Any], constants: Any, xp: Any) -> Likelihood:
        """Return the distribution of the outcome given its linear predictors.

        Parameters
        ----------
        eta
            Linear predictors, (..., predictor); most families have one, ``eta[..., 0]``.
        values
            Values of the family's hyperparameters by name, broadcasting against ``eta[..., 0]``.
        constants
            Known constants, broadcasting against ``eta[..., 0]``.
        xp
            `numpy` or `pytensor.tensor`.
        """

    @final
    def derivatives(self, outcome: Any, eta: Any, values: Mapping[str, Any], constants: Any,
                    unit: float) -> tuple[Any, Any]:
        """Return the first and second derivative of log p(y | eta) by the one linear predictor, eta (..., 1).

        Where the distribution does not define them, they are differences with a step that is small compared to `unit`,
        the natural unit of eta.
        """
        likelihood = self.likelihood(eta, values, constants, np)
        if likelihood.law.derivatives is not None:
            return likelihood.score(outcome), -likelihood.curvature(outcome)
        step = 1e-3 * unit
        below, above = (self.likelihood(eta + shift, values, constants, np).log_density(outcome)
                        for shift in (-step, step))
        return (above - below) / (2 * step), (below - 2 * likelihood.log_density(outcome) + above) / step**2

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """Return the family in words, one line for each statement."""
