"""Numbers that a constructor is given: checked when they are written down."""

import math
from numbers import Integral, Real
from typing import Any

from bayes_personal.errors import SpecificationError


def positive(owner: str, **values: Any) -> None:
    """Refuse what is not a finite number above zero."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
            raise SpecificationError(f"{owner}: {name}={value!r} must be positive and finite.")


def fraction(owner: str, **values: Any) -> None:
    """Refuse what is not a number between zero and one."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < 1:
            raise SpecificationError(f"{owner}: {name}={value!r} must lie between 0 and 1.")


def column_name(owner: str, **values: Any) -> None:
    """Refuse what is neither the name of a column nor None."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise SpecificationError(f"{owner}: {name}={value!r} must name the column that holds it for each row; put "
                                     "one number for all rows into a column of the frame.")


def flag(owner: str, **values: Any) -> None:
    """Refuse what is neither True nor False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise SpecificationError(f"{owner}: {name}={value!r} must be True or False.")


def whole(owner: str, least: int, **values: Any) -> None:
    """Refuse what is not a whole number of at least `least`."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise SpecificationError(f"{owner}: {name}={value!r} must be a whole number, {least} or more.")
