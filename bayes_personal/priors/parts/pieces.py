"""Pieces: what a prior consists of once it is bound to rows. Their sum is the deviation of theta from its mean.

Each piece states its hyperparameters phi and the features f(c) of a row. Most pieces are terms f(c)' W with weights W
that are Gaussian given phi, and state how phi scales and correlates the weights; a `Function` is any other function of
f(c) and phi. A piece also states everything else that fitting, prediction and leaving out must know of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.hyperpriors.determinantal import Determinantal
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.features import Features

Freeze = Literal["cut", "plug-in"] | None


class Owner(Protocol):
    """The prior that a piece belongs to, as far as the piece needs it."""

    @property
    def name(self) -> str:
        """Prefix of the names of its variables."""
        ...

    @property
    def owner(self) -> str:
        """Name of the prior in error messages."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The context columns that the prior reads."""
        ...


class Piece(ABC):
    """One bound part of a prior, which holds what it has learned from the training rows."""

    prior: Owner
    positions: np.ndarray
    coefficients: Coefficients
    # Why intervals do not widen where no training context is near; empty where they do widen.
    narrow: ClassVar[str] = ""

    @property
    def ridged(self) -> bool:
        """Whether hyperparameters trade off along curved ridges, or mirror each other, so that NUTS mixes badly."""
        return False

    @property
    def name(self) -> str:
        """Prefix of the names of its variables."""
        return self.coefficients.prefix + self.prior.name

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
        """Whether every row has a single feature, 1, which says to which group the row belongs."""
        return False

    @property
    def excludes_others(self) -> str:
        """The reason why this piece cannot be summed with other pieces; empty where it can."""
        return ""

    @property
    def freezes_population(self) -> Freeze:
        """How a population that is estimated first enters this piece's stage; None where there are no stages."""
        return None

    @property
    def prior_mean(self) -> np.ndarray | None:
        """Prior mean of the varying coefficients where the piece replaces their common mean mu, NaN for those that keep
        it; None where all keep it."""
        return None

    @property
    def replaced(self) -> np.ndarray:
        """Positions of the coefficients whose common mean mu the piece replaces."""
        mean = self.prior_mean
        return self.positions[:0] if mean is None else self.positions[~np.isnan(mean)]

    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the hyperparameters, each after those that its joint density depends on."""

    @property
    def reported_dims(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labelled dimensions of the variables that `reported` returns, by name."""
        return {}

    def reported(self, values: Mapping[str, Any], xp: Any) -> dict[str, Any]:
        """Return variables that follow from the hyperparameters and are worth reporting, in data units, by name."""
        return {}

    @abstractmethod
    def at(self, frame: pd.DataFrame) -> Features:
        """Return the features of any rows, read as the training rows were."""

    @property
    def axes(self) -> tuple[Context, ...]:
        """The contexts along which the piece varies, other than groups."""
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
        """Number of features that training saw."""
        (labels,) = self.features.values()
        return len(labels)

    @property
    def without_constant(self) -> bool:
        """Whether the term averages to about 0 over the training rows for any weights, as the mean has the constant."""
        return False

    @property
    def walk(self) -> bool:
        """Whether the weights are the steps of a `Walk`, which integrates out place by place where it is alone."""
        return False

    @property
    def elsewhere(self) -> "Elsewhere | None":
        """The term itself where it infers, after everything else, the parameters of groups that nobody has seen, from
        sets of predictors that serve all groups alike; None where the hyperparameters determine them."""
        return None

    @property
    def of_target(self) -> bool:
        """Whether the term is the deviation of one target from its sources."""
        return False

    def first_stage(self, frame: pd.DataFrame) -> np.ndarray:
        """Return a mask of the rows from which a frozen population is estimated, (unit,)."""
        return np.ones(len(frame), bool)

    def unseen(self, values: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the effects of `count` features that training never saw, in data units, (draw, count, varying)."""
        draws = len(values[f"{self.name}_effect"])
        effects = weights(self, values, rng.standard_normal((draws, count, len(self.positions))), np)
        return effects @ self.coefficients.to_data_units(self.positions)

    def name_elsewhere(self, parameter: str) -> str | None:
        """Return the name of what a parameter of the family is at features that training never saw; None if it is that
        of all rows."""
        return None

    @abstractmethod
    def scales(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any | None]:
        """Return the scales and correlations of the weights at given hyperparameter values.

        Parameters
        ----------
        values
            Hyperparameters by name, each with any leading batch axes.
        xp
            `numpy`, `pytensor.tensor` or `kernels.tape.Symbolic`, which records the operations and differentiates them:
            ``+ - * /``, known powers, ``exp``, ``log``, ``log1p``, ``sqrt`` and ``xp.minimum``, and whatever NumPy
            makes of these, such as sums and products of matrices. Any other operation raises a SpecificationError.

        Returns
        -------
        scale : (..., feature or 1, varying), in units of outcome / predictor
        root : (..., varying, varying), Cholesky factor of the correlation between coefficients; None if independent
        """


class Elsewhere(Protocol):
    """A term of groups that infers the parameters of a group that nobody has seen."""

    prior: Any
    coefficients: Coefficients

    @property
    def size(self) -> int:
        """Number of groups that training saw."""
        ...

    @property
    def candidates(self) -> np.ndarray:
        """Positions of the coefficients that may be in an invariant set or not."""
        ...

    @property
    def label(self) -> str:
        """The column that holds the rows' groups."""
        ...

    @property
    def theta_elsewhere(self) -> str:
        """Name of the variable that holds the parameters of a group that nobody has seen."""
        ...

    def name_elsewhere(self, parameter: str) -> str:
        """Return the name of what a parameter of the family is in such a group."""
        ...

    def at(self, frame: pd.DataFrame) -> Features:
        """Return the groups of any rows."""
        ...


class HiddenLayer(NamedTuple):
    """The parts of a network ``scale * second' tanh(steepness / root first' c + bend offset) / sqrt(units)``.

    Attributes
    ----------
    scale : scale of each coefficient, (varying,)
    steepness : factor of the first layer
    first, offset, second : standard normal weights, (reading, unit), (unit,) and (unit, varying)
    root, bend : known numbers
    """

    scale: Parameter
    steepness: Parameter
    first: Parameter
    offset: Parameter
    second: Parameter
    root: float
    bend: float


class Function(Piece):
    """A piece that is any function of context and hyperparameters."""

    @property
    def hidden_layer(self) -> HiddenLayer | None:
        """The parts of a network with one hidden layer, which has moves of its own; None for any other function."""
        return None

    @property
    def latent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Labelled dimensions of the variables beside hyperparameters that `deviation` reads; () if unlabelled."""
        return {}

    def extended(self, values: Mapping[str, Any], features: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
        """Return draws of `latent` that also serve rows with features outside the training range."""
        return {name: values[name] for name in self.latent}

    def with_places(self, frame: pd.DataFrame) -> "Function":
        """Return the function extended to the contexts of these rows, at which `extended` has drawn `latent`."""
        return self

    @abstractmethod
    def deviation(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        """Return the varying coefficients' deviation, the intercept at the predictors' means, (..., unit, varying).

        Parameters
        ----------
        values
            Hyperparameters and `latent` variables by name, each with any leading batch axes.
        features
            The matrix of `at`.
        xp
            `numpy` or `pytensor.tensor`.
        """


class Alternatives(NamedTuple):
    """The parts of a choice whose alternatives differ in coefficients that are Normal: ``scale * component``.

    Attributes
    ----------
    component : the coefficients, (branch, varying), around 0
    scale : their scale, (varying,); None where it is 1
    length, repulsion : length of a repulsion, and the repulsion; None where there is none
    gate : Gamma variables in proportion to which rows take branches, (branch,); None where contexts govern that
    level, slope : Normal intercepts and slopes of the log odds, (branch,) and (branch, reading), where contexts do
    metric, owner : factors of the slopes, and which of them each reading has, (reading,)
    """

    component: Parameter
    scale: Parameter | None = None
    length: Parameter | None = None
    repulsion: Determinantal | None = None
    gate: Parameter | None = None
    level: Parameter | None = None
    slope: Parameter | None = None
    metric: Parameter | None = None
    owner: np.ndarray | None = None


class Choice(Function):
    """A function with alternatives, of which every row takes one; the choice is summed out of the likelihood.

    Its deviation has one more axis, (..., unit or 1, branch, varying).
    """

    @property
    def alternatives(self) -> Alternatives | None:
        """The parts of a choice of the common form, which have moves of their own; None for any other."""
        return None

    @property
    @abstractmethod
    def branches(self) -> int:
        """Number of alternatives."""

    @abstractmethod
    def log_gate(self, values: Mapping[str, Any], features: Any, xp: Any) -> Any:
        """Return the log probability of each branch before the outcome is seen, (..., unit or 1, branch)."""


class GaussianFunction(Function):
    """A function whose values at the training contexts are jointly Gaussian, given its hyperparameters."""

    @property
    @abstractmethod
    def places(self) -> dict[str, tuple[str, ...]]:
        """The contexts at which the function has values, as labels of a dimension."""

    @property
    def sparse(self) -> bool:
        """Whether the function is a `MarkovField`, whose sparse precision lets it integrate out by itself."""
        return False

    @abstractmethod
    def root(self, values: Mapping[str, Any], xp: Any) -> tuple[Any, Any]:
        """Return R (..., place, place) and step (..., varying) of values ``step[k] R z[:, k]``, z standard normal."""

    @abstractmethod
    def colored(self, values: Mapping[str, Any], z: Any, xp: Any) -> dict[str, Any]:
        """Return `latent`, by name, made from standard normal noise z (..., place, varying)."""


def weights(term: Term, values: Mapping[str, Any], z: Any, xp: Any) -> Any:
    """Return the weights of a term from whitened draws z (..., feature, varying), at the predictors' means."""
    scale, root = term.scales(values, xp)
    return (z if root is None else xp.matmul(z, root.mT)) * scale
