"""Models as plain JSON and back: every part is the name of its class and the arguments of its constructor."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pandas as pd

from bayes_personal.errors import SpecificationError, did_you_mean, first
from bayes_personal.families.parts.base import Family
from bayes_personal.families.parts.varying import Varying
from bayes_personal.formulas.functions import must_be_functions
from bayes_personal.hyperpriors.hyperprior import Hyperprior
from bayes_personal.model.model import Model
from bayes_personal.model.network_model import Network
from bayes_personal.priors.parts.base import Prior

# The argument of a model of which a document holds names only.
FUNCTIONS = "functions"
# Constructors of dates, which may label groups, from their ISO 8601 text.
DATES = {"Timestamp": pd.Timestamp, "datetime": datetime.datetime.fromisoformat, "date": datetime.date.fromisoformat}


def encode(value: Any) -> Any:
    """Return a model or a part of it as objects that `json` writes.

    Numbers, text, booleans, None and tuples of these stand for themselves (a tuple as a list); a date becomes
    ``{"type": its class, "iso": its text}``; a model, prior, family or hyperprior becomes
    ``{"type": its class, argument: value, ...}``. The functions that a model's formula calls are held by name.

    Raises
    ------
    SpecificationError
        A part that is none of these, or whose class keeps an argument under another name.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [encode(entry) for entry in value]
    if isinstance(value, datetime.date):
        return {"type": type(value).__name__, "iso": value.isoformat()}
    if not isinstance(value, Prior | Family | Varying | Hyperprior | Model | Network) or not is_dataclass(value):
        raise SpecificationError(f"A saved model holds dataclasses that derive from Prior or Family, hyperpriors, "
                                 f"numbers, text, None and tuples of these; got the {type(value).__name__} {value!r}.")
    kind, kept = type(value), {field.name for field in fields(value)}
    lost = [name for name in _arguments(kind) if name not in kept]
    if lost:
        raise SpecificationError(f"{kind.__name__} takes {', '.join(lost)} but has no field of that name, so that a "
                                 "saved model would lose it. Keep every argument in a field of its name.")
    if isinstance(value, Model | Network):
        kept.remove(FUNCTIONS)
    document = {name: encode(getattr(value, name)) for name in _arguments(kind) if name in kept}
    if isinstance(value, Model | Network) and value.functions:
        document[FUNCTIONS] = list(value.functions)
    return {"type": kind.__name__} | document


def decode(document: Any, functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Return the object that `encode` wrote, by calling the constructors, which check their arguments as a user's.

    Only these constructors and `functions`, which a model's formula may call, are ever run.

    Raises
    ------
    SpecificationError
        A class that is not known or not unique, an argument that it does not take or that is missing, or one that
        it refuses.
    """
    if isinstance(document, list):
        return tuple(decode(entry, functions) for entry in document)
    if not isinstance(document, dict):
        return document
    name = document.get("type")
    if isinstance(name, str) and name in DATES:
        return DATES[name](document["iso"])
    kind = _find(name)
    arguments = {name: decode(entry, functions) for name, entry in document.items() if name != "type"}
    if kind in (Model, Network):
        arguments[FUNCTIONS] = _functions(arguments.get(FUNCTIONS, ()), functions or {})
    accepted = _arguments(kind)
    for name in arguments:
        if name not in accepted:
            raise SpecificationError(f"{kind.__name__} takes no {name!r}. {did_you_mean(name, accepted)}")
    missing = [name for name, parameter in accepted.items()
               if name not in arguments and parameter.default is Parameter.empty]
    if missing:
        raise SpecificationError(f"{kind.__name__}: {', '.join(missing)} is missing.")
    positional, named = [], {}
    try:
        for name, entry in arguments.items():
            if accepted[name].kind is Parameter.VAR_POSITIONAL:
                positional += entry
            elif accepted[name].kind is Parameter.VAR_KEYWORD:
                named |= dict(entry)
            else:
                named[name] = entry
        return kind(*positional, **named)
    except (AttributeError, TypeError, ValueError) as error:
        raise SpecificationError(f"{kind.__name__} refuses what was written of it: {error}") from error


def _functions(names: Any, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return the functions of these names among those that the user gives again."""
    must_be_functions(functions)
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise SpecificationError(f"A model's functions are a list of their names; got {names!r}.")
    missing = [name for name in names if name not in functions]
    if missing:
        raise SpecificationError(f"The model's formula calls {first(missing)}, and files hold no functions. Give it "
                                 f"again, as in load(path, functions={{{missing[0]!r}: {missing[0]}}}).")
    return {name: functions[name] for name in names}


def _arguments(kind: type) -> dict[str, Parameter]:
    """Return the parameters of a class's constructor."""
    return dict(signature(kind).parameters)


def _subclasses(base: type) -> Iterator[type]:
    """Yield every class below `base`, at any depth."""
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _find(name: Any) -> type:
    """Return the class of this name among the priors and families that are imported."""
    kinds = [Model, Network, Hyperprior, Varying, *_subclasses(Prior), *_subclasses(Family)]
    # A class that a notebook defines again occurs twice under one name; the last definition counts.
    matches = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds if kind.__name__ == name}
    if not matches:
        names = sorted({kind.__name__ for kind in kinds})
        raise SpecificationError(f"The model has a part of the type {name!r}, and no such class is known: import the "
                                 f"module that defines it first. {did_you_mean(str(name), names)}")
    if len(matches) > 1:
        raise SpecificationError(f"The model has a part of the type {name!r}, and there are {len(matches)} classes of "
                                 f"that name: {', '.join(matches)}. Rename one.")
    return next(iter(matches.values()))
