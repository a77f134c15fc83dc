"""A sharing prior: a random function of context, theta(c) = mu + the sum of the prior's pieces.

A prior never sees the outcome. It reads its context columns, and `terms` binds it to rows as pieces.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, final

import pandas as pd

from bayes_personal.errors import InputTypeError, SpecificationError, shown
from bayes_personal.hyperpriors.conjugate import Conjugate
from bayes_personal.hyperpriors.hyperprior import NATURAL_MEAN, NATURAL_SCALE, Hyperprior, must_be_normal
from bayes_personal.priors.parts.coefficients import Coefficients
from bayes_personal.priors.parts.names import variable
from bayes_personal.priors.parts.pieces import Choice, Piece
from bayes_personal.system.arguments import call_of, nested


class Prior(ABC):
    """p(theta_1..theta_N | c, phi). Priors add: ``PartialPooling("site") + GaussianProcess("age", on=["dose"])``."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The context columns that the prior reads."""

    @property
    def name(self) -> str:
        """Prefix of the names of its variables."""
        return variable("_".join(self.columns))

    @property
    def owner(self) -> str:
        """Name of the prior in error messages."""
        return f"{type(self).__name__}({', '.join(map(repr, self.columns))})"

    @abstractmethod
    def terms(self, frame: pd.DataFrame, coefficients: Coefficients) -> tuple[Piece, ...]:
        """Return the prior's pieces, which learn from the training rows what they must remember: levels, scalings."""

    @property
    def grouping(self) -> tuple[str, ...]:
        """The columns each of whose labels has an effect."""
        return ()

    @property
    def replaces_mean(self) -> bool:
        """Whether no coefficient has a population mean mu."""
        return False

    @property
    def linear(self) -> bool:
        """Whether all pieces are terms, linear in Gaussian weights."""
        return True

    @property
    def in_common(self) -> tuple[str, ...]:
        """What all nodes of a network have in common under the prior, in words."""
        return ()

    @property
    @abstractmethod
    def deviation(self) -> str:
        """The deviation of theta_i from mu as a formula; empty where there is none."""

    @abstractmethod
    def story(self) -> tuple[str, ...]:
        """Return the distribution of the deviation in words, one statement a line."""

    def story_under(self, conjugate: Conjugate | None) -> tuple[str, ...]:
        """Return the story under a family with this conjugate distribution, where it depends on the family."""
        return self.story()

    def within(self, members: Mapping[str, tuple[str, ...]], everything: frozenset[str]) -> "Prior | None":
        """Return the prior with the names in `on` that stand for several coefficients, or for none, replaced by these.

        The result is None where no coefficient is left to vary, and says so where `everything` varies.
        """
        on = getattr(self, "on", None)
        if on is None:
            return self
        names = tuple(dict.fromkeys(member for name in on for member in members.get(name, (name,))))
        return self.of(None if everything <= set(names) else names) if names else None

    def of(self, names: tuple[str, ...] | None) -> "Prior":
        """Return the prior under which these coefficients vary, None for all; it must have an argument `on`."""
        result = copy(self)
        object.__setattr__(result, "on", names)
        return result

    def with_defaults(self, mean: Hyperprior, scale: Hyperprior) -> "Prior":
        """Return the prior with these hyperpriors wherever it has the package's default of a mean or of a scale."""
        result, defaults = copy(self), ((NATURAL_MEAN, mean), (NATURAL_SCALE, scale))
        for name, value in vars(self).items():
            for default, other in defaults:
                if value == default:
                    object.__setattr__(result, name, other)
        if getattr(self, "mean", None) == NATURAL_MEAN:
            must_be_normal(self.owner, mean=mean)
        return result

    def __repr__(self) -> str:
        return call_of(self)

    def __add__(self, other: "Prior") -> "Sum":
        if not isinstance(other, Prior):
            raise InputTypeError(f"{self!r} + {shown(other)}: only priors add, as in PartialPooling('a') + "
                                 "PartialPooling('b').")
        return Sum((*parts(self), *parts(other)))

    def __radd__(self, other: Any) -> "Prior":
        # `sum` starts with 0; everything else is refused as `+` refuses it.
        added: Any = other
        return self if isinstance(other, int) and other == 0 else self + added


def parts(prior: Prior) -> tuple[Prior, ...]:
    """Return the summands of a prior."""
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
        duplicates = [term for term in bound if names.count(term.name) > 1]
        if duplicates and len({term.prior.columns for term in duplicates if term.name == duplicates[0].name}) > 1:
            raise SpecificationError(f"{self!r}: variables of two summands would both be called after "
                                     f"{duplicates[0].name!r}. Rename a column.")
        if duplicates and not duplicates[0].prior.columns:
            raise SpecificationError(f"{self!r}: two summands would both call their variables after "
                                     f"{duplicates[0].name!r}. State one of them, with all its coefficients in on=.")
        if duplicates:
            raise SpecificationError(f"Two summands vary with {duplicates[0].name!r}: state that context once.")
        exclusive = [term for term in bound if term.excludes_others]
        if exclusive and len(bound) > 1:
            raise SpecificationError(f"{self!r}: {exclusive[0].excludes_others}. Take {exclusive[0].prior!r} alone.")
        frozen = [term.prior for term in bound if term.freezes_population is not None]
        if frozen and len(bound) > 1:
            raise SpecificationError(f"{self!r}: a population is frozen only where nothing else varies. Take "
                                     f"{frozen[0]!r} alone, or freeze=None, which estimates all summands together.")
        branching = [term.name for term in bound if isinstance(term, Choice)]
        if len(branching) > 1:
            raise SpecificationError(f"{self!r}: {', '.join(branching)} each let a row choose among alternatives; only "
                                     "one summand can.")
        replaced = [coefficients.names[k] for term in bound for k in term.replaced]
        if len(set(replaced)) < len(replaced):
            raise SpecificationError(f"{self!r}: two summands carry the whole of "
                                     f"{max(replaced, key=replaced.count)!r}; say with on= which of them has it.")
        return bound

    def within(self, members: Mapping[str, tuple[str, ...]], everything: frozenset[str]) -> Prior | None:
        remaining = tuple(filter(None, (prior.within(members, everything) for prior in self.summands)))
        return Sum(remaining) if len(remaining) > 1 else remaining[0] if remaining else None

    def of(self, names: tuple[str, ...] | None) -> Prior:
        return Sum(tuple(prior.of(names) for prior in self.summands))

    def with_defaults(self, mean: Hyperprior, scale: Hyperprior) -> Prior:
        return Sum(tuple(prior.with_defaults(mean, scale) for prior in self.summands))

    @property
    def replaces_mean(self) -> bool:
        return any(prior.replaces_mean for prior in self.summands)

    @property
    def linear(self) -> bool:
        return all(prior.linear for prior in self.summands)

    @property
    def in_common(self) -> tuple[str, ...]:
        return tuple(words for prior in self.summands for words in prior.in_common)

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
        outer, inner = self.grouping[:2]
        return (*lines, f"rows with equal labels of {inner!r} share its effect whatever their {outer!r}; where these "
                        f"labels restart within each {outer!r},", f"    {nested(outer, inner)}")


def restricted(phrase: str, on: Any) -> str:
    """Return the phrase of a deviation, followed by the coefficients that deviate unless all do."""
    return phrase if on is None else f"{phrase}[{', '.join(on)}]"


def as_names(on: Any) -> tuple[str, ...] | None:
    """Return the names of coefficients that a user gave, one or several, as a tuple; None stands for all."""
    if on is None or isinstance(on, str):
        return on if on is None else (on,)
    if not isinstance(on, Iterable) or not all(isinstance(name, str) for name in on):
        raise SpecificationError(f"on={shown(on)} must hold the names of coefficients, such as on=['Intercept'].")
    return tuple(on)
