"""Checks of arguments, with errors in words, and the shortest call that creates an object."""

import inspect
import math
import os
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from bayes_personal.errors import InputError, InputTypeError, SpecificationError, shown

Seed = int | np.random.Generator | np.random.SeedSequence | None


def positive(owner: str, **values: Any) -> None:
    """Refuse values that are not finite numbers above zero."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
            raise SpecificationError(f"{owner}: {name}={shown(value)} must be positive and finite.")


def fraction(owner: str, **values: Any) -> None:
    """Refuse values that are not numbers between zero and one."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < 1:
            raise SpecificationError(f"{owner}: {name}={shown(value)} must lie between 0 and 1.")


def column_name(owner: str, **values: Any) -> None:
    """Refuse values that are neither the name of a column nor None."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise SpecificationError(f"{owner}: {name}={shown(value)} must name the column that holds it for each row; "
                                     "put one number for all rows into a column of the frame.")


def flag(owner: str, **values: Any) -> None:
    """Refuse values that are neither True nor False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise SpecificationError(f"{owner}: {name}={shown(value)} must be True or False.")


def whole_number(owner: str, least: int, **values: Any) -> None:
    """Refuse values that are not whole numbers of at least `least`."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise SpecificationError(f"{owner}: {name}={shown(value)} must be a whole number, {least} or more.")


def one_of(owner: str, allowed: Iterable[str | int | None], **values: Any) -> None:
    """Refuse values other than a few words or numbers."""
    allowed = list(allowed)
    for name, value in values.items():
        # Comparing an array or a frame to a word would not give one truth value.
        if not isinstance(value, str | Integral | None) or value not in allowed:
            *options, final = map(repr, allowed)
            raise SpecificationError(f"{owner}: {name}={shown(value)} must be {', '.join(options)} or {final}.")


def context_column(owner: str, **values: Any) -> None:
    """Refuse values that are not the name of one column."""
    for name, value in values.items():
        if isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(column, str) for column in value):
            raise InputTypeError(f"{owner}: {name}={shown(value)} names {len(value)} columns, and a column's name must "
                                 f"be text. Where labels of {value[1]!r} restart within each {value[0]!r}, "
                                 f"{nested(value[0], value[1])}; where they do not, add a prior for each.")
        if not isinstance(value, str):
            raise InputTypeError(f"{owner}: a column's name must be text; got {name}={shown(value)}.")


def nested(outer: str, inner: str) -> str:
    """Explain in words how to state groups within groups."""
    pair = f"{outer}_{inner}"
    label = f"frame[{outer!r}].astype(str) + '/' + frame[{inner!r}].astype(str)"
    statement = f"frame.assign({pair}={label})" if pair.isidentifier() else f"frame.assign(**{{{pair!r}: {label}}})"
    return f"write {statement} and PartialPooling({outer!r}) + PartialPooling({pair!r})"


def file_path(owner: str, value: Any) -> None:
    """Refuse a value that is not a path."""
    if not isinstance(value, str | os.PathLike):
        raise InputTypeError(f"{owner}: need the path of a file, such as 'posterior.nc'; got {shown(value)}.")


def seed_number(owner: str, value: Any) -> int | None:
    """Return a seed as a number: the next draw of a Generator, or the first number that a SeedSequence generates."""
    if isinstance(value, np.random.Generator):
        return int(value.integers(2**32))
    if isinstance(value, np.random.SeedSequence):
        return int(value.generate_state(1)[0])
    if value is None:
        return None
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InputTypeError(f"{owner}: seed={shown(value)} must be a whole number, a numpy.random.Generator, a "
                             "numpy.random.SeedSequence, or None for a new one each time.")
    if value < 0:
        raise InputError(f"{owner}: seed={shown(value)} must be 0 or more.")
    return int(value)


def call_of(value: Any) -> str:
    """Spell a frozen dataclass as the shortest call that creates it, without arguments at their defaults."""
    arguments = []
    for name, parameter in inspect.signature(type(value)).parameters.items():
        current = getattr(value, name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            arguments += map(repr, current)
        elif parameter.default is inspect.Parameter.empty:
            arguments.append(repr(current))
        elif current != parameter.default:
            arguments.append(f"{name}={current!r}")
    return f"{type(value).__name__}({', '.join(arguments)})"
