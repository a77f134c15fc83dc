"""Numbers that a constructor is given: checked when they are written down."""

from numbers import Integral, Real
from typing import Any

import numpy as np

from bayes_personal.errors import SpecificationError


def positive(owner: str, **values: Any) -> None:
    """Refuse what is not a finite number above zero."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not np.isfinite(value) or value <= 0:
            raise SpecificationError(f"{owner}: {name}={value!r} must be a finite and positive number.")


def whole(owner: str, least: int, **values: Any) -> None:
    """Refuse what is not a whole number of at least `least`."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise SpecificationError(f"{owner}: {name}={value!r} must be a whole number, {least} or more.")
