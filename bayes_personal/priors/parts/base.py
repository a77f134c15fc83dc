"""What a sharing prior is: a random function of context, theta(c) = m + the sum of its pieces.

A prior never sees the outcome. It reads its context columns (`terms`), and each piece then answers which
hyperparameters phi it has and which features f(c) a row has. Most pieces are terms f(c)' W with weights W that are
Gaussian given phi, and say how phi scales and correlates them; a field is any other function of f(c) and phi.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import pandas as pd

from bayes_personal.data.context import Context
from bayes_personal.errors import InputTypeError, SpecificationError, did_you_mean, shown
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.parameter import Parameter
from bayes_personal.priors.parts.features import Features
from bayes_personal.priors.parts.names import variable
from bayes_personal.system.arguments import call_of, nested

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


class Piece(ABC):
    """One bound part of a prior, which knows what to remember of the training rows."""

    prior: "Prior"
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
    def alone(self) -> str:
        """Why no other piece can stand beside it; empty where one can."""
        return ""

    @property
    def freeze(self) -> Freeze:
        """How the population, estimated before it, enters its estimation; None where both are estimated together."""
        return None

    @property
    def own_mean(self) -> np.ndarray | None:
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
            `numpy` or `pytensor.tensor`. Only analytic operations: gradients take a complex step through it.

        Returns
        -------
        scale : (..., feature or 1, varying), in units of outcome / predictor
        root : (..., varying, varying), Cholesky factor of the correlation between coefficients; None if independent
        """


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


def weights(term: Term, values: Mapping[str, Any], z: Any, xp: Any) -> Any:
    """The weights of a term at whitened draws z (..., feature, varying), at the predictors' means."""
    scale, root = term.scales(values, xp)
    return (z if root is None else xp.matmul(z, root.mT)) * scale


class Prior(ABC):
    """p(theta_1..theta_N | c, phi). Priors add: ``PartialPooling("site") + GaussianProcess("age", on=["dose"])``."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The context columns that it reads."""

    @property
    def name(self) -> str:
        """What its variables are called after."""
        return variable("_".join(self.columns))

    @property
    def owner(self) -> str:
        """What errors call it."""
        return f"{type(self).__name__}({', '.join(map(repr, self.columns))})"

    @abstractmethod
    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        """Its pieces, which learn what must be remembered from the training rows: levels, scalings."""

    @property
    def grouping(self) -> tuple[str, ...]:
        """The columns whose labels have effects of their own."""
        return ()

    @property
    def replaces_mean(self) -> bool:
        """Whether no coefficient has a population mean mu."""
        return False

    @property
    def linear(self) -> bool:
        """Whether all of its pieces are terms, linear in Gaussian weights."""
        return True

    @property
    @abstractmethod
    def deviation(self) -> str:
        """What theta_i has beside mu, as a formula; empty for nothing."""

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """How the deviation is distributed, in words, a line a statement."""

    def story_under(self, conjugate: Conjugate | None) -> tuple[str, ...]:
        """The story under a family with this conjugate distribution, if it differs from one to the other."""
        return self.story()

    def __repr__(self) -> str:
        return call_of(self)

    def __add__(self, other: "Prior") -> "Sum":
        if not isinstance(other, Prior):
            raise InputTypeError(f"{self!r} + {shown(other)}: only priors add, as in PartialPooling('a') + "
                                 "PartialPooling('b').")
        return Sum((*parts(self), *parts(other)))

    def __radd__(self, other: Any) -> "Prior":
        # `sum` begins with 0.
        return self if isinstance(other, int) and other == 0 else self + other


def parts(prior: Prior) -> tuple[Prior, ...]:
    """The summands of a prior."""
    return prior.summands if isinstance(prior, Sum) else (prior,)


@final
@dataclass(frozen=True, repr=False)
class Sum(Prior):
    """theta_i = mu + the deviations of every summand."""

    summands: tuple[Prior, ...]

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.summands))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for prior in self.summands for name in prior.columns))

    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        bound = tuple(term for prior in self.summands for term in prior.terms(frame, coefficients))
        names = [term.name for term in bound]
        twice = [term for term in bound if names.count(term.name) > 1]
        if twice and len({term.prior.columns for term in twice if term.name == twice[0].name}) > 1:
            raise SpecificationError(f"{self!r}: variables of two summands would both be called after "
                                     f"{twice[0].name!r}. Rename a column.")
        if twice:
            raise SpecificationError(f"Two summands vary with {twice[0].name!r}: state that context once.")
        alone = [term for term in bound if term.alone]
        if alone and len(bound) > 1:
            raise SpecificationError(f"{self!r}: {alone[0].alone}. Take {alone[0].prior!r} alone.")
        frozen = [term.prior for term in bound if term.freeze is not None]
        if frozen and len(bound) > 1:
            raise SpecificationError(f"{self!r}: a population is frozen only where nothing else varies. Take "
                                     f"{frozen[0]!r} alone, or freeze=None, which estimates all summands together.")
        branching = [term.name for term in bound if isinstance(term, Choice)]
        if len(branching) > 1:
            raise SpecificationError(f"{self!r}: {', '.join(branching)} each let a row choose among alternatives; only "
                                     "one summand can.")
        whole = [coefficients.names[k] for term in bound if term.own_mean is not None for k in term.positions]
        if len(set(whole)) < len(whole):
            raise SpecificationError(f"{self!r}: two summands carry the whole of {max(whole, key=whole.count)!r}; say "
                                     "with on= which of them has it.")
        return bound

    @property
    def replaces_mean(self) -> bool:
        return any(prior.replaces_mean for prior in self.summands)

    @property
    def linear(self) -> bool:
        return all(prior.linear for prior in self.summands)

    @property
    def deviation(self) -> str:
        return " + ".join(filter(None, (prior.deviation for prior in self.summands)))

    @property
    def grouping(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for prior in self.summands for name in prior.grouping))

    def story(self) -> tuple[str, ...]:
        lines = tuple(line for prior in self.summands for line in prior.story())
        if len(self.grouping) < 2:
            return lines
        one, other = self.grouping[:2]
        return (*lines, f"rows with equal labels of {other!r} share its effect whatever their {one!r}; where these "
                        f"labels restart within each {one!r},", f"    {nested(one, other)}")


def restricted(phrase: str, on: Any) -> str:
    """A deviation with the coefficients that have it, unless all do."""
    return phrase if on is None else f"{phrase}[{', '.join(on)}]"


def as_names(on: Any) -> tuple[str, ...] | None:
    """What the user gave as names of coefficients: one, several, or None for all."""
    if on is None or isinstance(on, str):
        return on if on is None else (on,)
    if not isinstance(on, Iterable) or not all(isinstance(name, str) for name in on):
        raise SpecificationError(f"on={shown(on)} must hold the names of coefficients, such as on=['Intercept'].")
    return tuple(on)
