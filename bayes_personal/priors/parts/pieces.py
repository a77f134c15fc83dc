"""What a prior is made of once it is bound to rows: pieces, whose sum is what theta has beside its mean.

Each piece answers which hyperparameters phi it has and which features f(c) a row has. Most pieces are terms f(c)' W
with weights W that are Gaussian given phi, and say how phi scales and correlates them; a function is any other function
of f(c) and phi. What else of a piece matters to those who fit, predict and leave out, it says itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, final

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.errors import SpecificationError, did_you_mean
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.features import Features

Freeze = Literal["cut", "plug-in"] | None


@final
@dataclass(frozen=True)
class Coefficients:
    """What a prior may know of the coefficients: their names and natural units, never the outcome itself.

    Attributes
    ----------
    names : (coefficient,)
    location : where each is expected, with the intercept taken at the predictors' means, (coefficient,)
    unit : natural unit of each, scale of the linear predictor / spread of the predictor, (coefficient,)
    center : means of the predictors, 0 for the intercept, (coefficient,)
    conjugate : the distribution under which coefficients that rows share integrate out of the family's likelihood
    """

    names: tuple[str, ...]
    location: np.ndarray
    unit: np.ndarray
    center: np.ndarray
    conjugate: Conjugate | None = None

    def select(self, on: Any, owner: str) -> np.ndarray:
        """Positions of the coefficients that vary."""
        if on is None:
            return np.arange(len(self.names))
        if not on:
            raise SpecificationError(f"{owner}: on={on!r} names no coefficient to vary. {did_you_mean('', self.names)}")
        for name in on:
            if name not in self.names:
                raise SpecificationError(f"{owner}: no coefficient {name!r}. {did_you_mean(name, self.names)}")
        return np.array([k for k, name in enumerate(self.names) if name in on])

    def centred(self, positions: np.ndarray) -> bool:
        """Whether weights at `positions` refer to the intercept at the predictors' means."""
        return "Intercept" in [self.names[k] for k in positions]

    def to_data_units(self, positions: np.ndarray) -> np.ndarray:
        """A with theta = W A: undoes the centring of the intercept, where the intercept is among `positions`."""
        change = np.eye(len(positions))
        if self.centred(positions):
            change[:, [self.names[k] for k in positions].index("Intercept")] -= self.center[positions]
        return change

    def predictors(self, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """What weights at `positions` multiply: the predictors, centred where the intercept is among them."""
        return x[:, positions] - self.center[positions] * self.centred(positions)


class Owner(Protocol):
    """What a piece asks of the prior that it belongs to."""

    @property
    def name(self) -> str:
        """What its variables are called after."""
        ...

    @property
    def owner(self) -> str:
        """What errors call it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The context columns that it reads."""
        ...


class Piece(ABC):
    """One bound part of a prior, which knows what to remember of the training rows."""

    prior: Owner
    positions: np.ndarray
    coefficients: Coefficients
    # Why intervals are no wider where no training context is near; empty where they are.
    narrow: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """What its variables are called after."""
        return self.prior.name

    @property
    def varying(self) -> dict[str, tuple[str, ...]]:
        """The coefficients that vary, as labels of a dimension."""
        return {f"{self.name}_coefficient": tuple(self.coefficients.names[k] for k in self.positions)}

    @property
    def unit(self) -> np.ndarray:
        """Natural units of the coefficients that vary, (varying,)."""
        return self.coefficients.unit[self.positions]

    @property
    def grouped(self) -> bool:
        """Whether a row has a single feature, 1, which says what group it is of."""
        return False

    @property
    def excludes_others(self) -> str:
        """Why no other piece can stand beside it; empty where one can."""
        return ""

    @property
    def second_stage(self) -> Freeze:
        """How the population, estimated before it, enters its estimation; None where both are estimated together."""
        return None

    @property
    def prior_mean(self) -> np.ndarray | None:
        """Prior mean of the coefficients that vary, where its weights carry them whole and there is no common mu."""
        return None

    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Its hyperparameters; what a joint density depends on stands before it."""

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labelled dimensions of what `reported` gives, by name."""
        return {}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        """What follows from its hyperparameters and is worth a name, in data units, by name."""
        return {}

    @abstractmethod
    def at(self, frame: pd.DataFrame) -> Features:
        """Features of any rows, read as the training rows were."""

    @property
    def axes(self) -> tuple[Context, ...]:
        """The contexts along which it varies, other than by groups."""
        return ()


class Term(Piece):
    """A piece that is linear in Gaussian weights, given its hyperparameters.

    The weights are ``W[f] = scale[f] * (root @ z[f])``, ``z ~ Normal(0, 1)``.
    """

    @property
    @abstractmethod
    def features(self) -> dict[str, tuple[str, ...]]:
        """The features seen in training, as labels of a dimension."""

    @property
    def size(self) -> int:
        """How many features training saw."""
        (labels,) = self.features.values()
        return len(labels)

    @property
    def without_constant(self) -> bool:
        """Whether its average over the training rows is near 0 whatever its weights, for a constant is the mean's."""
        return False

    @property
    def elsewhere(self) -> "Elsewhere | None":
        """What it infers after all else of groups that nobody has seen, from sets of predictors that serve every group
        alike; None where what it has there follows from its hyperparameters."""
        return None

    @property
    def of_target(self) -> bool:
        """Whether it is what one target has beside sources, from which it takes all else."""
        return False

    def first_stage(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows the population is estimated from where it is frozen, (unit,)."""
        return np.ones(len(frame), bool)

    def unseen(self, values: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws of the effects, in data units, of so many features that training never saw, (draw, count, varying)."""
        draws = len(values[f"{self.name}_effect"])
        drawn = weights(self, values, rng.standard_normal((draws, count, len(self.positions))), np)
        return drawn @ self.coefficients.to_data_units(self.positions)

    @property
    def error_elsewhere(self) -> str | None:
        """Name of the standard deviation that errors have at such features; None where it is that of all rows."""
        return None

    @abstractmethod
    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        """How hyperparameter values scale and correlate the weights.

        Parameters
        ----------
        values
            Of the hyperparameters by name, each with any leading batch axes.
        xp
            `numpy`, `pytensor.tensor` or `kernels.tape.Symbolic`, which records the operations and differentiates them:
            ``+ - * /``, known powers, ``exp``, ``log``, ``log1p``, ``sqrt`` and ``xp.minimum``, and whatever NumPy
            makes of these, such as sums and products of matrices. Any other raises a SpecificationError.

        Returns
        -------
        scale : (..., feature or 1, varying), in units of outcome / predictor
        root : (..., varying, varying), Cholesky factor of the correlation between coefficients; None if independent
        """


class Elsewhere(Protocol):
    """A term of groups that says what parameters hold in a group that nobody has seen."""

    prior: Any
    coefficients: Coefficients

    @property
    def size(self) -> int:
        """How many groups training saw."""
        ...

    @property
    def candidates(self) -> np.ndarray:
        """Positions of the coefficients that may be in an invariant set or not."""
        ...

    @property
    def label(self) -> str:
        """The column that says which group a row is of."""
        ...

    @property
    def theta_elsewhere(self) -> str:
        """Name of the parameters in a group that nobody has seen."""
        ...

    @property
    def error_elsewhere(self) -> str:
        """Name of the standard deviation of errors there."""
        ...

    def at(self, frame: pd.DataFrame) -> Features:
        """The groups of any rows."""
        ...


class Function(Piece):
    """A piece that is any function of context and hyperparameters."""

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labelled dimensions of what `deviation` reads beside hyperparameters, by name; () without labels."""
        return {}

    def extended(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """`latent` at draws, also for rows with features outside the training range."""
        return {name: values[name] for name in self.latent}

    def with_places(self, frame: pd.DataFrame) -> "Function":
        """The field that takes the contexts of these rows for known, once `extended` has drawn `latent` there."""
        return self

    @abstractmethod
    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        """What it adds to the coefficients that vary, the intercept at the predictors' means, (..., unit, varying).

        Parameters
        ----------
        values
            Of its hyperparameters by name, each with any leading batch axes.
        features
            The matrix of `at`.
        xp
            `numpy` or `pytensor.tensor`.
        """


class Choice(Function):
    """A field with alternatives: every row takes one of them, and which is summed out of the likelihood.

    What it adds stands along one more axis, (..., unit or 1, branch, varying).
    """

    @property
    @abstractmethod
    def branches(self) -> int:
        """Among how many alternatives a row chooses."""

    @abstractmethod
    def log_gate(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        """Log probability of each branch before the outcome is seen, (..., unit or 1, branch)."""


class GaussianFunction(Function):
    """A function whose values at the training contexts are jointly Gaussian, given its hyperparameters."""

    @property
    @abstractmethod
    def places(self) -> dict[str, tuple[str, ...]]:
        """The contexts at which it has values of its own, as labels of a dimension."""

    @property
    def sparse(self) -> bool:
        """Whether it is a `MarkovField`, whose precision is sparse, so that it integrates out by itself."""
        return False

    @abstractmethod
    def root(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any]:
        """R (..., place, place) and step (..., varying) of values ``step[k] R z[:, k]``, z standard normal."""

    @abstractmethod
    def colored(self, values: Mapping[str, Any], z: Any, xp: Any) -> dict[str, Any]:
        """`latent` of standard normal noise (..., place, varying), by name."""


class Division(Function):
    """A function that is constant within the cells of a random division of contexts, which nobody has seen.

    Given its hyperparameters all divisions, and what their cells have of their own, are summed out of the likelihood.
    Draws of them (`latent`) follow from the posterior of the hyperparameters.

    Attributes
    ----------
    law : how what cells have of their own is distributed
    """

    law: Conjugate

    @property
    def excludes_others(self) -> str:
        return ("divisions of contexts are summed out only where nothing else varies; TotalVariation(order) goes with "
                "other summands")

    @property
    @abstractmethod
    def frequency(self) -> str:
        """Name of the hyperparameter that says how many cells to expect."""

    @property
    def ordered(self) -> pd.Series | None:
        """The distinct training contexts in their order, each under the index of its first row, where cells are
        segments of these; None where they are not."""
        return None

    @property
    @abstractmethod
    def sums(self) -> Any:
        """The sums over its divisions, a `DivisionSums` of `densities.divisions`."""

    @abstractmethod
    def sampled(self, drawn: Sequence[Any], levels: np.ndarray) -> dict[str, np.ndarray]:
        """`latent`, and what else is reported, from divisions as `sums` draws them and their cells' levels one after
        the other, (cell, varying)."""

    def drawn(self, latent: Mapping[str, np.ndarray]) -> list[Any]:
        """The divisions that these draws of `latent` have, as `sums` draws them; asked for where `sums` are not
        exact."""
        raise SpecificationError(f"{self.prior.owner}: its sums are not exact, and it does not say how to read draws")

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Standard deviations of what cells have of their own, (..., varying)."""
        return values[f"{self.name}_scale"]

    @abstractmethod
    def cut(self, values: Mapping[str, Any], xp: Any) -> Any:
        """What the sums over divisions take of its frequency, (...)."""

    @abstractmethod
    def cells(self, values: Mapping[str, Any]) -> Any:
        """About how many cells to expect, (...): what the mean is sampled in units of leans on it, and no density."""

    def fresh(self, values: Mapping[str, Any], draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What cells without data have of their own, one for each of some draws, (cell, varying)."""
        mean = 0.0 if self.law.several else values["mu"][draw]
        return self.law.deviations(mean, self.scale(values)[draw], (len(draw), len(self.positions)), rng)

    @abstractmethod
    def simulated(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """One draw of `latent` from the prior, for rows with these features."""


def weights(term: Term, values: Mapping[str, Any], z: Any, xp: Any) -> Any:
    """The weights of a term at whitened draws z (..., feature, varying), at the predictors' means."""
    scale, root = term.scales(values, xp)
    return (z if root is None else xp.matmul(z, root.mT)) * scale
